"""The form of a version's config: its pages, their fields, their choices, and its connections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from fastapi import HTTPException
from pydantic.fields import FieldInfo

from halflap.api.asking import Ops, for_customers, needs, router_of
from halflap.api.components import form, schema
from halflap.api.integrations import config_schema
from halflap.api.operations.kinds import Kind, name_of, title_of
from halflap.api.problem import documented
from halflap.api.view import (
    ChoicesView,
    ConfigFormField,
    ConfigFormPage,
    ConnectionSlot,
    FormView,
    SourceDraft,
)
from halflap.errors import DefinitionError
from halflap.sdk.integration import Integration

CONNECT, OPTIONS = "Connect", "Options"
"""The pages of the fields that name none: connections, and all others."""
TIMED = {
    ("schedule.cron", "expression"): "cron",
    ("schedule.cron", "tz"): "time-zone",
    ("schedule.every", "tz"): "time-zone",
}
"""By a trigger and its input, the format of the text that it takes."""

router = router_of("/api", "integrations")


@router.get("/integrations/{integration}/versions/{version}/form")
@for_customers
@needs("read")
async def get_form(integration: str, version: str, operations: Ops) -> FormView:
    """Return the form of a version's config: pages of fields in their order, connections with them.

    The version is a number, a hash or a target; a customer's token sees the offered one, and those of
    its instances.
    """
    named = await operations.offers.for_connection(integration, version)
    found = await operations.versions.get(integration, named or version)
    loaded, error = await operations.versions.load(found.hash)
    if loaded is None:
        raise DefinitionError(error or "")
    team = await operations.oauth_apps.components()
    return FormView.of(
        loaded, integration=integration, version=found, pages=pages(loaded, frozenset(team))
    )


def pages(integration: Integration[Any], team: frozenset[str]) -> list[ConfigFormPage]:
    """Return the pages of a config; fields that name no page come to one for their kind."""
    found: dict[str, list[ConfigFormField]] = {}
    connections = integration.connections()
    if any(page_of(integration.config.model_fields[each]) is None for each in connections):
        found[CONNECT] = []
    for name, page, field in fields(integration, team):
        found.setdefault(page or (CONNECT if name in connections else OPTIONS), []).append(field)
    return [ConfigFormPage(title=title, fields=each) for title, each in found.items()]


def fields(
    integration: Integration[Any], team: frozenset[str]
) -> Iterator[tuple[str, str | None, ConfigFormField]]:
    """Yield the fields of a config in their order, each with its name and the page that it names."""
    connections = integration.connections()
    plain = schema(lambda: config_schema(integration))
    properties: dict[str, Any] = plain.get("properties", {})
    formats = dict(formats_of(integration))
    for name, info in integration.config.model_fields.items():
        kind = connections.get(name)
        described: dict[str, Any] = dict(properties.get(name, {}))
        if "$defs" in plain:
            described["$defs"] = plain["$defs"]
        if name in formats:
            described["format"] = formats[name]
        yield (
            name,
            page_of(info),
            ConfigFormField(
                name=name,
                title=info.title or described.get("title") or words(name),
                description=info.description or "",
                required=info.is_required(),
                value=None if kind is not None else described,
                connection=None if kind is None else slot(kind, team),
            ),
        )


def slot(kind: Kind, team: frozenset[str]) -> ConnectionSlot:
    """Return what a connection's field takes."""
    component = name_of(kind)
    return ConnectionSlot(
        component=component, title=title_of(kind), form=form(kind, team=component in team)
    )


def formats_of(integration: Integration[Any]) -> Iterator[tuple[str, str]]:
    """Yield the fields that a schedule reads, with the format that it takes."""
    for flow in integration.flows.values():
        for name, reference in flow.trigger.references.items():
            known = TIMED.get((flow.trigger.name, name))
            if known is not None:
                yield reference.name, known


def page_of(info: FieldInfo) -> str | None:
    """Return the page that a field names."""
    extra: Any = info.json_schema_extra
    page = cast("dict[str, Any]", extra).get("x-page") if isinstance(extra, dict) else None
    return page if isinstance(page, str) else None


def words(name: str) -> str:
    """Return a field's name as words."""
    return name.replace("_", " ").capitalize()


@router.post("/sources", responses=documented(502))
@for_customers
@needs("configure", audited="no")
async def list_choices(draft: SourceDraft, operations: Ops) -> ChoicesView:
    """List the choices of a config's field, or of an action's input, with a connection.

    A customer's token lists those of fields, with the connections that its config may name.
    """
    if operations.customer is not None and draft.field is None:
        raise HTTPException(403, "This is for the team's token; yours lists the config's fields.")
    page = await operations.sources.choices(draft)
    return ChoicesView.of(page)
