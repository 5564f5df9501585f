"""Auditing: an entry for what a request changed, tried to change or showed, before it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, cast, get_args
from urllib.parse import parse_qsl

import structlog
from fastapi.routing import APIRoute
from pydantic import BaseModel, SecretStr

from halflap.api import problem
from halflap.api.principal import ACT, ANYBODY, AUDIT, CUSTOMERS, OBJECTS, PRINCIPAL, Principal
from halflap.api.view import CustomerValue
from halflap.errors import HalflapError
from halflap.model import AuditEntry
from halflap.sdk import codec
from halflap.sdk.redact import HIDDEN
from halflap.store.act import Act, acts
from halflap.store.catalogue.audit import AuditLog

log = structlog.get_logger("halflap.api")

Message = Any
Send = Callable[[Message], Awaitable[None]]

BODY = "halflap.body"
"""The key of a request's JSON."""
SOUGHT = frozenset({"q", "reason"})
"""Names in a query of texts that are looked for: they are values that somebody knows of."""
REPLAYED = "Idempotent-Replayed"
"""The header of an answer that was given before, and the key of that in a request's scope."""
LONGEST_TEXT = 200
MOST_VALUES = 50
LARGEST_ANSWER = 64 * 1024
"""The most bytes of an answer in which the id of what was made is looked for."""
MADE = ("id", "execution", "hash")
"""The fields of an answer that name what was made."""


_late: set[asyncio.Task[None]] = set()


class AuditedSend:
    """Sends an answer, once the entry for it is on disk; a problem instead, where that fails.

    What a request changes has its entry from the same transaction on, without a status (0) until it is
    answered: so where its process ends before, or its client leaves, the log tells of it all the same.

    Where the store does not answer (503), the entry is written once it does.
    """

    def __init__(self, log: AuditLog, scope: Message, send: Send) -> None:
        self._log = log
        self._scope = scope
        self._send = send
        self._start: Message | None = None
        self._added = False
        self._refused = False
        self._act: Act | None = None
        self._begun: AuditEntry | None = None
        scope[AUDIT] = self

    @contextmanager
    def act(self) -> Generator[None]:
        """Have the entry of this request written with the first change that is made in the block."""
        self._begun = self._entry(0)
        self._act = self._log.begin(partial(self._entry, 0))
        acts.set((self._act,))
        try:
            yield
        finally:
            self._act.ended = True
            acts.set(())

    async def add_before(self) -> None:
        """Add the entry of a request ahead of its answer, as of one that succeeds."""
        await self._add(200, b"")
        self._added = True

    async def __call__(self, message: Message) -> None:
        begins = message["type"] == "http.response.start" and not self._added
        if begins and self._is_audited(message["status"]):
            self._start = message
            return
        if (start := self._start) is not None:
            self._start, self._added = None, True
            adding = self._add(start["status"], message.get("body", b""))
            try:
                if start["status"] == 503:
                    _add_later(adding)
                else:
                    await adding
            except HalflapError as error:
                self._refused = True
                await problem.answer_error(error)(self._scope, _nothing, self._send)
            else:
                await self._send(start)
        if not self._refused:
            await self._send(message)

    def _is_audited(self, status: int) -> bool:
        """Return whether an answer has an entry: a change or a refusal, or what a member looked at."""
        route, principal = self._scope.get("route"), self._principal
        if status == 403 or (self._act is not None and self._act.written):
            return True
        if not isinstance(route, APIRoute) or status in (400, 404, 405, 409, 412, 413, 422, 429):
            return False
        described = (route.openapi_extra or {}).get("x-audited")
        if described == "change" or ACT in self._scope:
            return True
        return described == "look" and principal.kind in ("user", "key") and status < 300

    @property
    def _principal(self) -> Principal:
        return self._scope.get(PRINCIPAL, ANYBODY)

    async def _add(self, status: int, body: bytes) -> None:
        await self._log.add(self._entry(status, body))

    def _entry(self, status: int, body: bytes = b"") -> AuditEntry:
        """Return the entry of this request, of which the same one is begun and completed."""
        scope, principal = self._scope, self._principal
        route = scope.get("route")
        answer = answered(status, body)
        objects = {**scope.get("path_params", {}), **scope.get(OBJECTS, {})}
        named = [principal.customer, objects.get("customer"), answer.get("customer")]
        customer = next((each for each in named if isinstance(each, str)), None)
        operation = route.name if isinstance(route, APIRoute) else scope["path"][:LONGEST_TEXT]
        operation = scope.get(ACT, operation)
        if status == 201 and (made := next((answer[e] for e in MADE if e in answer), None)):
            objects["made"] = made
        kind, actor, label = principal.kind, principal.id, principal.label
        user: Any = answer.get("user")
        if isinstance(user, dict) and principal is ANYBODY:  # who has just signed in
            signed_in = cast(dict[str, str], user)
            kind, actor, label = "user", signed_in["id"], signed_in["email"]
        entry = self._log.entry(
            kind=kind,
            actor=actor,
            label=label,
            address=scope["client"][0] if scope.get("client") else "",
            operation=operation,
            customer=customer,
            objects={name: str(each) for name, each in objects.items() if each is not None},
            status=status,
            customers=tuple(sorted(scope.get(CUSTOMERS, ()))),
            changes={
                **(sent(route, scope) if isinstance(route, APIRoute) else {}),
                **({REPLAYED: True} if REPLAYED in scope else {}),
            },
        )
        begun = self._begun
        return entry if begun is None else replace(entry, id=begun.id, at=begun.at)


