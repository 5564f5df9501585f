"""The mail server: SMTP in, and each mail handed to the gateway as a request of the method `MAIL`.

So a mail is taken like any other event: its address is the endpoint's secret id, the gateway looks for
duplicates and filters, and `250` follows the commit. The gateway's status decides the reply: keep the
mail and try again (451), there is nobody (550), or it is too large (552). SMTP has one reply for all
recipients of a transaction, and each decides by itself: so a transaction has one.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

import structlog

from halflap.errors import ConfigError, HalflapError, StoreError
from halflap.gateway.app import PREFIX
from halflap.gateway.edge import address_owner
from halflap.gateway.route import Find
from halflap.model import MAIL
from halflap.sdk.deadline import came

if TYPE_CHECKING:
    from aiosmtpd.smtp import SMTP, Envelope, Session

log = structlog.get_logger("halflap.gateway")

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

NOBODY = "550 5.1.1 There is nobody of that address"
LATER = "451 4.3.0 The mail cannot be taken now; try again later"
TOO_LARGE = "552 5.3.4 The mail is too large"
REFUSED = "554 5.6.0 The mail is refused"
ONE_RECIPIENT = "452 4.5.3 One recipient a transaction; send the mail again for the others"
END = b"\r\n.\r\n"
"""The end of a mail's data, and nothing that looks like it: else a mail could have another one in it."""
READ_AHEAD = 16 * 1024
"""The bytes that are read of a connection at once."""


@dataclass(frozen=True, slots=True)
class MailLimits:
    """The bounds of what peers may do. `seconds` is for one command, the mail's data too, and
    `session` for all that one connection does.
    """

    size: int
    connections: int = 200
    connections_per_address: int = 20
    seconds: float = 60.0
    session: float = 600.0


