"""`halflap receivers`: customers' own endpoints, which are sent your product's events."""

from __future__ import annotations

from typing import Any, get_args

import click

from halflap.api.event_view import PublishedEvent, ReceiverMade, ReceiverView, RecoveryPlan
from halflap.api.execution_view import BulkView
from halflap.cli import ask
from halflap.cli.amount import lasting_option
from halflap.cli.bulk import time_of
from halflap.cli.client import Client
from halflap.cli.group import CommandGroup
from halflap.cli.output import Output, ago
from halflap.cli.reach import speaks, sure, yes_option
from halflap.model import ReceiverTrouble


@click.group("receivers", cls=CommandGroup)
def receivers() -> None:
    """Manage receivers: customers' own endpoints, which are sent your product's events, signed.

    Example: halflap receivers list --customer acme
    """


@receivers.command("list")
@click.option("--customer", metavar="NAME", help="Only those of a customer.")
@click.option("--trouble", is_flag=True, help="Only those that are disabled or failing.")
@speaks()
async def list_receivers(api: Client, output: Output, customer: str | None, trouble: bool) -> None:
    """List receivers.

    Example: halflap receivers list --trouble
    """
    troubles = ",".join(get_args(ReceiverTrouble)) if trouble else None
    output.listing(
        await api.list(ReceiverView, "receivers", customer=customer, trouble=troubles),
        ("id", "customer", "name", "url", "events", "state"),
        lambda each: (
            *(each.id, each.customer_name, each.name, each.url),
            *(", ".join(each.types), state(each)),
        ),
        "none is in trouble"
        if trouble
        else "none yet; the first: " + output.command("halflap receivers add CUSTOMER URL"),
    )


@receivers.command("add")
@click.argument("customer")
@click.argument("url")
@click.option(
    "--type",
    "types",
    multiple=True,
    default=("*",),
    metavar="TYPE",
    help="order.created, order.* or *.",
)
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="NAME=SOURCE",
    help="A further header of each message: NAME=env:VARIABLE, NAME=@FILE or NAME=- (stdin).",
)
@click.option("--name", help="By default, the URL's host.")
@speaks()
async def add_receiver(
    api: Client, output: Output, customer: str, headers: tuple[str, ...], **draft: Any
) -> None:
    """Add a receiver of a customer, and print its secret, which is shown this once.

    Example: halflap receivers add acme https://acme.example/hooks --type 'order.*'
    """
    draft["headers"] = ask.secrets(headers)
    made = await api.post(ReceiverMade, "customers", customer, "receivers", json=draft)
    output.answer(made, f"{made.id}; its secret, shown this once: {made.secret}")


@receivers.command("rotate")
@click.argument("receiver")
@lasting_option("--overlap", "overlap_seconds", "24h", "For how long messages are signed with both")
@speaks()
async def rotate_secret(api: Client, output: Output, receiver: str, **draft: Any) -> None:
    """Give a receiver another secret, and print it, this once.

    Example: halflap receivers rotate ins_01jdq5m4x2f8t9v0c3k7n6b1wa --overlap 3d
    """
    made = await api.post(ReceiverMade, "receivers", receiver, "secret", json=draft)
    output.answer(made, f"its secret, shown this once: {made.secret}")


@receivers.command("disable")
@click.argument("receiver")
@click.option("--reason", default="", help="Why, for whoever looks.")
@speaks()
async def disable_receiver(api: Client, output: Output, receiver: str, **draft: str) -> None:
    """Send nothing to a receiver until it is enabled; events meanwhile can be recovered.

    Example: halflap receivers disable ins_01jdq5m4x2f8t9v0c3k7n6b1wa --reason "asked by mail"
    """
    found = await api.post(ReceiverView, "receivers", receiver, "disable", json=draft)
    output.answer(found, state(found))


@receivers.command("enable")
@click.argument("receiver")
@speaks()
async def enable_receiver(api: Client, output: Output, receiver: str) -> None:
    """Send to a receiver again.

    Example: halflap receivers enable ins_01jdq5m4x2f8t9v0c3k7n6b1wa
    """
    found = await api.post(ReceiverView, "receivers", receiver, "enable")
    output.answer(found, state(found))


@receivers.command("test")
@click.argument("receiver")
@click.option("--type", "type", default="webhook.test", help="Whose example is sent.")
@speaks()
async def send_test_event(api: Client, output: Output, receiver: str, **draft: str) -> None:
    """Send a test event to a receiver alone.

    Example: halflap receivers test ins_01jdq5m4x2f8t9v0c3k7n6b1wa --type order.created
    """
    found = await api.post(PublishedEvent, "receivers", receiver, "test", json=draft)
    output.answer(found, f"sent by {' '.join(found.executions)}")


@receivers.command("recover")
@click.argument("receiver")
@click.option(
    "--since", required=True, metavar="TIME", help="Published since then: 2h, 3d, or a time."
)
@speaks()
async def recover_receiver(api: Client, output: Output, receiver: str, since: str) -> None:
    """Deliver again, in the background, what a receiver has not taken.

    Example: halflap receivers recover ins_01jdq5m4x2f8t9v0c3k7n6b1wa --since 3d
    """
    begun = {"since": time_of(since)}
    plan = await api.get(RecoveryPlan, "receivers", receiver, "recovery", **begun)
    bulk = await api.post(BulkView, "receivers", receiver, "recover", json=begun)
    text = f"{plan.sent} again, by {bulk.id}: halflap bulks show {bulk.id}"
    if plan.waiting:
        text += f"\n{plan.waiting} more wait for their next try, and are sent by themselves then"
    output.answer(bulk, text)


@receivers.command("remove")
@click.argument("receiver")
@yes_option
@speaks()
async def remove_receiver(api: Client, output: Output, receiver: str, yes: bool) -> None:
    """Remove a receiver; what waits to be delivered is cancelled.

    Example: halflap receivers remove ins_01jdq5m4x2f8t9v0c3k7n6b1wa
    """
    sure(yes, f"Remove {receiver}, and cancel what waits for it?")
    await api.delete("receivers", receiver)
    output.answer({"removed": receiver}, f"removed {receiver}")


def state(each: ReceiverView) -> str:
    """Return how a receiver is, in words."""
    if not each.enabled:
        return f"disabled: {each.disabled_because}"
    if each.failing_since is not None:
        return f"failing, {ago(each.failing_since)}"
    return "enabled" if each.state == "active" else each.state
