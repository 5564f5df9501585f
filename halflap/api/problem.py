"""Errors as problem+json (RFC 9457): one mapping for the whole tree of `halflap.errors`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal, cast

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from halflap.api.draft_view import WriterView, summary_of
from halflap.api.operations.drafts import StaleEdit
from halflap.api.operations.oidc import ProviderRefused
from halflap.api.operations.people import MissingRight, SignInRefused
from halflap.api.principal import ANYBODY, OBJECTS, PRINCIPAL
from halflap.api.view import PATTERN_MESSAGES, Problem, Upstream
from halflap.errors import (
    Backlogged,
    BlobLost,
    Cancel,
    CodeFailed,
    ConfigError,
    Conflict,
    DefinitionError,
    EgressRefused,
    ExpressionError,
    Fenced,
    FilterFailed,
    HalflapError,
    InputsRefused,
    InvalidEvent,
    Nondeterminism,
    NotFound,
    Overruled,
    RateLimited,
    Rejected,
    Removed,
    RetryLater,
    StepFailed,
    StoreError,
    Thrown,
    TimedOut,
    TooManyHops,
    Unrouted,
    UpstreamError,
    WorkerLost,
)
from halflap.problem import MEDIA_TYPE, title_of
from halflap.sdk import codec
from halflap.store.catalogue.drafts import FlowHeld
from halflap.store.catalogue.precondition import Stale
from halflap.store.catalogue.sessions import TooManyAttempts
from halflap.store.catalogue.versions import OvertakenVersion

log = structlog.get_logger("halflap.api")

STATUSES: dict[type[HalflapError], tuple[int, str]] = {
    HalflapError: (500, "Something went wrong"),
    DefinitionError: (422, "The definition is wrong"),
    ExpressionError: (422, "An expression cannot be read or evaluated"),
    ConfigError: (422, "What was filled in is incomplete or wrong"),
    InvalidEvent: (422, "The event is misshapen"),
    FilterFailed: (422, "The flow's filter failed"),
    Unrouted: (422, "Nobody takes the event"),
    EgressRefused: (422, "The address may not be called"),
    InputsRefused: (422, "An input does not fit"),
    UpstreamError: (502, "The other app refused, failed or did not answer"),
    CodeFailed: (422, "The code of a step failed"),
    WorkerLost: (503, "The process that ran the code ended"),
    StepFailed: (502, "A step failed"),
    Thrown: (502, "The flow says that it failed"),
    TimedOut: (504, "What was waited for did not come in time"),
    RetryLater: (503, "Not ready yet"),
    Backlogged: (429, "Too much is queued already"),
    BlobLost: (500, "A large payload is lost"),
    StoreError: (503, "The store refused or failed"),
    OvertakenVersion: (412, "Another version was published meanwhile"),
    Conflict: (409, "It is not in the state that this needs"),
    Overruled: (409, "Somebody's edit stands"),
    TooManyHops: (409, "Our own writes go on causing one another"),
    Nondeterminism: (409, "The replay took another path"),
    Fenced: (409, "The execution was given to another worker"),
    Cancel: (409, "There is nothing to do"),
    Removed: (410, "It is removed"),
    MissingRight: (403, "You lack a right"),
    SignInRefused: (401, "You are not signed in"),
    ProviderRefused: (401, "You are not signed in"),
    TooManyAttempts: (429, "Too many attempts to sign in"),
    Stale: (412, "It was changed since you read it"),
    NotFound: (404, "There is no such thing"),
}

ApiKind = Literal[
    "BadRequest",
    "TokenRefused",
    "Forbidden",
    "PayloadsHidden",
    "RequestForged",
    "NoSuchRoute",
    "MethodNotAllowed",
    "TooLarge",
    "TooManyStreams",
    "InvalidRequest",
    "InternalError",
    "HttpError",
]
"""The kinds that are no class of an error: they and the classes are told in docs/reference/errors.md."""
HTTP_KINDS: dict[int, tuple[ApiKind, str]] = {
    400: ("BadRequest", "The request cannot be read."),
    401: ("TokenRefused", "Send the token: Authorization: Bearer …; it is in the file `token`."),
    403: ("Forbidden", "This token is not for that."),
    404: ("NoSuchRoute", "There is no such path; /api/openapi.json lists all that there are."),
    405: ("MethodNotAllowed", "The path has no such method; Allow lists those that it has."),
    413: ("TooLarge", "The body is larger than the API takes."),
    416: (
        "HttpError",
        "The range lies outside of the bytes; Content-Range says how many there are.",
    ),
    429: ("TooManyStreams", "You follow too many streams; close some of them first."),
    500: ("InternalError", "An error of ours; the server's log has it."),
}


USUAL = (401, 403, 404, 409, 422, 500, 503)
"""The statuses of the problems that any route may answer with."""


class PayloadsHidden(HTTPException):
    """Raised where the payloads of a customer are hidden from who asks."""

    def __init__(self) -> None:
        super().__init__(
            403, "You may not see payloads of this customer; an owner of the team may."
        )


def install(app: FastAPI) -> None:
    """Have the app answer every error with a problem."""

    async def halflap(request: Request, error: Exception) -> Response:
        assert isinstance(error, HalflapError)
        if isinstance(error, UpstreamError) and await is_hidden(request):
            status = "did not answer" if error.status is None else f"answered {error.status}"
            error = UpstreamError(f"The app {status}; you may not see what it said.")
        return answer_error(error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(invalid_request(error))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(methods(app, request)))
        said = error.detail if error.status_code == 403 else None
        kind = "PayloadsHidden" if isinstance(error, PayloadsHidden) else None
        return answer(plain(error.status_code, said, kind), headers)

    app.add_exception_handler(HalflapError, halflap)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


async def is_hidden(request: Request) -> bool:
    """Return whether the payloads of the customer whom a request is about are hidden from who asks."""
    customer = request.scope.get(OBJECTS, {}).get("customer")
    operations = request.app.state.operations.within(request.scope.get(PRINCIPAL, ANYBODY))
    return customer in await operations.hidden_payloads()


def answer_error(error: HalflapError) -> Response:
    """An error of the tree as the API's answer."""
    problem = of(error)
    headers: dict[str, str] = {}
    match error:
        case BlobLost():
            pass  # it does not come back by itself
        case StoreError():
            headers["Retry-After"] = "2"
        case RateLimited(retry_after=after) if after is not None:
            headers["Retry-After"] = str(max(1, round(after.total_seconds())))
        case TooManyAttempts(seconds=seconds):
            headers["Retry-After"] = str(seconds)
        case RetryLater(after=after):
            headers["Retry-After"] = str(max(1, round(after.total_seconds())))
        case _:
            pass
    if problem.status >= 500 and not isinstance(error, UpstreamError):
        log.warning("the API could not answer", kind=problem.kind, error=error.message)
    return answer(problem, headers)


