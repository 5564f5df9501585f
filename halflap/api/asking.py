"""Shared parts of the routes: their operations, exact JSON in and out, the ways to name things."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import wraps
from typing import Annotated, Any, Literal, Protocol, TypeVar, cast

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from halflap.api import problem, repeating
from halflap.api.auditing import BODY
from halflap.api.operations import Operations
from halflap.api.principal import ANYBODY, AUDIT, OBJECTS, PRINCIPAL, Principal
from halflap.api.problem import PayloadsHidden, documented
from halflap.api.rights import Right
from halflap.api.view import TaggedView, View
from halflap.errors import ConfigError, InvalidEvent
from halflap.model import Customer, Execution, Instance, StoredConnection
from halflap.sdk import codec
from halflap.sdk.decoding import decode_json
from halflap.store.catalogue.precondition import Precondition, Stale, Tagged, expected

LARGEST_NUMBER = 2**63 - 1

LARGEST_JSON = 32 * 1024 * 1024
"""The most bytes of a request's JSON; bundles and recordings have limits of their own."""


class ExactRequest(Request):
    """A request whose JSON keeps every digit: fractions are `Decimal`."""

    async def json(self) -> Any:
        try:
            found = await decode_json(await body_of(self, LARGEST_JSON))
            self.scope[BODY] = found
            return found
        except codec.NotJson as error:
            raise json.JSONDecodeError(str(error), "", 0) from error


class ExactRoute(APIRoute):
    """A route that reads its body exactly, and says which rights it needs."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        needed = needed_by(endpoint)
        shows = {"payloads", "secrets"}.intersection(needed.rights)
        usual = "change" if options["methods"] != ["GET"] else "look" if shows else "no"
        described = {
            "x-rights": list(needed.rights),
            "x-for-customers": needed.for_customers,
            "x-audited": needed.audited or usual,
        }
        options["operation_id"] = endpoint.__name__
        extra: dict[str, Any] = {**(options.pop("openapi_extra", None) or {}), **described}
        self.changes = described["x-audited"] == "change"
        self.repeatable = options["methods"] == ["POST"] and self.changes
        self.repeatable &= not path.startswith(("/api/session", "/api/me"))
        extra["parameters"] = [repeating.PARAMETER] if self.repeatable else []
        if edits(options["methods"], path):
            extra["parameters"].append(IF_MATCH)
            options["responses"] = {**documented(412), **(options.get("responses") or {})}
        super().__init__(path, endpoint, openapi_extra=extra, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        self.dependant.call = answering(self.endpoint, self.status_code or 200)
        handle = super().get_route_handler()

        async def exactly(request: Request) -> Response:
            if not self.repeatable or repeating.HEADER not in request.headers:
                return await once(request)
            admitted(request)  # an answer that was kept, too, is for who may ask
            body = await body_of(request, LARGEST_JSON)

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": body, "more_body": False}

            answers = operations_of(request).store.catalogue.answers
            again = Request(request.scope, receive)
            return await repeating.answer_once(request, answers, body, lambda: once(again))

        async def once(request: Request) -> Response:
            wanted = tags_of(request)
            expected.set(None if wanted is None else Precondition(wanted))
            audited = request.scope[AUDIT].act() if self.changes else nullcontext()
            try:
                with audited:
                    return await handle(ExactRequest(request.scope, request.receive))
            except Stale as stale:
                now = await EDITED[stale.what](operations_of(request), stale.id)
                found = problem.of(stale)
                found.current = now.model_dump(by_alias=True)
                return problem.answer(found, {"ETag": now.etag})
            finally:
                expected.set(None)

        return exactly


def answering(
    route: Callable[..., Coroutine[Any, Any, Any]], status: int
) -> Callable[..., Coroutine[Any, Any, Response]]:
    """Return a route that answers with what it returns: a view or other JSON, nothing, or a response."""

    @wraps(route)
    async def answer(**given: Any) -> Response:
        found = await route(**given)
        if isinstance(found, Response):
            return found
        assert (found is None) == (status == 204), (
            f"{route.__name__} answers {status} with {found!r}"
        )
        return Response(status_code=status) if found is None else exact(found, status)

    return answer


def exact(found: object, status: int = 200) -> Response:
    """A view, or other JSON, as an answer that keeps every digit; with the tag of what has one."""
    plain = (
        [plain_of(each) for each in cast(list[object], found)]
        if isinstance(found, list)
        else plain_of(found)
    )
    answer = Response(codec.encode(plain), status, media_type="application/json")
    if isinstance(found, TaggedView):
        answer.headers["ETag"] = found.etag
    return answer


def plain_of(found: object) -> object:
    """Return what a view, or a value that is shown as it is, has as plain values."""
    if isinstance(found, BaseModel):
        return found.model_dump(by_alias=True)
    return asdict(found) if is_dataclass(found) and not isinstance(found, type) else found


async def json_of(body: bytes) -> Any:
    """Return what a body of any content type is as JSON; raise `InvalidEvent` where it is none."""
    try:
        return await decode_json(body)
    except codec.NotJson as error:
        raise InvalidEvent(
            f"The body is not JSON: {error}; send it as application/json."
        ) from error


async def body_of(request: Request, largest: int) -> bytes:
    """The request's body; one that is larger is refused before it is read whole."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > largest:
            raise HTTPException(413)
        parts.append(part)
    return b"".join(parts)


