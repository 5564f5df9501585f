"""Faults to plant in the engine, each small and each one that somebody could make.

The simulation has to catch every one of them (test_planted.py); it would be worth nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from halflap.engine import journal as engine_journal
from halflap.engine.doing import Steps
from halflap.engine.journal import JournalEngine
from halflap.engine.ledger import Ledger
from halflap.engine.past import Past
from halflap.engine.probation import Probation
from halflap.engine.protocol import Ended
from halflap.engine.turn import JournalTurn
from halflap.model import Started
from halflap.sdk.running import RunningStep
from halflap.store import accepting, admission, ordering, sqlite
from halflap.store import journal as store_journal
from halflap.store.journal import SqliteJournal
from halflap.store.rules import admission as rules
from tests.simulation.database import NOTE
from tests.simulation.loop import PROCESS
from tests.simulation.plan import Plan
from tests.simulation.world import BEGINS

Plant = Callable[[pytest.MonkeyPatch], None]
Where = Callable[[Plan], object]
PLANTED: dict[str, tuple[Plant, str, Where, int]] = {}
"""Each fault by its name: the promise that it breaks, in which worlds it can, and where to look first."""


def planted(
    promise: str, where: Where = lambda _: True, *, seed: int = 0
) -> Callable[[Plant], Plant]:
    """Add a fault that breaks a promise; its name and its docstring say what is wrong.

    seed: one that caught it lately, which is tried first.
    """

    def add(plant: Plant) -> Plant:
        PLANTED[plant.__name__] = plant, promise, where, seed
        return plant

    return add


@contextmanager
def unwatched() -> Iterator[None]:
    """Keep what the faulty code commits beside the verb from being taken for the verb's."""
    token = NOTE.set(None)
    try:
        yield
    finally:
        NOTE.reset(token)


@planted("no record by a fenced worker", seed=5)
def fencing_is_off(patch: pytest.MonkeyPatch) -> None:
    """Every former holder of an execution may write to it."""
    for name in ("HOLDS", "END_EXECUTION", "RELEASE_EXECUTION"):
        sql: str = getattr(store_journal, name)
        patch.setattr(store_journal, name, sql.replace("fence = ?", "fence >= ?"))


@planted("nothing is acknowledged before its commit")
def acknowledged_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """The answer does not wait for the store."""
    start = JournalEngine.start

    async def hasty(self: JournalEngine, starts: Sequence[Any]) -> list[Started]:
        task = asyncio.get_running_loop().create_task(start(self, starts))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return [Started(each.execution) for each in starts]

    patch.setattr(JournalEngine, "start", hasty)


@planted("nothing is stuck", seed=2)
def a_timer_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """The engine rests without looking when the next execution becomes due."""
    rest = JournalEngine._rest
    patch.setattr(JournalEngine, "_rest", lambda self, due: rest(self, None))


@planted("nothing is stuck", seed=14)
def a_wake_up_is_lost(patch: pytest.MonkeyPatch) -> None:
    """Room that becomes free is not used until something else happens."""
    patch.setattr(JournalEngine, "_freed", lambda self: self._settled.set())


@planted("each comes to what it should", seed=1)
def a_replay_has_a_stale_now(patch: pytest.MonkeyPatch) -> None:
    """A recalled record does not move the scope's time."""
    pass_by = Past.pass_by

    def stale(self: Past, scope: Any, record: Any) -> None:
        now = scope.now
        pass_by(self, scope, record)
        if self._history.get(record.path) is record:
            scope.now = now

    patch.setattr(Past, "pass_by", stale)


