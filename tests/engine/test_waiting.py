"""Flows that wait for signals, with crashes anywhere on both stores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import TypeAdapter

from halflap.errors import StepFailed, TimedOut, UpstreamError
from halflap.model import Outcome, Record
from halflap.sdk.codec import decode
from halflap.sdk.context import Context
from halflap.sdk.link import answer_schema
from halflap.sdk.schema import Model
from tests.cases import for_each
from tests.engine.flows import AT_EACH_PLACE, ON_BOTH_STORES, Runner, runner_on
from tests.polling import until

SIGNALS = (("go", b"1"), ("d", b"2"), ("go", b"3"), ("c", b"4"))
ANSWERED = b'["a!",[1,3,"b!"],[[4,"c!"],[2,"d!"]],"e!"]'
DAYS_3 = timedelta(days=3)


class Decision(Model):
    approved: bool
    by: str = ""


class Chosen(Model):
    choice: str


class Narrow(Model):
    choice: Literal["yes", "maybe"]


async def waits(runner: Runner, execution: str) -> None:
    """Return once an execution waits."""

    async def waiting() -> bool:
        return (await runner.execution(execution)).state == "waiting"

    await until(waiting)


async def approval(ctx: Context[Any], event: Any) -> Any:
    decision = await ctx.wait_for("approved", timeout=DAYS_3, type=Decision)
    return [decision.approved, decision.by]


# Signals -------------------------------------------------------------------------------------


async def test_a_flow_waits_out_of_memory_until_its_signal_comes(runner: Runner) -> None:
    execution = await runner.start(runner.app.flow(approval))
    await waits(runner, execution)
    found = await runner.execution(execution)
    assert found.waiting_for == "the signal approved"
    assert found.due_at == found.accepted_at + 3 * 86_400_000_000

    async def left() -> bool:
        return runner.running == 0

    await until(left)
    await runner.engine.signal(execution, "approved", b'{"approved": true, "by": "Ada"}')
    assert (await runner.finish(execution)).result == b'[true,"Ada"]'
    _, step = await runner.history(execution)
    assert (step.path, step.kind, step.name) == ("wait_for(approved)", "signal", "approved")
    assert (step.status, step.result) == ("succeeded", b'{"approved": true, "by": "Ada"}')
    schema = decode(step.inputs or b"")["schema"]
    assert schema["properties"]["approved"] == {"title": "Approved", "type": "boolean"}


@for_each(
    "type,choices,known",
    [
        (None, [], None),
        (None, [""], None),
        (None, ["yes", "no"], {"type": "string", "enum": ["yes", "no"]}),
        (Chosen, ["yes", "no"], {"title": "Choice", "type": "string", "enum": ["yes", "no"]}),
        (Narrow, ["yes"], {"title": "Choice", "type": "string", "enum": ["yes", "maybe"]}),
    ],
)
def test_the_schema_of_an_answer_is_of_its_type_and_its_links(
    type: Any, choices: list[str], known: Any
) -> None:
    schema = answer_schema(None if type is None else TypeAdapter(type), choices)
    assert (schema and decode(schema)["properties"]["choice"]) == known
    assert answer_schema(TypeAdapter(object), choices) is not None
    assert answer_schema(TypeAdapter(Callable[[int], str]), choices) is None  # it has no schema


class Bounds(Model):
    most: float = math.inf


async def test_a_type_whose_schema_is_no_json_is_waited_for_all_the_same(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        return (await ctx.wait_for("bounds", type=Bounds)).most

    execution = await runner.start(runner.app.flow(flow))
    await waits(runner, execution)
    await runner.engine.signal(execution, "bounds", b'{"most":2}')
    assert (await runner.finish(execution)).result == b"2.0"


@ON_BOTH_STORES
async def test_a_signal_that_comes_first_is_kept_and_those_of_a_name_come_in_order(
    runner: Runner,
) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        names = ("a", "b", "a", "a")
        return [[each, await ctx.wait_for(each)] for each in names]

    handle = runner.app.flow(flow)
    await runner.engine.journal.hold("ins_1")
    execution = await runner.start(handle)
    for name, payload in (("a", b"1"), ("a", b"2"), ("b", b"3")):
        await runner.engine.signal(execution, name, payload)
    await runner.engine.release("ins_1")
    await waits(runner, execution)
    await runner.engine.signal(execution, "b", b"9")
    await runner.engine.signal(execution, "a", b"4")
    assert (await runner.finish(execution)).result == b'[["a",1],["b",3],["a",2],["a",4]]'


async def test_where_none_comes_in_time_the_author_may_go_on(runner: Runner) -> None:
    seen: list[str] = []

    async def flow(ctx: Context[Any], event: Any) -> Any:
        try:
            await approval(ctx, event)
        except TimedOut as error:
            seen.append(f"{error.name}: {error.message}")
        await runner.app.do("remind")
        return await approval(ctx, event)

    runner.app.errors["remind"] = [UpstreamError(status=503)]  # so that it is run once more
    execution = await runner.start(runner.app.flow(flow))
    await waits(runner, execution)
    due = (await runner.execution(execution)).due_at
    runner.clock.advance(DAYS_3.total_seconds() + 60)

    async def reminded() -> bool:
        found = await runner.execution(execution)
        if found.state == "queued" and found.due_at is not None:
            runner.clock.advance(max(found.due_at - runner.clock(), 0) / 1e6)
        return found.state == "waiting" and found.due_at != due

    await until(reminded)
    await runner.engine.signal(execution, "approved", b'{"approved": true}')  # after the first one
    assert (await runner.finish(execution)).result == b'[true,""]'
    assert set(seen) == {"approved: no signal 'approved' came in time"}
    assert len(seen) >= 3
    first = (await runner.history(execution))[1]
    assert (first.status, first.failure and first.failure.kind) == ("failed", "TimedOut")


async def test_nobody_who_catches_it_fails_with_it(runner: Runner) -> None:
    outcome = await runner.run(approval)
    assert outcome.failure is not None
    assert (outcome.state, outcome.failure.kind) == ("failed", "TimedOut")


async def test_a_payload_that_does_not_fit_is_an_invalid_event(runner: Runner) -> None:
    execution = await runner.start(runner.app.flow(approval))
    await runner.engine.signal(execution, "approved", b'{"approved": "perhaps"}')
    outcome = await runner.finish(execution)
    assert outcome.failure is not None
    assert outcome.failure.kind == "InvalidEvent"
    assert "the signal 'approved' is not what the flow waits for: approved" in outcome.reason


@pytest.mark.parametrize("name", ["", "$child", "x" * 121])
async def test_a_name_that_is_none_is_refused(runner: Runner, name: str) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        await ctx.wait_for(name)

    outcome = await runner.run(flow)
    assert outcome.failure is not None
    assert outcome.failure.kind == "DefinitionError"


async def test_branches_that_ask_at_once_know_the_same_signals(runner: Runner) -> None:
    """Else one may miss a signal that another one's look had heard of."""
    looks: list[str] = []

    async def flow(ctx: Context[Any], event: Any) -> Any:
        return await ctx.gather(range(10), lambda item: ctx.wait_for(f"s{item}"))

    execution = await runner.start(runner.app.flow(flow))
    await waits(runner, execution)
    runner.looked = looks.append
    for item in range(10):
        await runner.engine.signal(execution, f"s{item}", b"%d" % item)
    assert (await runner.finish(execution)).result == b"[0,1,2,3,4,5,6,7,8,9]"
    assert len(looks) <= (await runner.execution(execution)).attempt


