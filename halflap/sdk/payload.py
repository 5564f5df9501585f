"""A payload that is too large for memory: read in chunks, sent on as it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from pydantic_core import core_schema

from halflap.errors import BlobLost, InvalidEvent
from halflap.model import Blob, frozen

MOST = 8 * 1024 * 1024


class PayloadReader(Protocol):
    """Where payloads are."""

    def read(self, blob: Blob, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]: ...


@frozen
class Reading:
    """A reader of payloads: whose an execution may read, and where they are."""

    reader: PayloadReader
    customer: str


reading: ContextVar[Reading | None] = ContextVar("halflap.payloads", default=None)


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes that are too many to be held in memory, such as the body of a large request.

    Read it with `stream()`, as often as needed; hand it to an action, or send it on as a request's
    `body=`: it passes through in chunks. Records name it by its digest. It is kept as long as the
    event of its execution.
    """

    blob: Blob = field(repr=False)
    content_type: str = "application/octet-stream"

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.blob.size

    async def stream(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` to `end` (exclusive), in chunks. The whole is checked as it comes.

        Raises `BlobLost` where it is no longer what was received.
        """
        within = reading.get()
        if within is None or within.customer != self.blob.customer:
            raise BlobLost(where="it can be read only in an execution of its own customer")
        async for chunk in within.reader.read(self.blob, start, end):
            yield chunk

    async def read(self, most: int = MOST) -> bytes:
        """All bytes at once; `InvalidEvent` where they are more than `most`."""
        if self.size > most:
            raise InvalidEvent(f"The payload has {self.size:,} bytes, more than {most:,}.")
        return b"".join([chunk async for chunk in self.stream()])

    def recorded(self) -> dict[str, Any]:
        """As a record has it."""
        return {
            "key": self.blob.key,
            "size": self.blob.size,
            "digest": self.blob.digest.hex(),
            "content_type": self.content_type,
        }

    @classmethod
    def of(cls, recorded: dict[str, Any]) -> Payload:
        """From its record."""
        digest = bytes.fromhex(recorded["digest"])
        return cls(Blob(recorded["key"], recorded["size"], digest), recorded["content_type"])

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        def read(value: Any) -> Payload:
            if isinstance(value, Payload):
                return value
            if not isinstance(value, dict) or "$payload" not in value:
                raise ValueError("expected a Payload")
            try:
                return Payload.of(cast(dict[str, Any], value)["$payload"])
            except (KeyError, TypeError) as error:
                raise ValueError("expected a Payload") from error

        return core_schema.no_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: {"$payload": value.recorded()}
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "object", "format": "payload"}
