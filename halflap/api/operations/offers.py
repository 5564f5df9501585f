"""Offers: the integrations that customers may activate by themselves, and their versions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from halflap.api.operations import finding
from halflap.errors import Conflict, HalflapError, NotFound
from halflap.model import Version
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.instances import InstanceFilter

OFFERED = "offered"
"""The target whose version is offered."""


@dataclass(slots=True)
class OfferOperations:
    """The offered version of each integration, and what a customer's token may choose."""

    catalogue: Catalogue
    customer: str | None = None
    """The customer that is acted for; the team (None) may choose any version."""

    async def list(self, after: str | None, limit: int) -> Sequence[Version]:
        """Return so many offered versions by the name of their integration, of those after a name."""
        return await self.catalogue.versions.in_target(OFFERED, after, limit)

    async def get(self, integration: str) -> Version:
        """Return the offered version of an integration; raise `NotFound` where there is none."""
        found = await self.catalogue.versions.target(integration, OFFERED)
        if found is None:
            raise NotFound(f"no integration named {integration!r} is offered")
        return found

    async def put(self, integration: str, version: str) -> Version:
        """Offer a version (by number, hash or target) in place of the one before."""
        found = await finding.version(self.catalogue, integration, version)
        now = await self.catalogue.versions.target(integration, OFFERED)
        expected = None if now is None else now.hash
        if not await self.catalogue.versions.move_target(
            integration, OFFERED, found.hash, expect=expected
        ):
            raise Conflict(f"another version of {integration} was offered meanwhile; try again")
        return found

    async def withdraw(self, integration: str) -> None:
        """Offer an integration no longer; its instances stay as they are."""
        await self.get(integration)
        await self.catalogue.versions.drop_target(integration, OFFERED)

    async def chosen(
        self, integration: str, version: str | None, own: Collection[str] = ()
    ) -> Version:
        """Return the version that is asked for; for a customer, the offered one or one of its `own`.

        `NotFound` for any other, as if there were none.
        """
        if self.customer is None:
            assert version is not None
            return await finding.version(self.catalogue, integration, version)
        if version is None:
            return await self.get(integration)
        allowed = set(own)
        offered = await self.catalogue.versions.target(integration, OFFERED)
        if offered is not None:
            allowed.add(offered.hash)
        try:
            found = await finding.version(self.catalogue, integration, version)
        except HalflapError:
            found = None
        if found is None or found.hash not in allowed:
            raise NotFound(f"no version {version!r} of {integration!r} is offered")
        return found

    async def for_connection(self, integration: str, version: str | None) -> str | None:
        """Return the version whose connections are meant: for a customer, the offered or its own."""
        if self.customer is None:
            return version
        instances = await self.catalogue.instances.list(InstanceFilter(self.customer, integration))
        own = [each.version for each in instances]
        if (
            version is None
            and own
            and await self.catalogue.versions.target(integration, OFFERED) is None
        ):
            return own[-1]
        return (await self.chosen(integration, version, own)).hash
