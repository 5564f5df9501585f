"""`halflap events send`: an event for a flow that `halflap dev` runs, signed as its sender signs."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import click

from halflap.api.view import InstanceView
from halflap.cli.client import Client
from halflap.cli.output import Output
from halflap.cli.project import Project, ProjectEntry
from halflap.cli.reach import speaks
from halflap.errors import HalflapError, NotFound
from halflap.sdk.signature import sender_headers

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
