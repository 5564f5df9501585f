"""Outbound messages of Salesforce, as the gateway takes them."""

from __future__ import annotations

from decimal import Decimal
from xml.sax.saxutils import escape

import pytest

from halflap import Config, Context, Ignore, Integration, Json
from halflap.components import salesforce
from halflap.testing import Receive, Run
from tests.cases import for_each

ORG = "00D24000000xxxxEAA"
ACK = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack>'
    "</notificationsResponse></soapenv:Body></soapenv:Envelope>"
)
XML = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}


def notification(id: str, fields: dict[str, str | None], object: str = "Opportunity") -> str:
    inner = "".join(
        f'<sf:{name} xsi:nil="true"/>'
        if value is None
        else f"<sf:{name}>{escape(value)}</sf:{name}>"
        for name, value in fields.items()
    )
    return (
        f'<Notification><Id>{id}</Id><sObject xsi:type="sf:{object}" '
        f'xmlns:sf="urn:sobject.enterprise.soap.sforce.com">{inner}</sObject></Notification>'
    )


def message(*notifications: str, org: str = ORG) -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" \
xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <OrganizationId>{org}</OrganizationId>
   <ActionId>04k000000000001AAA</ActionId>
   <SessionId>{ORG}!do-not-keep-me</SessionId>
   <EnterpriseUrl>https://evil.example/services/Soap/c/63.0/00D</EnterpriseUrl>
   <PartnerUrl>https://evil.example/services/Soap/u/63.0/00D</PartnerUrl>
   {"".join(notifications)}
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>""".encode()


WON = notification(
    "04l1", {"Id": "006A", "Name": "Ærø & <Co>", "StageName": "Won", "Amount": "1.0E7"}
)
LOST = notification("04l2", {"Id": "006B", "Name": "", "StageName": "Lost", "Amount": None})

USUAL = salesforce.Opportunity.field_names()

integration: Integration[Config] = Integration("test")


@integration.flow(trigger=salesforce.outbound_message)
async def opportunity(ctx: Context[Config], changed: salesforce.Opportunity) -> Json:
    return changed.name


async def test_a_message_becomes_an_event_for_each_record_and_one_ack(receive: Receive) -> None:
    got = await receive(opportunity, message(WON, LOST), headers=XML, secret=ORG)
    assert (got.status, got.text) == (200, ACK)
    assert got.headers["content-type"] == "text/xml; charset=utf-8"
    assert got.deliveries == ["04l1", "04l2"]
    assert got.keys == ["006A", "006B"]
    assert await got.events() == [
        {
            "type": "Opportunity",
            "Id": "006A",
            "Name": "Ærø & <Co>",
            "StageName": "Won",
            "Amount": "1.0E7",
        },
        {"type": "Opportunity", "Id": "006B", "Name": "", "StageName": "Lost"},
    ]
    typed = salesforce.Opportunity.model_validate((await got.events())[0])
    assert typed.amount == Decimal("10000000")


async def test_a_hundred_records_are_a_hundred_events(receive: Receive) -> None:
    many = [notification(f"04l{number}", {"Id": f"006{number}"}) for number in range(100)]
    got = await receive(opportunity, message(*many), headers=XML, secret=ORG)
    assert (got.status, got.text, len(got.started)) == (200, ACK, 100)
    assert len(set(got.keys)) == 100


async def test_neither_session_nor_addresses_of_a_message_are_kept(receive: Receive) -> None:
    got = await receive(opportunity, message(WON), headers=XML, secret=ORG)
    kept = repr(got.started) + "".join(each.body.decode() for each in got.started)
    assert "do-not-keep-me" not in kept
    assert "evil.example" not in kept


async def test_a_notification_that_came_before_is_acknowledged_and_not_run_again(
    receive: Receive,
) -> None:
    await receive(opportunity, message(WON), headers=XML, secret=ORG)
    again = await receive(opportunity, message(LOST, WON), headers=XML, secret=ORG)
    assert (again.status, again.text, again.duplicates) == (200, ACK, 1)
    assert again.keys == ["006B"]


@pytest.mark.parametrize("known", [ORG, ORG[:15]])
@pytest.mark.parametrize("sent", [ORG, ORG[:15]])
async def test_ids_of_15_and_of_18_characters_name_one_org(
    receive: Receive, known: str, sent: str
) -> None:
    got = await receive(opportunity, message(WON, org=sent), headers=XML, secret=known)
    assert got.status == 200


@for_each(
    "org", ["00D24000000xxxyEAA", ORG.lower(), ORG.upper(), "", ORG + ORG, ORG[:14], "Ü" * 15]
)
async def test_a_message_of_another_org_is_rejected(receive: Receive, org: str) -> None:
    got = await receive(opportunity, message(WON, org=org), headers=XML, secret=ORG)
    assert (got.status, len(got.started)) == (401, 0)
    assert "not the connection's" in got.reason
    assert ORG not in got.text


async def test_a_connection_that_knows_no_org_takes_no_message(receive: Receive) -> None:
    got = await receive(opportunity, message(WON, org=""), headers=XML, secret=" ")
    assert got.status == 401
    assert "does not know its Salesforce org" in got.reason


@for_each(
    "body",
    [
        b"",
        b"{}",
        b"<a>",
        b"<soapenv/>",
        message(WON)[:-10],
        message(WON).replace(b"notifications", b"other"),
        message("<Notification></Notification>"),
        message(notification("", {"Id": "006"})),
        message(notification("04l1", {"Id": "006", "Name": "&x;"}).replace("&amp;", "&")).replace(
            b"?>", b'?><!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>', 1
        ),
    ],
)
async def test_what_is_no_outbound_message_is_rejected_with_a_reason(
    receive: Receive, body: bytes
) -> None:
    got = await receive(opportunity, body, headers=XML, secret=ORG)
    assert (got.status, len(got.started)) == (400, 0)
    assert "no outbound message" in got.reason or "no id" in got.reason
    assert got.text != ACK


@pytest.mark.parametrize(
    "empty",
    [
        "<Notification><Id>04l9</Id></Notification>",
        '<Notification><Id>04l9</Id><sObject xsi:nil="true"/></Notification>',
        notification("04l9", {}),
        notification("04l9", {"Name": "x"}),
    ],
)
async def test_a_notification_without_data_is_ignored_visibly_and_the_others_arrive(
    receive: Receive, empty: str
) -> None:
    got = await receive(opportunity, message(WON, empty, LOST), headers=XML, secret=ORG)
    assert (got.status, got.text) == (200, ACK)
    assert got.deliveries == ["04l1", "04l9", "04l2"]
    first, nothing, last = await got.events()
    assert (first["Id"], last["Id"]) == ("006A", "006B")
    assert isinstance(nothing, Ignore)
    assert "has no data" in nothing.reason


async def test_a_header_that_lies_about_the_charset_changes_nothing(receive: Receive) -> None:
    headers = {"Content-Type": "text/xml; charset=iso-8859-1"}
    got = await receive(opportunity, message(WON), headers=headers, secret=ORG)
    assert (await got.events())[0]["Name"] == "Ærø & <Co>"


async def test_a_trigger_of_one_object_ignores_the_others(receive: Receive) -> None:
    trigger = salesforce.outbound_message(object="Account")
    got = await receive(trigger, message(WON), headers=XML, secret=ORG)
    assert await got.events() == [
        Ignore("it is a record of Opportunity, and this flow is for Account")
    ]


async def test_a_field_that_is_sent_and_is_empty_is_told_as_none(receive: Receive) -> None:
    bare = message(notification("04l1", {"Id": "006", "Name": "x"}))
    given = salesforce.outbound_message(fields=["Name", "Amount"])
    usual = salesforce.outbound_message(object="Opportunity")
    for trigger, more in ((given, {"Amount"}), (usual, {*USUAL} - {"Id", "Name"})):
        (event,) = await (await receive(trigger, bare, headers=XML, secret=ORG)).events()
        assert event == {**dict.fromkeys(more), "type": "Opportunity", "Id": "006", "Name": "x"}


async def test_a_record_with_a_field_of_type_is_still_of_its_object(receive: Receive) -> None:
    customer = notification("04l1", {"Id": "001", "Name": "x", "Type": "Customer"}, "Account")
    plain = notification("04l2", {"Id": "002", "Name": "y"}, "Account")
    got = await receive(opportunity, message(customer, plain), headers=XML, secret=ORG)
    found = [salesforce.Account.model_validate(each) for each in await got.events()]
    assert [each.account_type for each in found] == ["Customer", None]
    records = [salesforce.Record.model_validate(each) for each in await got.events()]
    assert [each.type for each in records] == ["Account", "Account"]
    assert records[0]["Type"] == "Customer"


async def test_an_event_of_another_object_is_no_event_of_a_typed_flow(
    run: Run, receive: Receive
) -> None:
    contact = notification("04l1", {"Id": "003", "Name": "x", "StageName": "Won"}, "Contact")
    got = await receive(opportunity, message(contact), headers=XML, secret=ORG)
    result = await run(opportunity, got.started[0])
    assert result.outcome.state == "failed"
    assert "a record of Contact, and not of Opportunity" in str(result.outcome.failure)


def test_a_bare_trigger_leaves_subscribing_to_the_deploy_flow() -> None:
    assert not salesforce.outbound_message().subscribes
    assert salesforce.outbound_message(object="Account").subscribes
