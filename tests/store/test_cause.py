"""Causes: the texts by which failures group."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halflap.model import Failure, Outcome
from halflap.store.rules.cause import cause_mark, describe_cause, mark_of, normalise_message

ALIKE = [
    ("no account 1047", "no account 93"),
    ("no account '1047'", "no account 'x'"),
    ('the field "Amount" is refused', 'the field "Name" is refused'),
    ("exe_01k7c2m9pveqz8v4d5t6w7x8y9 is gone", "exe_01k7c2m9pveqz8v4d5t6w7x8z0 is gone"),
    ("GET https://a.test/v1/orders/7?x=1 failed", "GET https://b.test/v2/customers failed"),
    ("ada@shop.test is not known", "bob@other.test is not known"),
    ("3f2b8c1e-0b5e-4c8e-9a52-2f1d7a9e0c11 is taken", "9a52-4c8e1 is taken"),
    ("at 2026-01-31T14:00:00Z", "at 2027-02-01"),
    ('refused: {"error": "no", "id": 7}', 'refused: {"errors": [{"id": "x"}]}'),
    ("ids 1, 2 and 3", "ids 1, 2 and 44"),
    ("1, 2, 3 are unknown", "7 are unknown"),
    ("no\nsecond line", "no\nanother one"),
]


@pytest.mark.parametrize(("first", "second"), ALIKE)
def test_messages_that_differ_in_a_value_are_one_cause(first: str, second: str) -> None:
    assert normalise_message(first) == normalise_message(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
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


def test_only_what_failed_has_a_mark_and_an_unmarked_failure_gets_one() -> None:
    failure = Failure("A", "gone 7", status=410)
    assert mark_of(Outcome("ignored", "x", failure=failure)) == (None, None)
    assert mark_of(Outcome("failed", "x", failure=failure)) == (cause_mark(failure), 410)
    again = Failure("A", "gone 8", where="a.py:2", trace="…", status=410)
    assert cause_mark(again) == cause_mark(failure)


@given(st.text(max_size=300), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_cause_is_bounded_and_has_no_number_in_it(text: str, one: int, other: int) -> None:
    message = normalise_message(f"{text} {one}")
    assert len(message) <= 160
    assert re.search("[0-9]", message) is None
    if "\n" not in text.strip():
        assert message == normalise_message(f"{text} {other}")
