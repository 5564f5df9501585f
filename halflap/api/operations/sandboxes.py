"""The sandbox apps that run beside the server: found at their addresses, as a flow would reach them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from halflap.errors import EgressRefused, HalflapError
from halflap.sdk.egress import Egress, Limits

SandboxName = Literal[
    "acme", "salesforce", "slack", "github", "hubspot", "zendesk", "stripe", "twilio", "jira"
]
SandboxState = Literal["running", "away", "refused"]

APPS: tuple[SandboxName, ...] = get_args(SandboxName)
SECONDS = 2.0
LARGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FoundSandbox:
    """A sandbox app, and the values of a connection to it, as `POST /api/connections` takes them.

    `account` is the workspace, org or whatever the app calls it. `refused`: integrations may not call the
    address at which it is looked for; `message` says why, and what to do.
    """

    app: SandboxName
    state: SandboxState
    url: str
    account: str
    values: Mapping[str, Any] | None
    message: str


@dataclass(slots=True)
class Sandboxes:
    """Looks for the sandbox apps, through the client that integrations call apps with."""

    egress: Egress
    addresses: Sequence[str] = ()

    async def found(self) -> list[FoundSandbox]:
        """Return all apps, each as it was found at the first address that has it."""
        looks = await asyncio.gather(*(self._at(each) for each in self.addresses))
        refused = next((each for each in looks if isinstance(each, EgressRefused)), None)
        running = {each.app: each for each in reversed(looks) if isinstance(each, FoundSandbox)}
        return [running.get(app) or missing(app, refused) for app in APPS]

    async def _at(self, address: str) -> FoundSandbox | EgressRefused | None:
        address = address.rstrip("/")
        limits = Limits(connect=SECONDS, total=SECONDS, response_bytes=LARGEST)
        try:
            got = await self.egress.request("GET", f"{address}/sandbox/account", limits=limits)
            told: Any = got.json() if got.status == 200 else {}
            if told["app"] not in APPS:
                return None
            account, values = str(told["account"]), dict(told["values"])
            return FoundSandbox(told["app"], "running", address, account, values, "")
        except EgressRefused as error:
            return error
        except (HalflapError, ValueError, LookupError, TypeError):
            return None  # nothing is there, or another program


def missing(app: SandboxName, refused: EgressRefused | None) -> FoundSandbox:
    """Return an app that was not found; where an address may not be called, that may be why."""
    state: SandboxState = "away" if refused is None else "refused"
    return FoundSandbox(app, state, "", "", None, "" if refused is None else refused.message)
