"""Secrets are found in whatever spelling an app repeats them, and nothing else is."""

import base64
import json
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from halflap.components.http import Http
from halflap.sdk import codec
from halflap.sdk.record import (
    Sealing,
    Unsealing,
    decode_value,
    encode_value,
    redacted_data,
)
from halflap.sdk.redact import LEAST, LEAST_IN_DATA, Redactor
from halflap.sdk.secret import secrets_of

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nx9/+Z==\n-----END PRIVATE KEY-----"
SECRETS = ["sk_live_4242abcd", 'p"w\\ö/+&=%é x', "pässwörd", "ÿÿÿ???>>>", "123456", PEM]
FORMS = {
    "as it is": lambda s: s,
    "JSON": lambda s: json.dumps({"error": s}),
    "JSON with its unicode": lambda s: json.dumps({"error": s}, ensure_ascii=False),
    "JSON in JSON": lambda s: json.dumps(json.dumps({"error": s})),
    "HTML": lambda s: f"<b>{escape(s)}</b>",
    "a query": lambda s: f"?key={quote(s, safe='')}&x=1",
    "a path": lambda s: f"/bot{quote(s)}/send",
    "a form": lambda s: f"key={quote_plus(s)}",
    "small escapes": lambda s: quote(s, safe="").lower() if s.isupper() else quote(s, safe=""),
    "hex": lambda s: s.encode().hex(),
    "big hex": lambda s: s.encode().hex().upper(),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64url": lambda s: base64.urlsafe_b64encode(s.encode()).decode().rstrip("="),
    "Basic": lambda s: "Basic " + base64.b64encode(f"user:{s}".encode()).decode(),
    "Basic of one more": lambda s: "Basic " + base64.b64encode(f"user1:{s}".encode()).decode(),
    "Basic of two more": lambda s: "Basic " + base64.b64encode(f"user12:{s}".encode()).decode(),
    "base64 in a query": lambda s: quote(base64.b64encode(f"a:{s}".encode()).decode(), safe=""),
    "reversed": lambda s: s[::-1],
    "Bearer": lambda s: f"Authorization: Bearer {s}",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", SECRETS)
def test_no_spelling_of_a_secret_is_left(secret: str, form: str) -> None:
    text = f"before {FORMS[form](secret)} behind"
    redactor = Redactor([secret])

    shown = redactor.text(text)

    assert "•••" in shown
    assert shown.startswith("before ")
    assert shown.endswith(" behind")
    assert FORMS[form](secret) not in shown
    assert secret not in shown
    assert redactor.finds(codec.encode({"said": [text]}))
    # The control: without the secret nothing is found.
    assert Redactor(["another-secret"]).text(text) == text


def test_a_message_that_was_cut_in_the_middle_of_a_secret_holds_no_half_of_it() -> None:
    secret = "0123456789abcdefghijklmnopqrstuvwxyz"
    for at in range(len(secret) // 2, len(secret)):
        assert secret[:12] not in Redactor([secret]).text(f"the key {secret[:at]}")


@given(st.text(max_size=60), st.text(min_size=LEAST, max_size=40), st.text(max_size=60))
def test_a_secret_is_found_in_any_text(before: str, secret: str, behind: str) -> None:
    redactor = Redactor([secret])
    assert redactor.hits(before + secret + behind)
    assert redactor.finds(codec.encode([before + secret + behind]))


def test_a_weak_password_changes_no_data_that_goes_on() -> None:
    redactor = Redactor(["orders", "a-longer-secret"])
    data = b'{"kind":"orders","key":"a-longer-secret"}'
    assert redacted_data(data, redactor, LEAST_IN_DATA) == '{"key":"•••","kind":"orders"}'.encode()
    assert redacted_data(data, redactor) == '{"key":"•••","kind":"•••"}'.encode()
    unchanged = b'{"b":"orders","a":1}'
    assert redacted_data(unchanged, redactor, LEAST_IN_DATA) is unchanged


def test_short_values_are_left_in_words() -> None:
    assert Redactor(["id", "no", "abc12"]).text("identity: no abc12") == "identity: no abc12"


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers() | st.none()))
def test_data_without_a_secret_is_what_it_was(value: dict[str, Any]) -> None:
    data = codec.encode(value)
    redactor = Redactor(["quite-a-secret"])
    assert redacted_data(data, redactor) is data
    assert encode_value(value, None, Sealing(str, redactor)) == data


def test_a_result_with_an_echo_is_sealed_and_comes_back_as_it_was() -> None:
    secret = "quite-a-secret"
    value = {"id": 7, "echo": f"key {secret}", secret: {"deep": [secret]}, "other": ["fine"]}
    redactor = Redactor([secret])
    boxes: list[str] = []

    def seal(text: str) -> str:
        boxes.append(text)
        return f"box-{len(boxes) - 1}"

    def unseal(name: str) -> str:
        return boxes[int(name.removeprefix("box-"))]

    data = encode_value({"all": value, "echo": f"key {secret}"}, None, Sealing(seal, redactor))

    assert secret.encode() not in data
    later = Redactor()  # of a later attempt, after the secret was changed
    assert decode_value(data, None, Unsealing(unseal, later)) == {
        "all": value,
        "echo": f"key {secret}",
    }
    assert later.text(f"once more: {secret}") == "once more: •••"


def test_the_headers_that_are_made_of_secrets_are_secrets() -> None:
    made = Http(
        base_url="https://app.example",
        username="us",
        password=SecretStr("a-password"),
        header="X-Tenant",
        key=SecretStr("the-tenants-key"),
    )
    basic = base64.b64encode(b"us:a-password").decode()
    assert {"a-password", "the-tenants-key", basic} <= set(secrets_of(made))


def test_what_was_sent_to_prove_a_request_is_a_secret() -> None:
    redactor = Redactor()
    redactor.add_sent(
        {
            "X-Signature": "f00dfeedf00dfeed",
            "Authorization": "HMAC abcdefgh12345678",
            "Content-Type": "application/json",
            "Idempotency-Key": "exe_0123456789-abc",
            "X-Request-Id": "request-0123456789",
        }
    )
    assert redactor.text("f00dfeedf00dfeed abcdefgh12345678") == "••• •••"
    for plain in ("application/json", "exe_0123456789-abc", "request-0123456789"):
        assert redactor.text(plain) == plain
