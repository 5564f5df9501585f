"""Write records, state, ends and releases of many workers at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from halflap.model import Continuation, LogLine, Micros, Outcome, Record, StateWrite
from halflap.store.postgres import continuing, ending, lineage, ordering, rows, signalling
from halflap.store.postgres.columns import Columns, Texts
from halflap.store.postgres.connecting import Connection, fetched
from halflap.store.postgres.locking import Locks, share
from halflap.store.protocol import Lease, Release, Written
from halflap.store.recording import encode_failure, text
from halflap.store.rules.cause import mark_of
from halflap.store.rules.ending import consequences
from halflap.store.rules.state import Key, StateChange, change, changes
from halflap.store.rules.turn import HeldTurn, refusal, state_after

LOCK = """
SELECT id, fence, attempt, claimed_at, cancelling IS NOT NULL, state
FROM executions WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
UPSERT_STEPS = f"""
INSERT INTO steps SELECT * FROM {rows.STEPS.rows}
ON CONFLICT (execution, path) DO UPDATE
    SET seq = excluded.seq, status = excluded.status, data = excluded.data
    WHERE steps.status = 'retrying' OR steps.seq < 0
"""
LINES = Columns("execution text, number bigint, data bytea")
INSERT_LOGS = f"INSERT INTO logs SELECT * FROM {LINES.rows}"
STATE = Columns("scope bytea, key bytea, value bytea, changed_at bigint")
UPSERT_STATE = f"""
INSERT INTO state SELECT * FROM {STATE.rows}
ON CONFLICT (scope, key) DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at
"""
DELETE_STATE = f"DELETE FROM state WHERE (scope, key) IN (SELECT * FROM {ordering.KEYS.rows})"
RELEASES = Columns(
    "id text, state text, due_at bigint, waiting_for bytea, failure bytea, heard bigint, now bigint"
)
RELEASE = f"""
UPDATE executions SET state = w.state, due_at = w.due_at, lease_until = NULL, worker = NULL,
    waiting_for = w.waiting_for, failure = w.failure, heard = w.heard, probation = false,
    ran = coalesce(ran, 0) + greatest(w.now - claimed_at, 0)
FROM {RELEASES.rows} WHERE executions.id = w.id
"""
ATTEMPTS = Columns(
    "execution text, number bigint, started_at bigint, ended_at bigint, how text, failure bytea"
)
ADD_ATTEMPTS = f"""
INSERT INTO attempts SELECT * FROM {ATTEMPTS.rows}
ON CONFLICT (execution, number) DO UPDATE SET started_at = excluded.started_at,
    ended_at = excluded.ended_at, how = excluded.how, failure = excluded.failure
"""


@dataclass(slots=True, eq=False)
class Writing:
    """The writes of one turn: made into rows before, so that a bad one fails alone."""

    lease: Lease | None
    steps: list[rows.StepRow]
    lines: list[bytes]
    changes: list[StateChange]
    now: Micros
    end: ending.End | None = None
    release: Release | None = None
    next: continuing.NextLink | None = None
    answer: Written = Written.DONE

    @property
    def size(self) -> int:
        """The bytes of its steps and of its result."""
        result = None if self.end is None else self.end.result
        return sum(len(each.data) for each in self.steps) + len(result or b"")

    @classmethod
    def of(
        cls,
        lease: Lease | None,
        now: Micros,
        records: Sequence[Record] = (),
        logs: Sequence[LogLine] = (),
        writes: Sequence[StateWrite] = (),
        outcome: Outcome | None = None,
        release: Release | None = None,
        next: Continuation | None = None,
    ) -> Writing:
        """As the verbs give it; raises where it cannot be kept."""
        end = following = None
        if lease is not None and next is not None:
            following = continuing.NextLink.of(lease.execution, next, now)
        if outcome is not None and lease is not None:
            end = ending.End(
                lease.execution,
                outcome.state,
                now,
                text(outcome.reason).encode(),
                outcome.result,
                encode_failure(outcome.failure),
                mark_of(outcome),
            )
        return cls(
            lease,
            [rows.step(each) for each in records],
            [rows.line(each) for each in logs],
            changes(writes) if writes else [],
            now,
            end,
            release,
            following,
        )

    @property
    def keys(self) -> Iterable[Key]:
        return ((write.scope, write.key) for write, _ in self.changes)

    @property
    def parent(self) -> str | None:
        """The parent to wake, where it is an end."""
        return self.lease.parent if self.end is not None and self.lease is not None else None

    @property
    def moves_order(self) -> bool:
        """True if an order's first may be another one after this."""
        leaves = self.end is not None or self.release is not None
        return leaves and self.lease is not None and self.lease.ordered


