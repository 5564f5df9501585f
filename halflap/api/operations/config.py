"""Judges a config before anything is made of it: every wrong field is named at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from halflap.api.operations import finding
from halflap.api.operations.connections import needs_sign_in
from halflap.api.operations.kinds import name_of
from halflap.api.operations.sources import Sources
from halflap.errors import ConfigError, Conflict, DefinitionError, NotFound
from halflap.model import StoredConnection
from halflap.sdk.connection import Connection
from halflap.sdk.integration import Integration
from halflap.sdk.schema import Config
from halflap.sdk.secret import config_error, put_together
from halflap.store.catalogue import Catalogue


@dataclass(slots=True)
class Configs:
    """Checks configs against what integrations ask for."""

    catalogue: Catalogue
    sources: Sources

    async def check(
        self,
        integration: Integration[Any],
        customer: str,
        config: Mapping[str, Any],
        connections: Mapping[str, str],
        *,
        signed_in: bool = False,
        before: tuple[Mapping[str, Any], Mapping[str, str]] | None = None,
    ) -> tuple[dict[str, str], Config]:
        """The connections' ids by field, where all is complete and right.

        Else `ConfigError` with every wrong field. Connections are named by id or name; each has to
        be the customer's or the team's, and of the type that its field wants; with `signed_in`,
        somebody has to have signed in where that is the way in. With `before`, the config and
        connections of the former revision, what is new is checked against the choices that apps list.
        """
        wanted = integration.connections()
        wrong = {
            name: "is no connection of this integration's config"
            for name in connections
            if name not in wanted
        }
        ids: dict[str, str] = {}
        values: dict[str, Any] = {
            name: value for name, value in config.items() if name not in wanted
        }
        for name, kind in wanted.items():
            if name in config:
                wrong[name] = "is a connection: name it under `connections`"
            elif name not in connections:
                wrong[name] = f"choose a connection ({name_of(kind)})"
            else:
                try:
                    stored = await finding.connection(self.catalogue, connections[name], customer)
                    values[name] = await self._connection(kind, stored)
                    ids[name] = stored.id
                    if signed_in and needs_sign_in(stored):
                        wrong[name] = f"nobody has signed in to {stored.name!r} yet; authorize it"
                except (ConfigError, NotFound, Conflict) as error:
                    wrong[name] = error.message
        made, wrong = fill(integration, values, wrong)
        if before is not None:
            wrong |= await self.sources.refused(integration, customer, config, ids, before, wrong)
        if made is None or wrong:
            listed = "; ".join(f"{name}: {message}" for name, message in wrong.items())
            raise ConfigError(
                f"the config of {integration.name} is not valid: {listed}", fields=wrong
            )
        return ids, made

    async def _connection(self, kind: type[Connection], stored: StoredConnection) -> Connection:
        name = name_of(kind)
        if stored.component != name:
            raise ConfigError(
                f"{stored.name!r} is a connection to {stored.component}, not to {name}"
            )
        secrets = await self.catalogue.connections.open_secrets(stored.id)
        return put_together(kind, stored.fields, secrets)


def fill(
    integration: Integration[Any], values: Mapping[str, Any], wrong: Mapping[str, str]
) -> tuple[Config | None, dict[str, str]]:
    """Return the config of these values, or None and what is wrong with each field."""
    made: Config | None = None
    try:
        made = integration.config.model_validate(values)
    except ValidationError as error:
        # What was said of a connection stands: Pydantic only knows that it is missing.
        wrong = config_error("", error).fields | dict(wrong)
    fields = {name.partition(".")[0] for name in wrong}
    given = values if made is None else vars(made)
    right = {name: value for name, value in given.items() if name not in fields}
    wrong = {**refused_by_triggers(integration, right), **wrong}
    return (None if wrong else made), wrong


def refused_by_triggers(integration: Integration[Any], values: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields whose values a trigger refuses, and why: a cron expression, a time zone."""
    wrong: dict[str, str] = {}
    for flow in integration.flows.values():
        kind, inputs = flow.trigger.trigger, flow.trigger.inputs
        references = flow.trigger.references.items()
        fields = {name: each.name for name, each in references if each.name in values}
        optional = [each for each in kind.shape.inputs if each.name in fields and not each.required]
        defaults = {each.name: each.default for each in optional}
        while fields:
            given = {name: values[field] for name, field in fields.items()}
            try:
                kind.declaration(kind.put({**inputs, **defaults}, given))
                break
            except (DefinitionError, ValueError) as error:
                message = error.message if isinstance(error, DefinitionError) else str(error)
            # Where the trigger does not say which of several values it refuses, all are named.
            named = [name for name in fields if repr(given[name]) in message] or [*fields]
            wrong |= {fields.pop(name): message for name in named}  # the others are looked at, too
    return wrong