async def test_waiting_does_not_count_for_the_maximum_age(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        await ctx.wait_for("go")
        return await runner.app.do("a")

    runner.app.errors["a"] = [UpstreamError(status=503)]
    execution = await runner.start(runner.app.flow(flow, max_age=timedelta(hours=1)))
    await waits(runner, execution)
    runner.clock.advance(86_400)
    await runner.engine.signal(execution, "go", b"null")
    assert (await runner.finish(execution)).result == b'"a!"'


# Branches ------------------------------------------------------------------------------------


async def test_branches_that_wait_do_not_hold_up_each_other(runner: Runner) -> None:
    """Three sleep for different times, one waits for a signal, one is tried again."""
    runner.app.errors["retried"] = [UpstreamError(status=503)]

    async def branch(ctx: Context[Any], item: Any) -> Any:
        match item:
            case int():
                await ctx.sleep(item)
            case "signal":
                await ctx.wait_for("go")
            case _:
                pass
        return await runner.app.do(str(item))

    async def flow(ctx: Context[Any], event: Any) -> Any:
        items = [300, "signal", 100, "retried", 200]
        return await ctx.gather(items, lambda item: branch(ctx, item), limit=1)

    execution = await runner.start(runner.app.flow(flow))

    async def done(*names: str) -> None:
        async def there() -> bool:
            found = await runner.execution(execution)
            if set(runner.app.names) != set(names) or found.state not in ("waiting", "queued"):
                return False
            return found.due_at is None or found.due_at > runner.clock()

        await until(there)

    await done("retried")
    runner.clock.advance(50)
    await done("retried")
    runner.clock.advance(51)
    await done("retried", "100")
    await runner.engine.signal(execution, "go", b"null")
    await done("retried", "100", "signal")
    runner.clock.advance(100)
    await done("retried", "100", "signal", "200")
    runner.clock.advance(100)
    result = b'["300!","signal!","100!","retried!","200!"]'
    assert (await runner.finish(execution)).result == result
    counted = Counter(runner.app.names)
    assert counted == {"retried": 2, "100": 1, "200": 1, "300": 1, "signal": 1}


async def test_each_branch_may_fail_by_itself(runner: Runner) -> None:
    """`settle` gives a value for each item; a bug is none, and is raised."""
    runner.app.errors["b"] = [ValueError("no")]
    runner.app.errors["c"] = [UpstreamError(status=503)]
    bugs: list[str] = []

    async def branch(ctx: Context[Any], item: str) -> Any:
        done = await runner.app.do(item)
        if item in bugs:
            raise KeyError(item)
        if item == "d":
            await ctx.wait_for("never", timeout=DAYS_3)
        return done

    async def flow(ctx: Context[Any], event: Any) -> Any:
        found = await ctx.gather("abcd", lambda item: branch(ctx, item), settle=True, limit=2)
        assert [each.ok for each in found] == [True, False, True, False]
        with pytest.raises(StepFailed):
            _ = found[1].result
        failed = [type(each.error).__name__ for each in found if not each.ok]
        return [[each.result for each in found if each.ok], failed, await runner.app.do("e")]

    outcome = await runner.run(flow)
    assert outcome.result == b'[["a!","c!"],["StepFailed","TimedOut"],"e!"]'
    assert Counter(runner.app.names) == {"a": 1, "b": 1, "c": 2, "d": 1, "e": 1}
    bugs.append("a")
    outcome = await runner.finish(await runner.start(runner.app.integration.flows["flow"]))
    assert outcome.failure is not None
    assert outcome.failure.kind == "KeyError"


async def test_what_is_waited_for_is_told_in_one_line(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        await ctx.gather(range(6), lambda item: ctx.wait_for(f"s{item}"))

    execution = await runner.start(runner.app.flow(flow))
    await waits(runner, execution)
    said = (await runner.execution(execution)).waiting_for
    assert said == "the signal s0, the signal s1, the signal s2 and 3 more"


# Crashes -------------------------------------------------------------------------------------


def waiting_flow(runner: Runner) -> Any:
    """A flow that waits for two signals in a row, one that never comes, and two at once."""
    app = runner.app

    async def either(ctx: Context[Any], name: str) -> Any:
        return [await ctx.wait_for(name), await app.do(name)]

    async def flow(ctx: Context[Any], event: Any) -> Any:
        first = await app.do("a")
        taken = [await ctx.wait_for("go"), await ctx.wait_for("go")]
        try:
            await ctx.wait_for("never", timeout=timedelta(hours=1))
        except TimedOut:
            taken.append(await app.do("b"))
        both = await ctx.gather(["c", "d"], lambda name: either(ctx, name))
        return [first, taken, both, await app.do("e")]

    return app.flow(flow)


async def crashed_at(
    store: str, path: Path, point: int | None
) -> tuple[Runner, Outcome, list[Record]]:
    async with runner_on(store, path) as runner:
        runner.crash_at = point
        execution = await runner.start(waiting_flow(runner), root="exe_root")
        for name, payload in SIGNALS:
            await runner.engine.signal(execution, name, payload)
        outcome = await runner.finish(execution)
        return runner, outcome, await runner.history(execution)


@AT_EACH_PLACE
async def test_a_crash_anywhere_loses_no_signal_and_takes_none_twice(
    store: str, every: int, tmp_path: Path
) -> None:
    reference, expected, records = await crashed_at(store, tmp_path / "reference", None)
    assert expected.result == ANSWERED
    keys = {each.name: each.key for each in reference.app.calls}
    assert len(reference.points) >= 16
    for point in range(0, len(reference.points), every):
        runner, outcome, history = await crashed_at(store, tmp_path / f"{point}", point)
        where = f"crash at {runner.points[point]!r} ({point})"
        assert outcome == expected, where
        calls = Counter(runner.app.names)
        assert set(calls) == set("abcde"), where
        assert all(count <= 2 for count in calls.values()), where
        assert all(each.key == keys[each.name] for each in runner.app.calls), where
        assert {each.path: each.result for each in history} == {
            each.path: each.result for each in records
        }, where


async def answered_one_by_one(path: Path) -> bytes | None:
    async with runner_on("memory", path) as runner:
        execution = await runner.start(waiting_flow(runner), root="exe_root")
        for name, payload in SIGNALS:
            await runner.engine.idle()
            await runner.engine.signal(execution, name, payload)
        return (await runner.finish(execution)).result


async def test_signals_that_come_one_by_one_are_taken_in_order(tmp_path: Path) -> None:
    assert await answered_one_by_one(tmp_path) == ANSWERED


async def test_the_control_whose_signals_are_counted_wrongly_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halflap.engine.waiting.is_taken", lambda record: False)
    assert await answered_one_by_one(tmp_path) != ANSWERED
