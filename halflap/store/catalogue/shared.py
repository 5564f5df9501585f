"""Shared endpoints: URLs that take the events of all customers of an integration."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from halflap.errors import NotFound
from halflap.model import Micros, SharedEndpoint, Version, owner_of, type_id_alphabet
from halflap.sdk.signature import new_secret
from halflap.store.catalogue import instances
from halflap.store.catalogue.table import CatalogueNoun
from halflap.store.catalogue.writer import Refused, one
from halflap.store.job import JobTransaction

SELECT = "SELECT id, integration, flow, version FROM shared_endpoints"
PREFIX = "hs_"
"""The prefix of the id of a shared endpoint; that of an instance's is `hk_`."""
PRODUCTION = "production"
OVERLAP: Micros = 24 * 3_600 * 1_000_000
"""The time for which the former secret is good, after it was changed."""
RUNS = """
SELECT versions.hash, versions.integration, number, published_at, note FROM versions
LEFT JOIN targets ON targets.version = versions.hash AND targets.target = ?
WHERE versions.integration = ?
ORDER BY CASE WHEN versions.hash = ? THEN 0 WHEN targets.target IS NOT NULL THEN 1 ELSE 2 END,
    number DESC LIMIT 1
"""


class SharedEndpoints(CatalogueNoun):
    """Makes and finds shared endpoints, and keeps what signs for them."""

    async def ensure(self, integration: str, flows: Sequence[str]) -> dict[str, SharedEndpoint]:
        """See to it that each of these flows has its endpoint; returns all of the integration's.

        Those that are there stay, with their URL and secret, whatever version comes or goes.
        """
        there = await self.of_integration(integration)
        if all(flow in there for flow in flows):
            return there
        now = self._clock()

        def job(connection: JobTransaction) -> dict[str, SharedEndpoint]:
            there = _all(connection.execute(f"{SELECT} WHERE integration = ?", (integration,)))
            for flow in flows:
                if flow not in there:
                    made = unguessable(PREFIX)
                    sealed = self._vault.seal(new_secret(), place(integration, made))
                    connection.execute(
                        "INSERT INTO shared_endpoints (id, integration, flow, secret, made_at)"
                        " VALUES (?, ?, ?, ?, ?)",
                        (made, integration, flow, sealed, now),
                    )
            return _all(connection.execute(f"{SELECT} WHERE integration = ?", (integration,)))

        return await self._writer.change(job)

    async def of_integration(self, integration: str) -> dict[str, SharedEndpoint]:
        """An integration's shared endpoints by flow."""
        return _all(
            await self._writer.rows(f"{SELECT} WHERE integration = ? ORDER BY flow", (integration,))
        )

    async def find(self, endpoint: str) -> SharedEndpoint | None:
        """The shared endpoint of an id; None where there is none."""
        row = await self._writer.row(f"{SELECT} WHERE id = ?", endpoint)
        return None if row is None else SharedEndpoint(*row)

    async def version(self, endpoint: SharedEndpoint) -> Version | None:
        """The version that runs what comes in: the one picked, else production's, else the newest."""
        named = (PRODUCTION, endpoint.integration, endpoint.version or "")
        row = await self._writer.row(RUNS, *named)
        return None if row is None else Version(*row)

    async def secrets(self, endpoint: str) -> tuple[str, ...]:
        """Return the secrets that may sign for an endpoint, in the clear: its own, and for a day
        the former one.
        """
        sql = "SELECT integration, secret, former, former_until FROM shared_endpoints WHERE id = ?"
        row = await self._writer.row(sql, endpoint)
        if row is None:
            raise missing()
        return self._signers(place(row[0], endpoint), *row[1:])

    async def set_secret(self, endpoint: str, secret: str | None = None) -> str:
        """Give an endpoint another secret: the app's own, or a new one of ours; returns it.

        What was signed with the one before is taken for another day.
        """
        chosen = secret or new_secret()
        now = self._clock()

        def job(connection: JobTransaction) -> str | Refused:
            row = one(
                connection,
                "SELECT integration, secret FROM shared_endpoints WHERE id = ?",
                endpoint,
            )
            if row is None:
                return missing()
            sealed = self._vault.seal(chosen, place(row[0], endpoint))
            connection.execute(
                "UPDATE shared_endpoints SET secret = ?, former = ?, former_until = ? WHERE id = ?",
                (sealed, row[1], now + OVERLAP, endpoint),
            )
            return chosen

        return await self._writer.change(job)

    async def pick(self, endpoint: str, version: str | None) -> None:
        """Have a version (by hash) run what comes in; None: production's, else the newest."""

        def job(connection: JobTransaction) -> Refused | None:
            row = one(connection, "SELECT integration FROM shared_endpoints WHERE id = ?", endpoint)
            if row is None:
                return missing()
            if version is not None:
                unfit = instances.unfit_version(connection, row[0], version)
                if unfit is not None:
                    return unfit
            connection.execute(
                "UPDATE shared_endpoints SET version = ? WHERE id = ?", (version, endpoint)
            )
            return None

        await self._writer.change(job)


def unguessable(prefix: str) -> str:
    """Return a new endpoint's id: 130 random bits, since whoever knows it may send."""
    return prefix + "".join(secrets.choice(type_id_alphabet) for _ in range(26))


def place(integration: str, endpoint: str) -> tuple[str, str, str]:
    """Where a shared endpoint's secret is sealed."""
    return owner_of(integration), endpoint, "secret"


def _all(rows: Any) -> dict[str, SharedEndpoint]:
    return {row[2]: SharedEndpoint(*row) for row in rows}


def missing() -> NotFound:
    """Says that there is no such endpoint."""
    return NotFound("there is no such shared endpoint; see: halflap integrations endpoint")
