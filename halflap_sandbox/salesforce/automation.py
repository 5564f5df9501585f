"""Automation of a saved record: the outbound messages of active flows and workflow rules.

As in the real one, both run after the save, on creation and update, never on deletion; two that
name the same message send it twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from functools import lru_cache
from typing import Protocol

from halflap_sandbox.salesforce.event_bus import publish_changes
from halflap_sandbox.salesforce.formula import Formula, parse
from halflap_sandbox.salesforce.model import (
    Change,
    Effect,
    FlowTrigger,
    Org,
    OutboundMessage,
    Values,
    WorkflowRule,
)

hand: ContextVar[str] = ContextVar("hand", default="api")
"""The writer: `api`, or `person` for an edit at the backstage."""
STAMPS = {
    *("Id", "IsDeleted", "CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById"),
    "SystemModstamp",
}


class Queue(Protocol):
    """Where notifications are put to be sent."""

    def enqueue(self, org: Org, message: OutboundMessage, record_id: str) -> None:
        """Have a record's notification sent."""
        ...


def install(org: Org, sender: Queue) -> None:
    """Have every save in an org noted, and fire the org's automation."""

    def note(changes: list[Change]) -> None:
        org.effects.extend(_effect(change) for change in changes)

    def fire(changes: list[Change]) -> None:
        for change in changes:
            for name in messages(change):
                message = org.outbound_messages.get(name)
                if message is not None:
                    sender.enqueue(org, message, change.id)

    org.saved += [note, fire, publish_changes]


def messages(change: Change) -> Iterator[str]:
    """Tell the full names of the messages that a change sends."""
    if change.after is None:
        return
    for flow in change.org.flows.values():
        if (version := flow.active) and (trigger := version.trigger) and _starts(trigger, change):
            yield from trigger.messages
    for rule in change.org.rules.values():
        if _applies(rule, change):
            yield from rule.messages


def _starts(trigger: FlowTrigger, change: Change) -> bool:
    is_new = change.before is None
    wanted = ("Create", "CreateAndUpdate") if is_new else ("Update", "CreateAndUpdate")
    return (
        trigger.object == change.object
        and trigger.recording in wanted
        and _holds(trigger.filter_formula, change)
    )


def _applies(rule: WorkflowRule, change: Change) -> bool:
    if not rule.active or rule.object != change.object:
        return False
    if change.before is not None:
        if rule.trigger_type == "onCreateOnly":
            return False
        if rule.trigger_type == "onCreateOrTriggeringUpdate" and rule.formula is None:
            return False  # what always holds is never met anew
    return _holds(rule.formula, change)


def _holds(formula: str | None, change: Change) -> bool:
    assert change.after is not None
    return formula is None or _parsed(formula)(change.before, change.after)


@lru_cache(maxsize=256)
def _parsed(formula: str) -> Formula:
    return parse(formula)


def _effect(change: Change) -> Effect:
    before, after = change.before or {}, change.after or {}
    kind = (
        "deleted" if change.after is None else "updated" if change.before is not None else "created"
    )
    values: Values = {}
    if kind != "deleted":
        values = {
            name: value
            for name, value in after.items()
            if before.get(name) != value and name not in STAMPS
        }
    return Effect(
        at=change.org.now(),
        object=change.object,
        id=change.id,
        kind=kind,
        by=hand.get(),
        user=change.by.username,
        values=values,
    )
