"""Replays, with a clock that moves between a failure and its replay."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from halflap.api.operations.replay import LeftOut, ReplayPlan, ReplayRequest
from halflap.engine import lineage
from halflap.engine.past import Past
from halflap.errors import StepFailed, UpstreamError
from halflap.model import Record, Start, new_id, timeless
from halflap.sdk.action import step
from halflap.sdk.context import Context
from halflap.sdk.redact import Redactor
from halflap.store.protocol import Filter
from tests.engine.flows import ON_BOTH_STORES, Runner
from tests.replays import descendants, plan_of, replay


async def test_a_replay_an_hour_later_keeps_the_time_of_what_it_copies(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        begun = ctx.now()
        await runner.app.do("a")
        return await runner.app.do(f"b at {begun:%H:%M} and {ctx.now():%H:%M}, {ctx.uuid()}")

    async def fails_once(name: str) -> None:
        if name.startswith("before b") and not runner.app.errors:
            runner.app.errors[name.removeprefix("before ")] = [ValueError("no")]

    runner.app.watch = fails_once
    first = await runner.start(runner.app.flow(flow))
    assert (await runner.finish(first)).state == "failed"
    again = await replay(runner, first)
    assert (await runner.finish(again)).state == "succeeded"
    again = await replay(runner, again, ReplayRequest("start"))
    assert (await runner.finish(again)).state == "succeeded"
    b, later = [name for name in runner.app.names if name.startswith("b")][1:]
    assert Counter(runner.app.names) == {"a": 2, b: 2, later: 1}  # from the start, all is new
    keys = runner.app.keys
    assert (len(keys[b]), len(keys["a"])) == (1, 2)


@ON_BOTH_STORES
async def test_the_children_of_a_later_replay_have_the_same_keys_and_the_same_time(
    runner: Runner,
) -> None:
    async def ship(ctx: Context[Any], event: Any) -> Any:
        return await runner.app.do(f"ship at {ctx.now():%H:%M}")

    async def flow(ctx: Context[Any], event: Any) -> Any:
        await runner.app.do("before")
        return await ctx.call(handle, event)

    broken = True

    async def lose(name: str) -> None:
        if broken and name.startswith("after ship"):
            raise ValueError("the answer cannot be read")

    runner.app.watch = lose
    handle = runner.app.flow(ship)
    parent = await runner.start(runner.app.flow(flow))
    assert (await runner.finish(parent)).state == "failed"
    [child] = await descendants(runner, parent)
    again = await replay(runner, child.id)  # the child alone, then its parent: twice
    assert (await runner.finish(again)).state == "failed"
    again = await replay(runner, parent)
    assert (await runner.finish(again)).state == "failed"
    broken = False
    again = await replay(runner, again)
    assert (await runner.finish(again)).state == "succeeded"
    shipped = {name for name in runner.app.names if name.startswith("ship")}
    assert len(shipped) == 1
    assert [len(each) for each in runner.app.keys.values()] == [1, 1]
    assert Counter(runner.app.names)["before"] == 1


@ON_BOTH_STORES
async def test_what_a_flow_took_back_before_its_replay_is_told(runner: Runner) -> None:
    """Control: from the start, what was taken back is done anew, and there is nothing to tell."""

    released: list[str] = []

    @step
    async def release(what: str) -> None:
        """Give back what was reserved."""
        released.append(what)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        # A branch ends while the others, and what follows, are copies that nobody came to yet.
        await ctx.gather(["reserve", "weigh"], runner.app.do, limit=1)
        try:
            await runner.app.do("pay")
        except StepFailed:
            await release("one")
            await release("other")
            raise
        await runner.app.do("ship")

    async def left_behind(execution: str) -> list[str]:
        assert (await runner.finish(execution)).state == "succeeded"
        logs = await runner.lines(execution)
        return [each.partition(" ")[0] for each in logs if "is not on the way" in each]

    runner.app.errors["pay"] = [StepFailed("no money")]
    made = runner.app.flow(flow)
    first = await runner.start(made)
    assert (await runner.finish(first)).state == "failed"
    assert await left_behind(await replay(runner, first)) == ["Release", "Release"]
    assert (Counter(runner.app.names)["reserve"], released) == (1, ["one", "other"])
    runner.app.errors["pay"] = [StepFailed("no money")]
    second = await runner.start(made)
    assert (await runner.finish(second)).state == "failed"
    assert await left_behind(await replay(runner, second, ReplayRequest("start"))) == []
    assert Counter(runner.app.names)["reserve"] == 3


async def test_a_child_behind_a_step_that_runs_afresh_keeps_its_keys(runner: Runner) -> None:
    """Control: with the step's time in it, the root of the child is another one an hour later."""

    async def ship(ctx: Context[Any], event: Any) -> Any:
        return await runner.app.do("ship")

    async def flow(ctx: Context[Any], event: Any) -> Any:
        try:
            await runner.app.do("flaky")
        except StepFailed:
            ctx.log.info("goes on without it")
        return await ctx.call(handle, event)

    runner.app.errors["flaky"] = [ValueError("no")]
    runner.app.errors["ship"] = [ValueError("the answer cannot be read")]
    handle = runner.app.flow(ship)
    parent = await runner.start(runner.app.flow(flow))
    assert (await runner.finish(parent)).state == "failed"
    again = await replay(runner, parent)
    assert (await runner.finish(again)).state == "succeeded"
    assert {name: len(keys) for name, keys in runner.app.keys.items()} == {"flaky": 1, "ship": 1}


