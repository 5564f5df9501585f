"""The hook path, a bare ASGI app: `/hooks/<id>` for any method, path, query and content type."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

import structlog

from halflap.errors import (
    Backlogged,
    ConfigError,
    FilterFailed,
    HalflapError,
    NotFound,
    Rejected,
    StoreError,
    Unrouted,
)
from halflap.gateway.answer import Answer, answer_for, encode_reply, nothing_here, problem
from halflap.gateway.large import (
    Gone,
    check_large,
    read_body,
    rest_of,
    taken,
    too_large,
)
from halflap.gateway.route import AppRoute, EndpointRoute, Find, Intake, Large, Receivers
from halflap.model import (
    Chance,
    Clock,
    Event,
    FlowKey,
    Micros,
    Rejection,
    Start,
    Started,
    new_id,
    owner_of,
    random_bits,
    to_datetime,
)
from halflap.sdk import codec
from halflap.sdk.compatibility import as_published
from halflap.sdk.deadline import Deadline
from halflap.sdk.declared import (
    FILTER_FAILED,
    as_event,
    marked,
    pick,
    said,
    sealed_headers,
    wants,
)
from halflap.sdk.decoding import INLINE, apart, predecode
from halflap.sdk.dedupe import dedupe_of
from halflap.sdk.event_type import takes
from halflap.sdk.payload import Payload
from halflap.sdk.proof import begin
from halflap.sdk.request import (
    Headers,
    Request,
    constant,
    copied,
    decompress,
    header,
    pointer,
    query,
)
from halflap.sdk.signature import Signature, Verifier
from halflap.sdk.trigger import Declaration, FlowResult, Reply
from halflap.store.pulse import Pulse

log = structlog.get_logger("halflap.gateway")

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PREFIX = "/hooks/"
BACKLOG = "too many events wait to be processed; send this one again later"
BACKLOG_SECONDS = 10
NO_ACCOUNT = "the event names no account"
LARGEST_BODY = 6 * 1024 * 1024
IN_MEMORY = 8 * 1024 * 1024
STORE_SECONDS = 8.0
"""Seconds that a request waits for the store before it is answered 503: senders often give up after
10.
"""


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
        large: Large | None = None,
        in_memory: int = IN_MEMORY,
        pulse: Pulse | None = None,
        store_seconds: float = STORE_SECONDS,
    ) -> None:
        """`reject` and `count` note what was not accepted; they do not wait for a commit.

        `is_full` says whether a customer has too much queued to accept so many more. Where there is
        something that takes `large` bodies, those of more than `in_memory` bytes are handed to it
        as they come, and never held. `store_seconds` is how long a request waits for the store; while
        that is known by its `pulse` to hang, requests are refused at once.

        `answers` counts answers by status, `events` what became of events.
        """
        self._find = find
        self._engine = engine
        self._clock = clock
        self._reject = reject
        self._count = count
        self._body_bytes = body_bytes
        self._chance = chance
        self._is_full = is_full
        self._large = large
        self._in_memory = body_bytes if large is None else in_memory
        self._store_seconds = store_seconds
        self._pulse = pulse
        self._outage = Outage()
        self.answers: Counter[int] = Counter()
        self.events: Counter[str] = Counter()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            body, more = await read_body(receive, self._in_memory)
            rest = rest_of(body, receive) if more else None
            answer = await self._answer(scope, body, rest)
        except Gone:
            return  # there is no complete request
        self.answers[answer[0]] += 1
        await respond(send, answer, head=scope["method"] == "HEAD")

    async def _answer(
        self, scope: Message, body: bytes, large: AsyncIterator[bytes] | None = None
    ) -> Answer:
        endpoint, _, rest = scope["path"].removeprefix(PREFIX).partition("/")
        route, deadline = None, Deadline(self._store_seconds)
        if self._pulse is not None and self._pulse.is_lost:
            return problem(503, retry_after=2)
        try:
            with deadline:
                route = await self._find(endpoint)
                if route is None or scope["method"] not in (declared := route.declaration).methods:
                    return nothing_here()
                if declared.app_events is not None:
                    return nothing_here()  # it is given what the product publishes, and no requests
                path = f"/{rest}" if rest else ""
                is_app = isinstance(route, AppRoute)
                with as_published(is_app or route.definition.trigger.is_published):
                    if large is not None:
                        if is_app:
                            raise too_large(None, self._in_memory, declared.body_limit)
                        head = self._request(route, scope, b"", path)
                        return await self._receive_large(route, head, large, deadline)
                    request = self._request(route, scope, body, path)
                    return await self._receive(route, request, deadline)
        except Gone:
            raise
        except asyncio.CancelledError:
            if not deadline.is_over:
                raise
            if self._pulse is not None:
                self._pulse.lose()
            return problem(503, retry_after=2)
        except Rejected as error:
            if route is not None:
                self.events["rejected"] += 1
                self._note(route, error, scope)
            detail = error.message if error.tells or error.status == 413 else ""
            return problem(error.status, detail=detail)
        except StoreError as error:
            self._outage.note(endpoint, str(error))
            return problem(503, retry_after=2)
        except HalflapError as error:
            if isinstance(error, NotFound) and route is not None:
                # The customer was erased meanwhile; others may take the same event.
                return (
                    problem(503, retry_after=2) if isinstance(route, AppRoute) else nothing_here()
                )
            log.exception("not accepted: the integration's definition failed", endpoint=endpoint)
            return problem(503, retry_after=30)
        except Exception:
            log.exception("not accepted: an author's code or ours failed", endpoint=endpoint)
            return problem(503, retry_after=30)

    def _request(
        self, route: EndpointRoute | AppRoute, scope: Message, body: bytes, rest: str
    ) -> Request:
        headers = headers_of(scope)
        query = scope["query_string"].decode("latin-1")
        return Request(
            method=scope["method"],
            path=rest,
            query=query,
            headers=headers,
            body=body,
            url=f"{route.url}{raw_rest(scope, rest)}{'?' if query else ''}{query}",
            received_at=to_datetime(self._clock()),
        )

    async def _receive(
        self, route: EndpointRoute | AppRoute, request: Request, deadline: Deadline
    ) -> Answer:
        declared = route.declaration
        size, limit = len(request.body), declared.body_limit or self._body_bytes
        if size > limit:
            raise too_large(size, limit, declared.body_limit)
        deadline.pause()  # a large body may wait for others to be decoded, not for the store
        if declared.handshake is not None and request.method == "OPTIONS":
            return self._consent(route, request)
        if (verifier := declared.verify) is not None:
            signed = (request, route.secrets, request.received_at)
            verifier.verify(*signed) if size <= INLINE else await verify_large(verifier, *signed)
        if request.headers.get("content-encoding"):
            request = await plain(request, declared.decompress, limit)
        if len(request.body) > INLINE:
            await predecode(request, reads_of(route))
        if declared.handshake is not None:
            reply = pick(declared.handshake, request)
            if reply is not None:
                return self._shaken(route, reply)
        if isinstance(route, AppRoute):
            deadline.resume()
            return await self._fan_out(route, request)
        starts = await self._starts(route, request)
        if not starts:
            return unwanted(declared, request)
        if isinstance(declared.answer, FlowResult) and not route.settled:
            return problem(503, retry_after=5)
        deadline.resume()
        if await self._has_no_room([each.flow for each in starts]):
            return problem(429, detail=BACKLOG, retry_after=BACKLOG_SECONDS)
        started = await self._start(starts)
        return await self._accepted(declared, request, started, deadline)

    def _consent(self, route: EndpointRoute | AppRoute, request: Request) -> Answer:
        """Answer a sender that asks whether it may send: unsigned, and never an event."""
        assert route.declaration.handshake is not None
        reply = pick(route.declaration.handshake, request)
        return nothing_here() if reply is None else self._shaken(route, reply)

    def _shaken(self, route: EndpointRoute | AppRoute, reply: Reply) -> Answer:
        self.events["handshake"] += 1
        if isinstance(route, EndpointRoute):
            self._count(route.flow.instance, route.flow.flow, "handshake")
        return encode_reply(reply)

    async def _fan_out(self, route: AppRoute, request: Request) -> Answer:
        """Accept an event of the team's OAuth app for each flow that takes it, in one transaction.

        A customer that has too much queued gets it all the same: a 429 would have the app send it
        again to all, and in the end stop sending to anybody, for one account whose receivers are full.
        """
        starts, unrouted = await self._routed(route, cut(route.declaration.split, request))
        for account, part, reason in unrouted:  # first: one that is sent again is kept once
            self.events["unrouted"] += 1
            await route.keep(account, part, reason)
        started = await self._start(starts) if starts else ()
        return answer_for(route.declaration.answer, request, started)

    async def redeliver(self, endpoint: str, request: Request) -> int:
        """Start the flows that take an unrouted event by now; returns how many.

        Raises `Unrouted` where there is still none, and `NotFound` where the endpoint is gone.
        """
        route = await self._find(endpoint)
        if not isinstance(route, AppRoute):
            raise NotFound("the OAuth app to which this was sent is there no more")
        starts, unrouted = await self._routed(route, [request])
        if unrouted:
            raise Unrouted(unrouted[0][2])
        if not starts:
            return 0
        return sum(each.duplicate_of is None for each in await self._start(starts))

    async def publish(
        self, routes: Sequence[EndpointRoute], events: Sequence[tuple[str | None, Request]]
    ) -> list[list[Started]]:
        """Accept events of the team's own product, each with its type, in one transaction.

        Returns for each event what it started at the flows among these routes that take its type; one
        without a type is for all of them. Raises `Backlogged` where their customer has too much queued.
        """
        found: list[list[Start]] = []
        for number, (type, request) in enumerate(events):
            if number % 10 == 9:
                await asyncio.sleep(0)
            taking = [
                each
                for each in routes
                if type is None or takes(each.declaration.app_events or (), type)
            ]
            found.append([start for each in taking for start in await self._starts(each, request)])
        starts = [start for each in found for start in each]
        if len(starts) > MAX_PARTS:
            raise ConfigError(
                f"the events would start {len(starts):,} executions; send fewer at once"
            )
        if not starts:
            return [[] for _ in events]
        if await self._has_no_room([each.flow for each in starts]):
            raise Backlogged(timedelta(seconds=BACKLOG_SECONDS), BACKLOG)
        started = iter(await self._start(starts))
        return [[next(started) for _ in each] for each in found]

    async def _routed(
        self, route: AppRoute, parts: Iterable[Request]
    ) -> tuple[list[Start], list[tuple[str, Request, str]]]:
        """Return what events start, and those that nobody takes: account, event and reason."""
        starts: list[Start] = []
        unrouted: list[tuple[str, Request, str]] = []
        for part in parts:
            account = said(route.app.account, part) or ""
            found = await route.receivers(account) if account else Receivers((), NO_ACCOUNT)
            if found.unrouted:
                unrouted.append((account, part, found.unrouted))
            for number, each in enumerate(found.routes):
                if number % 50 == 49:
                    await asyncio.sleep(0)
                starts += await self._starts(each, part)
        return starts, unrouted

    async def _start(self, starts: Sequence[Start]) -> Sequence[Started]:
        started = await self._engine.start(starts)
        for each in started:
            self.events["accepted" if each.duplicate_of is None else "duplicate"] += 1
        return started

    async def _receive_large(
        self,
        route: EndpointRoute,
        head: Request,
        chunks: AsyncIterator[bytes],
        deadline: Deadline,
    ) -> Answer:
        """Take a body that is not held: kept and verified as it comes, then accepted or removed."""
        if self._large is None:
            raise too_large(None, self._in_memory, None)
        declared = route.declaration
        limit = declared.body_limit or self._body_bytes
        size = check_large(route, head, limit)
        if isinstance(declared.answer, FlowResult) and not route.settled:
            return problem(503, retry_after=5)
        if await self._has_no_room([flow_of(route, head)]):
            return problem(429, detail=BACKLOG, retry_after=BACKLOG_SECONDS)
        proof = begin(declared.verify, head, route.secrets, head.received_at)
        execution = new_id("exe", now=self._clock(), chance=self._chance())
        chunks = taken(chunks, proof, limit, declared.body_limit)
        deadline.pause()  # the edge holds the sender to its speed
        blob = await self._large.receive(route.flow.customer, execution, chunks, size)
        try:
            proof.check()
            kind = head.content_type or "application/octet-stream"
            request = copied(head, Payload(blob, kind))
            starts = await self._starts(route, request, execution)
            if not any(each.event.large for each in starts):
                await self._large.discard(blob)
        except BaseException:
            await self._large.discard(blob)
            raise
        if not starts:
            return unwanted(declared, request)
        # Where this fails, the execution may be there all the same: what nobody has is swept up.
        deadline.resume()
        started = await self._start(starts)
        if all(each.duplicate_of is not None for each in started):
            await self._large.discard(blob)
        return await self._accepted(declared, request, started, deadline)

    async def _has_no_room(self, flows: Sequence[FlowKey]) -> bool:
        """Return whether a customer, or a sender to a shared endpoint, has too much queued already."""
        if self._is_full is None:
            return False
        wanted: dict[str, int] = {}
        for each in flows:
            owner = each.instance if each.is_shared else each.customer
            wanted[owner] = wanted.get(owner, 0) + 1
        for owner, count in wanted.items():
            if await self._is_full(owner, count):
                self.events["backlog"] += len(flows)
                self._count(flows[0].instance, flows[0].flow, "refused: backlog")
                return True
        return False

    async def _accepted(
        self,
        declared: Declaration,
        request: Request,
        started: Sequence[Started],
        deadline: Deadline,
    ) -> Answer:
        if isinstance(declared.answer, FlowResult):
            deadline.pause()
            return await self._result(
                started[0].duplicate_of or started[0].execution, declared.answer
            )
        return answer_for(declared.answer, request, started)

    async def _starts(
        self, route: EndpointRoute, request: Request, execution: str | None = None
    ) -> list[Start]:
        declared = route.declaration
        now = self._clock()
        starts: list[Start] = []
        for number, part in enumerate(cut(declared.split, request)):
            if number % 100 == 99:
                await asyncio.sleep(0)
            wanted, failed = wants(route.definition, part)
            if not wanted:
                self.events["filtered"] += 1
                self._count(route.flow.instance, route.flow.flow, "filtered")
                continue
            if execution is None or part is not request:
                execution = new_id("exe", now=now, chance=self._chance())
            key = said(declared.key, part)
            starts.append(
                Start(
                    execution=execution,
                    flow=flow_of(route, part),
                    event=event_of(part, route, now, failed),
                    root=execution,
                    dedupe=dedupe_of(declared, part, request),
                    key=key,
                    order=route.definition.order_of(route.flow.instance, key, said, part),
                )
            )
        return starts

    async def _result(self, execution: str, awaited: FlowResult) -> Answer:
        waiting = self._engine.outcome(execution, awaited.within.total_seconds())
        try:
            outcome = await (waiting if self._pulse is None else self._pulse.attend(waiting))
        except (NotFound, StoreError):  # a duplicate that is no longer stored; a store that hangs
            outcome = None
        return answer_for(awaited, None, (), execution=execution, outcome=outcome)

    def _note(self, route: EndpointRoute | AppRoute, error: Rejected, scope: Message) -> None:
        sent = headers_of(scope)
        secret = set(route.secret_headers(sent))
        headers = tuple((each[0], each[1][:500]) for each in sent.raw if each not in secret)
        self._reject(Rejection(route.endpoint, self._clock(), error.message, error.status, headers))


def raw_rest(scope: Message, rest: str) -> str:
    """Return what follows the endpoint's address as the sender wrote it: a signature may cover it."""
    raw = scope.get("raw_path", b"").decode("latin-1")
    if not rest and not raw.endswith("/"):
        return ""
    raw = "/".join(["", *raw.split("/", 3)[3:]])
    return raw if unquote(raw) == rest or raw == "/" else quote(rest)


