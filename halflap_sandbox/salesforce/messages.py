"""Outbound messages as metadata: WorkflowOutboundMessage."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from urllib.parse import urlsplit

from halflap_sandbox.salesforce.component import (
    Author,
    Listed,
    Problem,
    Saved,
    boolean,
    check_elements,
    check_may,
    check_name,
    none_found,
    required,
    unknown_reference,
)
from halflap_sandbox.salesforce.markup import Element, element, optional
from halflap_sandbox.salesforce.model import Entity, Org, OutboundMessage, by_name

ORDER = (
    "fullName",
    "apiVersion",
    "description",
    "endpointUrl",
    "fields",
    "includeSessionId",
    "integrationUser",
    "name",
    "protected",
    "useDeadLetterQueue",
)


class OutboundMessages:
    """Every outbound message of an org. Its elements must come in the order of the XSD."""

    type = "WorkflowOutboundMessage"

    def listed(self, org: Org) -> list[Listed]:
        """List what there is."""
        return [
            Listed(m.full_name, m.id, f"workflows/{m.object}.workflow")
            for m in org.outbound_messages.values()
        ]

    def read(self, org: Org, full_name: str) -> Element | None:
        """Read one."""
        found = find_message(org, full_name)
        return None if found is None else write_message(found)

    def save(self, author: Author, given: Element, *, create: bool, update: bool) -> Saved:
        """Save one; its new endpoint and fields count from the next message on."""
        org = author.org
        check_elements(given.named(given.name, self.type), ORDER, ordered=True)
        full_name = required(given, "fullName")
        old = find_message(org, full_name)
        check_may(old, "outbound message", self.type, given, create=create, update=update)
        id = old.id if old else org.new_id("04k")
        new = _read_message(org, given, full_name, id)
        if old is not None and old.full_name != new.full_name:
            del org.outbound_messages[old.full_name]
        org.outbound_messages[new.full_name] = new
        if new != old:
            author.stamp(id)
        return Saved(id, created=old is None, changed=new != old)

    def delete(self, author: Author, full_name: str) -> str:
        """Delete one that no flow version and no rule refers to."""
        org = author.org
        found = find_message(org, full_name)
        if found is None:
            raise none_found(self.type, full_name)
        if users := _users(org, found.full_name):
            message = (
                "This workflow outbound message is referenced elsewhere in salesforce.com.  "
                f"Remove the usage and try again. : {', '.join(users)}."
            )
            raise Problem("DELETE_FAILED", message)
        del org.outbound_messages[found.full_name]
        return found.id


def find_message(org: Org, full_name: str) -> OutboundMessage | None:
    """Find an outbound message by full name, which has no case."""
    return by_name(org.outbound_messages, full_name)


def split_name(full_name: str, type: str) -> tuple[str, str]:
    """Split the full name of something that belongs to an object: the object, its own name."""
    object_name, dot, name = full_name.partition(".")
    if not dot or not object_name or not name:
        message = f"{full_name} is no full name of a {type}: write it as Object.Name"
        raise Problem("INVALID_FULL_NAME", message, fields=["fullName"])
    return object_name, name


def write_message(message: OutboundMessage) -> Element:
    """Write an outbound message as metadata."""
    return element(
        "records",
        element("fullName", message.full_name),
        element("apiVersion", message.api_version),
        optional("description", message.description),
        element("endpointUrl", message.endpoint_url),
        *(element("fields", name) for name in message.fields),
        element("includeSessionId", message.include_session_id),
        element("integrationUser", message.integration_user),
        element("name", message.label or message.name),
        element("protected", message.protected),
        element("useDeadLetterQueue", message.use_dead_letter_queue),
        type="WorkflowOutboundMessage",
    )


def _read_message(org: Org, given: Element, full_name: str, id: str) -> OutboundMessage:
    object_name, name = split_name(full_name, "WorkflowOutboundMessage")
    entity = by_name(org.entities, object_name)
    if entity is None:
        raise unknown_reference("entity", "CustomObject", object_name, given.line)
    check_name(name, given.line)
    user = org.user_by_name(required(given, "integrationUser"))
    if user is None:
        raise unknown_reference(
            "integrationUser", "User", required(given, "integrationUser"), given.line
        )
    if len(label := required(given, "name")) > 80:
        message = f"Name: data value too large: {label} (max length=80)"
        raise Problem("STRING_TOO_LONG", message, line=given.line, fields=["name"])
    return OutboundMessage(
        id=id,
        object=entity.name,
        name=name,
        label=label,
        description=given.get("description") or None,
        api_version=_api_version(given),
        endpoint_url=_endpoint(given),
        fields=tuple(dict.fromkeys(_fields(entity, given))),
        include_session_id=boolean(given, "includeSessionId"),
        integration_user=user.username,
        protected=boolean(given, "protected"),
        use_dead_letter_queue=given.true("useDeadLetterQueue"),
    )


def _fields(entity: Entity, given: Element) -> list[str]:
    names: list[str] = []
    for child in given.all("fields"):
        field = by_name(entity.fields, child.text)
        if field is None:
            full_name = f"{entity.name}.{child.text}"
            raise unknown_reference("fields", "CustomField", full_name, child.line)
        names.append(field.name)
    return names


def _api_version(given: Element) -> str:
    text = required(given, "apiVersion")
    try:
        version = Decimal(text)
    except InvalidOperation:
        version = Decimal(0)
    if not (version.is_finite() and 8 <= version <= 70 and version == int(version)):
        message = f"Invalid value for apiVersion: {text}"
        raise Problem("INVALID_INPUT", message, line=given.line, fields=["apiVersion"])
    return f"{int(version)}.0"


def _endpoint(given: Element) -> str:
    url = required(given, "endpointUrl")
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or any(c.isspace() for c in url):
        message = f"Endpoint URL: {url} is not a valid URL"
        raise Problem("INVALID_INPUT", message, line=given.line, fields=["endpointUrl"])
    if len(url) > 1000:
        message = "Endpoint URL: data value too large (max length=1000)"
        raise Problem("STRING_TOO_LONG", message, line=given.line, fields=["endpointUrl"])
    return url


def _users(org: Org, full_name: str) -> list[str]:
    flows = [
        f"Flow - {flow.name}-{version.number}"
        for flow in org.flows.values()
        for version in flow.versions.values()
        if version.trigger is not None and full_name in version.trigger.messages
    ]
    rules = [
        f"Workflow Rule - {r.full_name}" for r in org.rules.values() if full_name in r.messages
    ]
    return flows + rules
