from decimal import Decimal

import acme
import pytest
import salesforce_acme

from halflap import UpstreamError, salesforce
from halflap.testing import Receive, Run

ORG = "00D24000000xxxxEAA"
ACCOUNTS = [{"salesforce": "001A", "acme": "7"}]
OPPORTUNITIES = [{"salesforce": "006A", "acme": "9"}]
SEEN = acme.Opportunity(id="9", name="Suits", stage="Won", seats=5, price=Decimal("19.90"))
SAVED = salesforce.Saved(id="006A", created=False)


# Salesforce account


async def test_a_new_account_is_created_in_acme_and_remembered(run: Run):
    result = await run(
        salesforce_acme.account,
        salesforce.Account(Id="001A", Name="Initech"),
        stubs={acme.create_account: acme.Account(id="7", external_id="001A", name="Initech")},
    )
    assert result.steps == [acme.create_account.call(external_id="001A", name="Initech")]
    assert result.steps[0].title == "Create an Account"
    assert result.paired["accounts"] == ACCOUNTS


async def test_a_known_account_is_updated_in_acme(run: Run):
    result = await run(
        salesforce_acme.account,
        salesforce.Account(Id="001A", Name="Initrode"),
        stubs={acme.update_account: acme.Account(id="7", name="Initrode")},
        paired={salesforce_acme.accounts: ACCOUNTS},
    )
    assert result.steps == [acme.update_account.call(id="7", name="Initrode")]
    assert result.steps[0].title == "Update an Account"
    assert result.paired["accounts"] == ACCOUNTS


# Salesforce opportunity


async def test_a_new_opportunity_is_created_in_acme_and_remembered(run: Run):
    result = await run(
        salesforce_acme.opportunity,
        salesforce.Opportunity(Id="006A", Name="Suits", StageName="Won"),
        stubs={acme.create_opportunity: SEEN},
    )
    assert result.steps == [
        acme.create_opportunity.call(external_id="006A", name="Suits", stage="Won")
    ]
    assert result.steps[0].title == "Create an Opportunity"
    assert result.paired["opportunities"] == OPPORTUNITIES


async def test_a_known_opportunity_is_updated_in_acme(run: Run):
    result = await run(
        salesforce_acme.opportunity,
        salesforce.Opportunity(Id="006A", Name="Suits", StageName="Won"),
        stubs={acme.update_opportunity: SEEN},
        paired={salesforce_acme.opportunities: OPPORTUNITIES},
    )
    assert result.steps == [acme.update_opportunity.call(id="9", name="Suits", stage="Won")]
    assert result.steps[0].title == "Update an Opportunity"


async def test_what_acme_refuses_fails_and_pairs_nothing(run: Run):
    result = await run(
        salesforce_acme.opportunity,
        salesforce.Opportunity(Id="006A", Name="", StageName="Won"),
        stubs={acme.create_opportunity: UpstreamError("name: is empty", status=422)},
    )
    assert result.state == "failed"
    assert result.paired["opportunities"] == []


async def test_a_record_that_is_gone_by_now_is_not_created(run: Run):
    result = await run(
        salesforce_acme.account,
        salesforce.Account(Id="001A", Name="Initech"),
        current={"salesforce/Account/001A": None},
    )
    assert (result.state, result.steps) == ("ignored", [])


# Acme opportunity update


@pytest.mark.parametrize(
    ("seats", "price", "discount", "amount"),
    [
        (5, "19.90", "0", "99.50"),
        (5, "19.90", "15", "84.58"),  # 84.575
        (3, "0.1", "0", "0.30"),  # 0.30000000000000004 in binary
        (7, "1234567890123.45", "12.5", "7561728327006.13"),  # more digits than a double has
        (5, "19.90", "100", "0.00"),
        (0, "19.90", "0", "0.00"),
    ],
)
async def test_seats_and_price_become_the_amount_exactly(
    run: Run, seats: int, price: str, discount: str, amount: str
):
    result = await run(
        salesforce_acme.opportunity_amount,
        SEEN.model_copy(update={"seats": seats, "price": Decimal(price)}),
        config={"discount": discount},
        stubs={salesforce.update_record: SAVED},
        paired={salesforce_acme.opportunities: OPPORTUNITIES},
    )
    (step,) = result.steps
    fields = {"Amount": Decimal(amount)}
    assert step == salesforce.update_record.call(object="Opportunity", id="006A", fields=fields)
    assert step.title == "Update the Amount"


