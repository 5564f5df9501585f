"""A session of IMAP (RFC 9051, and 3501): what a listener needs of it, every answer bounded.

A server is believed in nothing: not that a line ends, nor how large a mail is, nor that it answers.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import socket
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from halflap import DefinitionError, OAuth2Code, Unauthorized, UpstreamError
from halflap.components.email import sending

if TYPE_CHECKING:
    from halflap.components.imap.connection import Imap

PORTS = frozenset({143, 993})
LONGEST_LINE = 512 * 1024
MOST_LINES = 20_000
MOST_BYTES = 4 * 1024 * 1024
"""The most lines of the answer to one command, and their bytes beside the mail that was asked for."""
SECONDS = 60.0
WINDOW = 10_000
"""The mails' numbers that one search looks at, as long as it finds some."""
LITERAL = re.compile(rb"\{(\d{1,12})\}\r\n$")
DATE = "%d-%b-%Y %H:%M:%S %z"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class ImapLine:
    """A line that a server sent, in which each literal stands as `{}`, and the literals."""

    text: bytes
    literals: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class SelectedFolder:
    """A folder as it was selected: by its `validity`, the numbers of its mails stay what they are."""

    validity: int


@dataclass(frozen=True, slots=True)
class FetchedMail:
    """The part of a mail that was fetched."""

    uid: int
    size: int = 0
    received_at: datetime | None = None
    content: bytes | None = field(default=None, repr=False)


