"""All instances of an integration move to a version: a bulk, in stages, with a way back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from halflap.api import driving
from halflap.api.driving import BulkDriver
from halflap.api.operations import bulks
from halflap.api.operations.upgrades import Stages
from halflap.errors import ConfigError, StoreError
from halflap.model import Instance
from halflap.store.catalogue.instances import InstanceFilter
from tests.api.conftest import PLAIN, UPGRADE, signed_in
from tests.api.test_api_lists import counted
from tests.polling import DEADLINE

FAILING = PLAIN.replace(
    '    """Nothing of any app."""', '    """Fail."""\n    raise ValueError("no")'
)
BROKEN = (
    PLAIN
    + '''

@integration.flow(trigger=instance.deploy)
async def deploy(ctx: Context[Settings], _: Deployment) -> None:
    """Fails for some."""
    if ctx.config.label == "bad":
        raise ValueError("no such label")
'''
)


async def activated(world: Any, count: int, bad: tuple[int, ...] = ()) -> list[Instance]:
    """Make active instances of `orders`, one of each customer, by id; some with a bad label."""
    catalogue = world.host.store.catalogue
    version = await catalogue.versions.latest("orders")

    async def one(number: int) -> Instance:
        customer = await catalogue.customers.add(f"Customer {number:04}")
        made = await catalogue.instances.add(customer.id, "orders", "orders", version.hash)
        await catalogue.instances.set_revision(made.id, {"label": "x"}, {})
        moved = await catalogue.instances.move(made.id, ("configured",), "active")
        assert moved is not None
        return moved

    made = await asyncio.gather(*(one(each) for each in range(count)))
    made.sort(key=lambda each: each.id)
    for number in bad:
        await catalogue.instances.set_revision(made[number].id, {"label": "bad"}, {})
    return made


async def versions_of(world: Any) -> list[str]:
    """The version of each instance, by id; all are active."""
    found = await world.host.store.catalogue.instances.list(InstanceFilter(integration="orders"))
    assert {each.state for each in found} <= {"active"}
    return [each.version for each in found]


def bundle(world: Any, label: str, source: str = PLAIN) -> Any:
    return world.bundle(orders=source, label=label)


async def test_a_hundred_instances_move_in_stages_through_restarts(world: Any) -> None:
    first = await world.publish(bundle(world, "1"))
    await activated(world, 100)
    second = await world.publish(bundle(world, "2"), target="")
    draft = {"version": "2", "stages": ["1%", "10%", "100%"]}
    plan = await world.plan(draft, UPGRADE)
    assert (plan["total"], plan["stages"]) == (100, [1, 10, 100])
    with counted() as statements:
        begun = await world.api("POST", UPGRADE, draft)
    assert len(statements) < 12, statements
    bulk = begun.json["id"]
    assert begun.json["stages"] == [1, 10, 100]
    stops = [1, 10, 50]
    deploying = asyncio.create_task(world.host.deployer.run())
    while stops:  # it ends with its process, and the next one goes on
        driver = BulkDriver(world.host.store.catalogue, world.host.operations.bulks)
        driving = asyncio.create_task(driver.run())
        async with asyncio.timeout(DEADLINE):
            while True:
                with counted() as statements:
                    found = await world.api.get(f"/api/bulks/{bulk}")
                assert len(statements) < 6
                if found["done"] >= stops[0]:
                    break
                await asyncio.sleep(0.01)
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)
        for each in driver._tasks.values():
            each.cancel()
        await asyncio.gather(*driver._tasks.values(), return_exceptions=True)
        await world.host.store.catalogue.bulks.take(bulk, driver._worker, -1)
        stops.pop(0)
    end = await world.driven(bulk)

    assert (end["state"], end["done"], end["refused"]) == ("succeeded", 100, 0)
    assert await versions_of(world) == [second] * 100
    await world.host.deployer.stop()
    await deploying
    found = await world.host.store.catalogue.instances.list(InstanceFilter(integration="orders"))
    assert {(each.former.version, each.moved_by) for each in found} == {(first, bulk)}


async def test_an_upgrade_stops_where_too_many_fail_and_goes_back(world: Any) -> None:
    first = await world.publish(bundle(world, "1"))
    made = await activated(world, 50, bad=(3, 20, 21, 22))
    second = await world.publish(bundle(world, "2", BROKEN), target="")

    end = await world.upgraded({"version": "2", "stages": ["10", "30"], "most_failed": "10%"})

    assert (end["state"], end["done"], end["refused"]) == ("failed", 26, 4)
    assert "stopped: 4 of the first 30 failed" in end["reason"]
    assert {each["id"] for each in end["refusals"]} == {made[n].id for n in (3, 20, 21, 22)}
    assert all("no such label" in each["why"] for each in end["refusals"])
    assert sorted(await versions_of(world)) == sorted([first] * 24 + [second] * 26)

    undone = await world.bulk(path=f"/api/bulks/{end['id']}/back")
    assert (undone["state"], undone["total"], undone["done"]) == ("succeeded", 26, 26)
    assert await versions_of(world) == [first] * 50
    again = await world.api("POST", f"/api/bulks/{end['id']}/back")
    assert again.json["total"] == 0


async def test_going_back_brings_the_former_config_and_leaves_what_has_moved_on(
    either: Any,
) -> None:
    first = await either.publish(bundle(either, "1"))
    one, other = await activated(either, 2)
    await either.publish(bundle(either, "2"), target="")
    bulk = await either.upgraded({"version": "2"})
    third = await either.publish(bundle(either, "3"), target="")
    draft = {"version": third, "config": {"label": "new"}}
    await either.api("POST", f"/api/instances/{other.id}/upgrade", draft, wait=30)

    undone = await either.bulk(path=f"/api/bulks/{bulk['id']}/back")

    assert (undone["total"], undone["done"], undone["refusals"]) == (1, 1, [])
    now = await either.api.get(f"/api/instances/{one.id}")
    assert (now["version"]["hash"], now["config"]) == (first, {"label": "x"})
    kept = await either.api.get(f"/api/instances/{other.id}")
    assert (kept["version"]["hash"], kept["config"]) == (third, {"label": "new"})


async def test_urls_are_those_of_the_flows_that_the_version_has(world: Any) -> None:
    await world.publish(bundle(world, "1"))
    [one] = await activated(world, 1)
    flow = PLAIN[PLAIN.index("@integration") :].replace("incoming", "more")
    await world.publish(bundle(world, "2", f"{PLAIN}\n\n{flow}"), target="")
    bulk = await world.upgraded({"version": "2"})
    added = (await world.api.get(f"/api/instances/{one.id}"))["urls"]
    assert set(added) == {"incoming", "more"}
    await world.bulk(path=f"/api/bulks/{bulk['id']}/back")
    left = (await world.api.get(f"/api/instances/{one.id}"))["urls"]
    assert left == {"incoming": added["incoming"]}


async def is_left_as_configured(world: Any, bulk: Any, instance: Instance, draft: Any) -> None:
    """Configure one of two that a bulk upgraded, and take that back: the other one goes back alone."""
    put = await world.api("PUT", f"/api/instances/{instance.id}/config", draft)
    assert put.status == 200, put.body
    undone = await world.bulk(path=f"/api/bulks/{bulk['id']}/back")
    assert (undone["done"], undone["refused"]) == (1, 1)
    assert "was configured since, and stays" in undone["refusals"][0]["why"]


async def test_going_back_leaves_what_was_configured_since_and_says_so(world: Any) -> None:
    first = await world.publish(bundle(world, "1"))
    one, other = await activated(world, 2)
    second = await world.publish(bundle(world, "2"), target="")
    bulk = await world.upgraded({"version": "2"})
    draft = {"config": {"label": "new"}, "connections": {}}
    await is_left_as_configured(world, bulk, other, draft)
    assert (await world.api.get(f"/api/instances/{one.id}"))["version"]["hash"] == first
    kept = await world.api.get(f"/api/instances/{other.id}")
    assert (kept["version"]["hash"], kept["config"]) == (second, {"label": "new"})


async def test_what_the_upgrade_gave_to_a_config_is_no_change_since(world: Any) -> None:
    first = await world.publish(bundle(world, "1"))
    one, other = await activated(world, 2)
    wanted = "    label: str\n    region: str\n    desk: str | None = None"
    second = await world.publish(
        bundle(world, "2", PLAIN.replace("    label: str", wanted)), target=""
    )
    bulk = await world.upgraded({"version": "2", "config": {"region": "north"}})
    draft = {"config": {"label": "x", "region": "south"}, "connections": {}}
    await is_left_as_configured(world, bulk, other, draft)
    now = await world.api.get(f"/api/instances/{one.id}")
    assert (now["version"]["hash"], now["config"]) == (first, {"label": "x"})
    kept = await world.api.get(f"/api/instances/{other.id}")
    assert (kept["version"]["hash"], kept["config"]["region"]) == (second, "south")


async def test_only_a_customers_instances_and_not_those_that_stay_are_moved(world: Any) -> None:
    first = await world.publish(bundle(world, "1"))
    made = await activated(world, 3)
    second = await world.publish(bundle(world, "2"), target="staging")
    await world.api("POST", f"/api/instances/{made[2].id}/upgrade", {"version": "2"}, wait=30)
    third = await world.publish(bundle(world, "3"), target="")

    one = await world.upgraded({"version": "3", "customer": made[1].customer})
    rest = await world.upgraded({"version": "3", "stay": ["staging"]})

    assert (one["total"], rest["total"]) == (1, 1)
    assert await versions_of(world) == [third, third, second]
    assert first not in await versions_of(world)


async def test_what_an_upgrade_did_before_it_died_counts_and_is_not_done_again(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.publish(bundle(world, "1"))
    made = await activated(world, 5)
    second = await world.publish(bundle(world, "2"), target="")
    bulk = (await world.api("POST", UPGRADE, {"version": "2"})).json["id"]
    catalogue, operations = world.host.store.catalogue, world.host.operations

    async def dies(*_: Any) -> bool:
        raise StoreError("the process ends here")

    with monkeypatch.context() as patched:
        patched.setattr(catalogue.bulks, "go_on", dies)
        driver = BulkDriver(catalogue, operations.bulks)
        with pytest.raises(StoreError):
            await driver._page(await catalogue.bulks.get(bulk))
    moved = [(await catalogue.instances.get(each.id)).deployment for each in made]
    assert await versions_of(world) == [second] * 5

    end = await world.driven(bulk)

    assert (end["state"], end["done"], end["refused"]) == ("succeeded", 5, 0)
    assert [(await catalogue.instances.get(each.id)).deployment for each in made] == moved


async def test_an_upgrade_rests_between_its_stages_and_can_be_cancelled_there(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await world.publish(bundle(world, "1"))
    await activated(world, 4)
    second = await world.publish(bundle(world, "2"), target="")
    rests: list[float] = []
    draft = {"version": "2", "stages": ["25%"], "between": 600}
    bulk = (await world.api("POST", UPGRADE, draft)).json["id"]

    async def rest(_: Any, seconds: float) -> None:
        if seconds == 600:
            rests.append(seconds)
            await world.api("POST", f"/api/bulks/{bulk}/cancel")

    monkeypatch.setattr(driving.BulkDriver, "_rest", rest)
    end = await world.driven(bulk)

    assert (end["state"], end["done"], rests) == ("cancelled", 1, [600])
    assert sorted(await versions_of(world)) == sorted([first] * 3 + [second])


async def test_only_an_upgrade_that_has_ended_goes_back(world: Any) -> None:
    await world.publish(bundle(world, "1"))
    await activated(world, 1)
    await world.publish(bundle(world, "2"), target="")
    upgrade = (await world.api("POST", UPGRADE, {"version": "2"})).json["id"]
    replays = (await world.api("POST", "/api/bulks", {})).json["id"]

    running = await world.api("POST", f"/api/bulks/{upgrade}/back")
    other = await world.api("POST", f"/api/bulks/{replays}/back")
    wrong = await world.api("POST", UPGRADE, {"version": "2", "stages": ["many"]})

    assert (running.status, "cancel it first" in running.json["detail"]) == (409, True)
    assert (other.status, "is no upgrade" in other.json["detail"]) == (409, True)
    assert (wrong.status, list(wrong.json["fields"])) == (422, ["stages"])


def test_stages_end_at_shares_of_all_and_allow_shares_of_themselves() -> None:
    stages = Stages.of(300, ["1%", "30", "50%"], "10%", 0)
    assert stages.ends == (3, 30, 150, 300)
    assert [stages.too_many(done, failed) is None for done, failed in ((3, 0), (3, 1))] == [
        True,
        False,
    ]
    assert stages.too_many(20, 3) is None
    assert stages.too_many(20, 4) is not None
    assert stages.end(0) == 3
    assert stages.end(29) == 30
    assert Stages.of(5, ["1%"], "0", 0).ends == (1, 5)
    assert Stages.of(0, ["1%"], "0", 0).ends == (0,)
    for wrong in ("0", "101%", "x", "-1", "0.5"):
        with pytest.raises(ConfigError, match="neither a number nor a share"):
            Stages.of(5, [wrong], "10%", 0)


async def test_a_canary_is_moved_first_and_paused_behind_until_it_goes_on(either: Any) -> None:
    first = await either.publish(bundle(either, "1"))
    made = await activated(either, 6)
    second = await either.publish(bundle(either, "2"), target="")
    chosen = [made[4].id, made[1].id]
    draft = {"version": "2", "canary": chosen, "stages": ["4"]}
    plan = await either.plan(draft, UPGRADE)
    assert (plan["total"], plan["ready"], plan["stages"]) == (6, 6, [2, 4, 6])
    assert {each["id"] for each in plan["canary"]} == {*chosen}

    begun = (await either.api("POST", UPGRADE, draft)).json
    paused = await either.driven(begun["id"])
    assert (paused["state"], paused["done"], paused["stages"]) == ("paused", 2, [2, 4, 6])
    assert "the canary is done" in paused["reason"]
    assert {each.id for each in await on(either, second)} == {*chosen}
    again = await either.api("POST", f"/api/bulks/{begun['id']}/pause")
    assert (again.status, "is paused" in again.json["detail"]) == (409, True)

    support = await signed_in(either, "support")
    refused = await support("POST", f"/api/bulks/{begun['id']}/resume")
    assert (refused.status, refused.kind) == (403, "MissingRight")

    went_on = await either.api("POST", f"/api/bulks/{begun['id']}/resume")
    assert went_on.json["state"] == "running"
    end = await either.driven(begun["id"])
    assert (end["state"], end["done"], end["reason"]) == ("succeeded", 6, "")
    assert await versions_of(either) == [second] * 6
    ended = await either.api("POST", f"/api/bulks/{begun['id']}/resume")
    assert (ended.status, "succeeded, not paused" in ended.json["detail"]) == (409, True)
    listed = await either.api.items("/api/bulks", upgrades_of="orders")
    assert [each["id"] for each in listed] == [begun["id"]]
    assert await either.api.items("/api/bulks", upgrades_of="order_") == []
    assert first != second


async def test_a_canary_that_is_paused_is_taken_back_and_its_figures_are_those_of_its_version(
    world: Any,
) -> None:
    first = await world.publish(bundle(world, "1"))
    made = await activated(world, 4)
    for each in made:  # which opens their URLs
        await world.api("POST", f"/api/instances/{each.id}/redeploy", wait=30)
    for each in made:  # what ended before the upgrade is not counted
        shown = await world.api.get(f"/api/instances/{each.id}")
        await world.ended(await world.send(shown, {}))
    await world.publish(bundle(world, "2", FAILING), target="")
    draft = {"version": "2", "canary": "50%"}
    plan = await world.plan(draft, UPGRADE)
    bulk = (await world.api("POST", UPGRADE, draft)).json["id"]
    paused = await world.driven(bulk)
    assert (paused["state"], paused["done"]) == ("paused", 2)
    canary = {each["id"] for each in plan["canary"]}
    for each in made:
        shown = await world.api.get(f"/api/instances/{each.id}")
        await world.ended(await world.send(shown, {}))

    rollout = await world.api.get(f"/api/bulks/{bulk}/rollout")
    figures = [
        (
            each["version"]["number"],
            each["is_new"],
            each["instances"],
            each["ended"],
            each["failed"],
        )
        for each in rollout["versions"]
    ]
    assert figures == [(2, True, 2, 2, 2), (1, False, 2, 2, 0)]
    assert rollout["versions"][0]["p95_ms"] > 0
    assert {each["id"]: each["moved"] for each in rollout["canary"]} == dict.fromkeys(canary, True)

    undone = await world.bulk(path=f"/api/bulks/{bulk}/back")
    assert (undone["total"], undone["done"]) == (2, 2)
    assert await versions_of(world) == [first] * 4
    assert (await world.api.get(f"/api/bulks/{bulk}"))["state"] == "cancelled"


async def test_one_of_a_canary_that_cannot_be_moved_is_not_tried_again_with_the_rest(
    world: Any,
) -> None:
    first = await world.publish(bundle(world, "1"))
    made = await activated(world, 4, bad=(1,))
    second = await world.publish(bundle(world, "2", BROKEN), target="")
    draft = {"version": "2", "canary": [made[0].id, made[1].id], "most_failed": "50%"}
    bulk = (await world.api("POST", UPGRADE, draft)).json["id"]
    paused = await world.driven(bulk)
    assert (paused["state"], paused["done"], paused["refused"]) == ("paused", 1, 1)
    shown = (await world.api.get(f"/api/bulks/{bulk}/rollout"))["canary"]
    assert {e["id"]: e["moved"] for e in shown} == {made[0].id: True, made[1].id: False}
    assert "no such label" in next(each["why"] for each in shown if each["why"])
    await world.api("POST", f"/api/bulks/{bulk}/resume")
    end = await world.driven(bulk)
    assert (end["state"], end["done"], end["refused"]) == ("succeeded", 3, 1)
    assert await versions_of(world) == [second, first, second, second]


async def test_a_running_upgrade_is_paused_and_goes_on_without_doing_anything_twice(
    world: Any,
) -> None:
    await world.publish(bundle(world, "1"))
    await activated(world, 5)
    second = await world.publish(bundle(world, "2"), target="")
    bulk = (await world.api("POST", UPGRADE, {"version": "2", "stages": ["1", "2"]})).json["id"]
    driver = BulkDriver(world.host.store.catalogue, world.host.operations.bulks)
    page = await driver._page(await taken(world, driver, bulk))
    assert page is not None
    paused = await world.api("POST", f"/api/bulks/{bulk}/pause")
    assert (paused.json["state"], paused.json["reason"]) == ("paused", "paused by hand")
    assert await driver._page(page) is None  # what it was doing is noted, and it stops
    found = await world.api.get(f"/api/bulks/{bulk}")
    assert (found["state"], found["done"]) == ("paused", 2)
    await world.api("POST", f"/api/bulks/{bulk}/resume")
    end = await world.driven(bulk)
    assert (end["state"], end["done"], end["refused"]) == ("succeeded", 5, 0)
    assert await versions_of(world) == [second] * 5


async def test_a_plan_says_which_instances_cannot_be_moved_and_why(either: Any) -> None:
    await either.publish(bundle(either, "1"))
    made = await activated(either, 3)
    needs = PLAIN.replace("label: str", "label: str\n    site: str")
    await either.publish(bundle(either, "2", needs), target="")

    draft = {"version": "2"}
    plan = await either.plan({**draft, "canary": "2"}, UPGRADE)
    [group] = plan["blocked"]
    assert (plan["total"], plan["ready"], plan["canary"]) == (3, 0, [])
    assert (group["count"], group["fields"]) == (3, {"site": "Field required"})
    assert [each["id"] for each in plan["instances"]] == [each.id for each in made]
    assert {each["why"] for each in plan["instances"]} == {group["why"]}
    name = plan["instances"][1]["customer_name"]
    one = await either.plan({**draft, "named": name.upper()}, UPGRADE)
    assert [each["id"] for each in one["instances"]] == [made[1].id]
    none = await either.plan({**draft, "named": "_%"}, UPGRADE)
    assert (none["total"], none["instances"]) == (3, [])
    for wrong in ("0", "many", "101%", ["ins_none"]):
        refused = await either.api("POST", UPGRADE, {"version": "2", "canary": wrong})
        assert (refused.status, list(refused.json["fields"])) == (422, ["canary"])


async def taken(world: Any, driver: BulkDriver, bulk: str) -> Any:
    """Take a bulk for a driver, and return it."""
    bulks = world.host.store.catalogue.bulks
    assert await bulks.take(bulk, driver._worker, 30_000_000)
    return await bulks.get(bulk)


async def on(world: Any, version: str) -> list[Instance]:
    """Return the instances that are on a version."""
    found = await world.host.store.catalogue.instances.list(InstanceFilter(integration="orders"))
    return [each for each in found if each.version == version]


ASKING = PLAIN.replace(
    "    label: str\n",
    "    label: str\n    region: str\n    discount: Decimal = Decimal('2.50')\n    limit: int = 3\n",
).replace("from typing import Any\n", "from decimal import Decimal\nfrom typing import Any\n")


async def config_of(world: Any, instance: str) -> dict[str, Any]:
    return (await world.api.get(f"/api/instances/{instance}"))["config"]


async def test_what_a_version_asks_for_is_asked_once_and_each_keeps_its_own(either: Any) -> None:
    await either.publish(bundle(either, "1"))
    made = [each.id for each in await activated(either, 4)]
    catalogue = either.host.store.catalogue
    # One has a value of its own already, and one a value that does not fit.
    await catalogue.instances.set_revision(made[1], {"label": "x", "region": "own"}, {})
    await catalogue.instances.set_revision(made[2], {"label": "x", "region": 7}, {})
    second = await either.publish(bundle(either, "2", ASKING), target="")
    draft = {"version": "2"}
    asked = await either.plan(draft, UPGRADE)
    assert (asked["asked"], asked["ready"]) == (["region"], 1)
    found = {each["id"]: each for each in asked["instances"]}
    assert list(found[made[0]]["fields"]) == list(found[made[2]]["fields"]) == ["region"]
    assert found[made[1]]["defaults"] == ["discount", "limit"]

    config = {"region": "north", "discount": 12.5}
    plan = await either.plan({**draft, "config": config}, UPGRADE)
    assert plan["ready"] == 4
    given = {each["id"]: each["given"] for each in plan["instances"]}
    everything = ["region", "discount"]
    assert given == {
        made[0]: everything,
        made[1]: ["discount"],
        made[2]: ["discount", "region"],
        made[3]: everything,
    }
    assert {*map(tuple, (each["defaults"] for each in plan["instances"]))} == {("limit",)}

    draft = {"version": "2", "config": config, "leave_out": [made[3]]}
    end = await either.upgraded(draft)
    assert (end["state"], end["total"], end["done"], end["refused"]) == ("succeeded", 3, 3, 0)
    # A bulk says which fields, and not the values.
    assert end["wanted"]["config"] == ["region", "discount"]
    regions = [(await config_of(either, each)).get("region") for each in made]
    assert regions == ["north", "own", "north", None]
    assert (await config_of(either, made[0]))["discount"] == 12.5
    assert len([each for each in await versions_of(either) if each == second]) == 3

    refused = await either.api("POST", UPGRADE, {"version": "2", "config": {"regoin": "x"}})
    assert (refused.status, list(refused.json["fields"])) == (422, ["config.regoin"])


@pytest.mark.parametrize(("source", "goes_on"), [(FAILING, False), (PLAIN, True)])
async def test_a_canary_pauses_by_its_own_rule_and_goes_on_by_itself(
    world: Any, monkeypatch: pytest.MonkeyPatch, source: str, goes_on: bool
) -> None:
    monkeypatch.setattr(bulks, "LOOK", 0.02)
    await world.publish(bundle(world, "1"))
    made = await activated(world, 4)
    for each in made:  # which opens their URLs
        await world.api("POST", f"/api/instances/{each.id}/redeploy", wait=30)
    await world.publish(bundle(world, "2", source), target="")
    rule = {"failed": "40%", "of": 2}
    draft = {"version": "2", "canary": [made[0].id], "pause_on": rule}
    bulk = (await world.api("POST", UPGRADE, draft)).json["id"]
    driver = BulkDriver(world.host.store.catalogue, world.host.operations.bulks)
    driving = asyncio.create_task(driver.run())
    try:

        async def sent(count: int) -> None:
            shown = await world.api.get(f"/api/instances/{made[0].id}")
            for _ in range(count):
                await world.ended(await world.send(shown, {}))

        async with asyncio.timeout(DEADLINE):
            while (await world.api.get(f"/api/bulks/{bulk}"))["done"] < 1:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await sent(1)  # too few to say anything
        for _ in range(5):
            found = await world.api.get(f"/api/bulks/{bulk}")
            assert (found["state"], found["done"]) == ("running", 1)
            await asyncio.sleep(0.02)
        await sent(1)
        found = await world.done(bulk)
        if goes_on:
            assert (found["state"], found["done"]) == ("succeeded", 4)
            return
        assert (found["state"], found["done"]) == ("paused", 1)
        assert found["reason"].startswith("paused by its rule: 2 of 2 executions")
        # A person has looked at these: the rule counts from now on.
        await world.api("POST", f"/api/bulks/{bulk}/resume")
        await asyncio.sleep(0.1)
        assert (await world.api.get(f"/api/bulks/{bulk}"))["state"] == "running"
        await sent(2)
        assert (await world.done(bulk))["state"] == "paused"
    finally:
        driver.stop()
        await driving


async def test_a_rule_that_is_none_is_told_at_its_field(world: Any) -> None:
    await world.publish(bundle(world, "1"))
    await activated(world, 1)
    await world.publish(bundle(world, "2"), target="")
    for rule, field in (({"failed": "5"}, "pause_on.failed"), ({"of": 0}, "pause_on.of")):
        refused = await world.api("POST", UPGRADE, {"version": "2", "pause_on": rule})
        assert (refused.status, list(refused.json["fields"])) == (422, [field])
