"""The journal in SQLite: one method a verb, each a job of the shared commit.

history.py has the verbs that only read, traffic.py those about limits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from halflap.model import (
    ENDED,
    Clock,
    Continuation,
    CustomerLimits,
    CustomerLoad,
    LogLine,
    Micros,
    Outcome,
    Paused,
    Record,
    Sent,
    Signal,
    Start,
    StateWrite,
    position_in_chain,
)
from halflap.store import gates, limiting, lineage, ordering, reading
from halflap.store.accepting import StartRows, accept, dismiss, entry
from halflap.store.blobs.nowhere import Nowhere
from halflap.store.blobs.payloads import Payloads
from halflap.store.blobs.register import Register
from halflap.store.catalogue.writer import conditions, marks
from halflap.store.claiming import HASTEN, due, due_of, next_due, take
from halflap.store.history import History, missing
from halflap.store.protocol import (
    Accepted,
    Cancelling,
    CancelResult,
    Claim,
    Lease,
    Pinning,
    Release,
    Written,
)
from halflap.store.pruning import REMOVE, Pruning
from halflap.store.recording import (
    add,
    encode_failure,
    note_attempt,
    read_state,
    text,
    wake,
    write_state,
)
from halflap.store.rules.beginning import GONE
from halflap.store.rules.cause import mark_of
from halflap.store.rules.continuing import PACED, SentSignal, carry
from halflap.store.rules.ending import consequences, decide_cancel, frees_key
from halflap.store.rules.state import changes
from halflap.store.rules.turn import HeldTurn, refusal, state_after
from halflap.store.scope import CustomerScope
from halflap.store.shards import ListenerShards, ShardCursor, move
from halflap.store.sqlite import SqliteDatabase
from halflap.store.traffic import Traffic
from halflap.store.turns import Place, Share, TurnRotation

END_EXECUTION = """
UPDATE executions SET state = ?, ended_at = ?, due_at = NULL, lease_until = NULL, reason = ?,
    failure = ?, result = ?, waiting_for = '', probation = 0, cause = ?, status = ?,
    failure_kind = ?, component = ?, ran = ifnull(ran, 0) + max(?2 - claimed_at, 0)
WHERE id = ? AND fence = ? AND state = 'running' AND (cancelling IS NULL OR ? = 'cancelled')
"""
# One that is to be cancelled comes back at once, however long it wanted to wait.
RELEASE_EXECUTION = """
UPDATE executions SET state = ?, due_at = iif(cancelling IS NULL, ?, ?), lease_until = NULL,
    waiting_for = ?, failure = ?, heard = ?, probation = 0,
    ran = ifnull(ran, 0) + max(?3 - claimed_at, 0)
WHERE id = ? AND fence = ? AND state = 'running'
"""
HOLDS = "SELECT cancelling FROM executions WHERE id = ? AND fence = ? AND state = 'running'"
VOID = """
UPDATE executions SET state = 'queued', due_at = ?, lease_until = NULL, fence = fence + 1,
    probation = 1, crashes = crashes + ?
WHERE id = ?
"""
TO_CANCEL = """
SELECT state, order_scope IS NOT NULL, parent, ifnull(chain, id), attempt FROM executions WHERE id = ?
"""
ASK = "UPDATE executions SET cancelling = ?, cut_at = ? WHERE id = ?"
CANCEL_WAITING = """
UPDATE executions SET state = 'cancelled', reason = ?, ended_at = ?, due_at = NULL,
    waiting_for = '', probation = 0, fence = fence + 1
WHERE id = ?
"""
FREE_KEY = """
DELETE FROM dedupe WHERE execution = ?1 AND (instance, flow, key) IN
    (SELECT instance, flow, dedupe_key FROM executions WHERE id = ?1)
"""
SIGNAL = """
INSERT INTO signals (execution, name, payload, at, once) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""

HEALTHS = """
SELECT scope, value FROM state
WHERE key = 'health' AND value <> x'7b7d' AND scope >= 'instance:' AND scope < 'instance;'
"""
CLEAR_STATE = """
DELETE FROM state WHERE (scope, key) IN
    (SELECT scope, key FROM state WHERE scope = ? LIMIT ?)
"""
CLEAR_STATE_BELOW = """
DELETE FROM state WHERE (scope, key) IN
    (SELECT scope, key FROM state WHERE scope >= ? AND scope < ? LIMIT ?)
"""


