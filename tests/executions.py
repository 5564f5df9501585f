"""Instances of a test's host, and their executions once they have ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from halflap.model import Execution, Instance, StoredConnection
from halflap.sdk import codec
from halflap.server.host import Host
from halflap.store.protocol import Filter
from tests.polling import until


async def activated(
    host: Host, integration: str, version: str, name: str, connection: StoredConnection
) -> Instance:
    """Return an active instance of a connection's customer, whose only connection that is."""
    customer = connection.customer
    assert customer is not None
    catalogue = host.store.catalogue
    made = await catalogue.instances.add(customer, integration, name, version)
    await catalogue.instances.set_revision(made.id, {}, {connection.component: connection.id})
    await host.deployer.activate(made.id)
    found = await host.deployer.settled(made.id)
    assert found.state == "active", found.error
    return found


async def ended(host: Host, number: int, **which: Any) -> list[Execution]:
    """Return executions, once there are so many and all have ended."""

    async def look() -> list[Execution] | None:
        found = await host.store.journal.executions(Filter(**which, limit=500))
        return found if len(found) >= number and all(each.ended_at for each in found) else None

    return await until(look)


def returned(executions: Iterable[Execution]) -> list[Any]:
    """Return what the flows returned, sorted."""
    return sorted(codec.decode(each.result or b"null") for each in executions)
