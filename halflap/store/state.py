"""The state in SQLite: read and listed, and changed where no execution does it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from halflap.model import Micros, StateWrite
from halflap.store.catalogue.writer import conditions, marks
from halflap.store.protocol import Written
from halflap.store.recording import read_state, write_state
from halflap.store.rules.state import changes
from halflap.store.sqlite import Ways

CLEAR = """
DELETE FROM state WHERE (scope, key) IN
    (SELECT scope, key FROM state WHERE scope = ? LIMIT ?)
"""
CLEAR_BELOW = """
DELETE FROM state WHERE (scope, key) IN
    (SELECT scope, key FROM state WHERE scope >= ? AND scope < ? LIMIT ?)
"""


class StateVerbs:
    """The verbs of the journal that are about its state alone (see store/protocol.py)."""

    _database: Ways
    _clock: Callable[[], Micros]

    async def read_state(self, scope: str, key: str) -> bytes | None:
        return await self._database.read(lambda connection: read_state(connection, scope, key))

    async def read_states(self, scopes: Sequence[str], key: str) -> dict[str, bytes]:
        sql = f"SELECT scope, value FROM state WHERE scope IN ({marks(scopes)}) AND key = ?"
        values = (*scopes, key)
        return dict(await self._database.read(lambda c: c.execute(sql, values).fetchall()))

    async def list_state(
        self,
        scope: str,
        *,
        after: str | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> dict[str, bytes]:
        where, bounds = conditions({"scope = ?": scope, "key > ?": after, "key < ?": before})
        sql = f"SELECT key, value FROM state {where} ORDER BY key LIMIT ?"
        values = (*bounds, -1 if limit is None else limit)
        return dict(await self._database.read(lambda c: c.execute(sql, values).fetchall()))

    async def write_state(self, writes: Sequence[StateWrite]) -> Written:
        now = self._clock()
        changed = changes(writes)

        def job(connection: sqlite3.Connection) -> Written:
            return Written.DONE if write_state(connection, changed, now) else Written.CONFLICT

        return await self._database.write(job)

    async def clear_state(self, scopes: Sequence[str], limit: int) -> int:
        def job(connection: sqlite3.Connection) -> int:
            removed = 0
            for scope in scopes:
                left = limit - removed
                if scope.endswith(":"):
                    below = (scope, scope[:-1] + ";", left)  # `;` comes right after `:`
                    removed += connection.execute(CLEAR_BELOW, below).rowcount
                else:
                    removed += connection.execute(CLEAR, (scope, left)).rowcount
            return removed

        return await self._database.write(job)
