"""`halflap connections`: accounts of apps, tested before they are saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from halflap.cli import ask
from halflap.cli.client import Client, path
from halflap.cli.group import Group
from halflap.cli.output import Output, ago, quoted, state
from halflap.cli.reach import customer_option, speaks, sure
from halflap.errors import NotFound

name_argument = click.argument("connection", metavar="CONNECTION")


@click.group("connections", cls=Group)
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
    found: list[dict[str, Any]] = await api.get("/api/connections", customer=customer)
    if output.json:
        output.emit_all(found)
        return
    names = {each["id"]: each["name"] for each in await api.get("/api/customers")}
    output.table(
        ("name", "customer", "to", "status", "id", "added?"),
        [
            (
                each["name"],
                names.get(each["customer"], "(all)"),
                each["component"],
                ("sign in", "yellow") if each["needs_sign_in"] else state(each["status"]),
                each["id"],
                (ago(each["created_at"]), "dim"),
            )
            for each in found
        ],
        "no connections yet; the first: "
        + output.command("halflap connections add TYPE --customer NAME"),
    )


@connections.command("add")
@click.argument("type_", metavar="TYPE")
@customer_option
@click.option("--name", help="What to call it; the name of its type, where it is not given.")
@click.option("--field", "fields", multiple=True, metavar="NAME=VALUE", help="A field's value.")
@click.option(
    "--secret",
    "hidden",
    multiple=True,
    metavar="NAME=SOURCE",
    help="Where a secret is: @FILE, env:NAME, or - for stdin.",
)
@click.option("--no-test", is_flag=True, help="Save it without testing it at the app.")
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
    form = ask.Form(schema)
    given = ask.pairs(fields, "--field")
    ask.refuse_open_secrets(form, given)
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
    told(output, await api.post("/api/connections", draft), "saved")


@connections.command("test")
@name_argument
@customer_option
@speaks()
async def test_connection(
    api: Client, output: Output, connection: str, customer: str | None
) -> None:
    """Test a connection at the app.

    Example: halflap connections test acme --customer Initech
    """
    tested = await api.post(path("connections", connection, "test"), customer=customer)
    told(output, tested, "tested")


@connections.command("authorize")
@name_argument
@customer_option
@click.option("--port", type=int, default=0, help="Of the address that the app sends you back to.")
@click.option("--no-browser", is_flag=True, help="Only print the address; open no browser.")
@speaks()
async def authorize_connection(
    api: Client,
    output: Output,
    connection: str,
    customer: str | None,
    port: int,
    no_browser: bool,
) -> None:
    """Sign in at the app, in your browser.

    The app has to allow http://127.0.0.1:PORT/callback as a redirect address.

    Example: halflap connections authorize salesforce --port 8401
    """
    from halflap.cli.signin import sign_in

    found = await api.get(path("connections", connection), customer=customer)
    told(output, await sign_in(api, output, found, port, browser=not no_browser), "signed in")


@connections.command("remove")
@name_argument
@customer_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@speaks()
async def remove_connection(
    api: Client, output: Output, connection: str, customer: str | None, yes: bool
) -> None:
    """Remove a connection that no instance uses, and its secrets with it.

    Example: halflap connections remove acme --customer Initech
    """
    found = await api.get(path("connections", connection), customer=customer)
    sure(yes, f"Remove the connection {found['name']} ({found['id']}) and its secrets?")
    await api.delete(path("connections", found["id"]))
    if output.json:
        output.emit({"removed": found["id"]})
        return
    output.line(f"removed connection {found['name']}")


async def kind_of(api: Client, named: str) -> tuple[dict[str, str], Mapping[str, Any]]:
    """The type of connection that is meant, as the API takes it, and its form."""
    installed: list[dict[str, Any]] = await api.get("/api/components")
    for each in installed:
        if each["name"] == named and each["connection"] is not None:
            return {"component": named}, each["connection"]
    integration, _, field = named.partition(".")
    listed: list[dict[str, Any]] = await api.get("/api/integrations")
    known = [each["name"] for each in installed if each["connection"] is not None]
    for each in listed:
        newest = each["versions"][0]["hash"]
        version = await api.get(path("integrations", each["name"], "versions", newest))
        known += [f"{each['name']}.{name}" for name in version["connections"]]
        if each["name"] == integration and field in version["connections"]:
            wanted = {"integration": integration, "field": field, "version": newest}
            return wanted, version["forms"][field]
    raise NotFound(
        f"there is no type of connection {named!r}; there are: {', '.join(known) or 'none yet'}. "
        "A type is an installed component, or INTEGRATION.FIELD once that integration is deployed"
    )


def told(output: Output, connection: Mapping[str, Any], done: str) -> None:
    """Say how a connection is, and what it still needs."""
    if output.json:
        output.emit(connection)
        return
    output.line(
        f"{done} ",
        (str(connection["name"]), "bold"),
        f" to {connection['component']}: ",
        state(connection["status"]),
        (f"  {connection['id']}", "dim"),
    )
    if connection["needs_sign_in"]:
        output.note("Somebody has to sign in at the app before it can be used.")
        output.next(f"halflap connections authorize {quoted(connection['id'])}")
