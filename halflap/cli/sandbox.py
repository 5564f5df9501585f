"""`halflap sandbox`: small real servers to develop against, on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal

import click

from halflap.cli.group import Group
from halflap.errors import ConfigError, HalflapError
from halflap.sandbox import acme

PORT = 8500
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@click.group("sandbox", cls=Group)
def sandbox() -> None:
    """Run a small real app to develop against."""


@sandbox.command("acme")
@click.option("--port", type=int, default=PORT, show_default=True, help="Where to listen.")
@click.option(
    "--workspace",
    "workspaces",
    multiple=True,
    metavar="NAME",
    help="A workspace to begin with; may be given more than once. One named demo otherwise.",
)
def acme_command(port: int, workspaces: tuple[str, ...]) -> None:
    """Acme, a sample SaaS app: accounts, opportunities, stock, signed webhooks, faults.

    Each workspace is a customer's, with an API key of its own. All is in memory.
    """
    names = workspaces or ("demo",)
    for name in names:
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} cannot name a workspace; use lower-case letters, digits and hyphens"
            )
    if len(set(names)) < len(names):
        raise ConfigError("two workspaces have the same name; give each another one")
    asyncio.run(serve(port, {name: api_key(name) for name in names}))


def api_key(workspace: str) -> str:
    """The API key of a workspace: the same after every start, so that a `.env` stays right."""
    return f"acme-{workspace}-key"


async def serve(port: int, workspaces: dict[str, str]) -> None:
    """Run an Acme until a signal."""
    serving = asyncio.ensure_future(
        acme.serve(port=port, workspaces=workspaces, ready=lambda bound: show(bound, workspaces))
    )
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, serving.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    except OSError as error:
        raise HalflapError(
            f"Cannot listen on port {port}: {error.strerror or error}. "
            "Stop what uses it, or choose another with --port."
        ) from error
    click.echo("stopped; what was in it is gone")


def show(port: int, workspaces: dict[str, str]) -> None:
    """Say where it is and what to put into `.env`."""
    address = f"http://127.0.0.1:{port}"
    click.echo(click.style("Acme", bold=True) + f"  {click.style(address + '/', fg='cyan')}")
    for name, key in workspaces.items():
        click.echo(f"  workspace {name:<12}  API key {key}")
    click.echo("\nFor your .env:")
    click.echo(click.style(f"  ACME_BASE_URL={address}/v1", bold=True))
    click.echo(click.style(f"  ACME_API_KEY={next(iter(workspaces.values()))}", bold=True))
    click.echo("\nAll is in memory. Ctrl-C stops.")
