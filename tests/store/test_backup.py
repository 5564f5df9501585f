"""A backup that is made while the store is written holds one moment, and is a store again."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import anyio.to_thread
import pytest

from halflap.errors import StoreError
from halflap.model import Event, FlowKey, Start
from halflap.store.backup import back_up
from halflap.store.store import BLOBS, FILE, KEY, Store


def start(number: int, body: bytes = b"{}") -> Start:
    """An event with a number."""
    flow = FlowKey("cus_1", "ins_1", "shop", "orders", "v", 1)
    id = f"exe_{number:06}"
    return Start(id, flow, Event("POST", "", "", (), body, 1), id)


async def restored(backup: Path, key: Path, directory: Path) -> Store:
    """A store that is opened on the copy of a backup, with the key."""
    shutil.copytree(backup, directory)
    shutil.copy(key, directory / KEY)
    return await Store.open(directory)


async def test_a_backup_under_writes_is_whole_up_to_one_moment(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store")
    customer = await store.catalogue.customers.add("Ada")
    made = await store.catalogue.connections.save(
        customer.id, "acme", "Acme", {}, {"key": "s3cret"}
    )
    written = 0
    over = asyncio.Event()

    async def write() -> None:
        nonlocal written
        while not over.is_set():
            await store.journal.accept([start(written)], claim=0, lease=1)
            written += 1

    writing = asyncio.create_task(write())
    before: list[int] = []
    for _ in range(3):  # the second and third replace a copy that is there
        before.append(written)
        await anyio.to_thread.run_sync(back_up, tmp_path / "store", tmp_path / "backup")
    over.set()
    await writing
    await store.close()
    copy = await restored(tmp_path / "backup", tmp_path / "store" / KEY, tmp_path / "again")
    assert await copy.catalogue.connections.open_secrets(made.id) == {"key": "s3cret"}
    found = [await copy.journal.event(f"exe_{number:06}") is not None for number in range(written)]
    held = found.index(False) if False in found else written
    assert held >= before[-1]
    assert not any(found[held:])  # nothing later without all that came earlier
    await copy.close()


async def test_blobs_are_in_a_backup_and_are_copied_once(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store")
    body = b"x" * 200_000
    await store.journal.accept([start(1, body)], claim=0, lease=1)
    assert back_up(tmp_path / "store", tmp_path / "backup").blobs == 1
    await store.journal.accept([start(2, body)], claim=0, lease=1)
    assert back_up(tmp_path / "store", tmp_path / "backup").blobs == 1
    await store.close()
    copy = await restored(tmp_path / "backup", tmp_path / "store" / KEY, tmp_path / "again")
    for number in (1, 2):
        event = await copy.journal.event(f"exe_{number:06}")
        assert event is not None
        assert event.body == body
    await copy.close()
    assert not (tmp_path / "backup" / KEY).exists()
    assert (tmp_path / "backup" / FILE).stat().st_mode & 0o077 == 0
    assert any((tmp_path / "backup" / BLOBS).rglob("*"))


async def test_what_cannot_be_backed_up_leaves_the_copy_before(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store")
    back_up(tmp_path / "store", tmp_path / "backup")
    await store.close()
    kept = (tmp_path / "backup" / FILE).read_bytes()
    (tmp_path / "store" / FILE).write_bytes(b"no database at all" * 1_000)
    with pytest.raises(StoreError, match="cannot be backed up"):
        back_up(tmp_path / "store", tmp_path / "backup")
    assert (tmp_path / "backup" / FILE).read_bytes() == kept
    assert [each.name for each in (tmp_path / "backup").iterdir() if each.suffix == ".new"] == []
    with pytest.raises(StoreError, match="has no store in a file"):
        back_up(tmp_path / "nowhere", tmp_path / "backup")
    with pytest.raises(StoreError, match="the store itself"):
        back_up(tmp_path / "store", tmp_path / "store")
