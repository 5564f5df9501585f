from __future__ import annotations

import asyncio
import gc
import itertools
import weakref
from base64 import b64encode
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from halflap.engine import doing
from halflap.engine.ledger import Ledger
from halflap.engine.recorder import StepRecorder
from halflap.errors import (
    Cancel,
    DefinitionError,
    InvalidEvent,
    RateLimited,
    RetryLater,
    StepFailed,
    Unauthorized,
    UpstreamError,
)
from halflap.model import SEALED, Event, FlowKey, Start, new_id
from halflap.sdk import codec, running
from halflap.sdk.action import step
from halflap.sdk.context import MAX_STATE_BYTES, Context
from halflap.sdk.request import Request
from halflap.sdk.schema import File, Model
from halflap.sdk.trigger import Ignore
from tests.engine.flows import Runner


class Account(Model):
    id: str
    balance: Decimal


class Token(Model):
    value: SecretStr


# Steps ---------------------------------------------------------------------------------------


async def test_a_call_that_was_never_awaited_fails_the_execution(runner: Runner) -> None:
    app = runner.app

    async def called(ctx: Context[Any], event: Any) -> Any:
        """Nobody calls it."""

    async def action(ctx: Context[Any], event: Any) -> Any:
        app.do("a")  # pyright: ignore[reportUnusedCoroutine]
        await app.do("b")

    async def state(ctx: Context[Any], event: Any) -> Any:
        ctx.state.put("a", 1)  # pyright: ignore[reportUnusedCoroutine]

    async def many(ctx: Context[Any], event: Any) -> Any:
        ctx.sleep(1)  # pyright: ignore[reportUnusedCoroutine]
        ctx.call(sibling, {})  # pyright: ignore[reportUnusedCoroutine]

    sibling = app.flow(called)
    for flow, name, more in (
        (action, "app.do", ""),
        (state, "ctx.state.put", ""),
        (many, "ctx.sleep", " (and 1 more calls)"),
    ):
        outcome = await runner.run(flow)
        line = flow.__code__.co_firstlineno + 1
        assert outcome.state == "failed"
        assert outcome.reason == (
            f"{__file__}:{line}: {name} was called and never awaited{more}, so it did not happen; "
            f"write `await {name}(…)`"
        )
        assert outcome.failure is not None
        assert outcome.failure.where == f"{__file__}:{line}"
    assert app.names == ["b"]


