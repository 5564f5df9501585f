"""Events of app endpoints that no flow was there to take: the team's dead letters.

What is kept is bounded, since anybody who installs the team's app makes some: the newest of an
account and of an app, for a week. Only signed requests come so far.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from halflap.errors import NotFound
from halflap.model import Event, Micros, UnroutedEvent, new_id
from halflap.store.catalogue.table import CatalogueNoun
from halflap.store.job import JobTransaction

MOST_OF_ACCOUNT = 100
"""The newest events of one account that are kept."""
MOST_OF_APP = 1_000
"""The newest events of one app that are kept."""
KEPT_FOR: Micros = 7 * 86_400 * 1_000_000

INSERT = """
INSERT INTO unrouted_events (id, component, account, digest, reason, received_at, request)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (component, digest) DO UPDATE SET reason = excluded.reason
"""
CAPPED = """
DELETE FROM unrouted_events WHERE component = ? AND id <= (
    SELECT id FROM unrouted_events WHERE component = ? ORDER BY id DESC LIMIT 1 OFFSET ?)
"""
CAPPED_OF_ACCOUNT = """
DELETE FROM unrouted_events WHERE component = ? AND account = ? AND id <= (
    SELECT id FROM unrouted_events WHERE component = ? AND account = ?
    ORDER BY id DESC LIMIT 1 OFFSET ?)
"""
PRUNE = """
DELETE FROM unrouted_events WHERE id IN (
    SELECT id FROM unrouted_events WHERE received_at <= ? ORDER BY received_at LIMIT ?)
"""
# What somebody else's flows may still take stays.
FORGET = """
DELETE FROM unrouted_events
WHERE EXISTS (SELECT 1 FROM connections AS c WHERE c.customer = ? AND c.account <> ''
        AND c.component = unrouted_events.component AND c.account = unrouted_events.account)
    AND NOT EXISTS (SELECT 1 FROM connections AS c WHERE coalesce(c.customer, '') <> ?
        AND c.component = unrouted_events.component AND c.account = unrouted_events.account)
"""
SELECT = "SELECT id, component, account, reason, received_at FROM unrouted_events"


class UnroutedEvents(CatalogueNoun):
    """Stores what no flow took, and finds it for a replay."""

    async def keep(
        self, component: str, account: str, digest: str, reason: str, event: Event
    ) -> None:
        """Store an event, durably; one that is there already is kept once."""
        now = self._clock()
        id = new_id("unr", now=now)
        row = (id, component, account, digest, reason, now, msgspec.msgpack.encode(event))

        def job(connection: JobTransaction) -> None:
            connection.execute(INSERT, row)
            connection.execute(CAPPED, (component, component, MOST_OF_APP))
            owner = (component, account)
            connection.execute(CAPPED_OF_ACCOUNT, (*owner, *owner, MOST_OF_ACCOUNT))

        await self._writer.note(job)

    async def list(
        self, component: str, *, before: str | None, limit: int
    ) -> Sequence[UnroutedEvent]:
        """Return events of an app, newest first: so many of those before an id."""
        sql = f"{SELECT} WHERE component = ? AND id < ? ORDER BY id DESC LIMIT {limit:d}"
        rows = await self._writer.rows(sql, (component, before or "~"))
        return [UnroutedEvent(*each) for each in rows]

    async def get(self, component: str, id: str) -> UnroutedEvent:
        """Return an event of an app, whole; raises `NotFound`."""
        sql = f"{SELECT.replace(' FROM', ', request FROM')} WHERE component = ? AND id = ?"
        row = await self._writer.row(sql, component, id)
        if row is None:
            raise missing(id)
        *found, request = row
        return UnroutedEvent(*found, event=msgspec.msgpack.decode(request, type=Event))

    async def remove(self, component: str, id: str) -> None:
        """Remove an event of an app; raises `NotFound`."""
        sql = "DELETE FROM unrouted_events WHERE component = ? AND id = ?"
        await self._writer.note_by(sql, component, id, lacking=missing(id))

    async def forget(self, customer: str) -> None:
        """Remove what came for the accounts that a customer alone has connected."""
        await self._writer.note_by(FORGET, customer, customer)

    async def prune(self, most: int) -> bool:
        """Remove some of what was kept for long enough; returns whether there may be more."""
        until = self._clock() - KEPT_FOR
        return await self._writer.note_by(PRUNE, until, most) == most


def missing(id: str) -> NotFound:
    """Return the error for an event that is not there, or no longer."""
    return NotFound(f"there is no unrouted event {id!r}; see: halflap oauth-apps unrouted")
