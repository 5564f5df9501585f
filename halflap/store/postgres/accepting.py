"""Accept events of many callers at once: dedupe, store, claim where that is allowed."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from halflap.model import Micros, Start, made_at, pausable
from halflap.store import reading
from halflap.store.postgres import lineage, ordering, rows
from halflap.store.postgres.admission import PostgresAdmission
from halflap.store.postgres.columns import Columns, Numbers, Texts
from halflap.store.postgres.connecting import Connection, fetched
from halflap.store.postgres.ending import dismiss
from halflap.store.postgres.locking import Locks, share
from halflap.store.postgres.slots import first_slot
from halflap.store.protocol import MOST_CRASHES, Accepted, Claim, Lease, Outdated
from halflap.store.recording import unheld
from halflap.store.retention import DAY
from halflap.store.rules.admission import Standing
from halflap.store.rules.beginning import LIMITED, begin, gates_of
from halflap.store.rules.duplicate import another_event, duplicate_of
from halflap.store.rules.order import rule_of
from halflap.store.shards import ShardCursor, ShardKey

DedupeKey = tuple[str, str, bytes]

KEYS = Columns("instance text, flow text, key bytea, execution text, expires_at bigint")
# Answers with the first one's execution, be it this one or the one that has the key already.
TAKE_KEYS = f"""
INSERT INTO dedupe AS d SELECT * FROM {KEYS.rows}
ON CONFLICT (instance, flow, key) DO UPDATE SET
    execution = CASE WHEN d.expires_at <= %s THEN excluded.execution ELSE d.execution END,
    expires_at = CASE WHEN d.expires_at <= %s THEN excluded.expires_at
        WHEN d.flow = '' AND d.execution = excluded.execution
        THEN greatest(d.expires_at, excluded.expires_at) ELSE d.expires_at END
RETURNING instance, flow, key, execution
"""
CLOSED = f"""
SELECT name, bit FROM gates WHERE name = ANY(%s)
UNION ALL SELECT customer, {LIMITED} FROM limits WHERE customer = ANY(%s)
"""
CRASHES = """
SELECT id FROM executions WHERE id = ANY(%s) AND crashes >= %s
UNION ALL SELECT id FROM letters WHERE id = ANY(%s) AND crashes >= %s
UNION ALL SELECT id FROM history WHERE id = ANY(%s) AND crashes >= %s
"""
CONTINUED_BY = " UNION ALL ".join(
    f"SELECT chain, link, id FROM {table}"
    " WHERE (chain, link) IN (SELECT * FROM unnest(%(chains)s::text[], %(links)s::bigint[]))"
    for table in ("executions", "letters", "history")
)
# Those of the same call are left out: they are in their order already.
NEWER = " UNION ALL ".join(
    f"""SELECT id FROM {table} WHERE instance = %(instance)s AND accepted_at >= %(since)s{slots}
    AND flow = %(flow)s AND order_scope = %(scope)s AND order_key = %(order_key)s
    AND attempt >= %(attempt)s AND id <> ALL(%(known)s)
    AND (%(key)s::bytea IS NULL OR record_key = %(key)s)
    AND coalesce(nullif((replay::json ->> 'event_at')::bigint, 0), accepted_at) > %(event_at)s
"""
    for table, slots in (("executions", ""), ("letters", ""), ("history", " AND slot >= %(slot)s"))
)
LIVE_REPLAYS = "SELECT replay_of, id FROM executions WHERE replay_of = ANY(%s)"
# `until` is set for those that are claimed at once.
ACCEPTED = Columns(
    f"{reading.OF_START}, root text, record_key bytea, order_scope bytea, order_key bytea,"
    " order_rule text, dedupe_key bytea, held bigint, is_bound bigint, is_suspect bigint, until bigint"
)
KEPT = ACCEPTED.names.removesuffix(", is_bound, is_suspect, until")
INSERT = f"""
INSERT INTO executions ({KEPT}, bound, probation, state, attempt, fence, started_at, claimed_at,
    due_at, lease_until, worker)
SELECT {KEPT}, is_bound <> 0, is_suspect <> 0,
    CASE WHEN until IS NULL THEN 'queued' ELSE 'running' END, (until IS NOT NULL)::int,
    (until IS NOT NULL)::int, CASE WHEN until IS NOT NULL THEN accepted_at END,
    CASE WHEN until IS NOT NULL THEN accepted_at END, CASE WHEN until IS NULL THEN accepted_at END,
    until, CASE WHEN until IS NOT NULL THEN %s END