async def test_an_opportunity_that_did_not_come_from_salesforce_is_ignored(run: Run):
    result = await run(salesforce_acme.opportunity_amount, SEEN)
    assert (result.state, result.steps) == ("ignored", [])
    assert result.reason == "the opportunity 9 did not come from Salesforce"


async def test_acme_tells_prices_as_exact_numbers(run: Run, receive: Receive):
    body = (
        b'{"type": "opportunity.updated", "data": {"id": "9", "name": "Suits", "stage": "Won", '
        b'"seats": 1, "price": 1234567890123456.78}}'
    )
    received = await receive(salesforce_acme.opportunity_amount, body, id="msg_1")
    (request,) = received.started
    assert (received.keys, received.deliveries) == (["9"], ["msg_1"])
    result = await run(
        salesforce_acme.opportunity_amount,
        request,
        stubs={salesforce.update_record: SAVED},
        paired={salesforce_acme.opportunities: OPPORTUNITIES},
    )
    assert dict(result.steps[0].inputs)["fields"] == {"Amount": Decimal("1234567890123456.78")}


async def test_what_acme_did_not_sign_is_rejected(receive: Receive):
    received = await receive(salesforce_acme.opportunity_amount, {"data": {}}, sign=False)
    assert (received.status, received.started) == (401, [])


# An outbound message


def notification(id: str, object: str, **fields: str) -> str:
    inner = "".join(f"<sf:{name}>{value}</sf:{name}>" for name, value in fields.items())
    return f'<Notification><Id>{id}</Id><sObject xsi:type="sf:{object}">{inner}</sObject></Notification>'


def outbound_message(*notifications: str, org: str = ORG) -> str:
    """An outbound message, as Salesforce sends it."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsd="http://www.w3.org/2001/XMLSchema"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound"
   xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
   <OrganizationId>{org}</OrganizationId>
   <ActionId>04k24000000XxxxAAC</ActionId>
   <SessionId xsi:nil="true"/>
   <EnterpriseUrl>https://initech.my.salesforce.com/services/Soap/c/63.0/{org}</EnterpriseUrl>
   <PartnerUrl>https://initech.my.salesforce.com/services/Soap/u/63.0/{org}</PartnerUrl>
   {"".join(notifications)}
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>"""


XML = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}
THREE = outbound_message(
    notification("04l1", "Account", Id="001A", Name="Initech"),
    notification("04l2", "Account", Id="001B", Name="Bj&#246;rk &amp; S&#248;n"),
    notification("04l3", "Account", Id="001C", Name="漢字"),
)


async def test_three_records_in_a_message_are_three_executions_and_one_ack(
    run: Run, receive: Receive
):
    received = await receive(salesforce_acme.account, THREE, headers=XML, secret=ORG)
    assert received.status == 200
    assert received.text.count("<Ack>true</Ack>") == 1
    assert received.keys == ["001A", "001B", "001C"]
    made: list[str] = []

    def create(external_id: str, name: str) -> acme.Account:
        made.append(name)
        return acme.Account(id=str(len(made)), external_id=external_id, name=name)

    pairs: list[dict[str, str]] = []
    for request in received.started:
        result = await run(salesforce_acme.account, request, stubs={acme.create_account: create})
        result.raise_for_failure()
        pairs += result.paired["accounts"]
    assert made == ["Initech", "Björk & Søn", "漢字"]
    assert [each["salesforce"] for each in pairs] == received.keys


async def test_a_message_that_comes_again_starts_nothing_and_is_acknowledged(receive: Receive):
    await receive(salesforce_acme.account, THREE, headers=XML, secret=ORG)
    again = await receive(salesforce_acme.account, THREE, headers=XML, secret=ORG)
    assert (again.status, again.duplicates, again.started) == (200, 3, [])
    assert "<Ack>true</Ack>" in again.text


