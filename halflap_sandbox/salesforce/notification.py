"""An outbound message in bytes: the SOAP that goes out, and the answer that acknowledges it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from halflap_sandbox.salesforce.call import number
from halflap_sandbox.salesforce.model import Entity, Org, OutboundMessage, Value, Values

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
HEADERS = {
    "Content-Type": "text/xml; charset=utf-8",
    "SOAPAction": '""',
    "User-Agent": "SFDC-Outbound-Messaging",
}


def envelope(
    org: Org,
    message: OutboundMessage,
    records: Sequence[tuple[str, Values | None]],
    *,
    address: str,
    session: str | None,
) -> bytes:
    """Write a message about records, each with the id of its notification.

    A record that was deleted meanwhile has no values: its notification goes out without data.
    """
    entity = org.entities.get(message.object)
    notifications = "".join(
        f"   <Notification>\n    <Id>{id}</Id>\n{_record(message, entity, values)}   </Notification>\n"
        for id, values in records
    )
    session_id = (
        '<SessionId xsi:nil="true"/>'
        if session is None
        else f"<SessionId>{escape(session)}</SessionId>"
    )
    soap, version = f"{escape(address)}/services/Soap", message.api_version
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="{SOAP}" xmlns:xsd="http://www.w3.org/2001/XMLSchema" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="{OUTBOUND}">
   <OrganizationId>{org.id}</OrganizationId>
   <ActionId>{message.id}</ActionId>
   {session_id}
   <EnterpriseUrl>{soap}/c/{version}/{org.id[:15]}</EnterpriseUrl>
   <PartnerUrl>{soap}/u/{version}/{org.id[:15]}</PartnerUrl>
{notifications}  </notifications>
 </soapenv:Body>
</soapenv:Envelope>""".encode()


def _record(message: OutboundMessage, entity: Entity | None, values: Values | None) -> str:
    if values is None:
        return '    <sObject xsi:nil="true"/>\n'
    lines = [
        f'    <sObject xsi:type="sf:{message.object}" '
        'xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
    ]
    # The WSDL has the fields in order of their names, after the id.
    for name in ["Id", *sorted({*message.fields} - {"Id"})]:
        if (value := values.get(name)) is not None:
            known = entity.fields.get(name) if entity else None
            lines.append(f"     <sf:{name}>{text(value, known.type if known else '')}</sf:{name}>")
    return "\n".join([*lines, "    </sObject>\n"])


def text(value: Value, type: str) -> str:
    """Write a value as SOAP does."""
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            return number(value)
        case str():
            if type == "datetime":
                value = value.replace("+0000", "Z")
            return escape(ILLEGAL.sub("", value))
        case _:
            return str(value)


def acknowledged(status: int, body: bytes) -> str | None:
    """Tell what is wrong with an answer; None where it acknowledges the whole message."""
    if status != 200:
        return f"answered {status}, not 200"
    if b"<!DOCTYPE" in body:
        return "the answer has a DOCTYPE"
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 (no DOCTYPE, so no entities; short)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        return f"the answer is no XML: {error}"
    if root.tag != f"{{{SOAP}}}Envelope":
        return "the answer is no SOAP envelope"
    ack = root.find(f"{{{SOAP}}}Body/{{{OUTBOUND}}}notificationsResponse/{{{OUTBOUND}}}Ack")
    if ack is None:
        return "the answer has no Ack in a notificationsResponse"
    if (ack.text or "").strip() not in ("true", "1"):
        return f"Ack is {ack.text}, not true"
    return None