@dataclass(frozen=True, slots=True)
class _Locked:
    """An execution that runs, and is locked."""

    held: HeldTurn
    attempt: int
    claimed_at: Micros


@dataclass(slots=True)
class _Work:
    """The work for all of a batch."""

    steps: dict[str, dict[bytes, rows.StepRow]] = field(default_factory=dict[str, Any])
    lines: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict[str, Any])
    state: dict[Key, tuple[bytes | None, Micros]] = field(default_factory=dict[Key, Any])
    moves: list[tuple[Key, bytes]] = field(default_factory=list[tuple[Key, bytes]])
    ends: list[Writing] = field(default_factory=list[Writing])
    releases: list[tuple[str, Release, Micros, _Locked]] = field(default_factory=list[Any])
    pausing: list[str] = field(default_factory=list[str])
    """The ids of those that are released, and stay in an order."""


async def locks_of(connection: Connection, items: Sequence[Writing], locks: Locks) -> list[int]:
    """The locks that writes need beyond rows."""
    found = [locks.state(*encoded(key)) for item in items for key in item.keys]
    found += [locks.replay(item.next.chain) for item in items if item.next is not None]
    for item in items:
        found += [locks.order(*encoded((w.scope, w.key))) for w, _ in item.changes if w.orders]
    ordered = [item.lease.execution for item in items if item.lease and item.moves_order]
    ordered += [item.parent for item in items if item.parent is not None]  # it may be woken
    if ordered:
        cursor = await connection.execute(lineage.ORDERS, (Texts(ordered),), binary=True)
        found += [locks.order(*row) for row in await cursor.fetchall()]
    return found


