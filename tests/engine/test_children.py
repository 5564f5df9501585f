"""Executions that start others: on every engine, with crashes anywhere."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from halflap.errors import StepFailed, UpstreamError
from halflap.model import CALL, Execution, Outcome, new_id, timeless
from halflap.sdk import codec
from halflap.sdk.context import Context
from halflap.sdk.integration import Flow
from halflap.sdk.schema import Model
from halflap.sdk.trigger import Ignore
from halflap.store.protocol import Filter
from tests.engine.flows import AT_EACH_PLACE, ON_BOTH_STORES, Runner, runner_on
from tests.engine.test_waiting import waits
from tests.polling import DEADLINE
from tests.replays import descendants, replay


class Parcel(Model):
    number: int
    to: str = "nobody"


def shipping(runner: Runner) -> Flow[Any, Any, Any]:
    """A flow that does one thing for its event, and returns it."""

    async def ship(ctx: Context[Any], parcel: Parcel) -> Parcel | Ignore:
        if parcel.number == 0:
            return Ignore("nothing to ship")
        done = await runner.app.do(f"ship {parcel.number}")
        return Parcel(number=parcel.number, to=done)

    return runner.app.flow(ship)


def children_of(runner: Runner, parent: str) -> list[str]:
    """The children of an execution, in the order in which they were accepted."""
    starts = [each.start for each in runner.changes if each.state == "queued"]
    return list(dict.fromkeys(each.execution for each in starts if each.parent == parent))


async def all_children(runner: Runner, parent: str) -> list[Execution]:
    return [await runner.execution(each) for each in children_of(runner, parent)]


# One child -----------------------------------------------------------------------------------


async def test_a_call_returns_what_the_other_flow_returned(runner: Runner) -> None:
    ship = shipping(runner)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        parcel = await ctx.call(ship, Parcel(number=7))
        assert type(parcel) is Parcel
        named = await ctx.call("ship", {"number": 8})
        return [parcel.to, named.to, await ctx.call(ship, Parcel(number=0))]

    parent = await runner.start(runner.app.flow(flow))
    assert (await runner.finish(parent)).result == b'["ship 7!","ship 8!",null]'
    first, *_ = found = await all_children(runner, parent)
    assert [each.state for each in found] == ["succeeded", "succeeded", "ignored"]
    assert {each.parent for each in found} == {parent}
    assert (first.flow.version, first.flow.revision) == ("v1", 1)
    assert first.root == timeless(first.id)
    steps = [(each.kind, each.name, each.status) for each in await runner.history(parent)]
    assert steps[1:] == [("call", "ship", "succeeded")] * 3


async def test_the_parent_is_in_no_memory_while_its_child_runs(runner: Runner) -> None:
    async def slow(ctx: Context[Any], event: Any) -> Any:
        await ctx.sleep(timedelta(days=1))
        return "slept"

    async def flow(ctx: Context[Any], event: Any) -> Any:
        return await ctx.call(handle, event)

    handle = runner.app.flow(slow)
    parent = await runner.start(runner.app.flow(flow))
    await waits(runner, parent)
    [child] = children_of(runner, parent)
    await waits(runner, child)
    found = await runner.execution(parent)
    assert (found.waiting_for, found.due_at) == (f"the execution {child}", None)
    assert (await runner.finish(parent)).result == b'"slept"'


async def test_a_childs_failure_is_a_failed_step_that_may_be_caught(runner: Runner) -> None:
    runner.app.errors["ship 1"] = [UpstreamError("gone", status=410) for _ in range(2)]
    ship = shipping(runner)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        try:
            await ctx.call(ship, Parcel(number=1))
        except StepFailed as error:
            await runner.app.do(f"{error.error} {error.status}")
        child = await ctx.start(ship, Parcel(number=1))
        return await child.result()

    outcome = await runner.run(flow)
    assert outcome.failure is not None
    assert (outcome.state, outcome.failure.kind) == ("failed", "UpstreamError")
    assert "exe_" not in outcome.reason, "failures of one cause read alike"
    (failed, *_) = [
        each for each in await runner.history(runner.changes[0].execution) if each.failure
    ]
    assert failed.failure is not None
    assert failed.failure.where.startswith("exe_")
    assert runner.app.names == ["ship 1", "UpstreamError 410", "ship 1"]


async def test_a_child_that_is_started_goes_on_beside_its_parent(runner: Runner) -> None:
    ship = shipping(runner)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        child = await ctx.start(ship, Parcel(number=1))
        other = await ctx.start(ship, Parcel(number=2))
        await runner.app.do("meanwhile")
        second = await other.result()
        return [child.flow, (await child.result()).to, second.to, (await child.result()).to]

    outcome = await runner.run(flow)
    assert outcome.result == b'["ship","ship 1!","ship 2!","ship 1!"]'
    assert sorted(runner.app.names) == ["meanwhile", "ship 1", "ship 2"]


async def test_a_cancelled_child_fails_the_step(runner: Runner) -> None:
    async def waiting(ctx: Context[Any], event: Any) -> Any:
        await ctx.wait_for("never")

    async def flow(ctx: Context[Any], event: Any) -> Any:
        return await ctx.call(handle, event)

    handle = runner.app.flow(waiting)
    parent = await runner.start(runner.app.flow(flow))
    await waits(runner, parent)
    [child] = children_of(runner, parent)
    await runner.engine.cancel(child, "by hand")
    outcome = await runner.finish(parent)
    assert (outcome.state, outcome.failure and outcome.failure.kind) == ("failed", "Cancelled")
    assert "cancelled: by hand" in outcome.reason


async def test_an_endless_recursion_ends(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        return await ctx.call("flow", event + 1)

    outcome = await runner.finish(await runner.start(runner.app.flow(flow), b"0"))
    assert outcome.state == "failed"
    assert "is there an end to it?" in outcome.reason
    started = {each.execution for each in runner.changes}
    assert len(started) == 21


@pytest.mark.parametrize(
    ("flow_name", "event", "kind"),
    [("nothing", 1, "DefinitionError"), ("ship", {"number": "x"}, "InvalidEvent")],
)
async def test_what_cannot_be_started_is_refused(
    runner: Runner, flow_name: str, event: Any, kind: str
) -> None:
    shipping(runner)

    async def flow(ctx: Context[Any], _: Any) -> Any:
        await ctx.call(flow_name, event)

    outcome = await runner.run(flow)
    assert outcome.failure is not None
    assert outcome.failure.kind == kind
    assert len({each.execution for each in runner.changes}) == 1


async def test_no_request_from_outside_is_taken_for_a_call(runner: Runner) -> None:
    from halflap.gateway import refusal

    assert CALL not in refusal.METHODS


# Many ----------------------------------------------------------------------------------------


@ON_BOTH_STORES
async def test_a_parent_fans_out_to_hundreds_of_children(runner: Runner) -> None:
    async def square(ctx: Context[Any], number: int) -> int:
        return number * number

    async def flow(ctx: Context[Any], event: Any) -> Any:
        return sum(await ctx.gather(range(300), lambda n: ctx.call("square", n), limit=100))

    runner.app.flow(square)
    parent = await runner.start(runner.app.flow(flow))
    outcome = await runner.engine.outcome(parent, DEADLINE)
    assert outcome is not None
    assert outcome.result == str(sum(n * n for n in range(300))).encode()
    assert len(children_of(runner, parent)) == 300


# Replays -------------------------------------------------------------------------------------


async def test_a_replay_from_the_failed_step_takes_what_its_children_did(runner: Runner) -> None:
    ship = shipping(runner)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        first = await ctx.call(ship, Parcel(number=1))
        child = await ctx.start(ship, Parcel(number=2))
        await runner.app.do("breaks")
        return [first.to, (await child.result()).to, (await ctx.call(ship, Parcel(number=3))).to]

    runner.app.errors["breaks"] = [ValueError("no")]
    handle = runner.app.flow(flow)
    parent = await runner.start(handle)
    assert (await runner.finish(parent)).state == "failed"
    kept = tuple(e for e in await runner.history(parent) if e.status == "succeeded")
    again = await runner.start(handle, root=parent, replay_of=parent, copied=kept)
    assert (await runner.finish(again)).result == b'["ship 1!","ship 2!","ship 3!"]'
    assert Counter(runner.app.names) == {"ship 1": 1, "ship 2": 1, "breaks": 2, "ship 3": 1}


async def test_a_call_that_is_run_again_by_a_replay_keeps_its_idempotency_keys(
    runner: Runner,
) -> None:
    ship = shipping(runner)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        await runner.app.do("before")
        return (await ctx.call(ship, Parcel(number=1))).to

    runner.app.errors["ship 1"] = [ValueError("no")]
    handle = runner.app.flow(flow)
    parent = await runner.start(handle)
    assert (await runner.finish(parent)).state == "failed"
    kept = tuple(e for e in await runner.history(parent) if e.status == "succeeded")
    again = await runner.start(handle, root=parent, replay_of=parent, copied=kept)
    assert (await runner.finish(again)).result == b'"ship 1!"'
    first, second = [each for each in runner.app.calls if each.name == "ship 1"]
    assert first.key == second.key
    assert children_of(runner, parent) != children_of(runner, again)


# Crashes -------------------------------------------------------------------------------------


def family(runner: Runner) -> Any:
    """A flow with a call, a child beside it, and calls side by side, one of which fails."""
    ship, app = shipping(runner), runner.app

    async def each(ctx: Context[Any], number: int) -> Any:
        try:
            return (await ctx.call(ship, Parcel(number=number))).to
        except StepFailed as error:
            return error.error

    async def flow(ctx: Context[Any], event: Any) -> Any:
        first = await ctx.call(ship, Parcel(number=1))
        child = await ctx.start(ship, Parcel(number=2))
        await app.do("a")
        many = await ctx.gather([3, 4, 5], lambda number: each(ctx, number))
        return [first.to, many, (await child.result()).to, await app.do("b")]

    return app.flow(flow)


async def crashed_at(
    store: str, path: Path, point: int | None
) -> tuple[Runner, Outcome, list[tuple[str, Any]], list[Outcome | None]]:
    async with runner_on(store, path) as runner:
        runner.app.errors["ship 4"] = [ValueError("no")] * 5
        runner.crash_at = point
        parent = await runner.start(family(runner))
        outcome = await runner.finish(parent)
        history = [(each.path, each.status) for each in await runner.history(parent)]
        found = [await runner.engine.outcome(e, DEADLINE) for e in children_of(runner, parent)]
        return runner, outcome, sorted(history), found


@AT_EACH_PLACE
async def test_a_crash_anywhere_starts_no_child_twice_and_loses_none(
    store: str, every: int, tmp_path: Path
) -> None:
    reference, expected, records, outcomes = await crashed_at(store, tmp_path / "reference", None)
    assert expected.result is not None
    assert codec.decode(expected.result) == [
        "ship 1!",
        ["ship 3!", "ValueError", "ship 5!"],
        "ship 2!",
        "b!",
    ]
    points = len(reference.points)
    assert points >= 30
    assert {"before begin", "after begin"} <= set(reference.points)
    for point in range(0, points, every):
        runner, outcome, history, found = await crashed_at(store, tmp_path / f"{point}", point)
        where = f"crash at {runner.points[point]!r} ({point})"
        assert outcome == expected, where
        assert history == records, where
        assert len(found) == len(outcomes) == 5, where
        assert Counter(each.state for each in found if each) == {"succeeded": 4, "failed": 1}, where
        calls = Counter(runner.app.names)
        assert calls.keys() == {"a", "b", *(f"ship {n}" for n in range(1, 6))}, where
        assert all(count <= 2 for count in calls.values()), where
        keys = {(each.name, each.key) for each in runner.app.calls}
        assert len(keys) == len(calls), where  # what is repeated has the same key


async def test_the_control_whose_childrens_ids_differ_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halflap.engine.lineage.derived", lambda *_: new_id("exe"))
    counts: set[int] = set()
    reference, *_ = await crashed_at("memory", tmp_path, None)
    for point, name in enumerate(reference.points):
        if name == "after begin":
            *_, found = await crashed_at("memory", tmp_path, point)
            counts.add(len(found))
    assert max(counts) > 5


async def test_a_parents_failure_groups_with_its_childs_and_its_reason_has_no_keys(
    runner: Runner,
) -> None:
    async def reject(ctx: Context[Any], parcel: Parcel) -> None:
        raise ValueError(f"no depot {parcel.number}")

    async def flow(ctx: Context[Any], event: Any) -> Any:
        async def one(number: int) -> None:
            await ctx.call(handle, Parcel(number=number))

        await ctx.gather([event], one)

    handle = runner.app.flow(reject)
    parent = runner.app.flow(flow)
    reasons: set[str] = set()
    for number in (17, 18):
        outcome = await runner.finish(await runner.start(parent, str(number).encode()))
        assert outcome.state == "failed"
        reasons.add(outcome.reason.replace(str(number), "N"))
        assert f"[{number}]" not in outcome.reason
        assert outcome.failure is not None
        head, _, message = outcome.failure.cause.partition(": ")
        assert re.fullmatch(r"ValueError at reject, .*test_children.py:\d+", head)
        assert message == "no depot #"
    assert len(reasons) == 1
    [group] = await runner.engine.journal.causes(Filter(dead_letters=True))
    assert (group.count, group.flows) == (4, ("flow", "reject"))


async def test_a_parent_goes_on_soon_after_the_childs_replay_that_it_waits_for(
    runner: Runner,
) -> None:
    app = runner.app

    async def inner(ctx: Context[Any], event: Any) -> str:
        await app.do("first")
        await ctx.sleep(timedelta(seconds=3))
        return "slept"

    called = app.flow(inner)

    async def outer(ctx: Context[Any], event: Any) -> str:
        return await ctx.call(called, event)

    app.errors["first"] = [UpstreamError("gone", status=404)]
    parent = await runner.start(app.flow(outer))
    assert (await runner.finish(parent)).state == "failed"
    [child] = await descendants(runner, parent)
    of_child = await replay(runner, child.id)
    again = await replay(runner, parent, after=0)
    assert (await runner.finish(again)).result == b'"slept"'
    ends = [(await runner.execution(each)).ended_at or 0 for each in (of_child, again)]
    assert ends[1] - ends[0] <= 3_000_000  # as long again as the child took, at most