FROM {ACCEPTED.rows} ON CONFLICT (id) DO NOTHING RETURNING id
"""
EVENTS = Columns("execution text, received_at bigint, part bigint, head bytea, body bytea")
INSERT_EVENTS = f"INSERT INTO events SELECT * FROM {EVENTS.rows} ON CONFLICT DO NOTHING"
COPY_EVENTS = "COPY copied_events FROM STDIN BINARY"
COPY_HEAD, COPY_END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
SHARDS = Columns("instance text, flow text, source text, shard text")
HOLD_SHARDS = f"""
SELECT {SHARDS.names}, fence FROM listener_shards
WHERE ({SHARDS.names}) IN (SELECT * FROM {SHARDS.rows})
ORDER BY {SHARDS.names} FOR NO KEY UPDATE
"""
CURSORS = Columns("instance text, flow text, source text, shard text, cursor text, at bigint")
MOVE_CURSORS = f"""
UPDATE listener_shards SET cursor = w.cursor, message_at = coalesce(w.at, message_at)
FROM {CURSORS.rows}
WHERE listener_shards.instance = w.instance AND listener_shards.flow = w.flow
    AND listener_shards.source = w.source AND listener_shards.shard = w.shard
"""
REPLAYED_ORDERS = """
SELECT order_scope, order_key FROM letters WHERE id = ANY(%s) AND order_scope IS NOT NULL
"""
# An id that was just made has not ended on an earlier day than it was made on.
ENDED = """
SELECT id FROM letters WHERE id = ANY(%s)
UNION ALL SELECT id FROM history WHERE id = ANY(%s) AND slot >= %s
"""
TAKE_BACK = """
WITH event AS (DELETE FROM events WHERE execution = ANY(%s))
DELETE FROM executions WHERE id = ANY(%s)
"""
INSERT_COPIED = f"INSERT INTO steps SELECT * FROM {rows.STEPS.rows} ON CONFLICT DO NOTHING"
COUNTS = Columns("id text, n bigint")
COUNT_LIVE = f"""
UPDATE executions SET duplicates = duplicates + n FROM {COUNTS.rows}
WHERE executions.id = w.id RETURNING executions.id
"""
COUNT_LETTERS = COUNT_LIVE.replace("executions", "letters")
COUNT_HISTORY = COUNT_LIVE.replace("executions", "history")


@dataclass(frozen=True, slots=True)
class PostgresStartRows:
    """A start as rows, made before the transaction, so that a bad one hurts nobody."""

    start: Start
    key: bytes | None
    head: bytes
    dedupe: DedupeKey | None
    published: DedupeKey | None
    """Has the customer in place of an instance, and the digest of the contents for an execution."""
    expires_at: Micros
    order: ordering.Name | None
    copied: tuple[rows.StepRow, ...]


def entry(start: Start, now: Micros) -> PostgresStartRows:
    """A start's rows; raises `Rejected` where a text is none that UTF-8 can hold."""
    flow, order, dedupe = start.flow, start.order, start.dedupe
    try:
        head = rows.head(start.event)
        key = rows.kept(start.key)
        within = None if order is None else (order.scope.encode(), order.key.encode())
    except UnicodeEncodeError as error:
        raise unheld(start.execution, error) from error
    hashed: DedupeKey | None = None
    published: DedupeKey | None = None
    if dedupe is not None:
        spelt = dedupe.key.encode("utf-8", "surrogatepass")
        hashed = (flow.instance, flow.flow, blake2b(spelt, digest_size=16).digest())
        published = (flow.customer, "", hashed[2]) if dedupe.contents else None
    return PostgresStartRows(
        start,
        key,
        head,
        hashed,
        published,
        now + (dedupe.ttl if dedupe is not None else 0),
        within,
        tuple(rows.step(each) for each in start.copied),
    )