class Recording:
    """Writes what many turns brought, in one transaction."""

    def __init__(self, items: Sequence[Writing], number: Any, locks: Locks) -> None:
        self._items = items
        self._number = number
        self._locks = locks
        self._locked: Any = None
        self._values: Any = None

    async def look(self, connection: Connection) -> None:
        """Ask for what is needed to decide; the locks are held already."""
        if following := [item.next for item in self._items if item.next is not None]:
            await share(connection, self._locks.gates)
            await continuing.prolong_keys(connection, following)
        ids = {item.lease.execution for item in self._items if item.lease}
        ids |= {item.parent for item in self._items if item.parent is not None}
        if ids:
            self._locked = await connection.execute(LOCK, (Texts(sorted(ids)),), binary=True)
        if keys := {key for item in self._items for key in item.keys}:
            spelt = ordering.KEYS.of(map(encoded, keys))
            self._values = await connection.execute(ordering.NAMES, spelt, binary=True)

    async def write(self, connection: Connection) -> None:
        """Decide who still holds what it writes to, and write; fills in the answers."""
        running: dict[str, _Locked] = {}
        for id, fence, attempt, claimed_at, cancelling, state in await fetched(self._locked):
            if state == "running":
                running[id] = _Locked(HeldTurn(fence, cancelling), attempt, claimed_at)
        found = await fetched(self._values)
        values: dict[Key, bytes] = {(row[0].decode(), row[1].decode()): row[2] for row in found}
        work = _Work()
        for item in self._items:
            item.answer = self._decide(item, running, values, work)
        widths = await self._write_state(connection, work)
        ordering.wider(widths, await self._write_ends(connection, work))
        await self._write_steps(connection, work)
        ordering.wider(widths, await self._write_releases(connection, work))
        if widths:
            await ordering.settle(connection, widths, max(item.now for item in self._items))

    def _decide(
        self, item: Writing, running: dict[str, _Locked], values: dict[Key, bytes], work: _Work
    ) -> Written:
        lease = item.lease
        row = None if lease is None else running.get(lease.execution)
        if lease is not None:
            ends = None if item.end is None else item.end.state
            held = None if row is None else row.held
            if (refused := refusal(held, lease.fence, ends)) is not None:
                return refused
        if item.changes and not _change(item, values, work):
            return Written.CONFLICT
        if lease is None or row is None:
            return Written.DONE
        execution = lease.execution
        if item.steps:
            _merge(work.steps.setdefault(execution, {}), item.steps)
        if item.lines:
            lines = work.lines.setdefault(execution, [])
            lines += [(self._number(item.now), each) for each in item.lines]
        if item.end is not None:
            work.ends.append(item)
            del running[execution]
        elif item.release is not None:
            work.releases.append((execution, item.release, item.now, row))
            work.pausing += [execution] if lease.ordered else []
            del running[execution]
        return Written.DONE

    async def _write_state(self, connection: Connection, work: _Work) -> ordering.Widths:
        kept = [(*encoded(key), *each) for key, each in work.state.items() if each[0] is not None]
        gone = [encoded(key) for key, (value, _) in work.state.items() if value is None]
        if kept:
            await connection.execute(UPSERT_STATE.encode(), STATE.of(kept))
        if gone:
            await connection.execute(DELETE_STATE.encode(), ordering.KEYS.of(gone))
        widths: ordering.Widths = {}
        for key, value in work.moves:
            ordering.wider(widths, await ordering.move(connection, encoded(key), value))
        return widths

    async def _write_ends(self, connection: Connection, work: _Work) -> ordering.Widths:
        ends = [item.end for item in work.ends if item.end is not None]
        if not ends:
            return {}
        ids = [each.execution for each in ends]
        gone = [item for item in work.ends if item.lease]
        following = [item.next for item in gone if item.next is not None]
        if following:
            continued = await continuing.hand_over(connection, self._locks, following)
            for item in gone:
                if item.end is not None and item.end.execution in continued:
                    item.answer = Written.CONTINUED
            gone = [item for item in gone if item.answer is not Written.CONTINUED]
        live = await ending.left(connection, ids)
        whole: dict[str, ending.EndedRows] = {}
        for id in ids:
            had = live[id]
            whole[id] = both = ending.EndedRows(
                dict(had.steps), had.logs + work.lines.pop(id, []), had.attempts
            )
            _merge(both.steps, work.steps.pop(id, {}).values())
        await ending.move(connection, ends, whole, live=live)
        after = {
            i.lease.execution: consequences(
                i.end.state, ordered=i.lease.ordered, parent=i.lease.parent, child=i.lease.child
            )
            for i in gone
            if i.lease is not None and i.end is not None
        }
        return await lineage.follow(connection, after, ends[0].at)

    async def _write_steps(self, connection: Connection, work: _Work) -> None:
        steps = [(id, step) for id, some in work.steps.items() for step in some.values()]
        if steps:
            await connection.execute(UPSERT_STEPS.encode(), rows.columns_of(steps))
        lines = [(id, *line) for id, some in work.lines.items() for line in some]
        if lines:
            await connection.execute(INSERT_LOGS.encode(), LINES.of(lines))

    async def _write_releases(self, connection: Connection, work: _Work) -> ordering.Widths:
        if not work.releases:
            return {}
        released: list[tuple[Any, ...]] = []
        attempts: list[tuple[Any, ...]] = []
        waiting: list[tuple[str, Micros]] = []
        for id, how, now, row in work.releases:
            failure = encode_failure(how.failure)
            # One that is to be cancelled comes back at once, however long it wanted to wait.
            due_at = now if row.held.cancelling else how.due_at
            waits_for = text(how.waiting_for).encode()
            released.append((id, state_after(how), due_at, waits_for, failure, how.heard, now))
            attempts.append((id, row.attempt, row.claimed_at, now, how.how, failure))
            if how.heard is not None:
                waiting.append((id, now))
        await connection.execute(RELEASE.encode(), RELEASES.of(released))
        await connection.execute(ADD_ATTEMPTS.encode(), ATTEMPTS.of(attempts))
        await signalling.wake(connection, waiting)  # one may have come since it looked
        latest = max(now for _, _, now, _ in work.releases)
        return await ordering.pause(connection, work.pausing, latest)


def encoded(key: Key) -> ordering.Name:
    """Return a scope and a key as they are stored."""
    return key[0].encode(), key[1].encode()


def _change(item: Writing, values: dict[Key, bytes], work: _Work) -> bool:
    """Make writes to the state; False, with nothing made, where a compare-and-set failed."""
    if (after := change(values, item.changes)) is None:
        return False
    for key, value in after.values.items():
        work.state[key] = value, item.now
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value
    work.moves += after.moves
    return True


def _merge(steps: dict[bytes, rows.StepRow], more: Iterable[rows.StepRow]) -> None:
    for each in more:
        there = steps.get(each.path)
        if there is None or not there.final:
            steps[each.path] = each
