"""The team's own OAuth apps: one per component, apart from customers' connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from halflap.model import OAuthApp
from halflap.store.catalogue.shared import OVERLAP, unguessable
from halflap.store.catalogue.table import CatalogueTable
from halflap.store.catalogue.writer import one
from halflap.store.job import JobTransaction, json_text

SELECT = """
SELECT component, client_id, secret, callback, origins, changed_at, endpoint, signing IS NOT NULL
FROM oauth_apps
"""
PREFIX = "ha_"
"""The prefix of the id of the endpoint of an OAuth app."""
PUT = """
INSERT INTO oauth_apps (component, client_id, secret, callback, origins, changed_at, endpoint)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (component) DO UPDATE SET client_id = excluded.client_id, secret = excluded.secret,
    callback = excluded.callback, origins = excluded.origins, changed_at = excluded.changed_at
"""
SIGN = "UPDATE oauth_apps SET signing = ?, former = ?, former_until = ? WHERE component = ?"
SIGNING = "SELECT signing, former, former_until FROM oauth_apps WHERE component = ?"
HOLDERS = """
SELECT c.id, c.fields, a.field, i.state, e.id
FROM connections AS c LEFT JOIN addresses AS a ON a.connection = c.id AND a.value = c.id
    LEFT JOIN instances AS i ON i.id = a.instance
    LEFT JOIN endpoints AS e ON e.instance = a.instance AND e.open = 1
WHERE c.component = ? AND c.account = ? ORDER BY c.id, a.instance, e.id
"""


class OAuthApps(CatalogueTable[OAuthApp]):
    """Stores the team's OAuth apps, and opens their secrets. No customer's scope reaches them."""

    _select = SELECT
    _lacking = "your team has no OAuth app for {!r}; see: halflap oauth-apps list"

    async def put(
        self,
        component: str,
        client_id: str,
        secret: str | None,
        callback: str,
        origins: Sequence[str],
        signing: str | None = None,
    ) -> OAuthApp:
        """Store the app of a component, in place of the one before; its endpoint stays.

        `signing` is the secret that the app signs its events with; None keeps the one before. What
        was signed with that one is taken for another day.
        """
        now = self._clock()
        sealed = None if secret is None else self._vault.seal(secret, place(component))
        written = json_text(list(origins))
        row = (component, client_id, sealed, callback, written, now, unguessable(PREFIX))
        signs = None
        if signing is not None and signing not in (await self.signers(component))[:1]:
            signs = self._vault.seal(signing, place(component, SIGNS))

        def job(connection: JobTransaction) -> None:
            connection.execute(PUT, row)
            if signs is not None:
                before = one(connection, SIGNING, component)[0]
                connection.execute(SIGN, (signs, before, now + OVERLAP, component))

        await self._writer.change(job)
        stored = await self.get(component)
        assert stored is not None
        return stored

    async def get(self, component: str) -> OAuthApp | None:
        """Return the app of a component with its secret in the clear; None where there is none."""
        return await self._find("WHERE component = ?", component)

    async def of_endpoint(self, endpoint: str) -> OAuthApp | None:
        """Return the app to whose endpoint events are sent; None where there is none."""
        return await self._find("WHERE endpoint = ?", endpoint)

    async def signers(self, component: str) -> tuple[str, ...]:
        """Return the secrets that may sign events of an app: its own, and for a day the former one."""
        row = await self._writer.row(SIGNING, component)
        if row is None or row[0] is None:
            return ()
        return self._signers(place(component, SIGNS), *row)

    async def holders(self, component: str, account: str) -> Sequence[Any]:
        """Return who holds an account that was signed in to: a row for each open endpoint.

        The connection's id and plain fields; the name that it has in an instance's config, the
        state of that instance, and the id of the endpoint. None where there is no such one.
        """
        rows = await self._writer.rows(HOLDERS, (component, account))
        return [(id, msgspec.json.decode(fields), *more) for id, fields, *more in rows]

    async def list(self) -> Sequence[OAuthApp]:
        """Return all apps, by component."""
        return await self._all("ORDER BY component")

    async def remove(self, component: str) -> None:
        """Remove the app of a component; raises `NotFound` where there is none."""
        sql = "DELETE FROM oauth_apps WHERE component = ?"
        await self._writer.change_by(sql, component, lacking=self.missing(component))

    def _read(self, row: Any) -> OAuthApp:
        component, client_id, sealed, callback, origins, changed_at, endpoint, signs = row
        secret = None if sealed is None else self._vault.open(sealed, place(component))
        found = tuple(msgspec.json.decode(origins, type=list[str]))
        return OAuthApp(
            component, client_id, secret, callback, found, changed_at, endpoint, bool(signs)
        )


SIGNS = "oauth_app_signing"


def place(component: str, what: str = "oauth_app") -> tuple[str, str, str]:
    """Return where a secret of a component's app is sealed."""
    return "", component, what
