"""The types of metadata there are, and changes to them that happen as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from halflap_sandbox.salesforce.channels import ChannelMembers
from halflap_sandbox.salesforce.component import Author, Kind, Problem, Saved, none_found
from halflap_sandbox.salesforce.custom_fields import CustomFields
from halflap_sandbox.salesforce.flows import FlowDefinitions, Flows, Status
from halflap_sandbox.salesforce.markup import element
from halflap_sandbox.salesforce.messages import OutboundMessages, find_message, write_message
from halflap_sandbox.salesforce.model import FlowVersion, Org
from halflap_sandbox.salesforce.rules import WorkflowRules

KINDS: dict[str, Kind] = {
    kind.type: kind
    for kind in (
        CustomFields(),
        OutboundMessages(),
        WorkflowRules(),
        Flows(),
        FlowDefinitions(),
        ChannelMembers(),
    )
}
"""By type, in the order in which they refer to each other: what is referred to comes first."""


@dataclass(frozen=True, slots=True)
class Described:
    """A type of file that metadata comes in."""

    name: str
    directory: str
    suffix: str
    children: tuple[str, ...] = ()


FILES = (
    Described("CustomObject", "objects", "object", ("CustomField",)),
    Described("Flow", "flows", "flow"),
    Described("FlowDefinition", "flowDefinitions", "flowDefinition"),
    Described("Workflow", "workflows", "workflow", ("WorkflowOutboundMessage", "WorkflowRule")),
)


def find_kind(type: str) -> Kind:
    """Find a type of metadata. Raises Problem where there is none."""
    if (kind := KINDS.get(type)) is None:
        raise Problem("INVALID_TYPE", f"INVALID_TYPE: Unknown type: {type}")
    return kind


def snapshot(org: Org) -> Callable[[], None]:
    """Remember an org's metadata; call the result to have it again as it was."""
    messages, rules = dict(org.outbound_messages), dict(org.rules)
    stamps, flows, members = dict(org.stamps), dict(org.flows), dict(org.bus.members)
    versions = {name: dict(flow.versions) for name, flow in flows.items()}
    statuses: list[tuple[FlowVersion, Status]] = [
        (version, version.status) for each in versions.values() for version in each.values()
    ]
    fields = {name: dict(entity.fields) for name, entity in org.entities.items()}

    def restore() -> None:
        org.outbound_messages, org.rules, org.stamps = messages, rules, stamps
        org.bus.members = members
        for version, status in statuses:
            version.status = status
        for name, flow in flows.items():
            flow.versions = versions[name]
        org.flows = flows
        for name, entity in org.entities.items():
            for added in entity.fields.keys() - fields[name].keys():
                for record in org.tables.get(name, {}).values():
                    record.pop(added, None)
            entity.fields = fields[name]

    return restore


def rename(author: Author, type: str, old: str, new: str) -> Saved:
    """Rename an outbound message that nothing refers to. Raises Problem."""
    org, kind = author.org, find_kind(type)
    message = find_message(org, old)
    if kind.type != "WorkflowOutboundMessage":
        raise Problem("INVALID_OPERATION", f"A {type} can't be renamed")
    if message is None:
        raise none_found(type, old)
    given = write_message(message).without("fullName")
    named = replace(given, children=(element("fullName", new), *given.children))
    restore = snapshot(org)
    try:
        kind.delete(author, old)
        saved = kind.save(author, named, create=True, update=False)
    except Problem:
        restore()
        raise
    renamed = find_message(org, new)
    assert renamed is not None
    org.outbound_messages[renamed.full_name] = replace(renamed, id=message.id)
    author.stamp(message.id)
    return replace(saved, id=message.id)
