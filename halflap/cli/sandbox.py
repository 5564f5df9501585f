"""`halflap sandbox`: small real servers to develop against, on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import ssl
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import aiohttp
import click
from starlette.applications import Starlette

from halflap.cli.group import CommandGroup
from halflap.errors import ConfigError, HalflapError
from halflap_sandbox import acme, github, hubspot, salesforce, slack, specified, zendesk
from halflap_sandbox import run as serve
from halflap_sandbox.github import model as github_app
from halflap_sandbox.salesforce.entities import PASSWORD, SECURITY_TOKEN
from halflap_sandbox.slack.model import APP_TOKEN, CLIENT_ID, CLIENT_SECRET, SIGNING_SECRET

F = TypeVar("F", bound=Callable[..., Any])
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


def port_option(port: int) -> Callable[[F], F]:
    """Add the option that says where a sandbox listens."""
    return click.option(
        "--port", type=int, default=port, show_default=True, help="Where to listen."
    )


def names_option(flag: str, names: str, what: str) -> Callable[[F], F]:
    """Add the option that names the accounts with which a sandbox begins."""
    told = f"{what}; may be given more than once. One named demo otherwise."
    return click.option(flag, names, multiple=True, metavar="NAME", help=told)


@click.group("sandbox", cls=CommandGroup)
def sandbox() -> None:
    """Run a small real app to develop against."""


@sandbox.command("acme")
@port_option(8500)
@names_option("--workspace", "workspaces", "A workspace to begin with")
def acme_command(port: int, workspaces: tuple[str, ...]) -> None:
    """Acme, a sample SaaS app: accounts, opportunities, stock, signed webhooks, faults.

    Each workspace is a customer's, with an API key of its own. All is in memory.
    """
    keys = {name: f"acme-{name}-key" for name in checked(workspaces, "a workspace")}
    told = [f"  workspace {name:<12}  API key {key}" for name, key in keys.items()]
    run("acme", port, acme.create_app(workspaces=keys), told)


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@sandbox.command("salesforce")
@port_option(8600)
@names_option("--org", "orgs", "An org to begin with")
@click.option("--certificate", type=FILE, help="A certificate in PEM: serve https with it.")
@click.option("--private-key", type=FILE, help="Its private key, where it is in another file.")
@click.option(
    "--pubsub-port",
    type=click.IntRange(1, 65_535),
    help="Where its Pub/Sub API is to listen; nowhere otherwise.",
)
def salesforce_command(
    port: int,
    orgs: tuple[str, ...],
    certificate: Path | None,
    private_key: Path | None,
    pubsub_port: int | None,
) -> None:
    """Salesforce: OAuth, REST, SOQL, bulk, metadata, flows, outbound messages, events, faults.

    Each org is a customer's, with a user and a connected app of its own. All is in memory.
    """
    names = checked(orgs, "an org")
    if private_key is not None and certificate is None:
        raise ConfigError("--private-key belongs to a --certificate; give that too")
    scheme = "https" if certificate else "http"
    more: dict[str, str] = {}
    if pubsub_port is not None:
        host = "localhost" if certificate else "127.0.0.1"
        more["SALESFORCE_PUBSUB_URL"] = f"{scheme}://{host}:{pubsub_port}"
    told = [
        f"  org {name:<12}  user admin@{name}.example  password {PASSWORD}"
        f"  security token {SECURITY_TOKEN}\n"
        f"  {'':<16}  client id halflap-{name}  client secret secret-{name}"
        for name in names
    ]
    app = salesforce.create_app(
        salesforce.Settings(pubsub_port=pubsub_port),
        orgs=names,
        certificate=certificate,
        private_key=private_key,
    )
    run("salesforce", port, app, told, more, certificate=certificate, private_key=private_key)


@sandbox.command("slack")
@port_option(8700)
@names_option("--team", "teams", "A workspace to begin with")
def slack_command(port: int, teams: tuple[str, ...]) -> None:
    """Slack: the installation of an app, a bot's Web API, signed events, faults.

    Each workspace is a customer's. All is in memory.
    """
    names = checked(teams, "a workspace")
    told = [
        f"  client id {CLIENT_ID}  client secret {CLIENT_SECRET}",
        f"  signing secret {SIGNING_SECRET}  app-level token {APP_TOKEN}",
    ]
    run("slack", port, slack.create_app(teams=names), told)


@sandbox.command("github")
@port_option(8800)
@names_option("--account", "accounts", "A person with a repository hello")
def github_command(port: int, accounts: tuple[str, ...]) -> None:
    """GitHub: issues, pull requests, files, webhooks with their deliveries, an app, faults.

    Each account is a customer's. All is in memory.
    """
    names = checked(accounts, "an account")
    told = [f"  account {each:<12}  token ghp_{each}  repository {each}/hello" for each in names]
    told.append(
        f"  the app: client id {github_app.CLIENT_ID}  client secret {github_app.CLIENT_SECRET}"
        f"  webhook secret {github_app.WEBHOOK_SECRET}"
    )
    run("github", port, github.create_app(accounts=names), told, title="GitHub")


@sandbox.command("hubspot")
@port_option(8900)
@names_option("--portal", "portals", "A portal to begin with")
def hubspot_command(port: int, portals: tuple[str, ...]) -> None:
    """HubSpot: records of all types, search, associations, an app with its webhooks, faults.

    Each portal is a customer's. All is in memory.
    """
    names = checked(portals, "a portal")
    told = [f"  portal {name:<12}  token pat-{name}" for name in names]
    told.append(
        f"  the app: client id {hubspot.CLIENT_ID}  client secret {hubspot.CLIENT_SECRET}"
        "  which signs, too"
    )
    run("hubspot", port, hubspot.create_app(portals=names), told, title="HubSpot")


@sandbox.command("zendesk")
@port_option(9000)
@names_option("--account", "accounts", "An account to begin with")
def zendesk_command(port: int, accounts: tuple[str, ...]) -> None:
    """Zendesk: tickets, comments, people, organizations, search, the export, signed webhooks, faults.

    Each account is a customer's. All is in memory.
    """
    names = checked(accounts, "an account")
    emails = {name: zendesk.EMAIL.format(name=name) for name in names}
    told = [f"  account {n:<12}  e-mail {e}  API token token-{n}" for n, e in emails.items()]
    run("zendesk", port, zendesk.create_app(accounts=names), told)


@sandbox.command("stripe")
@port_option(9100)
def stripe_command(port: int) -> None:
    """Stripe, as its OpenAPI document describes it: what is made is found, listed and changed; faults.

    Requests are held to the document strictly. All is in memory.
    """
    serve_vendor(specified.STRIPE, port)


@sandbox.command("twilio")
@port_option(9200)
def twilio_command(port: int) -> None:
    """Twilio, as its OpenAPI documents describe it: messages, calls and look-ups; faults.

    Requests are held to the documents strictly. Nothing is sent. All is in memory.
    """
    serve_vendor(specified.TWILIO, port)


@sandbox.command("jira")
@port_option(9300)
def jira_command(port: int) -> None:
    """Jira, as its OpenAPI document describes it: issues, comments, transitions, people; faults.

    Requests are held to the document strictly. It begins with a project, ACME. All is in memory.
    """
    serve_vendor(specified.JIRA, port)


def serve_vendor(dialect: specified.Dialect, port: int) -> None:
    """Run a sandbox that is made of the documents of a component."""
    folder = files("halflap.components") / dialect.name
    found = sorted((each for each in folder.iterdir() if each.name.endswith(".json")), key=str)
    documents = [json.loads(each.read_bytes()) for each in found]
    run(dialect.name, port, specified.create_app(dialect, documents))


def environment_of(prefix: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a connection as variables of the environment."""
    found: dict[str, str] = {}
    for name, value in values.items():
        place = f"{prefix}_{name}".upper()
        found |= {place: value} if isinstance(value, str) else environment_of(place, value)
    return found