@planted("a delivery is one execution", seed=1)
def dedupe_is_checked_then_inserted(patch: pytest.MonkeyPatch) -> None:
    """A delivery is looked up in one transaction, and kept in another."""
    accept = SqliteJournal.accept
    seen: dict[str, str | None] = {}

    async def look_first(self: SqliteJournal, starts: Sequence[Any], **more: Any) -> Any:
        entries = [accepting.entry(each, self._clock()) for each in starts]

        def look(connection: Any) -> None:
            sql = "SELECT execution FROM dedupe WHERE instance = ? AND flow = ? AND key = ?"
            for each in entries:
                row = each.dedupe and connection.execute(sql, each.dedupe[:3]).fetchone()
                seen[each.start.execution] = row[0] if row else None

        await self._database.read(look)
        return await accept(self, starts, **more)

    def first_of(connection: Any, dedupe: Any, execution: str, now: int) -> str | None:
        if seen[execution] is None:
            sql = "INSERT OR REPLACE INTO dedupe VALUES (?, ?, ?, ?, ?)"
            connection.execute(sql, dedupe)
        return seen[execution]

    patch.setattr(SqliteJournal, "accept", look_first)
    patch.setattr(accepting, "first_of", first_of)


@planted(
    "no effect begins once its lease is lost",
    lambda plan: plan.store == "postgresql" and plan.stalls and not plan.jumps,
    seed=57,
)
def a_lease_is_checked_on_the_wall_clock(patch: pytest.MonkeyPatch) -> None:
    """The lease's end, which is the store's time, is compared with the host's own clock."""
    alive = JournalTurn.alive

    def by_the_wall(self: JournalTurn) -> bool:
        process = PROCESS.get()
        assert process is not None
        if self.until != self._claimed_until:
            return alive(self)
        seconds = asyncio.get_running_loop().time() + process.wall_ahead
        return not self.lost and BEGINS + int(seconds * 1e6) < self.claim.lease.until

    class Walled(JournalTurn):
        __slots__ = ("_claimed_until",)

        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self._claimed_until = self.until

        alive = by_the_wall

    patch.setattr(engine_journal, "JournalTurn", Walled)


@planted("the last result and the outcome are one commit")
def the_outcome_has_a_commit_of_its_own(patch: pytest.MonkeyPatch) -> None:
    """The last records are committed before the outcome."""
    settle = JournalEngine._settle

    async def apart(self: JournalEngine, turn: Any, verdict: Any) -> None:
        if isinstance(verdict, Ended):
            await turn.commit(verdict.records, verdict.logs, verdict.writes)
            verdict = Ended(verdict.outcome)
        await settle(self, turn, verdict)

    patch.setattr(JournalEngine, "_settle", apart)


@planted("each comes to what it should", seed=21)
def copied_steps_answer_for_other_inputs(patch: pytest.MonkeyPatch) -> None:
    """A replay takes the copied record of a step, whatever it was called with."""
    recall = Past.recall

    def blind(self: Past, scope: Any, path: str, inputs: bytes | None = None) -> Any:
        known = self._history.get(path)
        return recall(self, scope, path, None if known is not None and known.seq < 0 else inputs)

    patch.setattr(Past, "recall", blind)


@planted("order is kept", seed=15)
def an_order_is_released_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """The next one of an order may run before the one in front of it has ended."""
    end = SqliteJournal.end

    async def hasty(self: Any, lease: Any, *more: Any, **named: Any) -> Any:
        if lease.ordered:
            with unwatched():
                await self._database.write(
                    lambda c: ordering.leave(c, lease.execution, self._clock())
                )
        return await end(self, replace(lease, ordered=False), *more, **named)

    patch.setattr(SqliteJournal, "end", hasty)


@planted("one worker at a time", seed=20)
def what_is_claimed_at_accept_is_left_to_others_too(patch: pytest.MonkeyPatch) -> None:
    """An execution that is claimed as it is accepted stays in the queue."""
    accept = store_journal.accept

    def both(connection: Any, entries: Any, now: int, *more: Any) -> Any:
        answers = accept(connection, entries, now, *more)
        for each in answers:
            if each.claim is not None:
                connection.execute(
                    "UPDATE executions SET state = 'queued', due_at = ?, fence = 0 WHERE id = ?",
                    (now, each.execution),
                )
        return answers

    patch.setattr(store_journal, "accept", both)


