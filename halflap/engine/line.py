"""The line between a server and its child process: frames of msgpack over a socket pair.

A frame is four bytes of length, big-endian, then one message. Nothing that runs is ever sent: the
messages are data of fixed types, so a child in which an author's code went wild can end itself, and
can say nothing that its parent does not know how to judge.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

import msgspec

from halflap import errors
from halflap.engine.protocol import Again, Ended
from halflap.errors import HalflapError
from halflap.model import FlowKey, Micros, Record, Start

MOST_BYTES = 256 * 1024 * 1024
"""The longest frame; a longer one ends the line."""


class Trouble(msgspec.Struct, frozen=True):
    """An error as it crosses the line."""

    kind: str
    message: str


class Begin(msgspec.Struct, frozen=True, tag=True):
    """To a new child: what it needs to run flows as its parent would."""

    folder: str
    base_url: str
    allow: tuple[str, ...]
    keys: str
    watchdog_seconds: float
    memory: int | None
    blobs: str = ""


class Bundled(msgspec.Struct, frozen=True, tag=True):
    """To the child: the bundle of a version that it may need."""

    version: str
    bundle: bytes


class GivenFacts(msgspec.Struct, frozen=True, tag=True):
    """To the child: the facts of a flow and its instance's configs by revision, or why there are none.

    They are JSON of our own codec, which keeps every number what it is.
    """

    key: FlowKey
    facts: bytes = b""
    revisions: bytes = b""
    trouble: Trouble | None = None


class Take(msgspec.Struct, frozen=True, tag=True):
    """Run this turn. `until` ends its lease (monotonic seconds, which processes share)."""

    start: Start
    attempt: int
    accepted_at: Micros
    history: list[Record]
    cancelling: str | None
    until: float


class LineNews(msgspec.Struct, frozen=True, tag=True):
    """Changes since the last exchange: leases that were prolonged, executions to cancel."""

    until: dict[str, float]
    cancelling: dict[str, str]


class Drop(msgspec.Struct, frozen=True, tag=True):
    """Stop running this execution: keep what it did, and say when it has stopped."""

    execution: str


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From the child: it has begun; whatever ends it from now on is what it runs."""


class Ask(msgspec.Struct, frozen=True, tag=True):
    """From the child: do something, for an execution or for all; `arguments` are the verb's own."""

    number: int
    execution: str
    verb: str
    arguments: bytes


class LineAnswer(msgspec.Struct, frozen=True, tag=True):
    """To the child: what became of what it asked for."""

    number: int
    value: bytes | None
    trouble: Trouble | None = None


class LineDone(msgspec.Struct, frozen=True, tag=True):
    """From the child: the verdict on an execution, or why there is none."""

    execution: str
    ended: Ended | None = None
    again: Again | None = None
    trouble: Trouble | None = None
    dropped: bool = False


ToChild = Begin | Bundled | GivenFacts | Take | LineNews | Drop | LineAnswer
ToParent = Ready | Ask | LineDone


class Line:
    """One end of the line. `send` does not wait; `drained` waits until the other end keeps up."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kinds: Any
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(kinds).decode

    def send(self, message: msgspec.Struct) -> None:
        """Send a message; to a line whose other end is gone it is lost."""
        data = encode(message)
        if not self._writer.is_closing():
            self._writer.write(len(data).to_bytes(4, "big") + data)

    async def drained(self) -> None:
        """Wait until the other end has taken most of what was sent."""
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def receive(self) -> Any:
        """The next message; None once the other end is gone, or sends what is no message."""
        try:
            size = int.from_bytes(await self._reader.readexactly(4), "big")
            if size > MOST_BYTES:
                return None
            return self._decode(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, OSError, msgspec.MsgspecError):
            return None

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def encode(value: Any) -> bytes:
    """A value as msgpack; text that UTF-8 cannot hold (lone surrogates) is escaped."""
    try:
        return msgspec.msgpack.encode(value)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(value, builtin_types=(bytes,))
        return msgspec.msgpack.encode(_escaped(plain))


def _escaped(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            found = cast(dict[Any, Any], value)
            return {_escaped(name): _escaped(each) for name, each in found.items()}
        case list() | tuple():
            return [_escaped(each) for each in cast(list[Any], value)]
        case _:
            return value


def trouble_of(error: BaseException) -> Trouble:
    """An error as it crosses the line."""
    message = error.message if isinstance(error, HalflapError) else str(error)
    return Trouble(type(error).__name__, message or type(error).__name__)


def error_of(trouble: Trouble) -> Exception:
    """The error that crossed the line, as its own class where it is one of ours."""
    kind = getattr(errors, trouble.kind, None)
    if isinstance(kind, type) and issubclass(kind, HalflapError):
        return kind(trouble.message)
    return RuntimeError(f"{trouble.kind}: {trouble.message}")
