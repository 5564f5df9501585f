"""Shards of listeners: which process reads which part of a source, and up to where.

A source's shard has one owner at a time. Whoever takes it raises its fence; what is accepted from it
names the fence, and moves the cursor in the same transaction, so that a former owner can neither accept
nor move it. An owner is a process, with one lease for all that it owns: a shard is free where its
owner's lease has run out. On both kinds of store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec

from halflap.model import Clock, Micros, frozen
from halflap.store.job import Jobs, JobTransaction, fetch, json_text, run, run_each
from halflap.store.rules.sharing import divide

ShardState = Literal["starting", "listening", "retrying", "parked", "stopped", "ended"]
"""`retrying`: after an error, which it says; `parked`: until its connection is mended; `stopped`: until a
person decides, as its cursor has expired; `ended`: the source has no such shard any more.
"""

MOST_GAPS = 20
FORGOTTEN: Micros = 600_000_000
KEY = "instance = ? AND flow = ? AND source = ? AND shard = ?"
HELD = f"{KEY} AND fence = ?"
MAKE = """
INSERT INTO listener_shards (instance, customer, flow, source, shard, changed_at)
VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (instance, flow, source, shard) DO NOTHING
"""
RENEW = """
INSERT INTO listener_owners (id, lease_until) VALUES (?, ?)
ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until
"""
TAKE = f"UPDATE listener_shards SET owner = ?, fence = fence + 1, changed_at = ? WHERE {HELD}"
ASSIGN = """
INSERT INTO listener_shards (instance, customer, flow, source, shard, changed_at, owner, state, fence)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT (instance, flow, source, shard) DO UPDATE
    SET owner = excluded.owner, fence = listener_shards.fence + 1, changed_at = excluded.changed_at,
        state = excluded.state, error = '', waits_for = ''
"""
OWNED = "SELECT fence, cursor, start FROM listener_shards"
LET_GO = f"UPDATE listener_shards SET owner = NULL WHERE {HELD}"
MOVE = f"UPDATE listener_shards SET cursor = ?, message_at = coalesce(?, message_at) WHERE {HELD}"
FENCE = f"SELECT fence FROM listener_shards WHERE {KEY}"
NOTE = f"""
UPDATE listener_shards SET state = ?, error = ?, waits_for = ?, changed_at = ?
WHERE {HELD} AND (state <> ? OR error <> ? OR waits_for <> ?)
"""
DECIDE = f"""
UPDATE listener_shards SET cursor = ?, start = ?, gaps = ?, state = 'starting', error = '', owner = NULL,
    fence = fence + 1, changed_at = ?
WHERE {KEY}
"""
SELECT = """
SELECT instance, flow, source, shard, fence, owner, cursor, start, state, error, waits_for, message_at,
    changed_at, gaps
FROM listener_shards
"""
LIST = f"{SELECT} WHERE instance = ? ORDER BY flow, source, shard"
PAGE = f"""
{SELECT} WHERE owner IS NOT NULL AND state IN ({{states}}) {{whose}}
    AND (instance, flow, source, shard) > (?, ?, ?, ?)
ORDER BY instance, flow, source, shard LIMIT ?
"""
DEPARTED = """
DELETE FROM listener_shards WHERE substr(shard, 1, 1) = ?
    AND coalesce(owner, '') NOT IN (SELECT id FROM listener_owners)
"""
PROCESS = "@"
"""The prefix of the shard that stands for a process, where the source owns the shards."""


@frozen
class ListenerKey:
    """A source that a flow of an instance reads: `source` is a digest of what names it."""

    instance: str
    customer: str
    flow: str
    source: str


@frozen
class ShardKey:
    """A shard of a source that a flow of an instance reads."""

    instance: str
    flow: str
    source: str
    shard: str = ""

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """The columns of its key."""
        return self.instance, self.flow, self.source, self.shard


@frozen
class ShardCursor:
    """A cursor that a shard moves to with what is accepted, under the fence of its owner.

    `message_at` is the time of the last message; None where there is none.
    """

    key: ShardKey
    fence: int
    cursor: str | None
    message_at: Micros | None = None


@frozen
class OwnedShard:
    """A shard that a process owns, with its durable cursor; `start` is set where that has expired."""

    key: ShardKey
    fence: int
    cursor: str | None
    start: str | None = None


@frozen
class Gap:
    """Messages that a source no longer had as its cursor had expired: read on from `start`."""

    cursor: str
    start: str
    at: Micros
    reason: str


@frozen
class ListenerShard:
    """A shard as it is shown."""

    key: ShardKey
    fence: int
    owner: str | None
    cursor: str | None
    start: str | None
    state: ShardState
    error: str
    waits_for: str
    message_at: Micros | None
    changed_at: Micros
    gaps: tuple[Gap, ...]


@frozen
class ShardShare:
    """A process's share after a look: what it took, what it is to let go, what others have taken."""

    taken: Sequence[OwnedShard]
    surplus: Sequence[ShardKey]
    lost: Sequence[ShardKey]
    settled: bool


