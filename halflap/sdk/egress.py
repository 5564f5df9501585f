"""The one outgoing HTTP client of all components: pooled, guarded, and exact about what happened.

It calls public addresses only, unless its policy allows more; it never asks the environment for a
proxy, keeps no cookies, and follows a redirect only where it is told how many. Its errors name the
method and the URL without its query, and never the value of a header.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, cast

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from halflap.errors import EgressRefused, UpstreamError
from halflap.sdk._address import Lookup, PinnedResolver, Policy, Rules
from halflap.sdk._wire import METHODS, TooLarge, Wire
from halflap.sdk.outgoing import Outgoing, encoded
from halflap.sdk.payload import Payload
from halflap.sdk.response import (
    KEPT,
    REDIRECTS,
    Broken,
    Limits,
    Response,
    failure,
    location,
    predecoded,
    shown,
    status_of_done,
    too_large,
)
from halflap.sdk.schema import File

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver

__all__ = ["Download", "Egress", "Limits", "Policy", "Response"]

_PUBLIC_ONLY = Policy()
_USUAL = Limits()
WEB = {"wss": "https", "ws": "http"}
"""By the scheme of a WebSocket, that of the request which opens it."""


class Download:
    """An answer whose body is read in chunks: `async for chunk in download`."""

    __slots__ = ("_answer", "_limits", "headers", "status", "url")

    def __init__(self, answer: aiohttp.ClientResponse, limits: Limits) -> None:
        self._answer = answer
        self._limits = limits
        self.status = answer.status
        self.headers = answer.headers
        self.url = str(answer.url)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body's chunks, decompressed; `UpstreamError` where it breaks off or is too large."""
        answer, size = self._answer, 0
        _check_size(answer, answer.content_length or 0, self._limits)
        while True:
            try:
                chunk = await answer.content.readany()
            except _failures() as error:
                broken = failure(answer.method, answer.url, self._limits, error)
            else:
                size += len(chunk)
                _check_size(answer, size, self._limits)
                if not chunk:
                    return
                yield chunk
                continue
            raise broken


