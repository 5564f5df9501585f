"""HTTP/1.1 with a whole body and a whole answer, on connections that are kept: what most calls are.

Node's parser (httptools) reads what comes back. What is streamed, uploaded or redirected goes through
aiohttp, which can do all of that and costs twice as much a call (bench/experiments/clients.py).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import httptools
from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from halflap.errors import Rejected
from halflap.sdk._address import PinnedResolver
from halflap.sdk._body import decompress
from halflap.sdk.response import (
    BROKEN,
    BROKEN_OFF,
    NO_HTTP,
    NO_NAME,
    NO_TLS,
    Broken,
    Limits,
    Untrusted,
    late,
    unreached,
)

KEPT_SECONDS = 15.0
MOST_HEAD = 64 * 1024
MOST_FIELDS = 256
_JOINED = 64 * 1024  # a body up to here is written together with its head
_AGAIN = frozenset({"GET", "PUT", "DELETE"})  # doing it twice is as doing it once
METHODS = _AGAIN | {"POST", "PATCH"}


class TooLarge(Exception):
    """The answer is larger than its limit."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


WireResponse = tuple[int, CIMultiDictProxy[str], bytes]
"""A whole answer: its status, its headers, and its body, decompressed."""


class _Connection(asyncio.Protocol):
    """One connection: it carries one request at a time."""

    __slots__ = (
        "_answered", "_framed", "_head", "_headed", "_headers", "_limits", "_parser", "_parts",
        "_size", "_transport", "idle_since", "open",
    )  # fmt: skip

    def __init__(self) -> None:
        self.open = True
        self.idle_since = 0.0
        self._parser = httptools.HttpResponseParser(self)
        self._answered: asyncio.Future[WireResponse] | None = None
        self._limits = Limits()
        self._begin()

    def _begin(self) -> None:
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._parts: list[bytes] = []
        self._size = self._head = 0
        self._headed = self._framed = False

    async def ask(self, head: bytes, body: bytes, limits: Limits, left: float) -> WireResponse:
        """Send a request and return the whole answer, within so many seconds."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[WireResponse] = loop.create_future()
        self._answered, self._limits = answered, limits
        self._begin()
        if len(body) <= _JOINED:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        timer = loop.call_later(left, self._late)
        try:
            return await answered
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()
            self.idle_since = loop.time()

    def close(self) -> None:
        """Let go of it at once, whatever it is doing."""
        self.open = False
        self._transport.abort()

    # What the transport says

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """It is there."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """A piece of the answer."""
        if self._answered is None:
            self.close()  # nobody asked for that
            return
        self._head += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            context = error.__context__
            status = self._parser.get_status_code() if self._headed else None
            broken = Broken(BROKEN_OFF if self._headed else NO_HTTP, status=status)
            self._fail(context if isinstance(context, TooLarge) else broken)
            return
        if not self._headed and self._head > MOST_HEAD:
            self._fail(Broken(NO_HTTP))

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone: that ends an answer which says nothing of its length."""
        self.open = False
        if self._headed and not self._framed and exc is None:
            self.on_message_complete()
        if self._headed:
            self._fail(Broken(BROKEN_OFF, status=self._parser.get_status_code()))
        else:
            self._fail(Broken(BROKEN))

    # What the parser says

    def on_message_begin(self) -> None:
        """An answer; one that nobody asked for would be taken for that of the next request."""
        if self._answered is None:
            self.open = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is dropped."""
        if self._headed:
            return
        if len(self._headers) == MOST_FIELDS:
            raise Broken
        self._headers.add(
            name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")
        )

    def on_headers_complete(self) -> None:
        """The head is whole."""
        length = self._headers.get("Content-Length")
        self._framed = length is not None or "Transfer-Encoding" in self._headers
        if length is not None and int(length) > self._limits.response_bytes:
            raise TooLarge(self._parser.get_status_code())
        self._headed = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._size += len(body)
        if self._size > self._limits.response_bytes:
            raise TooLarge(self._parser.get_status_code())
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole, or was a hint that it will come."""
        status = self._parser.get_status_code()
        if status < 200:
            head = self._head
            self._begin()
            self._head = head
            return
        if not (self._framed or status in (204, 304)) or not self._parser.should_keep_alive():
            self.open = False
        answered, self._answered = self._answered, None
        if answered is None or answered.done():
            return
        body = b"".join(self._parts)
        if encoding := self._headers.get("Content-Encoding"):
            try:
                most = self._limits.response_bytes
                body = decompress(body, encoding, most) if body else body
            except Rejected as error:
                large = error.status == 413
                answered.set_exception(
                    TooLarge(status) if large else Broken(BROKEN_OFF, status=status)
                )
                return
        answered.set_result((status, CIMultiDictProxy(self._headers), body))

    def _late(self) -> None:
        self._fail(Broken(late(self._limits)))

    def _fail(self, error: Exception) -> None:
        answered, self._answered = self._answered, None
        if answered is not None and not answered.done():
            answered.set_exception(error)
        self.close()


@dataclass(slots=True)
class _Place:
    """Scheme, host and port, and the connections to there.

    They are not limited here, as customers that call the same app are not to wait for each other: how
    many calls it gets is bounded by the room, and by the limits of each connection.
    """

    tls: bool
    host: str
    port: int
    idle: list[_Connection] = field(default_factory=list[_Connection])
    busy: set[_Connection] = field(default_factory=set[_Connection])

    def kept(self, now: float) -> _Connection | None:
        """The connection that was used last, where it still serves."""
        while self.idle:
            connection = self.idle.pop()
            if connection.open and now - connection.idle_since < KEPT_SECONDS:
                return connection
            connection.close()
        return None