def headers_of(scope: Message) -> Headers:
    """Return the headers of a request, as ASGI has it."""
    return Headers([(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]])


def flow_of(route: EndpointRoute, request: Request) -> FlowKey:
    """The flow that takes a request: of a shared endpoint, with the sender's own place in the queue."""
    how = route.definition.preprocess
    sender = None if how is None or how.sender is None else said(how.sender, request)
    if not sender:
        return route.flow
    return replace(route.flow, instance=owner_of(route.flow.integration, sender))


def unwanted(declared: Declaration, request: Request) -> Answer:
    """The answer to a request of which no flow wants anything."""
    if isinstance(declared.answer, FlowResult):
        return encode_reply(Reply())
    return answer_for(declared.answer, request, ())


async def verify_large(
    verifier: Verifier, request: Request, secrets: Sequence[str], now: datetime
) -> None:
    """Raise `Rejected` unless a large request is genuine; what that takes stops no other."""
    if isinstance(verifier, Signature):
        await apart(verifier.verify, request, secrets, now)
    else:  # it may read the body
        await predecode(request)
        verifier.verify(request, secrets, now)


def reads_of(route: EndpointRoute | AppRoute) -> list[str] | None:
    """Return the pointers by which declared functions read the body; None where any may read all."""
    if isinstance(route, AppRoute):
        return None
    declared, flow = route.declaration, route.definition
    order = None if flow.order is None else flow.order.by_key
    sender = None if flow.preprocess is None else flow.preprocess.sender
    answer = None if isinstance(declared.answer, Reply | FlowResult) else declared.answer
    asked = (declared.takes, flow.filter)
    functions = (declared.handshake, declared.split, declared.dedupe, declared.key, *asked)
    reading = [
        each
        for each in (*functions, order, sender, answer)
        if callable(each) and not isinstance(each, header | query | constant)
    ]
    pointers = [each.path for each in reading if isinstance(each, pointer)]
    return None if flow.keep is not None or len(pointers) < len(reading) else pointers