class ImapSession:
    """A connection to a mailbox, signed in for as long as it is entered."""

    def __init__(self, box: Imap) -> None:
        self._box = box
        self._made: socket.socket | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self._plain: asyncio.StreamWriter | None = None
        """The writer before TLS began; kept, since it closes the connection as it goes."""
        self._number = 0
        self.capabilities = frozenset[str]()

    # Connecting --------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None or kind is GeneratorExit:
                with contextlib.suppress(UpstreamError):
                    await self.command("LOGOUT", seconds=2.0)
        finally:
            self._close()

    async def _open(self) -> None:
        box = self._box
        self._made = await box.dial(box.host, box.port, PORTS)
        with self._told():
            async with asyncio.timeout(SECONDS):
                secure = {"ssl": sending.trust(), "server_hostname": box.host}
                self._reader, self._writer = await asyncio.open_connection(
                    sock=self._made,
                    limit=LONGEST_LINE,
                    **(secure if box.security == "tls" else {}),  # type: ignore[arg-type]
                )
                greeting = await self._line()
        if not greeting.text.upper().startswith((b"* OK", b"* PREAUTH")):
            raise UpstreamError(f"{box.host} does not greet as IMAP does: {shown(greeting.text)}")
        if box.security == "starttls":
            await self.command("STARTTLS")
            with self._told():
                async with asyncio.timeout(SECONDS):
                    await self._encrypt()
        await self._sign_in()
        await self._ask_capabilities()

    async def _encrypt(self) -> None:
        """Begin TLS, with a reader of its own: what came before it is no answer of the server."""
        assert self._writer is not None
        self._plain = self._writer
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=LONGEST_LINE)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport = await loop.start_tls(
            self._plain.transport, protocol, sending.trust(), server_hostname=self._box.host
        )
        if transport is None:
            raise UpstreamError(f"{self._box.host} ended the connection as TLS began")
        protocol.connection_made(transport)
        self._reader = reader
        self._writer = asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _sign_in(self) -> None:
        box = self._box
        await self._ask_capabilities()
        auth = box.auth
        if isinstance(auth, OAuth2Code):
            if auth.is_stale():
                box = await box.refreshed()
            token = getattr(box.auth, "access_token", None)
            if token is None:
                raise Unauthorized("nobody has signed in to the mailbox yet; connect it")
            secret = f"user={box.username}\x01auth=Bearer {token.get_secret_value()}\x01\x01"
            await self._authenticate("XOAUTH2", secret.encode())
            return
        password = auth.password.get_secret_value()
        secret = f"\0{box.username}\0{password}"
        if "AUTH=PLAIN" in self.capabilities:
            await self._authenticate("PLAIN", secret.encode())
        else:
            await self._signed(f"LOGIN {quoted(box.username)} {quoted(password)}")

    async def _authenticate(self, mechanism: str, secret: bytes) -> None:
        sent = base64.b64encode(secret)
        if "SASL-IR" in self.capabilities:
            await self._signed(f"AUTHENTICATE {mechanism} {sent.decode()}")
        else:
            await self._signed(f"AUTHENTICATE {mechanism}", sent)

    async def _signed(self, text: str, more: bytes = b"") -> None:
        try:
            await self.command(text, more=more)
        except RefusedCommand as error:
            if "UNAVAILABLE" in str(error) or "LIMIT" in str(error):
                raise
            raise Unauthorized(
                f"{self._box.host} refused the user or the password ({error.answer}); connect again"
            ) from error

    async def _ask_capabilities(self) -> None:
        for line in await self.command("CAPABILITY"):
            if line.text.upper().startswith(b"* CAPABILITY "):
                self.capabilities = frozenset(
                    line.text.decode("ascii", "replace").upper().split()[2:]
                )

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        elif self._made is not None:
            self._made.close()

    # Commands ----------------------------------------------------------------------------------

    async def command(
        self, text: str, *, most: int = 0, more: bytes = b"", seconds: float = 0.0
    ) -> list[ImapLine]:
        """Send a command; return the lines of its answer, with literals of at most `most` bytes a line.

        `more` follows where the server asks for it. `RefusedCommand` where it says NO or BAD.
        """
        tag, size = self._tag(), 0
        found: list[ImapLine] = []
        with self._told():
            async with asyncio.timeout(seconds or SECONDS):
                await self._send(f"{tag} {text}\r\n".encode())
                while True:
                    line = await self._line(most)
                    if line.text.startswith(b"+"):
                        # A server that refuses a token says why here, and wants an empty line.
                        await self._send(more + b"\r\n")
                        more = b""
                    elif line.text.startswith(tag.encode() + b" "):
                        answer = line.text[len(tag) + 1 :]
                        if not answer.upper().startswith(b"OK"):
                            raise RefusedCommand(self._box.host, text.split()[0], shown(answer))
                        found.append(ImapLine(answer))
                        return found
                    else:
                        if text != "LOGOUT":
                            self._refuse(line, tag, text)
                        found.append(line)
                    size += len(line.text) + sum(map(len, line.literals))
                    if len(found) > MOST_LINES or size > MOST_BYTES + most:
                        raise UpstreamError(
                            f"{self._box.host} answers {text.split()[0]} with more than is read"
                        )

    async def idle(self, seconds: float) -> None:
        """Wait until the server says that the folder has changed, or for so many seconds."""
        tag = self._tag()
        with self._told():
            async with asyncio.timeout(SECONDS):
                await self._send(f"{tag} IDLE\r\n".encode())
                while not (line := await self._line()).text.startswith(b"+"):
                    self._refuse(line, tag, "IDLE")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    for _ in range(MOST_LINES):
                        line = await self._line()
                        self._refuse(line, tag, "IDLE")
                        if re.search(rb"^\* \d+ (EXISTS|RECENT|EXPUNGE)", line.text, re.I):
                            break
            async with asyncio.timeout(SECONDS):
                await self._send(b"DONE\r\n")
                for _ in range(MOST_LINES):
                    line = await self._line()
                    self._refuse(line, tag, "IDLE")
                    if line.text.startswith(tag.encode() + b" "):
                        return
        raise UpstreamError(f"{self._box.host} does not end IDLE")

    def _refuse(self, line: ImapLine, tag: str, command: str) -> None:
        answer = line.text[len(tag) + 1 :]
        if line.text.upper().startswith(b"* BYE"):
            raise UpstreamError(f"{self._box.host} ended the session: {shown(line.text)}")
        if line.text.startswith(tag.encode() + b" ") and not answer.upper().startswith(b"OK"):
            raise RefusedCommand(self._box.host, command, shown(answer))

    def _tag(self) -> str:
        self._number += 1
        return f"h{self._number}"

    async def _send(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)
        await self._writer.drain()

    async def _line(self, most: int = 0) -> ImapLine:
        text, literals, taken = b"", list[bytes](), 0
        while True:
            text += await self._reader.readuntil(b"\n")
            if (found := LITERAL.search(text)) is None:
                return ImapLine(text.rstrip(b"\r\n"), literals)
            size = int(found[1])
            taken += size
            if taken > most or len(literals) > 100:
                raise UpstreamError(
                    f"{self._box.host} sends {taken:,} bytes at once, more than is read"
                )
            literals.append(await self._reader.readexactly(size))
            text = text[: found.start()] + b"{}"
            if len(text) > LONGEST_LINE:
                raise UpstreamError(f"{self._box.host} sends a line that does not end")

    @contextlib.contextmanager
    def _told(self) -> Generator[None]:
        """Raise what goes wrong with the connection as `UpstreamError`."""
        host = self._box.host
        try:
            yield
        except asyncio.LimitOverrunError as error:
            raise UpstreamError(
                f"{host} sends a line of more than {LONGEST_LINE:,} bytes"
            ) from error
        except (EOFError, asyncio.IncompleteReadError) as error:
            raise UpstreamError(f"{host} ended the connection") from error
        except TimeoutError as error:
            raise UpstreamError(f"{host} does not answer") from error
        except OSError as error:  # an SSLError is one
            raise UpstreamError(f"{host}: the connection failed: {error}") from error

    # What a listener asks for ------------------------------------------------------------------

    async def folders(self) -> list[str]:
        """Return the names of the folders that can be selected."""
        found: list[str] = []
        for line in await self.command('LIST "" "*"', most=2_000):
            told = re.match(
                rb'\* LIST \(([^)]*)\) (?:NIL|"(?:[^"\\]|\\.)*") (.+)$', line.text, re.I
            )
            if told is not None and b"\\noselect" not in told[1].lower():
                raw = line.literals[0] if told[2] == b"{}" and line.literals else unquoted(told[2])
                found.append(from_utf7(raw.decode("ascii", "replace")))
        return sorted(found)

    async def require(self, folder: str) -> None:
        """Raise `DefinitionError` where there is no folder to move mails to."""
        try:
            await self.command(f"STATUS {quoted(to_utf7(folder))} (UIDVALIDITY)")
        except RefusedCommand as error:
            raise DefinitionError(
                f"imap.message: mails cannot be moved to {folder}: make that folder, or name another as "
                f"move_to ({error.message})"
            ) from error

    async def select(self, folder: str, *, writes: bool) -> SelectedFolder:
        """Select a folder; a flag or a move wants one that may be written."""
        verb = "SELECT" if writes else "EXAMINE"
        lines = await self.command(f"{verb} {quoted(to_utf7(folder))}")
        for line in lines:
            if found := re.search(rb"\[UIDVALIDITY (\d{1,10})\]", line.text, re.I):
                return SelectedFolder(int(found[1]))
        raise UpstreamError(f"{self._box.host} numbers no mails of {folder}: it has no UIDVALIDITY")

    async def top(self) -> int:
        """Return the number of the newest mail; 0 in an empty folder."""
        return max(await self._searched("UID *"), default=0)

    async def search(self, after: int, top: int, more: str = "") -> Sequence[int]:
        """Return some of the mails behind a number, the first of them; none where there are no more."""
        window = WINDOW
        while after < top:
            last = min(after + window, top)
            asked = f"UID {after + 1}:{last}{more}"
            if found := sorted({e for e in await self._searched(asked) if after < e <= last}):
                return found
            after, window = last, window * 10  # numbers may lie far apart
        return ()

    async def _searched(self, what: str) -> list[int]:
        found: list[int] = []
        for line in await self.command(f"UID SEARCH {what}"):
            if line.text.upper().startswith(b"* SEARCH"):
                found += [int(each) for each in line.text.split()[2:] if each.isdigit()]
        return [each for each in found if 0 < each < 1 << 32]

    async def fetch(
        self, uids: Sequence[int], items: str, most: int = 0
    ) -> Mapping[int, FetchedMail]:
        """Return what is asked of mails; one that is gone is missing."""
        lines = await self.command(
            f"UID FETCH {set_of(uids)} (UID {items})", most=most, seconds=4 * SECONDS
        )
        found = {each.uid: each for each in map(fetched, lines) if each is not None}
        return {uid: found[uid] for uid in uids if uid in found}

    async def mark(self, uids: Sequence[int], then: str, move_to: str | None) -> None:
        """Flag mails as seen, move or delete them; what is gone is fine."""
        if not uids:
            return
        which = set_of(uids)
        if then == "seen":
            await self.command(f"UID STORE {which} +FLAGS.SILENT (\\Seen)")
            return
        if then == "move" and move_to is not None:
            folder = quoted(to_utf7(move_to))
            if "MOVE" in self.capabilities:
                await self.command(f"UID MOVE {which} {folder}")
                return
            await self.command(f"UID COPY {which} {folder}")
        await self.command(f"UID STORE {which} +FLAGS.SILENT (\\Deleted)")
        if "UIDPLUS" in self.capabilities:  # an EXPUNGE would remove what others have deleted, too
            await self.command(f"UID EXPUNGE {which}")


