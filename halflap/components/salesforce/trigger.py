"""The trigger of outbound messages: one SOAP message, up to 100 records, one acknowledgement."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hmac import compare_digest
from typing import Annotated, Any, cast

from halflap import (
    Declaration,
    Endpoint,
    Ignore,
    InvalidEvent,
    Missed,
    Reads,
    Rejected,
    Reply,
    Request,
    Source,
    Subscription,
    pointer,
)
from halflap.components.salesforce.connection import Salesforce, component
from halflap.components.salesforce.description import list_objects
from halflap.components.salesforce.models import TYPED, Writing
from halflap.components.salesforce.outbound import (
    delete_outbound_message,
    ensure_outbound_message,
    ids_by_name,
    usual_fields,
)
from halflap.components.salesforce.quoting import filled
from halflap.components.salesforce.records import next_page

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
TYPE, NIL = f"{{{INSTANCE}}}type", f"{{{INSTANCE}}}nil"

ACKNOWLEDGED = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack>'
    "</notificationsResponse></soapenv:Body></soapenv:Envelope>"
)


NO_DATA = "the notification has no data: its record was deleted before it was sent"

STAMPS = (
    "LastModifiedById",
    "LastModifiedDate",
    "LastReferencedDate",
    "LastViewedDate",
    "SystemModstamp",
)
"""Fields that say who wrote a record, and when: no edit of somebody's."""


@dataclass(frozen=True, slots=True)
class WholeMessage:
    """Takes a whole message of any org: Salesforce signs nothing, so the URL is the only secret."""

    def verify(self, request: Request, secrets: Sequence[str], now: datetime) -> None:
        """Return where the message is whole and names its org; raise `Rejected` otherwise."""
        found = read(request)
        organization = text(found, "OrganizationId")
        if not (organization.startswith("00D") and len(organization) in (15, 18)):
            raise Rejected(f"The message names no Salesforce org: {organization[:18]!r}.")
        events(found)

    def sign(self, body: bytes, secret: str, now: datetime, **context: Any) -> dict[str, str]:
        """Nothing: Salesforce adds no header."""
        return {}


@dataclass(frozen=True, slots=True)
class OrganizationCheck(WholeMessage):
    """Takes a message only from the org of the connection.

    Salesforce signs nothing: the endpoint's URL is secret, and the message must name the org whose
    id is the secret that this compares with. Everything else that it says of itself is not used.
    """

    def verify(self, request: Request, secrets: Sequence[str], now: datetime) -> None:
        """Return where the message is whole and of a known org; raise `Rejected` otherwise."""
        known = [each for each in secrets if each.strip()]
        if not known:
            raise Rejected(
                "The connection does not know its Salesforce org yet, so no message can be checked; "
                "test the connection, or sign in again."
            )
        found = read(request)
        organization = text(found, "OrganizationId")
        if not any(same_org(organization, each) for each in known):
            raise Rejected(
                f"The message is of the Salesforce org {organization[:18]!r}, which is not the "
                "connection's."
            )
        events(found)


def same_org(one: str, other: str) -> bool:
    """Return whether two ids are of one org; the last three of 18 characters are a checksum."""
    return len(one) in (15, 18) and compare_digest(one[:15].encode(), other.strip()[:15].encode())


def read(request: Request) -> Any:
    """The notifications of a message."""
    try:
        root = request.xml()
    except InvalidEvent as error:
        raise Rejected(f"This is no outbound message of Salesforce. {error}", status=400) from error
    found = root.find(f"{{{ENVELOPE}}}Body/{{{OUTBOUND}}}notifications")
    if root.tag != f"{{{ENVELOPE}}}Envelope" or found is None:
        raise Rejected(
            "This is no outbound message of Salesforce: there are no notifications in it.",
            status=400,
        )
    return found


def events(notifications: Any) -> list[dict[str, Any]]:
    """Return each notification: its id, the action that sent it, and the record as it is now.

    Of a record that was deleted before it was sent there is no data; such a notification becomes an
    event too, which its trigger ignores, so that it is seen and the others of its message arrive.
    """
    action = text(notifications, "ActionId")
    found: list[dict[str, Any]] = []
    for each in notifications.findall(f"{{{OUTBOUND}}}Notification"):
        id, record = text(each, "Id"), each.find(f"{{{OUTBOUND}}}sObject")
        if not id:
            raise Rejected("A notification has no id.", status=400)
        fields: dict[str, Any] = {} if record is None else fields_of(record)
        kind = "" if record is None else str(record.get(TYPE, "")).rpartition(":")[2]
        content = {"sObject": {"type": kind, **fields}} if fields.get("Id") else {}
        found.append({"Id": id, "ActionId": action, **content})
    return found


def fields_of(record: Any) -> dict[str, Any]:
    """The fields of a record by API name: text, or the fields of what is nested."""
    fields: dict[str, Any] = {}
    for each in record:
        if each.get(NIL) not in ("true", "1"):
            name = str(each.tag).rpartition("}")[2]
            fields[name] = fields_of(each) if len(each) else each.text or ""
    return fields


def text(element: Any, name: str) -> str:
    """The text of an element right below one."""
    return str(element.findtext(f"{{{OUTBOUND}}}{name}") or "").strip()


def split(request: Request) -> list[bytes]:
    """One event for each notification; the session id and the addresses stay behind."""
    # In ASCII, so that the charset which the message's header names is right for the part as well.
    return [json.dumps(each).encode() for each in events(read(request))]


