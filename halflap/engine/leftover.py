"""Remove the state of instances and customers that are removed.

Before one is removed, the state says that it is about to be. A process that ends in between leaves
that behind, and the next one goes on from there: what was removed is cleared, what was not is kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from halflap.engine.journal import JournalEngine
from halflap.errors import ConfigError, Conflict, NotFound
from halflap.model import StateWrite
from halflap.store.catalogue import Catalogue

REMOVING = "removing"
"""The scope that names, key by key, whom is being removed."""
AT_ONCE = 1_000
"""The number of keys that one transaction removes, so that others' writes get through."""

INSTANCE_REMOVED = "the instance was removed"
"""Why an execution was cancelled that was still live then, or was accepted since."""


class Leftovers:
    """Removes instances and customers with what the state keeps of them."""

    def __init__(self, catalogue: Catalogue, engine: JournalEngine) -> None:
        self._catalogue = catalogue
        self._engine = engine
        self._journal = engine.journal

    async def remove_instance(self, instance: str) -> None:
        """Remove an instance, its echoes, its pairs and what its flows kept."""
        await self._remove(instance, self._catalogue.instances.remove)

    async def remove_customer(self, customer: str) -> None:
        """Remove a customer that has nothing left, and what was kept of its writes."""
        await self._remove(customer, self._catalogue.customers.remove)

    async def resume(self) -> None:
        """Go on with what an earlier process was removing."""
        for each in await self._journal.list_state(REMOVING):
            async with self._catalogue.alone(f"remove {each}") as mine:
                if not mine:
                    continue  # another process is at it
                if await self._is_there(each):
                    await self._settle(each)
                else:
                    await self._clear(each)

    async def _remove(self, id: str, remove: Callable[[str], Awaitable[None]]) -> None:
        async with self._catalogue.alone(f"remove {id}") as mine:
            if not mine:
                raise ConfigError(f"{id} is being removed already; look again in a moment")
            await self._journal.write_state([StateWrite(REMOVING, id, b"true")])
            try:
                await remove(id)
            except (ConfigError, Conflict, NotFound):
                await self._settle(id)
                raise
            for each in await self._journal.paused():
                if each.what.partition("/")[0] == id:
                    await self._journal.resume(each.what)
            await self._clear(id)

    async def _clear(self, id: str) -> None:
        if id.startswith("ins_"):
            await self._engine.cancel_all(id, INSTANCE_REMOVED)
        await self._catalogue.retentions.forget(id)
        scopes = scopes_of(id)
        while await self._journal.clear_state(scopes, AT_ONCE) == AT_ONCE:
            pass
        await self._journal.shards.forget(id)
        await self._settle(id)

    async def _settle(self, id: str) -> None:
        await self._journal.write_state([StateWrite(REMOVING, id, None)])

    async def _is_there(self, id: str) -> bool:
        try:
            if id.startswith("ins_"):
                await self._catalogue.instances.get(id)
            else:
                await self._catalogue.customers.get(id)
        except NotFound:
            return False
        return True


def scopes_of(id: str) -> tuple[str, ...]:
    """The scopes of the state that are an instance's, or a customer's, alone."""
    if id.startswith("ins_"):
        return (f"records:{id}", f"instance:{id}", f"pairs:{id}:", f"flow:{id}:")
    return (f"writes:{id}", f"making:{id}:")
