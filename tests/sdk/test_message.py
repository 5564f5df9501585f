"""RFC 9421: what the RFC and a stranger's code sign is taken, and nothing that is not wholly covered."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import http_message_signatures as peer
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import algorithms
from hypothesis import given
from hypothesis import strategies as st

from halflap import DefinitionError, MessageSignature, Rejected, Request, webhook
from halflap.sdk.request import Headers
from halflap.sdk.signature import new_secret
from halflap.testing import Receive
from tests.cases import for_each

THEN = datetime.fromtimestamp(1618884473, UTC)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
URL = "https://example.com/foo?param=Value&Pet=dog"
BODY = b'{"hello": "world"}'
SHARED = (
    "whsec_uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
)
ED25519 = "MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs="
MESSAGE = [
    ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
    ("Content-Type", "application/json"),
    (
        "Content-Digest",
        "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
    ),
    ("Content-Length", "18"),
]
LAYOUT = MessageSignature()


def make(headers: list[tuple[str, str]], body: bytes = BODY, url: str = URL) -> Request:
    return Request("POST", "", "", Headers(headers), body, url, NOW)


def vector(label: str, components: str, keyid: str, signature: str) -> Request:
    told = f'{label}=({components});created=1618884473;keyid="{keyid}"'
    return make([*MESSAGE, ("Signature-Input", told), ("Signature", f"{label}=:{signature}:")])


B25 = vector(
    "sig-b25",
    '"date" "@authority" "content-type"',
    "test-shared-secret",
    "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
)
B26 = vector(
    "sig-b26",
    '"date" "@method" "@path" "@authority" "content-type" "content-length"',
    "test-key-ed25519",
    "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
)


@for_each(
    "request, key, keyid",
    [(B25, SHARED, "test-shared-secret"), (B26, ED25519, "test-key-ed25519")],
    ids=lambda case: case[2],
)
def test_the_rfcs_vectors_are_taken(request: Request, key: str, keyid: str) -> None:
    layout = MessageSignature(covered=("date", "@authority"), nonce=False)
    layout.verify(request, [new_secret(), key], THEN)
    layout.verify(request, [f"{keyid}:{key}"], THEN)
    for wrong in (new_secret(), f"another:{key}", "whsec_", ""):
        with pytest.raises(Rejected):
            layout.verify(request, [wrong], THEN)
    for changed in (
        replace(request, url="https://example.org/foo"),
        replace(request, headers=Headers([*request.headers.raw, ("Date", "x")])),
    ):
        with pytest.raises(Rejected):
            layout.verify(changed, [key], THEN)
    with pytest.raises(Rejected, match="does not cover @method"):
        MessageSignature(covered=("@method", "@target-uri"), nonce=False).verify(B25, [key], THEN)
    with pytest.raises(Rejected, match="nonce"):
        replace(layout, nonce=True).verify(request, [key], THEN)


# ---- A stranger's implementation


KEYS = {
    "hmac-sha256": (algorithms.HMAC_SHA256, base64.b64decode(SHARED[6:])),
    "ed25519": (algorithms.ED25519, Ed25519PrivateKey.from_private_bytes(bytes(range(32)))),
    "ecdsa-p256-sha256": (algorithms.ECDSA_P256_SHA256, ec.derive_private_key(7, ec.SECP256R1())),
}


def ours(name: str, *, private: bool = False) -> str:
    """A key of `KEYS` as our secret: the one that verifies, or the one that signs."""
    key: Any = KEYS[name][1]
    if isinstance(key, bytes):
        return SHARED
    if private:
        how = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
        return key.private_bytes(*how, serialization.NoEncryption()).decode()
    der = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_key().public_bytes(*der)).decode()


def resolver(name: str) -> Any:
    key: Any = KEYS[name][1]
    public = key if isinstance(key, bytes) else key.public_key()
    return peer.MappingKeyResolver(public_keys={"k": public}, private_keys={"k": key})


@for_each("name", KEYS)
def test_a_stranger_agrees_both_ways(name: str) -> None:
    algorithm = KEYS[name][0]
    message = SimpleNamespace(method="POST", url=URL, headers={"Content-Type": "application/json"})
    signer = peer.HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=resolver(name))
    parts = ("@method", "@target-uri", "content-digest", "@path", "@query", "content-type")
    signer.sign(
        message, key_id="k", created=NOW, nonce="n1", covered_component_ids=parts, body=BODY
    )
    request = make(list(message.headers.items()))
    LAYOUT.verify(request, [ours(name)], NOW)
    LAYOUT.verify(request, [f"k:{ours(name)}"], NOW)
    assert LAYOUT.nonce_of(request) == "n1"
    for other in KEYS:
        if other != name:
            with pytest.raises(Rejected, match="matches none"):
                LAYOUT.verify(request, [ours(other)], NOW)

    now = datetime.now(UTC)
    made = LAYOUT.sign(BODY, f"k:{ours(name, private=True)}", now, id="n2", url=URL)
    LAYOUT.verify(make(list(made.items())), [ours(name)], now)
    verifier = peer.HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=resolver(name))
    message = SimpleNamespace(method="POST", url=URL, headers=made)
    [found] = verifier.verify(message, body=BODY, require_components=LAYOUT.covered)
    assert found.parameters["nonce"] == "n2"


# ---- Abuse


def signed(raw: str, base: str) -> Request:
    """A request signed over whatever base, with whatever said of it: the key is genuine."""
    whole = f'{base}\n"@signature-params": {raw}'
    made = hmac.digest(base64.b64decode(SHARED[6:]), whole.encode(), "sha256")
    text = base64.b64encode(made).decode()
    sent = [("Content-Digest", f"sha-256=:{DIGEST}:"), ("Signature-Input", f"s={raw}")]
    return make([*sent, ("Signature", f"s=:{text}:")])


SECONDS = int(NOW.timestamp())
DIGEST = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
GOOD = '("@method" "@target-uri" "content-digest")'
BASE = f'"@method": POST\n"@target-uri": {URL}\n"content-digest": sha-256=:{DIGEST}:'
SAID = f'{GOOD};created={SECONDS};nonce="n"'


def test_a_signature_made_by_hand_is_taken() -> None:
    LAYOUT.verify(signed(SAID, BASE), [SHARED], NOW)
    LAYOUT.verify(signed(f'{SAID};alg="hmac-sha256";tag="x"', BASE), [SHARED], NOW)
    LAYOUT.verify(signed(f"{SAID};expires={SECONDS + 5}", BASE), [SHARED], NOW)


@for_each(
    "raw, base, why",
    [
        (f'("@method" "@target-uri");created={SECONDS};nonce="n"', BASE, "does not cover"),
        (f'();created={SECONDS};nonce="n"', "", "does not cover"),
        (f'{GOOD};nonce="n"', BASE, "created"),
        (f'{GOOD};created="{SECONDS}";nonce="n"', BASE, "created"),
        (f'{GOOD};created={SECONDS - 301};nonce="n"', BASE, "301 s old"),
        (f'{GOOD};created={SECONDS + 301};nonce="n"', BASE, "in the future"),
        (f"{SAID};expires={SECONDS - 1}", BASE, "expired"),
        (f'{SAID};expires="never"', BASE, "expired"),
        (f"{GOOD};created={SECONDS}", BASE, "nonce"),
        (f'{GOOD};created={SECONDS};nonce=""', BASE, "nonce"),
        (f"{SAID};created={SECONDS}", BASE, "twice"),
        (f'{SAID};alg="ed25519"', BASE, "matches none"),
        (f"{SAID};alg=hmac-sha256", BASE, "matches none"),
        (f'{GOOD[:-1]} "@method");created={SECONDS};nonce="n"', BASE, "twice"),
        (f'{GOOD[:-1]} "@status");created={SECONDS};nonce="n"', BASE, "not known"),
        (f'{GOOD[:-1]} "x-absent");created={SECONDS};nonce="n"', BASE, "no header"),
        (f'{GOOD[:-1]} "@method";req);created={SECONDS};nonce="n"', BASE, "canonical"),
        (SAID.replace(" ", "  "), BASE, "canonical"),
        (SAID.replace(";", "; "), BASE, "canonical"),
        (f"{SAID}, {SAID}", BASE, "canonical"),
        ("x", BASE, "canonical"),
    ],
    ids=lambda case: case[2],
)
def test_what_could_be_read_otherwise_is_refused(raw: str, base: str, why: str) -> None:
    with pytest.raises(Rejected, match=why) as refused:
        LAYOUT.verify(signed(raw, base), [SHARED], NOW)
    assert refused.value.status == 401


def test_the_body_has_to_be_the_one_of_the_digest() -> None:
    request = signed(SAID, BASE)
    for body in (b"", BODY + b" ", BODY[:-1]):
        with pytest.raises(Rejected, match="not what Content-Digest says"):
            LAYOUT.verify(replace(request, body=body), [SHARED], NOW)
    unknown = f"md5=:{DIGEST}:"
    headers = [(n, unknown if n == "Content-Digest" else v) for n, v in request.headers.raw]
    with pytest.raises(Rejected):
        LAYOUT.verify(replace(request, headers=Headers(headers)), [SHARED], NOW)


def test_a_second_signature_is_taken_only_by_its_name() -> None:
    request = signed(SAID, BASE)
    proxied = Headers(
        [
            *request.headers.raw,
            ("Signature-Input", f'proxy=("@method");created={SECONDS}'),
            ("Signature", "proxy=:YWJj:"),
        ]
    )
    with pytest.raises(Rejected, match="2 signatures"):
        LAYOUT.verify(replace(request, headers=proxied), [SHARED], NOW)
    MessageSignature(label="s").verify(replace(request, headers=proxied), [SHARED], NOW)
    with pytest.raises(Rejected, match="no member other"):
        MessageSignature(label="other").verify(request, [SHARED], NOW)
    elsewhere = Headers([*request.headers.raw[:2], ("Signature", "x=:YQ==:")])
    with pytest.raises(Rejected, match="no member 's'"):
        LAYOUT.verify(replace(request, headers=elsewhere), [SHARED], NOW)


@given(st.sampled_from(["Signature", "Signature-Input", "Content-Digest"]), st.text(), st.binary())
def test_nothing_but_rejected_escapes(name: str, value: str, body: bytes) -> None:
    headers = [(n, value if n == name else v) for n, v in signed(SAID, BASE).headers.raw]
    with pytest.raises(Rejected):
        LAYOUT.verify(make(headers, body + b"x"), [SHARED], NOW)


def test_a_layout_that_demands_nothing_is_the_authors_mistake() -> None:
    for covered in ((), ("@status",), ("Date",)):
        with pytest.raises(DefinitionError):
            MessageSignature(covered=covered)


async def test_a_request_that_comes_again_is_one_event(receive: Receive):
    trigger = webhook.request(signature="rfc9421")
    first = await receive(trigger, {"a": 1}, id="n1")
    again = await receive(trigger, {"a": 1}, id="n1")
    other = await receive(trigger, {"a": 1}, id="n2")
    assert first.deliveries == ["n1"]
    assert (len(again.started), again.duplicates, len(other.started)) == (0, 1, 1)
    stale = await receive(trigger, {}, now=NOW, signed_at=NOW - timedelta(seconds=301))
    assert stale.status == 401
