"""The hook path, a bare ASGI app: `/hooks/<id>` for any method, path, query and content type."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from halflap.errors import HalflapError, NotFound, Rejected, StoreError
from halflap.gateway.answer import Answer, answer_for, encode_reply, nothing_here, problem
from halflap.gateway.intake import cut, dedupe_of, kept, pick, said, wanted, with_body
from halflap.gateway.route import Find, Intake, Route
from halflap.model import (
    SEALED,
    SEALED_HEADERS,
    Chance,
    Clock,
    Event,
    Micros,
    Order,
    Rejection,
    Start,
    new_id,
    random_bits,
    to_datetime,
)
from halflap.sdk.pairs import order_of
from halflap.sdk.request import Headers, Request, decompress
from halflap.sdk.trigger import FlowResult, Reply

log = structlog.get_logger("halflap.gateway")

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PREFIX = "/hooks/"
BACKLOG = "too many events wait to be processed; send this one again later"
BACKLOG_SECONDS = 10
LARGEST_BODY = 6 * 1024 * 1024
A_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+").fullmatch
NOT_A_VALUE = re.compile(r"[\x00-\x1f\x7f]")


class Gateway:
    """Takes requests to endpoints; every one ends in exactly one answer."""

    def __init__(
        self,
        find: Find,
        engine: Intake,
        clock: Clock,
        *,
        reject: Callable[[Rejection], None],
        count: Callable[[str, str, str], None],
        body_bytes: int = LARGEST_BODY,
        chance: Chance = random_bits,
        is_full: Callable[[str, int], Awaitable[bool]] | None = None,
    ) -> None:
        """`reject` and `count` note what was not accepted; they do not wait for a commit.

        `is_full` says whether a customer has too much queued to accept so many more.
        """
        self._find = find
        self._engine = engine
        self._clock = clock
        self._reject = reject
        self._count = count
        self._body_bytes = body_bytes
        self._chance = chance
        self._is_full = is_full

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        if body is None:
            return  # the sender went away: there is no complete request
        answer = await self._answer(scope, body)
        await respond(send, answer, head=scope["method"] == "HEAD")

    async def _answer(self, scope: Message, body: bytes) -> Answer:
        endpoint, _, rest = scope["path"].removeprefix(PREFIX).partition("/")
        route = None
        try:
            route = await self._find(endpoint)
            if route is None or scope["method"] not in route.declaration.methods:
                return nothing_here()
            request = self._request(route, scope, body, f"/{rest}" if rest else "")
            return await self._receive(route, request)
        except Rejected as error:
            if route is not None:
                self._note(route, error, scope)
            return problem(error.status)
        except StoreError as error:
            log.error("not accepted: the store failed", endpoint=endpoint, error=str(error))
            return problem(503, retry_after=2)
        except HalflapError:
            log.exception("not accepted: the integration's definition failed", endpoint=endpoint)
            return problem(503, retry_after=30)
        except Exception:
            log.exception("not accepted: an author's code or ours failed", endpoint=endpoint)
            return problem(503, retry_after=30)

    def _request(self, route: Route, scope: Message, body: bytes, rest: str) -> Request:
        headers = Headers((n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"])
        query = scope["query_string"].decode("latin-1")
        return Request(
            method=scope["method"],
            path=rest,
            query=query,
            headers=headers,
            body=body,
            url=f"{route.url}{rest}{'?' if query else ''}{query}",
            received_at=to_datetime(self._clock()),
        )

    async def _receive(self, route: Route, request: Request) -> Answer:
        declared = route.declaration
        limit = declared.body_limit or self._body_bytes
        if len(request.body) > limit:
            raise Rejected("the body is larger than the trigger allows", status=413)
        if declared.verify is not None:
            declared.verify.verify(request, route.secrets, request.received_at)
        request = plain(request, declared.decompress, limit)
        if declared.handshake is not None:
            reply = pick(declared.handshake, request)
            if reply is not None:
                self._count(route.flow.instance, route.flow.flow, "handshake")
                return encode_reply(reply)
        starts = self._starts(route, request)
        if not starts:
            sync = isinstance(declared.answer, FlowResult)
            return encode_reply(Reply()) if sync else answer_for(declared.answer, request, ())
        if isinstance(declared.answer, FlowResult) and not route.settled:
            return problem(503, retry_after=5)
        flow = route.flow
        if self._is_full is not None and await self._is_full(flow.customer, len(starts)):
            self._count(flow.instance, flow.flow, "refused: backlog")
            return problem(429, detail=BACKLOG, retry_after=BACKLOG_SECONDS)
        started = await self._engine.start(starts)
        if isinstance(declared.answer, FlowResult):
            return await self._result(
                started[0].duplicate_of or started[0].execution, declared.answer
            )
        return answer_for(declared.answer, request, started)

    def _starts(self, route: Route, request: Request) -> list[Start]:
        declared = route.declaration
        now = self._clock()
        starts: list[Start] = []
        for part in cut(declared.split, request):
            if not wanted(route.definition.filter, part):
                self._count(route.flow.instance, route.flow.flow, "filtered")
                continue
            execution = new_id("exe", now=now, chance=self._chance())
            key = said(declared.key, part)
            starts.append(
                Start(
                    execution=execution,
                    flow=route.flow,
                    event=event_of(part, route, now),
                    root=execution,
                    dedupe=dedupe_of(declared, part, request),
                    key=key,
                    order=order_by(route, part, key),
                )
            )
        return starts

    async def _result(self, execution: str, awaited: FlowResult) -> Answer:
        try:
            outcome = await self._engine.outcome(execution, awaited.within.total_seconds())
        except NotFound:  # the first of its duplicates, and no longer kept
            outcome = None
        return answer_for(awaited, None, (), execution=execution, outcome=outcome)

    def _note(self, route: Route, error: Rejected, scope: Message) -> None:
        headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1")[:500])
            for name, value in scope["headers"]
            if name.lower().decode("latin-1") not in SEALED_HEADERS
        )
        self._reject(Rejection(route.endpoint, self._clock(), error.message, error.status, headers))


def order_by(route: Route, part: Request, key: str | None) -> Order | None:
    """The order that the flow declares; that of a paired record has the events of either side."""
    pairs, side, order = route.definition.pairs, route.definition.side, route.definition.order
    if order is not None:
        if callable(order.by_key):
            key = said(order.by_key, part)
        if order.by_key and not key:
            return None
        return order.of(route.flow.instance, route.flow.flow, key if order.by_key and key else "")
    if pairs is None or side is None or key is None:
        return None
    return order_of(route.flow.instance, pairs, side, key)


def plain(request: Request, allowed: bool, cap: int) -> Request:
    """The request with its content encoding undone, where the trigger allows that."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return request
    if not allowed:
        raise Rejected(
            f"the trigger takes no Content-Encoding, and the body is {encoding}", status=415
        )
    return with_body(request, decompress(request.body, encoding, cap))


