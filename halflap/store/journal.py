"""The journal in SQLite: one method a verb, each a job of the shared commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from halflap.errors import NotFound
from halflap.model import (
    MISSING,
    SYSTEM,
    Event,
    Execution,
    ExecutionState,
    Failure,
    FlowKey,
    LogLine,
    Micros,
    Outcome,
    Record,
    Start,
    StateWrite,
)
from halflap.store import reading
from halflap.store.protocol import (
    Accepted,
    Attempt,
    Claim,
    Filter,
    Lease,
    Release,
    Written,
)
from halflap.store.sqlite import Database

INSERT_EXECUTION = """
INSERT INTO executions (id, customer, instance, integration, flow, version, revision, state,
    attempt, root, replay_of, record_key, accepted_at, started_at, due_at, fence, lease_until)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
"""
INSERT_EVENT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_DEDUPE = """
INSERT INTO dedupe VALUES (?, ?, ?, ?, ?)
ON CONFLICT (instance, flow, key) DO UPDATE
    SET execution = excluded.execution, expires_at = excluded.expires_at
    WHERE dedupe.expires_at <= ?
"""
UPSERT_STEP = """
INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (execution, path) DO UPDATE SET
    status = excluded.status, tries = excluded.tries, ended_at = excluded.ended_at,
    inputs = excluded.inputs, result = excluded.result, failure = excluded.failure
    WHERE steps.status = 'retrying'
"""
END_EXECUTION = """
UPDATE executions SET state = ?, ended_at = ?, due_at = NULL, lease_until = NULL, reason = ?,
    failure = ?, result = ?, waiting_for = '', probation = 0
WHERE id = ? AND fence = ? AND state = 'running'
"""
RELEASE_EXECUTION = """
UPDATE executions SET state = ?, due_at = ?, lease_until = NULL, waiting_for = ?, failure = ?,
    probation = 0
WHERE id = ? AND fence = ? AND state = 'running'
"""
HOLDS = "SELECT 1 FROM executions WHERE id = ? AND fence = ? AND state = 'running'"
CUSTOMERS_DUE = """
WITH RECURSIVE waiting (customer) AS (
    SELECT min(customer) FROM executions
        WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL
    UNION ALL
    SELECT (SELECT min(customer) FROM executions
        WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL
            AND customer > waiting.customer)
    FROM waiting WHERE waiting.customer IS NOT NULL
)
SELECT customer FROM waiting WHERE customer IS NOT NULL
"""
DUE_OF_CUSTOMER = """
SELECT id FROM executions
WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND customer = ? AND due_at <= ?
    AND probation = ? AND (flow LIKE '$%' OR instance NOT IN (SELECT instance FROM gates))
ORDER BY due_at, id LIMIT ?
"""
TAKE = """
UPDATE executions SET state = 'running', fence = fence + 1, attempt = attempt + 1,
    lease_until = ?, started_at = ifnull(started_at, ?), due_at = NULL, waiting_for = ''