async def test_calls_may_be_made_before_they_are_awaited(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        calls = [runner.app.do(str(number)) for number in range(200)]
        return [await each for each in reversed(calls)]

    outcome = await runner.run(flow)
    assert (outcome.state, len(runner.app.names)) == ("succeeded", 200)


async def test_an_execution_leaves_nothing_to_the_garbage_collector(runner: Runner) -> None:
    """Cycles stay until they are looked for, in memory that a busy server does not use again."""
    made: list[weakref.ref[Any]] = []

    def recorder(*args: Any, **options: Any) -> StepRecorder:
        found = StepRecorder(*args, **options)
        made.extend(weakref.ref(each) for each in (found, found.steps, found.steps.past))
        return found

    runner.executor.recorder = recorder
    tasks: list[weakref.ref[Any]] = []

    async def flow(ctx: Context[Any], event: Any) -> None:
        tasks.append(weakref.ref(asyncio.current_task()))
        await runner.app.do("a")
        await ctx.gather(["b", "c"], lambda name: runner.app.do(name))
        await ctx.state.put("k", 1)

    gc.collect()
    gc.disable()
    try:
        assert (await runner.run(flow)).state == "succeeded"
        for _ in range(1_000):
            if runner.running:
                await asyncio.sleep(0)
        assert [each() for each in (*made, *tasks)] == [None] * 4
    finally:
        gc.enable()


async def test_a_finished_step_is_not_run_again(runner: Runner) -> None:
    runner.app.errors["b"] = [UpstreamError(status=503)]

    async def flow(ctx: Context[Any], event: Any) -> Any:
        return [await runner.app.do(each) for each in "abc"]

    outcome = await runner.run(flow)
    assert outcome.result == b'["a!","b!","c!"]'
    assert runner.app.names == ["a", "b", "b", "c"]
    assert [(each.path, each.tries) for each in await runner.history()][1:] == [
        ("app.do", 1),
        ("app.do#2", 2),
        ("app.do#3", 1),
    ]


async def test_a_failed_step_and_its_flow_each_name_their_own_line(runner: Runner) -> None:
    @step
    async def breaks() -> None:
        raise ValueError("no")

    async def flow(ctx: Context[Any], event: Any) -> None:
        await breaks()

    async def branching(ctx: Context[Any], event: Any) -> None:
        await ctx.gather([1], flow_branch)

    async def flow_branch(item: Any) -> None:
        await breaks()

    for each, within in ((flow, flow), (branching, flow_branch)):
        outcome = await runner.run(each)
        assert outcome.failure is not None
        assert outcome.failure.where == f"{__file__}:{within.__code__.co_firstlineno + 1}"
        [failure] = [each.failure for each in await runner.history() if each.failure]
        assert failure.where.startswith(f"{__file__}:")
        assert failure.where != outcome.failure.where


async def test_a_flow_with_one_effect_commits_once_with_its_outcome(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        text = await runner.app.double(await runner.app.double("a"))
        return await runner.app.double(await runner.app.do(text))

    assert (await runner.run(flow)).result == b'"aaaa!aaaa!"'
    assert runner.commits == []
    assert len(await runner.history()) == 5


async def two_effects(runner: Runner) -> list[list[str]]:
    """Run two effects, and return what was durable when each began."""
    durable: list[list[str]] = []

    async def look(name: str) -> None:
        if name.startswith("before"):
            durable.append([each.path for each in await runner.history()])

    async def flow(ctx: Context[Any], event: Any) -> Any:
        await runner.app.do("a")
        await runner.app.double("x")
        await runner.app.do("b")

    runner.app.watch = look
    await runner.run(flow)
    return durable


async def test_an_effects_result_is_durable_before_the_next_effect_starts(runner: Runner) -> None:
    durable = await two_effects(runner)
    assert durable == [[], ["trigger", "app.do", "app.double"]]
    assert runner.commits == [["trigger", "app.do", "app.double"]]


async def test_the_control_without_settling_is_caught(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def settle_nothing(self: Ledger, writes: object = ()) -> None: ...

    monkeypatch.setattr(Ledger, "settle", settle_nothing)
    assert await two_effects(runner) == [[], []]


async def test_a_flow_sees_the_decoded_record_on_its_first_run_too(runner: Runner) -> None:
    component = runner.app.component

    @component.action
    async def account(balance: Decimal) -> Account:
        """Read an account."""
        return Account(id="1", balance=balance)

    @component.action
    async def pair() -> tuple[int, str]:
        """Read a pair."""
        return (1, "a")

    @component.action
    async def anything() -> Any:
        """Read anything."""
        return {"tuple": (1, 2), "fraction": Decimal("1.10"), "account": Account(id="2", balance=3)}

    seen: list[Any] = []

    async def flow(ctx: Context[Any], event: Any) -> Any:
        found = [await account(Decimal("0.10")), await pair(), await anything()]
        seen.append(found)
        await runner.app.do("a")

    runner.app.errors["a"] = [UpstreamError(status=503)]
    await runner.run(flow)
    assert seen[0] == seen[1]
    got, pair_, anything_ = seen[0]
    assert isinstance(got, Account)
    assert str(got.balance) == "0.10"
    assert pair_ == (1, "a")
    assert anything_["tuple"] == [1, 2]
    assert str(anything_["fraction"]) == "1.10"
    assert anything_["account"] == {"id": "2", "balance": 3}


async def test_an_action_inside_an_action_is_no_step(runner: Runner) -> None:
    @runner.app.component.action
    async def twice() -> str:
        """Do it twice."""
        return await runner.app.do("a") + await runner.app.do("b")

    async def flow(ctx: Context[Any], event: Any) -> Any:
        return await twice()

    assert (await runner.run(flow)).result == b'"a!b!"'
    assert [each.path for each in await runner.history()] == ["trigger", "app.twice"]
    assert len({each.key for each in runner.app.calls}) == 2


async def test_files_are_there_on_resume(runner: Runner) -> None:
    @runner.app.component.action
    async def download() -> File:
        """Download a file."""
        await runner.app.do.invoke("download")
        return File(b"\x00\xff", "a.bin", "application/x")

    async def flow(ctx: Context[Any], event: Any) -> Any:
        file = await download()
        await runner.app.do("a")
        return file.data == b"\x00\xff" and file.name

    runner.app.errors["a"] = [UpstreamError(status=503)]
    assert (await runner.run(flow)).result == b'"a.bin"'
    assert runner.app.names.count("download") == 1


async def test_secrets_are_never_in_the_bytes_of_a_record(runner: Runner) -> None:
    seen: list[Any] = []

    @runner.app.component.action
    async def login(password: SecretStr) -> Token:
        """Log in."""
        return Token(value=SecretStr("result-" + password.get_secret_value()))

    async def flow(ctx: Context[Any], event: Any) -> Any:
        token = await login(SecretStr("hunter2"))
        seen.append(token)
        await ctx.state.put("token", token.value)
        await runner.app.do("a")

    runner.app.errors["a"] = [UpstreamError(status=503)]
    assert (await runner.run(flow)).state == "succeeded"
    assert seen == [Token(value=SecretStr("result-hunter2"))] * 2
    for each in await runner.history():
        assert b"hunter2" not in (each.inputs or b"") + (each.result or b"")


async def test_a_value_of_state_that_is_too_large_is_refused_by_its_limits_name(
    runner: Runner,
) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        await ctx.state.put("all", "x" * (MAX_STATE_BYTES - 2))
        await ctx.state.put("more", "x" * (MAX_STATE_BYTES - 1))

    outcome = await runner.run(flow)
    assert outcome.state == "failed"
    assert "'more'" in outcome.reason
    assert "MAX_STATE_BYTES allows 4,194,304" in outcome.reason
    assert [each.path for each in await runner.history()] == ["trigger", "state.put(all)"]


async def test_a_reason_is_no_longer_than_a_list_can_show(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        return Ignore("é" * 52_000 + "the cause")

    outcome = await runner.run(flow)
    assert outcome.state == "ignored"
    assert outcome.reason == "é" * 499 + "…" + "é" * 490 + "the cause"


async def test_a_local_function_is_recorded_by_step(runner: Runner) -> None:
    rolled = iter(range(10))

    @step
    async def roll() -> int:
        return next(rolled)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        number = await roll()
        await runner.app.do("a")
        return number

    runner.app.errors["a"] = [UpstreamError(status=503)]
    assert (await runner.run(flow)).result == b"0"


# Retry ---------------------------------------------------------------------------------------


async def waits(runner: Runner, *errors: Exception, **options: Any) -> tuple[Any, list[float]]:
    """The outcome of a flow whose one step meets errors, and the waits between its attempts."""
    times: list[float] = []
    runner.app.errors["a"] = list(errors)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        times.append(runner.clock() / 1e6)
        return await runner.app.do("a")

    outcome = await runner.run(flow, **options)
    return outcome, [round(b - a, 3) for a, b in itertools.pairwise(times)]


async def test_a_failed_step_is_retried_ever_later_and_then_fails(runner: Runner) -> None:
    outcome, waited = await waits(runner, *[UpstreamError("down", status=503)] * 3)
    assert waited == [1, 2]
    assert outcome.state == "failed"
    assert outcome.failure.status == 503
    assert "down" in outcome.reason
    [_, record] = await runner.history()
    assert (record.status, record.tries) == ("failed", 3)


async def test_a_step_whose_request_may_have_been_carried_out_fails_at_once(
    runner: Runner,
) -> None:
    async def sending(point: str) -> None:
        step = running.step.get()
        assert step is not None
        step.in_doubt = True

    runner.app.watch = sending
    outcome, waited = await waits(runner, UpstreamError("it answered 500", status=500))
    assert (outcome.state, waited) == ("failed", [])
    assert "it answered 500; it may have been carried out" in outcome.reason


async def test_the_idempotency_key_is_the_same_on_every_try(runner: Runner) -> None:
    outcome, _ = await waits(runner, *[UpstreamError(status=503)] * 2)
    assert outcome.state == "succeeded"
    assert len(runner.app.calls) == 3
    assert len({each.key for each in runner.app.calls}) == 1


async def test_idempotency_keys_differ_by_step_branch_and_execution(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        await runner.app.do("a")
        await runner.app.do("a")
        await ctx.gather(["x", "y"], lambda item: runner.app.do(item))

    handle = runner.app.flow(flow)
    for _ in range(2):
        await runner.finish(await runner.start(handle))
    assert len({each.key for each in runner.app.calls}) == 8


async def test_retry_after_wins_and_spends_no_attempt(runner: Runner) -> None:
    slow = RateLimited(retry_after=timedelta(seconds=77))
    outcome, waited = await waits(runner, *[slow] * 5, UpstreamError(status=503))
    assert waited == [77] * 5 + [1]
    assert outcome.state == "succeeded"


async def test_an_app_that_says_no_time_is_asked_ever_more_rarely(runner: Runner) -> None:
    outcome, waited = await waits(runner, *[RateLimited()] * 8)
    assert outcome.state == "succeeded"
    assert waited == sorted(waited)
    assert waited[-1] > 5 * waited[0]


@pytest.mark.parametrize(
    "error", [RetryLater(timedelta(hours=1)), RateLimited(retry_after=timedelta(hours=1))]
)
async def test_waiting_ends_at_the_flows_maximum_age(runner: Runner, error: Exception) -> None:
    outcome, waited = await waits(runner, *[error] * 9, max_age=timedelta(hours=3))
    assert waited == [3600] * 3
    assert outcome.state == "failed"
    assert "maximum age" in outcome.reason


async def test_a_flow_may_ask_to_be_run_later(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        await runner.app.do("a")
        if ctx.attempt < 3:
            raise RetryLater(timedelta(minutes=1))
        return ctx.attempt

    began = runner.clock()
    assert (await runner.run(flow)).result == b"3"
    assert runner.clock() - began == 120_000_000
    assert runner.app.names == ["a"]


@pytest.mark.parametrize(
    "error",
    [UpstreamError("no", status=400), Unauthorized("no"), ValueError("no"), KeyError("no")],
)
async def test_what_a_retry_cannot_mend_fails_at_once_and_can_be_caught(
    runner: Runner, error: Exception
) -> None:
    caught: list[StepFailed] = []

    async def flow(ctx: Context[Any], event: Any) -> Any:
        try:
            await runner.app.do("a")
        except StepFailed as failed:
            caught.append(failed)
        return await runner.app.do("b")

    runner.app.errors = {"a": [error], "b": [UpstreamError(status=503)]}
    assert (await runner.run(flow)).state == "succeeded"
    assert runner.app.names == ["a", "b", "b"]
    first, replayed = caught
    assert first.__cause__ is error
    assert (str(first), first.step, first.error, first.status) == (
        str(replayed),
        replayed.step,
        replayed.error,
        replayed.status,
    )
    assert first.error == type(error).__name__
    assert ("KeyError: 'no'" in str(first)) == isinstance(error, KeyError)


async def test_a_result_that_is_not_what_was_declared_fails_the_step(runner: Runner) -> None:
    @runner.app.component.action
    async def lie() -> int:
        """Say what is not."""
        return "x"  # pyright: ignore[reportReturnType]

    async def flow(ctx: Context[Any], event: Any) -> Any:
        await lie()

    outcome = await runner.run(flow)
    assert outcome.state == "failed"
    assert "app.lie returned what its annotation does not say" in outcome.reason


async def test_an_action_that_takes_too_long_is_tried_again(runner: Runner) -> None:
    tries: list[int] = []

    @runner.app.component.action(timeout=timedelta(seconds=1))
    async def slow() -> int:
        """Take long."""
        tries.append(1)
        await asyncio.sleep(0 if len(tries) == 2 else 60)
        return len(tries)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        return await slow()

    assert (await runner.run(flow)).result == b"2"


# Ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["flow", "action"])
async def test_cancel_ends_the_execution_as_cancelled(runner: Runner, place: str) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        if place == "action":
            await runner.app.do("a")
        raise Cancel("nothing to do")

    runner.app.errors["a"] = [Cancel("nothing to do")]
    outcome = await runner.run(flow)
    assert (outcome.state, outcome.reason) == ("cancelled", "nothing to do")


@pytest.mark.parametrize("body", [b"not json", b'{"name": 1}'])
async def test_an_invalid_event_fails_and_is_not_retried(runner: Runner, body: bytes) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        raise InvalidEvent("the event has no name")

    outcome = await runner.run(flow, body)
    assert outcome.state == "failed"
    assert outcome.failure is not None
    assert outcome.failure.kind == "InvalidEvent"
    assert [each.attempt for each in runner.changes if each.outcome] == [1]


async def test_an_event_that_does_not_fit_the_flow_is_invalid(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Account) -> Any: ...

    outcome = await runner.run(flow, b'{"id": "1"}')
    assert outcome.failure is not None
    assert (outcome.failure.kind, "balance" in outcome.reason) == ("InvalidEvent", True)


async def test_a_bug_in_a_flow_fails_it_with_its_place(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        return event["missing"]

    outcome = await runner.run(flow)
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.reason) == ("KeyError", "KeyError: 'missing'")
    assert "test_executor.py:" in outcome.failure.where


async def test_an_attempt_ends_at_the_flows_time_out(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        await runner.app.do("a")
        await asyncio.sleep(60)

    outcome = await runner.run(flow, timeout=timedelta(seconds=1))
    assert outcome.failure is not None
    assert (outcome.state, outcome.failure.kind) == ("failed", "Timeout")
    assert [each.path for each in await runner.history()] == ["trigger", "app.do"]


async def test_a_running_flow_is_cancelled_at_its_next_step(runner: Runner) -> None:
    inside = asyncio.Event()
    go = asyncio.Event()

    async def look(name: str) -> None:
        if name == "before a":
            inside.set()
            await go.wait()

    async def flow(ctx: Context[Any], event: Any) -> Any:
        try:
            await runner.app.do("a")
            await runner.app.do("b")
        except BaseException:
            return "swallowed"

    runner.app.watch = look
    execution = await runner.start(runner.app.flow(flow))
    await inside.wait()
    assert await runner.engine.cancel(execution, "not wanted")
    go.set()
    outcome = await runner.finish(execution)
    assert (outcome.state, outcome.reason) == ("cancelled", "not wanted")
    assert runner.app.names == ["a"]
    assert [each.path for each in await runner.history(execution)] == ["trigger", "app.do"]


async def test_a_flow_that_is_cut_keeps_what_it_has_done(runner: Runner) -> None:
    inside = asyncio.Event()

    async def flow(ctx: Context[Any], event: Any) -> Any:
        await runner.app.do("a")
        inside.set()
        await asyncio.Event().wait()

    execution = await runner.start(runner.app.flow(flow))
    await inside.wait()
    await runner.engine.stop(0)
    assert [each.path for each in await runner.history(execution)] == ["trigger", "app.do"]


async def test_a_flow_that_is_cut_while_a_result_is_written_keeps_the_result(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = asyncio.Event()

    async def writing(*_: Any) -> bytes:
        inside.set()
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(doing, "record_value", writing)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        await runner.app.do("a")
        await runner.app.do("b")

    execution = await runner.start(runner.app.flow(flow))
    await inside.wait()
    await runner.engine.stop(0)
    assert runner.app.names == ["a"]
    [_, done] = await runner.history(execution)
    assert (done.path, done.status, done.result) == ("app.do", "succeeded", b'"a!"')


@pytest.mark.parametrize("how", ["catches", "cleans up"])
async def test_a_flow_that_swallows_the_cut_is_cut_all_the_same(runner: Runner, how: str) -> None:
    inside = asyncio.Event()

    async def flow(ctx: Context[Any], event: Any) -> Any:
        try:
            inside.set()
            await asyncio.Event().wait()
        except BaseException:
            if how == "catches":
                return "swallowed"
            await runner.app.do("a")

    execution = await runner.start(runner.app.flow(flow))
    await inside.wait()
    await runner.engine.stop(0)
    assert runner.app.names == []
    assert (await runner.execution(execution)).state == "queued"


async def test_a_flow_that_swallows_its_time_out_fails_all_the_same(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        try:
            await asyncio.sleep(60)
        except BaseException:
            return "swallowed"

    outcome = await runner.run(flow, timeout=timedelta(milliseconds=10))
    assert outcome.failure is not None
    assert outcome.failure.kind == "Timeout"


async def test_what_no_worker_satisfies_stays_queued_and_says_so(runner: Runner) -> None:
    async def flow(ctx: Context[Any], event: Any) -> Any:
        return 1

    handle = runner.app.flow(flow)
    del runner.app.integration.flows["flow"]

    async def refuse(key: Any) -> Any:
        if "flow" not in runner.app.integration.flows:
            runner.app.integration.flows["flow"] = handle
            raise DefinitionError("app 2.0 is not installed here")
        return await runner.work(key)

    runner.executor.resolve = refuse
    assert (await runner.finish(await runner.start(handle))).state == "succeeded"
    [first] = [each for each in runner.changes if each.attempt == 1 and each.state == "queued"][1:]
    assert first.outcome is None


async def test_a_header_that_only_looks_sealed_is_what_its_sender_wrote(runner: Runner) -> None:
    @runner.app.component.trigger()
    async def signed(request: Request) -> Any:
        """Read two headers."""
        return [request.headers["authorization"], request.headers["x-note"]]

    @runner.app.integration.flow(trigger=signed)
    async def flow(ctx: Context[Any], event: Any) -> Any:
        return event

    sealed = b64encode(b"terces").decode()
    headers = (("Authorization", f"{SEALED}{sealed}"), ("X-Note", f"{SEALED}!"))
    execution = new_id("exe")
    key = FlowKey("cus_1", "ins_1", "shop", "flow", "v1", 1)
    event = Event("POST", "", "", headers, b"", runner.clock())
    await runner.engine.start([Start(execution, key, event, root=execution)])
    outcome = await runner.finish(execution)
    assert outcome.result == codec.encode(["secret", f"{SEALED}!"])