def event_of(request: Request, route: Route, now: Micros) -> Event:
    """The request as it is kept: credentials in its headers sealed, fields cut to `keep=`."""
    headers = tuple(
        (name, SEALED + route.seal(value)) if name.lower() in SEALED_HEADERS else (name, value)
        for name, value in request.headers.raw
    )
    keep = route.definition.keep
    return Event(
        method=request.method,
        path=request.path,
        query=request.query,
        headers=headers,
        body=request.body if keep is None else kept(request.body, keep),
        received_at=now,
        url=request.url,
        part=request.part,
    )


async def read_body(receive: Receive) -> bytes | None:
    """The whole body; None where the sender went away before its end."""
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    if not message.get("more_body"):
        return message.get("body", b"")
    parts = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
    return b"".join(parts)


async def respond(send: Send, answer: Answer, *, head: bool) -> None:
    """Send an answer."""
    status, headers, body = answer
    if status in (204, 304):
        body = b""  # they have none: what followed would be read as the next answer
    await send({"type": "http.response.start", "status": status, "headers": encoded(headers, body)})
    await send({"type": "http.response.body", "body": b"" if head else body})


def encoded(headers: Mapping[str, str], body: bytes) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI wants them, with the length."""
    # What a flow answers may hold what a sender wrote: no line of it becomes a header of ours.
    raw = [
        (name.lower().encode(), NOT_A_VALUE.sub(" ", value).encode("latin-1", "replace"))
        for name, value in headers.items()
        if A_NAME(name)
    ]
    raw.append((b"content-length", str(len(body)).encode()))
    return raw
