"""`halflap customers`: the customers of your product."""

from __future__ import annotations

from typing import Any

import click

from halflap.api.view import CustomerDetail, CustomerView, ErasureView, RetentionView
from halflap.cli.amount import (
    NUMBER,
    RATE,
    changed,
    limit_table,
    retention_options,
    retention_table,
)
from halflap.cli.client import Client
from halflap.cli.group import CommandGroup
from halflap.cli.output import Output, ago, quoted
from halflap.cli.pauses import go_on, stand_still
from halflap.cli.reach import speaks, sure, yes_option
from halflap.model import Retention

ERASED = ("executions", "instances", "connections", "blobs")
TOLD_EVERY = 2.0
"""After how many seconds it is said again how far an erasure has come."""


async def find(api: Client, customer: str) -> CustomerDetail:
    """A customer, by id or name."""
    return await api.get(CustomerDetail, "customers", customer)


@click.group("customers", cls=CommandGroup)
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
    output.listing(
        await api.list(CustomerView, "customers"),
        ("name", "id", "external id", "added?", "paused"),
        lambda each: (
            each.name,
            each.id,
            each.external_id or "",
            (ago(each.created_at), "dim"),
            (f"paused {ago(each.paused.since)}" if each.paused else "", "yellow"),
        ),
        "no customers yet; the first: halflap customers add NAME",
    )


@customers.command("add")
@click.argument("name")
@click.option("--external-id", metavar="ID", help="Its id in your own product.")
@speaks(make=True)
async def add_customer(api: Client, output: Output, **draft: str | None) -> None:
    """Add a customer.

    Example: halflap customers add Initech --external-id 4711
    """
    made = await api.post(CustomerView, "customers", json=draft)
    if output.emitted(made):
        return
    output.line("added customer ", (made.name, "bold"), (f"  {made.id}", "dim"))
    output.next(f"halflap instances add {quoted(made.name)} INTEGRATION")


@customers.command("pause")
@click.argument("customer")
@click.option("--reason", default="", help="Why; it is shown where it stands still.")
@speaks(find=find)
async def pause_customer(api: Client, output: Output, found: CustomerDetail, reason: str) -> None:
    """Let all instances of a customer stand still: events are accepted and wait.

    What runs goes on; deployments run all the same.

    Example: halflap customers pause Initech --reason "they move their ERP"
    """
    await stand_still(api, output, "customers", found, reason)


@customers.command("resume")
@click.argument("customer")
@speaks(find=find)
async def resume_customer(api: Client, output: Output, found: CustomerDetail) -> None:
    """Let a customer go on, but for instances and flows that are paused themselves.

    Example: halflap customers resume Initech
    """
    await go_on(api, output, "customers", found)


@customers.command("show")
@click.argument("customer")
@speaks(find=find)
async def show_customer(api: Client, output: Output, found: CustomerDetail) -> None:
    """Show a customer: its limits, and what it has running and queued.

    Example: halflap customers show Initech
    """
    told(output, found)


@customers.command("limits")
@click.argument("customer")
@click.option("--concurrency", metavar="N", type=NUMBER, help="How many run at once.")
@click.option("--rate", metavar="N", type=RATE, help="How many begin in a second.")
@click.option("--burst", metavar="N", type=NUMBER, help="How many begin at once after a rest.")
@click.option("--backlog", metavar="N", type=NUMBER, help="How many may be queued.")
@speaks(find=find)
async def limit_customer(api: Client, output: Output, found: CustomerDetail, **given: Any) -> None:
    """Limit what a customer's executions may take, over all workers.

    What is beyond a limit waits in the queue; beyond the backlog, events are answered 429. Each is a
    number, `none` for no limit, or `default` for the server's own. What is not named stays.

    Example: halflap customers limits Initech --concurrency 50 --rate 20 --backlog 10000
    """
    if (limits := changed(found.limits, given)) is not None:
        found = await api.put(CustomerDetail, "customers", found.id, "limits", json=limits)
    told(output, found)


