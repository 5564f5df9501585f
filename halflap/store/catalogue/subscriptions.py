"""Subscriptions: what a trigger made at an app, kept until the app has forgotten it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from halflap.model import Instance, Micros
from halflap.sdk import codec
from halflap.store.catalogue.instances import Instances
from halflap.store.catalogue.shared import OVERLAP
from halflap.store.catalogue.table import CatalogueTable
from halflap.store.catalogue.writer import one
from halflap.store.job import JobTransaction

SELECT = """
SELECT instance, flow, remote_id, secret, data, version, made_at, customer, former, former_until,
    left_because, expires_at, renew_at, renewal
FROM subscriptions
"""
PUT = """
INSERT INTO subscriptions (instance, customer, flow, remote_id, secret, data, version, made_at,
    former, former_until, expires_at, renew_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (instance, flow) DO UPDATE SET remote_id = excluded.remote_id,
    secret = excluded.secret, data = excluded.data, version = excluded.version,
    made_at = excluded.made_at, former = excluded.former, former_until = excluded.former_until,
    left_because = '', expires_at = excluded.expires_at, renew_at = excluded.renew_at
"""
DUE = """
SELECT subscriptions.instance, flow, expires_at, renew_at FROM subscriptions
JOIN instances ON instances.id = subscriptions.instance
WHERE renew_at <= ? AND instances.state = 'active' ORDER BY renew_at LIMIT 100
"""
SOONEST_RENEWAL: Micros = 60_000_000
"""The time that passes at least until a subscription is renewed, or renewed once more."""
LATEST_TRY: Micros = 6 * 3_600_000_000
"""The time that passes at most until a renewal that failed is tried again."""


@dataclass(frozen=True, slots=True)
class StoredSubscription:
    """A flow's subscription at an app: its id there, and the version that made it.

    `secret` is what the app signs with, in the clear, where it chose one.
    """

    instance: str
    flow: str
    remote_id: str
    secret: str | None = field(repr=False)
    data: dict[str, Any]
    version: str
    made_at: Micros = 0
    former: str | None = field(default=None, repr=False)
    """The secret before, while it is still good; '' for the endpoint's own."""
    left_because: str = ""
    """Why it could not be taken down, where the instance was disabled all the same."""
    expires_at: Micros | None = None
    renew_at: Micros | None = None
    """When it is renewed, or its renewal tried again."""
    renewal: str | None = None
    """The execution that renewed it, or tried to, last."""

    @property
    def note(self) -> str:
        """The text about it that its trigger has for people."""
        return str(self.data.get("note", ""))


@dataclass(frozen=True, slots=True)
class DueRenewal:
    """A subscription of an active instance that is to be renewed by now."""

    instance: str
    flow: str
    expires_at: Micros
    renew_at: Micros


class Subscriptions(CatalogueTable[StoredSubscription]):
    """Keeps and forgets subscriptions."""

    _select = SELECT

    async def put(
        self,
        instance: str,
        flow: str,
        remote_id: str,
        secret: str | None,
        data: Mapping[str, object],
        version: str,
        expires_at: Micros | None = None,
    ) -> None:
        """Keep what a flow's trigger subscribed; it replaces what was kept before.

        A secret that is replaced is good for another day, for what the app has signed already. One that
        expires is renewed some time before.
        """
        now = self._clock()
        renew_at = None if expires_at is None else renewal_at(now, expires_at, f"{instance}/{flow}")
        plain = codec.encode(dict(data)).decode()

        def job(connection: JobTransaction, found: Instance) -> None:
            about = place(found.customer, instance, flow)
            sealed = None if secret is None else self._vault.seal(secret, about)
            row = one(connection, f"{SELECT} WHERE instance = ? AND flow = ?", instance, flow)
            former, until = (None, 0) if row is None else (row[8], row[9])
            if row is not None and row[2] and self._read(row).secret != secret:
                former, until = row[3], now + OVERLAP
            values = (instance, found.customer, flow, remote_id, sealed, plain, version, now)
            connection.execute(PUT, (*values, former, until, expires_at, renew_at))

        await self._writer.change(Instances.job_of(instance, job))

    async def get(self, instance: str, flow: str) -> StoredSubscription | None:
        """A flow's subscription; None where it has none."""
        return await self._find("WHERE instance = ? AND flow = ?", instance, flow)

    async def list(self, instance: str) -> Sequence[StoredSubscription]:
        """An instance's subscriptions, by flow."""
        return await self._all("WHERE instance = ? ORDER BY flow", instance)

    async def left(self) -> Mapping[str, Micros]:
        """Return the disabled instances that left something behind, and when each was last moved."""
        rows = await self._writer.rows(
            "SELECT DISTINCT instances.id, instances.changed_at FROM subscriptions"
            " JOIN instances ON instances.id = subscriptions.instance"
            " WHERE left_because <> '' AND instances.state = 'disabled'"
        )
        return dict(rows)

    async def due(self) -> Sequence[DueRenewal]:
        """Return the subscriptions that are to be renewed by now, the longest due first."""
        return [DueRenewal(*row) for row in await self._writer.rows(DUE, (self._clock(),))]

    async def renewing(self, due: DueRenewal, execution: str | None) -> None:
        """Note the execution that renews a subscription, and when that is tried again if it fails."""
        now = self._clock()
        left = max(due.expires_at - now, 0) // 4
        again = now + min(max(left, SOONEST_RENEWAL), LATEST_TRY)
        await self._writer.change_by(
            "UPDATE subscriptions SET renew_at = ?, renewal = coalesce(?, renewal)"
            " WHERE instance = ? AND flow = ? AND renew_at = ?",
            *(again, execution, due.instance, due.flow, due.renew_at),
        )

    async def remove(self, instance: str, flow: str) -> None:
        """Forget a flow's subscription; one that is not there is no error."""
        sql = "DELETE FROM subscriptions WHERE instance = ? AND flow = ?"
        await self._writer.change_by(sql, instance, flow)

    async def leave(self, instance: str, flow: str, because: str) -> None:
        """Note that a subscription could not be taken down, and why; '' for no longer."""
        sql = "UPDATE subscriptions SET left_because = ? WHERE instance = ? AND flow = ?"
        await self._writer.change_by(sql, because, instance, flow)

    def _read(self, row: Any) -> StoredSubscription:
        instance, flow, remote_id, sealed, data, version, made_at, customer, former, until = row[
            :10
        ]
        about = place(customer, instance, flow)
        before = None
        if until > self._clock():
            before = "" if former is None else self._vault.open(former, about)
        return StoredSubscription(
            instance,
            flow,
            remote_id,
            None if sealed is None else self._vault.open(sealed, about),
            codec.decode(data),
            version,
            made_at,
            before,
            *row[10:],
        )


def renewal_at(now: Micros, expires_at: Micros, name: str) -> Micros:
    """Return when a subscription is renewed: after 60 to 75 percent of its time, by its name.

    So those that were made together are not renewed together.
    """
    chance = int.from_bytes(blake2b(name.encode(), digest_size=2).digest(), "big")
    passed = max(expires_at - now, 0) * (600 + chance % 150) // 1000
    return now + max(passed, SOONEST_RENEWAL)


def place(customer: str, instance: str, flow: str) -> tuple[str, str, str]:
    """Where a subscription's secret is sealed."""
    return customer, instance, f"subscription/{flow}"
