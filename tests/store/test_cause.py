"""Causes: the texts by which failures group."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from halflap.model import Failure, Outcome
from halflap.store.rules.cause import (
    NO_FAILURE,
    PUBLIC_MARK,
    cause_mark,
    describe_cause,
    mark_of,
    normalise_message,
    public_cause,
)
from tests.cases import for_each

ALIKE = [
    ("no account 1047", "no account 93"),
    ("no account '1047'", "no account 'x'"),
    ('the field "Amount" is refused', 'the field "Name" is refused'),
    ("exe_01k7c2m9pveqz8v4d5t6w7x8y9 is gone", "exe_01k7c2m9pveqz8v4d5t6w7x8z0 is gone"),
    ("GET https://a.test/v1/orders/7?x=1 failed", "GET https://b.test/v2/customers failed"),
    ("ada@shop.test is not known", "bob@other.test is not known"),
    ("3f2b8c1e-0b5e-4c8e-9a52-2f1d7a9e0c11 is taken", "9a52-4c8e1 is taken"),
    ("at 2026-01-31T14:00:00Z", "at 2027-02-01"),
    ('refused: {"id": 7, "name": "Ada"}', 'refused: {"ids": [{"name": "blue"}]}'),
    ('422: {"error": "no stock of \\"ada\\""}', '422: {"error": "no stock of \\"x y\\"", "id": 7}'),
    ('422: {"email": ["is not free", "is not free"]}', '422: {"email": ["is not free"]}'),
    ('400: {"message": "no such id", "at": "Lima', '400: {"message": "no such id", "at": "Oslo'),
    ("refused: [Name]", "refused: [Amount, Name]"),
    ("ids 1, 2 and 3", "ids 1, 2 and 44"),
    ("1, 2, 3 are unknown", "7 are unknown"),
    ("no\nsecond line", "no\nanother one"),
]


@for_each(("first", "second"), ALIKE)
def test_messages_that_differ_in_a_value_are_one_cause(first: str, second: str) -> None:
    assert normalise_message(first) == normalise_message(second)


@for_each(
    ("first", "second"),
    [
        (Failure("KeyError", "'nothing'"), Failure("KeyError", "'total'")),
        (
            Failure("A", '422: {"error": {"code": "invalid", "fields": {"n": "at least 1"}}}'),
            Failure("A", '422: {"error": {"code": "invalid", "fields": {"n": "at most 1000"}}}'),
        ),
        (
            Failure("A", '422: {"fields": {"amount": "at least 1"}}'),
            Failure("A", '422: {"fields": {"quantity": "at least 1"}}'),
        ),
        (Failure("A", '400: {"code": "taken"}'), Failure("A", '400: {"code": "missing"}')),
        (Failure("A", "gone"), Failure("B", "gone")),
        (Failure("A", "gone"), Failure("A", "refused")),
        (Failure("A", "gone", status=410), Failure("A", "gone", status=404)),
    ],
)
def test_another_class_message_or_status_is_another_cause(first: Failure, second: Failure) -> None:
    assert cause_mark(first) != cause_mark(second)


def test_the_place_is_a_part_of_a_cause_and_its_text_reads() -> None:
    failure = Failure("UpstreamError", "POST http://a.test/x: the app answered 503", status=503)
    text = describe_cause(failure, "acme.create_account")
    assert text == "UpstreamError at acme.create_account (503): POST … the app answered #"
    assert text != describe_cause(failure, "acme.delete_account")


def test_a_signal_that_did_not_come_is_a_cause_by_its_name() -> None:
    causes = [
        describe_cause(Failure("TimedOut", f"no signal {name!r} came in time"), "wait")
        for name in ("approved", "shipped", "paid-4711", "paid-4712")
    ]
    assert causes[0] == "TimedOut at wait: no signal 'approved' came in time"
    assert len(set(causes)) == 3  # a signal for each record is one cause


def test_only_what_failed_has_a_mark_and_an_unmarked_failure_gets_one() -> None:
    failure = Failure("A", "gone 7", status=410)
    assert mark_of(Outcome("ignored", "x", failure=failure)) == NO_FAILURE
    marks = mark_of(Outcome("failed", "x", failure=failure))
    assert marks == (cause_mark(failure), 410, "A", None)
    at = [describe_cause(failure, each) for each in ("acme.save", "a flow", "Acme.save")]
    found = [mark_of(Outcome("failed", "x", failure=replace(failure, cause=each))) for each in at]
    assert [each.component for each in found] == ["acme", None, None]
    again = Failure("A", "gone 8", where="a.py:2", trace="…", status=410)
    assert cause_mark(again) == cause_mark(failure)


def test_exceptions_of_an_authors_line_are_one_cause_and_its_public_text_has_no_message() -> None:
    ada, bob, other = (
        Failure("ValueError", message, where)
        for message, where in (("Ada: x", "a.py:2"), ("Bob", "a.py:2"), ("Ada: x", "b.yaml:3:4"))
    )
    assert cause_mark(ada) == cause_mark(bob) != cause_mark(other)
    for each in (ada, bob, other):
        for place in ("", "acme.save", "a flow"):
            found = replace(each, cause=describe_cause(each, place))
            assert found.cause == f"{public_cause(found)}: {each.message}"
            assert each.message not in public_cause(found)
    # What an app answers is told apart by what it says; to who may not see that, by its status.
    gone, away = (Failure("UpstreamError", text, "a.py:2", status=404) for text in ("gone", "away"))
    assert cause_mark(gone) != cause_mark(away)
    assert cause_mark(gone)[:PUBLIC_MARK] == cause_mark(away)[:PUBLIC_MARK]
    assert public_cause(replace(gone, cause=describe_cause(gone, "acme.save"))) == (
        "UpstreamError at acme.save (404)"
    )


@given(st.text(max_size=300), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_cause_is_bounded_and_has_no_number_in_it(text: str, one: int, other: int) -> None:
    message = normalise_message(f"{text} {one}")
    assert len(message) <= 160
    assert re.search("[0-9]", message) is None
    if "\n" not in text.strip():
        assert message == normalise_message(f"{text} {other}")


WORDS = st.lists(st.text("abcdefghijklmnop", min_size=2, max_size=8), min_size=2, max_size=5)
VALUES = st.one_of(
    st.tuples(each, each)
    for each in (
        st.integers(0, 10**12).map(str),
        st.uuids().map(str),
        st.text("0123456789abcdef", min_size=8, max_size=20).map("7{}".format),
        st.integers().map("ada{}@shop.test".format),
    )
)
NAMES = st.text(st.characters(categories=("Lu", "Nd")), min_size=1, max_size=12)
TEMPLATES = st.sampled_from(
    [
        "{words} {value}",
        '{words} "{name}"',
        'answered 422: {{"error": {{"message": "{words} {value}"}}, "id": "{value}"}}',
        'answered 422: {{"fields": {{"amount": "{words} {value}"}}, "name": "{name}"}}',
        'answered 400: [{{"message": "{words} \'{name}\'"}}, {{"at": {value}}}',
    ]
)


@given(TEMPLATES, WORDS, WORDS, VALUES, NAMES, NAMES)
def test_other_values_are_the_same_cause_and_other_words_another_one(
    template: str,
    words: list[str],
    others: list[str],
    values: tuple[str, str],
    name: str,
    other: str,
) -> None:
    def cause(some: list[str], value: str, name: str) -> str:
        return normalise_message(template.format(words=" ".join(some), value=value, name=name))

    first, second = values
    assert cause(words, first, name) == cause(words, second, other)
    assert (cause(words, first, name) == cause(others, second, other)) == (words == others)


def test_a_message_of_pythons_own_exceptions_names_their_class() -> None:
    assert Failure("KeyError", "'total'").text == "KeyError: 'total'"
    assert Failure("KeyError", "KeyError").text == "KeyError"
    assert Failure("UpstreamError", "gone").text == "gone"
    assert Failure("str", "gone").text == "gone"
