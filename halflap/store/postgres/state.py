"""The state in PostgreSQL: read and listed, and changed where no execution does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halflap.model import StateWrite
from halflap.store.catalogue.writer import conditions
from halflap.store.postgres import rows
from halflap.store.postgres.batching import Gathering
from halflap.store.postgres.columns import Blobs
from halflap.store.postgres.connecting import Connection, changed
from halflap.store.postgres.database import PostgresWays
from halflap.store.postgres.locking import Locks, lock
from halflap.store.postgres.recording import DELETE_STATE, Writing
from halflap.store.protocol import Written

READ = "SELECT value FROM state WHERE scope = %s AND key = %s"
READ_EACH = "SELECT scope, value FROM state WHERE scope = ANY(%s) AND key = %s"
SOME = "SELECT scope, key FROM state WHERE {where} ORDER BY scope, key LIMIT %s"


class PostgresState:
    """The verbs of the journal that are about its state alone (see store/protocol.py)."""

    _database: PostgresWays
    _locks: Locks
    _gathering: Gathering[Any]

    async def read_state(self, scope: str, key: str) -> bytes | None:
        found = await self._database.fetch(READ, (scope.encode(), key.encode()))
        return found[0][0] if found else None

    async def read_states(self, scopes: Sequence[str], key: str) -> dict[str, bytes]:
        wanted = (Blobs(map(str.encode, scopes)), key.encode())
        found = await self._database.fetch(READ_EACH, wanted)
        return {scope.decode(): value for scope, value in found}

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
        return (
            await self._gathering.post(Writing.of(None, self._database.clock(), writes=writes))
        ).answer

    async def clear_state(self, scopes: Sequence[str], limit: int) -> int:
        async def job(connection: Connection) -> int:
            removed = 0
            for scope in scopes:
                where, values = "scope = %s", [scope.encode()]
                if scope.endswith(":"):
                    where = "scope >= %s AND scope < %s"
                    values.append(scope[:-1].encode() + b";")  # `;` comes right after `:`
                found = await connection.execute(
                    SOME.format(where=where).encode(), (*values, limit - removed), binary=True
                )
                keys: list[Any] = await found.fetchall()
                await lock(connection, [self._locks.state(*key) for key in keys])
                columns = (Blobs(key[0] for key in keys), Blobs(key[1] for key in keys))
                removed += await changed(connection, DELETE_STATE, columns)
            return removed

        return await self._database.write(job)