@dataclass(slots=True, eq=False)
class Acceptance:
    """A caller's starts to accept, with how many of them to claim, until when, and whether still.

    Its `cursors` move with them; where one of their fences is lost, it is `fenced`.
    """

    entries: Sequence[PostgresStartRows]
    now: Micros
    room: int
    until: Micros
    is_wanted: Callable[[], bool] = lambda: True
    cursors: Sequence[ShardCursor] = ()
    answers: list[Accepted] = field(default_factory=list[Accepted])

    def locks(self, locks: Locks) -> list[int]:
        orders = [locks.order(*each.order) for each in self.entries if each.order is not None]
        return orders + [locks.replay(each) for each in self.replayed]

    @property
    def replayed(self) -> set[str]:
        """The ids of the executions that it replays."""
        return {e.start.replay_of for e in self.entries if e.start.replay_of is not None}


@dataclass(slots=True)
class _Row:
    """An execution that is to be inserted."""

    entry: PostgresStartRows
    now: Micros
    held: int
    suspect: bool
    until: Micros | None
    back: Acceptance
    place: int
    standing: Standing | None

    @property
    def columns(self) -> tuple[Any, ...]:
        """Its values of `ACCEPTED`."""
        start, entry = self.entry.start, self.entry
        order, rule = entry.order or (None, None), start.order and rule_of(start.order)
        return (
            *(*reading.of_start(start, self.now), start.root, entry.key, *order, rule),
            *(entry.dedupe and entry.dedupe[2], self.held),
            *(int(start.parent is not None and start.bound), int(self.suspect), self.until),
        )


