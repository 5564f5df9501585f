"""The team's own OAuth apps: one per component, apart from customers' connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from halflap.errors import NotFound
from halflap.model import Clock, OAuthApp
from halflap.store.catalogue.writer import CatalogueWriter, Refused
from halflap.store.job import JobTransaction
from halflap.store.vault import Vault

SELECT = "SELECT component, client_id, secret, callback, origins, changed_at FROM oauth_apps"
PUT = """
INSERT INTO oauth_apps (component, client_id, secret, callback, origins, changed_at)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (component) DO UPDATE SET client_id = excluded.client_id, secret = excluded.secret,
    callback = excluded.callback, origins = excluded.origins, changed_at = excluded.changed_at
"""


class OAuthApps:
    """Stores the team's OAuth apps, and opens their secrets. No customer's scope reaches them."""

    def __init__(self, writer: CatalogueWriter, vault: Vault, clock: Clock) -> None:
        self._writer = writer
        self._vault = vault
        self._clock = clock

    async def put(
        self,
        component: str,
        client_id: str,
        secret: str | None,
        callback: str,
        origins: Sequence[str],
    ) -> OAuthApp:
        """Store the app of a component, in place of the one before."""
        now = self._clock()
        sealed = None if secret is None else self._vault.seal(secret, place(component))
        written = msgspec.json.encode(list(origins)).decode()

        def job(connection: JobTransaction) -> None:
            connection.execute(PUT, (component, client_id, sealed, callback, written, now))

        await self._writer.change(job)
        return OAuthApp(component, client_id, secret, callback, tuple(origins), now)

    async def get(self, component: str) -> OAuthApp | None:
        """Return the app of a component with its secret in the clear; None where there is none."""
        rows = await self._writer.rows(f"{SELECT} WHERE component = ?", (component,))
        return self._read(rows[0]) if rows else None

    async def list(self) -> Sequence[OAuthApp]:
        """Return all apps, by component."""
        return [
            self._read(each) for each in await self._writer.rows(f"{SELECT} ORDER BY component")
        ]

    async def remove(self, component: str) -> None:
        """Remove the app of a component; raises `NotFound` where there is none."""

        def job(connection: JobTransaction) -> Refused | None:
            query = "DELETE FROM oauth_apps WHERE component = ?"
            return None if connection.execute(query, (component,)).rowcount else missing(component)

        await self._writer.change(job)

    def _read(self, row: Any) -> OAuthApp:
        component, client_id, sealed, callback, origins, changed_at = row
        secret = None if sealed is None else self._vault.open(sealed, place(component))
        found = tuple(msgspec.json.decode(origins, type=list[str]))
        return OAuthApp(component, client_id, secret, callback, found, changed_at)


def place(component: str) -> tuple[str, str, str]:
    """Return where the secret of a component's app is sealed."""
    return "", component, "oauth_app"


def missing(component: str) -> NotFound:
    """Return the error for a component without an app."""
    return NotFound(f"your team has no OAuth app for {component!r}; see: halflap oauth-apps list")
