"""JSON keeps every digit, and refuses what it cannot say."""

from __future__ import annotations

import contextlib
import enum
import math
import sys
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, SecretStr

from halflap.sdk import codec
from halflap.sdk.codec import MAX_DEPTH, MAX_DIGITS, NotJson, decode, encode
from halflap.sdk.schema import UNSET
from tests.cases import for_each


def short(value: Any) -> str:
    """A test id of a value that may be very long."""
    return "int" if isinstance(value, int) else ascii(value)[:24]


texts = st.text(st.characters(exclude_categories=["Cs"]))
decimals = st.decimals(allow_nan=False, allow_infinity=False).filter(
    lambda number: abs(number.adjusted()) < MAX_DIGITS
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | decimals | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=30,
)


@given(values)
def test_what_is_written_is_read_back_equal(value: Any) -> None:
    assert decode(encode(value)) == value
    assert decode(encode(value, sort=True)) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_written_with_the_digits_that_identify_it(value: float) -> None:
    assert float(decode(encode(value))) == value


@given(st.binary() | st.text())
def test_any_bytes_are_json_or_refused(data: bytes | str) -> None:
    with contextlib.suppress(NotJson):
        decode(data)


@for_each(
    ("text", "value"),
    [
        ("9007199254740993", 9007199254740993),
        ("18446744073709551616", 2**64),
        ("-" + "9" * 100, -(10**100 - 1)),
        ("9" * MAX_DIGITS, 10**MAX_DIGITS - 1),
        ("-0", 0),
        ('{"a":1,"a":2}', {"a": 2}),
        ("\ufeff{}", {}),
        (r'"\ud83d\ude00\u0000"', "😀\0"),
    ],
    ids=short,
)
def test_a_value_is_exact(text: str, value: Any) -> None:
    assert decode(text) == value
    assert type(decode(text)) is type(value)


@for_each("text", ["1.10", "-0.0", "1E+400", "1E-400", "0.1234567890123456789012"])
def test_a_fraction_keeps_its_digits(text: str) -> None:
    assert str(decode(text)) == text
    assert encode(decode(text)) == text.encode()


@for_each(
    ("data", "where"),
    [
        (b"", "byte 0"),
        (b'{"a":', "byte 5"),
        (b"[1,]", "byte 3"),
        (b"1 x", "byte 3"),
        (b"NaN", "byte 0"),
        (b"[Infinity]", "byte 1"),
        (b"-Infinity", "byte 1"),
        (b"01", "byte 1"),
        (b"\xff\xfe[\x00]\x00", "byte 0"),
        (b'["ok","\xff"]', "byte 7"),
        (rb'"\ud800"', "byte 8"),
        (rb'"\udc00 xxxx"', "byte 7"),
        (b'"\xed\xa0\x80"', "byte 1"),
        (b'"a\x01"', "byte 2"),
        (b"9" * (MAX_DIGITS + 1), "500 digits"),
        (b"[1e99999]", "$[0]"),
        (b"1e9999999999999999999999", "1e±500"),
        (b"[" * 200_000, "256 levels"),
        (b'{"a":' * 200_000, "256 levels"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "256 levels"),
    ],
    ids=short,
)
def test_what_is_not_json_is_refused_with_its_place(data: bytes, where: str) -> None:
    with pytest.raises(NotJson) as caught:
        decode(data, bounded=True)
    assert where in str(caught.value)


LONG = "9" * (MAX_DIGITS + 1)


@for_each(
    ("text", "at"),
    [
        (LONG, 0),
        (f'{{"a":"x\\"y\\\\","b":[1,{LONG}]}}', 21),
        (f"[1.{LONG}]", 3),
        (f"[1e{LONG}]", 3),
        (f'["{LONG}"]', None),
        (f'["\\"{LONG}"]', None),
        (f'{{"{LONG}":"1 {LONG} 2"}}', None),
        ("[" + ",".join(["9" * MAX_DIGITS] * 3) + "]", None),
    ],
    ids=short,
)
def test_a_number_of_too_many_digits_is_refused_with_its_place(text: str, at: int | None) -> None:
    if at is None:
        assert encode(decode(text, bounded=True)) == text.encode()
        return
    with pytest.raises(NotJson, match=rf"longer than {MAX_DIGITS} digits.* \(byte {at}\)"):
        decode(text, bounded=True)