@planted("an effect is repeated with the same key", seed=1)
def each_attempt_has_keys_of_its_own(patch: pytest.MonkeyPatch) -> None:
    """The idempotency key of an effect that is repeated differs."""
    step = Steps.step

    def other(self: Steps, path: str) -> RunningStep:
        made = step(self, path)
        made.root += f"-{self.turn.attempt}"
        return made

    patch.setattr(Steps, "step", other)


@planted("state is written once, with its step", seed=36)
def state_has_a_commit_of_its_own(patch: pytest.MonkeyPatch) -> None:
    """A write to the state is committed before the record of its step."""
    write = Ledger._write

    async def apart(self: Ledger, record: Any, writes: Any) -> bool:
        if record is None or not await self._turn.commit((), (), writes):
            return await write(self, record, writes)
        return await write(self, record, ())

    patch.setattr(Ledger, "_write", apart)


@planted("each result is durable before the next effect starts")
def an_effect_does_not_wait_for_the_record_before_it(patch: pytest.MonkeyPatch) -> None:
    """The next effect starts while the result of the one before it is on its way to the disk."""

    async def settle(self: Ledger, writes: Any = ()) -> None:
        self._writes += writes

    patch.setattr(Ledger, "settle", settle)


@planted("nobody is told before it is kept")
def an_outcome_is_told_before_it_is_kept(patch: pytest.MonkeyPatch) -> None:
    """An outcome is told to those who wait for it before its commit."""
    settle = JournalEngine._settle

    async def hasty(self: JournalEngine, turn: Any, verdict: Any) -> None:
        if isinstance(verdict, Ended):
            self._audience.resolve(turn.start.execution, verdict.outcome)
            self._audience.tell(turn.start, verdict.outcome.state, verdict.outcome, turn.attempt)
        await settle(self, turn, verdict)

    patch.setattr(JournalEngine, "_settle", hasty)


@planted(
    "a finished step is not run again",
    lambda plan: plan.store == "sqlite" and plan.doubt > 0,
    seed=94,
)
def a_commit_in_doubt_counts_as_undone(patch: pytest.MonkeyPatch) -> None:
    """After an I/O error in COMMIT the batch is made again, as if nothing had been written."""
    patch.setattr(sqlite, "_is_certain", lambda connection, error: True)


@planted("nothing is stuck", seed=13)
def a_signal_that_came_first_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """One that comes between the look and the wait wakes nobody."""
    wake = store_journal.wake
    ended = "SELECT 1 FROM attempts WHERE execution = ? AND ended_at = ?"

    def late(connection: Any, execution: str, now: int) -> None:
        if connection.execute(ended, (execution, now)).fetchone() is None:
            wake(connection, execution, now)

    patch.setattr(store_journal, "wake", late)


@planted("nothing is stuck", lambda plan: plan.probation and plan.crashes, seed=7)
def suspects_are_never_parted(patch: pytest.MonkeyPatch) -> None:
    """Executions that were together when their process ended are run together again."""

    def grouped(self: Probation, claims: Any) -> Iterator[Any]:
        yield claims

    patch.setattr(Probation, "_grouped", grouped)


@planted("an order's rule is kept", seed=32)
def the_latest_replaces_one_that_has_begun(patch: pytest.MonkeyPatch) -> None:
    """A newer event takes the place of one that waits for its next try."""
    verdict = rules.verdict

    def harsh(order: Any, replays: bool, others: Any, **more: Any) -> Any:
        return verdict(order, replays, [(name, False) for name, _ in others], **more)

    patch.setattr(rules, "verdict", harsh)


@planted("order is kept", seed=2)
def an_order_has_room_for_everybody(patch: pytest.MonkeyPatch) -> None:
    """An accepted execution is let run at once, whoever is before it."""
    decide = admission.decide

    def always(*given: Any, **more: Any) -> Any:
        return replace(decide(*given, **more), has_turn=True)

    patch.setattr(admission, "decide", always)
