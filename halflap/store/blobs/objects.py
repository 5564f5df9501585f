"""Blobs as objects of S3, and of what is like it: MinIO, Google Cloud Storage, Azure."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from halflap.errors import BlobLost, StoreError
from halflap.store.blobs.blob import CHUNK

PART = 5 * 1024 * 1024
"""The size of the parts of what is larger than one: the least that S3 takes."""
AT_ONCE = 2
"""The number of parts of a payload that are under way: the memory that it needs."""


class Objects:
    """A blob store at a URL: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://account/container`.

    Credentials, region and endpoint are where that provider's own tools look for them: the
    environment (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT_URL`, …) or the machine's role.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._where = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
        try:
            self._store = from_url(url)
        except (BaseError, ValueError) as error:
            raise StoreError(
                f"{self._where}: no blob store can be opened there: {error}"
            ) from error

    @property
    def where(self) -> str:
        """The URL."""
        return self._where

    async def write(self, key: str, chunks: AsyncIterable[bytes]) -> None:
        """Keep a payload (see `BlobStore`): the provider has confirmed it on return."""
        async with self._explained(key):
            await obstore.put_async(
                self._store, key, _whole(chunks), chunk_size=PART, max_concurrency=AT_ONCE
            )

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes of a payload (see `BlobStore`)."""
        if end is not None and end <= start:
            return
        async with self._explained(key):
            whole = start == 0 and end is None
            within = {"offset": start} if end is None else (start, end)
            found = await obstore.get_async(
                self._store,
                key,
                options=None if whole else {"range": within},  # pyright: ignore[reportArgumentType]
            )
            async for chunk in found.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove payloads (see `BlobStore`)."""
        for key in keys:
            async with self._explained(key):
                try:
                    await obstore.delete_async(self._store, key)
                except FileNotFoundError:
                    continue

    async def keys(self, customer: str) -> AsyncIterator[str]:
        """The keys of a customer's payloads (see `BlobStore`)."""
        async with self._explained(customer):
            listed: Any = cast(Any, obstore).list(self._store, f"{customer}/")
            async for some in listed:
                for each in some:
                    yield each["path"]

    async def close(self) -> None:
        """Nothing is held."""

    @asynccontextmanager
    async def _explained(self, key: str) -> AsyncGenerator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise BlobLost(where=f"{self._where}/{key}") from error
        except (BaseError, OSError) as error:
            raise StoreError(
                f"{self._where}: a payload cannot be kept or read ({error}); look at HALFLAP_BLOBS, "
                "and at the provider's own settings in the environment"
            ) from error


async def _whole(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The chunks, and at least one: nothing is a payload too."""
    some = False
    async for chunk in chunks:
        some = True
        yield chunk
    if not some:
        yield b""