NOTICED: Micros = 1_000_000
"""By how much a clock is set back before it counts: less than that is a measurement."""


class Hindsight:
    """A clock that remembers the latest time it showed, where it was set back since."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest: Micros = 0
        self.before: Micros = 0
        """The time before the clock was set back; 0 where it was not, or that was dealt with."""

    def __call__(self) -> Micros:
        now = self._clock()
        if now > self._latest:
            self._latest = now
        elif now < self._latest - NOTICED:
            self.before = max(self.before, self._latest)
            self._latest = now
        return now


class SqliteJournal(History, Pruning, Traffic):
    """The journal's verbs over one SQLite file (see store/protocol.py)."""

    def __init__(self, database: SqliteDatabase, clock: Callable[[], Micros]) -> None:
        super().__init__(database)
        self.payloads = Payloads(Nowhere(), Register(database, clock), clock)
        self._whole = database
        self._jobs = database
        self.shards = ListenerShards(database, clock)
        self._clock = self._hindsight = Hindsight(clock)
        # Of ordinary claims, and of those on probation.
        self._turns = (TurnRotation(), TurnRotation())
        self.default_limits = CustomerLimits()
        self._settled = None

    def within(self, scope: CustomerScope) -> SqliteJournal:
        """This journal for whoever is in a scope: what is out of it is not there."""
        found = copy(self)
        found._database = found._jobs = self._whole.within(scope)
        found.shards = ListenerShards(found._jobs, self._clock)
        found._names_indexes = scope.customer is None
        return found

    async def accept(
        self,
        starts: Sequence[Start],
        *,
        claim: int,
        lease: Micros,
        is_wanted: Callable[[], bool] = lambda: True,
        cursors: Sequence[ShardCursor] = (),
    ) -> list[Accepted]:
        starts, kept = await self.payloads.keep_starts(starts)
        now = self._clock()
        entries = [entry(each, now) for each in kept]
        limited = bool(self.default_limits.concurrency or self.default_limits.rate)

        def job(connection: sqlite3.Connection) -> list[Accepted]:
            if not is_wanted():
                return []
            if cursors and not move(connection, cursors):
                return [Accepted(each.start.execution, fenced=True) for each in entries]
            return accept(connection, entries, now, claim, now + lease, limited)

        async with self.payloads.withdrawn(kept):
            answers = await self._database.post(job)
        return self.payloads.accepted(starts, kept, answers)

    async def claim(
        self,
        room: int,
        lease: Micros,
        *,
        probation: bool = False,
        share: Share | None = None,
        only: Collection[Place] | None = None,
    ) -> list[Claim]:
        now = self._clock()
        before = self._hindsight.before

        def job(connection: sqlite3.Connection) -> list[Claim]:
            if before:
                connection.execute(HASTEN, (now, before))
            if only is not None:
                chosen = due_of(connection, now, room, probation, only)
            else:
                turns, default = self._turns[probation], self.default_limits
                chosen = due(connection, now, room, probation, turns, share, default)
            return take(connection, chosen, now, now + lease)

        claims = await self._database.write(job)
        if before == self._hindsight.before:
            self._hindsight.before = 0
        return await self.payloads.load_claims(claims, self.release)

    async def renew(self, leases: Sequence[Lease], lease: Micros) -> list[Lease]:
        until = self._clock() + lease

        def job(connection: sqlite3.Connection) -> list[Lease]:
            kept: list[Lease] = []
            for each in sorted(leases, key=lambda lease: lease.execution):
                changed = connection.execute(
                    "UPDATE executions SET lease_until = ? WHERE id = ? AND fence = ?"
                    " AND state = 'running'",
                    (until, each.execution, each.fence),
                ).rowcount
                if changed:
                    kept.append(replace(each, until=until))
            return kept

        return await self._database.write(job)

    async def commit(
        self,
        lease: Lease,
        records: Sequence[Record],
        logs: Sequence[LogLine],
        writes: Sequence[StateWrite] = (),
    ) -> Written:
        records, logs = await self.payloads.keep(lease, records, logs)
        now = self._clock()
        changed = changes(writes) if writes else None

        def job(connection: sqlite3.Connection) -> Written:
            if (refusal := refused(connection, lease)) is not None:
                return refusal
            if changed and not write_state(connection, changed, now):
                return Written.CONFLICT
            add(connection, lease.execution, records, logs)
            return Written.DONE

        return await self._database.post(job)

    async def end(
        self,
        lease: Lease,
        records: Sequence[Record],
        logs: Sequence[LogLine],
        outcome: Outcome,
        writes: Sequence[StateWrite] = (),
        *,
        next: Continuation | None = None,
    ) -> Written:
        kept = await self.payloads.keep_end(lease, records, logs, outcome, next)
        records, logs, outcome, next = kept
        now = self._clock()
        following = None if next is None else (entry(next.start, now), next)
        reason = text(outcome.reason)
        failure = encode_failure(outcome.failure)
        marks = mark_of(outcome)
        after = consequences(
            outcome.state, ordered=lease.ordered, parent=lease.parent, child=lease.child
        )
        changed = changes(writes) if writes else None

        def job(connection: sqlite3.Connection) -> Written:
            if changed:
                if (refusal := refused(connection, lease, outcome)) is not None:
                    return refusal
                if not write_state(connection, changed, now):
                    return Written.CONFLICT
            ended = connection.execute(
                END_EXECUTION,
                (
                    outcome.state,
                    now,
                    reason,
                    failure,
                    outcome.result,
                    *marks,
                    lease.execution,
                    lease.fence,
                    outcome.state,
                ),
            ).rowcount
            if not ended:
                return refused(connection, lease, outcome) or Written.FENCED
            add(connection, lease.execution, records, logs)
            if following is not None and hand_over(connection, *following, now):
                return Written.CONTINUED
            lineage.follow(connection, lease.execution, after, now)
            return Written.DONE

        return await self._database.post(job)

    async def release(
        self, lease: Lease, records: Sequence[Record], logs: Sequence[LogLine], how: Release
    ) -> Written:
        records, logs = await self.payloads.keep(lease, records, logs)
        now = self._clock()
        state = state_after(how)
        waiting_for = text(how.waiting_for)
        failure = encode_failure(how.failure)

        def job(connection: sqlite3.Connection) -> Written:
            changed = connection.execute(
                RELEASE_EXECUTION,
                (
                    state,
                    how.due_at,
                    now,
                    waiting_for,
                    failure,
                    how.heard,
                    lease.execution,
                    lease.fence,
                ),
            ).rowcount
            if not changed:
                return Written.FENCED
            add(connection, lease.execution, records, logs)
            note_attempt(connection, lease.execution, now, how.how, failure)
            if lease.ordered:
                ordering.pause(connection, lease.execution, now)
            if how.heard is not None:  # one may have come between the look and the wait
                wake(connection, lease.execution, now)
            return Written.DONE

        return await self._database.write(job)

    async def void(self) -> int:
        await self.shards.void()  # one process has the file: what listened before has ended
        return await self._unclean("state = 'running'", ())

    async def lapse(self) -> int:
        return await self._unclean("state = 'running' AND lease_until < ?", (self._clock(),))

    async def blame(self, executions: Sequence[str], *, alone: bool) -> None:
        marks = ", ".join("?" * len(executions))
        await self._unclean(
            f"state = 'running' AND id IN ({marks})", tuple(executions), crashes=int(alone)
        )

    async def _unclean(self, where: str, values: tuple[Any, ...], crashes: int = 0) -> int:
        now = self._clock()

        def job(connection: sqlite3.Connection) -> int:
            found = connection.execute(f"{reading.ID_AND_ORDER} WHERE {where}", values).fetchall()
            for execution, _ in found:
                note_attempt(connection, execution, now, "crashed", None)
            connection.executemany(VOID, [(now, crashes, execution) for execution, _ in found])
            for execution, ordered in found:
                if ordered is not None:
                    ordering.pause(connection, execution, now)
            return len(found)

        return await self._database.write(job)

    async def next_due(self, *, probation: bool = False, held_back: bool = False) -> Micros | None:
        now = self._clock()
        turns = TurnRotation() if held_back else self._turns[probation]
        return await self._database.write(
            lambda connection: next_due(connection, now, probation, turns)
        )

    async def callers(self, connection: str) -> int:
        return 1  # one process has the file

    async def load(self, customer: str, most: int) -> CustomerLoad:
        now = self._clock()
        return await self._database.read(lambda c: limiting.load(c, customer, now, most))

    async def cancel_many(
        self, executions: Collection[str], reason: str, cut_at: Micros = 0
    ) -> dict[str, CancelResult]:
        now = self._clock()
        reason = text(reason)

        def job(connection: sqlite3.Connection) -> dict[str, CancelResult]:
            results: dict[str, CancelResult] = {}
            for execution in executions:
                found = connection.execute(TO_CANCEL, (execution,)).fetchone()
                if found is None:
                    continue
                state, ordered, parent, child, attempt = found
                results[execution] = decide_cancel(state)
                if results[execution] == "asked":
                    connection.execute(ASK, (reason, cut_at, execution))
                elif results[execution] == "ended":
                    connection.execute(CANCEL_WAITING, (reason, now, execution))
                    if frees_key(attempt):
                        connection.execute(FREE_KEY, (execution,))
                    after = consequences("cancelled", ordered=ordered, parent=parent, child=child)
                    lineage.follow(connection, execution, after, now)
            return results

        return await self._database.write(job)

    async def cancelled(self, executions: Sequence[str]) -> dict[str, Cancelling]:
        def job(connection: sqlite3.Connection) -> dict[str, Cancelling]:
            marks = ", ".join("?" * len(executions))
            rows = connection.execute(
                f"{reading.CANCELLING} WHERE cancelling IS NOT NULL AND id IN ({marks})",
                tuple(executions),
            )
            return {row[0]: Cancelling(*row[1:]) for row in rows}

        return await self._database.read(job)

    async def signal(
        self, execution: str, name: str, payload: bytes, once: str | None = None
    ) -> Sent:
        now = self._clock()

        def job(connection: sqlite3.Connection) -> Sent | None:
            row = connection.execute(
                "SELECT state FROM executions WHERE id = ?", (execution,)
            ).fetchone()
            if row is None:
                return None
            if row[0] in ENDED:
                return "over"
            sent = connection.execute(SIGNAL, (execution, name, payload, now, once)).rowcount
            if not sent:
                return "known"
            wake(connection, execution, now)
            return "sent"

        sent = await self._database.write(job)
        if sent is None:
            raise missing(execution)
        return sent

    async def signals(self, execution: str) -> list[Signal]:
        def job(connection: sqlite3.Connection) -> list[Signal]:
            rows = connection.execute(
                "SELECT name, payload FROM signals WHERE execution = ? ORDER BY id", (execution,)
            )
            return [Signal(*row) for row in rows]

        return await self._database.write(job)

    async def read_state(self, scope: str, key: str) -> bytes | None:
        return await self._database.read(lambda connection: read_state(connection, scope, key))

    async def read_states(self, scopes: Sequence[str], key: str) -> dict[str, bytes]:
        sql = f"SELECT scope, value FROM state WHERE scope IN ({marks(scopes)}) AND key = ?"
        values = (*scopes, key)
        return dict(await self._database.read(lambda c: c.execute(sql, values).fetchall()))

    async def healths(self) -> dict[str, bytes]:
        return dict(await self._database.read(lambda c: c.execute(HEALTHS).fetchall()))

    async def list_state(
        self,
        scope: str,
        *,
        after: str | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> dict[str, bytes]:
        where, bounds = conditions({"scope = ?": scope, "key > ?": after, "key < ?": before})
        sql = f"SELECT key, value FROM state {where} ORDER BY key LIMIT ?"
        values = (*bounds, -1 if limit is None else limit)
        return dict(await self._database.read(lambda c: c.execute(sql, values).fetchall()))

    async def write_state(self, writes: Sequence[StateWrite]) -> Written:
        now = self._clock()
        changed = changes(writes)

        def job(connection: sqlite3.Connection) -> Written:
            return Written.DONE if write_state(connection, changed, now) else Written.CONFLICT

        return await self._database.write(job)

    async def probe(self) -> None:
        await self.write_state([StateWrite("server:probe", "", str(self._clock()).encode())])

    async def clear_state(self, scopes: Sequence[str], limit: int) -> int:
        def job(connection: sqlite3.Connection) -> int:
            removed = 0
            for scope in scopes:
                left = limit - removed
                if scope.endswith(":"):
                    below = (scope, scope[:-1] + ";", left)  # `;` comes right after `:`
                    removed += connection.execute(CLEAR_STATE_BELOW, below).rowcount
                else:
                    removed += connection.execute(CLEAR_STATE, (scope, left)).rowcount
            return removed

        return await self._database.write(job)

    async def hold(self, instance: str) -> None:
        await self._database.write(gates.close(instance, gates.MOVING, self._clock()))
        await self._in_parts(gates.hold(instance, gates.MOVING))

    async def shut(self, customer: str) -> None:
        await self._database.write(gates.close(customer, GONE, self._clock()))
        await self._in_parts(gates.hold(customer, GONE))

    async def release_instance(self, instance: str, pinning: Pinning | None = None) -> None:
        await self._in_parts(gates.let_go(instance, gates.MOVING, pinning))

    async def pause(self, paused: Paused) -> bool:
        closing = gates.close(paused.what, gates.PAUSED, paused.since, paused.by, paused.reason)
        closed = await self._database.write(closing)
        await self._in_parts(gates.hold(paused.what, gates.PAUSED))
        return closed

    async def resume(self, what: str) -> bool:
        if not await self._database.write(gates.is_closed(what, gates.PAUSED)):
            return False
        await self._in_parts(gates.let_go(what, gates.PAUSED))
        return True

    async def _in_parts(self, job: gates.Job) -> None:
        while await self._database.write(job):
            pass

    async def erase(self, instance: str, limit: int) -> int:
        def job(connection: sqlite3.Connection) -> int:
            ids = connection.execute(
                f"{reading.ID} WHERE instance = ? LIMIT ?", (instance, limit)
            ).fetchall()
            for each in ("DELETE FROM orders WHERE execution = ?", *REMOVE):
                connection.executemany(each, ids)
            keys = connection.execute(
                "DELETE FROM dedupe WHERE (instance, flow, key) IN"
                " (SELECT instance, flow, key FROM dedupe WHERE instance = ? LIMIT ?)",
                (instance, limit),
            ).rowcount
            return len(ids) + keys

        return await self._database.write(job)

    async def dismiss(self, execution: str) -> bool:
        now = self._clock()
        self._settled = None  # it ended a while ago
        return await self._database.write(lambda c: dismiss(c, execution, now))


def refused(
    connection: sqlite3.Connection, lease: Lease, outcome: Outcome | None = None
) -> Written | None:
    """Return why a lease may not write, or end an execution so; None where it may."""
    row = connection.execute(HOLDS, (lease.execution, lease.fence)).fetchone()
    held = None if row is None else HeldTurn(lease.fence, row[0] is not None)
    return refusal(held, lease.fence, None if outcome is None else outcome.state)


# Handing over to the next of a chain, in the transaction that ends an execution ---------------

NOTE = "UPDATE executions SET chain = ?, link = ? WHERE id = ?"
PACE = "UPDATE executions SET due_at = ?, waiting_for = ? WHERE id = ?"
INHERIT_KEY = """
UPDATE executions SET dedupe_key = (SELECT dedupe_key FROM executions WHERE id = ?) WHERE id = ?
"""
# So long as the chain goes on, and as long as was declared after it.
PROLONG_KEY = """
UPDATE dedupe SET expires_at = expires_at + max(?1 - former.accepted_at, 0)
FROM executions AS former
WHERE former.id = ?2 AND dedupe.instance = former.instance AND dedupe.flow = former.flow
    AND dedupe.key = former.dedupe_key AND dedupe.execution = ?3
"""
SIGNALS = "SELECT name, payload, at, once FROM signals WHERE execution = ? ORDER BY id"
SEND = "INSERT INTO signals (execution, name, payload, at, once) VALUES (?, ?, ?, ?, ?)"


def hand_over(
    connection: sqlite3.Connection, next: StartRows, continuation: Continuation, now: Micros
) -> bool:
    """Accept the next of a chain, whose former one has just ended; False where that was done before."""
    start = next.start
    former = start.continues
    assert former is not None
    [accepted] = accept(connection, [next], now, 0, 0)
    if accepted.duplicate_of is not None:
        return False
    chain, link = position_in_chain(start)
    connection.execute(NOTE, (chain, link - 1, former))
    if continuation.at > now:
        connection.execute(PACE, (continuation.at, PACED, start.execution))
    connection.execute(INHERIT_KEY, (former, start.execution))
    connection.execute(PROLONG_KEY, (now, former, chain))
    sent = [SentSignal(*row) for row in connection.execute(SIGNALS, (former,))]
    for each in carry(former, sent, continuation.taken):
        connection.execute(SEND, (start.execution, each.name, each.payload, each.at, each.once))
    return True
