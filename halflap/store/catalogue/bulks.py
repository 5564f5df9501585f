"""Bulk operations on executions: the request, and the progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from halflap.model import Bulk, Micros, Refusal
from halflap.store.catalogue.table import IdentifiedTable
from halflap.store.catalogue.writer import Wanted, containing, marks, one
from halflap.store.job import JobTransaction, json_text

COLUMNS = (
    "id, verb, wanted, state, total, done, refused, refusals, after, reason, made_at, ended_at"
)
SELECT = f"SELECT {COLUMNS} FROM bulks"
TAKE = """
UPDATE bulks SET worker = ?, lease_until = ?
WHERE id = ? AND state = 'running' AND (worker = ? OR lease_until < ?)
"""
GO_ON = """
UPDATE bulks SET done = ?, refused = ?, refusals = ?, after = ?, lease_until = ?
WHERE id = ? AND state IN ('running', 'paused') AND worker = ?
"""
END = """
UPDATE bulks SET state = ?, reason = ?, ended_at = ? WHERE id = ? AND state IN ('running', 'paused')
"""
PAUSE = "UPDATE bulks SET state = 'paused', reason = ? WHERE id = ? AND state = 'running'"
RESUME = """
UPDATE bulks SET state = 'running', reason = '', worker = '', lease_until = 0, wanted = ?
WHERE id = ? AND state = 'paused'
"""

FORGET = """
DELETE FROM bulks WHERE verb <> 'upgrade' AND (wanted LIKE ? ESCAPE '!' OR wanted LIKE ? ESCAPE '!')
"""

LIVE = ("running", "paused")

_refusals = msgspec.json.Decoder(tuple[dict[str, str], ...])


def read(row: Any) -> Bulk:
    """A row of `SELECT`."""
    return Bulk(
        id=row[0],
        verb=row[1],
        wanted=msgspec.json.decode(row[2]),
        state=row[3],
        total=row[4],
        done=row[5],
        refused=row[6],
        # Version 0.1.0 wrote `execution`.
        refusals=tuple(
            Refusal(each.get("id") or each["execution"], each["why"])
            for each in _refusals.decode(row[7])
        ),
        after=row[8],
        reason=row[9],
        made_at=row[10],
        ended_at=row[11],
    )


class Bulks(IdentifiedTable[Bulk]):
    """Keeps bulks; one worker at a time drives each, and the next one goes on where it ended."""

    _select = SELECT
    _lacking = "no bulk has the id {!r}; see: halflap bulks list"
    _read = staticmethod(read)

    async def add(self, bulk: Bulk) -> None:
        """Keep a new bulk."""
        sql = (
            "INSERT INTO bulks (id, verb, wanted, state, total, made_at) VALUES (?, ?, ?, ?, ?, ?)"
        )
        values = (bulk.id, bulk.verb, json_text(bulk.wanted), bulk.state, bulk.total, bulk.made_at)
        await self._writer.note_by(sql, *values)

    async def list(
        self,
        before: str | None,
        limit: int,
        upgrades_of: str | None = None,
        verbs: Sequence[str] = (),
        states: Sequence[str] = (),
    ) -> Sequence[Bulk]:
        """Return so many bulks, newest first, of those before an id; with these verbs and states alone.

        With `upgrades_of` only those that move instances of an integration.
        """
        # `wanted` is compact JSON, and an integration's name has nothing that JSON escapes.
        part = None if upgrades_of is None else containing(f'"integration":"{upgrades_of}"')
        upgrades = "verb = 'upgrade' AND wanted LIKE ? ESCAPE '!'"
        wanted: Wanted = {
            "id < ?": before,
            upgrades: part,
            f"verb IN ({marks(verbs)})": tuple(verbs) or None,
            f"state IN ({marks(states)})": tuple(states) or None,
        }
        return await self._page(wanted, "id DESC", limit)

    async def replaying(self, instance: str) -> Bulk | None:
        """Return a bulk that replays executions of an instance, and has not ended."""
        part = containing(f'"instance":"{instance}"')
        live = f"verb = 'replay' AND state IN ({marks(LIVE)})"
        where = f"WHERE wanted LIKE ? ESCAPE '!' AND {live} ORDER BY id LIMIT 1"
        return await self._find(where, part, *LIVE)

    async def forget(self, owner: str) -> None:
        """Remove the bulks whose filter names a customer or an instance, by id."""
        owners = [containing(f'"{name}":"{owner}"') for name in ("customer", "instance")]
        await self._writer.note_by(FORGET, *owners)

    async def running(self) -> Sequence[Bulk]:
        """Return the bulks that are driven now, oldest first."""
        return await self._all("WHERE state = 'running' ORDER BY id")

    async def take(self, bulk: str, worker: str, lease: Micros) -> bool:
        """Return whether a worker may drive a bulk from now on, for so long."""
        now = self._clock()
        return await self._writer.note_by(TAKE, worker, now + lease, bulk, worker, now) > 0

    async def go_on(self, bulk: Bulk, worker: str, lease: Micros) -> bool:
        """Note how far it has come, and prolong the lease; False where it is not to go on.

        With the state `paused` it is paused with that, for the reason that it has.
        """
        kept = json_text(bulk.refusals)
        until = self._clock() + lease
        values = (bulk.done, bulk.refused, kept, bulk.after, until, bulk.id, worker)

        def job(connection: JobTransaction) -> bool:
            if connection.execute(GO_ON, values).rowcount == 0:
                return False
            if bulk.state == "paused":
                connection.execute(PAUSE, (bulk.reason, bulk.id))
            return one(connection, "SELECT state FROM bulks WHERE id = ?", bulk.id)[0] == "running"

        return await self._writer.note(job)

    async def pause(self, bulk: str, reason: str) -> bool:
        """Pause a bulk; False where it does not run."""
        return await self._turn(bulk, PAUSE, reason, bulk)

    async def resume(self, bulk: str, wanted: Mapping[str, Any]) -> bool:
        """Let a bulk go on that is paused, with what is wanted from now on; False where it is not."""
        return await self._turn(bulk, RESUME, json_text(wanted), bulk)

    async def end(self, bulk: str, state: str, reason: str = "") -> bool:
        """End a bulk; False where it had ended already."""
        return await self._turn(bulk, END, state, reason, self._clock(), bulk)

    async def _turn(self, bulk: str, sql: str, *values: object) -> bool:
        def job(connection: JobTransaction, _: Bulk) -> bool:
            return connection.execute(sql, values).rowcount > 0

        return await self._writer.note(self.job_of(bulk, job))


MOST_REFUSALS = 50
"""Of how many refused executions is kept why; all are counted."""
