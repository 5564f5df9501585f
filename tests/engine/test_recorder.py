from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from halflap.errors import Cancel, Conflict, RateLimited, StepFailed, UpstreamError
from halflap.model import Outcome, Record
from halflap.sdk.context import Context
from tests.engine.flows import Runner, runner_on


def fail_once(runner: Runner, *names: str) -> None:
    """Let the first call of each fail, so that the flow is run again."""
    runner.app.errors.update({name: [UpstreamError(status=503)] for name in names})


# Determinism ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "then", "says"),
    [
        (["do a", "do z"], ["double a", "do z"], "app.double"),
        (["do a", "do z"], ["do b", "do z"], "other inputs"),
        (["do a", "do z"], ["do z"], "other inputs"),
        (["do a", "double a", "do z"], ["do a", "do z"], "'app.double'"),
        (["do a", "do z"], ["do a", "double a", "do z"], "'app.do#2'"),
        (["do a", "do z"], ["do a"], "ended before the step 'app.do#2'"),
        (["do a", "do z"], ["state a", "do a", "do z"], "state.get(a)"),
        (["gather a", "do z"], ["gather b", "do z"], "ended without the step 'gather[a]/app.do'"),
        (["gather a", "do z"], ["do z"], "ended without the step 'gather[a]/app.do'"),
        (["put 1", "do z"], ["put 2", "do z"], "other inputs"),
    ],
)
async def test_a_flow_that_takes_another_path_on_resume_fails(
    runner: Runner, first: list[str], then: list[str], says: str
) -> None:
    fail_once(runner, "z")

    async def flow(ctx: Context[Any], event: Any) -> Any:
        for each in first if ctx.attempt == 1 else then:
            what, name = each.split()
            match what:
                case "do":
                    await runner.app.do(name)
                case "double":
                    await runner.app.double(name)
                case "gather":
                    await ctx.gather([name], lambda item: runner.app.do(item))
                case "put":
                    await ctx.state.put("k", int(name))
                case _:
                    await ctx.state.get(name)

    outcome = await runner.run(flow)
    assert outcome.failure is not None
    assert outcome.failure.kind == "Nondeterminism"
    assert says in outcome.reason


async def test_time_and_uuids_are_the_same_on_every_attempt(runner: Runner) -> None:
    fail_once(runner, "a", "b", "c")
    runner.step_seconds = 0.5
    seen: list[Any] = []

    async def flow(ctx: Context[Any], event: Any) -> Any:
        seen.append(("start", ctx.now(), ctx.uuid(), ctx.uuid()))
        await runner.app.do("a")
        await runner.app.double("x")
        seen.append(("a", ctx.now(), ctx.uuid()))
        await ctx.gather("bc", lambda item: runner.app.do(item))
        seen.append(("gathered", ctx.now(), ctx.uuid()))
        await ctx.state.put("k", 1)
        await runner.app.do("d")

    fail_once(runner, "d")
    assert (await runner.run(flow)).state == "succeeded"
    assert len(seen) > 6
    assert len(set(seen)) == 3
    assert len({each for line in set(seen) for each in line[2:]}) == 4
    times = sorted({each[1] for each in seen})
    assert len(times) == 3


async def test_time_does_not_move_by_what_a_crash_may_lose(runner: Runner) -> None:
    runner.step_seconds = 5
    runner.crash_at = 0
    seen: list[Any] = []

    async def flow(ctx: Context[Any], event: Any) -> Any:
        await runner.app.double("x")
        seen.append(ctx.now())
        await runner.app.do("a")

    assert (await runner.run(flow)).state == "succeeded"
    assert len(seen) == 2
    assert len(set(seen)) == 1


async def test_a_step_whose_flow_caught_its_cancel_is_not_run_again(runner: Runner) -> None:
    runner.app.errors["a"] = [Cancel("nothing to do")]
    fail_once(runner, "b")

    async def flow(ctx: Context[Any], event: Any) -> Any:
        try:
            await runner.app.do("a")
        except Cancel as error:
            return [error.reason, await runner.app.do("b")]

    assert (await runner.run(flow)).result == b'["nothing to do","b!"]'
    assert runner.app.names == ["a", "b", "b"]