class Accepting:
    """Accepts what many callers brought, in one transaction."""

    def __init__(
        self, items: Sequence[Acceptance], worker: str, *, limited: bool, copies: bool = False
    ) -> None:
        """`limited` says that every customer has limits, so that nothing is claimed here; `copies`
        that the events are large, and the connection in no pipeline.
        """
        self._items = items
        self._worker = worker
        self._copies = copies
        self._limited = limited
        self._now = max(each.now for each in items)
        self._entries = [each for item in items for each in item.entries]
        self._firsts: Any = None
        self._closed: Any = None
        self._crashed: Any = None
        self._replays: Any = None
        self._continued: Any = None
        self._orphans = set[str]()
        self._locks: Any = None

    async def look(self, connection: Connection, locks: Locks) -> None:
        """Ask for what is needed to decide; the locks of orders are held already."""
        self._locks = locks
        await share(connection, locks.gates)
        if any(each.cursors for each in self._items):
            await self._move_cursors(connection)
        by_key: dict[DedupeKey, tuple[str, Micros]] = {}
        for each in self._entries:
            if each.dedupe is not None:
                by_key.setdefault(each.dedupe, (each.start.execution, each.expires_at))
            if each.published is not None:
                by_key.setdefault(each.published, (contents_of(each), each.expires_at))
        if by_key:
            keys = KEYS.of((*key, *by_key[key]) for key in sorted(by_key))
            values = (*keys, self._now, self._now)
            self._firsts = await connection.execute(TAKE_KEYS.encode(), values, binary=True)
        names = Texts({name for each in self._entries for name in pausable(each.start.flow)})
        self._closed = await connection.execute(CLOSED.encode(), (names, names), binary=True)
        parents = {e.start.parent for e in self._entries if e.start.parent is not None}
        self._orphans = await lineage.cancelled(connection, parents, self._now)
        if next := [each.start for each in self._entries if each.start.continues is not None]:
            links = {
                "chains": Texts(each.chain for each in next),
                "links": Numbers(each.link for each in next),
            }
            self._continued = await connection.execute(CONTINUED_BY.encode(), links, binary=True)
        if replayed := self._replayed():
            ids = Texts(replayed)
            self._crashed = await connection.execute(CRASHES, (ids, MOST_CRASHES) * 3, binary=True)
            self._replays = await connection.execute(LIVE_REPLAYS, (ids,), binary=True)

    async def _move_cursors(self, connection: Connection) -> None:
        """Move the cursors of items; one whose fence is lost is answered, and left out."""
        cursors = [each for item in self._items for each in item.cursors]
        keys = SHARDS.of(each.key.parts for each in cursors)
        found = await connection.execute(HOLD_SHARDS.encode(), keys, binary=True)
        fences = {row[:4]: row[4] for row in await found.fetchall()}
        kept, moved = list[Acceptance](), dict[ShardKey, ShardCursor]()
        for item in self._items:
            if all(fences.get(each.key.parts) == each.fence for each in item.cursors):
                kept.append(item)
                moved |= {each.key: each for each in item.cursors}
            else:
                item.answers[:] = [
                    Accepted(each.start.execution, fenced=True) for each in item.entries
                ]
        if moved:
            last = ((*key.parts, each.cursor, each.message_at) for key, each in moved.items())
            await connection.execute(MOVE_CURSORS.encode(), CURSORS.of(last))
        self._items = kept
        self._entries = [each for item in kept for each in item.entries]

    async def firsts(self) -> dict[DedupeKey, str]:
        """Return the first execution of each dedupe key."""
        return {(row[0], row[1], row[2]): row[3] for row in await fetched(self._firsts)}

    async def write(self, connection: Connection) -> list[Acceptance]:
        """Decide, and insert; fills in the answers."""
        firsts = await self.firsts()
        for each in self._entries:
            if each.published is not None and firsts[each.published] != contents_of(each):
                raise another_event()
        closed = set[tuple[str, int]](await fetched(self._closed))
        crashed: set[str] = {row[0] for row in await fetched(self._crashed)}
        replays: dict[str, str] = {row[0]: row[1] for row in await fetched(self._replays)}
        continued = {(row[0], row[1]): row[2] for row in await fetched(self._continued)}
        admission = await PostgresAdmission.look(connection, [each.start for each in self._entries])
        inserts: dict[str, _Row] = {}
        duplicates: Counter[str] = Counter()
        for item in self._items:
            item.answers.clear()
            room = item.room
            for each in item.entries:
                start = each.start
                first = duplicate_of(
                    start.execution, _holders(each, firsts, continued, replays, duplicates)
                )
                item.answers.append(Accepted(start.execution, duplicate_of=first))
                if first is not None or start.execution in inserts:
                    continue
                held, limited = gates_of(start.flow, closed, all_limited=self._limited)
                suspect = start.replay_of in crashed
                standing = admission.admit(start)
                begins = begin(
                    room,
                    held,
                    limited=limited,
                    suspect=suspect,
                    behind=standing is not None and not standing.has_turn,
                    orphan=start.parent in self._orphans,
                )
                room -= begins.runs
                if begins.runs:
                    admission.begins(start.execution)
                inserts[start.execution] = _Row(
                    each,
                    item.now,
                    begins.held,
                    suspect,
                    item.until if begins.runs else None,
                    item,
                    len(item.answers) - 1,
                    standing,
                )
        if inserts:
            kept = await self._insert(connection, inserts)
            for item in self._items:
                await refuse_outdated(connection, item)
            parents = {id: inserts[id].entry.start.parent or "" for id in kept}
            orphans = {id: each for id, each in parents.items() if each in self._orphans}
            await lineage.cancel_orphans(connection, orphans)
            await admission.enter(connection, self._locks, kept, self._now)
            self._answer(inserts, kept, admission)
        if duplicates:
            await _count(connection, duplicates)
        if replayed := [e for e in self._replayed() if not self._ends(e, inserts, admission)]:
            dismissed = await dismiss(connection, replayed)
            freed = await ordering.leave(connection, dismissed)
            await ordering.settle(connection, freed, self._now)
        return list(self._items)

    async def _insert(self, connection: Connection, inserts: dict[str, _Row]) -> set[str]:
        ids = Texts(inserts)
        values = (self._worker, *ACCEPTED.of(each.columns for each in inserts.values()))
        inserted = await connection.execute(INSERT.encode(), values, binary=True)
        if not self._copies:
            events = EVENTS.of(
                (id, each.event.received_at, each.event.part, row.entry.head, each.event.body)
                for id, row in inserts.items()
                for each in [row.entry.start]
            )
            await connection.execute(INSERT_EVENTS.encode(), events)
        since = min(made_at(each, self._now) for each in inserts) - DAY
        ended = await connection.execute(ENDED, (ids, ids, first_slot(since)), binary=True)
        kept = {row[0] for row in await inserted.fetchall()}
        over = kept & {row[0] for row in await ended.fetchall()}
        if over:
            await connection.execute(TAKE_BACK, (Texts(over), Texts(over)))
        kept -= over
        if self._copies:
            await _copy_events(connection, [inserts[id].entry for id in kept])
        copied = [(id, step) for id in kept for step in inserts[id].entry.copied]
        if copied:
            await connection.execute(INSERT_COPIED.encode(), rows.columns_of(copied))
        return kept

    def _answer(
        self, inserts: dict[str, _Row], kept: set[str], admission: PostgresAdmission
    ) -> None:
        for id in kept:
            row = inserts[id]
            claim = None
            if row.until is not None:
                start = row.entry.start
                lease = Lease(id, 1, row.until, start.order is not None, start.parent)
                claim = Claim(start, lease, 1, row.now, history=start.copied)
            if claim is not None or row.standing is not None:
                replaced = row.standing.replaced if row.standing is not None else ()
                outcome = admission.outcome(id)
                row.back.answers[row.place] = Accepted(id, None, claim, outcome, replaced)

    def _replayed(self) -> list[str]:
        return sorted(each for item in self._items for each in item.replayed)

    def _ends(self, replayed: str, inserts: dict[str, _Row], admission: PostgresAdmission) -> bool:
        """Return whether its replay ended at once: then it stays as it is."""
        return any(
            row.entry.start.replay_of == replayed and admission.outcome(id) is not None
            for id, row in inserts.items()
        )


