"""The installed components, with the schemas of forms, and the sandbox apps beside the server."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Query, Response

from halflap.api.asking import Ops, exact, for_customers, needs, router_of
from halflap.api.operations.sandboxes import FoundSandbox
from halflap.api.view import CallView, ComponentView
from halflap.errors import DefinitionError
from halflap.sdk import registry
from halflap.sdk.action import Action
from halflap.sdk.component import Component
from halflap.sdk.connection import Connection
from halflap.sdk.trigger import Trigger

CLIENT = ("client_id", "client_secret")

router = router_of("/api", "components")


@router.get("/components", response_model=list[ComponentView])
@for_customers
@needs("read")
async def list_components(
    operations: Ops,
    schemas: Annotated[
        bool, Query(description="False leaves out what actions and triggers take and give.")
    ] = True,
) -> Response:
    """The installed components, by name."""
    team = await operations.oauth_apps.components()

    def answer() -> Response:
        names = registry.names()
        return exact([component_view(name, name in team, schemas=schemas) for name in names])

    # Once for a process they are imported, and the schemas of hundreds of operations are made.
    return await anyio.to_thread.run_sync(answer)


def component_view(name: str, team: bool = False, *, schemas: bool = True) -> ComponentView:
    """A component, or why it does not load."""
    try:
        found = registry.component(name)
    except DefinitionError as error:
        return ComponentView(
            name=name, title=name, description="", actions=[], triggers=[], error=error.message
        )
    return loaded_view(found, team, schemas)


@lru_cache(1_000)
def loaded_view(found: Component, team: bool, schemas: bool) -> ComponentView:
    """Return a component that loaded; its schemas are made once, as no request can change them."""
    kind = found.connection
    return ComponentView.of(
        found,
        actions=[
            call_view(each, pure=each.pure, schemas=schemas) for each in found.actions.values()
        ],
        triggers=[call_view(each, pure=False, schemas=schemas) for each in found.triggers.values()],
        connection=None if kind is None else form(kind, team=team),
    )


def call_view(call: Action[..., Any] | Trigger[..., Any], *, pure: bool, schemas: bool) -> CallView:
    """An action or a trigger."""
    return CallView.of(
        call,
        description=call.description,
        inputs=schema(call.shape.json_schema) if schemas else {},
        output=schema(call.shape.output_schema) if schemas else {},
        pure=pure,
    )


def form(kind: type[Connection], *, team: bool) -> dict[str, Any]:
    """Return the JSON Schema of what a connection is made of.

    With `team`, it asks for no client to sign in with: the team's own OAuth app is used.
    """
    found = schema(kind.model_json_schema)
    for each in (found, *found.get("$defs", {}).values()) if team else ():
        fields: dict[str, Any] = each.get("properties", {})
        if fields.get("kind", {}).get("const") == "oauth2_code":
            each["properties"] = {name: fields[name] for name in fields if name not in CLIENT}
            each["required"] = [name for name in each.get("required", ()) if name not in CLIENT]
    return found


def schema(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A JSON Schema; of what has none (a function, say), that it may be anything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a default that JSON has no word for is left out
        try:
            return make()
        except Exception as error:
            return {"description": f"has no JSON Schema: {error}".splitlines()[0]}


@router.get("/sandboxes")
@needs("configure")
async def list_sandboxes(operations: Ops) -> list[FoundSandbox]:
    """Return the sandbox apps, each as this server reaches it at the addresses of HALFLAP_SANDBOXES."""
    return await operations.sandboxes.found()
