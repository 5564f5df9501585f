"""The inputs and results that a record keeps, and what comes back."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from base64 import b64decode, b64encode
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr, TypeAdapter

from halflap.sdk.component import Component
from halflap.sdk.record import adapter_of, decode_value, encode_inputs, encode_value
from halflap.sdk.schema import UNSET, File, Model, Unset
from tests.cases import for_each


class Change(Model):
    name: str | Unset | None = UNSET
    note: str | Unset | None = UNSET
    token: SecretStr | None = None


component = Component("app")


@component.action
async def change(change: Change, more: dict[str, str | Unset]) -> Change:
    """Change a record."""
    return change


def seal(text: str) -> str:
    return text[::-1]


@pytest.mark.parametrize("token", [None, SecretStr("t")], ids=["plain", "sealed"])
def test_a_field_that_was_left_alone_is_still_so_after_the_record(token: SecretStr | None) -> None:
    given = Change(note=None, token=token)
    data = encode_value(given, adapter_of(Change), seal)
    assert b"UNSET" not in data
    assert decode_value(data, adapter_of(Change), seal) == given


def test_the_text_unset_is_a_text() -> None:
    data = encode_value(Change(name="UNSET"), adapter_of(Change), seal)
    assert decode_value(data, adapter_of(Change), seal).name == "UNSET"


def test_inputs_that_were_left_alone_are_not_recorded() -> None:
    shown = encode_inputs(change, {"change": Change(name="a"), "more": {"x": UNSET, "y": "z"}})
    assert shown == b'{"change":{"name":"a","token":null},"more":{"y":"z"}}'


SET = """
from halflap.sdk.component import Component
from halflap.sdk.record import encode_inputs

async def tag(tags: set[str]) -> None:
    "Tag a record."

action = Component("app").action(tag)
print(encode_inputs(action, {"tags": {"alpha", "beta", "gamma", "delta"}}).decode())
"""


def test_a_set_is_the_same_input_in_every_process() -> None:
    shown: set[str] = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", SET], env=environment, capture_output=True, text=True, check=True
        )
        shown.add(done.stdout.strip())
    assert shown == {'{"tags":["alpha","beta","delta","gamma"]}'}


def sealed(text: str) -> str:
    return b64encode(text[::-1].encode()).decode()


def opened(text: str) -> str:
    return b64decode(text, validate=True).decode()[::-1]


class Made(Model):
    price: Decimal
    key: SecretStr
    rows: dict[int, tuple[str, ...]]
    file: File


def test_a_typed_result_comes_back_as_it_was_and_its_secret_is_sealed() -> None:
    adapter = TypeAdapter(Made)
    made = Made(
        price=Decimal("0.10000000000000000001"),
        key=SecretStr("hunter2"),
        rows={1: ("a", "b")},
        file=File(b"\x00\xff", "a.bin", "application/x"),
    )
    data = encode_value(made, adapter, sealed)
    assert b"hunter2" not in data
    assert decode_value(data, adapter, opened) == made


def test_an_untyped_result_keeps_its_digits_and_its_secrets() -> None:
    value = {"n": 2**70, "d": Decimal("1.10"), "s": SecretStr("hunter2")}
    assert decode_value(encode_value(value, None, sealed), None, opened) == value


def test_what_only_looks_sealed_stays_as_the_app_sent_it() -> None:
    sent = {"a": {"$secret": "not sealed by us"}}
    assert decode_value(encode_value(sent, None, sealed), None, opened) == sent


@pytest.mark.parametrize("value", [math.nan, -math.inf, [{"a": math.inf}]])
def test_a_number_that_json_does_not_have_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="has no JSON"):
        encode_value(value, None, sealed)


def test_bytes_without_a_type_are_refused_by_their_place() -> None:
    with pytest.raises(TypeError, match=r"\$\.rows\[1\]: bytes"):
        encode_value({"rows": ["a", b"b"]}, None, seal)


def test_what_has_no_json_is_refused_by_its_place() -> None:
    with pytest.raises(TypeError, match=r"^\$\.order\.lines\[1\]: an object cannot be recorded"):
        encode_value({"order": {"lines": [1, object()]}}, None, str)
    with pytest.raises(TypeError, match=r"^\$: a range cannot be recorded"):
        encode_value(range(3), None, str)


class Priced(Model):
    price: Decimal


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (10**500, "$"),
        pytest.param(-(10**5000), "$", id="more digits than Python writes"),
        ({"lines": [{"price": 1}, {"price": 10**500}]}, "$.lines[1].price"),
        ({"price": Decimal("1e600")}, "$.price"),
        ({"price": [Decimal("1e-600")]}, "$.price[0]"),
        (Decimal("1." + "1" * 600), "$"),
        ({"of": Priced(price=Decimal("1e600"))}, "$.of.price"),
        ({"price": Decimal("NaN")}, "$.price"),
        ({"price": [1, Decimal("-Infinity")]}, "$.price[1]"),
        (["x" * 13, Decimal("1" * 400 + "." + "1" * 400)], "$[1]"),
    ],
)
def test_a_number_that_would_not_come_back_is_refused_with_its_place(
    value: Any, place: str
) -> None:
    with pytest.raises(TypeError) as refused:
        encode_value(value, None, str)
    assert str(refused.value).startswith(f"{place}: ")
    assert "return it as a text" in str(refused.value)


@for_each(
    "value",
    [
        10**500 - 1,
        Decimal("1e499"),
        Decimal("1e-499"),
        "1" * 600,
        {"1" * 600: '"' + "1" * 600},
        ["NaN", "1E+600"],
    ],
)
def test_a_number_of_as_many_digits_as_are_read_comes_back(value: Any) -> None:
    assert decode_value(encode_value(value, None, str), None, str) == value