def checked(given: Sequence[str], what: str) -> Sequence[str]:
    """Return the names that were given, or `demo`; refuse those that are none, and one that is twice."""
    names = given or ("demo",)
    for name in names:
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} cannot name {what}; use lower-case letters, digits and hyphens"
            )
    if len(set(names)) < len(names):
        raise ConfigError(f"{what} was given twice; give each another name")
    return names


def run(
    app: str,
    port: int,
    sandbox: Starlette,
    told: Sequence[str] = (),
    more: Mapping[str, str] = MappingProxyType({}),
    *,
    title: str = "",
    certificate: Path | None = None,
    private_key: Path | None = None,
) -> None:
    """Run a sandbox until a signal; say where it is, what is `told` of it, and the lines for `.env`.

    `more` are lines of it beside those of a connection to its first account.
    """

    async def show(bound: int) -> None:
        address = f"http{'s' if certificate else ''}://127.0.0.1:{bound}"
        url = f"{address}/sandbox/account"
        async with aiohttp.ClientSession() as http, http.get(url, ssl=False) as answer:
            values = (await answer.json())["values"]
        named = click.style(title or app.capitalize(), bold=True)
        click.echo(f"{named}  {click.style(address + '/', fg='cyan')}")
        for each in told:
            click.echo(each)
        click.echo("\nFor your .env:")
        for name, value in {**environment_of(app, values), **more}.items():
            click.echo(click.style(f"  {name}={value}", bold=True))
        click.echo("\nAll is in memory. Ctrl-C stops.")

    async def until_stopped() -> None:
        loop = asyncio.get_running_loop()
        bound: asyncio.Future[int] = loop.create_future()
        serving = asyncio.ensure_future(
            serve(
                sandbox,
                port=port,
                ready=bound.set_result,
                certificate=certificate,
                private_key=private_key,
            )
        )
        here = asyncio.current_task()
        assert here is not None
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, here.cancel)
        try:
            await asyncio.wait([bound, serving], return_when=asyncio.FIRST_COMPLETED)
            if bound.done():
                await show(bound.result())
            await serving
        except asyncio.CancelledError:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving

    try:
        asyncio.run(until_stopped())
    except ssl.SSLError as error:
        raise ConfigError(
            f"The certificate cannot be used: {error.reason or error}. "
            "Give one in PEM, and the private key that belongs to it."
        ) from error
    except OSError as error:
        raise HalflapError(
            f"Cannot listen on port {port}: {error.strerror or error}. "
            "Stop what uses it, or choose another with --port."
        ) from error
    click.echo("stopped; what was in it is gone")