@ON_BOTH_STORES
async def test_what_failed_and_was_caught_stays_so_and_what_follows_too(runner: Runner) -> None:
    """An app may count steps of one action: the step behind has the place, and the key, of then."""
    app = runner.app

    async def part(name: Any) -> Any:
        return await app.do(name)

    async def inner(ctx: Context[Any], event: Any) -> Any:
        return await app.do("inner")

    child = app.flow(inner)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        try:
            await app.do("flaky")
        except StepFailed:
            await app.do("in its place")
        await app.do(f"a at {ctx.now()}")
        await ctx.gather(["b", f"c at {ctx.now()}"], part, settle=True)
        await app.do(f"d at {ctx.now()}")
        started = await ctx.start(child, event)
        try:
            await started.result()
        except StepFailed:
            await app.do(f"without at {ctx.now()}")
        return await app.do("last")

    no = UpstreamError("no", status=404)
    app.errors |= {"flaky": [no], "b": [no], "inner": [no], "last": [no, no]}
    again = await runner.start(app.flow(flow))
    assert (await runner.finish(again)).state == "failed"
    for state in ("failed", "succeeded"):
        again = await replay(runner, again)
        assert (await runner.finish(again)).state == state
    assert Counter(name.partition(" at")[0] for name in app.names) == {
        **dict.fromkeys(["flaky", "in its place", *"abcd", "inner", "without"], 1),
        "last": 3,
    }
    keys = runner.app.keys
    assert {len(each) for each in keys.values()} == {1}
    assert len(set().union(*keys.values())) == len(keys)


@ON_BOTH_STORES
async def test_a_step_of_which_the_flow_failed_is_tried_again_in_its_place(runner: Runner) -> None:
    """The flow does not tell again of the failure that it had told of."""
    app = runner.app

    async def part(name: Any) -> Any:
        return await app.do(name)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        try:
            await app.do("flaky")
        except StepFailed as error:
            await app.do(f"told at {ctx.now()}")
            await ctx.gather([f"{each} at {ctx.now()}" for each in "ab"], part)
            raise ValueError("it did not go") from error
        settled = await ctx.gather("cd", part, settle=True)
        await app.do(f"summary at {ctx.now()}")
        if not all(each.ok for each in settled):
            raise ValueError("one of them did not go")
        return await app.do("last")

    busy, no = UpstreamError("busy", status=503), UpstreamError("no", status=404)
    app.errors |= {"flaky": [no, busy, no], "c": [no]}
    again = await runner.start(app.flow(flow))
    assert (await runner.finish(again)).state == "failed"
    for state in ("failed", "failed", "succeeded"):  # the first in two attempts
        again = await replay(runner, again)
        assert (await runner.finish(again)).state == state
    assert Counter(name.partition(" at")[0] for name in app.names) == {
        "flaky": 4,
        "c": 2,
        **dict.fromkeys(["told", "a", "b", "d", "summary", "last"], 1),
    }
    assert {len(keys) for keys in runner.app.keys.values()} == {1}


