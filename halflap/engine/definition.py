"""Refusals of an integration's definition as it is published, though it loads."""

from __future__ import annotations

from typing import Any, cast

from halflap.errors import DefinitionError
from halflap.sdk.action import Action
from halflap.sdk.integration import Integration
from halflap.sdk.schema import Source, is_secret, sides_of, source_of


def check_definition(integration: Integration[Any]) -> None:
    """Refuse what would only fail once a customer activates it."""
    check_config_sources(integration)
    for flow in integration.flows.values():
        trigger = flow.trigger.trigger
        if integration.connection_for(flow) is None and trigger.needs_connection:
            raise DefinitionError(
                f"the flow {flow.name} is started by {trigger.name}, which calls {trigger.component}, so "
                "the config needs a connection of its type, and has none",
                where=flow.where,
            )
    for name, field in integration.config.model_fields.items():
        if is_secret(field.annotation):
            raise DefinitionError(
                f"the config field {name!r} is a secret, which a config cannot keep; put it into a "
                "Connection, whose secrets are sealed",
                where=integration.name,
            )


def check_config_sources(definition: Integration[Any]) -> None:
    """Refuse sources of a config that cannot list: `DefinitionError` says why."""
    for name, source in config_sources(definition).items():
        action = list_action(source)
        if action.shape.connection_type is not None:
            connection_field(source, definition)
        known = action.shape.by_name
        given = {*source.fields, *source.inputs}
        message = ""
        if unknown := [each for each in given if each not in known]:
            message = f"{action.name} has no input {unknown[0]!r}; its inputs: {', '.join(known)}"
        elif lacks := [
            each.name for each in known.values() if each.required and each.name not in given
        ]:
            message = f"{action.name} needs {lacks[0]!r}: name the field that gives it in `depends`"
        elif strange := [
            each for each in source.fields.values() if each not in definition.config.model_fields
        ]:
            message = f"the config has no field {strange[0]!r}, on which it depends"
        if message:
            raise DefinitionError(f"the source of the config field {name!r}: {message}")


def config_sources(definition: Integration[Any]) -> dict[str, Source]:
    """Return the sources of a config's fields, by field; of a mapping's sides, by `field.of` and
    `field.to`.
    """
    found: dict[str, Source] = {}
    for name, info in definition.config.model_fields.items():
        source = source_of(info.annotation, info.metadata)
        found |= {} if source is None else {name: source}
        found |= {f"{name}.{side}": each for side, each in sides_of(info.annotation).items()}
    return found


def list_action(source: Source) -> Action[..., Any]:
    """Return the action that lists; a plain function cannot be called with a connection."""
    listing: Any = source.list
    if not isinstance(listing, Action):
        raise DefinitionError(f"Source({listing!r}): give it an action of a component")
    return cast("Action[..., Any]", listing)


def connection_field(source: Source, definition: Integration[Any]) -> str:
    """Return the config's connection that a source lists with."""
    action = list_action(source)
    wanted = action.shape.connection_type
    known = definition.connections()
    names = [each for each, kind in known.items() if wanted and issubclass(kind, wanted)]
    if source.connection is not None and source.connection in names:
        return source.connection
    if source.connection is not None or len(names) != 1:
        raise DefinitionError(
            f"{action.name} lists choices for the config of {definition.name}, which has "
            f"{', '.join(names) or 'no connection'} of its type; name one: "
            f"Source({action.short_name}, connection=…)"
        )
    return names[0]
