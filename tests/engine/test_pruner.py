"""Of many processes on one store, one prunes at a time."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from halflap.engine.pruner import Pruner
from halflap.model import Event, FlowKey, Micros, Outcome, Retention, Start, new_id
from halflap.store.retention import DAY
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.cluster import emptied_url
from tests.polling import until

KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


class Clock:
    now: Micros = 1_767_260_000_000_000

    def __call__(self) -> Micros:
        return self.now


async def test_nothing_is_pruned_while_another_process_prunes() -> None:
    clock, url, vault = Clock(), emptied_url(), Vault.from_text(KEYS)
    one = await Store.open(url, clock=clock, vault=vault)
    two = await Store.open(url, clock=clock, vault=vault)
    for each in (one, two):
        each.catalogue.retentions.default = Retention(1)
    asked: list[str] = []

    def alone(name: str) -> AbstractAsyncContextManager[bool]:
        asked.append(name)
        return two.catalogue.alone(name)

    async def pruned() -> None:
        """Let a pruner look once."""
        pruner = Pruner(two.journal, two.catalogue, two.clock, alone=alone)
        task = asyncio.create_task(pruner.run())
        times = len(asked)
        await until(lambda: later(len(asked) > times))
        pruner.stop()
        await task

    try:
        execution = new_id("exe", now=clock())
        key = FlowKey("cus_1", "ins_1", "shop", "orders", "v1", 1)
        event = Event("POST", "", "", (), b"{}", clock())
        start = Start(execution, key, event, root=execution)
        (accepted,) = await one.journal.accept([start], claim=1, lease=DAY)
        assert accepted.claim is not None
        await one.journal.end(accepted.claim.lease, (), (), Outcome("succeeded"))
        clock.now += 3 * DAY
        async with one.catalogue.alone("pruner") as mine:
            assert mine
            await pruned()
            assert await one.journal.execution(execution) is not None
        await pruned()
        assert await one.journal.execution(execution) is None
    finally:
        await one.close()
        await two.close()


async def later(true: bool) -> bool:
    return true
