import secrets
import stat
from pathlib import Path

import pytest

from halflap.errors import StoreError, StoreLocked
from halflap.model import Event, FlowKey, LogLine, Outcome, Start, new_id
from halflap.store.erasing import compact
from halflap.store.store import Store
from halflap.store.vault import Vault


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_store_is_made_for_its_owner_only(tmp_path: Path):
    directory = tmp_path / "deep" / "store"
    store = await Store.open(directory)
    await store.close()
    assert mode(directory) == 0o700
    assert {each.name for each in directory.iterdir()} >= {"halflap.db", "halflap.key"}
    assert all(mode(each) == 0o600 for each in directory.iterdir())


async def test_what_was_written_is_there_after_opening_again(tmp_path: Path):
    store = await Store.open(tmp_path)
    customer = await store.catalogue.customers.add("Ada")
    made = await store.catalogue.connections.save(
        customer.id, "acme", "Acme", {}, {"key": "s3cret"}
    )
    flow = FlowKey(customer.id, "ins_1", "shop", "orders", "v", 1)
    start = Start("exe_1", flow, Event("POST", "", "", (), b"{}", 1), "exe_1")
    await store.journal.accept([start], claim=0, lease=1)
    store.catalogue.counters.count("ins_1", "orders", "filtered")
    await store.close()
    store = await Store.open(tmp_path)
    assert await store.catalogue.customers.get("Ada") == customer
    assert await store.catalogue.connections.open_secrets(made.id) == {"key": "s3cret"}
    assert await store.journal.event("exe_1") == start.event
    assert await store.catalogue.counters.of("ins_1") == {"orders": {"filtered": 1}}
    await store.close()


async def test_a_store_whose_key_is_missing_is_not_opened_with_a_new_one(tmp_path: Path):
    await (await Store.open(tmp_path)).close()
    key = tmp_path / "halflap.key"
    kept = key.read_text()
    key.unlink()
    with pytest.raises(StoreError, match=r"halflap\.key.*missing; put its copy back"):
        await Store.open(tmp_path)
    assert not key.exists()
    key.write_text(kept)
    key.chmod(0o600)
    await (await Store.open(tmp_path)).close()


async def test_keys_may_come_from_elsewhere(tmp_path: Path):
    vault = Vault({"k1": bytes(32)}, "k1")
    store = await Store.open(tmp_path / "store", vault=vault)
    await store.close()
    assert store.vault is vault
    assert not (tmp_path / "store" / "halflap.key").exists()


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/store: the store's directory cannot be made"):
        await Store.open(tmp_path / "file" / "store")
    with pytest.raises(StoreError, match="file: the store's directory cannot be made"):
        await Store.open(tmp_path / "file")


async def test_a_store_of_a_newer_schema_is_left_alone_and_unlocked(tmp_path: Path):
    store = await Store.open(tmp_path)
    await store.database.write(
        lambda c: (
            c.execute(
                "INSERT INTO migrations VALUES (99, 'before', 'later', 'x', '9.9', 1)"
            ).rowcount
        )
    )
    await store.close()
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            await Store.open(tmp_path)
        assert not isinstance(caught.value, StoreLocked)


async def test_times_are_the_clocks():
    store = await Store.memory(clock=lambda: 42)
    assert (await store.catalogue.customers.add("Ada")).created_at == 42
    await store.close()


async def test_who_is_told_of_a_failure_can_be_set():
    store = await Store.memory()
    told: list[BaseException] = []
    store.on_failure = told.append
    assert store.on_failure == told.append
    await store.database.alone(lambda c: c.execute("PRAGMA foreign_keys").fetchall())
    with pytest.raises(StoreError):
        await store.database.write(lambda c: c.execute("COMMIT").rowcount)
    assert len(told) == 1
    await store.close()


def a_vault(name: str) -> Vault:
    return Vault({name: secrets.token_bytes(32)}, name)


async def test_a_store_is_not_opened_with_the_keys_of_another(tmp_path: Path):
    own, other = a_vault("mine"), a_vault("theirs")
    await (await Store.open(tmp_path, vault=own)).close()
    with pytest.raises(StoreError, match=r"'mine'.*not among those given: 'theirs'.*back"):
        await Store.open(tmp_path, vault=other)
    with pytest.raises(StoreError, match=r"'mine'.*only their names are the same"):
        await Store.open(tmp_path, vault=a_vault("mine"))
    await (await Store.open(tmp_path, vault=own)).close()


async def test_a_key_is_rotated_by_putting_another_before_it(tmp_path: Path):
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    store = await Store.open(tmp_path, vault=Vault({"k1": old}, "k1"))
    customer = await store.catalogue.customers.add("Ada")
    made = await store.catalogue.connections.save(
        customer.id, "acme", "Acme", {}, {"key": "s3cret"}
    )
    await store.close()
    store = await Store.open(tmp_path, vault=Vault({"k2": new, "k1": old}, "k2"))
    assert await store.catalogue.connections.open_secrets(made.id) == {"key": "s3cret"}
    await store.close()
    with pytest.raises(StoreError, match=r"'k1', which is not among those given: 'k2'"):
        await Store.open(tmp_path, vault=Vault({"k2": new}, "k2"))


async def test_the_secrets_of_a_store_without_a_canary_tell_its_keys(tmp_path: Path):
    store = await Store.open(tmp_path, vault=a_vault("mine"))
    customer = await store.catalogue.customers.add("Ada")
    await store.catalogue.connections.save(customer.id, "acme", "Acme", {}, {"key": "s3cret"})
    await store.database.write(lambda db: db.execute("DELETE FROM settings").rowcount)
    await store.close()
    with pytest.raises(StoreError, match=r"'mine'.*'theirs'"):
        await Store.open(tmp_path, vault=a_vault("theirs"))


async def test_log_lines_keep_their_numbers_as_the_file_is_written_anew(tmp_path: Path) -> None:
    store = await Store.open(tmp_path)
    flow = FlowKey(new_id("cus"), new_id("ins"), "orders", "new", "d" * 64, 1)
    ids = [new_id("exe") for _ in range(2)]
    starts = [Start(id, flow, Event("POST", "", "", (), b"", store.clock()), id) for id in ids]
    for each in await store.journal.accept(starts, claim=2, lease=60_000_000):
        assert each.claim is not None
        lines = [LogLine(1, "info", "one"), LogLine(2, "info", "two")]
        await store.journal.end(each.claim.lease, [], lines, Outcome("succeeded"))
    before = await store.journal.logs(ids[1])
    await store.database.write(lambda c: c.execute("DELETE FROM logs WHERE id < 3"))
    await compact(store.database)
    assert await store.journal.logs(ids[1]) == before
    await store.close()
