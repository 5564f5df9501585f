"""The promises of every blob store: a directory, and S3 as a third-party server speaks it."""

import random
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from halflap.errors import BlobLost, StoreError
from halflap.store import blobs
from halflap.store.blobs import BlobStore
from halflap.store.blobs.blob import new_key
from tests.bucket import bucket
from tests.cases import for_each

LARGE = random.Random(12).randbytes(1024 * 1024) * 12
"""More than two of the parts in which S3 takes what is large."""


@pytest.fixture(params=["directory", "s3"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[BlobStore]:
    place = str(tmp_path / "blobs") if request.param == "directory" else bucket(monkeypatch)
    store = blobs.at(place)
    yield store
    await store.close()


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for each in parts:
        yield each


async def whole(store: BlobStore, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([each async for each in store.read(key, start, end)])


@for_each("payload", [b"", b"x", b"\x00\xff" * 40_000, LARGE])
async def test_what_was_written_is_read(store: BlobStore, payload: bytes):
    key = new_key("cus_a")
    size = 300_000
    await store.write(key, chunks(*(payload[i : i + size] for i in range(0, len(payload), size))))
    assert await whole(store, key) == payload


async def test_a_part_is_read_without_the_rest(store: BlobStore):
    key = new_key("cus_a")
    await store.write(key, chunks(b"0123", b"456789"))
    assert await whole(store, key, 3) == b"3456789"
    assert await whole(store, key, 3, 5) == b"34"
    assert await whole(store, key, 8, 100) == b"89"
    assert await whole(store, key, 5, 5) == b""


async def test_what_is_large_comes_in_chunks(store: BlobStore):
    key = new_key("cus_a")
    await store.write(key, chunks(LARGE))
    sizes = [len(each) async for each in store.read(key)]
    assert sum(sizes) == len(LARGE)
    assert max(sizes) < len(LARGE) / 2


async def test_what_is_not_there_is_lost(store: BlobStore):
    with pytest.raises(BlobLost):
        await whole(store, new_key("cus_a"))
    with pytest.raises(BlobLost):
        await whole(store, new_key("cus_a"), 2, 5)


async def test_what_is_deleted_is_gone_and_twice_is_fine(store: BlobStore):
    key, other = new_key("cus_a"), new_key("cus_a")
    await store.write(key, chunks(b"one"))
    await store.write(other, chunks(b"two"))
    await store.delete([key, new_key("cus_b")])
    await store.delete([key])
    with pytest.raises(BlobLost):
        await whole(store, key)
    assert await whole(store, other) == b"two"


async def test_a_customers_blobs_are_listed_and_no_others(store: BlobStore):
    mine = [new_key("cus_a") for _ in range(3)]
    for key in (*mine, new_key("cus_ab"), new_key("cus_b")):
        await store.write(key, chunks(b"x"))
    assert sorted([each async for each in store.keys("cus_a")]) == sorted(mine)
    assert [each async for each in store.keys("cus_c")] == []


async def test_a_write_that_is_broken_off_leaves_nothing_to_read(store: BlobStore):
    key = new_key("cus_a")

    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise RuntimeError("the sender went away")

    with pytest.raises(Exception, match="went away"):
        await store.write(key, broken())
    with pytest.raises(BlobLost):
        await whole(store, key)


async def test_files_are_for_their_owner_only(tmp_path: Path):
    store = blobs.at(tmp_path / "blobs")
    await store.write(new_key("cus_a"), chunks(b"x"))
    for each in (tmp_path / "blobs").rglob("*"):
        mode = stat.S_IMODE(each.stat().st_mode)
        assert mode == (0o700 if each.is_dir() else 0o600), each


async def test_a_key_never_leads_out_of_the_directory(tmp_path: Path):
    store = blobs.at(tmp_path / "blobs")
    for key in ("../x", "cus_a/../../x", "/etc/x", "cus_a/x/y"):
        with pytest.raises(StoreError):
            await store.write(key, chunks(b"x"))


async def test_an_s3_that_is_away_is_a_store_error(monkeypatch: pytest.MonkeyPatch):
    place = bucket(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store = blobs.at(place.replace("s3://", "s3://no-such-"))
    with pytest.raises(StoreError, match="HALFLAP_BLOBS"):
        await store.write(new_key("cus_a"), chunks(b"x"))
