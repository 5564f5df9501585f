"""Pre-process flows: what they route is started once, whatever crashes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halflap import (
    Component,
    DeadLetter,
    DefinitionError,
    Ignore,
    Integration,
    Request,
    Route,
    StandardWebhooks,
    Unrouted,
    schedule,
)
from halflap.engine.routing import RouteTarget
from halflap.model import CALL, SEALED, Execution, FlowKey, Outcome, new_id, owner_of
from halflap.sdk.context import Context
from halflap.sdk.integration import Flow
from halflap.sdk.routing import Routing
from halflap.sdk.schema import Model
from tests.engine.flows import AT_EACH_PLACE, Runner, runner_on

SHOP = owner_of("shop")
OLD, NEW = "c2VjcmV0", "YW5vdGhlcg=="


class Parcel(Model):
    number: int


class Switchboard:
    """Finds the instances of customers by their names."""

    def __init__(self, runner: Runner) -> None:
        self.customers = {"ada": "ins_ada", "bob": "ins_bob"}
        self.asked: list[str] = []
        self._runner = runner
        runner.aim = self.aim

    async def aim(self, key: FlowKey, route: Route) -> RouteTarget:
        self.asked.append(str(route))
        if key.is_shared:
            name = route.whose["customer"]
            if name not in self.customers:
                raise Unrouted(f"nobody is called {name}")
            key = FlowKey(f"cus_{name}", self.customers[name], "shop", "", "v2", 3)
        flow = self._runner.app.integration.flows[route.name]
        return RouteTarget(replace(key, flow=route.name), flow, {OLD: NEW}.__getitem__)


def shipping(runner: Runner, **options: Any) -> Flow[Any, Any, Any]:
    """A flow that does one thing for its event."""

    async def ship(ctx: Context[Any], parcel: Any) -> Any:
        number = parcel.number if isinstance(parcel, Parcel) else parcel["number"]
        return await runner.app.do(f"ship {number} for {ctx.instance.id}")

    return runner.app.flow(ship, **options)


def receiving(
    runner: Runner, *routes: Any, shared: bool = True, trigger: Any = None
) -> Flow[Any, Any, Any]:
    """A pre-process flow that returns these routes, or the one that is given."""

    async def receive(ctx: Context[Any], event: Any) -> Routing:
        return routes[0] if len(routes) == 1 else list(routes)

    made = runner.app.integration.preprocess(trigger=trigger or runner.app.hook, shared=shared)
    return made(receive)


async def received(runner: Runner, flow: Flow[Any, Any, Any], **more: Any) -> str:
    """An event at a shared endpoint."""
    body = more.pop("body", b'{"number":1}')
    return await runner.start(flow, body, instance=SHOP, customer=SHOP, **more)


async def routed(runner: Runner, parent: str) -> list[Execution]:
    """Finish the executions that an ended one routed, and return them."""
    starts = [each.start for each in runner.changes if each.state == "queued"]
    ids = dict.fromkeys(each.execution for each in starts if each.parent == parent)
    for each in ids:
        await runner.finish(each)
    return sorted([await runner.execution(each) for each in ids], key=lambda e: e.flow.instance)


# What is routed -------------------------------------------------------------------------------


async def test_a_request_is_handed_on_as_it_came_to_the_customers_instance(
    runner: Runner,
) -> None:
    switchboard = Switchboard(runner)
    ship = shipping(runner)
    flow = receiving(runner, Route(ship, customer="ada"))
    headers = (("x-kind", "parcel"), ("authorization", SEALED + OLD))
    parent = await received(runner, flow, headers=headers)
    assert await runner.finish(parent) == Outcome("succeeded")
    [child] = await routed(runner, parent)
    assert child.flow == FlowKey("cus_ada", "ins_ada", "shop", "ship", "v2", 3)
    assert (child.parent, child.state) == (parent, "succeeded")
    assert runner.app.names == ["ship 1 for ins_ada"]
    assert switchboard.asked == ["ship customer=ada"]
    [step] = [each for each in await runner.history(parent) if each.kind == "start"]
    assert (step.path, step.name, step.title) == ("route(ship)", "ship", "Route to Ship")
    assert step.result == f'"{child.id}"'.encode()
    started = next(e.start for e in runner.changes if e.execution == child.id)
    assert started.event.headers == (("x-kind", "parcel"), ("authorization", SEALED + NEW))
    assert (started.event.method, started.bound) == ("POST", False)


async def test_a_typed_event_is_what_the_flow_gets(runner: Runner) -> None:
    Switchboard(runner)
    ship = shipping(runner)
    parent = await received(runner, receiving(runner, Route(ship, {"number": 7}, customer="bob")))
    assert (await runner.finish(parent)).state == "succeeded"
    [child] = await routed(runner, parent)
    assert runner.app.names == ["ship 7 for ins_bob"]
    started = next(e.start for e in runner.changes if e.execution == child.id)
    assert (started.event.method, started.event.body) == (CALL, b'{"number":7}')


async def test_an_event_of_many_goes_to_each_of_them(runner: Runner) -> None:
    Switchboard(runner)
    ship = shipping(runner)
    routes = [Route(ship, {"number": n}, customer=who) for n in (1, 2) for who in ("ada", "bob")]
    parent = await received(runner, receiving(runner, *routes))
    assert (await runner.finish(parent)).state == "succeeded"
    assert len(await routed(runner, parent)) == 4
    wanted = {f"ship {n} for ins_{who}" for n in (1, 2) for who in ("ada", "bob")}
    assert Counter(runner.app.names) == dict.fromkeys(wanted, 1)


async def test_an_instances_own_pre_process_flow_routes_to_its_siblings(runner: Runner) -> None:
    Switchboard(runner)
    ship = shipping(runner)
    flow = receiving(runner, Route(ship), shared=False)
    parent = await runner.start(flow, b'{"number":1}', instance="ins_9")
    assert (await runner.finish(parent)).state == "succeeded"
    [child] = await routed(runner, parent)
    assert child.flow == FlowKey("cus_1", "ins_9", "shop", "ship", "v1", 1)


async def test_a_flows_filter_and_keep_hold_for_what_is_handed_on(runner: Runner) -> None:
    Switchboard(runner)
    ship = shipping(runner, filter=lambda request: request.json()["number"] != 1, keep=["/number"])
    flow = receiving(runner, Route(ship, customer="ada"))
    dropped = await received(runner, flow)
    assert (await runner.finish(dropped)).state == "succeeded"
    assert await routed(runner, dropped) == []
    [step] = [each for each in await runner.history(dropped) if each.kind == "start"]
    assert (step.title, step.result) == ("Route to Ship: its filter wants nothing of it", b"null")
    parent = await received(runner, flow, body=b'{"number":2,"secret":"x"}')
    await runner.finish(parent)
    [child] = await routed(runner, parent)
    started = next(e.start for e in runner.changes if e.execution == child.id)
    assert started.event.body == b'{"number":2}'


# What is not routed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "kind", "reason"),
    [
        (Route("ship", customer="eve"), "Unrouted", "nobody is called eve"),
        (DeadLetter("no flow for that"), "Unrouted", "no flow for that"),
        (None, "Unrouted", "nothing matched: the pre-process flow returned no route"),
        ([], "Unrouted", "nothing matched"),
        ("ship", "DefinitionError", "returned str; return a Route"),
        (["ship"], "DefinitionError", "return a Route"),
        (Route("ship"), "DefinitionError", "does not say whose event it is"),
    ],
)
async def test_what_nobody_takes_is_a_dead_letter_with_the_reason(
    runner: Runner, returned: Any, kind: str, reason: str
) -> None:
    Switchboard(runner)
    shipping(runner)
    outcome = await runner.finish(await received(runner, receiving(runner, returned)))
    assert outcome.failure is not None
    assert (outcome.state, outcome.failure.kind) == ("failed", kind)
    assert reason in outcome.reason
    assert runner.app.names == []


async def test_what_is_ignored_is_no_dead_letter(runner: Runner) -> None:
    flow = receiving(runner, Ignore("a ping"))
    outcome = await runner.finish(await received(runner, flow))
    assert outcome == Outcome("ignored", "a ping")


async def test_one_instances_flow_can_name_no_other(runner: Runner) -> None:
    Switchboard(runner)
    flow = receiving(runner, Route(shipping(runner), customer="ada"), shared=False)
    outcome = await runner.finish(await runner.start(flow, b"{}"))
    assert outcome.state == "failed"
    assert "cannot name another" in outcome.reason


async def test_a_shared_flow_has_nobodys_config(runner: Runner) -> None:
    async def receive(ctx: Context[Any], event: Any) -> Routing:
        return Ignore(str(ctx.config))

    flow = runner.app.integration.preprocess(trigger=runner.app.hook, shared=True)(receive)
    outcome = await runner.finish(await received(runner, flow))
    assert outcome.state == "failed"
    assert "nobody's config" in outcome.reason


async def test_no_flow_starts_a_pre_process_flow(runner: Runner) -> None:
    Switchboard(runner)
    receive = receiving(runner, Ignore("a ping"), shared=False)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        await ctx.start(receive, event)

    outcome = await runner.run(flow)
    assert outcome.failure is not None
    assert outcome.failure.kind == "DefinitionError"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sender": lambda request: "x"}, "has sender="),
        ({"shared": True, "trigger": "ticks"}, "takes events at a URL"),
        ({"shared": True, "trigger": "connection"}, "verifies with one customer's connection"),
    ],
)
def test_a_pre_process_flow_that_cannot_work_is_refused(
    options: dict[str, Any], reason: str
) -> None:
    component = Component("app")

    @component.trigger(verify=StandardWebhooks(), secret="connection.key")
    async def hook(request: Request) -> Any:
        """An event."""

    triggers = {"ticks": schedule.every(minutes=5), "connection": hook}
    named = options.pop("trigger", None)
    trigger = triggers[named] if named else schedule_free(component)

    async def receive(ctx: Context[Any], event: Any) -> Routing:
        return None

    with pytest.raises(DefinitionError, match=reason):
        Integration("shop").preprocess(trigger=trigger, **options)(receive)


def schedule_free(component: Any) -> Any:
    @component.trigger()
    async def plain(request: Request) -> Any:
        """An event."""

    return plain


def test_a_route_says_whose_event_it_is_in_one_way() -> None:
    with pytest.raises(DefinitionError, match="in one way"):
        Route("ship", customer="ada", instance="ins_1")
    with pytest.raises(DefinitionError, match="in one way"):
        Route("ship", config={"a": 1, "b": 2})


# Replays --------------------------------------------------------------------------------------


async def test_a_replay_routes_what_nobody_took_and_nothing_twice(runner: Runner) -> None:
    switchboard = Switchboard(runner)
    ship = shipping(runner)
    flow = receiving(runner, *[Route(ship, customer=who) for who in ("eve", "ada", "bob")])
    parent = await received(runner, flow)
    outcome = await runner.finish(parent)
    assert outcome.reason == "nobody is called eve (2 of 3 routes were taken)"
    assert len(await routed(runner, parent)) == 2
    switchboard.customers["eve"] = "ins_eve"
    kept = tuple(e for e in await runner.history(parent) if e.status == "succeeded")
    again = await received(runner, flow, root=parent, replay_of=parent, copied=kept)
    assert await runner.finish(again) == Outcome("succeeded")
    [child] = await routed(runner, again)
    assert child.flow.instance == "ins_eve"
    wanted = {f"ship 1 for ins_{who}" for who in ("ada", "bob", "eve")}
    assert Counter(runner.app.names) == dict.fromkeys(wanted, 1)


# Crashes --------------------------------------------------------------------------------------


async def crashed_at(
    store: str, path: Path, point: int | None, *, leaves: bool = False
) -> tuple[Runner, Outcome, list[tuple[str, Any]], list[Execution]]:
    """Route to two customers, and die at a point; with `leaves`, one is gone afterwards."""
    async with runner_on(store, path) as runner:
        switchboard = Switchboard(runner)
        ship = shipping(runner)

        async def receive(ctx: Context[Any], event: Any) -> Routing:
            await runner.app.do("look")
            return [Route(ship, customer=who) for who in ("ada", "bob")]

        flow = runner.app.integration.preprocess(trigger=runner.app.hook, shared=True)(receive)
        runner.crash_at = point
        if leaves:
            lost = runner.lose

            async def lose(execution: str) -> None:
                switchboard.customers.clear()
                await lost(execution)

            runner.lose = lose  # type: ignore[method-assign]
        parent = await received(runner, flow)
        outcome = await runner.finish(parent)
        history = [(each.path, each.status) for each in await runner.history(parent)]
        return runner, outcome, sorted(history), await routed(runner, parent)


@AT_EACH_PLACE
async def test_a_crash_anywhere_routes_once_and_loses_nothing(
    store: str, every: int, tmp_path: Path
) -> None:
    reference, expected, records, _ = await crashed_at(store, tmp_path / "reference", None)
    points = len(reference.points)
    assert expected == Outcome("succeeded")
    assert {"before begin", "after begin", "before commit", "after commit"} <= set(reference.points)
    for point in range(0, points, every):
        runner, outcome, history, found = await crashed_at(store, tmp_path / f"{point}", point)
        where = f"crash at {runner.points[point]!r} ({point})"
        assert outcome == expected, where
        assert history == records, where
        assert [each.flow.instance for each in found] == ["ins_ada", "ins_bob"], where
        assert all(each.state == "succeeded" for each in found), where


async def test_what_was_routed_before_a_crash_stays_so_though_its_customer_left(
    tmp_path: Path,
) -> None:
    reference, *_ = await crashed_at("memory", tmp_path / "reference", None)
    begun = [at for at, name in enumerate(reference.points) if name == "after begin"]
    _, outcome, _, found = await crashed_at("memory", tmp_path / "last", begun[1], leaves=True)
    assert outcome == Outcome("succeeded")
    assert [each.flow.instance for each in found] == ["ins_ada", "ins_bob"]


async def test_the_control_whose_routes_get_new_ids_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("lineage", "routing"):
        monkeypatch.setattr(f"halflap.engine.{module}.derived", lambda *_: new_id("exe"))
    counts: set[int] = set()
    reference, *_ = await crashed_at("memory", tmp_path, None)
    for point, name in enumerate(reference.points):
        if name == "after begin":
            *_, found = await crashed_at("memory", tmp_path, point)
            counts.add(len(found))
    assert max(counts) > 2
