"""Config fields that are shown only where other fields have certain values."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from halflap import Config, DefinitionError, Integration, When
from halflap.sdk.schema import hidden_fields, shown_values
from halflap.testing.sample import sample_fields


class Syncing(Config):
    mode: Literal["all", "some", "recent"] = "all"
    tag: Annotated[str | None, When(mode="some")]
    since: Annotated[dt.date | None, When(mode=["some", "recent"])] = dt.date(2026, 1, 1)
    dry: bool = False
    report_to: Annotated[str | None, Field(alias="reportTo"), When(dry=True, mode="some")] = None
    copies: Annotated[int | None, When(report_to="me")]


def test_a_field_that_is_not_shown_is_none_and_need_not_be_there() -> None:
    made = Syncing.model_validate({})
    assert (made.tag, made.since, made.report_to, made.copies) == (None, None, None, None)
    given = {"mode": "recent", "tag": "vip", "reportTo": "me", "copies": 3}
    made = Syncing.model_validate(given)
    assert (made.tag, made.since) == (None, dt.date(2026, 1, 1))
    assert shown_values(Syncing, given) == {"mode": "recent"}
    assert Syncing.model_validate(made) is made


def test_a_field_that_is_shown_has_to_be_there() -> None:
    for given in ({"mode": "some"}, {"mode": "some", "tag": None}):
        with pytest.raises(ValidationError, match="tag\n  Field required"):
            Syncing.model_validate(given)
    whole = {"mode": "some", "tag": "vip", "dry": True, "reportTo": "me", "copies": 2}
    made = Syncing.model_validate(whole)
    assert (made.tag, made.report_to, made.copies) == ("vip", "me", 2)
    assert shown_values(Syncing, whole) == whole
    with pytest.raises(ValidationError, match="copies"):
        Syncing.model_validate({**whole, "copies": "x"})


def test_a_field_below_a_hidden_one_is_hidden_too() -> None:
    given = {"mode": "some", "tag": "vip", "dry": False, "reportTo": "me", "copies": 2}
    assert hidden_fields(Syncing, given) == {"report_to", "copies"}


def test_values_compare_as_a_form_types_them() -> None:
    class Several(Config):
        many: list[str] = ["a"]
        count: int = 1
        part: Decimal = Decimal("1.50")
        on: dt.date | None = None
        by_many: Annotated[str | None, When(many=["b", "c"])] = "x"
        by_count: Annotated[str | None, When(count=[2, 3])] = "x"
        by_part: Annotated[str | None, When(part=Decimal("1.5"))] = "x"
        by_on: Annotated[str | None, When(on=dt.date(2026, 1, 2))] = "x"

    assert hidden_fields(Several, {}) == {"by_many", "by_count", "by_on"}
    given = {"many": ["a", "c"], "count": 3, "part": 2, "on": "2026-01-02"}
    assert hidden_fields(Several, given) == {"by_part"}
    # A truth value is no number.
    assert hidden_fields(Syncing, {"mode": "some", "dry": 1}) == {"report_to", "copies"}


def test_a_schema_publishes_its_conditions() -> None:
    fields = Syncing.model_json_schema()["properties"]
    assert fields["tag"]["x-when"] == {"mode": ["some"]}
    assert fields["since"]["x-when"] == {"mode": ["some", "recent"]}
    assert fields["reportTo"]["x-when"] == {"dry": [True], "mode": ["some"]}


def test_conditions_that_never_hold_are_refused() -> None:
    class Unknown(Config):
        tag: Annotated[str | None, When(mod="some")]

    class Circle(Config):
        one: Annotated[str | None, When(two="x")]
        two: Annotated[str | None, When(three="x")]
        three: Annotated[str | None, When(one="x")]

    class Demanded(Config):
        mode: str = "all"
        tag: Annotated[str, When(mode="some")]

    cases: list[tuple[Any, str]] = [
        (Unknown, "no field 'mod'"),
        (Circle, "one is shown by two, and two by one"),
        (Demanded, r"write its type as str \| None"),
    ]
    for config, message in cases:
        with pytest.raises(DefinitionError, match=message):
            Integration("some", config=config)


def test_a_test_makes_up_what_is_shown() -> None:
    class Shown(Config):
        mode: Literal["some", "all"]
        tag: Annotated[str | None, When(mode="some")]

    assert sample_fields(Shown, skip={}) == {"mode": "some", "tag": "a-tag"}
