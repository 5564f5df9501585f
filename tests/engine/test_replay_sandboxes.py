"""Replays between the Salesforce and the Acme sandbox: newer values stay, and keys too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from halflap.api.operations.replay import ReplayRequest
from halflap.model import Execution
from halflap.server.host import Host
from halflap.store.protocol import Filter
from tests.served import until
from tests.twoapps import Apps, Place, both_apps, configured, project, settled
from tests.world import host_on, publish

MANY = list(range(100))
OPPORTUNITY = {"Name": "Suit", "StageName": "Prospecting", "CloseDate": "2026-01-31"}


@dataclass
class Deal:
    """An opportunity that both apps have, at 10 a seat."""

    host: Host
    apps: Apps
    place: Place
    salesforce: str
    acme: str

    async def seats(self, seats: int) -> None:
        body = {"seats": seats}
        await self.apps.acme.patch(f"/v1/opportunities/{self.acme}", body, self.place.key)

    async def amount(self) -> Decimal | None:
        fields = await self.place.sf.current("Opportunity", self.salesforce, ("Amount",))
        assert fields is not None
        return fields["Amount"]

    async def executions(self, flow: str) -> list[Execution]:
        return await self.host.store.journal.executions(Filter(flow=flow))

    async def newest(self, is_it: Callable[[Execution], bool]) -> Execution:
        """The newest execution of the flow to Salesforce, once it is as it should be."""

        async def look() -> Any:
            found = await self.executions("opportunity_amount")
            return found[0] if found and is_it(found[0]) else None

        return await until(look)

    async def replayed(self, execution: Execution, start: Any = None) -> Execution:
        request = ReplayRequest(start)
        made = await self.host.operations.executions.replay(execution, request)
        assert await self.host.engine.outcome(made.execution, 20) is not None
        found = await self.host.store.journal.execution(made.execution)
        assert found is not None
        return found


@pytest.fixture
async def deal(tmp_path: Path) -> AsyncIterator[Deal]:
    async with both_apps() as apps, host_on(tmp_path / "store") as (host, _):
        place = await apps.place("Initech")
        version = await publish(host, project(tmp_path / "p"), "salesforce_acme:integration")
        customer = await host.store.catalogue.customers.add("Initech")
        instance = await configured(host, apps, place, customer, version)
        await host.deployer.activate(instance.id)
        await settled(host, [instance.id], "active")
        made = await apps.salesforce.edit(place.org, "create", "Opportunity", values=OPPORTUNITY)

        async def arrived() -> Any:
            return await apps.acme.get("/v1/opportunities", place.key)

        [record] = await until(arrived)
        path = f"/v1/opportunities/{record['id']}"
        deal = Deal(host, apps, place, made["Id"], record["id"])
        await apps.acme.patch(path, {"seats": 2, "price": "10"}, place.key)
        await deal.newest(lambda each: each.state == "succeeded")
        assert await deal.amount() == 20
        yield deal


async def test_a_replay_after_newer_seats_leaves_the_newer_amount(deal: Deal) -> None:
    await deal.apps.faults("salesforce", deal.place, fail_at=MANY, status=400)
    await deal.seats(1)
    stale = await deal.newest(lambda each: each.state == "failed")
    await deal.apps.faults("salesforce", deal.place)
    await deal.seats(7)
    await deal.newest(lambda each: each.state == "succeeded" and each.id > stale.id)
    assert await deal.amount() == 70
    found = await deal.replayed(stale)
    assert (found.state, found.reason.partition(":")[0]) == ("ignored", "superseded")
    assert await deal.amount() == 70
    assert (await deal.replayed(stale, "start")).state == "succeeded"
    assert await deal.amount() == 70
