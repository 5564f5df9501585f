"""The sandbox apps that run beside the server, for first steps."""

from __future__ import annotations

from halflap.api.asking import Ops, needs, router_of
from halflap.api.operations.sandboxes import SandboxName, SandboxState
from halflap.api.view import JsonObject, View

router = router_of("/api/sandboxes", "components")


class SandboxView(View):
    """A sandbox app, and the values of a connection to it."""

    app: SandboxName
    state: SandboxState
    """`refused`: integrations may not call the address at which it is looked for."""
    url: str
    account: str
    """The workspace, org or whatever the app calls it, that a connection is to."""
    values: JsonObject | None
    """The values of a connection to it, as `POST /api/connections` takes them."""
    message: str
    """Why the address may not be called, and what to do."""


@router.get("")
@needs("configure")
async def list_sandboxes(operations: Ops) -> list[SandboxView]:
    """Return the sandbox apps, each as this server reaches it at the addresses of HALFLAP_SANDBOXES."""
    return [SandboxView.of(each) for each in await operations.sandboxes.found()]