def of(error: HalflapError) -> Problem:
    """An error of the tree as a problem."""
    status, title = next(STATUSES[each] for each in type(error).__mro__ if each in STATUSES)
    if isinstance(error, Rejected):
        status, title = error.status, "The request was rejected"
    if type(error) is HalflapError:
        return plain(500)
    kind = type(error).__name__
    problem = Problem(
        type=f"/errors/{kind}", title=title, status=status, detail=error.message, kind=kind
    )
    match error:
        case ConfigError(fields=fields) if fields:
            problem.fields = fields
        case DefinitionError(where=where):
            problem.where = where
        case StaleEdit(revision=revision, since=since):
            edits = since and [summary_of(each).model_dump() for each in since]
            problem.draft = {"revision": revision, "since": edits}
        case OvertakenVersion(newest=newest, lines=lines):
            base = {"number": newest.number, "hash": newest.hash}
            problem.draft = {"newest": base, "lines": lines}
        case FlowHeld(writer=writer):
            problem.draft = {"writer": WriterView.of(writer).model_dump()}
        case UpstreamError(status=said, body=body) if said is not None or body:
            problem.upstream = Upstream(status=said, body=body[:2_000])
        case _:
            pass
    return problem


def status_of(error: Exception) -> int:
    """Return the status that an error is answered with."""
    match error:
        case HalflapError():
            return of(error).status
        case HTTPException(status_code=status):
            return status
        case RequestValidationError():
            return 422
        case _:
            return 500


def plain(status: int, detail: str | None = None, kind: ApiKind | None = None) -> Problem:
    """A problem that is one of HTTP alone."""
    title = title_of(status)
    http: ApiKind = "HttpError"
    usual, said = HTTP_KINDS.get(status, (http, title))
    return Problem(
        type="about:blank", title=title, status=status, detail=detail or said, kind=kind or usual
    )


def invalid_request(error: RequestValidationError) -> Problem:
    """A request that does not have the shape of its route: every wrong field by its path."""
    fields: dict[str, str] = {}
    detail, kind = "", cast(ApiKind, "InvalidRequest")
    for each in error.errors():
        place, *path = each["loc"]
        if each["type"] == "json_invalid":
            detail = f"The body is no JSON: {each['ctx']['error']}."
        fields[".".join(map(str, path)) or str(place)] = said(each)
    listed = "; ".join(f"{name}: {message}" for name, message in fields.items())
    return Problem(
        type=f"/errors/{kind}",
        title="The request is wrong",
        status=422,
        detail=detail or f"The request is not what this route takes: {listed}",
        kind=kind,
        fields=None if detail else fields,
    )


def said(error: Mapping[str, Any]) -> str:
    """Return Pydantic's message about a field, in words where its pattern means nothing to people."""
    if error["type"] == "string_pattern_mismatch":
        return PATTERN_MESSAGES.get(error["ctx"]["pattern"], "has a character that it may not have")
    return str(error["msg"])


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """A problem as a response."""
    body = codec.encode(problem.model_dump(exclude_none=True))
    return Response(body, problem.status, dict(headers or {}), MEDIA_TYPE)


def methods(app: FastAPI, request: Request) -> set[str]:
    """The methods that a path has, over all its routes."""
    found: set[str] = set()
    for method in ("GET", "POST", "PATCH", "DELETE", "PUT"):
        scope = {**request.scope, "method": method}
        if any(each.matches(scope)[0] is Match.FULL for each in app.router.routes):
            found.add(method)
    return found


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for OpenAPI: those of all routes, and further ones."""
    return {
        each: {
            "description": HTTPStatus(each).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for each in sorted({*USUAL, *statuses})
    }
