"""What orders make of new executions: a turn, a place behind others, or their end at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from halflap.model import Micros, Order, Outcome, Start
from halflap.store.place import superseded, verdict
from halflap.store.postgres import ending, lineage, ordering
from halflap.store.postgres.columns import Blobs, Texts
from halflap.store.postgres.connecting import Connection
from halflap.store.postgres.locking import Locks

ROOM = """
SELECT n.name, count(turn), coalesce(min(width), 2^31)::bigint, count(*) FILTER (WHERE back_at > 0),
    EXISTS (SELECT FROM orders WHERE orders.name = n.name AND NOT turn)
FROM unnest(%s::bytea[]) AS n (name)
LEFT JOIN orders ON orders.name = n.name AND turn GROUP BY n.name
"""
OTHERS = """
SELECT name, orders.execution, executions.attempt > 0, turn FROM orders
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


@dataclass(slots=True)
class _Other:
    execution: str
    has_begun: bool
    has_turn: bool


@dataclass(slots=True)
class _Line:
    """An order as the next new one finds it."""

    turns: int = 0
    width: int = 2**31
    aside: int = 0
    some_wait: bool = False
    others: list[_Other] = field(default_factory=list[_Other])


@dataclass(slots=True)
class Standing:
    """Where a new execution stands in its order; `outcome` is set where it ends at once."""

    name: bytes
    order: Order
    has_turn: bool
    inherits_from: str | None = None
    outcome: Outcome | None = None
    replaced: tuple[str, ...] = ()


class Admission:
    """Decides about new executions one after another; the locks of their orders are held."""

    def __init__(self) -> None:
        self._names: dict[ordering.Name, bytes] = {}
        self._lines: dict[bytes, _Line] = {}
        self._there: set[str] = set()
        self._kept: dict[str, bytes] = {}
        self._new: dict[str, Standing] = {}
        self._ended: dict[str, Outcome] = {}

    @classmethod
    async def look(cls, connection: Connection, starts: Collection[Start]) -> Admission:
        """See who is in the orders of starts."""
        self = cls()
        orders = [(each, each.order) for each in starts if each.order is not None]
        if not orders:
            return self
        self._names = await ordering.names_of(connection, {_key(order) for _, order in orders})
        names = Blobs(set(self._names.values()))
        room = await connection.execute(ROOM, (names,), binary=True)
        replayed = Texts({s.replay_of for s, _ in orders if s.replay_of is not None})
        kept: Any = None
        if replayed.values:
            kept = await connection.execute(KEPT, (replayed,), binary=True)
        picky = [(start, order) for start, order in orders if order.when_busy != "wait"]
        others: Any = None
        there: Any = None
        if picky:
            of = Blobs({self._names[_key(order)] for _, order in picky})
            await connection.execute(ordering.LOCK_TURNS, (of,))
            others = await connection.execute(OTHERS, (of,), binary=True)
            ids = Texts(start.execution for start, _ in picky)
            there = await connection.execute(THERE, {"ids": ids}, binary=True)
        self._lines = {row[0]: _Line(*row[1:]) for row in await room.fetchall()}
        if kept is not None:
            self._kept = dict(await kept.fetchall())
        if picky:
            for name, *other in await others.fetchall():
                self._lines[name].others.append(_Other(*other))
            self._there = {row[0] for row in await there.fetchall()}
        return self

    def admit(self, start: Start) -> Standing | None:
        """What a start's order makes of it; None where it has no order."""
        order = start.order
        if order is None:
            return None
        name = self._names[_key(order)]
        line = self._lines[name]
        replaced: list[str] = []
        if order.when_busy != "wait" and start.execution not in self._there:
            others = [(each.execution, each.has_begun) for each in line.others]
            outcome, replaced = verdict(order, start.replay_of is not None, others)
            if outcome is not None:
                self._ended[start.execution] = outcome
                return self._note(start, Standing(name, order, has_turn=False, outcome=outcome))
            self._replace(line, replaced, superseded(start.execution))
        before = tuple(each for each in replaced if each not in self._new)
        if start.replay_of is not None and self._kept.get(start.replay_of) == name:
            del self._kept[start.replay_of]
            return self._note(start, Standing(name, order, True, start.replay_of))
        has_turn = line.turns < min(order.width, line.width) and not line.some_wait
        if has_turn:
            line.turns, line.width = line.turns + 1, min(order.width, line.width)
        line.some_wait |= not has_turn
        return self._note(start, Standing(name, order, has_turn, replaced=before))

    def begins(self, execution: str) -> None:
        """A new one was claimed at once: nobody takes its place any more."""
        if (standing := self._new.get(execution)) is not None:
            self._lines[standing.name].others[-1].has_begun = True

    def outcome(self, execution: str) -> Outcome | None:
        """How a new one ended, where it did."""
        return self._ended.get(execution)

    async def enter(
        self, connection: Connection, locks: Locks, kept: set[str], now: Micros
    ) -> None:
        """Write it all down, once the executions are inserted; `kept`: those that were."""
        if not self._new:
            return
        live = {id: e for id, e in self._new.items() if id in kept and id not in self._ended}
        if inherited := [(id, e) for id, e in live.items() if e.inherits_from is not None]:
            await ordering.inherit(
                connection, [(e.inherits_from or "", id, e.order) for id, e in inherited]
            )
        entered = [
            (e.name, id, e.order, e.has_turn) for id, e in live.items() if not e.inherits_from
        ]
        if entered:
            await ordering.enter(connection, entered)
        # One that was there already took no place, so nobody waits for it.
        unsure = {e.name: e.order.width for id, e in self._new.items() if id not in kept}
        behind = [e for e in live.values() if not e.has_turn and self._lines[e.name].aside]
        ordering.wider(unsure, {each.name: each.order.width for each in behind})
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
        told = await lineage.parents_of(connection, locks, over)
        left = await ending.left(connection, over)
        await ending.move(connection, ends, left, live=left)
        ordering.wider(unsure, await ordering.leave(connection, over))
        ordering.wider(unsure, await lineage.tell(connection, told, now))
        cancelled = [each.execution for each in ends if each.state == "cancelled"]
        await lineage.cancel_children(connection, cancelled, now)

    def _replace(self, line: _Line, executions: Iterable[str], outcome: Outcome) -> None:
        gone = dict.fromkeys(executions, outcome)
        self._ended |= gone
        line.turns -= sum(each.has_turn for each in line.others if each.execution in gone)
        line.others = [each for each in line.others if each.execution not in gone]
        line.some_wait = any(not each.has_turn for each in line.others)

    def _note(self, start: Start, standing: Standing) -> Standing:
        self._new[start.execution] = standing
        if standing.outcome is None:
            other = _Other(start.execution, has_begun=False, has_turn=standing.has_turn)
            self._lines[standing.name].others.append(other)
        return standing


def _key(order: Order) -> ordering.Name:
    return order.scope.encode(), order.key.encode()


def _end(execution: str, outcome: Outcome, now: Micros) -> ending.End:
    return ending.End(execution, outcome.state, now, outcome.reason.encode(), None, None)
