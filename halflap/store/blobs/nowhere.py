"""No blob store: all payloads are in their rows, and one that is not cannot be read."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence

from halflap.errors import BlobLost, StoreError

SAID = "no blob store: HALFLAP_BLOBS is not set in this process"


class Nowhere:
    """Stands for a blob store where a store on PostgreSQL was given none."""

    where = SAID

    async def write(self, key: str, chunks: AsyncIterable[bytes]) -> None:
        """Refuses."""
        raise StoreError(f"a payload cannot be kept: there is {SAID}")

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Finds nothing."""
        raise BlobLost(where=f"{key}, and there is {SAID}")
        yield b""

    async def delete(self, keys: Sequence[str]) -> None:
        """Refuses: what another process keeps must not be forgotten."""
        raise StoreError(f"payloads cannot be removed: there is {SAID}")

    async def keys(self, customer: str) -> AsyncIterator[str]:
        """Has nothing."""
        for each in ():
            yield each

    async def close(self) -> None:
        """Nothing is held."""