async def test_a_branch_waits_its_own_time_when_another_is_due_before_it(runner: Runner) -> None:
    runner.app.errors["a"] = [RateLimited(retry_after=timedelta(hours=1))]
    runner.app.errors["b"] = [UpstreamError(status=503), UpstreamError(status=503)]
    began: dict[str, list[float]] = {"a": [], "b": []}

    async def look(name: str) -> None:
        if name.startswith("before ") and name[-1] in began:
            began[name[-1]].append(runner.clock() / 1e6)

    runner.app.watch = look

    async def flow(ctx: Context[Any], event: Any) -> Any:
        return await ctx.gather("ab", lambda item: runner.app.do(item))

    assert (await runner.run(flow)).result == b'["a!","b!"]'
    assert [len(each) for each in began.values()] == [2, 3]
    assert began["a"][1] - began["a"][0] >= 3600


# Sleep ---------------------------------------------------------------------------------------


async def test_a_sleep_leaves_memory_and_survives_a_restart(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        await runner.app.do("a")
        before = ctx.now()
        await ctx.sleep(timedelta(hours=1))
        await ctx.sleep(0)
        await runner.app.do("b")
        return (ctx.now() - before).total_seconds()

    began = runner.clock()
    outcome = await runner.run(flow)
    assert runner.app.names == ["a", "b"]
    assert runner.clock() - began == 3_600_000_000
    assert outcome.result == b"3600.0"
    states = [each.state for each in runner.changes]
    assert states == ["queued", "running", "waiting", "running", "succeeded"]
    [_, _, sleep, none, _] = await runner.history()
    assert (sleep.status, none.path) == ("succeeded", "sleep#2")


# Gather --------------------------------------------------------------------------------------


async def test_branches_are_keyed_and_their_results_in_order(runner: Runner) -> None:
    async def branch(item: dict[str, Any]) -> str:
        if item["id"] == "x/1#[":
            await asyncio.sleep(0.01)
        return await runner.app.do(item["id"])

    async def flow(ctx: Context[Any], event: Any) -> Any:
        return await ctx.gather([{"id": "x/1#["}, {"id": "y"}], branch)

    assert (await runner.run(flow)).result == b'["x/1#[!","y!"]'
    paths = {each.path for each in await runner.history()}
    assert paths == {"trigger", "gather[x%2F1%23%5B]/app.do", "gather[y]/app.do"}


async def test_the_retry_of_one_branch_does_not_run_the_others_again(runner: Runner) -> None:
    fail_once(runner, "b1")

    async def branch(item: str) -> str:
        return await runner.app.do(f"{item}1") + await runner.app.do(f"{item}2")

    async def flow(ctx: Context[Any], event: Any) -> Any:
        return await ctx.gather("abc", branch, limit=2)

    assert (await runner.run(flow)).result == b'["a1!a2!","b1!b2!","c1!c2!"]'
    assert Counter(runner.app.names) == Counter(["a1", "a2", "b1", "b1", "b2", "c1", "c2"])


async def test_a_branchs_failure_is_raised_once_the_others_have_ended(runner: Runner) -> None:
    runner.app.errors["a"] = [ValueError("no")]
    fail_once(runner, "b", "z")

    async def flow(ctx: Context[Any], event: Any) -> Any:
        try:
            await ctx.gather("abc", lambda item: runner.app.do(item))
        except StepFailed as error:
            await runner.app.do("z")
            return error.step

    assert (await runner.run(flow)).result == b'"gather[a]/app.do"'
    assert Counter(runner.app.names) == Counter(["a", "b", "b", "c", "z", "z"])


async def test_keys_that_only_differ_at_their_end_are_told_apart(runner: Runner) -> None:
    items = ["x" * 300 + "1", "x" * 300 + "2"]

    async def flow(ctx: Context[Any], event: Any) -> Any:
        return await ctx.gather(items, lambda item: runner.app.do(item[-1]))

    assert (await runner.run(flow)).result == b'["1!","2!"]'
    assert len(await runner.history()) == 3


async def test_two_branches_with_one_key_are_refused(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        await ctx.gather(["a", "a"], lambda item: runner.app.do(item), key=str)

    outcome = await runner.run(flow)
    assert outcome.failure is not None
    assert outcome.failure.kind == "DefinitionError"
    assert runner.app.names == []


async def test_a_bare_gather_over_actions_is_refused_and_told_what_to_use(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        await asyncio.gather(runner.app.do("a"), runner.app.do("b"))

    outcome = await runner.run(flow)
    assert outcome.failure is not None
    assert outcome.failure.kind == "DefinitionError"
    assert "ctx.gather" in outcome.reason
    assert runner.app.names == []


async def test_no_branch_starts_an_effect_before_anothers_result_is_durable(
    runner: Runner,
) -> None:
    missing: list[str] = []
    called: list[str] = []

    async def look(name: str) -> None:
        if name.startswith("before ") and name[7:].isdigit():
            scope = name[7]
            history = {each.path for each in await runner.history()}
            path = f"gather[{scope}]/app.do"
            mine = [path, f"{path}#2", f"{path}#3"][: int(name[8])]
            missing.extend(each for each in mine if each not in history)
            called.append(name)

    async def branch(item: int) -> None:
        for number in range(4):
            await asyncio.sleep(0.001 * (item % 3))
            await runner.app.do(f"{item}{number}")

    async def flow(ctx: Context[Any], event: Any) -> Any:
        await ctx.gather(range(8), branch, key=str)

    runner.app.watch = look
    assert (await runner.run(flow)).state == "succeeded"
    assert (len(called), missing) == (32, [])


# Unwinding -----------------------------------------------------------------------------------


async def test_a_step_called_while_unwinding_records_nothing(runner: Runner) -> None:
    fail_once(runner, "a")
    cleaned: list[int] = []

    async def flow(ctx: Context[Any], event: Any) -> Any:
        try:
            await runner.app.do("a")
        finally:
            await runner.app.do("clean up")
            cleaned.append(ctx.attempt)

    assert (await runner.run(flow)).state == "succeeded"
    assert runner.app.names == ["a", "a", "clean up"]
    assert cleaned == [2]


@pytest.mark.parametrize("place", ["flow", "branch"])
async def test_a_pause_that_an_author_swallows_is_a_pause_all_the_same(
    runner: Runner, place: str
) -> None:
    fail_once(runner, "a")

    async def careless(item: str) -> str:
        try:
            return await runner.app.do(item)
        except BaseException:
            return "swallowed"

    async def flow(ctx: Context[Any], event: Any) -> Any:
        if place == "flow":
            return await careless("a")
        found = await ctx.gather(["a"], careless)
        return found[0] + await runner.app.do("b")

    outcome = await runner.run(flow)
    assert outcome.result == (b'"a!"' if place == "flow" else b'"a!b!"')


# State ---------------------------------------------------------------------------------------


async def test_state_outlives_an_execution_and_a_read_is_a_record(runner: Runner) -> None:
    fail_once(runner, "b")
    seen: list[Any] = []

    async def flow(ctx: Context[Any], event: Any) -> Any:
        count = await ctx.state.get("count", 0)
        await ctx.state.put("count", count + 1, expect=count or None)
        seen.append([count, await ctx.state.get("count")])
        await ctx.state.instance.put("of instance", {"a": 1})
        await ctx.state.delete("nothing")
        await runner.app.do("b")

    handle = runner.app.flow(flow)
    for _ in range(2):
        assert (await runner.finish(await runner.start(handle))).state == "succeeded"
    assert seen == [[0, 1], [0, 1], [1, 2]]


async def test_a_conflict_is_raised_and_raised_again_on_replay(runner: Runner) -> None:
    fail_once(runner, "b")
    conflicts: list[str] = []

    async def flow(ctx: Context[Any], event: Any) -> Any:
        await ctx.state.put("k", 1)
        try:
            await ctx.state.put("k", 3, expect=2)
        except Conflict as error:
            conflicts.append(error.key)
        await runner.app.do("b")
        return await ctx.state.get("k")

    assert (await runner.run(flow)).result == b"1"
    assert conflicts == ["k", "k"]


async def test_updates_of_many_executions_all_count(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        await ctx.state.update("count", lambda count: count + 1, default=0)
        return await ctx.state.get("count")

    handle = runner.app.flow(flow)
    started = [await runner.start(handle) for _ in range(10)]
    results = [(await runner.finish(each)).result for each in started]
    assert b"10" in results


async def test_a_value_that_is_written_in_other_digits_is_the_same_value(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        await ctx.state.put("k", {"rate": 1e-7, "limit": 1e22})
        changes: list[Any] = []

        def change(held: Any) -> Any:
            changes.append(held)
            assert len(changes) == 1
            return {"limit": 1}

        return await ctx.state.update("k", change)

    assert (await runner.run(flow)).result == b'{"limit":1}'


async def test_a_secret_in_state_can_be_compared_and_comes_back(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        await ctx.state.put("token", {"value": SecretStr("hunter2")})
        found = await ctx.state.get("token")
        await ctx.state.put("token", {"value": SecretStr("other")}, expect=found)
        return str(found)

    outcome = await runner.run(flow)
    assert outcome.state == "succeeded"
    for each in await runner.history():
        assert b"hunter2" not in (each.inputs or b"") + (each.result or b"")


# Logs ----------------------------------------------------------------------------------------


async def test_no_log_line_is_doubled_by_a_resume_and_none_is_lost(runner: Runner) -> None:
    fail_once(runner, "a", "b", "c", "d")

    async def branch(ctx: Context[Any], item: str) -> None:
        ctx.log.info(f"before {item}")
        await runner.app.do(item)
        ctx.log.info(f"after {item}")

    async def flow(ctx: Context[Any], event: Any) -> Any:
        ctx.log.info("begin")
        await branch(ctx, "a")
        await ctx.gather("bc", lambda item: branch(ctx, item))
        ctx.log.info("gathered", secret=SecretStr("hunter2"), odd={1, 2}, object=object())
        ctx.log.info("put")
        await ctx.state.put("k", 1)
        await branch(ctx, "d")
        ctx.log.info("end")

    assert (await runner.run(flow)).state == "succeeded"
    lines = await runner.lines()
    assert Counter(lines) == Counter(
        ["begin", "gathered", "put", "end"] + [f"{when} {item}" for item in "abcd" for when in WHEN]
    )
    assert (lines[0], lines[-1]) == ("begin", "end")


WHEN = ("before", "after")


# Replay --------------------------------------------------------------------------------------


async def test_a_replay_makes_no_copied_effect_again_that_has_the_same_inputs(
    runner: Runner,
) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        names = event or ["a", "b", "c"]
        return [await runner.app.do(each) for each in names]

    handle = runner.app.flow(flow)
    first = await runner.start(handle)
    await runner.finish(first)
    copied = tuple(await runner.history(first))
    keys = {each.key for each in runner.app.calls}
    runner.app.calls.clear()
    again = await runner.start(
        handle, b'["a", "x", "c"]', root=first, replay_of=first, copied=copied
    )
    assert (await runner.finish(again)).result == b'["a!","x!","c!"]'
    assert runner.app.names == ["x"]
    assert keys.isdisjoint(each.key for each in runner.app.calls)


async def test_a_replay_that_is_resumed_keeps_what_it_ran_afresh(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        return [await runner.app.do(each) for each in event]

    handle = runner.app.flow(flow)
    first = await runner.start(handle, b'["a", "b", "c"]')
    await runner.finish(first)
    copied = tuple(await runner.history(first))
    runner.app.calls.clear()
    fail_once(runner, "d")
    again = await runner.start(handle, b'["a", "x", "c", "d", "b"]', root=first, copied=copied)
    assert (await runner.finish(again)).result == b'["a!","x!","c!","d!","b!"]'
    assert runner.app.names == ["x", "d", "d"]
    assert len({each.key for each in runner.app.calls}) == 2


# Crashes -------------------------------------------------------------------------------------


def whole(runner: Runner) -> Any:
    """A flow of four effects, a gather, state and a sleep."""
    app = runner.app

    async def flow(ctx: Context[Any], event: Any) -> Any:
        ctx.log.info("begin")
        first = await app.do("a")
        count = await ctx.state.update("count", lambda n: n + 1, default=0)
        both = await ctx.gather(["b", "c"], lambda item: app.do(item))
        await ctx.sleep(60)
        ctx.log.info("slept")
        last = await app.do("d")
        await ctx.state.put("last", last)
        return [first, count, both, await app.double("x"), last, str(ctx.uuid())]

    return app.flow(flow)


async def crashed_at(
    path: Path, point: int | None
) -> tuple[Runner, Outcome, list[Record], list[str]]:
    async with runner_on("memory", path) as runner:
        runner.crash_at = point
        execution = await runner.start(whole(runner), root="exe_root")
        outcome = await runner.finish(execution)
        return runner, outcome, await runner.history(execution), await runner.lines(execution)


async def test_a_crash_anywhere_changes_nothing_but_repeats_what_was_in_flight(
    tmp_path: Path,
) -> None:
    reference, expected, records, lines = await crashed_at(tmp_path / "reference", None)
    points = len(reference.points)
    keys = {each.name: each.key for each in reference.app.calls}
    assert expected.state == "succeeded"
    assert points >= 16
    assert Counter(reference.app.names) == Counter("abcd")
    for point in range(points):
        runner, outcome, history, logged = await crashed_at(tmp_path / f"{point}", point)
        where = f"crash at {runner.points[point]!r} ({point})"
        assert outcome == expected, where
        calls = Counter(runner.app.names)
        assert set(calls) == set("abcd"), where
        assert all(count <= 2 for count in calls.values()), where
        assert all(each.key == keys[each.name] for each in runner.app.calls), where
        assert {each.path: each.result for each in history if each.kind != "sleep"} == {
            each.path: each.result for each in records if each.kind != "sleep"
        }, where
        assert Counter(logged) == Counter(lines), where
