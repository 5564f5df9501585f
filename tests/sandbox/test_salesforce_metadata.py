"""The metadata of a sandbox Salesforce: SOAP, sign-in, and outbound messages one by one."""

from __future__ import annotations

import pytest

from tests.cases import for_each
from tests.sandbox.metadata_calls import Caller, Fault, message, save

pytestmark = pytest.mark.asyncio(loop_scope="module")


@for_each(
    "body",
    [
        b"",
        b"<not-closed",
        b"<Envelope/>",
        b'<!DOCTYPE e [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><a>&x;</a></e:Body>'
        b"</e:Envelope>",
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body/></e:Envelope>',
        b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        b"<flyMetadata/></e:Body></e:Envelope>",
    ],
)
async def test_what_is_no_request_is_a_fault_of_the_client(caller: Caller, body: bytes) -> None:
    for path in ("m/63.0", "u/63.0", "c/63.0"):
        with pytest.raises(Fault) as caught:
            await caller.raw(body, path)
        assert caught.value.code == "soapenv:Client"
        assert "root:" not in caught.value.text


async def test_a_version_that_there_is_not_is_a_fault(caller: Caller) -> None:
    for version in ("v63.0", "63", "163.0", "latest"):
        with pytest.raises(Fault, match="UNSUPPORTED_API_VERSION"):
            await caller.soap("<describeMetadata/>", path=f"m/{version}")


async def test_an_id_is_kept_when_a_message_is_changed_or_renamed(caller: Caller) -> None:
    await caller.create_message()
    id = caller.org.outbound_messages["Opportunity.Tell"].id
    await caller.one(save("upsert", message(caller.user.username, label="Other")))
    rename = (
        "<renameMetadata><type>WorkflowOutboundMessage</type><oldFullName>Opportunity.Tell"
        "</oldFullName><newFullName>Opportunity.Told</newFullName></renameMetadata>"
    )
    assert (await caller.one(rename)).get("success") == "true"
    assert [(m.full_name, m.id) for m in caller.org.outbound_messages.values()] == [
        ("Opportunity.Told", id)
    ]
    code, _ = await caller.refused(rename)
    assert code == "INVALID_CROSS_REFERENCE_KEY"


async def test_elements_out_of_their_order_are_a_fault_and_nothing_is_saved(caller: Caller) -> None:
    right = message(caller.user.username)
    fields = "<fields>Id</fields>"
    wrong = right.replace(fields, "") + fields
    with pytest.raises(Fault, match="Element fields invalid at this location") as caught:
        await caller.soap(save("create", right.replace("Tell", "First"), wrong))
    assert caught.value.code == "soapenv:Client"
    with pytest.raises(Fault, match="Element secret invalid at this location"):
        await caller.soap(save("create", right + "<secret>1</secret>"))
    assert not caller.org.outbound_messages


@for_each(
    ("old", "new", "code", "says"),
    [
        ("Opportunity.Tell", "Oportunity.Tell", "INVALID_CROSS_REFERENCE_KEY", "CustomObject"),
        ("Opportunity.Tell", "Tell", "INVALID_FULL_NAME", "Object.Name"),
        ("Opportunity.Tell", "Opportunity.1Tell", "INVALID_FULL_NAME", "begin with a letter"),
        ("Opportunity.Tell", "Opportunity.Tell__x", "INVALID_FULL_NAME", "two consecutive"),
        (
            "Opportunity.Tell",
            "Opportunity.Tell_",
            "INVALID_FULL_NAME",
            "not end with an underscore",
        ),
        ("Opportunity.Tell", "Opportunity.Té", "INVALID_FULL_NAME", "alphanumeric"),
        ("Opportunity.Tell", "Opportunity." + "a" * 81, "STRING_TOO_LONG", "max length=80"),
        (
            "<fields>Amount",
            "<fields>Amont",
            "INVALID_CROSS_REFERENCE_KEY",
            "Opportunity.Amont found",
        ),
        ("admin@", "nobody@", "INVALID_CROSS_REFERENCE_KEY", "no User named nobody@"),
        ("http://127.0.0.1:9", "ftp://127.0.0.1", "INVALID_INPUT", "not a valid URL"),
        ("<apiVersion>63.0</apiVersion>", "", "REQUIRED_FIELD_MISSING", "apiVersion"),
        ("63.0", "9000.0", "INVALID_INPUT", "apiVersion"),
        ("<protected>false", "<protected>maybe", "INVALID_TYPE", "maybe"),
    ],
)
async def test_a_wrong_message_is_refused_with_the_code_of_salesforce(
    caller: Caller, old: str, new: str, code: str, says: str
) -> None:
    given = message(caller.user.username)
    assert old in given
    refused, text = await caller.refused(save("create", given.replace(old, new)))
    assert (refused, says in text) == (code, True), text
    assert not caller.org.outbound_messages


