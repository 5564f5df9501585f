"""The envelopes of all secrets in the catalogue, wrapped anew once the master key was changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from halflap.store.catalogue import endpoints, oauth_apps, shared, subscriptions
from halflap.store.catalogue.answers import RepeatedRequest
from halflap.store.catalogue.connections import read_envelopes, write_envelopes
from halflap.store.catalogue.drafts import place_of_pin
from halflap.store.catalogue.table import CatalogueNoun
from halflap.store.job import JobTransaction


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of envelopes: the columns of its key, by which their place is found.

    until: the column that says how long the envelope is of use; what no longer is stays as it is.
    """

    table: str
    column: str
    key: tuple[str, ...]
    place: Callable[..., tuple[str, ...]]
    until: str = ""


def place_of_signing(component: str) -> tuple[str, ...]:
    """Return where the secret is sealed with which a component's app signs."""
    return oauth_apps.place(component, oauth_apps.SIGNS)


def place_of_answer(principal: str, key: str) -> tuple[str, ...]:
    """Return where the answer to a repeated request is sealed."""
    return RepeatedRequest(principal, key, "").place


ENDPOINT = (("customer", "id"), endpoints.place)
SHARED = (("integration", "id"), shared.place)
SUBSCRIPTION = (("customer", "instance", "flow"), subscriptions.place)
SIGNING = (("component",), place_of_signing)
FORMER = "former_until"
COLUMNS = (
    SealedColumn("endpoints", "secret", *ENDPOINT),
    SealedColumn("endpoints", "former", *ENDPOINT, FORMER),
    SealedColumn("shared_endpoints", "secret", *SHARED),
    SealedColumn("shared_endpoints", "former", *SHARED, FORMER),
    SealedColumn("subscriptions", "secret", *SUBSCRIPTION),
    SealedColumn("subscriptions", "former", *SUBSCRIPTION, FORMER),
    SealedColumn("oauth_apps", "secret", ("component",), oauth_apps.place),
    SealedColumn("oauth_apps", "signing", *SIGNING),
    SealedColumn("oauth_apps", "former", *SIGNING, FORMER),
    SealedColumn("draft_pins", "content", ("draft", "node"), place_of_pin),
    SealedColumn("answers", "answer", ("principal", "key"), place_of_answer, "kept_until"),
)
"""All columns of envelopes but those of connections, which are in JSON, by field."""


class Envelopes(CatalogueNoun):
    """Wraps the keys of secrets anew; the secrets themselves stay as they are sealed."""

    async def rewrap(self) -> int:
        """Put all secrets under the current master key, in a transaction; return how many were not.

        Raises `StoreError` where the vault lacks a key that one is under; then nothing is changed.
        """
        now = self._clock()

        def job(connection: JobTransaction) -> int:
            changed = sum(self._rewrap(connection, each, now) for each in COLUMNS)
            rows = connection.execute("SELECT id, customer, secrets FROM connections").fetchall()
            for id, customer, text in rows:
                old = read_envelopes(text)
                new = {
                    field: self._vault.rewrap(each, (customer or "", id, field))
                    for field, each in old.items()
                }
                if new != old:
                    sql = "UPDATE connections SET secrets = ? WHERE id = ? AND secrets = ?"
                    changed += connection.execute(sql, (write_envelopes(new), id, text)).rowcount
            return changed

        return await self._writer.change(job)

    def _rewrap(self, connection: JobTransaction, of: SealedColumn, now: int) -> int:
        filters = f"{of.column} IS NOT NULL" + (f" AND {of.until} > {now}" if of.until else "")
        found = f"SELECT {of.column}, {', '.join(of.key)} FROM {of.table} WHERE {filters}"
        whose = "".join(f" AND {each} = ?" for each in of.key)
        put = f"UPDATE {of.table} SET {of.column} = ? WHERE {of.column} = ?{whose}"
        changed = 0
        for sealed, *key in connection.execute(found).fetchall():
            old = bytes(sealed)
            new = self._vault.rewrap(old, of.place(*key))
            if new != old:  # whoever has changed it meanwhile has sealed it, too
                changed += connection.execute(put, (new, old, *key)).rowcount
        return changed
