"""Only who holds the secret can send: every scheme, against its own rules and a stranger's code."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from halflap.errors import DefinitionError, Rejected
from halflap.sdk.request import Headers, Request
from halflap.sdk.signature import (
    BasicAuth,
    BearerToken,
    CalendlySignature,
    GitHubSignature,
    HubSpotSignature,
    JiraSignature,
    MailgunSignature,
    SendGridSignature,
    ShopifySignature,
    Signature,
    SlackSignature,
    StandardWebhooks,
    StripeSignature,
    SvixSignature,
    TwilioSignature,
    TypeformSignature,
    Unsigned,
    Verifier,
    ZendeskSignature,
    new_secret,
)
from tests.cases import for_each

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECONDS = str(int(NOW.timestamp()))
URL = "https://hooks.example/hooks/abc?x=%2Fy%20z"
BODY = b'{"a": "\xc3\xa9\xff\x00"}'
FORM = "application/x-www-form-urlencoded"

LAYOUTS = {
    "standard": StandardWebhooks(),
    "svix": SvixSignature(),
    "github": GitHubSignature(),
    "slack": SlackSignature(),
    "stripe": StripeSignature(),
    "calendly": CalendlySignature(),
    "shopify": ShopifySignature(),
    "hubspot": HubSpotSignature(),
    "zendesk": ZendeskSignature(),
    "typeform": TypeformSignature(),
    "jira": JiraSignature(),
    "own": Signature(header="X-Own", algorithm="sha512", template="{body}|{method}"),
}


def make(
    headers: dict[str, str] | list[tuple[str, str]], body: bytes = BODY, url: str = URL
) -> Request:
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    return Request("POST", "", "", Headers(pairs), body, url, NOW)


def signed(
    layout: Signature, secret: str, now: datetime = NOW, body: bytes = BODY
) -> dict[str, str]:
    return layout.sign(body, secret, now, id="msg_1", url=URL)


def rejected(layout: Verifier, request: Request, *secrets: str, now: datetime = NOW) -> str:
    with pytest.raises(Rejected) as caught:
        layout.verify(request, secrets, now)
    assert caught.value.status == 401
    return str(caught.value)


def mac(secret: str, signed: bytes, algorithm: Any = hashlib.sha256) -> bytes:
    return hmac.new(secret.encode(), signed, algorithm).digest()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# ---- Vectors


STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_TIME = datetime.fromtimestamp(1614265330, UTC)
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
WHPK = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
WHSK = "whsk_" + b64(bytes(range(32)))
V1A = "v1a,yoUrgEkc12aGqm0n4Sydmdz55xJfTz4AsAgieHFjmkR7LJtqVCZOQYzvvHjI5kAey+r4iaBGxTFRrl2iBQxtDQ=="


def test_the_standard_webhooks_vector() -> None:
    layout = StandardWebhooks()
    layout.verify(make(STANDARD, STANDARD_BODY), [STANDARD_SECRET], STANDARD_TIME)
    made = layout.sign(STANDARD_BODY, STANDARD_SECRET, STANDARD_TIME, id=STANDARD["webhook-id"])
    assert made == STANDARD
    svix = {name.replace("webhook", "svix"): value for name, value in STANDARD.items()}
    SvixSignature().verify(make(svix, STANDARD_BODY), [STANDARD_SECRET], STANDARD_TIME)


def test_the_public_key_vector() -> None:
    layout, headers = StandardWebhooks(), {**STANDARD, "webhook-signature": V1A}
    layout.verify(make(headers, STANDARD_BODY), [WHPK], STANDARD_TIME)
    made = layout.sign(STANDARD_BODY, WHSK, STANDARD_TIME, id=STANDARD["webhook-id"])
    assert made == headers
    other = V1A[:10] + "A" + V1A[11:]
    for value in (other, V1A[:-4], "v1a,", V1A.replace("v1a", "v1"), V1A.replace("v1a", "v2")):
        request = make({**STANDARD, "webhook-signature": value}, STANDARD_BODY)
        rejected(layout, request, WHPK, now=STANDARD_TIME)


def test_a_public_key_is_never_an_hmac_key() -> None:
    layout = StandardWebhooks()
    forged = layout.sign(BODY, "whsec_" + WHPK[5:], NOW, id="m")
    layout.verify(make(forged), ["whsec_" + WHPK[5:]], NOW)
    rejected(layout, make(forged), WHPK)
    rejected(layout, make(forged), "whsk_" + WHPK[5:])


def test_a_public_and_a_shared_secret_rotate_together() -> None:
    layout, shared = StandardWebhooks(), new_secret()
    for secret in (shared, WHSK):
        layout.verify(make(signed(layout, secret)), [new_secret(), shared, WHPK], NOW)


def test_the_slack_vector() -> None:
    headers = {
        "X-Slack-Request-Timestamp": "1531420618",
        "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
        b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
        b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
        b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    now = datetime.fromtimestamp(1531420618, UTC)
    SlackSignature().verify(make(headers, body), ["8f742231b10e8888abcd99yyyzzz85a5"], now)


def test_the_github_vector() -> None:
    value = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    request = make({"X-Hub-Signature-256": value}, b"Hello, World!")
    GitHubSignature().verify(request, ["It's a Secret to Everybody"], NOW)
    rejected(
        GitHubSignature(), replace(request, body=b"Hello, World"), "It's a Secret to Everybody"
    )


def test_the_twilio_vector() -> None:
    # Of Twilio's documentation.
    params = {"Digits": "1234", "To": "+18005551212", "From": "+14158675309"}
    params |= {"Caller": "+14158675309", "CallSid": "CA1234567890ABCDE"}
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    headers = {"Content-Type": FORM, "X-Twilio-Signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}
    request = make(headers, urlencode(params).encode(), url)
    TwilioSignature().verify(request, ["12345"], NOW)
    repeated = b"Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234"
    headers["X-Twilio-Signature"] = "IK+Dwps556ElfBT0I3Rgjkr1wJU="
    TwilioSignature().verify(make(headers, repeated, url), ["12345"], NOW)
    rejected(TwilioSignature(), replace(request, url=url + "3"), "12345")
    rejected(TwilioSignature(), replace(request, body=request.body + b"&x=1"), "12345")


# ---- Computed here with the standard library alone


def test_stripe_and_calendly_sign_time_and_body() -> None:
    digest = mac("s3", SECONDS.encode() + b"." + BODY).hex()
    for header, layout in (
        ("Stripe-Signature", StripeSignature()),
        ("Calendly-Webhook-Signature", CalendlySignature()),
    ):
        for value in (
            f"t={SECONDS},v1={digest}",
            f"t={SECONDS}, v1={'0' * 64}, v1={digest}, v0={'1' * 64}",
            f"v1={digest},t={SECONDS}",
        ):
            layout.verify(make({header: value}), ["s3"], NOW)
        for value in (
            f"v1={digest}",
            f"t={SECONDS}",
            f"t={SECONDS},v0={digest}",
            f"t={SECONDS},t={SECONDS},v1={digest}",
            f"t=,v1={digest}",
            f"t={SECONDS},v1=",
            f"t={SECONDS}" + f",v1={digest}" * 100,
        ):
            rejected(layout, make({header: value}), "s3")


def test_shopify_signs_the_body_in_base64() -> None:
    value = b64(mac("s3", BODY))
    ShopifySignature().verify(make({"x-shopify-hmac-sha256": value}), ["s3"], NOW)
    rejected(ShopifySignature(), make({"x-shopify-hmac-sha256": mac("s3", BODY).hex()}), "s3")


def test_hubspot_signs_method_url_body_and_milliseconds() -> None:
    layout, stamp = HubSpotSignature(), str(int(NOW.timestamp() * 1000))
    plain = "https://hooks.example/hooks/abc?x=/y%20z"  # only the harmless escapes are undone
    value = b64(mac("s3", b"POST" + plain.encode() + BODY + stamp.encode()))
    headers = {"X-HubSpot-Signature-v3": value, "X-HubSpot-Request-Timestamp": stamp}
    layout.verify(make(headers), ["s3"], NOW)
    rejected(layout, replace(make(headers), method="PUT"), "s3")
    rejected(layout, make(headers, url=URL + "&b=1"), "s3")
    assert "old" in rejected(layout, make(headers), "s3", now=NOW + timedelta(seconds=301))


def test_zendesk_signs_time_and_body() -> None:
    layout, stamp = ZendeskSignature(), "2026-01-02T03:04:05Z"
    name = "X-Zendesk-Webhook-Signature"
    headers = {name: b64(mac("s3", stamp.encode() + BODY)), f"{name}-Timestamp": stamp}
    layout.verify(make(headers), ["s3"], NOW)
    for wrong in ("2026-01-02", "20260102T030405Z", "2026-13-02T03:04:05Z", SECONDS):
        headers = {name: b64(mac("s3", wrong.encode() + BODY)), f"{name}-Timestamp": wrong}
        assert "not a time" in rejected(layout, make(headers), "s3")


def test_typeform_signs_the_body_with_its_mark() -> None:
    headers = {"Typeform-Signature": "sha256=" + b64(mac("s3", BODY))}
    TypeformSignature().verify(make(headers), ["s3"], NOW)


def test_mailgun_signs_time_and_token_inside_the_body() -> None:
    layout = MailgunSignature()

    def request(**changed: Any) -> Request:
        fields = {"timestamp": SECONDS, "token": "t0", "signature": ""}
        fields["signature"] = mac("s3", (SECONDS + "t0").encode()).hex()
        fields |= changed
        inner = ",".join(f'"{name}":"{value}"' for name, value in fields.items())
        return make({}, f'{{"signature":{{{inner}}},"event-data":{{}}}}'.encode())

    layout.verify(request(), ["s3"], NOW)
    for changed in ({"token": "t1"}, {"token": ""}, {"timestamp": "1"}, {"signature": "é"}):
        rejected(layout, request(**changed), "s3")
    for body in (b"", b"<x/>", b"[" * 100_000, b'{"signature":"x"}', b"\xff"):
        rejected(layout, make({}, body), "s3")
    with pytest.raises(DefinitionError, match="inside the body"):
        layout.sign(b"", "s3", NOW)


def test_twilio_vouches_for_other_bodies_by_their_hash_in_the_url() -> None:
    layout, body = TwilioSignature(), b'{"a":1}'
    url = URL + "&bodySHA256=" + hashlib.sha256(body).hexdigest()
    headers = {"X-Twilio-Signature": b64(mac("s3", url.encode(), hashlib.sha1))}
    layout.verify(make(headers, body, url), ["s3"], NOW)
    assert "hash" in rejected(layout, make(headers, b'{"a":2}', url), "s3")
    bare = {"X-Twilio-Signature": b64(mac("s3", URL.encode(), hashlib.sha1))}
    layout.verify(make(bare, b""), ["s3"], NOW)
    assert "hash" in rejected(layout, make(bare, body), "s3")
    assert "read" in rejected(layout, make({**bare, "Content-Type": FORM}, b"a=%ff"), "s3")
    made = layout.sign(b"b=2&a=1", "s3", NOW, url=URL, content_type=FORM)
    layout.verify(make({**made, "Content-Type": FORM}, b"a=1&b=2"), ["s3"], NOW)


# ---- A stranger's implementation


@given(st.text(), st.text("abc_123", min_size=1), st.binary(min_size=24, max_size=64))
def test_the_standardwebhooks_package_agrees_both_ways(body: str, id: str, key: bytes) -> None:
    secret, now = "whsec_" + b64(key), datetime.now(UTC)
    theirs = standardwebhooks.Webhook(secret)
    value = theirs.sign(id, now, body := body.encode("utf-8", "replace").decode())
    stamp = str(int(now.timestamp()))
    headers = {"webhook-id": id, "webhook-timestamp": stamp, "webhook-signature": value}
    StandardWebhooks().verify(make(headers, body.encode()), [secret], now)
    ours = StandardWebhooks().sign(b'{"a": 1}', secret, now, id=id)
    assert theirs.verify(b'{"a": 1}', ours) == {"a": 1}


# ---- Abuse, of every layout


every_layout = for_each("layout", LAYOUTS.values(), ids=LAYOUTS)


@every_layout
def test_what_was_signed_is_verified_and_nothing_else(layout: Signature) -> None:
    old, new, other = new_secret(), new_secret(), new_secret()
    headers = signed(layout, old)
    layout.verify(make(headers), [old], NOW)
    layout.verify(make(headers), [new, "", old], NOW)
    assert "matches none" in rejected(layout, make(headers), new, other)
    rejected(layout, make(headers, BODY + b" "), old)
    rejected(layout, make(headers, b""), old)
    layout.verify(make(signed(layout, old, body=b""), b""), [old], NOW)


@every_layout
def test_without_a_secret_nothing_is_verified(layout: Signature) -> None:
    empty = hmac.new(b"", BODY, hashlib.sha256).digest()
    for headers in (signed(layout, new_secret()), {layout.header: layout.prefix + b64(empty)}):
        for secrets in ([], [""], ["  "], ["\n", ""]):
            assert "no usable" in rejected(layout, make(headers), *secrets)


@every_layout
def test_a_wrong_signature_header_is_rejected(layout: Signature) -> None:
    secret = new_secret()
    good = signed(layout, secret)
    pairs, value = list(good.items()), good[layout.header]
    others = [(n, v) for n, v in pairs if n != layout.header]
    wrong = ["", " ", "é", "v1", ",", "=", "v1,", "sha1=" + "0" * 40, "x" * 100_000, "\x00", "\n"]
    wrong += [value[:-2], value + "A", value + "é", value.replace("=", "-", 1), "sha256=" + value]
    wrong += [value[:-5] + "٣" + value[-4:], value + ("" if layout.separator else " " + value)]
    for each in wrong:
        if each != value:
            rejected(layout, make([*others, (layout.header, each)]), secret)
    assert "missing" in rejected(layout, make(others), secret)
    rejected(layout, make([*pairs, (layout.header.upper(), value)]), secret)
    rejected(layout, make([*others, (layout.header, "")]), secret)


timed = [layout for layout in LAYOUTS.values() if "{timestamp}" in layout.template]


@for_each("layout", timed, ids=lambda layout: layout.header)
def test_a_stale_or_future_request_is_rejected(layout: Signature) -> None:
    secret = new_secret()
    request = make(signed(layout, secret))
    for seconds in (-300, 0, 300):
        layout.verify(request, [secret], NOW + timedelta(seconds=seconds))
    assert "301 s old" in rejected(layout, request, secret, now=NOW + timedelta(seconds=301))
    assert "in the future" in rejected(layout, request, secret, now=NOW - timedelta(seconds=301))


@for_each(
    "stamp",
    [
        "",
        "123.0",
        SECONDS + ".0",
        "١٢٣",
        "-" + SECONDS,
        "+" + SECONDS,
        "0" + SECONDS,
        "1_767",
        "0x1",
        SECONDS + "000",
        "9" * 400,
        "nan",
        "inf",
        "1e9",
        SECONDS + "\x00",
        "2026-01-02T03:04:05Z",
    ],
)
def test_a_malformed_timestamp_is_rejected_even_when_it_was_signed(stamp: str) -> None:
    key = base64.b64decode(STANDARD_SECRET[6:])
    value = b64(hmac.new(key, f"m.{stamp}.".encode() + BODY, hashlib.sha256).digest())
    headers = {"webhook-id": "m", "webhook-timestamp": stamp, "webhook-signature": "v1," + value}
    rejected(StandardWebhooks(), make(headers), STANDARD_SECRET)
    digest = mac("s3", f"v0:{stamp}:".encode() + BODY).hex()
    slack = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": "v0=" + digest}
    rejected(SlackSignature(), make(slack), "s3")


def test_a_signature_is_written_in_one_way_only() -> None:
    headers = signed(ShopifySignature(), "s3")
    [(name, value)] = headers.items()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    loose = value[:-2] + alphabet[alphabet.index(value[-2]) + 1] + "="
    assert base64.b64decode(loose) == base64.b64decode(value)
    rejected(ShopifySignature(), make({name: loose}), "s3")


def test_a_duplicate_time_or_id_is_rejected() -> None:
    headers = list(signed(StandardWebhooks(), STANDARD_SECRET).items())
    for pair in headers:
        rejected(StandardWebhooks(), make([*headers, pair]), STANDARD_SECRET)


@for_each("id", ["", "a.b", "a b", "é", "x" * 300])
def test_an_id_that_could_be_read_two_ways_is_rejected(id: str) -> None:
    key = base64.b64decode(STANDARD_SECRET[6:])
    value = b64(hmac.new(key, f"{id}.{SECONDS}.".encode() + BODY, hashlib.sha256).digest())
    headers = {"webhook-id": id, "webhook-timestamp": SECONDS, "webhook-signature": "v1," + value}
    rejected(StandardWebhooks(), make(headers), STANDARD_SECRET)


def test_several_signatures_are_looked_at_up_to_a_limit() -> None:
    layout, secret = StandardWebhooks(), new_secret()
    good = signed(layout, secret)
    value = good["webhook-signature"]
    for several in (f"v1,{b64(bytes(32))} {value}", f"{value} v9,x", f"v1a,x  {value}"):
        layout.verify(make({**good, "webhook-signature": several}), [secret], NOW)
    many = " ".join([value] * 40)
    assert "more than 32" in rejected(layout, make({**good, "webhook-signature": many}), secret)


def test_a_secret_that_is_not_base64_opens_nothing() -> None:
    for secret in ("whsec_", "whsec_é", "whsec_!!!", "whsec_abc", "whpk_abc", "\ud800"):
        request = make(signed(StandardWebhooks(), new_secret()))
        assert "no usable" in rejected(StandardWebhooks(), request, secret)


headers_of_any_kind = st.lists(
    st.tuples(
        st.sampled_from([n for layout in LAYOUTS.values() for n in signed(layout, new_secret())])
        | st.sampled_from(["Content-Type", "Authorization", "X-Twilio-Signature"]),
        st.text() | st.sampled_from([SECONDS, FORM, "v1,x", "Basic eDp5", "Bearer x"]),
    ),
    max_size=6,
)
VERIFIERS = [*LAYOUTS.values(), MailgunSignature(), TwilioSignature(), SendGridSignature()]
VERIFIERS += [BearerToken(), BasicAuth()]


@given(st.sampled_from(VERIFIERS), headers_of_any_kind, st.binary(), st.text(), st.lists(st.text()))
def test_nothing_but_rejected_escapes(
    layout: Signature, headers: list[tuple[str, str]], body: bytes, text: str, secrets: list[str]
) -> None:
    request = replace(make(headers, body, text), method=text, query=text)
    with pytest.raises(Rejected):
        layout.verify(request, secrets, NOW)


@given(st.sampled_from(list(LAYOUTS.values())), st.binary(), st.data())
def test_a_changed_byte_of_the_signature_is_noticed(
    layout: Signature, body: bytes, data: st.DataObject
) -> None:
    secret = new_secret()
    headers = signed(layout, secret, body=body)
    layout.verify(make(headers, body), [secret], NOW)
    value = headers[layout.header]
    place = data.draw(st.integers(0, len(value) - 1))
    letter = data.draw(st.characters())
    changed = value[:place] + letter + value[place + 1 :]
    # Hex digits are one digit in either case.
    if changed.lower() != value.lower():
        rejected(layout, make({**headers, layout.header: changed}, body), secret)


# ---- Shared secrets and none


def test_a_bearer_token_is_compared_whole() -> None:
    layout = BearerToken()
    layout.verify(make(layout.sign(b"", "s3", NOW)), ["old", "s3"], NOW)
    layout.verify(make({"authorization": "bearer s3"}), ["s3"], NOW)
    BearerToken("X-Gitlab-Token", prefix="").verify(make({"X-Gitlab-Token": "s3"}), ["s3"], NOW)
    for value in ("s3", "Bearer", "Bearer ", "Bearer s", "Bearer s33", "Basic s3", "Bearer é", ""):
        rejected(layout, make({"Authorization": value}), "s3")
    rejected(layout, make([("Authorization", "Bearer s3"), ("authorization", "Bearer s3")]), "s3")
    assert "no usable" in rejected(layout, make({"Authorization": "Bearer x"}), "")


def test_basic_auth_compares_user_and_password() -> None:
    layout = BasicAuth()
    layout.verify(make(layout.sign(b"", "user:pä:ss", NOW)), ["user:pä:ss"], NOW)
    for value in ("user:pass", "x:pass", "user:", "user", ":", ""):
        given = {"Authorization": "Basic " + b64(value.encode())}
        rejected(layout, make(given), "user:other", "user")
    for value in ("Basic", "Basic !", "Bearer dXNlcjpwYXNz", "Basic /w=="):
        rejected(layout, make({"Authorization": value}), "user:pass")


def test_unsigned_says_why() -> None:
    layout = Unsigned("Salesforce signs nothing; its URL is secret")
    layout.verify(make({}), [], NOW)
    assert layout.sign(b"", "", NOW) == {}
    with pytest.raises(DefinitionError, match="say why"):
        Unsigned(" ")


def test_every_layout_is_a_verifier_and_a_signature() -> None:
    for layout in (*VERIFIERS, Unsigned("x")):
        assert isinstance(layout, Verifier)
        assert isinstance(layout, Signature)


@for_each(
    "fields",
    [
        {"header": ""},
        {"template": "{nonsense}"},
        {"template": "{body}{"},
        {"template": "fixed"},
        {"template": "{timestamp}.{body}"},
        {"timestamp_header": "X-Time"},
        {"id_header": "X-Id"},
        {"token_header": "X-Token"},
        {"timestamp_key": "t", "template": "{timestamp}.{body}"},
        {"algorithm": "md5"},
        {"encoding": "base32"},
        {"secret_encoding": "rot13"},
        {"tolerance": 0},
    ],
    ids=str,
)
def test_a_layout_that_would_verify_nothing_is_the_authors_mistake(fields: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="Signature"):
        Signature(**{"header": "X-Signature", **fields})


def test_a_new_secret_is_fresh_and_long() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(len(base64.b64decode(each.removeprefix("whsec_"))) == 32 for each in made)


def test_signing_needs_what_it_signs() -> None:
    with pytest.raises(Rejected, match="message id"):
        StandardWebhooks().sign(BODY, new_secret(), NOW)
    with pytest.raises(Rejected, match="public key cannot sign"):
        StandardWebhooks().sign(BODY, WHPK, NOW, id="m")