class RefusedCommand(UpstreamError):
    """A command that the server answers with NO or BAD."""

    def __init__(self, host: str, command: str, answer: str) -> None:
        super().__init__(f"{host} refused {command}: {answer}")
        self.answer = answer


def fetched(line: ImapLine) -> FetchedMail | None:
    """Return what a line says of a mail; None where it is of something else."""
    told = re.match(rb"\* \d+ FETCH \((.*)\)$", line.text, re.I | re.S)
    uid = re.search(rb"\bUID (\d{1,10})\b", line.text) if told else None
    if told is None or uid is None:
        return None
    size = re.search(rb"\bRFC822\.SIZE (\d{1,12})\b", told[1], re.I)
    date = re.search(rb'\bINTERNALDATE "([^"]{1,40})"', told[1], re.I)
    body = re.search(rb'\bBODY\[(?:HEADER)?\](?:<0>)? (\{\}|NIL|"(?:[^"\\]|\\.)*")', told[1], re.I)
    content = None
    if body is not None:
        is_literal = body[1] == b"{}" and bool(line.literals)
        content = line.literals[0] if is_literal else unquoted(body[1])
    return FetchedMail(
        int(uid[1]), int(size[1]) if size else 0, time_of(date[1]) if date else None, content
    )


def time_of(text: bytes) -> datetime | None:
    """Return a date of IMAP in UTC; None where it is none."""
    try:
        return datetime.strptime(text.decode("ascii").strip(), DATE).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def day_of(at: datetime) -> str:
    """Return a day as a search takes it."""
    return f"{at.day}-{MONTHS[at.month - 1]}-{at.year}"


