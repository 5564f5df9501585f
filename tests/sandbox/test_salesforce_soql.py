"""SOQL finds what it asks for, and refuses what the real one refuses."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from simple_salesforce.format import format_soql

from halflap_sandbox.salesforce import records
from halflap_sandbox.salesforce.call import Refused
from halflap_sandbox.salesforce.entities import new_org
from halflap_sandbox.salesforce.model import Org, User, World
from halflap_sandbox.salesforce.query import find
from halflap_sandbox.salesforce.soql import period
from tests.cases import for_each

NOW = 1_769_853_600.0  # 2026-01-31T10:00:00Z, a Saturday


def new() -> tuple[Org, User]:
    org = new_org(World(clock=lambda: NOW), "north")
    return org, next(iter(org.users.values()))


@pytest.fixture(scope="module")
def org() -> Org:
    org, user = new()
    oak = records.create(org, user, "Account", {"Name": "Oak", "NumberOfEmployees": 5})
    elm = records.create(org, user, "Account", {"Name": "elm", "Industry": "Energy"})
    records.create(org, user, "Account", {"Name": "100%_\\ sure", "ParentId": elm})
    for number, (name, day, amount, account) in enumerate(
        (
            ("past", "2025-12-31", "10.10", oak),
            ("yesterday", "2026-01-30", None, oak),
            ("today", "2026-01-31", "0", elm),
            ("soon", "2026-02-01", "9999999999999999.99", None),
        )
    ):
        values = {
            "Name": name,
            "CloseDate": day,
            "Amount": amount,
            "AccountId": account,
            "StageName": "Closed Won" if number % 2 else "Prospecting",
        }
        records.create(org, user, "Opportunity", values)
    gone = records.create(org, user, "Account", {"Name": "Gone"})
    records.delete(org, user, "Account", gone)
    return org


def names(org: Org, where: str, table: str = "Opportunity") -> list[str]:
    found = find(org, f"SELECT Name FROM {table} {where}")
    return [each["Name"] for each in found.records(lambda of, row: "")]


@for_each(
    ("where", "found"),
    [
        ("", ["past", "yesterday", "today", "soon"]),
        ("WHERE Name = 'PAST'", ["past"]),
        ("WHERE Name != 'past'", ["yesterday", "today", "soon"]),
        ("WHERE Amount = null", ["yesterday"]),
        ("WHERE Amount != 0", ["past", "yesterday", "soon"]),
        ("WHERE Amount > 10.1", ["soon"]),
        ("WHERE Amount >= 10.1", ["past", "soon"]),
        ("WHERE Amount < 1e3", ["past", "today"]),
        ("WHERE Amount = 9999999999999999.99", ["soon"]),
        ("WHERE IsWon = TRUE AND Amount <> NULL", ["soon"]),
        ("WHERE Name LIKE '%da_'", ["yesterday", "today"]),
        ("WHERE Name LIKE 'da_'", []),
        ("WHERE NOT Name LIKE '%DAY'", ["past", "soon"]),
        ("WHERE Name IN ('past', 'soon', 'x')", ["past", "soon"]),
        ("WHERE Name NOT IN ('past', 'soon')", ["yesterday", "today"]),
        ("WHERE CloseDate = TODAY", ["today"]),
        ("WHERE CloseDate < TODAY", ["past", "yesterday"]),
        ("WHERE CloseDate = LAST_N_DAYS:1", ["yesterday", "today"]),
        ("WHERE CloseDate = THIS_MONTH", ["yesterday", "today"]),
        ("WHERE CloseDate > THIS_WEEK", ["soon"]),
        ("WHERE CloseDate = 2025-12-31", ["past"]),
        ("WHERE CreatedDate = TODAY", ["past", "yesterday", "today", "soon"]),
        ("WHERE CreatedDate > 2026-01-31T12:00:00+02:00", []),
        ("WHERE CreatedDate >= 2026-01-31T10:00:00Z", ["past", "yesterday", "today", "soon"]),
        ("WHERE Account.Name = 'elm'", ["today"]),
        ("WHERE Account.Owner.Username LIKE 'admin%'", ["past", "yesterday", "today"]),
        ("WHERE Account.Name = null", ["soon"]),
        ("WHERE (Name = 'past' OR Name = 'soon') AND Amount > 100", ["soon"]),
        ("WHERE NOT (Name = 'past' OR Name = 'soon')", ["yesterday", "today"]),
        ("ORDER BY Amount", ["yesterday", "today", "past", "soon"]),
        ("ORDER BY Amount NULLS LAST", ["today", "past", "soon", "yesterday"]),
        ("ORDER BY Amount DESC", ["yesterday", "soon", "past", "today"]),
        ("ORDER BY Amount DESC NULLS LAST", ["soon", "past", "today", "yesterday"]),
        ("ORDER BY StageName, Name DESC", ["yesterday", "soon", "today", "past"]),
        ("ORDER BY Account.Name NULLS LAST, Name LIMIT 2", ["today", "past"]),
        ("LIMIT 2 OFFSET 1", ["yesterday", "today"]),
        ("LIMIT 0", []),
    ],
)
def test_a_query_finds_what_it_asks_for(org: Org, where: str, found: list[str]) -> None:
    assert names(org, where) == found


def test_parents_come_inside_their_children(org: Org) -> None:
    query = (
        "SELECT a.Name, Parent.Name, a.Parent.Owner.Name FROM Account a WHERE a.ParentId != null"
    )
    (child,) = find(org, query).records(lambda of, row: f"/{of}")
    assert child == {
        "attributes": {"type": "Account", "url": "/Account"},
        "Name": "100%_\\ sure",
        "Parent": {
            "attributes": {"type": "Account", "url": "/Account"},
            "Name": "elm",
            "Owner": {"attributes": {"type": "User", "url": "/User"}, "Name": "Ada Admin"},
        },
    }
    (orphan,) = find(org, "SELECT Account.Name FROM Opportunity WHERE Name = 'soon'").records(
        lambda of, row: ""
    )
    assert orphan["Account"] is None


def test_a_deleted_record_is_found_only_where_all_are_asked_for(org: Org) -> None:
    assert names(org, "WHERE Name = 'Gone'", "Account") == []
    assert names(org, "WHERE IsDeleted = true ALL ROWS", "Account") == ["Gone"]
    assert find(org, "SELECT Id FROM Account", include_deleted=True).total == 4


def test_all_fields_come_by_one_word(org: Org) -> None:
    (row,) = find(org, "SELECT FIELDS(ALL) FROM Account WHERE Name = 'oak' LIMIT 200").records(
        lambda of, row: ""
    )
    assert set(row) == {"attributes", *org.entities["Account"].fields}
    (row,) = find(org, "SELECT FIELDS(CUSTOM) FROM Account LIMIT 1").records(lambda of, row: "")
    assert set(row) == {"attributes", "External_Id__c", "Legacy_Id__c"}
    assert find(org, "SELECT COUNT() FROM Account").total == 3


@for_each(
    ("query", "code", "place", "message"),
    [
        ("SELECT Id FORM Account", "MALFORMED_QUERY", (1, 11), "expecting 'FROM'"),
        ("SELECT FROM Account", "MALFORMED_QUERY", (1, 8), "a field"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY", (1, 29), "<EOF>"),
        ("SELECT Id FROM Account WHERE Name = 'x", "MALFORMED_QUERY", (1, 37), "alternative"),
        ("SELECT Id FROM Account WHERE Name = 'a' extra", "MALFORMED_QUERY", (1, 41), "extra"),
        (
            "SELECT Id FROM Account WHERE Id = null AND Name = 'a' OR Name = 'b'",
            "MALFORMED_QUERY",
            (1, 55),
            "unexpected token: 'OR'",
        ),
        (r"SELECT Id FROM Account WHERE Name = '\q'", "MALFORMED_QUERY", (1, 37), "sequence"),
        ("SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY", (1, 8), "LIMIT of at most 200"),
        ("SELECT Id,\n Nope FROM Account", "INVALID_FIELD", (2, 2), "No such column 'Nope'"),
        ("SELECT Nope.Id FROM Account", "INVALID_FIELD", (1, 8), "understand relationship"),
        ("SELECT Id, ID FROM Account", "INVALID_FIELD", (1, 12), "duplicate"),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD", (1, 37), "enclosed in quotes"),
        (
            "SELECT Id FROM Opportunity WHERE Amount = '5'",
            "INVALID_FIELD",
            (1, 43),
            "should not be enclosed",
        ),
        (
            "SELECT Id FROM Opportunity WHERE CreatedDate = 2026-01-01",
            "INVALID_FIELD",
            (1, 48),
            "datetime",
        ),
        ("SELECT Id FROM Opportunity WHERE CloseDate = 2026-02-30", "MALFORMED_QUERY", (1, 46), ""),
        ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD", (1, 30), "filtered"),
        ("SELECT Id FROM Accounts", "INVALID_TYPE", (1, 16), "sObject type 'Accounts'"),
        (
            "SELECT Id FROM Account WHERE Id = 'x'",
            "INVALID_QUERY_FILTER_OPERATOR",
            (1, 35),
            "invalid ID field: x",
        ),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_with_the_place(
    org: Org, query: str, code: str, place: tuple[int, int], message: str
) -> None:
    with pytest.raises(Refused) as refused:
        find(org, query)
    row, column = place
    assert refused.value.code == code
    assert f"ERROR at Row:{row}:Column:{column}\n" in refused.value.message
    assert message in refused.value.message


@given(st.text(max_size=60))
@example("NOT " * 300)
@example("SELECT Id FROM Account WHERE " + "(" * 500)
@example("SELECT Id FROM Account LIMIT 99999999999")
def test_a_query_of_any_text_is_answered_or_refused(text: str) -> None:
    org, _ = new()
    for query in (text, f"SELECT Id FROM Account WHERE {text}", f"SELECT {text} FROM Account"):
        try:
            find(org, query)
        except Refused:
            continue


@given(st.text(min_size=1, max_size=40), st.lists(st.text(min_size=1, max_size=40), max_size=5))
@example("' OR Name != '", ["x"])
@example("\\' OR Name != '\\", ["\\"])
@example("100%_", ["100xx", "100%x"])
def test_a_text_put_in_by_format_soql_matches_its_record_alone(
    text: str, others: list[str]
) -> None:
    org, user = new()
    for each in (text, *others):
        # Nothing is left of some texts, and a name is required.
        with suppress(Refused):
            records.create(org, user, "Account", {"Name": each})
    stored = [str(each["Name"]) for each in org.tables["Account"].values()]
    for name in stored:
        same = [each for each in stored if each.casefold() == name.casefold()]
        assert names(org, format_soql("WHERE Name = {}", name), "Account") == same
        assert names(org, format_soql("WHERE Name IN {}", [name]), "Account") == same
        liked = names(org, format_soql("WHERE Name LIKE '{:like}'", name), "Account")
        assert name in liked
        assert all(each.casefold() == name.casefold() for each in liked)


@for_each(
    ("word", "days", "first", "end"),
    [
        ("TODAY", 0, "2026-01-31", "2026-02-01"),
        ("YESTERDAY", 0, "2026-01-30", "2026-01-31"),
        ("TOMORROW", 0, "2026-02-01", "2026-02-02"),
        ("LAST_N_DAYS", 7, "2026-01-24", "2026-02-01"),
        ("NEXT_N_DAYS", 2, "2026-02-01", "2026-02-03"),
        ("THIS_WEEK", 0, "2026-01-25", "2026-02-01"),
        ("LAST_WEEK", 0, "2026-01-18", "2026-01-25"),
        ("THIS_MONTH", 0, "2026-01-01", "2026-02-01"),
        ("LAST_MONTH", 0, "2025-12-01", "2026-01-01"),
        ("NEXT_MONTH", 0, "2026-02-01", "2026-03-01"),
        ("LAST_YEAR", 0, "2025-01-01", "2026-01-01"),
    ],
)
def test_a_date_literal_means_days(word: str, days: int, first: str, end: str) -> None:
    wanted = (date.fromisoformat(first), date.fromisoformat(end))
    assert period(word, days, date(2026, 1, 31)) == wanted


@for_each(
    ("query", "rows"),
    [
        ("SELECT COUNT(Id) FROM Account", [{"expr0": 3}]),
        ("SELECT COUNT(Amount) n, MAX(Amount) FROM Opportunity WHERE Amount < 100", [(2, "10.10")]),
        (
            "SELECT SUM(Amount) s, AVG(Amount) a, MIN(Name) m FROM Opportunity WHERE Name = 'x'",
            None,
        ),
        (
            "SELECT StageName, COUNT(Id) n FROM Opportunity GROUP BY StageName ORDER BY StageName",
            [{"StageName": "Closed Won", "n": 2}, {"StageName": "Prospecting", "n": 2}],
        ),
        (
            "SELECT Account.Name, COUNT(Id) FROM Opportunity GROUP BY Account.Name"
            " HAVING COUNT(Id) > 1",
            [{"Name": "Oak", "expr0": 2}],
        ),
        (
            "SELECT AccountId, COUNT_DISTINCT(StageName) n FROM Opportunity WHERE AccountId != null"
            " GROUP BY AccountId ORDER BY COUNT_DISTINCT(StageName) DESC LIMIT 1",
            [2],
        ),
    ],
)
def test_aggregates_are_worked_out_for_each_group(org: Org, query: str, rows: object) -> None:
    found = find(org, query).records(lambda of, row: "")
    assert all(each.pop("attributes") == {"type": "AggregateResult"} for each in found)
    match rows:
        case None:
            assert found == [{"s": None, "a": None, "m": None}]
        case [(count, largest)]:
            assert found == [{"n": count, "expr0": Decimal(str(largest))}]
        case [int() as number]:
            assert [each["n"] for each in found] == [number]
        case _:
            assert found == rows


def test_children_come_inside_their_parents(org: Org) -> None:
    query = (
        "SELECT Name, (SELECT Name FROM Opportunities WHERE Amount != null ORDER BY Name),"
        " (SELECT Name FROM ChildAccounts) FROM Account ORDER BY Name"
    )
    shown = {
        each["Name"]: [
            children and [child["Name"] for child in children["records"]]
            for children in (each["Opportunities"], each["ChildAccounts"])
        ]
        for each in find(org, query).records(lambda of, row: "")
    }
    assert shown == {
        "100%_\\ sure": [None, None],
        "elm": [["today"], ["100%_\\ sure"]],
        "Oak": [["past"], None],
    }


def test_ids_can_be_those_that_another_query_finds(org: Org) -> None:
    rich = "(SELECT AccountId FROM Opportunity WHERE Amount > 1)"
    assert names(org, f"WHERE Id IN {rich}", "Account") == ["Oak"]
    assert names(org, f"WHERE Id NOT IN {rich}", "Account") == ["elm", "100%_\\ sure"]


@for_each(
    ("query", "message"),
    [
        ("SELECT Name, COUNT(Id) FROM Account", "must be grouped or aggregated: Name"),
        ("SELECT SUM(Name) FROM Account", "does not support aggregate operator SUM"),
        ("SELECT Id FROM Account WHERE COUNT(Id) > 1", "groups only"),
        ("SELECT SUM() FROM Account", "a field"),
        ("SELECT (SELECT Id FROM Nope) FROM Account", "understand relationship 'Nope'"),
        ("SELECT (SELECT Nope FROM Contacts) FROM Account", "No such column 'Nope'"),
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT Name FROM Account)",
            "is an id or a reference",
        ),
    ],
)
def test_a_group_or_a_nested_query_that_makes_no_sense_is_refused(
    org: Org, query: str, message: str
) -> None:
    with pytest.raises(Refused) as refused:
        find(org, query)
    assert message in refused.value.message