EDITS = re.compile(
    r"/api/(customers|instances|connections)/\{\w+}"
    r"(/(config|limits|retention|activate|redeploy|disable|upgrade|secrets/\{flow}))?"
    r"|/api/integrations/\{integration}/endpoints/\{flow}(/secret)?"
)
"""The paths at which an object is changed, if it is as `If-Match` says."""
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of what was read: where the object has another by now, 412.",
    "schema": {"type": "string"},
}


def edits(methods: Collection[str], path: str) -> bool:
    """Return whether a route changes an object of which the `ETag` may be given."""
    return "GET" not in methods and EDITS.fullmatch(path) is not None


EDITED: dict[Tagged, Callable[[Operations, str], Coroutine[Any, Any, TaggedView]]] = {}
"""By kind of object, what shows one by its id: where an edit of it is stale."""


def tags_of(request: Request) -> frozenset[str] | None:
    """Return the tags of `If-Match`; None where any object will do. A weak one never fits."""
    given = request.headers.getlist("if-match")
    if not given or given == ["*"] or not edits({request.method}, request.scope["route"].path):
        return None
    listed = ",".join(given).split(",")
    return frozenset(each.strip().removeprefix('"').removesuffix('"') for each in listed)


def expect(what: Tagged, id: str) -> None:
    """Have the change of this request made only if the object is as `If-Match` says."""
    if (wanted := expected.get()) is not None:
        wanted.what, wanted.id = what, id


Route = TypeVar("Route", bound=Callable[..., Any])
Whole = TypeVar("Whole", bound=View)


Audited = Literal["change", "look", "no"]


@dataclass(frozen=True, slots=True)
class Needed:
    """The rights that a route needs, and whether what it does, or shows, is audited."""

    rights: tuple[Right, ...]
    audited: Audited | None
    for_customers: bool = False


_needed: dict[Callable[..., Any], Needed] = {}


def needs(*rights: Right, audited: Audited | None = None) -> Callable[[Route], Route]:
    """Declare the rights that a route needs; without that it cannot be registered.

    With `for_customers` above it customers' tokens may call it too. What it does is audited as a
    change, unless it is a GET; what it shows as a look, where it needs a right to payloads or secrets.
    """

    def declare(route: Route) -> Route:
        _needed[route] = Needed(rights, audited)
        return route

    return declare


def for_customers(route: Route) -> Route:
    """Let customers' tokens call a route too; what it does is held to what is in their scope."""
    _needed[route] = replace(_needed[route], for_customers=True)
    return route


def needed_by(route: Callable[..., Any]) -> Needed:
    """Return the rights that a route needs."""
    return _needed[route]


def admitted(request: Request) -> None:
    """Refuse what a principal has no right to, before anything is looked at."""
    principal: Principal = request.scope.get(PRINCIPAL, ANYBODY)
    needed = needed_by(request.scope["route"].endpoint)
    if principal.kind == "customer" and not needed.for_customers:
        raise HTTPException(403, "This is for the team's token; yours acts for one customer.")
    missing = [each for each in needed.rights if each not in principal.rights]
    if missing == ["payloads"]:
        raise PayloadsHidden
    if missing:
        raise HTTPException(403, f"This needs the right {missing[0]!r}, which you do not have.")


