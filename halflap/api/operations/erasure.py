"""A customer is erased: what it sent, what was done with it, what it filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from halflap.api.operations.needs import Deployer
from halflap.errors import Conflict
from halflap.model import Clock
from halflap.store.erasing import compact, note_erased
from halflap.store.protocol import Filter
from halflap.store.store import Store

AT_ONCE = 200
REMOVABLE = ("configured", "disabled")


@dataclass(frozen=True, slots=True)
class Erased:
    """What is, or was, of a customer; `before` says what has to be done first."""

    customer: str
    instances: int
    connections: int
    executions: int
    blobs: int
    before: Sequence[str] = field(default=())


class Erasure:
    """Plans and makes erasures; whatever ends one, it is gone on with by asking again."""

    def __init__(self, store: Store, deployer: Deployer) -> None:
        self._store = store
        self._deployer = deployer
        self._clock: Clock = store.clock

    async def plan(self, customer: str) -> Erased:
        """What erasing a customer would remove."""
        catalogue, journal = self._store.catalogue, self._store.journal
        instances = await catalogue.instances.list(customer=customer)
        before = [
            f"halflap instances disable {each.id}  ({each.name} is {each.state})"
            for each in instances
            if each.state not in REMOVABLE
        ]
        counts = await journal.count(Filter(customer=customer))
        if counts.get("running"):
            before.append(f"wait for {counts['running']} running executions, or cancel them")
        payloads = self._store.payloads
        return Erased(
            customer,
            len(instances),
            len(await catalogue.connections.list(customer)),
            sum(counts.values()),
            0 if payloads is None else await payloads.blobs_of(customer),
            before,
        )

    async def erase(self, customer: str, by: str) -> Erased:
        """Erase a customer; `Conflict` where something has to be done first."""
        catalogue, journal = self._store.catalogue, self._store.journal
        plan = await self.plan(customer)
        if plan.before:
            raise Conflict("do this first: " + "; ".join(plan.before), key=customer)
        instances = {each.id for each in await catalogue.instances.list(customer=customer)}
        for each in sorted({*instances, *await journal.instances_of(customer)}):
            while await journal.erase(each, AT_ONCE):
                pass
        if self._store.payloads is not None:
            await self._store.payloads.erase_all(customer)
        for each in instances:
            await self._deployer.remove(each)
        for each in await catalogue.connections.list(customer):
            await catalogue.connections.remove(each.id)
        counts = {"instances": plan.instances, "connections": plan.connections}
        counts |= {"executions": plan.executions, "blobs": plan.blobs}
        await note_erased(self._store.database, customer, self._clock(), by, counts)
        await self._deployer.remove_customer(customer)
        await compact(self._store.database)
        return plan
