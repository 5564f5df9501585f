"""References to payloads that are stored elsewhere, and the protocol of such a store."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

from halflap.errors import BlobLost
from halflap.model import Blob

MARK = b"\x00halflap-blob\x00"
"""The prefix of a reference in its row. A payload that begins so is itself made a blob."""

CHUNK = 256 * 1024


def reference(blob: Blob) -> bytes:
    """A blob as it stands in a row, in its payload's place."""
    return MARK + msgspec.msgpack.encode((blob.key, blob.size, blob.digest))


def referred(data: bytes) -> Blob:
    """The blob that a row refers to."""
    return Blob(*msgspec.msgpack.decode(data[len(MARK) :], type=tuple[str, int, bytes]))


def is_reference(data: bytes | None) -> bool:
    """Return whether a row's value refers to a blob."""
    return data is not None and data.startswith(MARK)


def new_key(customer: str) -> str:
    """A key that no other payload has."""
    return f"{customer}/{secrets.token_hex(16)}"


def hasher(key: str) -> Any:
    """Return the hash that makes the digest of the blob of a key."""
    return blake2b(digest_size=32, key=key.partition("/")[0].encode()[:64])


class BlobStore(Protocol):
    """Keeps payloads by key. What goes wrong is a `StoreError`; what is not there, `BlobLost`."""

    @property
    def where(self) -> str:
        """The place in words, without any password."""
        ...

    async def write(self, key: str, chunks: AsyncIterable[bytes]) -> None:
        """Keep a payload under a key that is new; on return it is durable.

        What is raised while the chunks come, or where it is cancelled, leaves nothing that is ever
        read.
        """
        ...

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` to `end` (exclusive; None: to the last), in chunks."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove payloads; one that is not there is fine."""
        ...

    def keys(self, customer: str) -> AsyncIterator[str]:
        """The keys of everything that a customer has here."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


class Checked:
    """A blob store that tells what is no longer as it was kept."""

    def __init__(self, blobs: BlobStore) -> None:
        self.blobs = blobs

    async def read(
        self, blob: Blob, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """A payload in chunks. Whole, it is checked: what is not as it was kept is `BlobLost`."""
        whole = start == 0 and end is None
        digest, size = hasher(blob.key), 0
        async for chunk in self.blobs.read(blob.key, start, end):
            if whole:
                digest.update(chunk)
                size += len(chunk)
            yield chunk
        if whole and (size != blob.size or digest.digest() != blob.digest):
            raise BlobLost(where=f"{self.blobs.where}/{blob.key}: {size} of {blob.size} bytes")
