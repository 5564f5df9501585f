"""Large payloads: kept apart, durable before their row, checked as they are read, swept up."""

import asyncio
import threading
from collections.abc import AsyncIterator
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halflap.errors import BlobLost, StoreError
from halflap.model import Event, FlowKey, LogLine, Outcome, Record, Retention, Start, new_id
from halflap.store.blobs import Nowhere, payloads
from halflap.store.blobs.payloads import LONG_TO_HASH, Payloads
from halflap.store.blobs.register import Register
from halflap.store.blobs.viewing import unloaded
from halflap.store.history import outcome_at_end
from halflap.store.retention import DAY, RetentionRules
from halflap.store.sqlite import SqliteDatabase
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.cluster import emptied_url, kept_sessions
from tests.journals import LEASE, StandingClock

VAULT = Vault({"k1": b"0" * 32}, "k1")
LARGE = b'"' + b"canary " * 20_000 + b'"'


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: StandingClock
) -> AsyncIterator[Store]:
    place = tmp_path / "store" if request.param == "sqlite" else emptied_url()
    with kept_sessions():
        store = await Store.open(place, vault=VAULT, clock=clock, large=str(tmp_path / "blobs"))
        yield store
        await store.close()


def start(body: bytes = LARGE, customer: str = "cus_a", **more: Any) -> Start:
    event = Event("POST", "", "", (), body, 12)
    id = new_id("exe")
    flow = FlowKey(customer, f"ins_{customer}", "shop", "orders", "v1", 1)
    return Start(id, flow, event, id, **more)


def step(result: bytes = LARGE) -> Record:
    return Record(0, "acme.save#1", "action", "acme.save", "Save", "succeeded", 1, 2, b"{}", result)


def files(folder: Path) -> list[Path]:
    return [each for each in (folder / "blobs").rglob("*") if each.is_file()]


async def test_large_payloads_are_files_and_small_ones_are_rows(store: Store, tmp_path: Path):
    journal = store.journal
    small = start(b"{}")
    await journal.accept([small], claim=0, lease=LEASE)
    assert files(tmp_path) == []
    (accepted,) = await journal.accept([start()], claim=1, lease=LEASE)
    assert accepted.claim is not None
    assert accepted.claim.start.event.body == LARGE
    lease = accepted.claim.lease
    line = LogLine(1, "info", "x", LARGE)
    await journal.commit(lease, [step()], [line])
    await journal.end(lease, [], [], Outcome("succeeded", result=LARGE))
    assert len(files(tmp_path)) == 4
    raw = unloaded(journal)
    for held in (await raw.event(lease.execution), await raw.execution(lease.execution)):
        assert b"canary" not in repr(held).encode()
    event = await journal.event(lease.execution)
    assert event is not None
    assert event.body == LARGE
    assert (await journal.steps(lease.execution))[0].result == LARGE
    assert (await journal.logs(lease.execution))[0][1].fields == LARGE
    outcome = await outcome_at_end(journal, lease.execution)
    assert outcome is not None
    assert outcome.result == LARGE


