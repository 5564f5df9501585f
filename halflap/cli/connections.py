"""`halflap connections`: accounts of apps, tested before they are saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from halflap.api.view import (
    ComponentView,
    ConnectionDetail,
    ConnectionView,
    CustomerView,
    IntegrationView,
    VersionView,
)
from halflap.cli import ask
from halflap.cli.amount import NUMBER, RATE, changed
from halflap.cli.client import Client
from halflap.cli.group import CommandGroup
from halflap.cli.output import Output, Part, ago, quoted, state
from halflap.cli.reach import customer_option, speaks, sure, yes_option
from halflap.cli.record import clock
from halflap.errors import NotFound


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument and the option that name a connection."""
    return click.argument("connection", metavar="CONNECTION")(customer_option(command))


async def find(api: Client, connection: str, customer: str | None) -> ConnectionDetail:
    """A connection, by id or name."""
    return await api.get(ConnectionDetail, "connections", connection, customer=customer)


def account_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what a connection's fields and secrets are."""
    for option in (
        click.option("--no-test", is_flag=True, help="Save it without testing it at the app."),
        click.option(
            "--secret",
            "hidden",
            multiple=True,
            metavar="NAME=SOURCE",
            help="Where a secret is: @FILE, env:NAME, or - for stdin.",
        ),
        click.option(
            "--field", "fields", multiple=True, metavar="NAME=VALUE", help="A field's value."
        ),
    ):
        command = option(command)
    return command


@click.group("connections", cls=CommandGroup)
def connections() -> None:
    """Accounts of apps, and their secrets.

    Example: halflap connections add warehouse.acme --customer Initech
    """


@connections.command("list")
@customer_option
@speaks()
async def list_connections(api: Client, output: Output, customer: str | None) -> None:
    """List connections: all, or those that a customer may use.

    Example: halflap connections list --customer Initech
    """
    found = await api.list(ConnectionView, "connections", customer=customer)
    listed = [] if output.json else await api.list(CustomerView, "customers")
    names = {each.id: each.name for each in listed}
    output.listing(
        found,
        ("name", "customer", "to", "status", "id", "added?"),
        lambda each: (
            each.name,
            names.get(each.customer or "", "(all)"),
            each.component,
            ("sign in", "yellow") if each.needs_sign_in else condition(each),
            each.id,
            (ago(each.created_at), "dim"),
        ),
        "no connections yet; the first: "
        + output.command("halflap connections add TYPE --customer NAME"),
    )


@connections.command("add")
@click.argument("type_", metavar="TYPE")
@customer_option
@click.option("--name", help="What to call it; the name of its type, where it is not given.")
@account_options
@speaks()
async def add_connection(
    api: Client,
    output: Output,
    type_: str,
    customer: str | None,
    name: str | None,
    fields: tuple[str, ...],
    hidden: tuple[str, ...],
    no_test: bool,
) -> None:
    """Add a connection: asks for each field, tests it at the app, then saves it.

    TYPE is an installed component, or a field of an integration's config: warehouse.acme. Without
    --customer it is your team's own, for every customer.

    Example: halflap connections add warehouse.acme --customer Initech --secret api_key=env:ACME_KEY
    """
    wanted, schema = await kind_of(api, type_)
    form = ask.SchemaForm(schema)
    given = ask.pairs(fields, "--field")
    ask.refuse_open_secrets(each for each in given if form.is_secret(each, given))
    values = form.fill({**given, **ask.secrets(hidden)}, ask=output.asks)
    if not no_test:
        output.progress(("testing it at the app …", "dim"))
    draft = {
        **wanted,
        "name": name or type_.rpartition(".")[2],
        "customer": customer,
        "values": values,
        "test": not no_test,
    }
    told(output, await api.post(ConnectionView, "connections", json=draft), "saved")


@connections.command("show")
@connection_options
@speaks(find=find)
async def show_connection(api: Client, output: Output, found: ConnectionDetail) -> None:
    """Show a connection: how it is, its limits, and what waits for it.

    Example: halflap connections show acme --customer Initech
    """
    shown(output, found)


@connections.command("change")
@connection_options
@click.option("--name", help="What to call it from now on.")
@account_options
@speaks(find=find)
async def change_connection(
    api: Client,
    output: Output,
    found: ConnectionDetail,
    name: str | None,
    fields: tuple[str, ...],
    hidden: tuple[str, ...],
    no_test: bool,
) -> None:
    """Change a connection: what is not named stays. It is tested at the app before it is saved.

    Executions that were parked, because the app refused its credentials, go on by themselves.

    Example: halflap connections change acme --customer Initech --secret api_key=env:ACME_KEY
    """
    given = ask.pairs(fields, "--field")
    ask.refuse_open_secrets(given.keys() & set(found.secrets))
    from halflap.sdk.secret import nested  # other commands need nothing of it

    values = nested({}, {**given, **ask.secrets(hidden)})
    change = {"name": name, "values": values, "test": not no_test}
    made = await api.patch(ConnectionView, "connections", found.id, json=change)
    told(output, made, "changed")


