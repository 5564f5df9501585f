"""Secrets are found in whatever spelling an app repeats them, and nothing else is."""

import base64
import json
import random
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from halflap.components.http import Http
from halflap.sdk import codec, redact
from halflap.sdk.connection import Connection
from halflap.sdk.record import (
    Sealing,
    Unsealing,
    decode_value,
    encode_value,
    redacted_data,
)
from halflap.sdk.redact import LEAST, LEAST_IN_DATA, Redactor, escaped
from halflap.sdk.secret import put_together, secrets_of
from tests.cases import for_each

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


@for_each("form", FORMS)
@for_each("secret", SECRETS)
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


def test_what_is_stored_as_a_secret_is_one_whatever_the_type_of_its_field_is() -> None:
    class Bare(Connection):
        user: str
        password: str

        def headers(self) -> dict[str, str]:
            return {"X-Proof": self.password[::-1]}

    made = put_together(Bare, {"user": "an-open-name"}, {"password": "a-password"})
    assert set(secrets_of(made)) >= {"a-password", "drowssap-a"}
    fresh = made.model_copy(update={"password": "another-one"})
    assert "a-password" in secrets_of(fresh)
    assert "an-open-name" not in secrets_of(fresh)


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


def naive(redactor: Redactor, text: str) -> list[str]:
    """Look for every spelling by itself, as 0.1.0 did."""
    return [each for each in redactor._spellings if each in text]


def naively_in(redactor: Redactor, data: bytes) -> bool:
    """Look in JSON for every spelling by itself, as it is and as it stands in JSON."""
    written = [each for known in redactor._spellings for each in (known, escaped(known))]
    return any(each.encode("utf-8", "surrogatepass") in data for each in written)


PLANTED = [lambda s: s, lambda s: s[: max(len(s) // 2, 6)], *FORMS.values()]
"""The forms in which a secret stands in a text: whole, its half, and each encoded form."""


@given(st.data())
def test_the_search_finds_what_one_for_each_spelling_finds(data: st.DataObject) -> None:
    """Also where a secret lies across pieces, at whatever place, next to most of itself."""
    secret = (
        st.sampled_from(SECRETS)
        | st.text(min_size=LEAST, max_size=40)
        | st.text("ab", min_size=LEAST)
    )
    secrets = data.draw(st.lists(secret, min_size=1, max_size=5))
    redactor = Redactor(secrets)
    any_of_them = st.sampled_from(secrets)
    planted = st.builds(lambda form, each: form(each), st.sampled_from(PLANTED), any_of_them)
    most = st.builds(lambda each, at: each[:at], any_of_them, st.integers(1, 12))
    filling = st.text(max_size=20) | st.text("ab1", max_size=40)
    text = "".join(data.draw(st.lists(filling | most | planted, max_size=12)))
    piece = data.draw(st.sampled_from([8, 16, 64, redact.PIECE]))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(redact, "PIECE", piece)
        assert redactor.hits(text) == naive(redactor, text)
        raw = json.dumps({text: [text]}, ensure_ascii=False).encode("utf-8", "surrogatepass")
        assert redactor.finds(raw) == naively_in(redactor, raw)


@for_each("shift", range(0, 16, 3))
@for_each("length", [6, 7, 15, 16, 1000])
def test_a_secret_is_found_at_every_place_of_every_piece(length: int, shift: int) -> None:
    secret = "".join(random.Random(length).choices("abcdefghijklm", k=length))
    redactor = Redactor([secret])
    for at in (shift, redact.PIECE - shift, 2 * redact.PIECE - length - 8 + shift):
        text = "n" * at + secret
        assert secret in redactor.hits(text)
        assert secret in redactor.hits(text + "n" * 100)
        assert redactor.finds(text.encode())
        assert not redactor.finds(text[: at + max(length // 2, 5) - 1].encode())


def test_a_secret_that_is_too_long_is_not_recorded() -> None:
    sealing = Sealing(str, Redactor())
    assert encode_value({"key": SecretStr("k" * redact.LONGEST)}, None, sealing)
    with pytest.raises(TypeError, match="longer than 65,536 characters"):
        encode_value({"key": SecretStr("k" * (redact.LONGEST + 1))}, None, sealing)
    found = Redactor(["0123456789" * 10_000]).hits("0123456789" * 10_000)
    assert {len(each) for each in found} == {redact.LONGEST, redact.LONGEST // 2}
