"""Flows as metadata: each deploy of a changed one makes a version, at most one version is active."""

from __future__ import annotations

from typing import Literal

from halflap_sandbox.salesforce.component import (
    Author,
    Listed,
    Misplaced,
    Problem,
    Saved,
    check_may,
    check_name,
    none_found,
    required,
    unknown_reference,
)
from halflap_sandbox.salesforce.flow_trigger import read_trigger
from halflap_sandbox.salesforce.markup import Element, document, element, parse
from halflap_sandbox.salesforce.model import FlowDefinition, FlowVersion, Org, by_name

Status = Literal["Active", "Draft", "Obsolete"]
STATUSES: dict[str, Status] = {"Active": "Active", "Draft": "Draft", "Obsolete": "Obsolete"}


class Flows:
    """The versions of every flow. Its full name is `Name`, or `Name-2` for a version of it."""

    type = "Flow"

    def listed(self, org: Org) -> list[Listed]:
        """List every flow once, with its active or else its newest version."""
        found: list[Listed] = []
        for flow in org.flows.values():
            if (version := flow.active or flow.latest) is not None:
                found.append(Listed(flow.name, version.id, f"flows/{flow.name}.flow"))
        return found

    def read(self, org: Org, full_name: str) -> Element | None:
        """Read a version; of a flow, the active one or else the newest."""
        flow, number = _find(org, full_name)
        if flow is None:
            return None
        version = flow.versions.get(number) if number else flow.active or flow.latest
        return None if version is None else write_flow(full_name, version)

    def save(self, author: Author, given: Element, *, create: bool, update: bool) -> Saved:
        """Save a flow: a new version where it has changed, and the status that it asks for."""
        org, name = author.org, required(given, "fullName")
        check_name(name, given.line)
        _check_repeated(given)
        flow = by_name(org.flows, name)
        check_may(flow, "flow", self.type, given, create=create, update=update)
        status, label = _status(given), required(given, "label")
        trigger = read_trigger(org, given)
        created = flow is None
        if flow is None:
            flow = FlowDefinition(id=org.new_id("300"), name=name)
        version, latest = None, flow.latest
        if latest is not None and _content(given) == _content(parse(latest.source)):
            version = latest if status in {"Active", latest.status} else None
        if version is not None and version.status == status:
            return Saved(version.id, created=False, changed=False)
        if version is None:
            version = FlowVersion(
                id=org.new_id("301"),
                number=(latest.number if latest else 0) + 1,
                status="Draft" if status == "Active" else status,
                label=label,
                source=document(given.without("fullName").named("Flow")),
                trigger=trigger,
            )
            flow.versions[version.number] = version
        org.flows[flow.name] = flow
        if status == "Active":
            activate(flow, version.number)
        author.stamp(flow.id)
        author.stamp(version.id)
        return Saved(version.id, created=created, changed=True)

    def delete(self, author: Author, full_name: str) -> str:
        """Delete a version that is not active; with the last one the flow is gone."""
        flow, number = _find(author.org, full_name)
        if flow is None or (number and number not in flow.versions):
            raise none_found(self.type, full_name)
        if not number:
            raise _no_access(flow.id)
        return delete_version(author.org, flow, flow.versions[number])


class FlowDefinitions:
    """The active version of each flow."""

    type = "FlowDefinition"

    def listed(self, org: Org) -> list[Listed]:
        """List every flow."""
        return [
            Listed(flow.name, flow.id, f"flowDefinitions/{flow.name}.flowDefinition")
            for flow in org.flows.values()
        ]

    def read(self, org: Org, full_name: str) -> Element | None:
        """Read which version is active; `activeVersionNumber` is absent where none is."""
        flow = by_name(org.flows, full_name)
        if flow is None:
            return None
        number = element("activeVersionNumber", flow.active.number) if flow.active else None
        label = element("masterLabel", flow.latest.label) if flow.latest else None
        name = element("fullName", flow.name)
        return element("records", name, number, label, type=self.type)

    def save(self, author: Author, given: Element, *, create: bool, update: bool) -> Saved:
        """Activate a version, or none: 0, or no number."""
        flow = by_name(author.org.flows, required(given, "fullName"))
        check_may(flow, "flow definition", self.type, given, create=False, update=update)
        assert flow is not None
        text = given.get("activeVersionNumber") or "0"
        if not text.isascii() or not text.isdigit():
            message = f"'{text}' is not a valid value for the type xsd:int"
            raise Problem("INVALID_TYPE", message, line=given.line)
        before = flow.active
        activate(flow, int(text))
        if changed := flow.active is not before:
            author.stamp(flow.id)
        return Saved(flow.id, created=False, changed=changed)

    def delete(self, author: Author, full_name: str) -> str:
        """Refuse: a flow goes with its last version."""
        flow = by_name(author.org.flows, full_name)
        if flow is None:
            raise none_found(self.type, full_name)
        raise _no_access(flow.id)


