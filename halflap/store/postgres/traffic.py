"""Traffic, where that differs on PostgreSQL: other processes hear of it, and share a connection."""

from __future__ import annotations

from typing import Any

from halflap.model import CustomerLimits, CustomerLoad, Micros
from halflap.store import traffic
from halflap.store.postgres import limiting
from halflap.store.postgres.connecting import Connection
from halflap.store.postgres.database import PostgresWays
from halflap.store.postgres.hints import PostgresHints

LATELY: Micros = 30_000_000
"""The time for which a worker counts as a user of a connection."""
CALL = """
INSERT INTO callers VALUES (%s, %s, %s)
ON CONFLICT (connection, worker) DO UPDATE SET seen_at = excluded.seen_at
"""
FORGET = "DELETE FROM callers WHERE connection = %s AND seen_at < %s"
CALLERS = "SELECT count(*) FROM callers WHERE connection = %s"


class PostgresTraffic(traffic.Traffic):
    """The amounts of executions that may run, and of calls (see store/protocol.py)."""

    hints: PostgresHints
    _database: PostgresWays
    _worker: str

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