class Egress:
    """Sends requests for components, to where its policy lets them go.

    `resolver` finds the addresses of a name and `clock` tells the time in UTC; tests set them.
    `tls` is the trust to use instead of the system's. One egress belongs to one event loop.
    """

    def __init__(
        self,
        policy: Policy = _PUBLIC_ONLY,
        limits: Limits = _USUAL,
        *,
        resolver: Lookup | None = None,
        clock: Callable[[], datetime] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        rules = Rules(policy)
        self.policy = policy
        self._limits = limits
        self._clock = clock or partial(datetime.now, UTC)
        self._tls = tls
        self._resolver = PinnedResolver(rules, timeout=limits.connect, lookup=resolver)
        # A URL that was read and judged once need not be again: most are called many times.
        self._destination = lru_cache(maxsize=1024)(rules.destination)
        self._wire = Wire(self._resolver, tls)
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = ...,
        form: Mapping[str, Any] | None = None,
        body: bytes | Payload | None = None,
        files: Mapping[str, File] | None = None,
        limits: Limits | None = None,
    ) -> Response:
        """Send a request and read the whole answer, whatever its status.

        At most one of `json` (written exactly; None is sent as null), `form`, `body` and `files`
        (with `form` as its plain fields) is the body. Raises `EgressRefused` for an address that
        may not be called, `UpstreamError` where no whole answer came, `DefinitionError` for what
        cannot be sent.
        """
        limits = limits or self._limits
        destination = self._destination(url)
        outgoing = Outgoing(method, params, headers, await encoded(json), form, body, files)
        if not limits.redirects and outgoing.is_plain and outgoing.method in METHODS:
            return await self._plain(outgoing, destination, limits)
        try:
            answer = await self._send(outgoing, destination, limits)
            whole = await _read(answer, limits)
        except _failures() as error:
            broken = failure(outgoing.method, destination, limits, error)
        else:
            return await predecoded(self._response(answer, whole))
        # Outside the handler: the library's own error quotes the whole URL, with its secrets.
        raise broken

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> AsyncGenerator[Download]:
        """Send a request and read its answer in chunks; a status of 400 and up is raised."""
        limits = limits or self._limits
        destination = self._destination(url)
        outgoing = Outgoing(method, params, headers)
        answer: aiohttp.ClientResponse | None = None
        broken: UpstreamError | None = None
        try:
            try:
                answer = await self._send(outgoing, destination, limits)
                if answer.status >= 400 or answer.status in REDIRECTS:
                    beginning = await answer.content.read(KEPT)
                    broken = self._response(answer, beginning).refusal()
            except _failures() as error:
                broken = failure(outgoing.method, destination, limits, error)
            if answer is None or broken is not None:
                assert broken is not None
                raise broken
            yield Download(answer, limits)
        finally:
            if answer is not None:
                answer.close()

    async def websocket(self, url: str) -> WebSocket:
        """Open a WebSocket at a `wss` or `ws` URL, which is judged as an `https` or `http` one."""
        scheme, _, rest = url.partition("://")
        destination = self._destination(f"{WEB.get(scheme.lower(), scheme)}://{rest}")
        session, limits = self._session or self._opened(), self._limits
        try:
            async with asyncio.timeout(limits.total):
                opened = await session.ws_connect(
                    destination,
                    heartbeat=HEARTBEAT_SECONDS,
                    max_msg_size=LARGEST_MESSAGE,
                )
        except _failures() as error:
            broken = failure("GET", destination, limits, error)
        else:
            return WebSocket(opened)
        raise broken

    async def addresses(self, url: str) -> list[str]:
        """Return the addresses of a URL's host that may be called, for a library with sockets of its own.

        It has to connect to one of these, and resolve no name. Raises `EgressRefused`, or
        `UpstreamError` where the host has none.
        """
        destination = self._destination(url)
        host, port = destination.raw_host or "", destination.port or 0
        try:
            found = await self._resolver.resolve(host, port)
        except (OSError, TimeoutError) as error:
            message = f"{host} has no address: {error}"
        else:
            return [each["host"] for each in found]
        raise UpstreamError(message, in_doubt=False)

    async def dial(self, host: str, port: int, ports: frozenset[int]) -> socket.socket:
        """Connect by TCP, for a protocol that is not HTTP and has these `ports`.

        Only to an address that may be called, as for a request; `UpstreamError` where it is not reached.
        """
        try:
            return await self._resolver.dial(host, port, ports)
        except EgressRefused:
            raise
        except (OSError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            message = f"{host}:{port} cannot be reached: {reason}"
        raise UpstreamError(message, in_doubt=False)

    async def close(self) -> None:
        """Close the connections; new ones are opened if it is used again."""
        self._wire.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _plain(self, outgoing: Outgoing, to: URL, limits: Limits) -> Response:
        if outgoing.query:
            to = to.extend_query(outgoing.query)
        method = outgoing.method
        try:
            answer = await self._wire.send(method, to, outgoing.headers, outgoing.body, limits)
        except Broken as error:
            if (status := status_of_done(method, error)) is not None:
                none = CIMultiDictProxy(CIMultiDict[str]())
                return Response(status, none, b"", str(to), method, self._clock(), whole=False)
            broken = failure(method, to, limits, error)
        except TooLarge as error:
            broken = too_large(method, to, error.status, limits)
        else:
            return await predecoded(Response(*answer, _told(to), method, self._clock()))
        raise broken

    async def _send(
        self, outgoing: Outgoing, destination: URL, limits: Limits
    ) -> aiohttp.ClientResponse:
        session = self._session or self._opened()
        if outgoing.query:
            destination = destination.extend_query(outgoing.query)
        timeout = _timeout(limits.connect, limits.total)
        if not limits.redirects:
            return await _hop(session, outgoing, destination, timeout)
        now = asyncio.get_running_loop().time
        deadline = now() + limits.total
        answer: aiohttp.ClientResponse | None = None
        for _ in range(limits.redirects + 1):
            try:
                answer = await _hop(session, outgoing, destination, timeout)
                if answer.status not in REDIRECTS:
                    return answer
                answer.close()
                target = location(answer.url, answer.headers)
                if target is None:
                    raise UpstreamError(
                        f"{answer.method} {shown(answer.url)} answered {answer.status}, a redirect "
                        "to nowhere; ask the app's support",
                        status=answer.status,
                    )
                following = self._destination(target)
            except EgressRefused as error:  # the one that redirects may have done it
                error.in_doubt = answer is not None
                raise
            same = following.origin() == destination.origin()
            outgoing.redirected(answer.status, same_origin=same)
            destination = following
            timeout = _timeout(limits.connect, max(deadline - now(), 0.001))
        raise UpstreamError(
            f"{outgoing.method} {shown(destination)} is one redirect more than the "
            f"{limits.redirects} that are followed; call the address that they end at",
            status=None if answer is None else answer.status,
        )

    def _response(self, answer: aiohttp.ClientResponse, body: bytes) -> Response:
        return Response(
            answer.status, answer.headers, body, str(answer.url), answer.method, self._clock()
        )

    def _opened(self) -> aiohttp.ClientSession:
        import aiohttp  # most processes send only what `Wire` does

        connector = aiohttp.TCPConnector(
            resolver=cast("AbstractResolver", self._resolver),
            limit=0,
            ssl=self._tls if self._tls is not None else True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "halflap"},
            trust_env=False,
        )
        return self._session


