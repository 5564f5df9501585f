"""`halflap customers pause`, `halflap instances pause`: who stands still, and who goes on."""

from __future__ import annotations

import getpass
from collections.abc import Sequence

from halflap.api.view import CustomerDetail, InstanceSummary, InstanceView, PauseView
from halflap.cli.client import Client
from halflap.cli.output import Output, ago, full_name, quoted

Paused = CustomerDetail | InstanceView
"""A customer or an instance, which may be paused."""


async def stand_still(
    api: Client, output: Output, kind: str, found: Paused, reason: str, flow: str | None = None
) -> None:
    """Pause a customer, an instance or a flow of one, and say so."""
    draft = {"by": whoever(), "reason": reason, **({"flow": flow} if flow else {})}
    paused = await api.post(list[PauseView], kind, found.id, "pause", json=draft)
    if output.json:
        output.emit_all(paused)
        return
    name = name_of(found, flow)
    output.line("paused ", (name, "bold"), ": its events are accepted and wait")
    option = f" --flow {quoted(flow)}" if flow else ""
    output.next(f"halflap {kind} resume {quoted(name_of(found))}{option}")


async def go_on(
    api: Client, output: Output, kind: str, found: Paused, flow: str | None = None
) -> None:
    """Resume what was paused, and say what still stands still of it."""
    draft = {"flow": flow} if flow else {}
    paused = await api.post(list[PauseView], kind, found.id, "resume", json=draft)
    if output.json:
        output.emit_all(paused)
        return
    output.line("resumed ", (name_of(found, flow), "bold"))
    customer = found.customer if isinstance(found, InstanceView) else found.id
    listed = await api.list(InstanceSummary, "instances", customer=customer) if paused else []
    for each in listed:
        if customer == found.id or each.id == found.id:
            whose = f"{full_name(each)}: " if customer == found.id else ""
            for pause in each.paused:
                output.line("  ", (f"still paused: {whose}{told(pause)}", "yellow"))


def told(paused: PauseView) -> str:
    """Return the pause in one line: what, since when, by whom and why."""
    flow = f" {paused.flow}" if paused.flow else ""
    by = f" by {paused.by}" if paused.by else ""
    why = f": {paused.reason}" if paused.reason else ""
    return f"{paused.what}{flow} {ago(paused.since)}{by}{why}"


def paused_lines(output: Output, paused: Sequence[PauseView]) -> None:
    """Print the pauses, where there are any."""
    for each in paused:
        output.line("  ", (f"paused: {told(each)}", "yellow"))


def name_of(found: Paused, flow: str | None = None) -> str:
    """A customer's name, an instance's as CUSTOMER/NAME, with the flow."""
    name = full_name(found) if isinstance(found, InstanceView) else found.name
    return f"{name} {flow}" if flow else name


def whoever() -> str:
    """Return the user who runs this command, as far as the machine knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
