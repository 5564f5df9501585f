"""The edge: what a client may send, how much of it, and how slowly.

uvicorn and httptools speak HTTP; `GuardedProtocol` adds the limits that they lack, and refuses
before the app is called. A connection costs no timer: one sweep a second looks at them all.
"""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from halflap.gateway import refusal
from halflap.gateway.cycle import ExpectingCycle, GuardedCycle
from halflap.gateway.edge import Edge, EdgeCounters, EdgeLimits
from halflap.gateway.refusal import RequestRefusal

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application
    from uvicorn.config import Config
    from uvicorn.server import ServerState

__all__ = ["Edge", "EdgeCounters", "EdgeLimits", "GuardedProtocol"]

# Where the parser stands on a connection; DRAIN: refused, what still arrives is thrown away.
IDLE, HEAD, BODY, DRAIN = range(4)

LINGER_SECONDS = 2.0
LINGER_BYTES = 32 * 1024 * 1024
# A chunk of one byte is framed in five more; who exceeds that by far is only wasting our time.
FRAMING_PER_BYTE = 8

_METHODS = {name.encode(): name for name in refusal.METHODS}
_VERSIONS = frozenset({"1.1", "1.0"})


class GuardedProtocol(HttpToolsProtocol):
    """One client's connection: uvicorn's protocol, held to an `EdgeLimits`."""

    app: ASGI3Application
    url: bytes

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        edge: Edge,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.access_log = False
        self.edge = edge
        self.limits = edge.limits
        self.address: str | None = None
        self._phase = HEAD
        # When the phase began, as the next sweep sees it: so no request asks for the time.
        self._since: float | None = None
        self._fed = 0  # bytes of an unfinished head, of a body with its framing, or thrown away
        self._received = 0  # bytes of the body
        self._trailers = 0
        self._ignore_upgrade = False
        self._queued: RequestRefusal | None = None
        self._running: RequestResponseCycle | None = None
        self._unsent = 0
        self._stalled = 0.0

    # What the transport says

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A client connected: let it in, or say why not."""
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        self.server = get_local_addr(transport)
        self.client = get_remote_addr(transport)
        self.scheme = "https" if is_ssl(transport) else "http"
        self._scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
        }
        if (refused := self.edge.admit(self)) is None:
            return
        if len(self.edge.connections) > self.limits.connections * 1.1 + 10:
            self._count(refused)
            transport.abort()  # a flood: not even an answer
        else:
            self.refuse(refused)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: whoever waits for it is told."""
        self.edge.forget(self)
        if self._phase == BODY and not self.cycle.response_complete:
            self.edge.counters.cut_off += 1
        self.pipeline.clear()
        super().connection_lost(exc)
        # uvicorn tells the newest request only; with pipelining, an older one may be running.
        if (running := self._running) is not None and not running.response_complete:
            self._disconnect(running)

    def data_received(self, data: bytes) -> None:
        """Bytes arrived: parse them, and hold what is unfinished to the limits."""
        phase = self._phase
        if phase == DRAIN:
            self._fed += len(data)
            if self._fed > LINGER_BYTES:
                self.transport.abort()
            return
        if phase == IDLE:
            self._phase = HEAD
            self._since = None
            self._fed = 0
        self._fed += len(data)
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._resume_body(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, RefusedHead):
                self.refuse(error.__context__.refusal)
            elif isinstance(error, httptools.HttpParserCallbackError):
                raise
            else:
                self.refuse(refusal.MALFORMED.because(f"This is not valid HTTP/1.1: {error}."))
            return
        limits = self.limits
        if self._phase == HEAD:
            if self._fed > limits.header_bytes:
                self.refuse(refusal.HEADER_SIZE)
        elif self._phase == BODY:
            framing = self._fed - self._received
            if framing > limits.header_bytes + FRAMING_PER_BYTE * self._received:
                self.refuse(refusal.BODY_FRAMING)

    # What the parser says

    def on_message_begin(self) -> None:
        """A request begins, perhaps behind another in the same read."""
        if self._phase != HEAD:
            self._phase = HEAD
            self._since = None
            self._fed = 0
        self.url = b""
        self.headers = []

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self.url += url
        if len(self.url) > REQUEST_LINE_BYTES:
            raise RefusedHead(refusal.REQUEST_LINE)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or a trailer, which is counted and dropped, so that none poses as a header."""
        if self._phase == HEAD:
            self.headers.append((name.lower(), value))
            return
        self._trailers += 1
        if self._trailers > self.limits.header_fields:
            raise RefusedHead(refusal.HEADER_FIELDS)

    def on_headers_complete(self) -> None:
        """The head is whole: judge it, and start the app or queue the request."""
        parser = self.parser
        version = parser.get_http_version()
        if version not in _VERSIONS:
            raise RefusedHead(refusal.VERSION)
        method = _METHODS.get(parser.get_method())
        if method is None:
            raise RefusedHead(refusal.METHOD)
        limits, headers, url = self.limits, self.headers, self.url
        line_bytes = len(method) + len(url) + 10
        # What came in this read bounds the head; it is counted only where that says too little.
        if not 0 < self._fed <= limits.header_bytes:
            judge_size(headers, limits, line_bytes)
        expects = judge_headers(headers, limits, version, line_bytes)
        raw_path, query = read_target(url, method)
        path = raw_path.decode("ascii")
        upgrade = parser.should_upgrade()
        if upgrade and self._get_upgrade() == b"websocket":
            raise RefusedHead(refusal.WEBSOCKET)
        self._ignore_upgrade = upgrade

        queue = not self._is_quiet()
        if queue and len(self.pipeline) >= self.limits.pipelined:
            raise RefusedHead(refusal.PIPELINED)
        self._phase = BODY
        self._since = None
        self._fed = self._received = self._trailers = 0
        self.edge.counters.requests += 1
        scope: Any = {
            **self._scope,
            "http_version": version,
            "method": method,
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
            "state": self.app_state.copy(),
        }
        self.scope = scope
        app = self.app
        self.cycle = (ExpectingCycle if expects else GuardedCycle)(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=expects,
            keep_alive=version == "1.1"
            and parser.should_keep_alive()
            and not (upgrade or self.edge.draining),
            on_response=self.on_response_complete,
        )
        if queue:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, app))
        else:
            self._start_asgi_task(self.cycle, app)

    def on_body(self, body: bytes) -> None:
        """A piece of the body; one that came whole is handed on without a copy."""
        self._received += len(body)
        if self._received > self.limits.body_bytes:
            raise RefusedHead(refusal.BODY_SIZE)
        cycle = self.cycle
        if cycle.response_complete:
            return
        if not cycle.body:
            cycle.body = body  # pyright: ignore[reportAttributeAccessIssue]
        else:
            if type(cycle.body) is not bytearray:
                cycle.body = bytearray(cycle.body)
            cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._ignore_upgrade:
            return  # the parser takes an upgrade for the end of the request: _resume_body
        self._phase = IDLE
        self._fed = 0
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    # What the app says

    def on_response_complete(self) -> None:
        """A response is written: go on with the next request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._queued is not None:
            self._answer(self._queued)
        elif self._phase == IDLE:
            self._since = None

    # What the server says

    def sweep(self, now: float, elapsed: float, late: float) -> None:
        """Refuse or close if a deadline has passed; `late` seconds were our own fault."""
        since = now if self._since is None else self._since + late
        self._since = since
        transport = self.transport
        unsent = transport.get_write_buffer_size()
        self._stalled = self._stalled + elapsed - late if unsent and unsent == self._unsent else 0.0
        self._unsent = unsent
        limits, age, phase = self.limits, now - since, self._phase
        if self._stalled > limits.idle_seconds:
            transport.abort()  # it reads nothing of what it asked for
        elif phase == DRAIN:
            if self._queued is None and age > LINGER_SECONDS:
                transport.abort()
        elif transport.is_closing():
            return
        elif phase == IDLE:
            if age > limits.idle_seconds and self._is_quiet():
                transport.close()
        elif self.flow.read_paused or (phase == BODY and self.cycle.waiting_for_100_continue):
            self._since = since + elapsed - late  # it is waiting for us
        elif phase == HEAD:
            if age > limits.header_seconds:
                self.refuse(refusal.HEADER_TIMEOUT) if self._fed else transport.close()
        elif age > limits.body_seconds + self._received / limits.body_speed or (
            age > limits.body_rate_after and self._received < limits.body_rate * age
        ):
            self.refuse(refusal.BODY_TIMEOUT)

    def drain(self) -> None:
        """Have the response that is on its way be the last one."""
        if self._running is not None:
            self._running.keep_alive = False

    def shutdown(self) -> None:
        """Close at once if no request is on its way; otherwise after its response."""
        nothing = self._phase == IDLE or (self._phase == HEAD and not self._fed)
        if nothing and self._is_quiet():
            self.transport.close()
        else:
            self.drain()

    def refuse(self, refused: RequestRefusal) -> None:
        """Answer with a problem and close; behind a response in flight, once that is written."""
        if self.transport.is_closing() or self._phase == DRAIN:
            return
        self._count(refused)
        phase, self._phase, self._fed = self._phase, DRAIN, 0
        if phase == BODY:
            cycle = self.cycle
            if self.pipeline and self.pipeline[0][0] is cycle:
                self.pipeline.popleft()
            else:
                started = cycle.response_started
                if not cycle.response_complete:
                    self._disconnect(cycle)
                if started:
                    self.transport.close()  # a second answer would be taken for the next one's
                else:
                    self._answer(refused)
                return
        if self._is_quiet():
            self._answer(refused)
        else:
            self._queued = refused

    # Inside

    def _resume_body(self, rest: bytes) -> None:
        """Go on with the request as if it had not asked for an upgrade, as RFC 9110 allows.

        Java's client offers h2c on every first request, body and all; httptools then stops at the
        head. The body is read by a parser that is given the same framing; the connection closes.
        """
        self._ignore_upgrade = False
        framing = [
            b"%s: %s\r\n" % header
            for header in self.headers
            if header[0] in (b"content-length", b"transfer-encoding")
        ]
        self.parser = httptools.HttpRequestParser(
            SimpleNamespace(on_body=self.on_body, on_message_complete=self.on_message_complete)
        )
        self.parser.feed_data(b"POST / HTTP/1.1\r\nconnection: close\r\n%s\r\n" % b"".join(framing))
        self.parser.feed_data(rest)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _is_quiet(self) -> bool:
        return (self._running is None or self._running.response_complete) and not self.pipeline

    def _disconnect(self, cycle: RequestResponseCycle) -> None:
        cycle.disconnected = True
        cycle.message_event.set()

    def _count(self, refused: RequestRefusal) -> None:
        self.edge.counters.count(refused)
        if self.edge.on_refusal is not None:
            self.edge.on_refusal(refused)

    def _answer(self, refused: RequestRefusal) -> None:
        """Write, say that no more follows, and read on for a moment.

        A socket closed with unread bytes is reset, and a reset may overtake the answer.
        """
        self._queued = None
        self._since = None
        self.transport.write(refused.response())
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()