class MailServer:
    """Takes mail for endpoints on a port of its own, until it is stopped."""

    def __init__(
        self,
        app: App,
        find: Find,
        domain: str,
        limits: MailLimits,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`domain` is what stands behind the `@` of the addresses; with `tls`, STARTTLS is offered."""
        self._app = app
        self._find = find
        self._domain = domain.lower()
        self._limits = limits
        self._tls = tls
        self._listener: asyncio.Server | None = None
        self._by_address: Counter[str] = Counter()
        self._open: set[asyncio.Transport] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self.port: int | None = None
        self.answers: Counter[str] = Counter()
        """The number of mails by the code that they were answered."""

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port. `HalflapError` where the address is taken."""
        make = _protocol(self)
        try:
            self._listener = await asyncio.get_running_loop().create_server(make, host, port)
        except OSError as error:
            raise HalflapError(
                f"Cannot listen for mail on {host}:{port}: {error.strerror or error}. Stop what uses the "
                "port, or set another HALFLAP_MAIL_PORT."
            ) from error
        self.port = int(self._listener.sockets[0].getsockname()[1])
        return self.port

    async def stop(self, grace: float) -> None:
        """Take no more connections; those that are open have `grace` seconds to end."""
        if self._listener is None:
            return
        self._listener.close()
        await came(self._empty, grace)
        for each in list(self._open):
            each.abort()

    def admit(self, transport: asyncio.Transport) -> str | None:
        """Count a connection; why it may not stay, or None."""
        peer = transport.get_extra_info("peername")
        owner = address_owner(str(peer[0])) if peer else ""
        self._open.add(transport)
        self._empty.clear()
        self._by_address[owner] += 1
        limits = self._limits
        if self._by_address[owner] > limits.connections_per_address:
            return "421 4.7.0 Too many connections of your address"
        if len(self._open) > limits.connections:
            return "421 4.3.2 Too many connections; try again later"
        asyncio.get_running_loop().call_later(limits.session, transport.abort)
        return None

    def forget(self, transport: asyncio.Transport) -> None:
        """Take a connection that is gone out of the count."""
        if transport not in self._open:
            return
        self._open.discard(transport)
        if not self._open:
            self._empty.set()
        peer = transport.get_extra_info("peername")
        owner = address_owner(str(peer[0])) if peer else ""
        self._by_address[owner] -= 1
        if self._by_address[owner] <= 0:
            del self._by_address[owner]

    async def handle_RCPT(  # noqa: N802 (aiosmtpd calls it so)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Say whether an address is that of an open endpoint that takes mail, and the only one."""
        endpoint = self._endpoint(address)
        if endpoint is None:
            return NOBODY
        try:
            route = await self._find(endpoint)
        except (StoreError, TimeoutError):
            return LATER
        if route is None or MAIL not in route.declaration.methods:
            return NOBODY
        if not envelope.rcpt_tos:
            envelope.rcpt_tos.append(address)
        elif self._endpoint(envelope.rcpt_tos[0]) != endpoint:
            return ONE_RECIPIENT
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Hand the mail to the gateway; 250 once it is stored durably."""
        content = envelope.content
        body = content if isinstance(content, bytes) else str(content or "").encode()
        answer = await self._deliver(session, envelope, envelope.rcpt_tos[0], body)
        self.answers[answer[:3]] += 1
        return answer

    async def _deliver(
        self, session: Session, envelope: Envelope, recipient: str, body: bytes
    ) -> str:
        peer = session.peer
        about = {"from": envelope.mail_from or "", "to": recipient, "helo": session.host_name or ""}
        if isinstance(peer, tuple):
            about["peer"] = str(peer[0])
        scope = {
            "type": "http",
            "method": MAIL,
            "path": f"{PREFIX}{self._endpoint(recipient)}",
            "query_string": urlencode(about, errors="replace").encode(),
            "headers": [
                (b"content-type", b"message/rfc822"),
                (b"content-length", b"%d" % len(body)),
            ],
            "client": peer,
        }
        status = 503

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)

        try:
            await self._app(scope, receive, send)
        except Exception:
            log.exception("a mail was not accepted")
            return LATER
        return answered(status)

    def _endpoint(self, address: str) -> str | None:
        """Return the endpoint that an address names; None where it is none of ours."""
        local, at, domain = address.strip("<>").rpartition("@")
        return local.lower() if at and domain.lower() == self._domain and local.isascii() else None


def answered(status: int) -> str:
    """Return what a peer is told for what the gateway would answer over HTTP."""
    match status:
        case _ if 200 <= status < 300:
            return "250 2.0.0 The mail is stored"
        case 404 | 410:
            return NOBODY
        case 413:
            return TOO_LARGE
        case 408 | 425 | 429:
            return LATER
        case _ if status >= 500:
            return LATER
        case _:
            return REFUSED


async def read_data(reader: asyncio.StreamReader, size: int) -> bytes | None:
    """Return a mail's data up to its end; None where it is larger than `size`.

    It is read piece by piece into one buffer. aiosmtpd reads it line by line, which for a mail of empty
    lines takes seconds of the loop and 25 times its size.
    """
    data, large = bytearray(), False
    ahead: bytearray = cast(Any, reader)._buffer
    ahead[:0] = b"\r\n"  # the end of DATA's own line: a dot in the first line ends the mail too
    while True:
        try:
            piece = await reader.readuntil(END)
        except asyncio.LimitOverrunError as error:
            piece, ended = await reader.readexactly(error.consumed), False
        else:
            piece, ended = piece[: 2 - len(END)], True
        data += piece
        large = large or len(data) - 2 > size
        if large:
            data.clear()
        if ended:
            return None if large else bytes(data.replace(b"\r\n.", b"\r\n"))[2:]


def _protocol(server: MailServer) -> Callable[[], asyncio.Protocol]:
    """Return a maker of connections, each with the limits of the server."""
    try:
        from aiosmtpd.smtp import SMTP
    except ImportError as error:
        raise ConfigError(
            "HALFLAP_MAIL_PORT is set, and what takes mail is not installed; pip install 'halflap[mail]'"
        ) from error
    limits = server._limits

    class MailConnection(SMTP):
        line_length_limit = READ_AHEAD
        _refused = False

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            raw = cast(asyncio.Transport, transport)  # uvloop's own is no subclass
            first = self.transport is None  # STARTTLS makes a second one
            refused = server.admit(raw) if first else None
            if refused is not None:
                raw.write(f"{refused}\r\n".encode())
                raw.close()
                server.forget(raw)
                self._refused = True
                return
            self._raw: asyncio.Transport = raw if first else self._raw
            super().connection_made(transport)

        async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
            if await self.check_helo_needed():
                return
            session, envelope = self.session, self.envelope
            assert session is not None
            assert envelope is not None
            if arg or not envelope.rcpt_tos:
                await self.push("501 Syntax: DATA" if arg else "503 Error: need RCPT command")
                return
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            envelope.content = await read_data(self._reader, limits.size)
            taken = envelope.content is not None
            answer = await server.handle_DATA(self, session, envelope) if taken else TOO_LARGE
            self._set_post_data_state()
            await self.push(answer)

        def connection_lost(self, error: Exception | None) -> None:
            if self._refused:
                return
            server.forget(self._raw)
            super().connection_lost(error)

    return lambda: MailConnection(
        server,
        data_size_limit=limits.size,
        enable_SMTPUTF8=True,
        hostname=server._domain or None,
        ident="Halflap",
        tls_context=server._tls,
        timeout=limits.seconds,
        command_call_limit={"*": 100},
    )