def contents_of(entry: PostgresStartRows) -> str:
    """Return the digest of the contents that an event was published with."""
    return "" if entry.start.dedupe is None else entry.start.dedupe.contents


def _holders(
    entry: PostgresStartRows,
    firsts: Mapping[DedupeKey, str],
    continued: dict[tuple[str, int], str],
    replays: dict[str, str],
    duplicates: Counter[str],
) -> Iterator[str]:
    """Yield which executions have what a start wants; it takes what none has."""
    start = entry.start
    if entry.dedupe is not None:
        first = firsts[entry.dedupe]
        if first != start.execution:
            duplicates[first] += 1
        yield first
    if start.continues is not None and start.chain is not None:
        yield continued.setdefault((start.chain, start.link), start.execution)
    if start.replay_of is not None:
        yield replays.setdefault(start.replay_of, start.execution)


async def refuse_outdated(connection: Connection, item: Acceptance) -> None:
    """Raise `Outdated` where something newer has come since a replay was decided."""
    own = [each.start.execution for each in item.entries]
    found: list[Any] = []
    for each in item.entries:
        start, decided = each.start, each.start.decided
        if decided is not None and each.order is not None:
            values = {
                "instance": start.flow.instance,
                "flow": start.flow.flow,
                "scope": each.order[0],
                "order_key": each.order[1],
                "key": rows.kept(decided.key),
                "event_at": decided.event_at,
                "attempt": decided.attempt,
                "since": decided.since,
                "slot": first_slot(decided.since),
                "known": Texts([*decided.known, *own]),
            }
            found.append(await connection.execute(NEWER.encode(), values, binary=True))
    for each in found:
        if await each.fetchone():
            raise Outdated


async def _copy_events(connection: Connection, entries: Iterable[PostgresStartRows]) -> None:
    """Send events in pieces, as libpq would copy a large parameter again for each part that it sends."""
    async with connection.cursor() as cursor, cursor.copy(COPY_EVENTS) as copy:
        await copy.write(COPY_HEAD)
        for each in entries:
            event = each.start.event
            id = each.start.execution.encode()
            await copy.write(
                struct.pack(
                    f"!hi{len(id)}siqiqi{len(each.head)}si",
                    *(5, len(id), id, 8, event.received_at, 8, event.part),
                    *(len(each.head), each.head, len(event.body)),
                )
            )
            await copy.write(memoryview(event.body))
        await copy.write(COPY_END)


async def locks_of_replayed(
    connection: Connection, items: Sequence[Acceptance], locks: Locks
) -> list[int]:
    """The locks of the orders of what is replayed: it may block them."""
    replayed = Texts({each for item in items for each in item.replayed})
    if not replayed.values:
        return []
    cursor = await connection.execute(REPLAYED_ORDERS, (replayed,), binary=True)
    return [locks.order(*row) for row in await cursor.fetchall()]


async def _count(connection: Connection, duplicates: Counter[str]) -> None:
    left = dict(sorted(duplicates.items()))
    for sql in (COUNT_LIVE, COUNT_LETTERS, COUNT_HISTORY):
        cursor = await connection.execute(sql.encode(), COUNTS.of(left.items()), binary=True)
        for row in await cursor.fetchall():
            del left[row[0]]
        if not left:
            return
