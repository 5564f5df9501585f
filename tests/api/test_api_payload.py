"""Payloads as they are shown."""

import base64
from typing import Any

from halflap.api import payload
from halflap.api.recorded import step_result, step_view
from halflap.model import MISSING, Record
from halflap.sdk import codec
from tests.cases import for_each


def test_sealed_values_are_hidden_wherever_they_stand() -> None:
    value = {"a": [{"$secret": "c2VhbGVk"}], "b": {"$secret": True}, "$secret": 1, "c": "$secret"}

    shown = payload.shown(codec.encode(value))

    assert shown == {"a": ["•••"], "b": "•••", "$secret": 1, "c": "$secret"}


def test_what_is_large_is_cut_after_its_secrets_were_hidden() -> None:
    data = codec.encode({"key": {"$secret": "c2VhbGVk"}, "text": "é" * 200})

    shown = payload.shown(data, most=41)["$cut"]

    assert shown["size"] == len(data)
    assert shown["beginning"].startswith('{"key":"•••","text":"é')
    assert "c2VhbGVk" not in shown["beginning"]
    assert "of 440 bytes" in shown["note"]


def test_a_secret_that_is_longer_than_what_is_shown_is_hidden() -> None:
    data = codec.encode(["x", {"$secret": "c2VhbGVk" * 100}, {"a": '{"$secret":"kept"}'}])

    for most in (20, 30, len(data) - 1):
        beginning = payload.shown(data, most=most)["$cut"]["beginning"]
        assert beginning.startswith('["x","•••"')
        assert "c2Vh" not in beginning
    assert "kept" in beginning


def test_what_is_no_json_is_told_by_its_size() -> None:
    assert payload.shown(b"\xff\xff") == {"$bytes": {"size": 2}}
    assert payload.shown(None) is None
    assert payload.shown(b"") is None


def test_a_body_is_cut_between_characters() -> None:
    assert payload.body("aé".encode(), most=2) == ("a", "utf-8", payload.note(3, 2))
    assert payload.body(b"\xff\x00") == (base64.b64encode(b"\xff\x00").decode(), "base64", None)


def test_credentials_never_leave_in_headers() -> None:
    kept = [("X-A", "1"), ("Cookie", "c"), ("AUTHORIZATION", "a"), ("x-b", "halflap-sealed:zzz")]

    assert payload.headers(kept) == [
        ("X-A", "1"),
        ("Cookie", "•••"),
        ("AUTHORIZATION", "•••"),
        ("x-b", "•••"),
    ]


@for_each(
    ("kind", "result", "shown"),
    [
        ("sleep", b"1767261600000000", {"until": "2026-01-01T10:00:00.000000Z"}),
        ("state", MISSING, None),
        ("state", b'{"n":1}', {"n": 1}),
        ("action", None, None),
    ],
)
def test_a_steps_result_is_shown_for_people(kind: Any, result: bytes | None, shown: Any) -> None:
    step = Record(0, "x", kind, "x", "X", "succeeded", 0, 0, result=result)
    assert step_result(step) == shown


def test_a_step_between_tries_says_when_it_is_due_and_has_no_result() -> None:
    step = Record(0, "add", "action", "add", "Add", "retrying", 1, 2, result=b"1000000")

    shown = step_view(step)

    assert (shown.due_at, shown.result) == ("1970-01-01T00:00:01.000000Z", None)
    parked = Record(0, "add", "action", "add", "Add", "retrying", 1, 2, result=b"2")
    assert step_view(parked).due_at is None