async def plain(request: Request, allowed: bool, cap: int) -> Request:
    """The request with its content encoding undone, where the trigger allows that."""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return request
    if not allowed:
        raise Rejected(
            f"the trigger takes no Content-Encoding, and the body is {encoding[:40]!r}", status=415
        )
    if len(request.body) <= 1024:
        return copied(request, decompress(request.body, encoding, cap))
    return copied(request, await apart(decompress, request.body, encoding, cap))


def event_of(
    request: Request, route: EndpointRoute, now: Micros, failed: FilterFailed | None = None
) -> Event:
    """Return the request as it is stored: credentials in headers sealed, fields cut to `keep=`."""
    secret = route.secret_headers(request.headers)
    headers = sealed_headers(request.headers, secret, route.seal)
    event = as_event(request, route.definition, now, headers)
    if failed is None and request.headers.get(FILTER_FAILED) is None:
        return event
    return marked(event, route.definition, failed)


async def respond(send: Send, answer: Answer, *, head: bool) -> None:
    """Send an answer."""
    status, headers, body = answer
    if status in (204, 304):
        body = b""  # they have none: what followed would be read as the next answer
    sent = [*headers.items(), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": b"" if head else body})


QUIET_SECONDS = 10.0
"""Seconds in which refused events are counted for one line; without any, the outage is over."""


class Outage:
    """Tells of events that were not accepted, as the store failed: as that begins, and not one by one."""

    def __init__(self) -> None:
        self._begun = False
        self._more = 0
        self._why = ""

    def note(self, endpoint: str, why: str) -> None:
        """Note an event that was refused: it was sent to `endpoint`."""
        if self._begun:
            self._more += 1
            self._why = why
            return
        self._begun = True
        log.error("not accepted: the store failed", endpoint=endpoint, error=why)
        asyncio.get_running_loop().call_later(QUIET_SECONDS, self._tell)

    def _tell(self) -> None:
        if not self._more:
            self._begun = False
            log.info("the store has refused no event for a while", seconds=QUIET_SECONDS)
            return
        log.error("not accepted: the store fails", events=self._more, error=self._why)
        self._more = 0
        asyncio.get_running_loop().call_later(QUIET_SECONDS, self._tell)


MAX_PARTS = 10_000
"""The most events that one request may hold; they are accepted in one transaction."""


def cut(split: Callable[[Request], Sequence[Any]] | None, request: Request) -> list[Request]:
    """The request's events, each as a request with its part of the body.

    One that cannot be cut is one event. Where some of its parts are no JSON, the whole is one more event
    in their place, which fails by itself.
    """
    parts = pick(split, request) if split is not None else None
    if parts is None:
        return [request]
    if len(parts) > MAX_PARTS:
        raise Rejected(
            f"the request holds {len(parts):,} events, more than {MAX_PARTS:,}", status=413
        )
    events: list[Request] = []
    whole: list[Request] = []
    for number, each in enumerate(parts):
        try:
            body = each if isinstance(each, bytes) else codec.encode(each)
        except (TypeError, ValueError, HalflapError):
            if not whole:
                log.exception("what a trigger split a request into is not JSON", part=number)
                whole.append(request)
        else:
            events.append(copied(request, body, part=number))
    return events + whole