class LostFence(Exception):
    """Raised to roll back, as a shard was taken while its cursor was moved."""


class ListenerShards:
    """The verbs about shards; each is one transaction."""

    def __init__(self, jobs: Jobs, clock: Clock) -> None:
        self._jobs = jobs
        self._clock = clock

    async def renew(self, owner: str, lease: Micros) -> frozenset[str]:
        """Prolong the lease on all that a process owns; return the owners that are alive."""
        now = self._clock()

        def job(connection: JobTransaction) -> frozenset[str]:
            connection.execute(RENEW, (owner, now + lease))
            return live(connection, now)

        return await self._jobs.write(job)

    async def standing(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the instances that are between two states, and the names of what is paused."""
        rows = await fetch(self._jobs, "SELECT name, bit FROM gates WHERE bit IN (1, 4)")
        moving = frozenset(name for name, bit in rows if bit == 1)
        return moving, frozenset(name for name, bit in rows if bit == 4)

    async def leave(self, owner: str) -> None:
        """End a process's lease: others may take what it owns."""
        await run(self._jobs, "DELETE FROM listener_owners WHERE id = ?", owner)

    async def void(self) -> None:
        """End the leases of all owners: of a store that has one process, as it starts."""
        await run(self._jobs, "DELETE FROM listener_owners")

    async def share(
        self, owner: str, wanted: Sequence[ListenerKey], held: Collection[ShardKey], lease: Micros
    ) -> ShardShare:
        """Take a process's share of the shards of wanted listeners; each has at least the shard "".

        A shard that is taken has a new fence. What is surplus is the process's until `release`.
        """
        now = self._clock()

        def job(connection: JobTransaction) -> ShardShare:
            connection.execute(RENEW, (owner, now + lease))
            connection.execute(
                "DELETE FROM listener_owners WHERE lease_until < ?", (now - FORGOTTEN,)
            )
            connection.execute(DEPARTED, (PROCESS,))
            listeners = {(each.instance, each.flow, each.source): each for each in wanted}
            found = every(connection)
            there = {key[:3] for key in found if not key[3]}
            missing = [each for key, each in listeners.items() if key not in there]
            if missing:
                connection.executemany(
                    MAKE, [(e.instance, e.customer, e.flow, e.source, "", now) for e in missing]
                )
                found = every(connection)
            rows = {
                ShardKey(*key): (each, fence)
                for key, (each, fence, state) in found.items()
                if key[:3] in listeners and state != "ended"
            }
            owners = {key: each for key, (each, _) in rows.items()}
            division = divide(owners, live(connection, now), owner, held)
            taken: list[OwnedShard] = []
            if division.take:
                connection.executemany(
                    TAKE, [(owner, now, *key.parts, rows[key][1]) for key in division.take]
                )
                mine = {
                    ShardKey(*row[:4]): OwnedShard(ShardKey(*row[:4]), *row[4:])
                    for row in connection.execute(
                        "SELECT instance, flow, source, shard, fence, cursor, start"
                        " FROM listener_shards WHERE owner = ?",
                        (owner,),
                    )
                }
                for key in division.take:  # another process may have been faster
                    if key in mine and mine[key].fence == rows[key][1] + 1:
                        taken.append(mine[key])
            settled = division.settled and len(taken) == len(division.take)
            return ShardShare(taken, division.surplus, division.lost, settled)

        return await self._jobs.write(job)

    async def divide(self, listener: ListenerKey, shards: Sequence[str]) -> None:
        """Store the shards that a source has now. One that it has no more keeps its cursor."""
        now, wanted = self._clock(), set(shards) | {""}

        def job(connection: JobTransaction) -> None:
            source = (listener.instance, listener.flow, listener.source)
            rows = connection.execute(
                "SELECT shard, state FROM listener_shards"
                " WHERE instance = ? AND flow = ? AND source = ?",
                source,
            ).fetchall()
            there = dict[str, str](rows)
            for shard in sorted(wanted - there.keys()):
                values = (listener.instance, listener.customer, *source[1:], shard, now)
                connection.execute(MAKE, values)
            for shard, state in sorted(there.items()):
                if (shard in wanted) == (state == "ended"):
                    changed = "starting" if shard in wanted else "ended"
                    connection.execute(
                        f"UPDATE listener_shards SET state = ?, changed_at = ? WHERE {KEY}",
                        (changed, now, *source, shard),
                    )

        await self._jobs.write(job)

    async def assign(
        self, owner: str, listener: ListenerKey, shards: Iterable[str]
    ) -> dict[str, OwnedShard]:
        """Give shards to a process, as their source has: each gets a new fence."""
        now, source = self._clock(), (listener.flow, listener.source)

        def job(connection: JobTransaction) -> dict[str, OwnedShard]:
            found: dict[str, OwnedShard] = {}
            for shard in sorted(set(shards)):
                state = "starting" if shard.startswith(PROCESS) else "listening"
                values = (listener.instance, listener.customer, *source, shard, now, owner, state)
                connection.execute(ASSIGN, values)
                key = ShardKey(listener.instance, *source, shard)
                row = connection.execute(f"{OWNED} WHERE {KEY}", key.parts).fetchone()
                found[shard] = OwnedShard(key, *row)
            return found

        return await self._jobs.write(job)

    async def release(self, shards: Mapping[ShardKey, int]) -> None:
        """Let shards go, each under the fence that this process has for it."""
        rows = [(*key.parts, fence) for key, fence in sorted_by_key(shards)]
        await run_each(self._jobs, LET_GO, rows)

    async def revoke(self, instance: str) -> None:
        """Take an instance's shards from whoever reads them: nothing more is accepted by these."""
        sql = "UPDATE listener_shards SET owner = NULL, fence = fence + 1 WHERE instance = ?"
        await run(self._jobs, sql, instance)

    async def move(self, cursors: Sequence[ShardCursor]) -> bool:
        """Move cursors where nothing is accepted with them; False where a fence is lost: none moves."""
        try:
            return await self._jobs.write(lambda connection: move(connection, cursors))
        except LostFence:
            return False

    async def note(
        self, key: ShardKey, fence: int, state: ShardState, error: str = "", waits_for: str = ""
    ) -> None:
        """Note how a shard is; what has not changed is not written."""
        told = (state, error.replace("\0", "\ufffd")[:2_000], waits_for)
        await run(self._jobs, NOTE, *told, self._clock(), *key.parts, fence, *told)

    async def skip(
        self, key: ShardKey, fence: int, start: str, reason: str, *, stays: bool = False
    ) -> bool:
        """Read on from `start` behind an expired cursor: note the gap; False where the fence is lost.

        Where it `stays`, the cursor does: what follows it is read by other means. A listener that is
        opened again before it has read on finds it expired once more; that is one gap.
        """
        now = self._clock()

        def job(connection: JobTransaction) -> bool:
            found = connection.execute(
                f"SELECT cursor, gaps FROM listener_shards WHERE {HELD}",
                (*key.parts, fence),
            ).fetchone()
            if found is None:
                return False
            gap = Gap(found[0] or "", start, now, reason.replace("\0", "\ufffd")[:500])
            gaps = read_gaps(found[1])
            if not (stays and gaps and (gaps[-1].cursor, gaps[-1].start) == (gap.cursor, start)):
                gaps = [*gaps, gap][-MOST_GAPS:]
            text = json_text(gaps)
            moved = () if stays else (start,)
            changed = connection.execute(
                f"UPDATE listener_shards SET {'' if stays else 'cursor = NULL, start = ?, '}gaps = ? "
                f"WHERE {HELD}",
                (*moved, text, *key.parts, fence),
            )
            return changed.rowcount > 0

        return await self._jobs.write(job)

    async def owns(self, key: ShardKey, fence: int) -> bool:
        """Return whether a fence is still the one of a shard."""
        return await fetch(self._jobs, FENCE, *key.parts) == [(fence,)]

    async def decide(
        self, instance: str, flow: str, shard: str, start: str, cursor: str | None
    ) -> bool:
        """Have a stopped shard read on: from a `start`, or a cursor; False where it is not stopped.

        Without either, it is opened again at the cursor that it has. Where it does not read on from
        that, a gap is noted.
        """
        now = self._clock()

        def job(connection: JobTransaction) -> bool:
            rows = connection.execute(
                "SELECT source, cursor, gaps, error FROM listener_shards WHERE instance = ? AND flow = ?"
                " AND shard = ? AND state = 'stopped' ORDER BY source",
                (instance, flow, shard),
            ).fetchall()
            for source, before, gaps, error in rows:
                noted = read_gaps(gaps)
                if start or cursor is not None:
                    place = cursor if cursor is not None else start
                    noted = (*noted, Gap(before or "", place[:200], now, error[:500]))[-MOST_GAPS:]
                connection.execute(
                    DECIDE,
                    (
                        None if start else before if cursor is None else cursor,
                        start or None,
                        json_text(noted),
                        now,
                        *(instance, flow, source, shard),
                    ),
                )
            return bool(rows)

        return await self._jobs.write(job)

    async def list(self, instance: str) -> list[ListenerShard]:
        """Return an instance's shards."""
        return [read_shard(each) for each in await fetch(self._jobs, LIST, instance)]

    async def page(
        self, states: Sequence[str], after: Sequence[str], limit: int, customer: str | None = None
    ) -> list[ListenerShard]:
        """Return so many shards in some states that a process reads, behind one."""
        whose = "" if customer is None else "AND customer = ?"
        sql = PAGE.format(states=", ".join("?" * len(states)), whose=whose)
        rows = await fetch(self._jobs, sql, *states, *([customer] if whose else []), *after, limit)
        return [read_shard(each) for each in rows]

    async def count(self) -> dict[str, int]:
        """Return the number of shards in each state, of all instances."""
        sql = "SELECT state, count(*) FROM listener_shards WHERE owner IS NOT NULL GROUP BY state"
        return dict.fromkeys(get_args(ShardState), 0) | dict(await fetch(self._jobs, sql))

    async def forget(self, instance: str) -> None:
        """Remove an instance's shards, with their cursors."""
        await run(self._jobs, "DELETE FROM listener_shards WHERE instance = ?", instance)


def read_shard(row: Sequence[Any]) -> ListenerShard:
    """Return the shard of a row of `SELECT`."""
    values: tuple[Any, ...] = (ShardKey(*row[:4]), *row[4:13], read_gaps(row[13]))
    return ListenerShard(*values)


def move(connection: JobTransaction, cursors: Sequence[ShardCursor]) -> bool:
    """Move all cursors, or none where the fence of one is lost."""
    for each in cursors:
        row = connection.execute(FENCE, each.key.parts).fetchone()
        if row is None or row[0] != each.fence:
            return False
    for each in cursors:
        where = (*each.key.parts, each.fence)
        if not connection.execute(MOVE, (each.cursor, each.message_at, *where)).rowcount:
            raise LostFence  # another process came in between: what was moved is rolled back
    return True


def live(connection: JobTransaction, now: Micros) -> frozenset[str]:
    """Return the owners whose lease goes on."""
    rows = connection.execute("SELECT id FROM listener_owners WHERE lease_until > ?", (now,))
    return frozenset(row[0] for row in rows)


def every(
    connection: JobTransaction,
) -> dict[tuple[str, str, str, str], tuple[str | None, int, str]]:
    """Return the owner, the fence and the state of every shard."""
    rows = connection.execute(
        "SELECT instance, flow, source, shard, owner, fence, state FROM listener_shards"
        " ORDER BY instance, flow, source, shard"
    )
    return {(row[0], row[1], row[2], row[3]): (row[4], row[5], row[6]) for row in rows}


def present(shards: Iterable[ListenerShard]) -> list[ListenerShard]:
    """Return the shards of the source that each flow listens to now, or did last."""
    last: dict[str, ListenerShard] = {}
    found = list(shards)
    for each in found:
        if each.key.flow not in last or last[each.key.flow].changed_at < each.changed_at:
            last[each.key.flow] = each
    return [each for each in found if each.key.source == last[each.key.flow].key.source]


def sorted_by_key(shards: Mapping[ShardKey, int]) -> list[tuple[ShardKey, int]]:
    """Return shards in the order in which everybody locks them."""
    return sorted(shards.items(), key=lambda each: each[0].parts)


def read_gaps(text: str) -> tuple[Gap, ...]:
    """Return gaps as they were stored."""
    return tuple(msgspec.json.decode(text, type=list[Gap]))