@customers.command("retention")
@click.argument("customer")
@retention_options
@speaks(find=find)
async def retain_customer(api: Client, output: Output, found: CustomerDetail, **given: Any) -> None:
    """Show or say for how long what has ended of a customer is kept, where its instances say nothing.

    Each is a number of days, or `default` for what is said more generally. What is not named stays.

    Example: halflap customers retention Initech --execution 90 --payload 7
    """
    if (said := changed(found.retention, given)) is not None:
        found = await api.put(CustomerDetail, "customers", found.id, "retention", json=said)
    if output.emitted(found.model_dump(include={"id", "retention", "default_retention"})):
        return
    output.line((found.name, "bold"), (f"  {found.id}", "dim"))
    own, default = (
        Retention(**each.model_dump()) for each in (found.retention, found.default_retention)
    )
    retention_table(
        output, found.retention, RetentionView.model_validate(own.over(default)), "the customer"
    )


@customers.command("change")
@click.argument("customer")
@click.option("--name", help="What to call it from now on.")
@click.option("--external-id", metavar="ID", help="Its id in your own product from now on.")
@speaks(find=find)
async def change_customer(
    api: Client, output: Output, found: CustomerDetail, **given: str | None
) -> None:
    """Give a customer another name, or another id in your own product.

    What it has stays as it is. Events are published for it by the new id, and by no other.

    Example: halflap customers change Initech --name Initrode --external-id 4712
    """
    change = {key: value for key, value in given.items() if value is not None}
    if not change:
        raise click.UsageError("say what changes: --name or --external-id")
    found = await api.patch(CustomerDetail, "customers", found.id, json=change)
    output.answer(found, f"changed customer {found.name}  {found.external_id or ''}".rstrip())


@customers.command("private")
@click.argument("customer")
@click.option("--off", is_flag=True, help="Show its payloads to the team's support again.")
@speaks(find=find)
async def make_private(api: Client, output: Output, found: CustomerDetail, off: bool) -> None:
    """Hide the payloads of a customer from the team's support: events, inputs, results, config values.

    Example: halflap customers private Initech
    """
    change = {"private": not off}
    found = await api.patch(CustomerDetail, "customers", found.id, json=change)
    said = "are private" if found.private else "are shown to the team's support"
    output.answer(found, f"payloads of {found.name} {said}")


@customers.command("remove")
@click.argument("customer")
@speaks(find=find)
async def remove_customer(api: Client, output: Output, found: CustomerDetail) -> None:
    """Remove a customer that has no instances and no connections left.

    Example: halflap customers remove Initech
    """
    await api.delete("customers", found.id)
    output.answer({"removed": found.id}, f"removed customer {found.name}")


@customers.command("erase")
@click.argument("customer")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@yes_option
@click.option("--by", default="the operator", help="Who wants it; that is kept.")
@speaks(find=find)
async def erase_customer(
    api: Client, output: Output, found: CustomerDetail, dry_run: bool, yes: bool, by: str
) -> None:
    """Erase a customer for good: its events, steps, logs, state, pairs, connections, secrets.

    Its instances have to be disabled first. What remains is that a customer of that id was erased:
    when, by whom, and how much it was. Cut off, run it again: it goes on.

    Example: halflap customers erase Initech --dry-run
    """
    place = ("customers", found.id, "erasure")
    plan = await api.get(ErasureView, *place)
    if not dry_run and not plan.before:
        sure(
            yes,
            f"Erase {found.name} for good: {plan.executions:,} executions, "
            f"{plan.instances} instances, {plan.connections} connections?",
        )
    if not dry_run:
        while (plan := await api.post(ErasureView, *place, json={"by": by}, wait=TOLD_EVERY)).left:
            total = sum(getattr(plan, what) for what in ERASED) + 1
            output.progress((f"{total - plan.left:,} of {total:,} …", "dim"))
    if output.emitted({**plan.model_dump(), "erased": not dry_run}):
        return
    output.line("would erase " if dry_run else "erased ", (found.name, "bold"))
    for what in ERASED:
        output.line(f"  {getattr(plan, what):,} {what}")
    for each in plan.before:
        output.line(("  first: ", "yellow"), each)


def told(output: Output, found: CustomerDetail) -> None:
    """Say how a customer is."""
    if output.emitted(found):
        return
    output.line((found.name, "bold"), (f"  {found.id}", "dim"))
    output.line(f"running {found.running}, queued {found.queued}")
    limit_table(output, found.limits, found.default_limits)
