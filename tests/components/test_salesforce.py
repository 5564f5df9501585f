"""Salesforce: errors, quoting, typed records and what is sent, against made-up answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from halflap import (
    ConfigError,
    DefinitionError,
    EgressRefused,
    RateLimited,
    Reply,
    Unauthorized,
    UpstreamError,
)
from halflap.components import salesforce
from halflap.components.salesforce.models import ObjectField
from halflap.sdk.secret import put_together, take_apart
from halflap.testing import Fake
from tests.cases import for_each

DATA = "/services/data/v63.0"
ORG = "00D24000000xxxxEAA"


def connection(fake: Fake, **fields: Any) -> salesforce.Salesforce:
    auth = salesforce.SessionId(
        instance_url="https://acme.my.salesforce.com", session_id=SecretStr(f"{ORG[:15]}!secret")
    )
    return fake.connection(salesforce.Salesforce, auth=auth, **fields)


def errors(code: str, message: str = "why", fields: list[str] | None = None) -> list[Any]:
    return [{"errorCode": code, "message": message, "fields": fields or []}]


# The connection


def test_each_way_in_signs_in_where_the_connection_says() -> None:
    sf = salesforce.Salesforce.model_validate(
        {
            "login_url": "https://test.salesforce.com/",
            "auth": {"kind": "oauth2_code", "client_id": "c"},
        }
    )
    assert isinstance(sf.auth, salesforce.SignIn)
    assert sf.auth.authorize_url == "https://test.salesforce.com/services/oauth2/authorize"
    assert sf.auth.token_url == "https://test.salesforce.com/services/oauth2/token"
    given = {"kind": "jwt_bearer", "client_id": "c", "username": "u@x.example", "private_key": "k"}
    sf = salesforce.Salesforce.model_validate({"auth": given})
    assert isinstance(sf.auth, salesforce.KeyPair)
    assert (sf.auth.subject, sf.auth.audience) == ("u@x.example", "https://login.salesforce.com")


def test_an_address_that_follows_from_the_login_url_is_not_taken_from_elsewhere() -> None:
    given = {"kind": "oauth2_code", "client_id": "c"}
    sf = salesforce.Salesforce.model_validate({"auth": given})
    fields, _ = take_apart(sf)
    assert {"token_url", "authorize_url"}.isdisjoint(fields["auth"]), "so that it cannot be stale"
    for name in ("token_url", "authorize_url"):
        stored = {"auth": {**given, name: getattr(sf.auth, name)}}  # as 0.1.0 stored it
        assert salesforce.Salesforce.model_validate(stored) == sf
        with pytest.raises(ConfigError) as caught:
            put_together(
                salesforce.Salesforce, {"auth": {**given, name: "https://mine.example/token"}}, {}
            )
        assert caught.value.fields == {
            f"auth.{name}": "follows from login_url: set that, and clear this"
        }


def test_a_form_asks_for_nothing_that_salesforce_tells_by_itself() -> None:
    schema = salesforce.Salesforce.model_json_schema()
    asked = {name: set(each["properties"]) - {"kind"} for name, each in schema["$defs"].items()}
    assert asked == {
        "SignIn": {"client_id", "client_secret", "scopes"},
        "KeyPair": {"client_id", "username", "private_key"},
        "ClientLogin": {"client_id", "client_secret"},
        "SessionId": {"instance_url", "session_id"},
    }


@for_each(
    "wrong",
    [
        {"auth": {"client_id": "c"}},
        {"auth": {"kind": "oauth2_code", "client_id": "c"}, "login_url": "ftp://x"},
        {"auth": {"kind": "oauth2_code", "client_id": "c"}, "api_version": "63"},
        {"auth": {"kind": "session_id", "session_id": "s", "instance_url": "https://x/path"}},
    ],
)
def test_a_wrong_field_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        salesforce.Salesforce.model_validate(wrong)


async def test_a_test_refuses_the_credentials_of_another_org(fake: Fake) -> None:
    fake.get("/services/oauth2/userinfo", answers={"organization_id": ORG}).then(
        {"organization_id": "00D99000000zzzzEAA"}
    )
    sf = connection(fake)
    await sf.test()
    with pytest.raises(ConfigError, match="00D99000000zzzzEAA, and not"):
        await sf.test()


async def test_a_session_that_ended_says_to_connect_again(fake: Fake) -> None:
    fake.get(f"{DATA}/limits", status=401, json=errors("INVALID_SESSION_ID"))
    with pytest.raises(Unauthorized, match=r"INVALID_SESSION_ID.*connect again") as caught:
        await salesforce.get_limits(connection(fake))
    assert "!secret" not in str(caught.value)


# Errors


@for_each(
    ("status", "code", "kind", "retryable"),
    [
        (400, "MALFORMED_QUERY", UpstreamError, False),
        (400, "UNABLE_TO_LOCK_ROW", UpstreamError, True),
        (403, "REQUEST_LIMIT_EXCEEDED", RateLimited, True),
        (403, "INSUFFICIENT_ACCESS", UpstreamError, False),
        (404, "NOT_FOUND", UpstreamError, False),
        (500, "UNKNOWN_EXCEPTION", UpstreamError, True),
        (503, "SERVER_UNAVAILABLE", UpstreamError, True),
    ],
)
async def test_an_error_of_the_api_says_what_salesforce_said(
    fake: Fake, status: int, code: str, kind: type[UpstreamError], retryable: bool
) -> None:
    fake.get(f"{DATA}/limits", status=status, json=errors(code, "no way", ["Name"]))
    with pytest.raises(UpstreamError, match=f"{code}: no way \\(Name\\)") as caught:
        await salesforce.get_limits(connection(fake))
    assert type(caught.value) is kind
    assert caught.value.retryable is retryable
    assert caught.value.status == status


@for_each("body", [b"<html>down</html>", b"", b"[1]", b"{}", b"[]"])
async def test_an_error_in_no_known_shape_is_an_error_too(fake: Fake, body: bytes) -> None:
    fake.get(f"{DATA}/limits", answers=Reply(503, body))
    with pytest.raises(UpstreamError, match="503") as caught:
        await salesforce.get_limits(connection(fake))
    assert caught.value.retryable


async def test_a_nearly_used_up_limit_is_told_once(
    fake: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    def used(number: int) -> dict[str, str]:
        return {"Sforce-Limit-Info": f"api-usage={number}/15000"}

    fake.get(f"{DATA}/limits", answers={}, headers=used(13_500)).then(
        {}, headers=used(13_501)
    ).then({}, headers=used(13_502))
    sf = connection(fake)
    with caplog.at_level(logging.WARNING):
        for told in (0, 1, 1):
            await salesforce.get_limits(sf)
            assert len(caplog.records) == told
    assert sf.usage == salesforce.ApiUsage(13_502, 15_000)
    assert "13501 of the 15000" in caplog.text


# Records


async def test_decimals_are_sent_and_read_with_every_digit(fake: Fake) -> None:
    record = b'{"Id":"006","Amount":198.10,"attributes":{"type":"Opportunity"}}'
    done = b'{"referenceId":"saved","httpStatusCode":204,"httpHeaders":{},"body":null}'
    read = b'{"referenceId":"read","httpStatusCode":200,"httpHeaders":{},"body":' + record + b"}"
    answer = b'{"compositeResponse":[' + done + b"," + read + b"]}"
    sent = fake.post(f"{DATA}/composite", answers=answer)
    fake.get(f"{DATA}/sobjects/Opportunity/006", answers=record)
    sf = connection(fake)
    fields = {"Amount": Decimal("12345678901234567.10")}
    saved = await salesforce.update_record(sf, "Opportunity", "006", fields)
    assert b'{"Amount":12345678901234567.10}' in sent.requests[0].body
    assert str(saved["Amount"]) == "198.10"
    found = await salesforce.get_record(sf, "Opportunity", "006")
    assert found is not None
    assert (found["Amount"], found.type, found.id) == (Decimal("198.10"), "Opportunity", "006")
    assert str(found["Amount"]) == "198.10"


async def test_ids_and_names_cannot_leave_their_place_in_a_path(fake: Fake) -> None:
    sent = fake.delete(f"{DATA}/sobjects/{{object}}/{{id}}")
    await salesforce.delete_record(connection(fake), "Account", "a/Contact?x=1#")
    assert sent.requests[0].url.endswith("/sobjects/Account/a%2FContact%3Fx=1%23")
    for climbs in ("../Contact?x=1#", "..", ".", "", "%2e%2e", "a/../../Contact"):
        with pytest.raises(EgressRefused):
            await salesforce.delete_record(connection(fake), "Account", climbs)
        with pytest.raises(EgressRefused):
            await salesforce.update_record(connection(fake), "Account", climbs, {"Name": "x"})
    assert len(fake.requests) == 1


async def test_a_gone_record_is_none_and_deleting_it_is_fine(fake: Fake) -> None:
    fake.get(f"{DATA}/sobjects/Account/001", status=404, json=errors("NOT_FOUND"))
    gone = fake.delete(f"{DATA}/sobjects/Account/001", status=404, json=errors("ENTITY_IS_DELETED"))
    gone.then(status=400, json=errors("DELETE_FAILED"))
    sf = connection(fake)
    assert await salesforce.get_record(sf, "Account", "001", ["Name"]) is None
    await salesforce.delete_record(sf, "Account", "001")
    with pytest.raises(UpstreamError, match="DELETE_FAILED"):
        await salesforce.delete_record(sf, "Account", "001")


async def test_a_query_reads_every_page_of_its_rows_and_of_their_children(fake: Fake) -> None:
    def row(number: int, **more: Any) -> dict[str, Any]:
        return {"attributes": {"type": "Account"}, "Id": f"00{number}", **more}

    child = {
        "totalSize": 3,
        "done": False,
        "records": [row(8)],
        "nextRecordsUrl": f"{DATA}/query/c-1",
    }
    first = {
        "done": False,
        "records": [row(1, Contacts=child)],
        "nextRecordsUrl": f"{DATA}/query/q-1",
    }
    fake.get(
        f"{DATA}/query", answers=first, params={"q": "SELECT Id FROM Account WHERE Name = 'O\\'X'"}
    )
    fake.get(f"{DATA}/query/q-1", answers={"done": True, "records": [row(2)]})
    fake.get(f"{DATA}/query/c-1", answers={"done": True, "records": [row(9)]})
    found = await salesforce.query(
        connection(fake), "SELECT Id FROM Account WHERE Name = {name}", {"name": "O'X"}
    )
    assert [each.id for each in found] == ["001", "002"]
    assert [each["Id"] for each in found[0]["Contacts"]["records"]] == ["008", "009"]


async def test_many_records_are_got_by_their_ids(fake: Fake) -> None:
    short, long, gone = "001000000000001", "001000000000002AAA", "001000000000009AAA"
    rows = [
        {"attributes": {"type": "Account", "url": "/x"}, "Id": id, "Name": id[14]}
        for id in (f"{short}AAB", long)
    ]
    asked = fake.get(f"{DATA}/query", answers={"done": True, "records": rows})
    ids = [short, "x' OR Name != '", long, gone]
    got = await salesforce.get_records(connection(fake), "Account", ids, ["Name"])
    assert {id: each["Name"] for id, each in got.found.items()} == {short: "1", long: "2"}
    assert got.missing == ["x' OR Name != '", gone]
    (sent,) = asked.requests
    assert sent.params["q"] == (
        f"SELECT Id, Name FROM Account WHERE Id IN ('{short}', '{long}', '{gone}')"
    )
    none = await salesforce.get_records(connection(fake), "Account", ["no id"], ["Name"])
    assert (none.missing, len(asked.requests)) == (["no id"], 1)


async def test_a_record_looks_to_a_flow_as_salesforce_names_it() -> None:
    record = salesforce.Record.model_validate(
        {"attributes": {"type": "Account", "url": "/x"}, "Id": "001", "Name": "Initech"}
    )
    flat = {"type": "Account", "Id": "001", "Name": "Initech"}
    assert record.model_dump(by_alias=True) == flat
    assert salesforce.Record.model_validate(flat) == record
    assert record.fields == {"Name": "Initech"}
    assert record.get("Phone") is None
    account = salesforce.Account.of(record)
    assert (account.id, account.name, account.phone) == ("001", "Initech", None)
    with pytest.raises(ValidationError, match="a record of Account, and not of Opportunity"):
        salesforce.Opportunity.of(record)


def test_a_typed_record_reads_the_text_of_a_message() -> None:
    record = salesforce.Opportunity.model_validate(
        {"Id": "006", "Name": "x", "StageName": "Won", "Amount": "1.0E7", "CloseDate": "2026-01-31"}
    )
    assert (record.amount, record.close_date) == (Decimal("1.0E7"), date(2026, 1, 31))


def test_a_field_says_which_input_it_is() -> None:
    field = ObjectField.model_validate(
        {
            "name": "StageName",
            "label": "Stage",
            "type": "picklist",
            "nillable": False,
            "createable": True,
            "picklistValues": [{"value": "New", "active": True}, {"value": "Old", "active": False}],
        }
    )
    made = salesforce.description.spec(field)
    assert (made.name, made.required, made.choices, made.type) == (
        "StageName",
        True,
        ["New"],
        "string",
    )


# SOQL


@for_each(
    ("value", "literal"),
    [
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (Decimal("1E+3"), "1000"),
        (1e21, "1000000000000000000000"),
        ("a'b\\c\"d\n", r"'a\'b\\c\"d\n'"),
        (date(2026, 1, 31), "2026-01-31"),
        (
            datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))),
            "2026-01-31T10:00:00.000Z",
        ),
        (["a", None, 1], "('a', null, 1)"),
    ],
)
def test_a_value_is_written_as_soql_wants_it(value: object, literal: str) -> None:
    assert salesforce.soql("x = {}", value) == f"x = {literal}"


def test_a_template_takes_patterns_names_and_numbered_values() -> None:
    made = salesforce.soql(
        "SELECT {f:name} FROM A WHERE N LIKE '%{p:like}%'", f="A.B__c", p="5%_'x\\"
    )
    assert made == r"SELECT A.B__c FROM A WHERE N LIKE '%5\%\_\'x\\%'"
    assert salesforce.soql("{1} {0} {{}}", "a", "b") == "'b' 'a' {}"


@for_each(
    "make",
    [
        lambda: salesforce.soql("{}", []),
        lambda: salesforce.soql("{}", [["a"]]),
        lambda: salesforce.soql("{}", b"x"),
        lambda: salesforce.soql("{}", {"a": 1}),
        lambda: salesforce.soql("{}", float("nan")),
        lambda: salesforce.soql("{}", datetime(2026, 1, 1)),
        lambda: salesforce.soql("{}"),
        lambda: salesforce.soql("{}", 1, 2),
        lambda: salesforce.soql("{x}"),
        lambda: salesforce.soql("{x.y}", x=1),
        lambda: salesforce.soql("{!r}", 1),
        lambda: salesforce.soql("{:>9}", 1),
        lambda: salesforce.soql("{:name}", "Id FROM A --"),
        lambda: salesforce.soql("{:like}", 1),
        lambda: salesforce.soql("{", 1),
    ],
)
def test_what_has_no_place_in_soql_is_refused(make: Callable[[], str]) -> None:
    with pytest.raises(DefinitionError):
        make()


# Bulk


def ingest(fake: Fake, job: str = "750") -> str:
    path = f"{DATA}/jobs/ingest/{job}"
    fake.post(f"{DATA}/jobs/ingest", answers={"id": job, "state": "Open"})
    fake.put(f"{path}/batches", status=201)
    fake.get(f"{path}/successfulResults", answers=b'"sf__Id","sf__Created",Ext__c\n001,true,a\n')
    fake.get(f"{path}/failedResults", answers=b'"sf__Id","sf__Error",Ext__c\n,"BAD: why",b\n')
    return path


async def test_a_bulk_upsert_tells_of_every_row(fake: Fake) -> None:
    path = ingest(fake)
    fake.patch(path, answers={"state": "UploadComplete"})
    fake.get(path, answers={"state": "InProgress"}).then({"state": "JobComplete"})
    rows: list[dict[str, Any]] = [
        {"Ext__c": "a", "Name": 'x,"y"\nz', "Amount": Decimal("1E+2"), "Open__c": True},
        {"Ext__c": "b", "Name": None, "At__c": datetime(2026, 1, 31, tzinfo=UTC)},
    ]
    result = await salesforce.bulk_upsert(connection(fake), "Account", "Ext__c", rows)
    assert result.saved == [salesforce.Saved(id="001", created=True)]
    assert result.refused == [salesforce.Refused(error="BAD: why", row={"Ext__c": "b"})]
    (uploaded,) = [each for each in fake.requests if each.method == "PUT"]
    assert uploaded.body.decode() == (
        "Ext__c,Name,Amount,Open__c,At__c\n"
        'a,"x,""y""\nz",100,true,\n'
        "b,#N/A,,,2026-01-31T00:00:00.000Z\n"
    )


@pytest.mark.parametrize(("state", "runs"), [("InProgress", True), ("Open", False)])
async def test_a_bulk_job_whose_closing_lost_its_answer_is_looked_up(
    fake: Fake, state: str, runs: bool
) -> None:
    path = ingest(fake)
    fake.patch(path, error=TimeoutError())
    fake.get(path, answers={"state": state}).then({"state": "JobComplete"})
    call = salesforce.bulk_upsert(connection(fake), "Account", "Ext__c", [{"Ext__c": "a"}])
    if runs:
        assert (await call).state == "JobComplete"
    else:
        with pytest.raises(UpstreamError, match="no whole answer") as caught:
            await call
        assert caught.value.retryable
    assert len([each for each in fake.requests if each.method == "POST"]) == 1


async def test_a_failed_bulk_job_says_why(fake: Fake) -> None:
    path = f"{DATA}/jobs/ingest/750"
    ingest(fake)
    fake.patch(path, answers={})
    fake.get(path, answers={"state": "Failed", "errorMessage": "InvalidBatch"})
    for kind in ("successfulResults", "failedResults", "unprocessedrecords"):
        fake.get(f"{path}/{kind}", answers=b"")
    with pytest.raises(UpstreamError, match="750 ended as Failed: InvalidBatch"):
        await salesforce.bulk_upsert(connection(fake), "Account", "Ext__c", [{"Ext__c": "a"}])


async def test_rows_without_their_external_id_are_not_sent(fake: Fake) -> None:
    sf = connection(fake)
    with pytest.raises(DefinitionError, match="row 1 of the bulk upsert has no Ext__c"):
        await salesforce.bulk_upsert(sf, "Account", "Ext__c", [{"Ext__c": "a"}, {"Name": "x"}])
    assert (await salesforce.bulk_upsert(sf, "Account", "Ext__c", [])).saved == []
    assert fake.requests == []
