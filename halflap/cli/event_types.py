"""`halflap event-types`, `halflap events publish`, `events send`: events of your product, or of apps."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import click

from halflap.api.event_view import EventTypeView, PublishedEvent
from halflap.api.view import InstanceView, ListPage
from halflap.cli.client import Client
from halflap.cli.group import CommandGroup
from halflap.cli.output import Output, ago
from halflap.cli.project import Project, ProjectEntry
from halflap.cli.reach import speaks
from halflap.errors import ConfigError, HalflapError, NotFound
from halflap.sdk import codec


@click.group("event-types", cls=CommandGroup)
def event_types() -> None:
    """Manage the types of your own product's events, which start customers' flows.

    Example: halflap event-types list
    """


@event_types.command("list")
@speaks()
async def list_event_types(api: Client, output: Output) -> None:
    """List the types of your product's events.

    Example: halflap event-types list
    """
    output.listing(
        (await api.get(ListPage[EventTypeView], "event-types")).items,
        ("type", "version", "title", "changed"),
        lambda each: (
            each.name,
            str(each.version),
            each.title or each.description.partition("\n")[0],
            (ago(each.changed_at), "dim"),
        ),
        "no event types; your product declares them: docs/export.md",
    )


@event_types.command("show")
@click.argument("name")
@click.option("--version", type=int, help="Another than the newest.")
@speaks()
async def show_event_type(api: Client, output: Output, name: str, version: int | None) -> None:
    """Show a type with its JSON Schema.

    Example: halflap event-types show order.created
    """
    found = await api.get(EventTypeView, "event-types", name, version=version)
    output.answer(found, codec.encode(found.schema_).decode())


@event_types.command("openapi")
@speaks()
async def print_webhooks_document(api: Client, output: Output) -> None:
    """Print the OpenAPI document of the webhooks that your customers' receivers are sent.

    Example: halflap event-types openapi
    """
    found = await api.get(dict[str, Any], "event-types", "openapi.json")
    output.answer(found, codec.encode(found).decode())


@event_types.command("declare")
@click.argument("file", type=click.File("rb"))
@speaks()
async def declare_event_types(api: Client, output: Output, file: BinaryIO) -> None:
    """Declare types of a JSON file: {"types": [{"name": …, "schema": …}]}.

    Example: halflap event-types declare event-types.json
    """
    found = await api.put(ListPage[EventTypeView], "event-types", json=json_of(file))
    names = [f"{each.name} {each.version}" for each in found.items]
    output.answer(found, f"declared {', '.join(names)}")


@event_types.command("remove")
@click.argument("name")
@speaks()
async def remove_event_type(api: Client, output: Output, name: str) -> None:
    """Remove a type with all its versions: such events are refused from then on.

    Example: halflap event-types remove order.created
    """
    await api.delete("event-types", name)
    output.answer({"removed": name}, f"removed {name}")


@click.command("publish")
@click.argument("customer")
@click.argument("type")
@click.option(
    "--data",
    type=click.File("rb"),
    metavar="FILE",
    help="Its data as JSON; {} otherwise, - is stdin.",
)
@click.option("--subject", metavar="ID", help="The record that it is about.")
@click.option(
    "--key",
    "idempotency_key",
    metavar="KEY",
    help="Its idempotency key: the same one is published once.",
)
@speaks()
async def publish_event(
    api: Client, output: Output, customer: str, data: BinaryIO | None, **draft: Any
) -> None:
    """Publish an event of your product for a customer, as your product does.

    Example: halflap events publish acme order.created --data order.json
    """
    draft = {name: each for name, each in draft.items() if each}
    draft["data"] = {} if data is None else json_of(data)
    found = await api.post(PublishedEvent, "customers", customer, "events", json=draft)
    started = " ".join(found.executions) or "no flow of the customer takes it"
    again = " (published before)" if found.duplicate else ""
    output.answer(found, f"{found.id}: {started}{again}")


def json_of(file: BinaryIO) -> Any:
    """Return what a file has as JSON."""
    try:
        return codec.decode(file.read())
    except codec.NotJson as error:
        raise ConfigError(f"{file.name} is not JSON: {error}") from error


DEV_CUSTOMER = "dev"


@click.command("send")
@click.argument("flow")
@click.option("--integration", metavar="NAME", help="Whose flow, where the project has several.")
@click.option(
    "--body", type=click.File("rb"), metavar="FILE", help="Its body; {} otherwise, - is stdin."
)
@speaks()
async def send_event(
    api: Client, output: Output, flow: str, integration: str | None, body: BinaryIO | None
) -> None:
    """Send an event to a flow that `halflap dev` runs, signed as its sender would sign it.

    Example: halflap events send incoming --body sample.json
    """
    project = Project.read()
    entry = project.integration(integration)
    found = await api.get(InstanceView, "instances", entry.name, customer=DEV_CUSTOMER)
    if flow not in found.urls:
        known = ", ".join(found.urls) or "none"
        raise NotFound(f"{entry.name} has no URL for a flow {flow!r}; it has: {known}")
    secrets = await api.get(dict[str, str], "instances", found.id, "secrets")
    url, data = found.urls[flow], b"{}" if body is None else body.read()
    method, headers = await asyncio.to_thread(
        signed, project.root, entry, flow, data, url, secrets.get(flow, "")
    )
    try:
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, url, data=data, headers=headers) as answer,
        ):
            shown: dict[str, Any] = {
                "status": answer.status,
                "body": await answer.text(errors="replace"),
            }
            shown["execution"] = answer.headers.get("halflap-execution")
    except aiohttp.ClientError as error:
        raise HalflapError(f"{url} cannot be reached: {error}; does halflap dev run?") from error
    if output.json:
        output.emit(shown)
    else:
        output.line(f"{shown['status']}  {shown['body']}".rstrip())
        if shown["execution"]:
            output.next(f"halflap executions show {shown['execution']}")
    if shown["status"] >= 400:
        raise click.exceptions.Exit(1)


def signed(
    root: Path, entry: ProjectEntry, flow: str, data: bytes, url: str, secret: str
) -> tuple[str, dict[str, str]]:
    """Return the method of an event for a flow of the working copy, and the headers that sign it."""
    # It takes most of a second to load what loads a project: only where it is needed.
    from halflap.engine.bundle import pack
    from halflap.engine.integration import load_integration
    from halflap.engine.loader import unload
    from halflap.sdk.signature import sender_headers

    bundle = pack(root, entry.entry)
    with tempfile.TemporaryDirectory(prefix="halflap-send-") as cache:
        try:
            flows = load_integration(bundle, Path(cache)).flows
            if flow not in flows:
                raise NotFound(f"the working copy of {entry.name} has no flow {flow!r}")
            declared = flows[flow].trigger.declaration
        finally:
            unload(bundle.hash)
    method = "POST" if "POST" in declared.methods else declared.methods[0]
    now = datetime.now(UTC)
    return method, sender_headers(declared.verify, data, secret, now, method=method, url=url)
