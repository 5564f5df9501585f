"""Removals are whole, whenever the process ends or the store fails; the rest is kept."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from halflap.engine.journal import JournalEngine
from halflap.engine.leftover import AT_ONCE, REMOVING, Leftovers
from halflap.errors import ConfigError, InDoubt
from halflap.model import Event, FlowKey, Start, StateWrite, new_id, wall_clock
from halflap.store.protocol import Filter
from halflap.store.store import Store
from tests.polling import DEADLINE
from tests.world import Mortal

MANY = AT_ONCE * 2 + 5
"""So that clearing takes three transactions."""


async def filled(store: Store) -> tuple[str, str]:
    """Two instances of one customer, each with a state: their ids."""
    customer = (await store.catalogue.customers.add("Initech")).id
    await store.catalogue.versions.publish("shop", "hash", b"bundle")
    ids: list[str] = []
    for name in ("mine", "other"):
        made = await store.catalogue.instances.add(customer, "shop", name, "hash")
        ids.append(made.id)
        few = [f"records:{made.id}", f"instance:{made.id}", f"flow:{made.id}:orders"]
        writes = [StateWrite(scope, "k", b"1") for scope in few]
        pairs = f"pairs:{made.id}:orders"
        writes += [StateWrite(pairs, f"{n:05}", b"1") for n in range(MANY)]
        await store.journal.write_state(writes)
    await store.journal.write_state([StateWrite(f"writes:{customer}", "k", b"1")])
    return ids[0], ids[1]


def leftovers_of(store: Store) -> Leftovers:
    return Leftovers(store.catalogue, JournalEngine(store.journal, clock=wall_clock))


async def accept_for(store: Store, instance: str) -> None:
    """Accept an event for an instance."""
    id = new_id("exe")
    key = FlowKey("cus_1", instance, "shop", "orders", "hash", 1)
    event = Event("POST", "", "", (), b"{}", 1)
    await store.journal.accept([Start(id, key, event, root=id)], claim=0, lease=1)


async def held(store: Store) -> dict[str, int]:
    """Return the number of keys of each scope."""
    sql = "SELECT scope, count(*) FROM state GROUP BY scope"
    return dict(await store.database.read(lambda c: c.execute(sql).fetchall()))


@pytest.mark.parametrize("after", [False, True], ids=["before-the-write", "after-the-write"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
async def test_a_removal_that_is_killed_at_any_write_is_made_whole_or_not_at_all(
    tmp_path: Path, at: int, after: bool
) -> None:
    store = await Store.open(tmp_path, synchronous="OFF")
    mine, other = await filled(store)
    for each in (live := (mine, other)):
        await accept_for(store, each)
    before = await held(store)
    mortal = Mortal(store, at, after=after)
    removing = asyncio.create_task(leftovers_of(store).remove_instance(mine))
    async with asyncio.timeout(DEADLINE):
        await mortal.dead.wait()
    mortal.bury()
    with contextlib.suppress(InDoubt):
        await removing
    await store.database.close()

    store = await Store.open(tmp_path, synchronous="OFF")
    await leftovers_of(store).resume()
    left = {each.id for each in await store.catalogue.instances.list()}
    after_all = await held(store)
    states = {each: (await store.journal.executions(Filter(instance=each)))[0] for each in live}
    await store.close()
    assert left == ({mine, other} if (at, after) < (2, True) else {other})
    assert (states[other].state, states[mine].state) == (
        "queued",
        "queued" if mine in left else "cancelled",
    )
    assert after_all == {s: n for s, n in before.items() if mine in left or mine not in s}


async def test_what_may_not_be_removed_keeps_its_state(tmp_path: Path) -> None:
    store = await Store.memory()
    mine, _ = await filled(store)
    await store.catalogue.instances.move(mine, ("configured",), "active")
    before = await held(store)
    leftovers = leftovers_of(store)
    with pytest.raises(ConfigError, match="disable it first"):
        await leftovers.remove_instance(mine)
    customer = (await store.catalogue.instances.get(mine)).customer
    with pytest.raises(ConfigError, match="remove them first"):
        await leftovers.remove_customer(customer)
    assert await held(store) == before
    await store.journal.write_state(
        [StateWrite(REMOVING, each, b"true") for each in (mine, customer)]
    )
    await leftovers.resume()
    assert await held(store) == before
    await store.close()
