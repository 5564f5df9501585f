"""Hold executions back and release them; the same rules as in store/gates.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from halflap.model import Micros
from halflap.store.gates import HELD_AT_ONCE, LIST, MOVING, PAUSED, repinning
from halflap.store.postgres.connecting import Connection, changed
from halflap.store.postgres.locking import Locks, lock
from halflap.store.protocol import Pinning
from halflap.store.recording import text

__all__ = ["LIST", "MOVING", "PAUSED", "HoldGate"]

CLOSE = """
INSERT INTO gates (name, bit, since, by, reason) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
OPEN = "DELETE FROM gates WHERE name = %(name)s AND bit = %(bit)s"
IS_CLOSED = "SELECT FROM gates WHERE name = %(name)s AND bit = %(bit)s"
# Locked, so that what begins to move it comes before this or after.
MOVES_OTHERWISE = "SELECT deployment <> %s FROM instances WHERE id = %s FOR SHARE"
MEANT = {
    "customer": "customer = %(owner)s",
    "instance": "instance = %(owner)s",
    "flow": "instance = %(owner)s AND flow = %(flow)s",
}
# ARRAY, since IN would let the planner run the inner select once for each row outside of it: with
# figures of a time when the table was nearly empty, it does.
HOLD = """
UPDATE executions SET held = held | %(bit)s WHERE id = ANY (ARRAY(
    SELECT id FROM executions WHERE {meant} AND held & %(bit)s = 0 AND flow NOT LIKE '$%%'
    ORDER BY id LIMIT %(most)s FOR NO KEY UPDATE))
"""
_REPINNED = "attempt = 0 AND replay_of IS NULL AND NOT bound AND flow = ANY (%(flows)s)"
LET_GO = f"""
UPDATE executions SET held = held & ~%(bit)s,
    version = CASE WHEN {_REPINNED} THEN %(version)s ELSE version END,
    revision = CASE WHEN {_REPINNED} THEN %(revision)s ELSE revision END
WHERE id = ANY (ARRAY(
    SELECT id FROM executions WHERE {{meant}} AND held & %(bit)s <> 0 AND NOT EXISTS (
        SELECT FROM gates WHERE bit = %(bit)s AND name <> %(name)s
            AND name IN (customer, instance, instance || '/' || flow))
    ORDER BY id LIMIT %(most)s FOR NO KEY UPDATE))
"""


@dataclass(frozen=True, slots=True)
class HoldGate:
    """A gate that holds executions back: its name, and the bit of `held` that they have."""

    name: str
    bit: int
    pinning: Pinning | None = None

    async def close(
        self, connection: Connection, locks: Locks, now: Micros, by: str = "", reason: str = ""
    ) -> bool:
        """Close it: whoever accepts now is waited for, whoever does so later sees it."""
        await lock(connection, [locks.gates])
        values = (self.name, self.bit, now, text(by).encode(), text(reason).encode())
        return await changed(connection, CLOSE, values) > 0

    async def is_closed(self, connection: Connection) -> bool:
        """Return whether it is closed."""
        cursor = await connection.execute(IS_CLOSED, self._values())
        return await cursor.fetchone() is not None

    async def hold(self, connection: Connection) -> bool:
        """Hold the next part of those back; True while there may be more."""
        return await self._part(connection, HOLD, HELD_AT_ONCE) == HELD_AT_ONCE

    async def let_go(self, connection: Connection) -> bool:
        """Let the next part go; True while there may be more."""
        if await self._moves_otherwise(connection):
            return False
        return await self._part(connection, LET_GO, HELD_AT_ONCE) == HELD_AT_ONCE

    async def open(self, connection: Connection, locks: Locks) -> None:
        """Open it, and let go whoever came meanwhile."""
        await lock(connection, [locks.gates])
        if not await self._moves_otherwise(connection):
            await self._part(connection, LET_GO, None)
            await connection.execute(OPEN, self._values())

    async def _moves_otherwise(self, connection: Connection) -> bool:
        if self.pinning is None or self.pinning.deployment is None:
            return False
        values = (self.pinning.deployment, self.name)
        row = await (await connection.execute(MOVES_OTHERWISE, values)).fetchone()
        return row is not None and bool(row[0])

    async def _part(self, connection: Connection, sql: str, most: int | None) -> int:
        kind = "customer" if self.name.startswith(("cus_", "$")) else "instance"
        meant = MEANT["flow" if "/" in self.name else kind]
        return await changed(connection, sql.format(meant=meant), self._values(most))

    def _values(self, most: int | None = None) -> dict[str, Any]:
        owner, _, flow = self.name.partition("/")
        return {
            "name": self.name,
            "bit": self.bit,
            "owner": owner,
            "flow": flow,
            "most": most,
            **repinning(self.pinning),
        }
