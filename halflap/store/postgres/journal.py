"""The journal in PostgreSQL: one method a verb; the hot ones gather into shared commits.

history.py has the verbs that only read.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Coroutine, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from halflap.model import (
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
)
from halflap.store.blobs.nowhere import Nowhere
from halflap.store.blobs.payloads import Payloads
from halflap.store.blobs.register import Register
from halflap.store.catalogue.writer import conditions
from halflap.store.history import missing
from halflap.store.postgres import (
    claiming,
    ending,
    limiting,
    lineage,
    ordering,
    rows,
    signalling,
    unclean,
)
from halflap.store.postgres.accepting import Acceptance, Accepting, entry, locks_of_replayed
from halflap.store.postgres.batching import Gathering
from halflap.store.postgres.columns import Blobs, Numbers, Texts
from halflap.store.postgres.connecting import Connection, changed
from halflap.store.postgres.database import PostgresDatabase, PostgresWays
from halflap.store.postgres.gates import MOVING, PAUSED, HoldGate
from halflap.store.postgres.hints import PostgresHints
from halflap.store.postgres.history import PostgresHistory
from halflap.store.postgres.jobs import PostgresJobs
from halflap.store.postgres.locking import Locks, lock
from halflap.store.postgres.partitions import Partitions
from halflap.store.postgres.pruning import PostgresPruning
from halflap.store.postgres.recording import DELETE_STATE, Recording, Writing, locks_of
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
from halflap.store.recording import text
from halflap.store.rules.admission import asks_for_members
from halflap.store.rules.beginning import GONE
from halflap.store.scope import CustomerScope
from halflap.store.shards import ListenerShards, ShardCursor
from halflap.store.traffic import Traffic
from halflap.store.turns import Place, Share, TurnRotation

SIGNAL = """
INSERT INTO signals (execution, name, payload, at, once) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
LARGE = 256 * 1024
"""The size in bytes from which on an item is written apart from the small ones."""
AS_ACCEPTING = "LOCK TABLE executions, events, dedupe, orders IN ROW EXCLUSIVE MODE"
"""Takes the locks of tables that an INSERT takes."""
LOCK_ONE = "SELECT FROM executions WHERE id = %s FOR NO KEY UPDATE"
SIGNALS = "SELECT name, payload FROM signals WHERE execution = %s ORDER BY id"
CANCELLED = """
SELECT id, cancelling, cut_at FROM executions WHERE id = ANY(%s) AND cancelling IS NOT NULL
"""
ERASED = "SELECT id FROM executions WHERE instance = %s ORDER BY id LIMIT %s FOR UPDATE"
ERASED_HISTORY = "SELECT id, slot FROM history WHERE instance = %s LIMIT %s FOR UPDATE"
ERASE_HISTORY = "DELETE FROM history WHERE id = ANY(%s) AND slot = ANY(%s)"
# Each list is made once, whatever the planner thinks: a subquery with a limit may be run again.
ERASE = (
    "DELETE FROM letters WHERE id = ANY (ARRAY("
    "SELECT id FROM letters WHERE instance = %s LIMIT %s))",
    "DELETE FROM dedupe WHERE ctid = ANY (ARRAY("
    "SELECT ctid FROM dedupe WHERE instance = %s LIMIT %s FOR UPDATE))",
)

READ_STATE = "SELECT value FROM state WHERE scope = %s AND key = %s"
READ_STATES = "SELECT scope, value FROM state WHERE scope = ANY(%s) AND key = %s"
HEALTHS = r"""
SELECT scope, value FROM state
WHERE key = '\x6865616c7468' AND value <> '\x7b7d' AND scope >= 'instance:' AND scope < 'instance;'
"""
SOME_STATE = "SELECT scope, key FROM state WHERE {where} ORDER BY scope, key LIMIT %s"
LATELY: Micros = 30_000_000
"""The time for which a worker counts as a user of a connection."""
CALL = """
INSERT INTO callers VALUES (%s, %s, %s)
ON CONFLICT (connection, worker) DO UPDATE SET seen_at = excluded.seen_at
"""
FORGET = "DELETE FROM callers WHERE connection = %s AND seen_at < %s"
CALLERS = "SELECT count(*) FROM callers WHERE connection = %s"


