"""`halflap sandbox`: small real servers to develop against, on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import ssl
from collections.abc import Callable, Coroutine, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import click

from halflap.cli.group import CommandGroup
from halflap.errors import ConfigError, HalflapError
from halflap_sandbox import acme, github, hubspot, salesforce, slack, specified, zendesk
from halflap_sandbox.github import model as github_app
from halflap_sandbox.salesforce.entities import PASSWORD, SECURITY_TOKEN
from halflap_sandbox.slack.model import APP_TOKEN, CLIENT_ID, CLIENT_SECRET, SIGNING_SECRET

PORT = 8500
SALESFORCE_PORT = 8600
SLACK_PORT = 8700
GITHUB_PORT = 8800
HUBSPOT_PORT = 8900
ZENDESK_PORT = 9000
STRIPE_PORT = 9100
TWILIO_PORT = 9200
JIRA_PORT = 9300
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
@port_option(PORT)
@names_option("--workspace", "workspaces", "A workspace to begin with")
def acme_command(port: int, workspaces: tuple[str, ...]) -> None:
    """Acme, a sample SaaS app: accounts, opportunities, stock, signed webhooks, faults.

    Each workspace is a customer's, with an API key of its own. All is in memory.
    """
    names = checked(workspaces, "a workspace")
    keys = {name: api_key(name) for name in names}
    serving = acme.serve(port=port, workspaces=keys, ready=lambda bound: show(bound, keys))
    asyncio.run(serve(port, serving))


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@sandbox.command("salesforce")
@port_option(SALESFORCE_PORT)
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
    serving = salesforce.serve(
        port=port,
        settings=salesforce.Settings(pubsub_port=pubsub_port),
        orgs=names,
        certificate=certificate,
        private_key=private_key,
        ready=lambda bound: show_salesforce(f"{scheme}://127.0.0.1:{bound}", names, more),
    )
    asyncio.run(serve(port, serving))


@sandbox.command("slack")
@port_option(SLACK_PORT)
@names_option("--team", "teams", "A workspace to begin with")
def slack_command(port: int, teams: tuple[str, ...]) -> None:
    """Slack: the installation of an app, a bot's Web API, signed events, faults.

    Each workspace is a customer's. All is in memory.
    """
    names = checked(teams, "a workspace")
    serving = slack.serve(port=port, teams=names, ready=show_slack)
    asyncio.run(serve(port, serving))


@sandbox.command("github")
@port_option(GITHUB_PORT)
@names_option("--account", "accounts", "A person with a repository hello")
def github_command(port: int, accounts: tuple[str, ...]) -> None:
    """GitHub: issues, pull requests, files, webhooks with their deliveries, an app, faults.

    Each account is a customer's. All is in memory.
    """
    names = checked(accounts, "an account")
    serving = github.serve(port=port, accounts=names, ready=lambda bound: show_github(bound, names))
    asyncio.run(serve(port, serving))


@sandbox.command("hubspot")
@port_option(HUBSPOT_PORT)
@names_option("--portal", "portals", "A portal to begin with")
def hubspot_command(port: int, portals: tuple[str, ...]) -> None:
    """HubSpot: records of all types, search, associations, an app with its webhooks, faults.

    Each portal is a customer's. All is in memory.
    """
    names = checked(portals, "a portal")
    serving = hubspot.serve(
        port=port, portals=names, ready=lambda bound: show_hubspot(bound, names)
    )
    asyncio.run(serve(port, serving))


@sandbox.command("zendesk")
@port_option(ZENDESK_PORT)
@names_option("--account", "accounts", "An account to begin with")
def zendesk_command(port: int, accounts: tuple[str, ...]) -> None:
    """Zendesk: tickets, comments, people, organizations, search, the export, signed webhooks, faults.

    Each account is a customer's. All is in memory.
    """
    names = checked(accounts, "an account")
    serving = zendesk.serve(
        port=port, accounts=names, ready=lambda bound: show_zendesk(bound, names)
    )
    asyncio.run(serve(port, serving))


@sandbox.command("stripe")
@port_option(STRIPE_PORT)
def stripe_command(port: int) -> None:
    """Stripe, as its OpenAPI document describes it: what is made is found, listed and changed; faults.

    Requests are held to the document strictly. All is in memory.
    """
    serve_vendor(specified.STRIPE, port)


@sandbox.command("twilio")
@port_option(TWILIO_PORT)
def twilio_command(port: int) -> None:
    """Twilio, as its OpenAPI documents describe it: messages, calls and look-ups; faults.

    Requests are held to the documents strictly. Nothing is sent. All is in memory.
    """
    serve_vendor(specified.TWILIO, port)


@sandbox.command("jira")
@port_option(JIRA_PORT)
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

    def show_vendor(bound: int) -> None:
        address = f"http://127.0.0.1:{bound}"
        title = dialect.name.capitalize()
        show_title(title, address)
        show_environment(**environment_of(dialect.name, dialect.values(address)))

    asyncio.run(serve(port, specified.serve(dialect, documents, port=port, ready=show_vendor)))


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


def api_key(workspace: str) -> str:
    """The API key of a workspace: the same after every start, so that a `.env` stays right."""
    return f"acme-{workspace}-key"


async def serve(port: int, app: Coroutine[None, None, None]) -> None:
    """Run a sandbox until a signal."""
    serving = asyncio.ensure_future(app)
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, serving.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await serving
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


def show(port: int, workspaces: dict[str, str]) -> None:
    """Say where Acme is and what to put into `.env`."""
    address = f"http://127.0.0.1:{port}"
    show_title("Acme", address)
    for name, key in workspaces.items():
        click.echo(f"  workspace {name:<12}  API key {key}")
    show_environment(ACME_BASE_URL=f"{address}/v1", ACME_API_KEY=next(iter(workspaces.values())))


def show_salesforce(address: str, orgs: Sequence[str], more: dict[str, str]) -> None:
    """Say where Salesforce is, how to sign in, and what to put into `.env`."""
    show_title("Salesforce", address)
    for name in orgs:
        click.echo(
            f"  org {name:<12}  user admin@{name}.example  password {PASSWORD}"
            f"  security token {SECURITY_TOKEN}\n"
            f"  {'':<16}  client id halflap-{name}  client secret secret-{name}"
        )
    show_environment(
        SALESFORCE_LOGIN_URL=address,
        SALESFORCE_AUTH_KIND="client_credentials",
        SALESFORCE_AUTH_CLIENT_ID=f"halflap-{orgs[0]}",
        SALESFORCE_AUTH_CLIENT_SECRET=f"secret-{orgs[0]}",
        **more,
    )


def show_slack(port: int) -> None:
    """Say where Slack is, how its app signs in, and what to put into `.env`."""
    address = f"http://127.0.0.1:{port}"
    show_title("Slack", address)
    click.echo(f"  client id {CLIENT_ID}  client secret {CLIENT_SECRET}")
    click.echo(f"  signing secret {SIGNING_SECRET}  app-level token {APP_TOKEN}")
    show_environment(SLACK_BASE_URL=f"{address}/api")


def show_github(port: int, names: Sequence[str]) -> None:
    """Say where GitHub is, how one signs in, and what to put into `.env`."""
    address = f"http://127.0.0.1:{port}"
    show_title("GitHub", address)
    for name in names:
        click.echo(f"  account {name:<12}  token ghp_{name}  repository {name}/hello")
    click.echo(
        f"  the app: client id {github_app.CLIENT_ID}  client secret {github_app.CLIENT_SECRET}"
        f"  webhook secret {github_app.WEBHOOK_SECRET}"
    )
    show_environment(
        GITHUB_BASE_URL=address,
        GITHUB_AUTH_KIND="api_key",
        GITHUB_AUTH_KEY=f"ghp_{names[0]}",
        GITHUB_REPOSITORY=f"{names[0]}/hello",
    )


def show_hubspot(port: int, names: Sequence[str]) -> None:
    """Say where HubSpot is, how one signs in, and what to put into `.env`."""
    address = f"http://127.0.0.1:{port}"
    show_title("HubSpot", address)
    for name in names:
        click.echo(f"  portal {name:<12}  token pat-{name}")
    click.echo(
        f"  the app: client id {hubspot.CLIENT_ID}  client secret {hubspot.CLIENT_SECRET}"
        "  which signs, too"
    )
    show_environment(
        HUBSPOT_BASE_URL=address, HUBSPOT_AUTH_KIND="api_key", HUBSPOT_AUTH_KEY=f"pat-{names[0]}"
    )


def show_zendesk(port: int, names: Sequence[str]) -> None:
    """Say where Zendesk is, how one signs in, and what to put into `.env`."""
    address = f"http://127.0.0.1:{port}"
    show_title("Zendesk", address)
    for name in names:
        email = zendesk.EMAIL.format(name=name)
        click.echo(f"  account {name:<12}  e-mail {email}  API token token-{name}")
    show_environment(
        ZENDESK_HOST=address,
        ZENDESK_SUBDOMAIN=names[0],
        ZENDESK_EMAIL=zendesk.EMAIL.format(name=names[0]),
        ZENDESK_API_TOKEN=f"token-{names[0]}",
    )


def show_title(title: str, address: str) -> None:
    """Say what runs, and where."""
    click.echo(click.style(title, bold=True) + f"  {click.style(address + '/', fg='cyan')}")


def show_environment(**variables: str) -> None:
    """Say what to put into `.env`."""
    click.echo("\nFor your .env:")
    for name, value in variables.items():
        click.echo(click.style(f"  {name}={value}", bold=True))
    click.echo("\nAll is in memory. Ctrl-C stops.")
