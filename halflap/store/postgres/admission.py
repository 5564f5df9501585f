"""Decide orders' answers to new executions: a turn, a place behind others, or their end at once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from halflap.model import Micros, Order, Outcome, Start
from halflap.store.postgres import ending, lineage, ordering
from halflap.store.postgres.columns import Blobs, Texts
from halflap.store.postgres.connecting import Connection, fetched
from halflap.store.postgres.locking import Locks
from halflap.store.reading import IS_PARKED
from halflap.store.rules.admission import (
    ANY_WIDTH,
    Member,
    OrderLine,
    Standing,
    admit,
    asks_for_members,
    superseded_by,
)
from halflap.store.rules.ending import consequences

LINES = f"""
SELECT n.name, count(turn), coalesce(min(width), {ANY_WIDTH}), count(*) FILTER (WHERE back_at > 0),
    EXISTS (SELECT FROM orders WHERE orders.name = n.name AND NOT turn)
FROM unnest(%s::bytea[]) AS n (name)
LEFT JOIN orders ON orders.name = n.name AND turn GROUP BY n.name
"""
MEMBERS = f"""
SELECT name, orders.execution, executions.attempt > 0 OR link > 0, turn, {IS_PARKED} FROM orders
JOIN executions ON executions.id = orders.execution WHERE name = ANY(%s) ORDER BY place
"""
THERE = """
SELECT id FROM executions WHERE id = ANY(%(ids)s) UNION ALL
SELECT id FROM letters WHERE id = ANY(%(ids)s) UNION ALL
SELECT id FROM history WHERE id = ANY(%(ids)s)
"""
# Those that are replayed, and failed in an order that they block.
KEPT = """
SELECT execution, name FROM orders WHERE execution = ANY(%s) AND blocks
    AND NOT EXISTS (SELECT FROM executions WHERE id = orders.execution)
"""


class PostgresAdmission:
    """Decides about new executions one after another; the locks of their orders are held."""

    def __init__(self) -> None:
        self._names: dict[ordering.Name, bytes] = {}
        self._lines: dict[bytes, OrderLine] = {}
        self._there: set[str] = set()
        self._new: dict[str, tuple[bytes, Standing]] = {}
        self._ended: dict[str, Outcome] = {}

    @classmethod
    async def look(cls, connection: Connection, starts: Collection[Start]) -> PostgresAdmission:
        """Read the orders of starts."""
        self = cls()
        orders = [(each, each.order) for each in starts if each.order is not None]
        if not orders:
            return self
        self._names = await ordering.names_of(connection, {_key(order) for _, order in orders})
        names = Blobs(set(self._names.values()))
        found = await connection.execute(LINES.encode(), (names,), binary=True)
        replayed = Texts({s.replay_of for s, _ in orders if s.replay_of is not None})
        kept = others = there = None
        if replayed.values:
            kept = await connection.execute(KEPT, (replayed,), binary=True)
        asking = [(start, order) for start, order in orders if asks_for_members(order)]
        if asking:
            of = Blobs({self._names[_key(order)] for _, order in asking})
            await connection.execute(ordering.LOCK_TURNS, (of,))
            others = await connection.execute(MEMBERS, (of,), binary=True)
            ids = Texts(start.execution for start, _ in asking)
            there = await connection.execute(THERE, {"ids": ids}, binary=True)
        keeping: dict[bytes, set[str]] = {}
        members: dict[bytes, list[Member]] = {}
        lines: list[Any] = await found.fetchall()
        for execution, name in await fetched(kept):
            keeping.setdefault(name, set()).add(execution)
        for name, *member in await fetched(others):
            members.setdefault(name, []).append(Member(*member))
        self._there = {row[0] for row in await fetched(there)}
        self._lines = {
            name: OrderLine(
                turns,
                width,
                aside,
                some_wait,
                members=tuple(members.get(name, ())),
                kept=frozenset(keeping.get(name, ())),
            )
            for name, turns, width, aside, some_wait in lines
        }
        return self

    def admit(self, start: Start) -> Standing | None:
        """Decide where a start stands in its order; None where it has none."""
        order = start.order
        if order is None:
            return None
        name = self._names[_key(order)]
        is_there = start.execution in self._there
        line = self._lines[name]
        standing = admit(line, start, order, is_there=is_there)
        self._lines[name] = line.after(start.execution, standing)
        self._ended |= dict.fromkeys(standing.replaced, superseded_by(start))
        if standing.outcome is not None:
            self._ended[start.execution] = standing.outcome
        before = tuple(each for each in standing.replaced if each not in self._new)
        standing = replace(standing, replaced=before)
        self._new[start.execution] = name, standing
        return standing

    def begins(self, execution: str) -> None:
        """Note that a new one was claimed at once: nothing takes its place any more."""
        if execution in self._new:
            name, _ = self._new[execution]
            self._lines[name] = self._lines[name].begun(execution)

    def outcome(self, execution: str) -> Outcome | None:
        """Return how a new one ended, where it did."""
        return self._ended.get(execution)

    async def enter(
        self, connection: Connection, locks: Locks, kept: set[str], now: Micros
    ) -> None:
        """Write it all down, once the executions are inserted; `kept`: those that were."""
        if not self._new:
            return
        live = {
            id: (name, each)
            for id, (name, each) in self._new.items()
            if id in kept and id not in self._ended
        }
        if inherited := [(id, e) for id, (_, e) in live.items() if e.inherits_from is not None]:
            await ordering.inherit(
                connection, [(e.inherits_from or "", id, e.order) for id, e in inherited]
            )
        entered = [
            (name, id, e.order, e.has_turn) for id, (name, e) in live.items() if not e.inherits_from
        ]
        if entered:
            await ordering.enter(connection, entered)
        # One that was there already took no place, so nobody waits for it.
        unsure = {name: e.order.width for id, (name, e) in self._new.items() if id not in kept}
        settling = {name: each.order.width for name, each in live.values() if each.settles}
        ordering.wider(unsure, settling)
        await self._end(connection, locks, kept, unsure, now)
        await ordering.settle(connection, unsure, now)

    async def _end(
        self,
        connection: Connection,
        locks: Locks,
        kept: set[str],
        unsure: ordering.Widths,
        now: Micros,
    ) -> None:
        over = [id for id in self._ended if id in kept or id not in self._new]
        if not over:
            return
        ends = [_end(id, self._ended[id], now) for id in over]
        told = await lineage.locked_parents_of(connection, locks, over)
        left = await ending.left(connection, over)
        await ending.move(connection, ends, left, live=left)
        after = {
            id: consequences(self._ended[id].state, ordered=True, parent=told.get(id), child=id)
            for id in over
        }
        ordering.wider(unsure, await lineage.follow(connection, after, now))


def _key(order: Order) -> ordering.Name:
    return order.scope.encode(), order.key.encode()


def _end(execution: str, outcome: Outcome, now: Micros) -> ending.End:
    return ending.End(execution, outcome.state, now, outcome.reason.encode(), None, None)