class PostgresJournal(PostgresHistory, PostgresPruning, Traffic):
    """The journal's verbs over one PostgreSQL database (see store/protocol.py).

    worker: what this process calls itself; its claims bear the name. By default a new one each
    time. Who gives the same name after a restart, once the process before it has surely ended, has
    `void` return its predecessor's executions at once instead of when their leases lapse.
    """

    def __init__(self, database: PostgresDatabase, *, worker: str | None = None) -> None:
        self._whole = database
        self._database: PostgresWays = database
        self._jobs = self._whole_jobs = PostgresJobs(database)
        self._clock = database.clock
        self.shards = ListenerShards(self._jobs, database.clock)
        register = Register(self._jobs, database.clock)
        self.payloads = Payloads(Nowhere(), register, database.clock)
        self._locks = Locks(database.schema)
        self._worker = worker or secrets.token_hex(8)
        if database.own_clock is not None:
            database.own_clock.on_set_back = self._hasten
        self._turns = (
            TurnRotation(),
            TurnRotation(),
        )  # of ordinary claims, and of those on probation
        self.default_limits = CustomerLimits()
        self._settled = {}
        self._claiming = asyncio.Lock()
        self._last_number = 0
        self._gathering: Gathering[Acceptance | Writing] = Gathering(self._write)
        self._gathering_large: Gathering[Acceptance | Writing] = Gathering(
            self._write_large, writers=1, largest=1, rests=True
        )
        self._partitions = Partitions(database)
        self.hints = PostgresHints(database)
        database.before_close.append(self._close)

    def within(self, scope: CustomerScope) -> PostgresJournal:
        """This journal for whoever is in a scope: what is out of it is not there."""
        found = copy(self)
        found._database = self._whole.within(scope)
        found._jobs = self._whole_jobs.within(scope)
        found.shards = ListenerShards(found._jobs, self._clock)
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
        item = Acceptance(entries, now, claim, now + lease, is_wanted, cursors)
        if any(each.order is not None and asks_for_members(each.order) for each in starts):
            await self._partitions.make(now)
        async with self.payloads.withdrawn(kept):
            await self._share_commit(item, sum(len(each.event.body) for each in kept))
        if any(each.claim is None and each.duplicate_of is None for each in item.answers):
            self.hints.send()
        return self.payloads.accepted(starts, kept, item.answers)

    async def claim(
        self,
        room: int,
        lease: Micros,
        *,
        probation: bool = False,
        share: Share | None = None,
        only: Collection[Place] | None = None,
    ) -> list[Claim]:
        if room <= 0:
            return []

        async def job(connection: Connection) -> list[Claim]:
            now = self._clock()
            if only is not None:
                ids = await claiming.due_of(connection, now, room, probation, only)
            else:
                turns, default = self._turns[probation], self.default_limits
                ids = await claiming.due(connection, now, room, probation, turns, share, default)
            if not ids:
                return []
            return await claiming.take(connection, ids, now, now + lease, self._worker)

        async with self._claiming:  # one's own claims have no need to pass each other over
            due = await self._soonest(probation)
            if due is None or due > self._clock():
                return []
            claims = await self._database.write(job)
        return await self.payloads.load_claims(claims, self.release)

    async def _hasten(self, before: Micros) -> None:
        """Have what was due before the clock was set back be due now, too."""
        now = self._clock()

        async def job(connection: Connection) -> None:
            await connection.execute(claiming.HASTEN, (now, now, before))

        await self._database.write(job)
        self.hints.send()

    async def renew(self, leases: Sequence[Lease], lease: Micros) -> list[Lease]:
        until = self._clock() + lease
        asked = sorted({(each.execution, each.fence) for each in leases})
        if not asked:
            return []
        kept = await self._database.write(lambda c: unclean.renew(c, asked, until))
        held = {each: None for each in leases if (each.execution, each.fence) in kept}
        return [replace(e, until=until) for e in sorted(held, key=lambda each: each.execution)]

    async def commit(
        self,
        lease: Lease,
        records: Sequence[Record],
        logs: Sequence[LogLine],
        writes: Sequence[StateWrite] = (),
    ) -> Written:
        records, logs = await self.payloads.keep(lease, records, logs)
        return await self._record(Writing.of(lease, self._clock(), records, logs, writes))

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
        await self._partitions.make(now)
        item = Writing.of(lease, now, records, logs, writes, outcome, next=next)
        written = await self._record(item)
        if lease.ordered or lease.parent or next or outcome.state == "cancelled":
            self.hints.send()
        return written

    async def release(
        self, lease: Lease, records: Sequence[Record], logs: Sequence[LogLine], how: Release
    ) -> Written:
        records, logs = await self.payloads.keep(lease, records, logs)
        written = await self._record(Writing.of(lease, self._clock(), records, logs, release=how))
        if how.how == "drained":
            self.hints.send()
        return written

    async def void(self) -> int:
        """Void the leases of this worker's name, and those that have run out.

        Other workers' leases are theirs: many servers start while others run.
        """
        return await self._void("(worker = %s OR lease_until < %s)", (self._worker, self._clock()))

    async def lapse(self) -> int:
        now = self._clock()
        found = await self._database.fetch(
            "SELECT FROM executions WHERE lease_until < %s LIMIT 1", (now,)
        )
        return await self._void("lease_until < %s", (now,)) if found else 0

    async def blame(self, executions: Sequence[str], *, alone: bool) -> None:
        await self._void("id = ANY(%s)", (Texts(executions),), crashes=int(alone))

    async def next_due(self, *, probation: bool = False, held_back: bool = False) -> Micros | None:
        soonest = await self._soonest(probation)
        if held_back or not self._turns[probation].held_back:
            return soonest
        if soonest is None or soonest > self._clock():
            return soonest
        return await self._whole.run(
            lambda c: claiming.next_of_others(c, probation, self._turns[probation])
        )

    async def _soonest(self, probation: bool) -> Micros | None:
        return (await self._whole.seek(claiming.NEXT_DUE, (probation,)))[0][0]

    async def cancel_many(
        self, executions: Collection[str], reason: str, cut_at: Micros = 0
    ) -> dict[str, CancelResult]:
        now = self._clock()
        kept = text(reason).encode()
        await self._partitions.make(now)
        done = await self._database.write(
            lambda c: unclean.cancel(c, self._locks, executions, kept, now, cut_at)
        )
        if "ended" in done.values():
            self.hints.send()
        return done

    async def cancelled(self, executions: Sequence[str]) -> dict[str, Cancelling]:
        found = await self._database.fetch(CANCELLED, (Texts(executions),))
        return {row[0]: Cancelling(row[1].decode(), row[2]) for row in found}

    async def signal(
        self, execution: str, name: str, payload: bytes, once: str | None = None
    ) -> Sent:
        now, kept = self._clock(), name.encode()
        only = None if once is None else once.encode()

        async def job(connection: Connection) -> Sent | None:
            await lock(connection, await lineage.locks_of(connection, self._locks, [execution]))
            cursor = await connection.execute(LOCK_ONE, (execution,))
            if not await cursor.fetchall():
                return "over" if await unclean.over(connection, [execution]) else None
            if not await changed(connection, SIGNAL, (execution, kept, payload, now, only)):
                return "known"
            widths = await signalling.wake(connection, [(execution, now)])
            await ordering.settle(connection, widths, now)
            return "sent"

        sent = await self._database.write(job)
        if sent is None:
            raise missing(execution)
        self.hints.send()
        return sent

    async def signals(self, execution: str) -> list[Signal]:
        found = await self._database.fetch(SIGNALS, (execution,))
        return [Signal(row[0].decode(), row[1]) for row in found]

    async def read_state(self, scope: str, key: str) -> bytes | None:
        found = await self._database.fetch(READ_STATE, (scope.encode(), key.encode()))
        return found[0][0] if found else None

    async def read_states(self, scopes: Sequence[str], key: str) -> dict[str, bytes]:
        wanted = (Blobs(map(str.encode, scopes)), key.encode())
        found = await self._database.fetch(READ_STATES, wanted)
        return {scope.decode(): value for scope, value in found}

    async def healths(self) -> dict[str, bytes]:
        return {scope.decode(): value for scope, value in await self._database.fetch(HEALTHS)}

    async def list_state(
        self,
        scope: str,
        *,
        after: str | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> dict[str, bytes]:
        wanted = {"scope = %s": scope, "key > %s": after, "key < %s": before}
        where, bounds = conditions({sql: rows.kept(each) for sql, each in wanted.items()})
        sql = f"SELECT key, value FROM state {where} ORDER BY key LIMIT %s"
        found = await self._database.fetch(sql, (*bounds, limit))
        return {key.decode(): value for key, value in found}

    async def write_state(self, writes: Sequence[StateWrite]) -> Written:
        item = Writing.of(None, self._clock(), writes=writes)
        await self._gathering.post(item)
        return item.answer

    async def probe(self) -> None:
        # Each transaction writes the row of its process, so that is all that is left to do.
        await self._database.write(lambda connection: connection.execute(AS_ACCEPTING))

    async def clear_state(self, scopes: Sequence[str], limit: int) -> int:
        async def job(connection: Connection) -> int:
            removed = 0
            for scope in scopes:
                where, values = "scope = %s", [scope.encode()]
                if scope.endswith(":"):
                    where = "scope >= %s AND scope < %s"
                    values.append(scope[:-1].encode() + b";")  # `;` comes right after `:`
                found = await connection.execute(
                    SOME_STATE.format(where=where).encode(), (*values, limit - removed), binary=True
                )
                keys: list[Any] = await found.fetchall()
                await lock(connection, [self._locks.state(*key) for key in keys])
                columns = (Blobs(key[0] for key in keys), Blobs(key[1] for key in keys))
                removed += await changed(connection, DELETE_STATE, columns)
            return removed

        return await self._database.write(job)

    async def set_limits(self, customer: str, limits: CustomerLimits) -> None:
        await super().set_limits(customer, limits)
        self.hints.send()

    async def unpark(self, connection: str, limit: int) -> list[str]:
        found = await super().unpark(connection, limit)
        if found:
            self.hints.send()
        return found

    async def callers(self, connection: str) -> int:
        now, of, worker = self._clock(), connection, self._worker

        async def job(connection: Connection) -> int:
            await connection.execute(FORGET, (of, now - LATELY))
            await connection.execute(CALL, (of, worker, now))
            cursor = await connection.execute(CALLERS, (of,), binary=True)
            row: Any = await cursor.fetchone()
            return row[0]

        return await self._database.write(job)

    async def load(self, customer: str, most: int) -> CustomerLoad:
        return await limiting.load(self._database, customer, self._clock(), most)

    async def hold(self, instance: str) -> None:
        await self._hold_at(HoldGate(instance, MOVING))

    async def shut(self, customer: str) -> None:
        await self._hold_at(HoldGate(customer, GONE))

    async def _hold_at(self, gate: HoldGate) -> None:
        await self._database.write(lambda c: gate.close(c, self._locks, self._clock()))
        await self._in_parts(gate.hold)

    async def release_instance(self, instance: str, pinning: Pinning | None = None) -> None:
        await self._let_go(HoldGate(instance, MOVING, pinning))

    async def pause(self, paused: Paused) -> bool:
        gate = HoldGate(paused.what, PAUSED)
        closed = await self._database.write(
            lambda c: gate.close(c, self._locks, paused.since, paused.by, paused.reason)
        )
        await self._in_parts(gate.hold)
        return closed

    async def resume(self, what: str) -> bool:
        gate = HoldGate(what, PAUSED)
        if not await self._database.write(gate.is_closed):
            return False
        await self._let_go(gate)
        return True

    async def _let_go(self, gate: HoldGate) -> None:
        await self._in_parts(gate.let_go)
        await self._database.write(lambda c: gate.open(c, self._locks))
        self.hints.send()

    async def _in_parts(self, part: Callable[[Connection], Coroutine[Any, Any, bool]]) -> None:
        while await self._database.write(part):
            pass

    async def erase(self, instance: str, limit: int) -> int:
        values = (instance, limit)

        async def job(connection: Connection) -> int:
            cursor = await connection.execute(ERASED, values, binary=True)
            ids = Texts(row[0] for row in await cursor.fetchall())
            if ids.values:
                for table in ("events", "orders", *ending.CLEAN):
                    sql = f"DELETE FROM {table} WHERE execution = ANY(%s)"
                    await connection.execute(sql.encode(), (ids,))
                await connection.execute("DELETE FROM executions WHERE id = ANY(%s)", (ids,))
            cursor = await connection.execute(ERASED_HISTORY, values, binary=True)
            past = await cursor.fetchall()
            if past:
                columns = (Texts(row[0] for row in past), Numbers({row[1] for row in past}))
                await connection.execute(ERASE_HISTORY, columns)
            gone = len(ids.values) + len(past)
            for sql in ERASE:
                gone += await changed(connection, sql, values)
            return gone

        return await self._database.write(job)

    async def dismiss(self, execution: str) -> bool:
        now = self._clock()
        dismissed = await self._database.write(
            lambda c: unclean.dismiss(c, self._locks, execution, now)
        )
        if dismissed:
            self._settled.clear()  # its day is past
            self.hints.send()
        return dismissed

    # -- how it is written ----------------------------------------------------------------------

    async def _record(self, item: Writing) -> Written:
        await self._share_commit(item, item.size)
        return item.answer

    async def _share_commit(self, item: Acceptance | Writing, size: int) -> None:
        """Have an item written with others; a large one only with its like, which nobody else waits for.

        The database compresses what is large within the transaction.
        """
        await (self._gathering_large if size > LARGE else self._gathering).post(item)

    async def _write_large(self, items: Sequence[Acceptance | Writing]) -> None:
        await self._write(items, large=True)

    async def _write(self, items: Sequence[Acceptance | Writing], *, large: bool = False) -> None:
        wanted = [each for each in items if isinstance(each, Acceptance) and each.entries]
        writes = [each for each in items if isinstance(each, Writing)]

        async def job(connection: Connection) -> None:
            accepts = [each for each in wanted if each.is_wanted()]
            for each in wanted:  # this may be another try
                each.answers.clear()
            locks = [number for each in accepts for number in each.locks(self._locks)]
            locks += await locks_of_replayed(connection, accepts, self._locks)
            locks += await locks_of(connection, writes, self._locks)
            await lock(connection, locks)
            accepting = (
                Accepting(
                    accepts,
                    self._worker,
                    limited=bool(self.default_limits.concurrency or self.default_limits.rate),
                    copies=large,
                )
                if accepts
                else None
            )
            recording = Recording(writes, self._number, self._locks) if writes else None
            if accepting is not None:
                await accepting.look(connection, self._locks)
            if recording is not None:
                await recording.look(connection)
            if accepting is not None:
                await accepting.write(connection)
            if recording is not None:
                await recording.write(connection)

        await self._database.write(job, pipelined=not large)
        stats = self._whole.stats
        stats.jobs += len(items)
        stats.largest_batch = max(stats.largest_batch, len(items))

    def _number(self, now: Micros) -> int:
        """A number that grows: of log lines, over all workers that an execution has."""
        self._last_number = max(self._last_number + 1, now)
        return self._last_number

    async def _void(self, where: str, values: Sequence[Any], crashes: int = 0) -> int:
        now = self._clock()
        voided = await self._database.write(
            lambda c: unclean.void(c, self._locks, where, values, now, crashes)
        )
        if voided:
            self.hints.send()
        return voided

    async def _close(self) -> None:
        await self._gathering.settled()
        await self._gathering_large.settled()
        await self.hints.close()
