"""Shared endpoints: URLs that take the events of all customers of an integration."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from halflap.errors import NotFound
from halflap.model import Clock, Micros, SharedEndpoint, Version, owner_of, type_id_alphabet
from halflap.sdk.signature import new_secret
from halflap.store.catalogue import instances
from halflap.store.catalogue.writer import CatalogueWriter, Refused, one
from halflap.store.job import JobTransaction
from halflap.store.vault import Vault

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


class SharedEndpoints:
    """Makes and finds shared endpoints, and keeps what signs for them."""

    def __init__(self, writer: CatalogueWriter, vault: Vault, clock: Clock) -> None:
        self._writer = writer
        self._vault = vault
        self._clock = clock

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
        rows = await self._writer.rows(f"{SELECT} WHERE id = ?", (endpoint,))
        return SharedEndpoint(*rows[0]) if rows else None

    async def version(self, endpoint: SharedEndpoint) -> Version | None:
        """The version that runs what comes in: the one picked, else production's, else the newest."""
        rows = await self._writer.rows(
            RUNS, (PRODUCTION, endpoint.integration, endpoint.version or "")
        )
        return Version(*rows[0]) if rows else None

    async def secrets(self, endpoint: str) -> tuple[str, ...]:
        """Return the secrets that may sign for an endpoint, in the clear: its own, and for a day
        the former one.
        """
        rows = await self._writer.rows(
            "SELECT integration, secret, former, former_until FROM shared_endpoints WHERE id = ?",
            (endpoint,),
        )
        if not rows:
            raise missing()
        integration, secret, former, until = rows[0]
        sealed = [secret, former] if former is not None and until > self._clock() else [secret]
        return tuple(self._vault.open(each, place(integration, endpoint)) for each in sealed)

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
