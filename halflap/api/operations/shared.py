"""Operations on shared endpoints: show, change the secret, pick the version."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from halflap.api.operations import finding
from halflap.engine.resolver import Resolver
from halflap.errors import ConfigError, NotFound
from halflap.model import SharedEndpoint, Version
from halflap.store.catalogue import Catalogue

LONGEST_SECRET = 1_000


@dataclass(frozen=True, slots=True)
class Shown:
    """A shared endpoint as people see it: its URL, and the version that runs what comes in."""

    endpoint: SharedEndpoint
    url: str
    version: Version | None


@dataclass(slots=True)
class SharedEndpointOperations:
    """Shows and changes the URLs that all customers of an integration share."""

    catalogue: Catalogue
    resolver: Resolver

    async def list(self, integration: str) -> Sequence[Shown]:
        """An integration's shared endpoints, by flow."""
        if await self.catalogue.versions.latest(integration) is None:
            raise NotFound(
                f"no version of {integration!r} is published; see: halflap integrations list"
            )
        urls = await self.resolver.shared_urls(integration)
        found = await self.catalogue.shared.of_integration(integration)
        return [
            Shown(each, urls[flow], await self.catalogue.shared.version(each))
            for flow, each in found.items()
        ]

    async def get(self, integration: str, flow: str) -> Shown:
        """The shared endpoint of a flow."""
        found = await self.list(integration)
        for each in found:
            if each.endpoint.flow == flow:
                return each
        names = ", ".join(each.endpoint.flow for each in found) or "none"
        raise NotFound(f"{integration} has no shared endpoint {flow!r}; it has: {names}")

    async def secrets(self, shown: Shown) -> tuple[str, ...]:
        """Return the secrets that sign for an endpoint: its own, and for a day after a change the
        former one.
        """
        return await self.catalogue.shared.secrets(shown.endpoint.id)

    async def set_secret(self, shown: Shown, secret: str | None) -> str:
        """Give an endpoint the app's own secret, or a new one of ours."""
        if secret is not None:
            check_given(secret)
        return await self.catalogue.shared.set_secret(shown.endpoint.id, secret)

    async def pick(self, shown: Shown, named: str | None) -> Shown:
        """Have a version run what comes in; None: production's, else the newest."""
        integration, hash = shown.endpoint.integration, None
        if named is not None:
            hash = (await finding.version(self.catalogue, integration, named)).hash
        await self.catalogue.shared.pick(shown.endpoint.id, hash)
        return await self.get(integration, shown.endpoint.flow)


def check_given(secret: str, subscribes: bool = False) -> None:
    """Raise `ConfigError` for what no sender can sign with, so that it is not found out by its events."""
    why = ""
    if subscribes:
        why = "the trigger makes its webhook itself, with a secret that is made; leave `secret` out"
    elif not 0 < len(secret) <= LONGEST_SECRET:
        why = f"a secret has 1 to {LONGEST_SECRET} characters"
    elif secret.startswith("whsk_"):
        why = "this is the sender's private key, which it alone has; give its public one: whpk_…"
    elif secret.startswith("whpk_") and not is_public_key(secret):
        why = "a public key is whpk_ and 32 bytes in base64"
    if why:
        raise ConfigError(why, fields={"secret": "is no secret"})


def is_public_key(secret: str) -> bool:
    """Return whether a text is a public key of Standard Webhooks."""
    try:
        return len(base64.b64decode(secret.removeprefix("whpk_"), validate=True)) == 32
    except ValueError:
        return False