def activate(flow: FlowDefinition, number: int) -> None:
    """Make a version the active one; 0: none. Raises Problem where there is no such version."""
    if number and number not in flow.versions:
        raise unknown_reference("activeVersionNumber", "Flow", f"{flow.name}-{number}")
    for version in flow.versions.values():
        if version.number == number:
            version.status = "Active"
        elif version.status == "Active":
            version.status = "Obsolete"


def delete_version(org: Org, flow: FlowDefinition, version: FlowVersion) -> str:
    """Delete a version that is not active."""
    if version.status == "Active":
        raise _no_access(version.id)
    del flow.versions[version.number]
    if not flow.versions:
        del org.flows[flow.name]
    return version.id


def find_version(org: Org, id: str) -> tuple[FlowDefinition, FlowVersion]:
    """Find a version, and the flow it is of, by its id."""
    for flow in org.flows.values():
        for version in flow.versions.values():
            if version.id == id:
                return flow, version
    raise none_found("Flow", id)


def change_version(
    author: Author, flow: FlowDefinition, version: FlowVersion, given: Element
) -> None:
    """Change a version in place: its status, and where it is not active its content."""
    status, label = _status(given), required(given, "label")
    if _content(given) != _content(parse(version.source)):
        if version.status == "Active":
            message = "An active version of a flow can't be changed; save a new version."
            raise Problem("FIELD_INTEGRITY_EXCEPTION", message)
        version.trigger = read_trigger(author.org, given)
        version.label = label
        version.source = document(given.without("fullName").named("Flow"))
    if status == "Active":
        activate(flow, version.number)
    else:
        version.status = status
    author.stamp(version.id)


def write_flow(full_name: str, version: FlowVersion) -> Element:
    """Write a version as metadata, with the status that it has now."""
    content = parse(version.source).without("status").children
    parts = sorted((*content, element("status", version.status)), key=lambda part: part.name)
    return element("records", element("fullName", full_name), *parts, type="Flow")


def _no_access(id: str) -> Problem:
    message = f"insufficient access rights on cross-reference id: {id[:15]}"
    return Problem("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", message)


def _find(org: Org, full_name: str) -> tuple[FlowDefinition | None, int]:
    name, dash, number = full_name.rpartition("-")
    if not dash:
        return by_name(org.flows, full_name), 0
    if not number.isascii() or not number.isdigit() or int(number) == 0:
        return None, 0
    return by_name(org.flows, name), int(number)


def _status(given: Element) -> Status:
    text = given.get("status") or "Draft"
    if text not in STATUSES:
        message = f"'{text}' is not a valid value for the enum 'FlowVersionStatus'"
        raise Problem("INVALID_TYPE", message, line=given.line)
    return STATUSES[text]


def _content(flow: Element) -> tuple[Element, ...]:
    kept = flow.without("fullName", "status").children
    return tuple(sorted(kept, key=lambda part: part.name))


def _check_repeated(given: Element) -> None:
    """Check that elements of a name stand together, as the real parser wants them."""
    seen, last = set[str](), ""
    for child in given.children:
        if child.name != last and child.name in seen:
            message = f"Element {child.name} is duplicated at this location in type Flow"
            raise Misplaced("INVALID_INPUT", message, line=child.line)
        seen.add(child.name)
        last = child.name