async def audit_look(log: AuditLog, scope: Message, **objects: str) -> None:
    """Add an entry for what a member is shown within an answer that has begun, with what it is about."""
    if scope.get(PRINCIPAL, ANYBODY).kind in ("user", "key"):
        shown = {**scope, OBJECTS: {**scope.get(OBJECTS, {}), **objects}}
        await AuditedSend(log, shown, _unsent)._add(200, b"")


def _add_later(adding: Coroutine[Any, Any, None]) -> None:
    async def add() -> None:
        try:
            await adding
        except HalflapError as error:
            log.error("a request is not in the audit log: the store failed", error=error.message)

    task = asyncio.create_task(add(), name="late audit")
    _late.add(task)
    task.add_done_callback(_late.discard)


async def _unsent(_: Message) -> None:
    raise AssertionError("an entry alone is no answer")


async def _nothing() -> Message:
    raise AssertionError("an answer reads nothing")


def answered(status: int, body: bytes) -> dict[str, Any]:
    """Return the fields of an answer that succeeded; none of what is large or no object."""
    if status >= 300 or len(body) > LARGEST_ANSWER or body[:1] != b"{":
        return {}
    try:
        return codec.decode(body)
    except codec.NotJson:
        return {}


def sent(route: APIRoute, scope: Message) -> dict[str, Any]:
    """Return what a request asked for, without secrets and payloads: its query, and its body's fields."""
    known = {each.alias for each in route.dependant.query_params}
    query = parse_qsl(scope["query_string"].decode("ascii", "replace"))
    found: dict[str, Any] = {
        name: f"{len(each)} characters" if name in SOUGHT else short(each)
        for name, each in query
        if name in known
    }
    models = [each.field_info.annotation for each in route.dependant.body_params]
    body = scope.get(BODY)
    if models and (model := model_of(models[0])) is not None and isinstance(body, dict):
        found |= fields_of(model, cast(dict[str, Any], body))
    return found


def fields_of(model: type[BaseModel], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a body as they are audited: of what may be any JSON, at most names."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key not in body:
            continue
        value, inner = body[key], model_of(field.annotation)
        is_payload = field.annotation is Any and not isinstance(body[key], dict)
        hides = is_payload or any(isinstance(each, CustomerValue) for each in field.metadata)
        if hides or mentions(field.annotation, SecretStr):
            found[key] = HIDDEN
        elif inner is not None and isinstance(value, dict):
            found[key] = fields_of(inner, cast(dict[str, Any], value))
        else:
            found[key] = short(value)
    return found


def short(value: object) -> Any:
    """Return a value as it is audited: of a mapping its names alone, as its values may be secret."""
    match value:
        case dict():
            return sorted(map(str, cast(dict[str, Any], value)))[:MOST_VALUES]
        case list():
            return [short(each) for each in cast(list[object], value)[:MOST_VALUES]]
        case str():
            return value[:LONGEST_TEXT]
        case Decimal():
            return str(value)
        case _:
            return value


def model_of(annotation: Any) -> type[BaseModel] | None:
    """Return the model of an annotation such as `Draft | None`; None where there is none."""
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for each in get_args(annotation) if (found := model_of(each))), None)


def mentions(annotation: Any, kind: type) -> bool:
    """Return whether an annotation is, or has in it, a type."""
    return annotation is kind or any(mentions(each, kind) for each in get_args(annotation))