async def test_a_name_can_be_created_once_and_only_what_is_there_updated(caller: Caller) -> None:
    user = caller.user.username
    await caller.create_message("Opportunity.Tell")
    code, _ = await caller.refused(save("create", message(user, "Opportunity.TELL")))
    assert code == "DUPLICATE_DEVELOPER_NAME"
    code, text = await caller.refused(save("update", message(user, "Opportunity.Other")))
    assert code == "INVALID_CROSS_REFERENCE_KEY"
    assert text.endswith("no WorkflowOutboundMessage named Opportunity.Other found")
    assert await caller.listed("WorkflowOutboundMessage") == ["Opportunity.Tell"]


async def test_of_several_those_that_are_right_are_saved(caller: Caller) -> None:
    user = caller.user.username
    given = (
        message(user, "Opportunity.A"),
        message(user, "Nothing.B"),
        message(user, "Opportunity.C"),
    )
    results = await caller.soap(save("upsert", *given))
    assert [(r.get("fullName"), r.get("success"), r.get("created")) for r in results] == [
        ("Opportunity.A", "true", "true"),
        ("Nothing.B", "false", "false"),
        ("Opportunity.C", "true", "true"),
    ]
    assert set(caller.org.outbound_messages) == {"Opportunity.A", "Opportunity.C"}


async def test_all_or_none_saves_none_where_one_is_wrong(caller: Caller) -> None:
    user = caller.user.username
    header = "<AllOrNoneHeader><allOrNone>true</allOrNone></AllOrNoneHeader>"
    body = save("create", message(user, "Opportunity.A"), message(user, "Nothing.B"))
    results = await caller.soap(body, header=header)
    assert [result.get("success") for result in results] == ["false", "false"]
    assert not caller.org.outbound_messages


async def test_a_call_takes_ten_and_a_list_three_queries(caller: Caller) -> None:
    user = caller.user.username
    many = [message(user, f"Opportunity.M{n}") for n in range(11)]
    with pytest.raises(Fault, match="EXCEEDED_ID_LIMIT"):
        await caller.soap(save("create", *many))
    assert len(await caller.soap(save("create", *many[:10]))) == 10
    query = "<queries><type>WorkflowOutboundMessage</type></queries>"
    with pytest.raises(Fault, match="EXCEEDED_ID_LIMIT"):
        await caller.soap(f"<listMetadata>{query * 4}</listMetadata>")
    assert len(await caller.soap(f"<listMetadata>{query * 3}</listMetadata>")) == 30
    with pytest.raises(Fault, match="INVALID_TYPE"):
        await caller.listed("Nonsense")


async def test_an_external_id_field_is_added_and_records_have_it(caller: Caller) -> None:
    org = caller.org
    org.tables["Account"]["001"] = {"Id": "001", "Name": "Oak"}
    field = (
        "<fullName>Account.Halflap_Id__c</fullName><externalId>true</externalId><label>Id</label>"
        "<length>40</length><type>Text</type><unique>true</unique>"
    )
    created = await caller.one(save("upsert", field, type="CustomField"))
    assert (created.get("created"), created.get("success")) == ("true", "true")
    made = org.entities["Account"].fields["Halflap_Id__c"]
    assert (made.type, made.length, made.external_id, made.unique) == ("string", 40, True, True)
    assert org.tables["Account"]["001"]["Halflap_Id__c"] is None
    again = await caller.one(save("upsert", field, type="CustomField"))
    assert (again.get("created"), again.get("success")) == ("false", "true")
    given = message(caller.user.username, "Account.Tell", fields=("Halflap_Id__c",))
    await caller.one(save("create", given))
    delete = (
        "<deleteMetadata><type>CustomField</type><fullNames>Account.Halflap_Id__c</fullNames>"
        "</deleteMetadata>"
    )
    code, text = await caller.refused(delete)
    assert (code, "Account.Tell" in text) == ("DELETE_FAILED", True)
    org.outbound_messages.clear()
    assert (await caller.one(delete)).get("success") == "true"
    assert "Halflap_Id__c" not in org.entities["Account"].fields


async def test_soap_calls_count_against_the_limit_of_the_day(caller: Caller) -> None:
    caller.org.daily_api_requests = caller.org.api_requests + 1
    await caller.soap("<describeMetadata/>")
    with pytest.raises(Fault, match="REQUEST_LIMIT_EXCEEDED"):
        await caller.soap("<describeMetadata/>")
