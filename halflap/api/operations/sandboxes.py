"""The sandbox apps that run beside the server: found at their addresses, as a flow would reach them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from halflap.errors import EgressRefused, HalflapError
from halflap.sdk.egress import Egress, Limits

SandboxName = Literal["acme", "salesforce"]
SandboxState = Literal["running", "away", "refused"]

SECONDS = 2.0
LARGEST = 1024 * 1024


def acme_fields(url: str, workspace: Mapping[str, Any]) -> dict[str, str]:
    """Return what a connection to a workspace of Acme is made of."""
    return {"base_url": f"{url}/v1", "api_key": str(workspace["api_key"])}


def salesforce_fields(url: str, org: Mapping[str, Any]) -> dict[str, str]:
    """Return what a connection to an org of Salesforce is made of, with client credentials."""
    names = ("client_id", "client_secret")
    return {"login_url": url, "auth": "Client login", **{name: str(org[name]) for name in names}}


Fields = Callable[[str, Mapping[str, Any]], dict[str, str]]
APPS: dict[SandboxName, tuple[str, Fields]] = {
    "acme": ("/sandbox/workspaces", acme_fields),
    "salesforce": ("/sandbox/orgs", salesforce_fields),
}
"""By app, the list of who has an account there, and the fields of a connection to the first."""


@dataclass(frozen=True, slots=True)
class FoundSandbox:
    """A sandbox app: `refused` where integrations may not call the address at which it is looked for."""

    app: SandboxName
    state: SandboxState
    url: str = ""
    account: str = ""
    """The workspace, or org, that the fields are of."""
    fields: Mapping[str, str] | None = None
    message: str = ""


@dataclass(slots=True)
class Sandboxes:
    """Looks for the sandbox apps, through the client that integrations call apps with."""

    egress: Egress
    addresses: Sequence[str] = ()

    async def found(self) -> list[FoundSandbox]:
        """Return both apps, each as it was found at the first address that has it."""
        return list(await asyncio.gather(*(self._found(app) for app in APPS)))

    async def _found(self, app: SandboxName) -> FoundSandbox:
        tries = await asyncio.gather(*(self._at(app, each) for each in self.addresses))
        rank: tuple[SandboxState, ...] = ("running", "refused", "away")
        away = FoundSandbox(app, "away")
        return min((*tries, away), key=lambda each: rank.index(each.state))

    async def _at(self, app: SandboxName, address: str) -> FoundSandbox:
        path, fields = APPS[app]
        address = address.rstrip("/")
        limits = Limits(connect=SECONDS, total=SECONDS, response_bytes=LARGEST)
        try:
            got = await self.egress.request("GET", address + path, limits=limits)
            account: Any = got.json()[0] if got.status == 200 else {}
            return FoundSandbox(
                app, "running", address, str(account["name"]), fields(address, account)
            )
        except EgressRefused as error:
            return FoundSandbox(app, "refused", address, message=error.message)
        except (HalflapError, ValueError, LookupError, TypeError):
            return FoundSandbox(app, "away")  # nothing is there, or another program
