"""Endpoints: the URL of each flow of an instance, made once and kept through versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halflap.errors import Conflict, NotFound
from halflap.model import EndpointRecord, Instance, Micros, to_datetime
from halflap.sdk.signature import new_secret
from halflap.store.catalogue.instances import Instances
from halflap.store.catalogue.shared import OVERLAP, unguessable
from halflap.store.catalogue.table import CatalogueTable
from halflap.store.catalogue.writer import Refused, one
from halflap.store.job import JobTransaction

SELECT = "SELECT id, instance, flow, open FROM endpoints"


def record(row: Any) -> EndpointRecord:
    return EndpointRecord(row[0], row[1], row[2], bool(row[3]))


class Endpoints(CatalogueTable[EndpointRecord]):
    """Makes, finds, opens and closes endpoints."""

    _select = SELECT
    _read = staticmethod(record)

    async def ensure(self, instance: str, flows: Sequence[str]) -> dict[str, EndpointRecord]:
        """See to it that each of these flows has an endpoint, and return all of the instance's.

        Those that are there stay, with their URL and secret; new ones are closed.
        """
        now = self._clock()

        def job(connection: JobTransaction, found: Instance) -> dict[str, EndpointRecord]:
            there = of_instance(connection, instance)
            for flow in flows:
                if flow not in there:
                    made = unguessable("hk_")
                    sealed = self._vault.seal(new_secret(), place(found.customer, made))
                    connection.execute(
                        "INSERT INTO endpoints (id, instance, customer, flow, secret, open, made_at)"
                        " VALUES (?, ?, ?, ?, ?, 0, ?)",
                        (made, instance, found.customer, flow, sealed, now),
                    )
            return of_instance(connection, instance)

        return await self._writer.change(Instances.job_of(instance, job))

    async def of_instance(self, instance: str) -> dict[str, EndpointRecord]:
        """The endpoints of an instance by flow."""
        rows = await self._writer.rows(f"{SELECT} WHERE instance = ? ORDER BY flow", (instance,))
        return by_flow(rows)

    async def open_of(self, customer: str) -> list[str]:
        """Return the ids of a customer's open endpoints."""
        sql = "SELECT id FROM endpoints WHERE customer = ? AND open = 1 ORDER BY instance, flow"
        return [each[0] for each in await self._writer.rows(sql, (customer,))]

    async def open_by_flow(self) -> list[tuple[str, str, str, int]]:
        """Return the flows with open endpoints: integration, version, flow, and how many there are."""
        sql = (
            "SELECT i.integration, i.version, e.flow, count(*) FROM endpoints AS e JOIN instances AS i"
            " ON i.id = e.instance WHERE e.open = 1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
        return [(*row,) for row in await self._writer.rows(sql)]

    async def find(self, endpoint: str) -> EndpointRecord | None:
        """The endpoint of an id, open or closed; None where there is none."""
        return await self._find("WHERE id = ?", endpoint)

    async def secret(self, endpoint: str) -> str:
        """The `whsec_…` that senders to an endpoint sign with, in the clear; raises `NotFound`."""
        return (await self.secrets(endpoint))[0]

    async def secrets(self, endpoint: str) -> tuple[str, ...]:
        """Return what may sign for an endpoint: its secret, and for a while the one before."""
        sql = "SELECT customer, secret, former, former_until FROM endpoints WHERE id = ?"
        row = await self._writer.row(sql, endpoint)
        if row is None:
            raise missing()
        return self._signers(place(row[0], endpoint), *row[1:])

    async def rotate(self, endpoint: str, grace: Micros = OVERLAP, given: str | None = None) -> str:
        """Give an endpoint another secret; return it. The one before is good for the grace period.

        While one from before is still good, a `given` one takes the place of the newest alone; for
        one that is made, `Conflict` is raised unless there is no grace.
        """
        chosen, now = given or new_secret(), self._clock()
        until = now + grace
        if grace > 0 and chosen == await self.secret(endpoint):
            return chosen

        def job(connection: JobTransaction) -> str | Refused:
            sql = "SELECT customer, secret, former, former_until FROM endpoints WHERE id = ?"
            row = one(connection, sql, endpoint)
            if row is None:
                return missing()
            overlaps = grace > 0 and row[3] > now
            if overlaps and given is None:
                before = to_datetime(row[3]).isoformat(timespec="seconds")
                return Conflict(
                    f"the secret was rotated already, and the one before is good until {before}: "
                    "another rotation would void it; wait, or rotate without a grace, which voids both"
                )
            sealed = self._vault.seal(chosen, place(row[0], endpoint))
            connection.execute(
                "UPDATE endpoints SET secret = ?, former = ?, former_until = ? WHERE id = ?",
                (sealed, *(row[2:] if overlaps else (row[1], until)), endpoint),
            )
            return chosen

        return await self._writer.change(job)

    async def open_all(self, instance: str) -> None:
        """Let the endpoints of an instance take events."""
        await self._switch(instance, 1)

    async def close_all(self, instance: str) -> None:
        """Let the endpoints of an instance take no more events; their URLs are kept."""
        await self._switch(instance, 0)

    async def _switch(self, instance: str, open: int) -> None:
        def job(connection: JobTransaction, _: Instance) -> None:
            connection.execute("UPDATE endpoints SET open = ? WHERE instance = ?", (open, instance))

        await self._writer.change(Instances.job_of(instance, job))


def missing() -> NotFound:
    """Return the error for an endpoint that is not there."""
    return NotFound("there is no such endpoint; see: halflap instances show")


def place(customer: str, endpoint: str) -> tuple[str, str, str]:
    """Where an endpoint's secret is sealed."""
    return customer, endpoint, "secret"


def of_instance(connection: JobTransaction, instance: str) -> dict[str, EndpointRecord]:
    """An instance's endpoints by flow, in a job."""
    return by_flow(
        connection.execute(f"{SELECT} WHERE instance = ? ORDER BY flow", (instance,)).fetchall()
    )


def by_flow(rows: Sequence[Any]) -> dict[str, EndpointRecord]:
    return {row[2]: record(row) for row in rows}
