"""`halflap customers`: the customers of your product."""

from __future__ import annotations

from typing import Any

import click

from halflap.cli.client import Client, path
from halflap.cli.group import Group
from halflap.cli.output import Output, ago, quoted
from halflap.cli.pauses import go_on, stand_still
from halflap.cli.reach import speaks


@click.group("customers", cls=Group)
def customers() -> None:
    """The customers of your product.

    Example: halflap customers add Initech
    """


@customers.command("list")
@speaks()
async def list_customers(api: Client, output: Output) -> None:
    """List all customers, by name.

    Example: halflap customers list --json
    """
    found: list[dict[str, Any]] = await api.get("/api/customers")
    if output.json:
        output.emit_all(found)
        return
    output.table(
        ("name", "id", "external id", "added?", "paused"),
        [
            (
                each["name"],
                each["id"],
                each["external_id"] or "",
                (ago(each["created_at"]), "dim"),
                (f"paused {ago(each['paused']['since'])}" if each["paused"] else "", "yellow"),
            )
            for each in found
        ],
        "no customers yet; the first: halflap customers add NAME",
    )


@customers.command("add")
@click.argument("name")
@click.option("--external-id", metavar="ID", help="Its id in your own product.")
@speaks(make=True)
async def add_customer(api: Client, output: Output, name: str, external_id: str | None) -> None:
    """Add a customer.

    Example: halflap customers add Initech --external-id 4711
    """
    made = await api.post("/api/customers", {"name": name, "external_id": external_id})
    if output.json:
        output.emit(made)
        return
    output.line("added customer ", (made["name"], "bold"), (f"  {made['id']}", "dim"))
    output.next(f"halflap instances add {quoted(made['name'])} INTEGRATION")


@customers.command("pause")
@click.argument("customer")
@click.option("--reason", default="", help="Why; it is shown where it stands still.")
@speaks()
async def pause_customer(api: Client, output: Output, customer: str, reason: str) -> None:
    """Let all instances of a customer stand still: events are accepted and wait.

    What runs goes on; deployments run all the same.

    Example: halflap customers pause Initech --reason "they move their ERP"
    """
    await stand_still(api, output, "customers", await api.get(path("customers", customer)), reason)


@customers.command("resume")
@click.argument("customer")
@speaks()
async def resume_customer(api: Client, output: Output, customer: str) -> None:
    """Let a customer go on, but for instances and flows that are paused themselves.

    Example: halflap customers resume Initech
    """
    await go_on(api, output, "customers", await api.get(path("customers", customer)))


@customers.command("remove")
@click.argument("customer")
@speaks()
async def remove_customer(api: Client, output: Output, customer: str) -> None:
    """Remove a customer that has no instances and no connections left.

    Example: halflap customers remove Initech
    """
    found = await api.get(path("customers", customer))
    await api.delete(path("customers", found["id"]))
    if output.json:
        output.emit({"removed": found["id"]})
        return
    output.line(f"removed customer {found['name']}")
