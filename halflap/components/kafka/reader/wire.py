"""The protocol between the server and a process that reads a topic: frames of msgpack over a socket.

A frame is four bytes of length, big-endian, then one message. The messages are data of fixed types: a
process that a broker has taken over can say nothing but them.
"""

from __future__ import annotations

import struct
from typing import Any, Literal

import msgspec

from halflap import DefinitionError, Unauthorized, UpstreamError

HEADER = struct.Struct(">I")
MOST_FRAME = 128 * 1024 * 1024
"""The longest frame that the server takes: a record of the largest, behind as much of others."""


class ReadRecord(msgspec.Struct, array_like=True, frozen=True):
    """A record as it was read. With `unread`, which says why, it stands for what is not read."""

    topic: str
    partition: int
    offset: int
    millis: int = 0
    """Its time, of its producer or of the broker; 0 or less where there is none."""
    key: bytes | None = None
    value: bytes | None = None
    headers: list[tuple[str, bytes | None]] = []
    unread: str = ""


class ClientFailure(msgspec.Struct, array_like=True, frozen=True):
    """An error as it crosses the line."""

    kind: Literal["upstream", "unauthorized", "definition"]
    message: str
    retryable: bool = False
    in_doubt: bool = False


class Open(msgspec.Struct, tag=True, frozen=True):
    """To a new process: what it reads, and how. It ends with its connection."""

    cluster: dict[str, Any]
    """librdkafka's settings of the cluster."""
    member: dict[str, Any]
    """The settings of a member of the group, beside them."""
    topic: str
    most: int
    most_bytes: int
    """The bytes of a record that is stored."""
    memory: int
    call_seconds: float
    check_seconds: float
    standing_seconds: float
    connect_seconds: float


class Want(msgspec.Struct, tag=True, frozen=True):
    """To the process: read on, once."""


class Accepted(msgspec.Struct, tag=True, frozen=True):
    """To the process: what was fetched last is accepted, or given up."""


class Durable(msgspec.Struct, tag=True, frozen=True):
    """To the process: the offsets, by partition, up to which records are accepted."""

    offsets: dict[int, int]


class Answered(msgspec.Struct, tag=True, frozen=True):
    """To the process: the answer to a question, or why there is none."""

    id: int
    value: Any = None
    failure: ClientFailure | None = None


class Asked(msgspec.Struct, tag=True, frozen=True):
    """From the process: a question."""

    id: int
    what: Literal["assign", "revoke", "expired", "judge", "token"]
    inputs: list[Any] = []


class Assigned(msgspec.Struct, tag=True, frozen=True):
    """From the process: the group has said which partitions are ours, be it none."""


class Fetched(msgspec.Struct, tag=True, frozen=True):
    """From the process: what was read at once, in order, and each partition's cursor behind it."""

    records: list[ReadRecord] = []
    cursors: dict[str, str] = {}


class Ended(msgspec.Struct, tag=True, frozen=True):
    """From the process: what ended the reading."""

    failure: ClientFailure


ToReader = Open | Want | Accepted | Durable | Answered
FromReader = Asked | Assigned | Fetched | Ended

_encoder = msgspec.msgpack.Encoder()


def encode_frame(message: ToReader | FromReader) -> bytes:
    """Return a message as it is sent."""
    content = _encoder.encode(message)
    return HEADER.pack(len(content)) + content


def failure_of(error: BaseException) -> ClientFailure:
    """Return an error as it crosses the line."""
    match error:
        case Unauthorized():
            return ClientFailure("unauthorized", error.message)
        case UpstreamError():
            return ClientFailure("upstream", error.message, error.retryable, error.in_doubt)
        case DefinitionError():
            return ClientFailure("definition", error.message)
        case _:
            text = f"{type(error).__name__}: {error}".rstrip(": ")
            return ClientFailure("upstream", text, retryable=True)


def error_of(failure: ClientFailure) -> UpstreamError | DefinitionError:
    """Return the error that has crossed the line."""
    match failure.kind:
        case "unauthorized":
            return Unauthorized(failure.message)
        case "definition":
            return DefinitionError(failure.message)
        case "upstream":
            return UpstreamError(
                failure.message, retryable=failure.retryable, in_doubt=failure.in_doubt
            )
