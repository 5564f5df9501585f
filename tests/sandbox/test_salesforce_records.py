"""Saved records are checked, normalised, and told to automation as one transaction."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halflap_sandbox.salesforce import records
from halflap_sandbox.salesforce.call import Refused, dump, parse
from halflap_sandbox.salesforce.entities import new_org
from halflap_sandbox.salesforce.model import Change, Field, Org, User, World, full_id
from halflap_sandbox.salesforce.normal import normal
from tests.cases import for_each

DEAL = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-01-31"}


class Clock:
    now = 1_769_853_600.75

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def org(clock: Clock) -> Org:
    return new_org(World(clock=clock), "north")


@pytest.fixture
def user(org: Org) -> User:
    return next(iter(org.users.values()))


def saved(org: Org, object: str, id: str) -> Any:
    return org.tables[object][id]


def test_a_new_record_has_its_defaults_its_owner_and_its_times(org: Org, user: User) -> None:
    id = records.create(org, user, "task", {"subject": " Call "})
    task = saved(org, "Task", id)
    assert id.startswith("00T")
    assert (task["Subject"], task["Status"], task["Priority"]) == ("Call", "Not Started", "Normal")
    assert (task["IsClosed"], task["IsDeleted"], task["WhoId"]) == (False, False, None)
    assert task["OwnerId"] == task["CreatedById"] == user.id
    # Salesforce keeps no fractions of a second.
    assert task["CreatedDate"] == task["SystemModstamp"] == "2026-01-31T10:00:00.000+0000"


@for_each(
    ("object", "name", "given", "stored"),
    [
        ("Account", "Name", "  Oak\t ", "Oak"),
        ("Account", "Phone", "", None),
        ("Account", "Phone", " \n ", None),
        ("Account", "Name", "a\x00b", "ab"),
        ("Account", "AnnualRevenue", "12.5", Decimal("12.5")),
        ("Account", "NumberOfEmployees", "7", 7),
        ("Account", "Industry", "energy", "Energy"),
        ("Opportunity", "Amount", Decimal("10.125"), Decimal("10.125")),
        ("Opportunity", "Amount", Decimal("-10.125"), Decimal("-10.125")),
        ("Opportunity", "Amount", Decimal("-0.001"), Decimal("-0.001")),
        ("Opportunity", "Amount", Decimal("-0.00"), Decimal("0.00")),
        ("Opportunity", "Amount", Decimal("9999999999999999.99"), Decimal("9999999999999999.99")),
        ("Opportunity", "Amount", 7, Decimal("7.00")),
        ("Opportunity", "IsPrivate", None, False),
        ("Opportunity", "IsPrivate", "true", True),
        ("Opportunity", "CloseDate", "2026-02-01T00:00:00Z", "2026-02-01"),
    ],
)
def test_a_value_is_stored_as_salesforce_stores_it(
    org: Org, user: User, object: str, name: str, given: Any, stored: Any
) -> None:
    values = {**(DEAL if object == "Opportunity" else {"Name": "x"}), name: given}
    id = records.create(org, user, object, values)
    assert saved(org, object, id)[name] == stored
    assert type(saved(org, object, id)[name]) is type(stored)


@for_each(
    ("object", "values", "code", "fields"),
    [
        ("Account", {}, "REQUIRED_FIELD_MISSING", ("Name",)),
        ("Account", {"Name": "  "}, "REQUIRED_FIELD_MISSING", ("Name",)),
        ("Opportunity", {}, "REQUIRED_FIELD_MISSING", ("Name", "StageName", "CloseDate")),
        ("Account", {"Name": "x" * 256}, "STRING_TOO_LONG", ("Name",)),
        ("Account", {"Name": "x", "Nope": 1}, "INVALID_FIELD", ()),
        ("Account", {"Name": 5}, "JSON_PARSER_ERROR", ()),
        ("Account", {"Name": "x", "Id": "001"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ("Id",)),
        (
            "Account",
            {"Name": "x", "CreatedDate": "2026-01-01T00:00:00Z"},
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            ("CreatedDate",),
        ),
        ("Account", {"Name": "x", "ParentId": "zzz"}, "MALFORMED_ID", ("ParentId",)),
        (
            "Account",
            {"Name": "x", "ParentId": "001000000000000AAA"},
            "INVALID_CROSS_REFERENCE_KEY",
            ("ParentId",),
        ),
        (
            "Account",
            {"Name": "x", "ParentId": "003000000000000AAA"},
            "FIELD_INTEGRITY_EXCEPTION",
            ("ParentId",),
        ),
        ("Contact", {"LastName": "x", "Email": "no"}, "INVALID_EMAIL_ADDRESS", ("Email",)),
        ("Opportunity", {**DEAL, "Amount": "1e16"}, "NUMBER_OUTSIDE_VALID_RANGE", ("Amount",)),
        ("Opportunity", {**DEAL, "Amount": "a lot"}, "JSON_PARSER_ERROR", ()),
        ("Opportunity", {**DEAL, "CloseDate": "2026-02-30"}, "JSON_PARSER_ERROR", ()),
        ("User", {"Username": "x"}, "INVALID_TYPE_FOR_OPERATION", None),
        ("Nope", {}, "NOT_FOUND", None),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_nothing_is_saved(
    org: Org, user: User, object: str, values: Any, code: str, fields: Any
) -> None:
    with pytest.raises(Refused) as refused:
        records.create(org, user, object, values)
    assert (refused.value.code, refused.value.fields) == (code, fields)
    assert not org.tables["Account"]
    assert not org.tables["Opportunity"]


def test_a_picklist_takes_any_text_where_it_is_not_restricted() -> None:
    rating = Field(name="Rating", label="Rating", type="picklist", picklist=("Hot", "Cold"))
    assert (normal(rating, "hot"), normal(rating, "Tepid")) == ("Hot", "Tepid")
    with pytest.raises(Refused) as refused:
        normal(replace(rating, restricted=True), "Tepid")
    assert refused.value.code == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"


def test_what_belongs_to_a_deleted_record_is_deleted_with_it(org: Org, user: User) -> None:
    parent = records.create(org, user, "Account", {"Name": "Parent"})
    account = records.create(org, user, "Account", {"Name": "x", "ParentId": parent})
    contact = records.create(org, user, "Contact", {"LastName": "x", "AccountId": account})
    deal = records.create(org, user, "Opportunity", {**DEAL, "AccountId": account})
    task = records.create(org, user, "Task", {"WhatId": deal})
    changes: list[Change] = []
    org.saved.append(changes.extend)
    records.delete(org, user, "Account", parent)
    assert saved(org, "Account", account)["ParentId"] is None
    assert not saved(org, "Account", account)["IsDeleted"]
    changes.clear()
    records.delete(org, user, "Account", account)
    for object, id in (("Contact", contact), ("Opportunity", deal), ("Task", task)):
        assert saved(org, object, id)["IsDeleted"], object
    assert {each.id for each in changes if each.after is None} == {account, contact, deal, task}


def test_a_save_without_a_change_still_is_a_save(org: Org, user: User, clock: Clock) -> None:
    id = records.create(org, user, "Account", {"Name": "Oak"})
    changes: list[Change] = []
    org.saved.append(changes.extend)
    clock.now += 60
    records.update(org, user, "Account", id, {"Name": "Oak"})
    assert saved(org, "Account", id)["LastModifiedDate"] == "2026-01-31T10:01:00.000+0000"
    assert saved(org, "Account", id)["CreatedDate"] == "2026-01-31T10:00:00.000+0000"
    (change,) = changes
    assert change.before is not None
    assert change.after is not None
    assert change.before["Name"] == change.after["Name"]


def test_salesforce_works_out_fields_of_its_own(org: Org, user: User) -> None:
    id = records.create(org, user, "Opportunity", {**DEAL, "Amount": "250.05"})
    deal = saved(org, "Opportunity", id)
    assert (deal["Probability"], deal["ExpectedRevenue"]) == (Decimal(10), Decimal("25.01"))
    records.update(org, user, "Opportunity", id, {"StageName": "Closed Won"})
    deal = saved(org, "Opportunity", id)
    assert (deal["Probability"], deal["IsWon"], deal["IsClosed"]) == (Decimal(100), True, True)
    person = records.create(org, user, "Contact", {"FirstName": "Ann", "LastName": "Lee"})
    assert saved(org, "Contact", person)["Name"] == "Ann Lee"


def test_an_id_is_known_in_15_and_18_characters(org: Org, user: User) -> None:
    id = records.create(org, user, "Account", {"Name": "Oak"})
    records.update(org, user, "Account", id[:15], {"ParentId": id[:15]})
    assert saved(org, "Account", id)["ParentId"] == id
    assert full_id("001D000000IRFma") == "001D000000IRFmaIAH"
    assert full_id("001D000000IRFmaIAX") is None
    assert full_id("001D000000IRFmaIAH0") is None
    with pytest.raises(Refused, match="NOT_FOUND"):
        records.update(org, user, "Contact", id, {"LastName": "x"})


def test_an_external_id_is_unique_whatever_its_case(org: Org, user: User) -> None:
    first = records.create(org, user, "Account", {"Name": "a", "External_Id__c": "Key"})
    with pytest.raises(Refused, match="DUPLICATE_VALUE") as refused:
        records.create(org, user, "Account", {"Name": "b", "External_Id__c": "kEY "})
    assert first[:15] in refused.value.message
    records.update(org, user, "Account", first, {"External_Id__c": "KEY"})
    records.delete(org, user, "Account", first)
    records.create(org, user, "Account", {"Name": "b", "External_Id__c": "key"})


def test_a_parent_can_be_named_by_its_external_id(org: Org, user: User) -> None:
    account = records.create(org, user, "Account", {"Name": "a", "External_Id__c": "a1"})
    parent = {"Account": {"External_Id__c": "a1"}}
    deal = records.create(org, user, "Opportunity", {**DEAL, **parent})
    assert saved(org, "Opportunity", deal)["AccountId"] == account
    with pytest.raises(Refused, match="Foreign key external ID: nope not found"):
        records.update(org, user, "Opportunity", deal, {"Account": {"External_Id__c": "nope"}})


def test_a_deleted_record_is_in_the_bin(org: Org, user: User) -> None:
    id = records.create(org, user, "Account", {"Name": "Oak"})
    records.delete(org, user, "Account", id)
    assert saved(org, "Account", id)["IsDeleted"] is True
    for change in (
        lambda: records.update(org, user, "Account", id, {"Name": "x"}),
        lambda: records.delete(org, user, "Account", id),
        lambda: records.create(org, user, "Contact", {"LastName": "x", "AccountId": id}),
    ):
        with pytest.raises(Refused, match="ENTITY_IS_DELETED"):
            change()


def test_a_transaction_is_told_once_and_leaves_nothing_when_it_fails(org: Org, user: User) -> None:
    told: list[list[Change]] = []
    org.saved.append(told.append)
    account = records.entity(org, "Account")
    with records.transaction(org, user) as saving:
        first = saving.create(account, {"Name": "a"})
        saving.update(account, first, {"Name": "b"})
        mark = saving.mark()
        saving.delete(account, first)
        saving.roll_back(mark)
    ((new, changed),) = told
    assert (new.before, changed.before and changed.before["Name"]) == (None, "a")
    before = dict(org.tables["Account"])

    def fail() -> None:
        with records.transaction(org, user) as saving:
            saving.create(account, {"Name": "c"})
            saving.delete(account, first)
            saving.create(account, {})

    with pytest.raises(Refused, match="REQUIRED_FIELD_MISSING"):
        fail()
    assert org.tables["Account"] == before
    assert len(told) == 1


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12
    )
)
def test_what_is_stored_stays_when_it_is_saved_again_and_keeps_its_digits(value: Decimal) -> None:
    amount = Field(name="Amount", label="Amount", type="currency", precision=18, scale=2)
    stored = normal(amount, value)
    assert isinstance(stored, Decimal)
    assert abs(stored - value) <= Decimal("0.005")
    assert normal(amount, parse(dump(stored))) == stored


@given(st.text(max_size=50))
def test_text_that_is_stored_stays_when_it_is_saved_again(text: str) -> None:
    name = Field(name="Name", label="Name", type="string", length=255)
    stored = normal(name, text)
    assert stored is None or (isinstance(stored, str) and stored)
    assert normal(name, stored) == stored


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["a", "A", "b", None, "del", "undo"])))
)
def test_an_external_id_finds_the_records_that_have_it_now(steps: list[tuple[int, Any]]) -> None:
    org = new_org(World(clock=Clock()), "north")
    user, account = next(iter(org.users.values())), org.entities["Account"]
    key, ids = account.fields["Legacy_Id__c"], dict[int, str]()
    for number, value in steps:
        with records.transaction(org, user) as saving:
            mark, id = saving.mark(), ids.get(number)
            if id is None:
                ids[number] = saving.create(account, {"Name": "x", "Legacy_Id__c": value})
            elif value == "del":
                saving.delete(account, ids.pop(number))
            else:
                saving.update(account, id, {"Legacy_Id__c": value})
            if value == "undo":
                saving.roll_back(mark)
                if id is None:
                    del ids[number]
        for wanted in ("A", "b", "del"):
            found = [each["Id"] for each in records.find_by(org, account, key, wanted)]
            has = [
                each["Id"]
                for each in org.tables["Account"].values()
                if str(each["Legacy_Id__c"]).casefold() == wanted.casefold()
                and not each["IsDeleted"]
            ]
            assert found == has
