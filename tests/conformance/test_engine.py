"""The promises of the engine; what a verb does on each store is tested with the journals."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from halflap.engine.clock import ManualClock
from halflap.engine.journal import JournalEngine
from halflap.engine.protocol import Again, Ended, Handler, Turn, Verdict
from halflap.errors import Fenced, NotFound
from halflap.model import (
    MISSING,
    Change,
    Dedupe,
    Event,
    Failure,
    FlowKey,
    LogLine,
    Order,
    Outcome,
    Record,
    Start,
    StateWrite,
    StepKind,
    StepStatus,
    new_id,
)
from halflap.store.protocol import Attempt, Filter, Journal
from tests.journals import opened
from tests.polling import DEADLINE, until

DONE = Outcome("succeeded", result=b'"done"')


class Bench:
    """A store with engines on it, and what a test needs to see of both."""

    def __init__(self, journal: Journal, clock: ManualClock) -> None:
        self.journal = journal
        self.clock = clock
        self.engines: list[JournalEngine] = []

    def engine(self) -> JournalEngine:
        engine = JournalEngine(self.journal, clock=self.clock)
        self.engines.append(engine)
        return engine

    async def lose(self, execution: str) -> None:
        """Give the execution to another worker; the old one goes on unaware."""
        await self.journal.blame([execution], alone=False)
        for each in self.engines:
            each.nudge()

    async def history(self, execution: str) -> Sequence[Record]:
        return await self.journal.steps(execution)

    async def logs(self, execution: str) -> Sequence[LogLine]:
        return [line for _, line in await self.journal.logs(execution)]

    async def attempts(self, execution: str) -> Sequence[Attempt]:
        return await self.journal.attempts(execution)

    async def read_state(self, scope: str, key: str) -> bytes | None:
        return await self.journal.read_state(scope, key)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    clock = ManualClock()
    async with opened("memory", tmp_path, clock) as journal:
        yield Bench(journal, clock)


@contextlib.asynccontextmanager
async def running(engine: JournalEngine, handler: Handler) -> AsyncGenerator[None]:
    task = asyncio.create_task(engine.run(handler))
    try:
        yield
    finally:
        await engine.stop(0)
        await task


def start_of(
    body: bytes = b"{}", *, instance: str = "ins_1", key: str | None = None, **more: Any
) -> Start:
    execution = new_id("exe")
    event = Event("POST", "", "", (("content-type", "application/json"),), body, 1)
    flow = FlowKey("cus_1", instance, "shop", "orders", "v1", 1)
    dedupe = None if key is None else Dedupe(key)
    return Start(execution, flow, event, root=execution, dedupe=dedupe, **more)


def record_of(
    path: str,
    seq: int = 0,
    *,
    kind: StepKind = "action",
    status: StepStatus = "succeeded",
    result: bytes | None = b"1",
    tries: int = 1,
) -> Record:
    return Record(
        seq, path, kind, path.split("#")[0], path, status, 5, 6, b"{}", result, None, tries
    )


async def end_at_once(turn: Turn) -> Verdict:
    return Ended(DONE)


async def outcome_of(engine: JournalEngine, start: Start) -> Outcome:
    found = await engine.outcome(start.execution, within=DEADLINE)
    assert found is not None
    return found


# Start ---------------------------------------------------------------------------------------


async def test_what_is_accepted_as_its_caller_is_cancelled_is_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, start, accept = bench.engine(), start_of(), bench.journal.accept

    async def accept_and_cancel(*given: Any, **more: Any) -> Any:
        answers = await accept(*given, **more)
        starting.cancel()
        return answers

    monkeypatch.setattr(bench.journal, "accept", accept_and_cancel)

    async def has_ended() -> bool:
        try:
            return await engine.outcome(start.execution, within=0) is not None
        except NotFound:
            return False

    async with running(engine, end_at_once):
        starting = asyncio.create_task(engine.start([start]))
        await asyncio.wait([starting])
        assert starting.cancelled()
        await until(has_ended)


# Outcome -------------------------------------------------------------------------------------


async def test_an_outcome_can_be_waited_for(bench: Bench) -> None:
    engine, start, go = bench.engine(), start_of(), asyncio.Event()

    async def handler(turn: Turn) -> Verdict:
        await go.wait()
        return Ended(Outcome("failed", "no", failure=Failure("ValueError", "no", status=5)))

    async with running(engine, handler):
        await engine.start([start])
        waiting = asyncio.gather(*[outcome_of(engine, start) for _ in range(3)])
        assert await engine.outcome(start.execution, within=0.001) is None
        go.set()
        failed = Outcome("failed", "no", failure=Failure("ValueError", "no", status=5))
        assert await waiting == [failed] * 3
        assert await engine.outcome(start.execution, within=0) == failed


# Crashes and fences --------------------------------------------------------------------------


async def test_an_old_turn_writes_nothing_any_more(bench: Bench) -> None:
    engine, start = bench.engine(), start_of()
    turns, lost, fenced = list[Turn](), asyncio.Event(), asyncio.Event()

    async def handler(turn: Turn) -> Verdict:
        turns.append(turn)
        if turn.attempt == 1:
            await lost.wait()
            for writes in ([], [StateWrite("flow:x", "k", b"1")]):
                with pytest.raises(Fenced):
                    await turn.commit([record_of("old")], [LogLine(1, "info", "old")], writes)
            assert not turn.alive()
            fenced.set()
            return Ended(Outcome("failed", "old"), [record_of("old")])
        await fenced.wait()
        assert turn.alive()
        return Ended(DONE, [record_of("new")])

    async with running(engine, handler):
        await engine.start([start])
        await until(lambda: turns)
        await bench.lose(start.execution)
        await until(lambda: len(turns) == 2)
        lost.set()
        assert await outcome_of(engine, start) == DONE
    assert [each.path for each in await bench.history(start.execution)] == ["new"]
    assert list(await bench.logs(start.execution)) == []
    assert await bench.read_state("flow:x", "k") is None


async def test_a_handler_that_always_raises_fails_the_execution_in_the_end(bench: Bench) -> None:
    engine, start = bench.engine(), start_of()

    async def handler(turn: Turn) -> Verdict:
        raise ZeroDivisionError("a bug of ours")

    async with running(engine, handler):
        await engine.start([start])
        for tried in (1, 2):
            await until(lambda n=tried: has_attempts(bench, start, n))
            bench.clock.advance(60)
        outcome = await outcome_of(engine, start)
    assert outcome.state == "failed"
    assert outcome.failure is not None
    assert outcome.failure.message == "a bug of ours"


async def has_attempts(bench: Bench, start: Start, count: int) -> bool:
    return len(await bench.attempts(start.execution)) == count


# State ---------------------------------------------------------------------------------------


async def test_an_end_that_is_fenced_or_cannot_be_made_writes_nothing(bench: Bench) -> None:
    engine, lost, start = bench.engine(), asyncio.Event(), start_of()
    turns: list[int] = []

    async def handler(turn: Turn) -> Verdict:
        turns.append(turn.attempt)
        if turn.attempt == 1:
            await lost.wait()
            return Ended(DONE, writes=[StateWrite("s", "a", b"old")])
        if turn.attempt == 2:
            await until(lost.is_set)
            wrong = StateWrite("s", "b", b"[1]", merge=True)
            return Ended(DONE, [record_of("no")], writes=[StateWrite("s", "a", b"2"), wrong])
        return Ended(DONE, writes=[StateWrite("s", "c", b"3")])

    with pytest.raises(ValueError, match="expects"):
        Ended(DONE, writes=[StateWrite("s", "a", b"1", MISSING)])
    async with running(engine, handler):
        await engine.start([start])
        await until(lambda: turns)
        await bench.lose(start.execution)
        await until(lambda: len(turns) == 2)
        lost.set()
        await until(lambda: bench.attempts(start.execution))

        async def retries() -> bool:
            return len(await bench.attempts(start.execution)) == 2

        await until(retries)
        bench.clock.advance(2)
        assert await outcome_of(engine, start) == DONE
    assert [await bench.read_state("s", key) for key in "abc"] == [None, None, b"3"]
    assert list(await bench.history(start.execution)) == []


# Cancel --------------------------------------------------------------------------------------


async def test_a_cancelled_execution_is_cut_after_its_grace(bench: Bench) -> None:
    engine, start, running_ = bench.engine(), start_of(), asyncio.Event()
    unwound = list[str]()

    async def handler(turn: Turn) -> Verdict:
        running_.set()
        try:
            await asyncio.Event().wait()
        finally:
            unwound.append(turn.start.execution)
            await turn.commit([record_of("a")], [])
        raise AssertionError

    async with running(engine, handler):
        await engine.start([start])
        await running_.wait()
        assert await engine.cancel(start.execution, "not wanted", grace=60)
        bench.clock.advance(59)
        assert await engine.outcome(start.execution, within=0.02) is None
        assert not unwound
        bench.clock.advance(2)
        assert await outcome_of(engine, start) == Outcome("cancelled", "not wanted")
    assert unwound == [start.execution]
    assert list(await bench.history(start.execution)) == [record_of("a")]


async def test_a_grace_can_be_shortened_by_asking_again(bench: Bench) -> None:
    engine, start, running_ = bench.engine(), start_of(), asyncio.Event()

    async def handler(turn: Turn) -> Verdict:
        running_.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with running(engine, handler):
        await engine.start([start])
        await running_.wait()
        assert await engine.cancel(start.execution, "not wanted")
        assert await engine.cancel(start.execution, "not at all", grace=0)
        bench.clock.advance(0.001)
        assert await outcome_of(engine, start) == Outcome("cancelled", "not at all")


async def test_a_flow_that_swallows_its_cut_is_ended_and_records_nothing(bench: Bench) -> None:
    engine, start, running_ = bench.engine(), start_of(), asyncio.Event()
    go, late = asyncio.Event(), list[object]()

    async def handler(turn: Turn) -> Verdict:
        running_.set()
        while not go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await go.wait()
                try:
                    await turn.commit([record_of("late")], [])
                except Fenced as error:
                    late.append(error)
                    raise
        return Ended(DONE)

    async with running(engine, handler):
        await engine.start([start])
        await running_.wait()
        assert await engine.cancel(start.execution, "not wanted", grace=1)
        bench.clock.advance(2)
        assert await engine.outcome(start.execution, within=0.02) is None
        bench.clock.advance(10)
        assert await outcome_of(engine, start) == Outcome("cancelled", "not wanted")
        go.set()
        await until(lambda: late)
    assert await engine.outcome(start.execution, within=0) == Outcome("cancelled", "not wanted")
    assert list(await bench.history(start.execution)) == []


async def test_one_that_ends_within_its_grace_is_not_cut_as_it_is_replayed(bench: Bench) -> None:
    engine, first, second = bench.engine(), start_of(), start_of()
    running_, go = asyncio.Event(), asyncio.Event()

    async def handler(turn: Turn) -> Verdict:
        running_.set()
        if turn.start.execution == first.execution:
            await until(lambda: turn.cancelling)
        else:
            await go.wait()
        return Ended(DONE)

    async with running(engine, handler):
        await engine.start([first])
        await running_.wait()
        await engine.cancel(first.execution, "not wanted", grace=1)
        await outcome_of(engine, first)
        await engine.start([second])
        bench.clock.advance(100)
        go.set()
        assert await outcome_of(engine, second) == DONE


async def test_an_execution_that_pauses_while_it_is_cancelled_ends(bench: Bench) -> None:
    engine, start, running_, go = bench.engine(), start_of(), asyncio.Event(), asyncio.Event()

    async def handler(turn: Turn) -> Verdict:
        running_.set()
        await go.wait()
        return Again("signal", None, heard=0)

    async with running(engine, handler):
        await engine.start([start])
        await running_.wait()
        await engine.cancel(start.execution, "not wanted")
        go.set()
        assert await outcome_of(engine, start) == Outcome("cancelled", "not wanted")


async def test_all_live_executions_of_an_instance_are_cancelled_together(bench: Bench) -> None:
    engine, ended = bench.engine(), start_of()
    async with running(engine, end_at_once):
        await engine.start([ended])
        await outcome_of(engine, ended)
    engine = bench.engine()
    mine, others = [start_of() for _ in range(5)], start_of(instance="ins_2")
    await engine.start([*mine, others])
    assert await engine.cancel_all("ins_1", "removed") == 5
    assert [await outcome_of(engine, each) for each in mine] == 5 * [
        Outcome("cancelled", "removed")
    ]
    assert await outcome_of(engine, ended) == DONE
    assert await engine.outcome(others.execution, within=0) is None


# Order ---------------------------------------------------------------------------------------


async def test_the_next_of_an_order_begins_as_the_one_before_ends(bench: Bench) -> None:
    engine, order, go = bench.engine(), Order("order:ins_1:orders", ""), asyncio.Event()
    first, second = start_of(order=order), start_of(order=order)

    async def handler(turn: Turn) -> Verdict:
        await go.wait()
        return Ended(DONE)

    async with running(engine, handler):
        await engine.start([first])
        await engine.start([second])
        go.set()
        assert await outcome_of(engine, second) == DONE


# Hold, live, follow --------------------------------------------------------------------------


async def test_a_follower_sees_what_happens_in_order(bench: Bench) -> None:
    engine, changes = bench.engine(), list[Change]()
    unfollow = engine.follow(changes.append)

    async def handler(turn: Turn) -> Verdict:
        return Ended(DONE) if turn.attempt == 2 else Again("sleep", turn.now())

    start = start_of()
    async with running(engine, handler):
        await engine.start([start])
        await outcome_of(engine, start)
        await until(lambda: changes[-1].outcome is not None)
        unfollow()
        await engine.start([start_of()])
        cancelled = start_of(instance="ins_2")
    assert {each.execution for each in changes} == {start.execution}
    assert [(each.state, each.attempt) for each in changes] == [
        ("queued", 1),
        ("running", 1),
        ("waiting", 1),
        ("running", 2),
        ("succeeded", 2),
    ]
    assert changes[-1].outcome == DONE
    assert changes[0].start == start
    engine = bench.engine()
    engine.follow(changes.append)
    await engine.start([cancelled])
    await engine.cancel(cancelled.execution, "why")
    assert changes[-1].state == "cancelled"
    assert changes[-1].start.event == cancelled.event


# Stop ----------------------------------------------------------------------------------------


async def test_a_stop_lets_running_turns_end(bench: Bench) -> None:
    engine, start, begun, go = bench.engine(), start_of(), asyncio.Event(), asyncio.Event()

    async def handler(turn: Turn) -> Verdict:
        begun.set()
        await go.wait()
        return Ended(DONE)

    task = asyncio.create_task(engine.run(handler))
    await engine.start([start])
    await begun.wait()
    stopping = asyncio.create_task(engine.stop(DEADLINE))
    await asyncio.sleep(0)
    late = start_of()
    await engine.start([late])
    go.set()
    await stopping
    await task
    assert await engine.outcome(start.execution, within=0) == DONE
    assert await engine.outcome(late.execution, within=0) is None


async def test_a_stop_cuts_what_a_slow_write_claims_after_its_grace(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, start, accepted, go = bench.engine(), start_of(), asyncio.Event(), asyncio.Event()
    accept = bench.journal.accept

    async def slow(*args: Any, **kwargs: Any) -> Any:
        found = await accept(*args, **kwargs)
        accepted.set()
        await go.wait()
        return found

    async def handler(turn: Turn) -> Verdict:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(bench.journal, "accept", slow)
    task = asyncio.create_task(engine.run(handler))
    await asyncio.sleep(0)
    starting = asyncio.create_task(engine.start([start]))
    await accepted.wait()
    stopping = asyncio.create_task(engine.stop(0))
    for _ in range(20):  # it has cut by now
        await asyncio.sleep(0)
    go.set()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(starting, stopping, task)
    [attempt] = await bench.attempts(start.execution)
    assert attempt.how == "drained"


async def test_what_its_caller_left_before_its_write_begins_is_not_accepted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, goes_on, done = bench.journal.accept, asyncio.Event(), asyncio.Event()

    async def late(*given: Any, **more: Any) -> Any:
        await goes_on.wait()
        answers = await accept(*given, **more)
        done.set()
        return answers

    monkeypatch.setattr(bench.journal, "accept", late)
    left, stays = start_of(), start_of()
    engine = bench.engine()
    starting = [asyncio.create_task(engine.start([each])) for each in (left, stays)]
    await asyncio.sleep(0)
    starting[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting[0]
    goes_on.set()
    assert [each.execution for each in await starting[1]] == [stays.execution]
    await done.wait()
    assert [each.id for each in await bench.journal.executions(Filter())] == [stays.execution]