class Wire:
    """All connections of one event loop, by the place that they lead to."""

    def __init__(self, resolver: PinnedResolver, tls: ssl.SSLContext | None) -> None:
        self._resolver = resolver
        self._tls = tls
        self._places: dict[tuple[str, str | None, int | None], _Place] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    async def send(
        self, method: str, to: URL, headers: CIMultiDict[str], body: bytes | None, limits: Limits
    ) -> WireResponse:
        """Send a request and return the whole answer; raises `Broken`, `TooLarge`, `EgressRefused`."""
        head = _head(method, to, headers, body)
        key = (to.scheme, to.raw_host, to.port)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = _Place(
                to.scheme == "https", to.raw_host or "", to.port or 0
            )
        loop = asyncio.get_running_loop()
        began = loop.time()
        connection = place.kept(began)
        if connection is not None:
            try:
                return await self._ask(place, connection, head, body, limits, limits.total)
            except Broken as error:
                if method not in _AGAIN or error.args[0] != BROKEN:
                    raise
        deadline = began + limits.total
        try:
            async with asyncio.timeout_at(deadline):
                connection = await self._dial(place, limits)
        except TimeoutError:
            raise Broken(late(limits)) from None
        return await self._ask(place, connection, head, body, limits, deadline - loop.time())

    async def _ask(
        self,
        place: _Place,
        connection: _Connection,
        head: bytes,
        body: bytes | None,
        limits: Limits,
        left: float,
    ) -> WireResponse:
        place.busy.add(connection)
        try:
            return await connection.ask(head, body or b"", limits, left)
        finally:
            place.busy.discard(connection)
            if connection.open:
                place.idle.append(connection)
                if self._sweeping is None:
                    loop = asyncio.get_running_loop()
                    self._sweeping = loop.call_later(KEPT_SECONDS, self._sweep)
            else:
                connection.close()

    async def _dial(self, place: _Place, limits: Limits) -> _Connection:
        loop = asyncio.get_running_loop()
        addresses = await self._addresses(place, limits)
        try:
            async with asyncio.timeout(limits.connect):
                made = await start_connection(addresses, happy_eyeballs_delay=0.25)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    _, connection = await loop.create_connection(
                        _Connection,
                        sock=made,
                        ssl=self._context() if place.tls else None,
                        server_hostname=place.host if place.tls else None,
                    )
                except BaseException:
                    made.close()
                    raise
        except TimeoutError:
            raise Broken(unreached(limits), sent=False) from None
        except ssl.SSLCertVerificationError as error:
            raise Untrusted(error) from None
        except ssl.SSLError:
            raise Broken(NO_TLS, sent=False) from None
        except OSError as error:
            message = f"no connection ({error.strerror}); nothing was sent"
            raise Broken(message, sent=False) from None
        return connection

    async def _addresses(self, place: _Place, limits: Limits) -> list[Any]:
        kind, host = socket.SOCK_STREAM, place.host
        try:
            version = ip_address(host).version  # it was judged with the URL
        except ValueError:
            try:
                found = await self._resolver.resolve(host, place.port)
            except TimeoutError:
                raise Broken(unreached(limits), sent=False) from None
            except OSError:
                raise Broken(NO_NAME, sent=False) from None
            return [(e["family"], kind, e["proto"], "", (e["host"], e["port"])) for e in found]
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        return [(family, kind, socket.IPPROTO_TCP, "", (host, place.port))]

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for key, place in list(self._places.items()):
            old = [e for e in place.idle if not e.open or now - e.idle_since >= KEPT_SECONDS]
            for each in old:
                place.idle.remove(each)
                each.close()
            if not place.idle and not place.busy:
                del self._places[key]
        again = any(place.idle for place in self._places.values())
        self._sweeping = loop.call_later(KEPT_SECONDS, self._sweep) if again else None

    def close(self) -> None:
        """Close all connections; new ones are opened if it is used again."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for place in self._places.values():
            for each in [*place.idle, *place.busy]:
                each.close()
            place.idle.clear()


_DEFAULTS = {
    "Accept": "Accept: */*\r\n",
    "Accept-Encoding": "Accept-Encoding: gzip, deflate\r\n",
    "User-Agent": "User-Agent: halflap\r\n",
}
_ALL_DEFAULTS = "".join(_DEFAULTS.values())


def _head(method: str, to: URL, headers: CIMultiDict[str], body: bytes | None) -> bytes:
    if headers.keys().isdisjoint(_DEFAULTS):
        ours = _ALL_DEFAULTS
    else:
        ours = "".join(line for name, line in _DEFAULTS.items() if name not in headers)
    own = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if body is not None and "Content-Type" not in headers:
        own += "Content-Type: application/octet-stream\r\n"
    if body is not None or method != "GET":
        own += f"Content-Length: {len(body or b'')}\r\n"
    return f"{method}{_line(to)}{ours}{own}\r\n".encode()


@lru_cache(maxsize=1024)
def _line(to: URL) -> str:
    return f" {to.raw_path_qs} HTTP/1.1\r\nHost: {to.host_port_subcomponent}\r\n"