def set_of(uids: Sequence[int]) -> str:
    """Return mails as a set of their numbers: `3:5,9`."""
    spans: list[list[int]] = []
    for each in sorted(uids):
        if spans and each == spans[-1][1] + 1:
            spans[-1][1] = each
        else:
            spans.append([each, each])
    return ",".join(f"{a}:{b}" if a != b else str(a) for a, b in spans)


def quoted(text: str) -> str:
    """Return a text as a quoted string; `UpstreamError` where it cannot be one."""
    if re.search(r"[\r\n\0]", text) or not text.isascii():
        raise UpstreamError("a name or a password with such letters cannot be sent by IMAP's LOGIN")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquoted(text: bytes) -> bytes:
    """Return what a quoted string or an atom says; nothing for NIL."""
    if text.upper() == b"NIL":
        return b""
    if text.startswith(b'"'):
        return re.sub(rb"\\(.)", rb"\1", text[1:-1])
    return text


def to_utf7(name: str) -> str:
    """Return a folder's name as IMAP has it (modified UTF-7, RFC 3501 5.1.3)."""

    def encoded(found: re.Match[str]) -> str:
        text = base64.b64encode(found[0].encode("utf-16-be")).decode()
        return f"&{text.rstrip('=').replace('/', ',')}-"

    return re.sub(r"[^\x20-\x7e]+", encoded, name.replace("&", "&-"))


def from_utf7(name: str) -> str:
    """Return a folder's name as people write it."""

    def decoded(found: re.Match[str]) -> str:
        if not found[1]:
            return "&"
        text = found[1].replace(",", "/")
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4)).decode("utf-16-be")
        except ValueError:
            return found[0]

    return re.sub(r"&([^-]*)-", decoded, name)


def shown(text: bytes) -> str:
    """Return what a server said, in one short line."""
    return " ".join(text.decode("utf-8", "replace").split())[:300]