def router_of(prefix: str, tag: str, *problems: int) -> APIRouter:
    """The router of a noun; `problems` are the statuses that its routes may answer with.

    It has all that its routes share, so that an app takes them as they are. What an app adds as it
    includes a router has every route made anew, on the first request.
    """
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=ExactRoute,
        responses=documented(*problems),
        dependencies=[Depends(admitted)],
        # A client that does not say what its body is means JSON; there are no cookies to steal.
        strict_content_type=False,
    )


def operations_of(request: Request) -> Operations:
    """The operations of whoever asks: what is not in its scope is not there."""
    return request.app.state.operations.within(request.scope.get(PRINCIPAL, ANYBODY))


Ops = Annotated[Operations, Depends(operations_of)]
Whose = Annotated[
    str | None,
    Query(description="The customer, by id or name, where a name alone is not enough."),
]


async def instance_of(
    request: Request, instance: str, operations: Ops, customer: Whose = None
) -> Instance:
    """The instance that a route's path names, by id or name."""
    found = await operations.instances.find(instance, customer)
    request.scope[OBJECTS] = {"instance": found.id, "customer": found.customer}
    expect("instance", found.id)
    return found


async def connection_of(
    request: Request, connection: str, operations: Ops, customer: Whose = None
) -> StoredConnection:
    """The connection that a route's path names, by id or name."""
    found = await operations.connections.find(connection, customer)
    request.scope[OBJECTS] = {"connection": found.id, "customer": found.customer}
    expect("connection", found.id)
    return found


async def customer_of(request: Request, customer: str, operations: Ops) -> Customer:
    """The customer that a route's path names: by id, by name, or as `external:` and your own id."""
    found = await operations.catalogue.customers.get(customer)
    request.scope[OBJECTS] = {"customer": found.id}
    expect("customer", found.id)
    return found


async def execution_of(request: Request, execution: str, operations: Ops) -> Execution:
    """The execution that a route's path names, by id; `last` is the newest."""
    found = await operations.executions.find(execution)
    request.scope[OBJECTS] = {"execution": found.id, "customer": found.flow.customer}
    return found


async def readable_execution(operations: Ops, found: OneExecution) -> Execution:
    """The execution that a route's path names, if its payload is not hidden from who asks."""
    await check_payload(operations, found.flow.customer)
    return found


async def check_payload(operations: Operations, customer: str | None) -> None:
    """Raise `PayloadsHidden` where a customer's payloads are hidden from who asks."""
    if customer in await operations.hidden_payloads():
        raise PayloadsHidden


async def visible(operations: Operations, view: Whole, customer: str) -> Whole:
    """Return a view of what is a customer's, without its payload where that is hidden from who asks."""
    return view.without_payload() if customer in await operations.hidden_payloads() else view


OneInstance = Annotated[Instance, Depends(instance_of)]
OneConnection = Annotated[StoredConnection, Depends(connection_of)]
OneCustomer = Annotated[Customer, Depends(customer_of)]
OneExecution = Annotated[Execution, Depends(execution_of)]
ReadableExecution = Annotated[Execution, Depends(readable_execution)]
LARGEST_PAGE, USUAL_PAGE = 1_000, 50
After = Annotated[str | None, Query(description="The `next` of the page before.")]
Before = After
"""The same, of a list whose newest is first."""
PageSize = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many of them at most.")]

Total = Annotated[bool, Query(description="Count them, too.")]
Search = Annotated[
    str | None,
    Query(
        description="What a name, or the customer's external id, contains; or an id.",
        max_length=200,
    ),
]
Wait = Annotated[
    float,
    Query(ge=0, le=600, description="Seconds to wait until it is settled."),
]


class Identified(Protocol):
    """An object that has an id."""

    @property
    def id(self) -> str:
        """The id by which it is found."""
        ...


def last_id(found: Sequence[Identified], limit: int) -> str | None:
    """Return by what the page after one is asked for: None where this was the last."""
    return found[-1].id if len(found) == limit else None


def chosen(text: str, states: Sequence[str], field: str = "state") -> tuple[str, ...]:
    """Return the words of a few that a text names by commas; another one is a `ConfigError`."""
    named = tuple(each.strip() for each in text.split(",") if each.strip())
    unknown = [each for each in named if each not in states]
    if unknown:
        raise ConfigError(
            f"there is no {field} {unknown[0]!r}; there are: {', '.join(states)}",
            fields={field: f"is none of {', '.join(states)}"},
        )
    return named
