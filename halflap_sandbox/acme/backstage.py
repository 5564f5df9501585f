"""Acme's backstage, `/sandbox`: make workspaces, ask for faults, see what was done and delivered.

No real app has this; it needs no API key.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from halflap_sandbox.acme.model import Opportunity, Webhook, Workspace, World
from halflap_sandbox.acme.webhooks import Deliverer
from halflap_sandbox.answer import (
    Answer,
    Refused,
    account_of,
    answer,
    first,
    not_found,
    parse,
)
from halflap_sandbox.faults import FaultBoard

SHOWN = 10
"""The number of records of each kind that the page shows."""


class NewWorkspace(BaseModel):
    """A workspace to create."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=255)]
    api_key: Annotated[str, Field(pattern=r"^[!-~]{8,200}$")] | None = None
    idempotency: bool = True


class WorkspaceChange(BaseModel):
    """A change of a workspace."""

    model_config = ConfigDict(extra="forbid")

    idempotency: bool


class Backstage:
    """The routes of `/sandbox`; each takes a request and its body and gives an answer."""

    def __init__(self, world: World, faults: FaultBoard, deliverer: Deliverer) -> None:
        self._world = world
        self._faults = faults
        self._deliverer = deliverer

    def account(self, request: Request, body: bytes) -> Answer:
        """Tell what a connection to the first workspace is made of."""
        found = first(self._world.workspaces.values())
        values = {"base_url": f"{request.base_url}v1", "api_key": found.api_key}
        return answer(account_of("acme", found.name, **values))

    def list_workspaces(self, request: Request, body: bytes) -> Answer:
        """List the workspaces."""
        return answer([each.json() for each in self._world.workspaces.values()])

    def create_workspace(self, request: Request, body: bytes) -> Answer:
        """Create a workspace and its API key."""
        new = parse(request, body, NewWorkspace)
        made = self._world.create(new.name, api_key=new.api_key, idempotency=new.idempotency)
        if made is None:
            raise Refused(409, "api_key_taken", "Another workspace has this API key; take another.")
        return answer(made.json(), 201)

    def update_workspace(self, request: Request, body: bytes) -> Answer:
        """Turn a workspace's idempotency keys on or off."""
        workspace = self._workspace(request.path_params["id"])
        workspace.effects.replays = parse(request, body, WorkspaceChange).idempotency
        return answer(workspace.json())

    def delete_workspace(self, request: Request, body: bytes) -> Answer:
        """Delete a workspace, its data and its webhooks."""
        workspace = self._workspace(request.path_params["id"])
        self._world.remove(workspace)
        self._deliverer.forget(workspace)
        self._faults.clear(workspace.id)
        return Answer(204)

    def effects(self, request: Request, body: bytes) -> Answer:
        """List what was asked for, how often, and how often it was applied."""
        key = request.query_params.get("key")
        return answer(self._asked_for(request).effects.json(key))

    def deliveries(self, request: Request, body: bytes) -> Answer:
        """List the tries to deliver webhooks."""
        attempts = self._deliverer.attempts(self._asked_for(request))
        return answer([each.json() for each in attempts])

    def set_faults(self, request: Request, body: bytes) -> Answer:
        """Turn faults on, in the place of the former ones, for one workspace or for all."""
        faults = parse(request, body, self._faults.shape)
        if faults.part is not None:
            self._workspace(faults.part)
        self._faults.set(faults)
        return self.list_faults(request, body)

    def list_faults(self, request: Request, body: bytes) -> Answer:
        """List the active faults."""
        return answer(self._faults.json())

    def clear_faults(self, request: Request, body: bytes) -> Answer:
        """Turn faults off: one workspace's own, or all."""
        self._faults.clear(request.query_params.get("workspace"))
        return Answer(204)

    def overview(self, request: Request, body: bytes) -> Answer:
        """Give what the page shows: all workspaces, and one of them in detail."""
        workspaces = self._world.workspaces
        shown = workspaces.get(request.query_params.get("workspace", ""))
        if shown is None:
            shown = next(iter(workspaces.values()), None)
        return answer(
            {
                "workspaces": [each.json() for each in workspaces.values()],
                "shown": self._detail(shown) if shown else None,
            }
        )

    def _detail(self, of: Workspace) -> dict[str, Any]:
        plan = self._faults.of(of.id)
        stock = sorted(of.stock.values(), key=lambda each: each.updated_at, reverse=True)[:SHOWN]
        return {
            **of.json(),
            "faults": plan.json() if plan.active else None,
            "accounts": [each.json() for each in of.accounts.newest(SHOWN)],
            "contacts": [each.json() for each in of.contacts.newest(SHOWN)],
            "opportunities": [_exact(each) for each in of.opportunities.newest(SHOWN)],
            "stock": [{**each.json(), "quantity": str(each.quantity)} for each in stock],
            "activities": [{**each.json(), "body": None} for each in of.activities.newest(SHOWN)],
            "webhooks": [self._calls(each) for each in reversed(of.webhooks.values())],
        }

    def _calls(self, webhook: Webhook) -> dict[str, Any]:
        lane = self._deliverer.lane(webhook)
        last = lane.last.json() if lane and lane.last else None
        return {**webhook.json(), "pending": lane.pending if lane else 0, "last": last}

    def _asked_for(self, request: Request) -> Workspace:
        return self._workspace(request.query_params.get("workspace", ""))

    def _workspace(self, named: str) -> Workspace:
        found = [each for each in self._world.workspaces.values() if named in (each.id, each.name)]
        if len(found) != 1:
            raise not_found("workspace", named)
        return found[0]


def _exact(opportunity: Opportunity) -> dict[str, Any]:
    # A browser reads a number as a double: the page gets the digits instead.
    return {**opportunity.json(), "seats": str(opportunity.seats)}