async def test_long_payloads_are_hashed_in_threads(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event, a step's inputs and result, a log line's fields and a flow's result."""
    here, seen = threading.get_ident(), list[tuple[int, bool]]()
    digest_of = payloads.digest_of

    def digest(key: str, data: bytes) -> bytes:
        seen.append((len(data), threading.get_ident() == here))
        return digest_of(key, data)

    monkeypatch.setattr(payloads, "digest_of", digest)
    texts = [b'"' + b"x" * (LONG_TO_HASH + n) + b'"' for n in range(5)]
    [accepted] = await store.journal.accept([start(texts[0])], claim=1, lease=LEASE)
    assert accepted.claim is not None
    record = replace(step(texts[1]), inputs=texts[2])
    line = LogLine(1, "info", "x", texts[3])
    await store.journal.commit(accepted.claim.lease, [record], [line])
    await store.journal.end(accepted.claim.lease, [], [], Outcome("succeeded", result=texts[4]))
    assert sorted(seen) == [(len(each), False) for each in texts]
    seen.clear()
    await store.journal.accept([start()], claim=0, lease=LEASE)  # the control is shorter
    assert seen == [(len(LARGE), True)]


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_the_blob_is_there_before_its_row(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[int] = []
    post = SqliteDatabase.post

    def spied(self: SqliteDatabase, job: Any) -> Any:
        seen.append(len(files(tmp_path)))
        return post(self, job)

    monkeypatch.setattr(SqliteDatabase, "post", spied)
    await store.journal.accept([start()], claim=0, lease=LEASE)
    assert seen == [0, 1]  # it is noted, then written, then its row is


async def test_two_customers_equal_payloads_have_nothing_in_common(store: Store, tmp_path: Path):
    for customer in ("cus_a", "cus_b"):
        await store.journal.accept([start(customer=customer)], claim=0, lease=LEASE)
    one, two = files(tmp_path)
    assert one.name != two.name
    assert {each.parents[1].name for each in (one, two)} == {"cus_a", "cus_b"}
    claims = await unloaded(store.journal).claim(2, LEASE)
    assert claims[0].start.event.body[-32:] != claims[1].start.event.body[-32:]


@pytest.mark.parametrize("how", ["gone", "changed", "cut"])
async def test_a_lost_payload_fails_its_execution_and_no_other(
    store: Store, tmp_path: Path, how: str
):
    hurt = start()
    await store.journal.accept([hurt], claim=0, lease=LEASE)
    (file,) = files(tmp_path)
    fine = start()
    await store.journal.accept([fine], claim=0, lease=LEASE)
    match how:
        case "gone":
            file.unlink()
        case "changed":
            file.write_bytes(LARGE.replace(b"canary", b"parrot", 1))
        case _:
            file.write_bytes(LARGE[:-1])
    claims = {each.start.execution: each for each in await store.journal.claim(5, LEASE)}
    assert claims[fine.execution].lost is None
    assert claims[fine.execution].start.event.body == LARGE
    lost = claims[hurt.execution].lost
    assert lost is not None
    assert hurt.execution in lost
    with pytest.raises(BlobLost, match=hurt.execution):
        await store.journal.event(hurt.execution)


async def test_while_the_blob_store_is_away_an_execution_waits(
    store: Store, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
):
    await store.journal.accept([start()], claim=0, lease=LEASE)

    def away(*_: Any) -> Any:
        raise StoreError("away")

    with monkeypatch.context() as patch:
        patch.setattr(store.payloads.blobs, "read", away)
        assert await store.journal.claim(5, LEASE) == []
    assert await store.journal.claim(5, LEASE) == []
    clock.now += 60_000_000
    (claim,) = await store.journal.claim(5, LEASE)
    assert claim.start.event.body == LARGE


async def test_a_write_whose_blob_cannot_be_written_is_not_made(store: Store, tmp_path: Path):
    (tmp_path / "blobs").write_text("in the way")
    given = start()
    with pytest.raises(StoreError, match="blobs"):
        await store.journal.accept([given], claim=0, lease=LEASE)
    assert await store.journal.execution(given.execution) is None


async def test_what_no_execution_has_is_swept_up_after_a_day_and_nothing_else(
    store: Store, tmp_path: Path, clock: StandingClock
):
    payloads = store.payloads
    kept = start()
    await store.journal.accept([kept], claim=0, lease=LEASE)
    await payloads.keep_starts([start()])  # and the process ended there
    assert len(files(tmp_path)) == 2
    assert await payloads.sweep() == 0  # it may be about to be referred to
    clock.now += DAY + 1
    assert await payloads.sweep() == 1
    assert len(files(tmp_path)) == 1
    assert await payloads.sweep() == 0
    assert await store.journal.event(kept.execution) is not None


async def test_blobs_go_with_what_is_pruned(store: Store, tmp_path: Path, clock: StandingClock):
    (accepted,) = await store.journal.accept([start()], claim=1, lease=LEASE)
    assert accepted.claim is not None
    await store.journal.end(accepted.claim.lease, [step()], [], Outcome("succeeded"))
    assert len(files(tmp_path)) == 2
    clock.now += 3 * DAY
    await store.journal.prune(RetentionRules(Retention(3, 1)), 10)
    assert files(tmp_path) == []
    found = await store.journal.execution(accepted.claim.start.execution)
    assert found is not None
    assert found.payload_removed


async def test_a_replay_has_payloads_of_its_own(store: Store, tmp_path: Path):
    (accepted,) = await store.journal.accept([start()], claim=1, lease=LEASE)
    assert accepted.claim is not None
    lease = accepted.claim.lease
    await store.journal.end(lease, [step()], [], Outcome("failed", "boom"))
    copied = await store.journal.steps(lease.execution)
    event = await store.journal.event(lease.execution)
    assert event is not None
    again = start(event.body, replay_of=lease.execution, copied=tuple(copied))
    await store.journal.accept([again], claim=0, lease=LEASE)
    assert len(files(tmp_path)) == 4
    (claim,) = await store.journal.claim(1, LEASE)
    assert claim.history[0].result == LARGE


async def test_a_payload_that_looks_like_a_reference_is_none(store: Store, tmp_path: Path):
    fake = b"\x00halflap-blob\x00\x93\xa1x\x01\xc4\x00"
    (accepted,) = await store.journal.accept([start(fake)], claim=0, lease=LEASE)
    assert len(files(tmp_path)) == 1
    event = await store.journal.event(accepted.execution)
    assert event is not None
    assert event.body == fake


async def test_many_at_once(store: Store, tmp_path: Path):
    starts = [start() for _ in range(20)]
    await asyncio.gather(*(store.journal.accept([each], claim=0, lease=LEASE) for each in starts))
    assert len(files(tmp_path)) == 20
    claims = await store.journal.claim(20, LEASE)
    assert all(each.start.event.body == LARGE for each in claims)


async def test_without_its_blob_store_a_reference_is_never_taken_for_a_payload(
    store: Store, tmp_path: Path, clock: StandingClock
):
    given = start()
    await store.journal.accept([given], claim=0, lease=LEASE)
    without = copy(store.journal)
    without.payloads = Payloads(Nowhere(), Register(store.database, clock), clock, over=9)
    (claim,) = await without.claim(1, LEASE)
    assert claim.lost is not None
    assert "HALFLAP_BLOBS is not set" in claim.lost
    with pytest.raises(BlobLost, match="HALFLAP_BLOBS is not set"):
        await without.event(given.execution)


async def test_without_a_blob_store_a_customer_without_blobs_is_erased(
    store: Store, clock: StandingClock
):
    without = Payloads(Nowhere(), Register(store.database, clock), clock)
    assert await without.erase_blobs("cus_a", 10) == 0
    await store.journal.accept([start()], claim=0, lease=LEASE)
    with pytest.raises(StoreError, match="cannot be removed"):  # the control
        await without.erase_blobs("cus_a", 10)