_told = lru_cache(maxsize=1024)(str)
"""Return a URL as text, which takes longer than to find it again."""


async def _hop(
    session: aiohttp.ClientSession,
    outgoing: Outgoing,
    destination: URL,
    timeout: aiohttp.ClientTimeout,
) -> aiohttp.ClientResponse:
    return await session.request(
        outgoing.method,
        destination,
        data=outgoing.data(),
        headers=outgoing.headers,
        allow_redirects=False,
        timeout=timeout,
    )


async def _read(answer: aiohttp.ClientResponse, limits: Limits) -> bytes:
    """The whole body, decompressed; unless it is read to its end, its connection is closed."""
    most = limits.response_bytes
    content = answer.content
    try:
        if answer.method != "HEAD":
            _check_size(answer, answer.content_length or 0, limits)
        first = await content.readany()
        size = len(first)
        _check_size(answer, size, limits)
        if content.at_eof():
            return first
        chunks = [first]
        while chunk := await content.readany():
            size += len(chunk)
            if size > most:
                _check_size(answer, size, limits)
            chunks.append(chunk)
        return b"".join(chunks)
    except BaseException:
        answer.close()
        raise


def _check_size(answer: aiohttp.ClientResponse, size: int, limits: Limits) -> None:
    if size > limits.response_bytes:
        raise too_large(answer.method, answer.url, answer.status, limits)


@lru_cache(maxsize=256)
def _timeout(connect: float, total: float) -> aiohttp.ClientTimeout:
    from aiohttp import ClientTimeout

    return ClientTimeout(total=total, sock_connect=connect)


def _failures() -> tuple[type[Exception], ...]:
    from aiohttp import ClientError

    return ClientError, TimeoutError, OSError, EOFError


# WebSockets: texts in, texts out --------------------------------------------------------------

HEARTBEAT_SECONDS = 20.0
LARGEST_MESSAGE = 4 * 1024 * 1024


class WebSocket:
    """A WebSocket. The other side is pinged; one that does not answer counts as closed."""

    def __init__(self, opened: aiohttp.ClientWebSocketResponse) -> None:
        self._opened = opened

    async def receive(self) -> bytes | None:
        """Return the next message, a text as its UTF-8; None once it is closed, by whichever side."""
        from aiohttp import WSMsgType

        found = await self._opened.receive()
        if found.type == WSMsgType.TEXT:
            return found.data.encode()
        return found.data if found.type == WSMsgType.BINARY else None

    async def send(self, text: str) -> None:
        """Send a text; `UpstreamError` where the WebSocket is closed."""
        try:
            await self._opened.send_str(text)
        except (ConnectionError, RuntimeError) as error:
            raise UpstreamError(f"the WebSocket is closed: {error}") from error

    async def close(self) -> None:
        """Close it; one that is closed already is fine."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            await self._opened.close()