async def test_what_a_handler_did_has_a_key_that_nothing_else_gets(runner: Runner) -> None:
    """The retried step succeeds, so that the flow comes to the handler's places with other effects."""
    app = runner.app

    async def ship(ctx: Context[Any], event: Any) -> Any:
        return await app.do(f"ship {event}")

    async def flow(ctx: Context[Any], event: Any) -> Any:
        try:
            await app.do("order")
            await app.do("label")
            await ctx.call(handle, "parcel")
        except StepFailed:
            await app.do("alarm")
            await ctx.call(handle, "apology")
            raise
        await app.do("charge")
        return await app.do("mail")

    app.errors |= {"order": [ValueError("no")], "mail": [ValueError("no")] * 3}
    handle = runner.app.flow(ship)
    last = await runner.start(runner.app.flow(flow))
    for _ in range(4):
        assert (await runner.finish(last)).state == "failed"
        last = await replay(runner, last)
    assert (await runner.finish(last)).state == "succeeded"
    once = ("alarm", "ship apology", "label", "ship parcel", "charge")
    assert Counter(app.names) == {"order": 2, "mail": 4, **dict.fromkeys(once, 1)}
    keys = runner.app.keys
    assert [len(each) for each in keys.values()] == [1] * len(keys)
    assert len(set[str]().union(*keys.values())) == len(keys)


def test_an_effect_whose_place_has_another_one_is_no_step_in_doubt_that_moved() -> None:
    displaced = Record(-1, "~~app.do#2", "action", "app.do", "Do", "succeeded", 0, 0, b'"x"')
    assert Past([displaced], Redactor()).moved("app.do#3", "app.do") is None
    doubt = replace(displaced, path="~app.do#2", status="retrying")
    assert Past([displaced, doubt], Redactor()).moved("app.do#3", "app.do") == "app.do#2"


@pytest.mark.parametrize("way", ["action", "step", "start", "call", "behind a pure step", "branch"])
async def test_what_was_carried_out_with_other_inputs_is_refused_unless_it_is_to_be_repeated(
    runner: Runner, way: str
) -> None:
    """The config, or the version, is another one since, so that the flow says something else."""
    app, greeting = runner.app, "hello"

    @step
    async def local(text: str) -> Any:
        return await app.do.function(text)

    async def child(ctx: Context[Any], event: Any) -> Any:
        return await app.do(event)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        match way:
            case "action":
                await app.do(greeting)
            case "step":
                await local(greeting)
            case "start":
                await (await ctx.start(handle, greeting)).result()
            case "call":
                await ctx.call(handle, greeting)
            case "branch":
                await ctx.gather([1], lambda _: app.do(greeting))
            case _:
                await app.double(greeting)
                await app.do(greeting)
        return await app.do("note")

    handle = app.flow(child)
    app.errors["note"] = [UpstreamError("no", status=400)] * 2
    first = await runner.start(app.flow(flow))
    assert (await runner.finish(first)).state == "failed"
    greeting = "other"
    refused = first
    for _ in range(2):  # and a replay of the refused one, too
        refused = await replay(runner, refused)
        outcome = await runner.finish(refused)
        assert outcome.failure is not None
        assert outcome.failure.kind == "Nondeterminism"
        assert "was carried out with other inputs: then" in outcome.reason
        assert "(`version: same`), or do it all the same (`repeat: true`)" in outcome.reason
        assert app.names == ["hello", "note"]
    again = await replay(runner, refused, ReplayRequest(repeat=True))
    assert (await runner.finish(again)).state == "failed"
    assert app.names == ["hello", "note", "other", "note"]
    assert len(set[str]().union(*runner.app.keys.values())) == 3
    greeting = "hello"  # which is taken, though another one was made since
    again = await replay(runner, again, ReplayRequest(repeat=True))
    assert (await runner.finish(again)).state == "succeeded"
    assert app.names == ["hello", "note", "other", "note", "note"]


