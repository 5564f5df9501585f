"""A customer is erased: what it sent, what was done with it, what it filled in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from halflap.engine.deployer import Deployer
from halflap.errors import Conflict, NotFound
from halflap.model import DEVELOPMENT, RECEIVERS, REMOVABLE, Clock, Instance
from halflap.store import erasing
from halflap.store.catalogue.instances import InstanceFilter
from halflap.store.protocol import Filter
from halflap.store.store import Store

AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Erased:
    """A customer's data, now or as the erasure began; `before` is what has to be done first.

    left: how many of these are there still; the customer itself is one.
    """

    customer: str
    instances: int
    connections: int
    executions: int
    blobs: int
    left: int
    before: Sequence[str] = field(default=())


class Erasure:
    """Plans and makes erasures; whatever ends one, it is gone on with by asking again."""

    def __init__(self, store: Store, deployer: Deployer) -> None:
        self._store = store
        self._deployer = deployer
        self._clock: Clock = store.clock

    async def plan(self, customer: str) -> Erased:
        """Return what erasing a customer would remove."""
        catalogue, journal = self._store.catalogue, self._store.journal
        instances = await catalogue.instances.list(InstanceFilter(customer))
        before = [first_step(each) for each in instances if each.state not in REMOVABLE]
        if customer == DEVELOPMENT:  # by now nobody does it by accident
            before += [
                f"halflap instances remove {each.id}  (drafts of {each.integration} run with it)"
                for each in instances
            ]
        states = await journal.count(Filter(customer=customer))
        if states.get("running"):
            before.append(f"wait for {states['running']} running executions, or cancel them")
        counts = {
            "instances": len(instances),
            "connections": len(await catalogue.connections.list(customer)),
            "executions": sum(states.values()),
            "blobs": await self._store.payloads.blobs_of(customer),
        }
        return Erased(customer, **counts, left=sum(counts.values()) + 1, before=before)

    async def erase(self, customer: str, by: str, within: float) -> Erased:
        """Erase a customer, or what can be of it in so many seconds; ask again while any is left.

        `Conflict` where something has to be done first.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        plan = await self.plan(customer)
        if plan.before:
            raise Conflict("do this first: " + "; ".join(plan.before), key=customer)
        there = {
            "instances": plan.instances,
            "connections": plan.connections,
            "executions": plan.executions,
            "blobs": plan.blobs,
        }
        was = await erasing.begin(self._store.database, customer, self._clock(), by, there)
        await self._store.journal.shut(customer)
        if late := (await self.plan(customer)).before:  # what had begun before that
            raise Conflict("do this first: " + "; ".join(late), key=customer)
        async with aclosing(self._pieces(customer)) as pieces:
            async for _ in pieces:
                if loop.time() >= until:
                    return replace(await self.plan(customer), **was)
        return replace(plan, **was, left=0)

    async def _pieces(self, customer: str) -> AsyncGenerator[None]:
        """Erase piece by piece: between two, one may stop, or be killed, and begin again.

        The customer itself goes last, so that what was not erased is always found.
        """
        catalogue, journal = self._store.catalogue, self._store.journal
        instances = {each.id for each in await catalogue.instances.list(InstanceFilter(customer))}
        for each in sorted({*instances, *await journal.instances_of(customer)}):
            await journal.shards.forget(each)
            while await journal.erase(each, AT_ONCE):
                yield
        while await journal.erase(customer, AT_ONCE):  # the keys of events that were published
            yield
        while await self._store.payloads.erase_blobs(customer, AT_ONCE):
            yield
        await catalogue.unrouted.forget(customer)
        for each in (customer, *instances):
            await catalogue.bulks.forget(each)
        for each in instances:
            await self._deployer.remove(each)
        for each in await catalogue.connections.list(customer):
            await catalogue.connections.remove(each.id)
        await self._deployer.remove_customer(customer)
        await self._finish(customer)

    async def _finish(self, customer: str) -> None:
        await erasing.compact(self._store.database)
        await erasing.end(self._store.database, customer, self._clock())

    async def resume(self) -> None:
        """Finish what an earlier process could not: its customer is gone, so nobody can ask for it."""
        for customer, note in (await erasing.erased(self._store.database)).items():
            if note["at"] is None and not await self._is_there(customer):
                await self._finish(customer)

    async def _is_there(self, customer: str) -> bool:
        try:
            await self._store.catalogue.customers.get(customer)
        except NotFound:
            return False
        return True


def first_step(instance: Instance) -> str:
    """Return what has to be done with an instance before its customer can be erased."""
    if instance.integration == RECEIVERS:
        return f"halflap receivers remove {instance.id}  (it sends webhooks to {instance.name})"
    return (
        f"halflap instances disable {instance.id}  ({instance.name} is {instance.state}; --abandon, "
        "where its app no longer lets it in)"
    )
