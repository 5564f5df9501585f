"""Salesforce: a write answers what was saved, and fails just as a plain write does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from halflap import RateLimited, Unauthorized, UpstreamError
from halflap.components import salesforce
from halflap.components.salesforce.records import Write, written
from halflap.sdk import codec
from halflap.testing import Fake
from tests.cases import for_each
from tests.salesforce_app import SalesforceApp, salesforce_app

DATA = "/services/data/v63.0"
DEAL = {"Name": "Seats", "StageName": "Prospecting", "CloseDate": "2026-01-31"}
HALTED = [{"errorCode": "PROCESSING_HALTED", "message": "another operation failed."}]
UNREADABLE = [{"errorCode": "INVALID_FIELD", "message": "No such column 'Pin__c'"}]


def connection(fake: Fake, **fields: Any) -> salesforce.Salesforce:
    auth = salesforce.SessionId(
        instance_url="https://acme.my.salesforce.com", session_id=SecretStr("00D!secret")
    )
    return fake.connection(salesforce.Salesforce, auth=auth, **fields)


def both(saved: tuple[int, Any], read: tuple[int, Any]) -> dict[str, Any]:
    """A composite answer: status and body of the write, and of the reading."""
    parts = zip(("saved", "read"), (saved, read), strict=True)
    return {
        "compositeResponse": [
            {"body": body, "httpHeaders": {}, "httpStatusCode": status, "referenceId": name}
            for name, (status, body) in parts
        ]
    }


@pytest.fixture
async def app() -> AsyncIterator[SalesforceApp]:
    async with salesforce_app() as running:
        yield running


@pytest.fixture
async def sf(app: SalesforceApp) -> salesforce.Salesforce:
    return await app.client(await app.org("initech"))


# What was saved


async def test_a_write_answers_what_salesforce_made_of_the_values(
    sf: salesforce.Salesforce,
) -> None:
    fields = {**DEAL, "Name": "  Seats ", "Amount": Decimal("198.005")}
    made = await salesforce.create_record(sf, "Opportunity", fields)
    assert made.created
    assert made.fields == {**DEAL, "Amount": Decimal("198.005")}
    changed = await salesforce.update_record(
        sf,
        "Opportunity",
        made.id,
        {"Amount": Decimal("0.004"), "Description": "", "NextStep": " call "},
    )
    assert (changed.id, changed.created) == (made.id, False)
    assert changed.fields == {"Amount": Decimal("0.004"), "Description": None, "NextStep": "call"}
    assert (changed["Id"], changed.get("Name", "not written")) == (made.id, "not written")


async def test_an_upsert_answers_what_was_saved_whether_the_record_is_new_or_not(
    sf: salesforce.Salesforce,
) -> None:
    for name, created in ((" One", True), ("Two ", False)):
        saved = await salesforce.upsert_record(
            sf, "Account", "External_Id__c", "a/1 'x'", {"Name": name}
        )
        assert saved.created is created
        assert saved.fields == {"Name": name.strip(), "External_Id__c": "a/1 'x'"}


async def test_a_write_is_one_request_and_its_usage_is_seen(sf: salesforce.Salesforce) -> None:
    await salesforce.get_limits(sf)
    assert sf.usage is not None
    before = sf.usage.used
    await salesforce.create_record(sf, "Account", {"Name": "x"})
    assert sf.usage.used == before + 1


async def test_what_was_saved_is_the_same_in_the_journal(sf: salesforce.Salesforce) -> None:
    fields = {**DEAL, "Amount": Decimal("198.005")}
    saved = await salesforce.create_record(sf, "Opportunity", fields)
    again = salesforce.Saved.model_validate(codec.decode(codec.encode(saved)))
    assert again == saved
    assert again["Amount"] == Decimal("198.005")


@pytest.mark.parametrize("version", ["37.0", "45.0", "46.0"])
async def test_every_api_version_can_write(sf: salesforce.Salesforce, version: str) -> None:
    old = sf.model_copy(update={"api_version": version})
    for name, created in (("One", True), ("Two", False)):
        saved = await salesforce.upsert_record(
            old, "Account", "External_Id__c", "a", {"Name": name}
        )
        assert saved.created is created
        assert saved.get("Name") == (name if version == "46.0" else None)
    changed = await salesforce.update_record(old, "Account", saved.id, {"Name": "Three "})
    assert changed.get("Name") == (None if version == "37.0" else "Three")


async def test_an_old_upsert_that_answers_nothing_is_asked_for_its_id(fake: Fake) -> None:
    path = "/services/data/v45.0/sobjects/Account/Ext__c/1"
    fake.patch(path)
    fake.get(path, answers={"Id": "001"}, params={"fields": "Id"})
    sf = connection(fake, api_version="45.0")
    saved = await salesforce.upsert_record(sf, "Account", "Ext__c", "1", {"Name": "x"})
    assert saved == salesforce.Saved(id="001", created=False)


# What cannot be read back


async def test_a_value_that_reads_like_a_reference_is_saved_as_it_is(
    sf: salesforce.Salesforce,
) -> None:
    text = "write to @{saved.id} or me@{x.y}"
    made = await salesforce.create_record(sf, "Account", {"Name": text})
    assert made == salesforce.Saved(id=made.id, created=True)
    upsert = salesforce.upsert_record
    saved = await upsert(sf, "Account", "External_Id__c", "@{a.b}", {"Name": "Oak"})
    found = await salesforce.query(sf, "SELECT Name FROM Account ORDER BY Name")
    assert [each["Name"] for each in found] == ["Oak", text]
    assert saved.fields == {}


async def test_a_parent_that_is_named_by_its_key_is_not_read_back(
    sf: salesforce.Salesforce,
) -> None:
    await salesforce.upsert_record(sf, "Account", "External_Id__c", "a", {"Name": "Oak"})
    fields = {**DEAL, "Account": {"External_Id__c": "a"}}
    made = await salesforce.create_record(sf, "Opportunity", fields)
    assert made.fields == DEAL
    only = {"Account": {"External_Id__c": "a"}}
    changed = await salesforce.update_record(sf, "Opportunity", made.id, only)
    assert changed.fields == {}


async def test_what_cannot_be_read_is_written_all_the_same(fake: Fake) -> None:
    fake.post(f"{DATA}/composite", answers=both((400, HALTED), (400, UNREADABLE)))
    path = f"{DATA}/sobjects/Account"
    made = fake.post(path, answers={"id": "001", "success": True, "errors": []}, status=201)
    changed = fake.patch(f"{path}/001")
    sf = connection(fake)
    saved = await salesforce.create_record(sf, "Account", {"Pin__c": "1"})
    assert saved == salesforce.Saved(id="001", created=True)
    saved = await salesforce.update_record(sf, "Account", "001", {"Pin__c": "2"})
    assert saved == salesforce.Saved(id="001", created=False)
    assert [each.requests[0].json for each in (made, changed)] == [
        {"Pin__c": "1"},
        {"Pin__c": "2"},
    ]


async def test_a_refused_reading_leaves_one_write(sf: salesforce.Salesforce) -> None:
    path = sf.data("sobjects", "Account")
    write = Write("POST", path, {"Name": "Oak"}, back=f"{path}/001000000000000AAA")
    answer = await written(sf, write, ["Name"])
    assert (answer.response.status, answer.fields) == (201, {})
    assert len(await salesforce.query(sf, "SELECT Id FROM Account")) == 1


async def test_what_is_written_already_is_not_written_again(fake: Fake) -> None:
    made: dict[str, Any] = {"id": "001", "success": True, "errors": []}
    fake.post(f"{DATA}/composite", answers=both((201, made), (400, UNREADABLE)))
    saved = await salesforce.create_record(connection(fake), "Account", {"Pin__c": "1"})
    assert saved == salesforce.Saved(id="001", created=True)
    assert len(fake.requests) == 1


# Refusals

Call = Callable[[salesforce.Salesforce], Awaitable[Any]]


async def refused(call: Call, sf: salesforce.Salesforce) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await call(sf)
    return caught.value


def traits(error: UpstreamError) -> tuple[Any, ...]:
    said = codec.decode(error.body) if error.body else None
    return type(error), str(error), error.status, error.retryable, said


@for_each(
    ("status", "code", "kind", "retryable"),
    [
        (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", UpstreamError, False),
        (400, "UNABLE_TO_LOCK_ROW", UpstreamError, True),
        (401, "INVALID_SESSION_ID", Unauthorized, False),
        (403, "REQUEST_LIMIT_EXCEEDED", RateLimited, True),
        (404, "NOT_FOUND", UpstreamError, False),
        (500, "UNKNOWN_EXCEPTION", UpstreamError, True),
        (503, "SERVER_UNAVAILABLE", UpstreamError, True),
    ],
)
async def test_a_refusal_is_that_of_a_plain_write(
    fake: Fake, status: int, code: str, kind: type[UpstreamError], retryable: bool
) -> None:
    said = [{"errorCode": code, "message": "no way", "fields": ["Name"]}]
    plain = "/services/data/v37.0"
    calls: list[tuple[str, str, Call]] = [
        ("POST", "", lambda sf: salesforce.create_record(sf, "Account", {"Name": "x"})),
        ("PATCH", "/001", lambda sf: salesforce.update_record(sf, "Account", "001", {"Name": "x"})),
        (
            "PATCH",
            "/Ext__c/1",
            lambda sf: salesforce.upsert_record(sf, "Account", "Ext__c", "1", {"Name": "x"}),
        ),
    ]
    fake.post(f"{DATA}/composite", answers=both((status, said), (400, HALTED)))
    for method, path, call in calls:
        fake.on(method, f"{plain}/sobjects/Account{path}", status=status, json=said)
        alone = await refused(call, connection(fake, api_version="37.0"))
        error = await refused(call, connection(fake))
        assert traits(error)[0] is kind
        assert error.retryable is retryable
        assert f"{code}: no way (Name)" in str(error)
        assert traits(error) == (
            *traits(alone)[:1],
            str(alone).replace("v37.0", "v63.0"),
            *traits(alone)[2:],
        )


async def test_a_refusal_of_the_whole_request_is_told_too(fake: Fake) -> None:
    said = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "no more"}]
    fake.post(f"{DATA}/composite", status=403, json=said)
    with pytest.raises(RateLimited, match="no more"):
        await salesforce.update_record(connection(fake), "Account", "001", {"Name": "x"})


async def test_an_ambiguous_external_id_writes_nothing(fake: Fake) -> None:
    fake.post(f"{DATA}/composite", answers=both((300, ["/a", "/b"]), (400, HALTED)))
    with pytest.raises(UpstreamError, match="several Salesforce records") as caught:
        await salesforce.upsert_record(connection(fake), "Account", "Ext__c", "1", {"Name": "x"})
    assert not caught.value.retryable


async def test_a_record_that_is_gone_or_wrong_is_refused_by_the_write(
    sf: salesforce.Salesforce,
) -> None:
    made = await salesforce.create_record(sf, "Account", {"Name": "Oak"})
    with pytest.raises(UpstreamError, match=r"INVALID_FIELD.*Nope") as caught:
        await salesforce.update_record(sf, "Account", made.id, {"Nope": 1})
    assert "PROCESSING_HALTED" not in f"{caught.value}{caught.value.body}"
    await salesforce.delete_record(sf, "Account", made.id)
    with pytest.raises(UpstreamError, match="ENTITY_IS_DELETED") as caught:
        await salesforce.update_record(sf, "Account", made.id, {"Name": "x"})
    assert caught.value.status == 404
