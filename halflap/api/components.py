"""The installed components, with the schemas that forms are made of."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from halflap.api.asking import for_customers, router_of
from halflap.api.view import CallView, ComponentView
from halflap.errors import DefinitionError
from halflap.sdk import registry
from halflap.sdk.action import Action
from halflap.sdk.trigger import Trigger

router = router_of("/api/components", "components")


@router.get("")
@for_customers
async def list_components() -> list[ComponentView]:
    """The installed components, by name."""
    return [component_view(name) for name in registry.names()]


def component_view(name: str) -> ComponentView:
    """A component, or why it does not load."""
    try:
        found = registry.component(name)
    except DefinitionError as error:
        return ComponentView(
            name=name, title=name, description="", actions=[], triggers=[], error=error.message
        )
    kind = found.connection
    return ComponentView(
        name=found.name,
        title=found.title,
        description=found.description,
        actions=[call_view(each, pure=each.pure) for each in found.actions.values()],
        triggers=[call_view(each, pure=False) for each in found.triggers.values()],
        connection=None if kind is None else schema(kind.model_json_schema),
    )


def call_view(call: Action[..., Any] | Trigger[..., Any], *, pure: bool) -> CallView:
    """An action or a trigger."""
    return CallView(
        name=call.name,
        title=call.title,
        description=call.shape.description,
        inputs=schema(call.shape.json_schema),
        output=schema(call.shape.output_schema),
        pure=pure,
    )


def schema(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A JSON Schema; of what has none (a function, say), that it may be anything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a default that JSON has no word for is left out
        try:
            return make()
        except Exception as error:
            return {"description": f"has no JSON Schema: {error}".splitlines()[0]}