REQUEST_LINE_BYTES = 8 * 1024

_JUDGED = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})
_HOST = re.compile(rb"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?").fullmatch


class RefusedHead(httptools.HttpParserError):
    """Raised inside a callback of the parser, to make it stop; `refusal` says why."""

    def __init__(self, refused: RequestRefusal) -> None:
        super().__init__(refused.code)
        self.refusal = refused


def judge_size(headers: list[tuple[bytes, bytes]], limits: EdgeLimits, line_bytes: int) -> None:
    """Refuse a head that is too large, line ends and all; raises Refused."""
    size = line_bytes + 4 + sum(len(name) + len(value) + 4 for name, value in headers)
    if size > limits.header_bytes:
        raise RefusedHead(refusal.HEADER_SIZE)


def judge_headers(
    headers: list[tuple[bytes, bytes]], limits: EdgeLimits, version: str, line_bytes: int
) -> bool:
    """Say whether the client awaits a 100 Continue; raises Refused.

    httptools has already refused a Content-Length that is doubled, not a number, or beside a
    Transfer-Encoding. `line_bytes` is the length of the request line.
    """
    if line_bytes > REQUEST_LINE_BYTES:
        raise RefusedHead(refusal.REQUEST_LINE)
    if len(headers) > limits.header_fields:
        raise RefusedHead(refusal.HEADER_FIELDS)
    hosts = 0
    expects = False
    for name, value in headers:
        if name not in _JUDGED:
            continue
        if name == b"host":
            hosts += 1
            if not _HOST(value):
                raise RefusedHead(refusal.HOST)
        elif name == b"content-length":
            if int(value) > limits.body_bytes:
                raise RefusedHead(refusal.BODY_SIZE)
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked" or version != "1.1":
                raise RefusedHead(refusal.TRANSFER_ENCODING)
        else:
            expects = value.lower() == b"100-continue" and version == "1.1"
    if hosts > 1 or (not hosts and version == "1.1"):
        raise RefusedHead(refusal.HOST)
    return expects


def read_target(url: bytes, method: str) -> tuple[bytes, bytes]:
    """The raw path and the query of a request target in any of its forms; raises Refused."""
    if b"#" in url:
        _refuse_target()
    if url.startswith(b"/"):
        path, _, query = url.partition(b"?")
        return path, query
    if url == b"*":
        return (url, b"") if method == "OPTIONS" else _refuse_target()
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        _refuse_target()
    return parsed.path or b"/", parsed.query or b""


def _refuse_target() -> NoReturn:
    raise RefusedHead(refusal.TARGET)