async def test_what_a_child_did_with_other_inputs_is_refused_in_the_child(runner: Runner) -> None:
    app, greeting = runner.app, "hello"

    async def child(ctx: Context[Any], event: Any) -> Any:
        await app.do(greeting)
        return await app.do("note")

    async def flow(ctx: Context[Any], event: Any) -> Any:
        return await ctx.call(handle, event)

    handle = app.flow(child)
    app.errors["note"] = [UpstreamError("no", status=400)]
    first = await runner.start(app.flow(flow))
    assert (await runner.finish(first)).state == "failed"
    greeting = "other"
    again = await replay(runner, first)
    assert "was carried out with other inputs" in (await runner.finish(again)).reason
    assert app.names == ["hello", "note"]
    again = await replay(runner, again, ReplayRequest(repeat=True))
    assert (await runner.finish(again)).state == "succeeded"
    assert app.names == ["hello", "note", "other", "note"]


@pytest.mark.parametrize("way", ["branch", "started child"])
async def test_what_differs_behind_a_step_that_was_done_anew_is_made(
    runner: Runner, way: str
) -> None:
    """That step has another result now, though neither config nor version changed."""
    app = runner.app

    async def ship(ctx: Context[Any], event: Any) -> Any:
        return await app.do("flaky")

    async def part(name: str) -> Any:
        return await app.do(name)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        if way == "branch":
            found = await ctx.gather(["a", "flaky"], part, settle=True)
            await app.do(f"{sum(each.ok for each in found)} went well")
            if not all(each.ok for each in found):
                raise ValueError("one did not")
        else:
            started = await ctx.start(handle, event)
            await app.do(f"started {started.id}")
            await started.result()
        return await app.do("last")

    handle = app.flow(ship)
    app.errors |= {"flaky": [UpstreamError("no", status=400)], "last": [ValueError("no")]}
    last = await runner.start(app.flow(flow))
    for state in ("failed", "failed", "succeeded"):
        outcome = await runner.finish(last)
        assert outcome.state == state, (outcome.reason, app.names)
        last = await replay(runner, last) if state == "failed" else last
    names = Counter(name.partition(" exe_")[0] for name in app.names)
    told = {"a": 1, "1 went well": 1, "2 went well": 1} if way == "branch" else {"started": 2}
    assert names == {"flaky": 2, "last": 2, **told}
    assert {len(keys) for keys in runner.app.keys.values()} == {1}


async def test_a_branch_that_failed_behind_its_handler_goes_on_where_it_failed(
    runner: Runner,
) -> None:
    """The flow fails by its own word, so that only the branch says of which step it ended."""
    app = runner.app

    async def flow(ctx: Context[Any], event: Any) -> Any:
        async def make(name: str) -> Any:
            try:
                await app.do(f"order {name}")
            except StepFailed:
                await app.do(f"alarm {name}")
                raise
            return await app.do(f"label {name}")

        async def instead() -> Any:
            try:
                return await app.do("first supplier")
            except StepFailed:
                return await app.do("other supplier")

        await instead()
        found = await ctx.gather(["a", "b"], make, settle=True)
        if not all(each.ok for each in found):
            raise ValueError("some did not end well")
        return "all"

    no = UpstreamError("no", status=422)
    app.errors |= {"order a": [no, no], "first supplier": [no]}
    last = await runner.start(runner.app.flow(flow))
    for _ in range(2):
        assert (await runner.finish(last)).state == "failed"
        last = await replay(runner, last)
    assert (await runner.finish(last)).state == "succeeded"
    once = ("first supplier", "other supplier", "alarm a", "label a", "order b", "label b")
    assert Counter(app.names) == {"order a": 3, **dict.fromkeys(once, 1)}