def test_a_lone_surrogate_in_text_is_refused() -> None:
    with pytest.raises(NotJson, match="character 1"):
        decode('"\ud800"')
    with pytest.raises(NotJson, match="D800"):
        encode({"a": "\ud800"})


def test_the_deepest_document_is_read_and_written_from_any_stack() -> None:
    text = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH

    def deep(levels: int) -> bytes:
        if levels:
            return deep(levels - 1)
        assert encode((decode(text),)[0]) == text
        return encode(decode(text))

    used = len(__import__("inspect").stack())
    assert deep(sys.getrecursionlimit() - used - 60) == text


def test_brackets_in_text_are_not_depth() -> None:
    assert decode(encode(["[" * 1000])) == ["[" * 1000]


class Colour(enum.Enum):
    RED = "red"


class Order(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    order_id: int = Field(serialization_alias="orderId")
    total: Decimal
    at: datetime
    url: AnyUrl
    note: Any = UNSET


@dataclass(frozen=True, slots=True)
class Point:
    x: Decimal
    tags: frozenset[str]


def test_types_of_python_become_the_text_that_stands_for_them() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    key = uuid.UUID(int=1)
    value = {
        "order": Order(order_id=2**70, total=Decimal("1.10"), at=now, url=AnyUrl("https://a.b/")),
        "point": Point(Decimal("0.5"), frozenset({"b", "a"})),
        "list": (Colour.RED, date(2026, 1, 2), time(1, 2), timedelta(seconds=90), key),
        1: {None: 1, True: 2, Colour.RED: 3, Decimal("1.5"): 4, key: 5},
    }
    assert decode(encode(value)) == {
        "order": {
            "orderId": 2**70,
            "total": Decimal("1.10"),
            "at": "2026-01-02T03:04:05Z",
            "url": "https://a.b/",
        },
        "point": {"x": Decimal("0.5"), "tags": ["a", "b"]},
        "list": ["red", "2026-01-02", "01:02:00", "PT1M30S", str(key)],
        "1": {"null": 1, "true": 2, "red": 3, "1.5": 4, str(key): 5},
    }
    assert b'"total":1.10' in encode(value)


@for_each(
    ("value", "message"),
    [
        ({"a": [b"x"]}, r"\$\.a\[0\]: bytes"),
        (bytearray(b"x"), "bytes"),
        ([math.nan], r"\$\[0\]: nan"),
        (-math.inf, "inf"),
        (Decimal("NaN"), "NaN"),
        (Decimal("1E+5000"), "1e±500"),
        (10**5000, "500 digits"),
        ([10**MAX_DIGITS], "500 digits"),
        ({1: "a", "1": "b"}, "two keys"),
        ({(1, 2): 3}, "tuple cannot be a key"),
        ({"a": SecretStr("hunter2")}, r"\$\.a: a secret"),
        (iter([1]), "list_iterator"),
        (object(), "object"),
        (Order, "has no JSON"),
        ([UNSET], "UNSET"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_has_no_json_is_refused_with_its_path(value: Any, message: str) -> None:
    with pytest.raises(NotJson, match=message) as caught:
        encode(value)
    assert "hunter2" not in str(caught.value)


def test_a_value_that_holds_itself_is_refused() -> None:
    plain: list[Any] = []
    plain += [plain, plain]
    wrapped: list[Any] = []
    wrapped += [(wrapped,), b""]
    for loop in (plain, wrapped):
        with pytest.raises(NotJson, match="256 levels"):
            encode(loop)


def test_equal_values_have_equal_bytes_when_sorted() -> None:
    assert encode({"b": 1, "a": {"d": 2, "c": {"x", "y"}}}, sort=True) == (
        b'{"a":{"c":["x","y"],"d":2},"b":1}'
    )
    assert encode({"b": 1, "a": 2}) == b'{"b":1,"a":2}'


def test_nothing_is_a_value_error_of_another_kind() -> None:
    assert issubclass(NotJson, ValueError)
    assert codec.MAX_DEPTH == 256
