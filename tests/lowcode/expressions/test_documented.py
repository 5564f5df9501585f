"""The statements of the page on expressions about times and absent values, evaluated."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from halflap import ExpressionError
from halflap.lowcode.expressions import Expression, Scope
from halflap.sdk.schema import UNSET
from tests.cases import for_each

PAGE = (Path(__file__).parents[3] / "docs" / "low-code" / "expressions.md").read_text("utf-8")
EVENT = {
    "at": "2026-03-01T12:00:00Z",
    "day": "2026-03-01",
    "until": "2026-03-11T13:00:00Z",
    "nil": None,
}


def _value(text: str) -> Any:
    scope = Scope({"event": EVENT}, datetime(2026, 3, 10, 12, tzinfo=UTC), "seed")
    return Expression.parse(text).named().evaluate(scope)


def test_times_are_added_to_and_compared_as_the_page_says() -> None:
    section = PAGE.partition("## Time and chance")[2].partition("\n## ")[0]
    found = [_value(each) for each in re.findall(r"^\| .+ \| `(.+)` \|$", section, re.M)]
    assert found == ["2026-03-31T12:00:00.000Z", "2026-03-31", False, "2026-03-10", 10]


@for_each(
    ("text", "given"),
    [
        ("event.paid ?? 1", 1), ("event.nil ?? 1", None), ("event.nil ?: 1", 1), ("'' ?: 1", 1),
        ("0 ?: 1", 1), ("false ?: 1", 1), ("[] ?: 1", 1), ("$not(event.paid)", UNSET),
        ("$boolean(event.paid)", UNSET), ("$not(event.paid ?: false)", True), ("$boolean(0)", False),
        ("$boolean('')", False), ("$boolean([])", False), ("$boolean({})", False),
        ("$boolean('0')", True), ("$boolean('false')", True),
        ("event.paid = null or event.paid = '' or event.paid = []", True),
    ],
)  # fmt: skip
def test_what_is_absent_counts_as_the_page_says(text: str, given: Any) -> None:
    assert _value(text) == given


def test_an_error_of_days_added_to_a_time_says_how_it_is_read() -> None:
    with pytest.raises(ExpressionError, match=r"use \$toMillis\(event.day\): a day has 86400000"):
        _value("event.day + 30")
    with pytest.raises(ExpressionError, match=r"use \$number\(…\)"):
        _value("'12' + 30")
