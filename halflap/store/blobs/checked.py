"""Reads blobs, and knows them again by their digest."""

from __future__ import annotations

from collections.abc import AsyncIterator

from halflap.errors import BlobLost
from halflap.model import Blob
from halflap.store.blobs.blob import BlobStore, hasher


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