WHERE id = ?
"""


class SqliteJournal:
    """The journal's verbs over one SQLite file (see store/protocol.py)."""

    def __init__(self, database: Database, clock: Callable[[], Micros]) -> None:
        self._database = database
        self._clock = clock
        self._turn = 0

    async def accept(self, starts: Sequence[Start], *, claim: int, lease: Micros) -> list[Accepted]:
        now = self._clock()

        def job(connection: sqlite3.Connection) -> list[Accepted]:
            return accept(connection, starts, now, claim, now + lease)

        return await self._database.post(job)

    async def claim(self, room: int, lease: Micros, *, probation: bool = False) -> list[Claim]:
        now = self._clock()
        self._turn += 1
        turn = self._turn

        def job(connection: sqlite3.Connection) -> list[Claim]:
            ids = due(connection, now, room, probation, turn)
            connection.executemany(TAKE, [(now + lease, now, each) for each in ids])
            return [claimed(connection, each) for each in ids]

        return await self._database.write(job)

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
                    kept.append(Lease(each.execution, each.fence, until))
            return kept

        return await self._database.write(job)

    async def commit(
        self,
        lease: Lease,
        records: Sequence[Record],
        logs: Sequence[LogLine],
        write: StateWrite | None,
    ) -> Written:
        now = self._clock()

        def job(connection: sqlite3.Connection) -> Written:
            if connection.execute(HOLDS, (lease.execution, lease.fence)).fetchone() is None:
                return Written.FENCED
            if write is not None and not write_state(connection, write, now):
                return Written.CONFLICT
            add(connection, lease.execution, records, logs)
            return Written.DONE

        return await self._database.post(job)

    async def end(
        self, lease: Lease, records: Sequence[Record], logs: Sequence[LogLine], outcome: Outcome
    ) -> Written:
        now = self._clock()
        failure = encode_failure(outcome.failure)

        def job(connection: sqlite3.Connection) -> Written:
            changed = connection.execute(
                END_EXECUTION,
                (
                    outcome.state,
                    now,
                    outcome.reason,
                    failure,
                    outcome.result,
                    lease.execution,
                    lease.fence,
                ),
            ).rowcount
            if not changed:
                return Written.FENCED
            add(connection, lease.execution, records, logs)
            return Written.DONE

        return await self._database.post(job)

    async def release(
        self, lease: Lease, records: Sequence[Record], logs: Sequence[LogLine], how: Release
    ) -> Written:
        now = self._clock()
        state = "waiting" if how.how in ("sleep", "signal") else "queued"
        failure = encode_failure(how.failure)

        def job(connection: sqlite3.Connection) -> Written:
            changed = connection.execute(
                RELEASE_EXECUTION,
                (state, how.due_at, how.waiting_for, failure, lease.execution, lease.fence),
            ).rowcount
            if not changed:
                return Written.FENCED
            add(connection, lease.execution, records, logs)
            note_attempt(connection, lease.execution, now, how.how, failure)
            if how.how == "signal":
                wake_on_kept_signal(connection, lease.execution, how.waiting_for, now)
            return Written.DONE

        return await self._database.write(job)

    async def void(self) -> int:
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
            found = connection.execute(f"SELECT id FROM executions WHERE {where}", values)
            ids = [row[0] for row in found]
            for each in ids:
                note_attempt(connection, each, now, "crashed", None)
            connection.executemany(
                "UPDATE executions SET state = 'queued', due_at = ?, lease_until = NULL,"
                " fence = fence + 1, probation = 1, crashes = crashes + ? WHERE id = ?",
                [(now, crashes, each) for each in ids],
            )
            return len(ids)

        return await self._database.write(job)

    async def pardon(self, executions: Sequence[str]) -> None:
        def job(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE executions SET probation = 0 WHERE id = ?", [(e,) for e in executions]
            )

        await self._database.write(job)

    async def next_due(self) -> Micros | None:
        def job(connection: sqlite3.Connection) -> Micros | None:
            return connection.execute(
                "SELECT min(due_at) FROM executions WHERE state IN ('queued', 'waiting')"
                " AND due_at IS NOT NULL"
                " AND (flow LIKE '$%' OR instance NOT IN (SELECT instance FROM gates))"
            ).fetchone()[0]

        return await self._database.write(job)

    async def cancel(self, execution: str, reason: str) -> Literal["ended", "asked", "over"]:
        now = self._clock()

        def job(connection: sqlite3.Connection) -> Literal["ended", "asked", "over"]:
            row = connection.execute(
                "SELECT state FROM executions WHERE id = ?", (execution,)
            ).fetchone()
            if row is None:
                raise NotFound(f"no execution {execution}")
            if row[0] == "running":
                connection.execute(
                    "UPDATE executions SET cancelling = ? WHERE id = ?", (reason, execution)
                )
                return "asked"
            changed = connection.execute(
                "UPDATE executions SET state = 'cancelled', reason = ?, ended_at = ?, due_at = NULL,"
                " fence = fence + 1 WHERE id = ? AND state IN ('queued', 'waiting')",
                (reason, now, execution),
            ).rowcount
            return "ended" if changed else "over"

        return await self._database.write(job)

    async def cancelled(self, executions: Sequence[str]) -> dict[str, str]:
        def job(connection: sqlite3.Connection) -> dict[str, str]:
            marks = ", ".join("?" * len(executions))
            return dict(
                connection.execute(
                    "SELECT id, cancelling FROM executions"
                    f" WHERE id IN ({marks}) AND cancelling IS NOT NULL",
                    tuple(executions),
                ).fetchall()
            )

        return await self._database.read(job)

    async def signal(self, execution: str, name: str, payload: bytes) -> None:
        now = self._clock()

        def job(connection: sqlite3.Connection) -> None:
            found = connection.execute(
                "SELECT 1 FROM executions WHERE id = ?", (execution,)
            ).fetchone()
            if found is None:
                raise NotFound(f"no execution {execution}")
            connection.execute(
                "INSERT INTO signals (execution, name, payload, at) VALUES (?, ?, ?, ?)",
                (execution, name, payload, now),
            )
            connection.execute(
                "UPDATE executions SET due_at = ? WHERE id = ? AND state = 'waiting'"
                " AND waiting_for LIKE ?",
                (now, execution, f"signal:{name}:%"),
            )

        await self._database.write(job)

    async def signals(self, execution: str, name: str) -> list[bytes]:
        def job(connection: sqlite3.Connection) -> list[bytes]:
            rows = connection.execute(
                "SELECT payload FROM signals WHERE execution = ? AND name = ? ORDER BY id",
                (execution, name),
            )
            return [row[0] for row in rows]

        return await self._database.write(job)

    async def hold(self, instance: str) -> None:
        await self._write("INSERT OR IGNORE INTO gates VALUES (?)", (instance,))

    async def release_instance(self, instance: str) -> None:
        await self._write("DELETE FROM gates WHERE instance = ?", (instance,))

    async def live(self, instance: str) -> int:
        rows = await self._rows(
            "SELECT count(*) FROM executions WHERE instance = ?"
            " AND state IN ('queued', 'running', 'waiting')",
            (instance,),
        )
        return rows[0][0]

    async def outcome(self, execution: str) -> Outcome | None:
        found = await self.execution(execution)
        if found is None:
            raise NotFound(f"no execution {execution}")
        match found.state:
            case "succeeded" | "failed" | "cancelled" | "ignored" as state:
                return Outcome(state, found.reason, found.result, found.failure)
            case _:
                return None

    async def read_state(self, scope: str, key: str) -> bytes | None:
        def job(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute(
                "SELECT value FROM state WHERE scope = ? AND key = ?", (scope, key)
            ).fetchone()
            return None if row is None else row[0]

        return await self._database.read(job)

    async def prune(self, ended_before: Micros, limit: int) -> int:
        now = self._clock()

        def job(connection: sqlite3.Connection) -> int:
            rows = connection.execute(
                "SELECT id FROM executions WHERE ended_at < ? ORDER BY id LIMIT ?",
                (ended_before, limit),
            ).fetchall()
            for table in ("events", "steps", "logs", "attempts", "signals"):
                connection.executemany(f"DELETE FROM {table} WHERE execution = ?", rows)
            connection.executemany("DELETE FROM executions WHERE id = ?", rows)
            connection.execute(
                "DELETE FROM dedupe WHERE (instance, flow, key) IN"
                " (SELECT instance, flow, key FROM dedupe WHERE expires_at <= ? LIMIT ?)",
                (now, limit),
            )
            return len(rows)

        return await self._database.write(job)

    async def execution(self, execution: str) -> Execution | None:
        found = await self._rows(f"{reading.EXECUTION} WHERE id = ?", (execution,))
        return reading.execution(found[0]) if found else None

    async def executions(self, which: Filter) -> list[Execution]:
        where, values = reading.where(which)
        rows = await self._rows(
            f"{reading.EXECUTION} WHERE {where} ORDER BY id DESC LIMIT ?", (*values, which.limit)
        )
        return [reading.execution(each) for each in rows]

    async def count(self, which: Filter) -> dict[ExecutionState, int]:
        where, values = reading.where(which)
        rows = await self._rows(
            f"SELECT state, count(*) FROM executions WHERE {where} GROUP BY state", values
        )
        return {state: count for state, count in rows}

    async def event(self, execution: str) -> Event | None:
        rows = await self._rows("SELECT * FROM events WHERE execution = ?", (execution,))
        return reading.event(rows[0]) if rows else None

    async def steps(self, execution: str) -> list[Record]:
        rows = await self._rows(
            "SELECT * FROM steps WHERE execution = ? ORDER BY seq", (execution,)
        )
        return [reading.record(each) for each in rows]

    async def logs(self, execution: str, after: int = 0) -> list[tuple[int, LogLine]]:
        rows = await self._rows(
            "SELECT rowid, at, level, message, fields, step FROM logs"
            " WHERE execution = ? AND rowid > ? ORDER BY rowid",
            (execution, after),
        )
        return [(row[0], LogLine(*row[1:])) for row in rows]

    async def attempts(self, execution: str) -> list[Attempt]:
        rows = await self._rows(
            "SELECT number, started_at, ended_at, how, failure FROM attempts"
            " WHERE execution = ? ORDER BY number",
            (execution,),
        )
        return [Attempt(*row[:4], failure=reading.failure(row[4])) for row in rows]

    async def dismiss(self, execution: str) -> bool:
        changed = await self._write(
            "UPDATE executions SET dismissed = 1 WHERE id = ? AND state = 'failed'", (execution,)
        )
        return changed > 0

    async def _write(self, sql: str, values: tuple[Any, ...]) -> int:
        return await self._database.write(lambda c: c.execute(sql, values).rowcount)

    async def _rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        return await self._database.read(lambda c: c.execute(sql, values).fetchall())


def accept(
    connection: sqlite3.Connection, starts: Sequence[Start], now: Micros, room: int, until: Micros
) -> list[Accepted]:
    """Insert events and executions; a duplicate gets the first one's id."""
    answers: list[Accepted] = []
    for start in starts:
        flow = start.flow
        if start.dedupe is not None:
            first = first_of(connection, start, now)
            if first is not None:
                answers.append(Accepted(start.execution, duplicate_of=first))
                continue
        runs = room > 0 and (flow.flow.startswith(SYSTEM) or not is_held(connection, flow.instance))
        inserted = connection.execute(
            INSERT_EXECUTION,
            (
                start.execution,
                flow.customer,
                flow.instance,
                flow.integration,
                flow.flow,
                flow.version,
                flow.revision,
                "running" if runs else "queued",
                int(runs),
                start.root,
                start.replay_of,
                start.key,
                now,
                now if runs else None,
                None if runs else now,
                int(runs),
                until if runs else None,
            ),
        ).rowcount
        if not inserted:
            answers.append(Accepted(start.execution))
            continue
        event = start.event
        connection.execute(
            INSERT_EVENT,
            (
                start.execution,
                event.method,
                event.path,
                event.query,
                event.url,
                event.part,
                event.received_at,
                encode_headers(event.headers),
                event.body,
            ),
        )
        add(connection, start.execution, start.copied, ())
        claim = None
        if runs:
            room -= 1
            lease = Lease(start.execution, 1, until)
            claim = Claim(start, lease, attempt=1, accepted_at=now, history=start.copied)
        answers.append(Accepted(start.execution, claim=claim))
    return answers


def first_of(connection: sqlite3.Connection, start: Start, now: Micros) -> str | None:
    """Take the dedupe key, or find who has it; the unique index decides."""
    assert start.dedupe is not None
    flow = start.flow
    key = blake2b(start.dedupe.key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    taken = connection.execute(
        INSERT_DEDUPE,
        (flow.instance, flow.flow, key, start.execution, now + start.dedupe.ttl, now),
    ).rowcount
    if taken:
        return None
    first: str = connection.execute(
        "SELECT execution FROM dedupe WHERE instance = ? AND flow = ? AND key = ?",
        (flow.instance, flow.flow, key),
    ).fetchone()[0]
    if first == start.execution:
        return None
    connection.execute("UPDATE executions SET duplicates = duplicates + 1 WHERE id = ?", (first,))
    return first


def is_held(connection: sqlite3.Connection, instance: str) -> bool:
    return (
        connection.execute("SELECT 1 FROM gates WHERE instance = ?", (instance,)).fetchone()
        is not None
    )


def due(
    connection: sqlite3.Connection, now: Micros, room: int, probation: bool, turn: int
) -> list[str]:
    """Who is next: customers in turn, an equal share each, what is left over to whoever has more."""
    customers = [row[0] for row in connection.execute(CUSTOMERS_DUE)]
    if not customers:
        return []
    first = turn % len(customers)
    customers = customers[first:] + customers[:first]
    lists = [
        [
            row[0]
            for row in connection.execute(DUE_OF_CUSTOMER, (customer, now, int(probation), room))
        ]
        for customer in customers[:room]
    ]
    chosen: list[str] = []
    for place in range(max((len(each) for each in lists), default=0)):
        chosen += [each[place] for each in lists if place < len(each)]
        if len(chosen) >= room:
            break
    return chosen[:room]


def claimed(connection: sqlite3.Connection, execution: str) -> Claim:
    """An execution that was just taken, with its event and its journal."""
    row = connection.execute(
        "SELECT customer, instance, integration, flow, version, revision, root, replay_of,"
        " record_key, attempt, fence, lease_until, accepted_at, cancelling, probation, crashes"
        " FROM executions WHERE id = ?",
        (execution,),
    ).fetchone()
    event = connection.execute("SELECT * FROM events WHERE execution = ?", (execution,)).fetchone()
    steps = connection.execute(
        "SELECT * FROM steps WHERE execution = ? ORDER BY seq", (execution,)
    ).fetchall()
    start = Start(
        execution=execution,
        flow=FlowKey(*row[:6]),
        event=reading.event(event),
        root=row[6],
        replay_of=row[7],
        key=row[8],
    )
    return Claim(
        start=start,
        lease=Lease(execution, fence=row[10], until=row[11]),
        attempt=row[9],
        accepted_at=row[12],
        cancelling=row[13],
        probation=bool(row[14]),
        crashes=row[15],
        history=tuple(reading.record(each) for each in steps),
    )


def add(
    connection: sqlite3.Connection,
    execution: str,
    records: Sequence[Record],
    logs: Sequence[LogLine],
) -> None:
    """Add records (a retrying one is overwritten by its next try) and log lines."""
    for each in records:
        connection.execute(
            UPSERT_STEP,
            (
                execution,
                each.path,
                each.seq,
                each.kind,
                each.name,
                each.title,
                each.status,
                each.pure,
                each.tries,
                each.started_at,
                each.ended_at,
                each.inputs,
                each.result,
                encode_failure(each.failure),
            ),
        )
    for line in logs:
        connection.execute(
            "INSERT INTO logs VALUES (?, ?, ?, ?, ?, ?)",
            (execution, line.at, line.level, line.message, line.fields, line.step),
        )


def write_state(connection: sqlite3.Connection, write: StateWrite, now: Micros) -> bool:
    """Write one key; False where the compare-and-set failed."""
    if write.expect is not None:
        row = connection.execute(
            "SELECT value FROM state WHERE scope = ? AND key = ?", (write.scope, write.key)
        ).fetchone()
        if (MISSING if row is None else row[0]) != write.expect:
            return False
    if write.value is None:
        connection.execute(
            "DELETE FROM state WHERE scope = ? AND key = ?", (write.scope, write.key)
        )
    else:
        connection.execute(
            "INSERT INTO state VALUES (?, ?, ?, ?) ON CONFLICT (scope, key) DO UPDATE"
            " SET value = excluded.value, changed_at = excluded.changed_at",
            (write.scope, write.key, write.value, now),
        )
    return True


def note_attempt(
    connection: sqlite3.Connection, execution: str, now: Micros, how: str, failure: bytes | None
) -> None:
    """Keep what became of an attempt that did not end its execution."""
    connection.execute(
        "INSERT OR REPLACE INTO attempts"
        " SELECT id, attempt, ifnull((SELECT max(ended_at) FROM attempts WHERE execution = ?1),"
        " started_at), ?2, ?3, ?4 FROM executions WHERE id = ?1",
        (execution, now, how, failure),
    )


def wake_on_kept_signal(
    connection: sqlite3.Connection, execution: str, waiting_for: str, now: Micros
) -> None:
    """A signal that came between the look and the wait wakes the execution at once."""
    _, name, taken = waiting_for.split(":")
    count = connection.execute(
        "SELECT count(*) FROM signals WHERE execution = ? AND name = ?", (execution, name)
    ).fetchone()[0]
    if count > int(taken):
        connection.execute("UPDATE executions SET due_at = ? WHERE id = ?", (now, execution))


def encode_headers(headers: tuple[tuple[str, str], ...]) -> bytes:
    return msgspec.json.encode(headers)


def encode_failure(failure: Failure | None) -> bytes | None:
    return None if failure is None else msgspec.json.encode(failure)
