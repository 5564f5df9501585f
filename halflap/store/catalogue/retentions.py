"""What was said about how long things are kept: by customers, by instances, by integrations."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType

from halflap.model import Retention
from halflap.store import classes
from halflap.store.catalogue.writer import Writer
from halflap.store.job import Connection

PUT = """
INSERT INTO retentions (name, kept) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET kept = excluded.kept
"""
FORGET = "DELETE FROM retentions WHERE name = ?"
SAID = "SELECT kept FROM retentions WHERE name = ?"
NOTHING_ELSE: Mapping[str, Retention] = MappingProxyType({})


class Retentions:
    """Keeps retentions by name: a customer's or an instance's id, or what `declared` makes of one."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Have the say to oneself, among all processes: what holds follows from what others said."""
        return self._writer.holding("retentions")

    async def get(self, name: str) -> Retention:
        """What was said under a name; nothing, where nothing was."""
        rows = await self._writer.rows(SAID, (name,))
        return classes.decode(rows[0][0]) if rows else Retention()

    async def put(self, name: str, retention: Retention) -> None:
        """Say something under a name, in place of what was said before."""
        if await self.get(name) == retention:
            return

        def job(connection: Connection) -> None:
            if retention == Retention():
                connection.execute(FORGET, (name,))
            else:
                connection.execute(PUT, (name, classes.encode(retention)))

        await self._writer.note(job)

    async def of(
        self, instance: str, customer: str, new: Mapping[str, Retention] = NOTHING_ELSE
    ) -> Retention:
        """What holds for an instance: what it says, above its customer, above its integration.

        `new`: what is about to be said, by name.
        """
        said = Retention()
        for name in (declared(instance), customer, instance):
            own = new[name] if name in new else await self.get(name)
            said = own.over(said)
        return said

    async def forget(self, id: str) -> None:
        """Forget what a customer or an instance said, once it is removed."""
        await self.put(id, Retention())
        await self.put(declared(id), Retention())


def declared(instance: str) -> str:
    """The name under which the integration of an instance says something."""
    return f"{instance}/integration"