DECLARED = Declaration(
    verify=OrganizationCheck(),
    secret="connection.organization_id",  # noqa: S106
    split=split,
    dedupe=pointer("/Id"),
    key=pointer("/sObject/Id"),
    reads=Reads(kind="{type}", record="Id", ignore=STAMPS),
    answer=Reply(200, ACKNOWLEDGED, {"Content-Type": "text/xml; charset=utf-8"}),
)


def split_with_org(request: Request) -> list[bytes]:
    """One event for each notification, with the id of the org that sends it."""
    found = read(request)
    organization = {"OrganizationId": text(found, "OrganizationId")}
    return [json.dumps({**organization, **each}).encode() for each in events(found)]


def delivery(request: Request) -> str:
    """The id of a notification among those of all orgs."""
    told = request.json()
    return f"{told['OrganizationId']}/{told['Id']}"


@component.trigger()
async def outbound_message(
    request: Request,
    object: Annotated[str | None, Source(list_objects)] = None,
    fields: list[str] | None = None,
    on: Writing = "create_and_update",
) -> Any:
    """A record was created or changed in Salesforce.

    The event is the record as it was when Salesforce sent it: take it as `salesforce.Record`, or as a
    typed one (`Account`, `Opportunity`, `Contact`, a `TypedRecord` of your own). With an `object`, the
    trigger makes its outbound message when an instance is activated, and removes it afterwards;
    without, a deploy flow does (`ensure_outbound_message`).
    """
    return event_of(request, object, fields)


def event_of(
    request: Request, object: str | None, fields: Sequence[str] | None
) -> dict[str, Any] | Ignore:
    """The record of a notification, with None for a field that is sent and is empty."""
    told = request.json()
    if "sObject" not in told:
        return Ignore(NO_DATA)
    record: dict[str, Any] = told["sObject"]
    if object is not None and record["type"] != object:
        return Ignore(f"it is a record of {record['type']}, and this flow is for {object}")
    # Salesforce leaves out what is empty: of a field that it sends, that is news like any other.
    return {**dict.fromkeys(fields or sent_without(object)), **record}


@component.trigger(
    title="Outbound message of any org",
    verify=WholeMessage(),
    split=split_with_org,
    dedupe=delivery,
    key=pointer("/sObject/Id"),
    answer=DECLARED.answer,
)
async def any_outbound_message(request: Request) -> Any:
    """A record was created or changed in the org of any customer, for a shared pre-process flow.

    The event has the record as `sObject`, with its `type`, and the org as `OrganizationId`. Handed on
    as it came, a flow with `outbound_message` reads it. Salesforce signs nothing: whoever knows the
    URL can send in the name of any org, so give a URL that is shared to your own apps only.
    """
    told = request.json()
    return told if "sObject" in told else Ignore(NO_DATA)


def sent_without(object: str | None) -> list[str]:
    """The fields that a message has where none are named, as far as they are known."""
    return TYPED[object].field_names() if object is not None and object in TYPED else []


@outbound_message.declare
def _(object: str | None, fields: list[str] | None, on: Writing) -> Declaration:
    return replace(DECLARED, subscribes=object is not None)


@outbound_message.subscribe
async def _(
    sf: Salesforce, endpoint: Endpoint, object: str | None, fields: list[str] | None, on: Writing
) -> Subscription:
    assert object is not None
    made = await ensure_outbound_message(sf, object, endpoint.url, fields, on=on)
    return Subscription(id=made.id, data={"name": made.name, "object": object})


@outbound_message.catch_up
async def _(
    sf: Salesforce, since: datetime, object: str | None, fields: list[str] | None, on: Writing
) -> AsyncGenerator[Missed]:
    """Yield the records that were written since, each once and as it is now; none that is deleted."""
    if object is None:
        return
    wanted = {"Id", *(fields if fields is not None else await usual_fields(sf, object))}
    asked = sorted({*wanted, "CreatedDate", "SystemModstamp"})
    ask = f"SELECT {', '.join(asked)} FROM {object} WHERE SystemModstamp >= {{since}}"  # noqa: S608
    ask += "" if on != "create" else " AND CreatedDate >= {since}"
    query = filled(f"{ask} ORDER BY SystemModstamp, Id", {"since": since})
    async for row in sf.pages(
        sf.data("query"), params={"q": query}, items="records", next=next_page
    ):
        if on == "update" and row["CreatedDate"] == row["SystemModstamp"]:
            continue
        stamp = str(row["SystemModstamp"])
        body = {"Id": f"{row['Id']}@{stamp}", "sObject": as_sent(object, row, wanted)}
        yield Missed(body, datetime.fromisoformat(stamp), is_state=True)


def as_sent(object: str, row: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """Write a row of a query as an outbound message does: what is empty is left out."""
    sent = {name: sent_as(row[name]) for name in sorted(fields) if row.get(name) is not None}
    return {"type": object, **sent}


def sent_as(value: Any) -> Any:
    """Write a value of a query as an outbound message does."""
    if isinstance(value, dict):
        inner = cast("dict[str, Any]", value)
        return {name: sent_as(each) for name, each in inner.items() if each is not None}
    if isinstance(value, bool):
        return "true" if value else "false"
    return re.sub(r"(T[\d:.]+)\+0000$", r"\1Z", str(value))


@outbound_message.unsubscribe
async def _(sf: Salesforce, subscription: Subscription) -> None:
    await delete_outbound_message(sf, subscription.id)


@outbound_message.exists
async def _(sf: Salesforce, subscription: Subscription) -> bool:
    ids = (await ids_by_name(sf)).values()
    return any(each[:15] == subscription.id[:15] for each in ids)