async def test_a_message_of_another_org_is_rejected(receive: Receive):
    received = await receive(
        salesforce_acme.account, THREE, headers=XML, secret="00D24000000yyyyEAA"
    )
    assert (received.status, received.started) == (401, [])


async def test_a_deal_without_an_amount_arrives_typed(run: Run, receive: Receive):
    message = outbound_message(
        notification("04l1", "Opportunity", Id="006A", Name="Suits", StageName="Won")
    )
    received = await receive(salesforce_acme.opportunity, message, headers=XML, secret=ORG)
    result = await run(
        salesforce_acme.opportunity, received.started[0], stubs={acme.create_opportunity: SEEN}
    )
    assert result.paired["opportunities"] == OPPORTUNITIES


# Deploy and tear down


def message_at(id: str, url: str) -> salesforce.OutboundMessage:
    return salesforce.OutboundMessage(
        id=id, object="Account", name=f"M_{id}", url=url, fields=["Id", "Name"]
    )


def webhook_at(id: str, url: str) -> acme.Webhook:
    return acme.Webhook(id=id, event="opportunity.updated", url=url)


USER = salesforce.User(
    user_id="005A", preferred_username="ada@initech.example", organization_id=ORG
)


async def test_deploy_points_both_apps_at_this_instances_flows(run: Run):
    result = await run(
        salesforce_acme.deploy,
        stubs={
            salesforce.get_current_user: USER,
            salesforce.ensure_outbound_message: message_at("04k1", "https://any.example"),
            acme.ensure_webhook: webhook_at("1", "https://any.example"),
        },
    )
    result.raise_for_failure()
    assert [each.title for each in result.steps] == [
        "Get Current User",
        "Set Up Opportunity Outbound Message",
        "Set Up Account Outbound Message",
        "Create an Opportunity Webhook",
    ]
    hooks = "https://halflap.example/hooks"
    ensure = salesforce.ensure_outbound_message
    _, opportunity, account, webhook = result.steps
    assert opportunity == ensure.call(
        object="Opportunity",
        url=f"{hooks}/opportunity",
        fields=["Name", "StageName"],
        username="ada@initech.example",
    )
    assert account == ensure.call(
        object="Account",
        url=f"{hooks}/account",
        fields=["Name"],
        username="ada@initech.example",
    )
    told = dict(webhook.inputs)
    assert (told["event"], told["url"]) == ("opportunity.updated", f"{hooks}/opportunity_amount")


URLS = {
    name: f"https://halflap.example/hooks/ours-{name}"
    for name in ("account", "opportunity", "opportunity_amount")
}


async def test_teardown_removes_this_instances_and_no_others(run: Run):
    other = "https://halflap.example/hooks/another-customers"
    result = await run(
        salesforce_acme.teardown,
        stubs={
            salesforce.list_outbound_messages: [
                message_at("04k1", URLS["account"]),
                message_at("04k2", other),
                message_at("04k3", URLS["opportunity"]),
                message_at("04k4", "https://elsewhere.example/"),
            ],
            salesforce.delete_outbound_message: None,
            acme.list_webhooks: [
                webhook_at("1", other),
                webhook_at("2", URLS["opportunity_amount"]),
                webhook_at("3", f"{URLS['opportunity_amount']}/not"),
            ],
            acme.delete_webhook: None,
        },
        urls=URLS,
    )
    result.raise_for_failure()
    assert result.steps == [
        salesforce.list_outbound_messages.call(),
        salesforce.delete_outbound_message.call(id="04k1"),
        salesforce.delete_outbound_message.call(id="04k3"),
        acme.list_webhooks.call(),
        acme.delete_webhook.call(id="2"),
    ]


async def test_teardown_of_what_is_gone_already_does_nothing(run: Run):
    result = await run(
        salesforce_acme.teardown,
        stubs={salesforce.list_outbound_messages: [], acme.list_webhooks: []},
    )
    result.raise_for_failure()
    assert len(result.steps) == 2
