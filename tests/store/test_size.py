"""The room that an execution takes in a store's file, beyond its event."""

from __future__ import annotations

from pathlib import Path

from halflap.model import Event, FlowKey, Outcome, Record, Start, new_id
from halflap.store.store import Store
from halflap.store.vault import Vault

COUNT, AT_ONCE = 1_000, 50
MOST_BYTES = 1_500
VAULT = Vault.from_text("k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
HOOK = "http://127.0.0.1:41234/hooks/hk_ambcy71ee2stgn8y1kdhdf6d5t"
BODY = b"x" * 1_000
BOOKING = b'{"id":"5d41402a-00000001","who":"Initech","cents":420000}'
AT = 1_790_000_000_000_000
RECORDS = (
    Record(0, "trigger", "trigger", "webhook.request", "Request", "succeeded", AT, AT),
    Record(
        1, "to_booking", "step", "to_booking", "To booking", "succeeded", AT, AT, BOOKING, BOOKING
    ),
    Record(2, "http.post", "action", "http.post", "POST", "succeeded", AT, AT, BOOKING, BOOKING),
)


async def used_bytes(store: Store) -> int:
    sql = "SELECT (page_count - freelist_count) * page_size"
    sql += " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
    return await store.database.read(lambda c: c.execute(sql).fetchone()[0])


async def test_an_execution_of_three_steps_takes_little_beyond_its_event(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, vault=VAULT)
    flow = FlowKey(new_id("cus"), new_id("ins"), "bench-forward", "orders", "d" * 64, 1)
    empty = await used_bytes(store)
    for _ in range(COUNT // AT_ONCE):
        starts = [
            Start(id, flow, Event("POST", "", "", (), BODY, store.clock(), url=HOOK), id)
            for id in (new_id("exe") for _ in range(AT_ONCE))
        ]
        for each in await store.journal.accept(starts, claim=AT_ONCE, lease=60_000_000):
            assert each.claim is not None
            await store.journal.end(each.claim.lease, RECORDS, [], Outcome("succeeded"))
    grown = await used_bytes(store) - empty
    await store.close()
    assert grown / COUNT - len(BODY) < MOST_BYTES