async def test_a_version_that_drops_a_step_does_nothing_behind_it_twice(runner: Runner) -> None:
    """All are steps of one action, so that those behind it come to other places."""
    app, mended = runner.app, False

    async def flow(ctx: Context[Any], event: Any) -> Any:
        await app.do("a")
        if not mended:
            await app.do("old")
        await app.do("b")
        await app.do("c")
        return await app.do("d" if mended else "bug")

    app.errors |= {"bug": [ValueError("no")], "d": [ValueError("no")] * 2}
    last = await runner.start(runner.app.flow(flow))
    assert (await runner.finish(last)).state == "failed"
    mended = True
    for _ in range(2):
        last = await replay(runner, last)
        assert (await runner.finish(last)).state == "failed"
    last = await replay(runner, last)
    assert (await runner.finish(last)).state == "succeeded"
    assert app.names == ["a", "old", "b", "c", "bug", "d", "d", "d"]
    keys = runner.app.keys
    assert [len(each) for each in keys.values()] == [1] * len(keys)
    assert len(set[str]().union(*keys.values())) == len(keys)


async def test_children_of_version_0_1_0_keep_the_roots_that_they_had(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It put the time of the step into the root, down to the last child."""

    def timed(parent: Start, path: str) -> str:
        return lineage.derived(parent.root, path, runner.clock())

    async def last(ctx: Context[Any], event: Any) -> Any:
        return await runner.app.do("last")

    async def middle(ctx: Context[Any], event: Any) -> Any:
        await runner.app.do("middle")
        return await ctx.call("last", event)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        await runner.app.do("first")
        return await ctx.call("middle", event)

    runner.app.errors |= {"middle": [], "last": [ValueError("no") for _ in range(2)]}
    runner.app.flow(last)
    runner.app.flow(middle)
    with monkeypatch.context() as old:
        old.setattr(lineage, "child_root", timed)
        parent = await runner.start(runner.app.flow(flow))
        assert (await runner.finish(parent)).state == "failed"
    found = await descendants(runner, parent)
    assert all(each.root != timeless(each.root) for each in found)
    again = await replay(runner, parent)
    assert (await runner.finish(again)).state == "failed"
    again = await replay(runner, again)
    assert (await runner.finish(again)).state == "succeeded"
    assert [len(each) for each in runner.app.keys.values()] == [1, 1, 1]
    assert {e.root for e in await descendants(runner, again)} <= {e.root for e in found}


@ON_BOTH_STORES
async def test_an_execution_has_one_live_replay(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        await runner.app.do("a")
        await ctx.wait_for("go")

    runner.app.errors["a"] = [ValueError("no")]
    first = await runner.start(runner.app.flow(flow))
    assert (await runner.finish(first)).state == "failed"
    plan = await plan_of(runner, first)  # two people look at the same time, and both decide
    assert isinstance(plan, ReplayPlan)
    event = await runner.engine.journal.event(first)
    assert event is not None
    found = await runner.execution(first)
    starts = [
        Start(
            new_id("exe"),
            found.flow,
            event,
            first,
            replay_of=first,
            copied=plan.copied,
            replay=plan.how,
        )
        for _ in range(3)
    ]
    one, two = await runner.engine.start(starts[:2])
    [three] = await runner.engine.start(starts[2:])
    assert one.duplicate_of is None
    assert two.duplicate_of == three.duplicate_of == one.execution
    [same] = await runner.engine.start(starts[:1])  # whoever lost the answer asks again
    assert same.duplicate_of is None
    refused = await plan_of(runner, first)
    assert isinstance(refused, LeftOut)
    assert one.execution in refused.why
    await runner.engine.cancel(one.execution, "enough")
    [three] = await runner.engine.start([replace(starts[2], execution=new_id("exe"))])
    assert three.duplicate_of is None


# The decision --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "tries", "keeps"),
    [
        (UpstreamError("gone", status=422), 1, False),
        (UpstreamError("wait", status=408, retryable=False), 1, True),
        (UpstreamError("the answer got lost"), 3, True),
        (ValueError("the answer cannot be read"), 1, True),
    ],
)
async def test_only_what_surely_did_nothing_has_new_keys_from_the_start(
    runner: Runner, error: Exception, tries: int, keeps: bool
) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        return await runner.app.do("a")

    runner.app.errors["a"] = [error] * tries
    first = await runner.start(runner.app.flow(flow))
    assert (await runner.finish(first)).state == "failed"
    for request in (ReplayRequest(), ReplayRequest("failed")):
        plan = await plan_of(runner, first, request)
        assert isinstance(plan, ReplayPlan)
        assert (plan.start, plan.root) == ("failed", first)  # though there is nothing to copy
    plan = await plan_of(runner, first, ReplayRequest("start"))
    assert isinstance(plan, ReplayPlan)
    assert plan.root == (first if keeps else None)
    again = await replay(runner, first, ReplayRequest("start"))
    assert (await runner.finish(again)).state == "succeeded"
    assert len(runner.app.keys["a"]) == (1 if keeps else 2)


async def test_a_child_that_was_started_and_failed_is_started_again_where_it_is_waited_for(
    runner: Runner,
) -> None:
    async def ship(ctx: Context[Any], event: Any) -> Any:
        return await runner.app.do(f"ship {event}")

    async def flow(ctx: Context[Any], event: Any) -> Any:
        waited = await ctx.start(handle, 1)
        await ctx.start(handle, 2)
        await ctx.start(handle, 3)
        return await waited.result()

    runner.app.errors |= {f"ship {n}": [ValueError("no")] for n in (1, 2)}
    handle = runner.app.flow(ship)
    parent = await runner.start(runner.app.flow(flow))
    assert (await runner.finish(parent)).state == "failed"
    [waited] = [e for e in await runner.history(parent) if e.path == "start(ship)"]
    plan = await plan_of(runner, parent)
    assert isinstance(plan, ReplayPlan)
    assert plan.reruns == {json.loads(waited.result or b"")}
    again = await replay(runner, parent)
    assert (await runner.finish(again)).result == b'"ship 1!"'
    assert Counter(runner.app.names) == {"ship 1": 2, "ship 2": 1, "ship 3": 1}
    assert len(runner.app.keys["ship 1"]) == 1


@ON_BOTH_STORES
async def test_a_child_of_a_parents_replay_replays_the_child_before(runner: Runner) -> None:
    runner.app.errors["inner"] = [UpstreamError("gone", status=404)]

    async def inner(ctx: Context[Any], event: Any) -> str:
        return await runner.app.do("inner")

    child = runner.app.flow(inner)

    async def outer(ctx: Context[Any], event: Any) -> str:
        return await ctx.call(child, event)

    journal = runner.engine.journal
    parent = await runner.start(runner.app.flow(outer))
    assert (await runner.finish(parent)).state == "failed"
    [before] = await journal.executions(Filter(parent=parent))
    again = await replay(runner, parent)
    assert (await runner.finish(again)).result == b'"inner!"'
    [after] = await journal.executions(Filter(parent=again))
    assert (after.replay_of, after.root) == (before.id, before.root)
    assert [e.id for e in await journal.executions(Filter(replay_of=before.id))] == [after.id]
    assert await journal.executions(Filter(dead_letters=True)) == []
    assert (await runner.execution(before.id)).dismissed


@ON_BOTH_STORES
async def test_a_child_of_a_parents_replay_goes_on_where_the_child_before_failed(
    runner: Runner,
) -> None:
    app = runner.app

    async def inner(ctx: Context[Any], event: Any) -> str:
        await app.do(f"first of {event}")
        return await app.do(f"second of {event}")

    async def pages(ctx: Context[Any], page: Any) -> str:
        await app.do(f"page {page}")
        if page < 3:
            await ctx.continue_with(page + 1)
        return await app.do("pages are over")

    called, chained = app.flow(inner), app.flow(pages)

    async def outer(ctx: Context[Any], event: Any) -> str:
        await ctx.call(called, 1)
        return await ctx.call(chained, 1)

    gone = UpstreamError("gone", status=404)
    app.errors |= {"second of 1": [gone], "page 2": [gone], "pages are over": [gone, gone]}
    parent = await runner.start(app.flow(outer))
    assert (await runner.finish(parent)).state == "failed"
    for state in ("failed", "failed", "failed", "succeeded"):
        parent = await replay(runner, parent)
        assert (await runner.finish(parent)).state == state
    once = {"first of 1": 1, "page 1": 1, "page 3": 1}
    assert Counter(app.names) == {**once, "second of 1": 2, "page 2": 2, "pages are over": 3}
    assert {len(keys) for keys in runner.app.keys.values()} == {1}


async def test_what_a_replay_between_started_goes_on_where_it_failed(runner: Runner) -> None:
    """The grandchild was started by neither the first child nor its last replay."""
    app = runner.app

    async def pack(ctx: Context[Any], event: Any) -> Any:
        await app.do("box")
        return await app.do("seal")

    async def ship(ctx: Context[Any], event: Any) -> Any:
        await app.do("pick")
        child = await ctx.start(packing, event)
        await app.do("label")
        return await child.result()

    async def flow(ctx: Context[Any], event: Any) -> Any:
        return await ctx.call(shipping, event)

    no = UpstreamError("no", status=422)
    app.errors |= {"pick": [no], "label": [no], "seal": [no]}
    packing, shipping = app.flow(pack), app.flow(ship)
    parent = await runner.start(app.flow(flow))
    assert (await runner.finish(parent)).state == "failed"
    [last] = [each.id for each in await descendants(runner, parent)]
    for _ in range(2):
        before, last = last, await replay(runner, last)
        await runner.engine.dismiss(before)
        assert (await runner.finish(last)).state == "failed"
    again = await replay(runner, parent)
    assert (await runner.finish(again)).state == "succeeded"
    assert Counter(app.names) == {"pick": 2, "box": 1, "label": 2, "seal": 2}


@ON_BOTH_STORES
@pytest.mark.parametrize("has_ended", [True, False])
async def test_a_parents_replay_takes_the_result_of_a_childs_that_came_meanwhile(
    runner: Runner, has_ended: bool
) -> None:
    """The parent's was decided before, and comes to the call once the child's runs, or has ended."""
    app = runner.app

    async def inner(ctx: Context[Any], event: Any) -> str:
        await app.do("first")
        return await app.do("second")

    called = app.flow(inner)

    async def outer(ctx: Context[Any], event: Any) -> str:
        return await ctx.call(called, event)

    app.errors["second"] = [UpstreamError("gone", status=404)]
    parent = await runner.start(app.flow(outer))
    assert (await runner.finish(parent)).state == "failed"
    [child] = await descendants(runner, parent)
    plan = await plan_of(runner, parent)
    assert isinstance(plan, ReplayPlan)
    of_child = await replay(runner, child.id)
    if has_ended:
        assert (await runner.finish(of_child)).state == "succeeded"
    again = await replay(runner, parent, plan=plan)
    assert (await runner.finish(again)).result == b'"second!"'
    assert Counter(app.names) == {"first": 1, "second": 2}


async def test_a_version_that_moves_a_step_in_doubt_is_refused_unless_it_is_to_be_repeated(
    runner: Runner,
) -> None:
    async def first(ctx: Context[Any], event: Any) -> Any:
        return await runner.app.do("ship")

    async def moved(ctx: Context[Any], event: Any) -> Any:
        return await ctx.gather([1], lambda _: runner.app.do("ship"))

    async def besides(ctx: Context[Any], event: Any) -> Any:
        await runner.app.double("a")
        return await runner.app.do("ship")

    runner.app.errors["ship"] = [ValueError("the answer cannot be read")]
    execution = await runner.start(runner.app.flow(first))
    assert (await runner.finish(execution)).state == "failed"
    flow = (await runner.execution(execution)).flow
    runner.app.flow(moved)
    runner.app.flow(besides)
    found = await runner.finish(
        await replay(runner, execution, flow=replace(flow, flow="moved", version="v2"))
    )
    assert (found.state, found.failure and found.failure.kind) == ("failed", "Nondeterminism")
    assert "`repeat: true`" in found.reason
    assert runner.app.names == ["ship"]
    id = await replay(runner, execution, flow=replace(flow, flow="besides", version="v2"))
    assert (await runner.finish(id)).state == "succeeded"
    assert len(runner.app.keys["ship"]) == 1
    again = ReplayRequest(repeat=True)
    id = await replay(runner, execution, again, flow=replace(flow, flow="moved", version="v2"))
    assert (await runner.finish(id)).state == "succeeded"
    assert len(runner.app.keys["ship"]) == 2
