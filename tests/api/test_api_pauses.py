"""Pauses through the API: events are accepted and wait; who paused what is shown, and outlasts all."""

import asyncio
from typing import Any

from halflap.server.host import Host
from tests.polling import until


async def state(world: Any, execution: str) -> str:
    return (await world.api.get(f"/api/executions/{execution}"))["state"]


async def test_what_is_paused_accepts_events_and_says_by_whom_and_why(
    world: Any, instance: Any
) -> None:
    other = await world.instance(await world.customer("Globex"))
    said = {"by": "anna", "reason": "they move their ERP"}
    paused = await world.api("POST", "/api/customers/Initech/pause", said)
    again = await world.api("POST", "/api/customers/Initech/pause", {"by": "ben"})
    id = await world.send(instance, {"id": "o1", "amount": 1})
    await world.ended(await world.send(other, {"id": "o2", "amount": 1}))

    shown = await world.api.get(f"/api/executions/{id}")
    [pause] = paused.json
    assert (pause["what"], pause["id"], pause["flow"]) == ("customer", instance["customer"], None)
    assert (pause["by"], pause["reason"]) == ("anna", "they move their ERP")
    assert (again.status, again.json) == (200, [pause])
    assert (shown["state"], shown["paused"]) == ("queued", [pause])
    customer = await world.api.get("/api/customers/Initech")
    listed = await world.api.items("/api/instances")
    assert customer["paused"] == pause
    assert {each["customer_name"]: each["paused"] for each in listed} == {
        "Initech": [pause],
        "Globex": [],
    }
    for query, names in (({"paused": "true"}, ["Initech"]), ({}, ["Initech", "Globex"])):
        found = (await world.api("GET", "/api/instances", total="true", **query)).json
        assert [each["customer_name"] for each in found["items"]] == names
        assert found["total"] == len(names)
    resumed = await world.api("POST", "/api/customers/Initech/resume")
    assert await world.api.items("/api/instances", paused="true") == []
    assert (resumed.status, resumed.json) == (200, [])
    assert (await world.ended(id))["state"] == "succeeded"


async def test_a_flow_is_paused_by_itself(world: Any, instance: Any) -> None:
    path = f"/api/instances/{instance['id']}"
    unknown = await world.api("POST", f"{path}/pause", {"flow": "outgoing"})
    assert (unknown.status, unknown.kind) == (404, "NotFound")
    await world.api("POST", f"{path}/pause", {"flow": "waiting"})
    held = await world.send(instance, {}, flow="waiting")
    await world.ended(await world.send(instance, {"id": "o1", "amount": 1}))
    assert await state(world, held) == "queued"
    [pause] = await world.api.get("/api/pauses")
    [found] = await world.api.items("/api/instances", paused="true")
    assert found["paused"][0].items() <= pause.items()
    assert (pause["what"], pause["id"], pause["flow"]) == ("flow", instance["id"], "waiting")
    # Resuming the instance is not resuming what is paused of it by itself.
    [left] = (await world.api("POST", f"{path}/resume")).json
    assert left.items() <= pause.items()
    names = await world.api.get(f"/api/instances/{instance['id']}")
    assert (pause["customer_name"], pause["instance_name"]) == (
        names["customer_name"],
        names["name"],
    )
    cancelled = await world.api("POST", f"/api/executions/{held}/cancel", {"reason": "not needed"})
    assert cancelled.json["state"] == "cancelled"


async def test_a_pause_outlasts_an_upgrade_a_redeploy_and_a_restart(
    world: Any, instance: Any
) -> None:
    path = f"/api/instances/{instance['id']}"
    await world.api("POST", f"{path}/pause", {"reason": "later"})
    before = await world.send(instance, {"id": "o1", "amount": 1})
    second = await world.publish(world.bundle(label="2"), overwrite="true")
    upgraded = await world.api("POST", f"{path}/upgrade", {"version": second}, wait=30)
    after = await world.send(instance, {"id": "o2", "amount": 1})
    assert (upgraded.json["state"], len(upgraded.json["paused"])) == ("active", 1)
    assert [await state(world, each) for each in (before, after)] == ["queued"] * 2

    await world.host.stop(1)
    host = await Host.open(world.host.settings)
    try:
        [paused] = await host.engine.journal.paused()
        assert (paused.what, paused.reason) == (instance["id"], "later")
        assert await host.store.journal.claim(10, 1_000_000) == []
        assert await host.engine.resume(instance["id"])
        claims = await host.store.journal.claim(10, 1_000_000)
        versions = {each.start.execution: each.start.flow.version for each in claims}
        assert versions == {before: second, after: second}
    finally:
        await host.stop(0)


async def test_what_is_paused_is_disabled_and_its_events_end_with_a_reason(
    world: Any, instance: Any
) -> None:
    await world.api("POST", f"/api/instances/{instance['id']}/pause")
    waiting = await world.send(instance, {"id": "o1", "amount": 1})
    disabled = await world.host.deployer.disable(instance["id"], drain=0)
    settled = await world.host.deployer.settled(instance["id"])
    assert (disabled.state, settled.state) == ("disabling", "disabled")
    shown = await world.ended(waiting)
    assert (shown["state"], shown["reason"]) == ("cancelled", "the instance was disabled")
    assert world.shop.hooks == {}
    # It stays paused, until it is removed.
    assert len(await world.api.get("/api/pauses")) == 1
    removed = await world.api("DELETE", f"/api/instances/{instance['id']}")
    assert removed.status == 204
    assert await world.api.get("/api/pauses") == []


async def test_one_that_runs_on_is_cut_after_the_grace_that_was_asked_for(
    world: Any, instance: Any
) -> None:
    world.shop.hold = asyncio.Event()
    id = await world.send(instance, {"id": "o1", "amount": 1})

    async def called() -> bool:
        return bool(world.shop.orders)

    await until(called)
    asked = await world.api("POST", f"/api/executions/{id}/cancel", {"reason": "no", "grace": 0})
    assert asked.status == 200
    shown = await world.ended(id)
    assert (shown["state"], shown["reason"]) == ("cancelled", "no")
    assert "shop.create_order" not in {each["name"] for each in shown["steps"]}
    world.shop.hold.set()
