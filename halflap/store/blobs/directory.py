"""Blobs as files in a directory, for their owner only: `<customer>/<two digits>/<digits>`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import anyio.to_thread

from halflap.errors import BlobLost, StoreError, StoreFull
from halflap.store.blobs.blob import CHUNK
from halflap.store.once import make_folder, sync_names

T = TypeVar("T")
FULL = (28, 122)
"""ENOSPC and EDQUOT."""


class Directory:
    """A blob store in a directory, which may be shared between hosts that see the same files."""

    def __init__(self, folder: Path) -> None:
        """The directory is made with its first blob."""
        self._folder = folder

    @property
    def where(self) -> str:
        """The directory."""
        return str(self._folder)

    async def write(self, key: str, chunks: AsyncIterable[bytes]) -> None:
        """Keep a payload (see `BlobStore`): file and names are on disk on return."""
        path = self._path(key)
        descriptor = await self._run(lambda: _create(path))
        done = False
        try:
            async for chunk in chunks:
                await self._run(lambda chunk=chunk: _write(descriptor, chunk))
            await self._run(lambda: _settle(descriptor, path))
            done = True
        finally:
            os.close(descriptor)
            if not done:
                path.unlink(missing_ok=True)

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes of a payload (see `BlobStore`)."""
        path = self._path(key)
        descriptor = await self._run(lambda: os.open(path, os.O_RDONLY))
        try:
            at = start
            while end is None or at < end:
                size = CHUNK if end is None else min(CHUNK, end - at)
                chunk = await self._run(lambda size=size, at=at: os.pread(descriptor, size, at))
                if not chunk:
                    return
                at += len(chunk)
                yield chunk
        finally:
            os.close(descriptor)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove payloads (see `BlobStore`)."""

        def remove() -> None:
            for key in keys:
                self._path(key).unlink(missing_ok=True)

        await self._run(remove)

    async def keys(self, customer: str) -> AsyncIterator[str]:
        """The keys of a customer's payloads (see `BlobStore`)."""
        for each in await self._run(lambda: list(self._names(customer))):
            yield f"{customer}/{each}"

    async def close(self) -> None:
        """Nothing is held."""

    def _names(self, customer: str) -> Iterator[str]:
        for folder in (self._folder / customer).glob("??"):
            for file in folder.iterdir():
                yield f"{folder.name}{file.name}"

    def _path(self, key: str) -> Path:
        customer, _, name = key.partition("/")
        if not name.isalnum() or not customer.replace("_", "").isalnum():
            raise StoreError(f"{key!r} cannot name a blob")
        return self._folder / customer / name[:2] / name[2:]

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            return await anyio.to_thread.run_sync(call)
        except FileNotFoundError as error:
            raise BlobLost(where=str(error.filename)) from error
        except OSError as error:
            kind = StoreFull if error.errno in FULL else StoreError
            raise kind(
                f"{self._folder}: a payload cannot be kept or read ({error.strerror}); "
                "look at the directory of the blobs (HALFLAP_BLOBS), and its disk"
            ) from error


def _create(path: Path) -> int:
    if not path.parent.is_dir():
        make_folder(path.parent)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _write(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def _settle(descriptor: int, path: Path) -> None:
    os.fsync(descriptor)
    sync_names(path.parent)