@connections.command("limits")
@connection_options
@click.option("--rate", metavar="N", type=RATE, help="Requests a second.")
@click.option("--burst", metavar="N", type=NUMBER, help="Requests at once after a rest.")
@click.option("--concurrency", metavar="N", type=NUMBER, help="Requests under way at once.")
@speaks(find=find)
async def limit_connection(
    api: Client, output: Output, found: ConnectionDetail, **given: Any
) -> None:
    """Limit how fast an app is called through a connection, over all workers.

    Each is a number, `none` for no limit, or `default` for what the connection's type declares.
    What is not named stays.

    Example: halflap connections limits acme --customer Initech --rate 10 --concurrency 4
    """
    if (limits := changed(found.limits, given)) is not None:
        found = await api.put(ConnectionDetail, "connections", found.id, "limits", json=limits)
    shown(output, found)


@connections.command("test")
@connection_options
@speaks(find=find)
async def test_connection(api: Client, output: Output, found: ConnectionDetail) -> None:
    """Test a connection at the app.

    Example: halflap connections test acme --customer Initech
    """
    told(output, await api.post(ConnectionView, "connections", found.id, "test"), "tested")


@connections.command("authorize")
@connection_options
@click.option("--port", type=int, default=0, help="Of the address that the app sends you back to.")
@click.option("--no-browser", is_flag=True, help="Only print the address; open no browser.")
@speaks(find=find)
async def authorize_connection(
    api: Client, output: Output, found: ConnectionDetail, port: int, no_browser: bool
) -> None:
    """Sign in at the app, in your browser.

    The app has to allow http://127.0.0.1:PORT/callback as a redirect address.

    Example: halflap connections authorize salesforce --port 8401
    """
    from halflap.cli.signin import sign_in

    told(output, await sign_in(api, output, found, port, browser=not no_browser), "signed in")


@connections.command("remove")
@connection_options
@yes_option
@speaks(find=find)
async def remove_connection(
    api: Client, output: Output, found: ConnectionDetail, yes: bool
) -> None:
    """Remove a connection that no instance uses, and its secrets with it.

    Example: halflap connections remove acme --customer Initech
    """
    sure(yes, f"Remove the connection {found.name} ({found.id}) and its secrets?")
    await api.delete("connections", found.id)
    output.answer({"removed": found.id}, f"removed connection {found.name}")


async def kind_of(api: Client, named: str) -> tuple[dict[str, str], Mapping[str, Any]]:
    """The type of connection that is meant, as the API takes it, and its form."""
    installed = await api.get(list[ComponentView], "components", schemas=False)
    for each in installed:
        if each.name == named and each.connection is not None:
            return {"component": named}, each.connection
    integration, _, field = named.partition(".")
    listed = await api.list(IntegrationView, "integrations")
    known = [each.name for each in installed if each.connection is not None]
    for each in listed:
        newest = each.versions[0].hash
        version = await api.get(VersionView, "integrations", each.name, "versions", newest)
        known += [f"{each.name}.{name}" for name in version.connections]
        if each.name == integration and field in version.connections:
            wanted = {"integration": integration, "field": field, "version": newest}
            return wanted, version.forms[field]
    raise NotFound(
        f"there is no type of connection {named!r}; there are: {', '.join(known) or 'none yet'}. "
        "A type is an installed component, or INTEGRATION.FIELD once that integration is deployed"
    )


def told(output: Output, connection: ConnectionView, done: str) -> None:
    """Say how a connection is, and what it still needs."""
    if output.emitted(connection):
        return
    output.line(
        f"{done} ",
        (connection.name, "bold"),
        f" to {connection.component}: ",
        condition(connection),
        (f"  {connection.id}", "dim"),
    )
    if connection.needs_sign_in:
        output.note("Somebody has to sign in at the app before it can be used.")
        output.next(f"halflap connections authorize {quoted(connection.id)}")


def condition(found: ConnectionView) -> Part:
    """Return how a connection is, in words and their colour: an outage comes before its status."""
    if found.away:
        probe = clock(found.rests_until) or "under way"
        return (f"away since {clock(found.away_since)}, next probe {probe}", "red")
    status = found.status
    return ("not tested", "dim") if status == "untested" else state(status)


def shown(output: Output, found: ConnectionDetail) -> None:
    """Say how a connection is, what limits it, and what waits for it."""
    if output.emitted(found):
        return
    output.line(
        (found.name, "bold"),
        f" to {found.component}: ",
        condition(found),
        (f"  {found.id}", "dim"),
    )
    output.line(f"parked executions {found.parked}")
    if found.away:
        output.line(f"away because {found.rests_because}")
    elif found.rests_until:
        output.line(f"not called until {found.rests_until}: {found.rests_because}")
    if found.failed:
        counts = ", ".join(f"{status} ×{count:,}" for status, count in found.failed.items())
        output.line("failed in the last hour, by status ", (counts, "red"))
        whose = f" --customer {quoted(found.customer)}" if found.customer else ""
        output.next(f"halflap executions failures --since 1h{whose}")
    if found.quota:
        output.line(f"quota used {found.quota}")
    for name, value in found.limits.model_dump().items():
        if value is not None:
            output.line(f"{name} {f'{value:,}' if value else 'none'}")
    if found.parked and found.status == "unauthorized":
        output.note("The app refused its credentials; what is parked goes on once it is mended.")
        output.next(f"halflap connections change {quoted(found.id)} --secret NAME=env:VARIABLE")
