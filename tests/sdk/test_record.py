"""What a record keeps of inputs and results, and what comes back."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pydantic import SecretStr

from halflap.sdk.component import Component
from halflap.sdk.record import adapter_of, decode_value, encode_inputs, encode_value
from halflap.sdk.schema import UNSET, Model, Unset


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
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", SET], env=environment, capture_output=True, text=True, check=True
        )
        shown.add(done.stdout.strip())
    assert shown == {'{"tags":["alpha","beta","delta","gamma"]}'}
