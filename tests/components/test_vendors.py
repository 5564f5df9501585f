"""Webhooks of apps, signed by the vendors' own code, arrive as typed events; nothing else does.

`VENDORS` is one table: who signs, with what, and what must be refused of it. A verifier that takes
everything fails it (the control at its end).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
import stripe as stripe_sdk
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hubspot.utils.signature import Signature as HubSpotSigner
from sendgrid import EventWebhook
from slack_sdk.signature import SignatureVerifier
from twilio.request_validator import RequestValidator

from halflap import Ignore, Rejected, Request, Trigger
from halflap.components import hubspot, jira, sendgrid, shopify, slack, stripe, twilio, zendesk
from halflap.sdk.request import Headers
from halflap.sdk.signature import SendGridSignature, TwilioSignature, Verifier
from halflap.testing import Receive
from halflap.testing.receiver import URL
from tests.cases import for_each

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FORM = "application/x-www-form-urlencoded"
Signed = dict[str, str]


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(kind, form, serialization.NoEncryption()).decode()


def public(key: ec.EllipticCurvePrivateKey) -> str:
    kind, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_key().public_bytes(kind, form)).decode()


KEY, OTHER_KEY = (ec.derive_private_key(number, ec.SECP256R1()) for number in (7, 8))


def by_stripe(body: bytes, secret: str, now: datetime, url: str) -> Signed:
    stamp = int(now.timestamp())
    signer = stripe_sdk.WebhookSignature
    return {"Stripe-Signature": signer.generate_signature_header(body.decode(), secret, stamp)}


def by_twilio(body: bytes, secret: str, now: datetime, url: str) -> Signed:
    params = dict(parse_qsl(body.decode()))
    return {"X-Twilio-Signature": RequestValidator(secret).compute_signature(url, params)}


def by_hubspot(body: bytes, secret: str, now: datetime, url: str) -> Signed:
    stamp = str(int(now.timestamp() * 1000))
    made = HubSpotSigner.get_signature(secret, body.decode(), "v3", url, "POST", stamp)
    return {"X-HubSpot-Signature-v3": made, "X-HubSpot-Request-Timestamp": stamp}


def by_slack(body: bytes, secret: str, now: datetime, url: str) -> Signed:
    stamp = str(int(now.timestamp()))
    made = SignatureVerifier(secret).generate_signature(timestamp=stamp, body=body)
    return {"X-Slack-Signature": made or "", "X-Slack-Request-Timestamp": stamp}


def by_sendgrid(body: bytes, secret: str, now: datetime, url: str) -> Signed:
    """SendGrid publishes a verifier alone: it has to take what we signed."""
    private = pem(KEY if secret == public(KEY) else OTHER_KEY)
    made = SendGridSignature().sign(body, private, now)
    stamp, told = made.values()
    assert EventWebhook(secret).verify_signature(body.decode(), told, stamp)
    return made


def mac(secret: str, signed: bytes) -> bytes:
    return hmac.new(secret.encode(), signed, hashlib.sha256).digest()


def by_zendesk(body: bytes, secret: str, now: datetime, url: str) -> Signed:
    """Zendesk publishes no code: as its documentation says."""
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    name = "X-Zendesk-Webhook-Signature"
    made = base64.b64encode(mac(secret, stamp.encode() + body)).decode()
    return {name: made, f"{name}-Timestamp": stamp}


def by_shopify(body: bytes, secret: str, now: datetime, url: str) -> Signed:
    """Shopify's Python package signs no webhooks: as its documentation says."""
    return {"X-Shopify-Hmac-SHA256": base64.b64encode(mac(secret, body)).decode()}


def by_jira(body: bytes, secret: str, now: datetime, url: str) -> Signed:
    """Atlassian publishes no code for administrators' webhooks: as its documentation says."""
    return {"X-Hub-Signature": "sha256=" + mac(secret, body).hex()}


@dataclass(frozen=True)
class Vendor:
    """An app's way of sending: its trigger with inputs, who signs, and one genuine body."""

    name: str
    trigger: Any
    sign: Callable[[bytes, str, datetime, str], Signed]
    body: bytes
    header: str
    timed: bool = True
    """The time is signed, and what is old is refused."""
    told: Signed | None = None
    """Headers that are sent and not signed."""
    secret: str = "s3cret-of-this-endpoint"
    other: str = "another endpoint's secret"
    content_type: str = "application/json"

    @property
    def verifier(self) -> Verifier:
        found = self.trigger.declaration.verify
        assert found is not None
        return found

    def headers(self, secret: str = "", now: datetime = NOW, url: str = URL) -> Signed:
        return self.sign(self.body, secret or self.secret, now, url)

    def request(
        self, signed: Signed | Sequence[tuple[str, str]], body: bytes | None = None
    ) -> Request:
        pairs = list(signed.items()) if isinstance(signed, dict) else list(signed)
        pairs += [("Content-Type", self.content_type), *(self.told or {}).items()]
        whole = self.body if body is None else body
        return Request("POST", "", "", Headers(pairs), whole, URL, NOW)


def told(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


STRIPE = {
    "id": "evt_1",
    "object": "event",
    "type": "invoice.paid",
    "created": 1767323045,
    "livemode": False,
    "api_version": "2025-10-29",
    "data": {"object": {"id": "in_1", "object": "invoice", "total": 1299}},
}
HUBSPOT = {
    "eventId": 1,
    "subscriptionId": 12,
    "portalId": 33,
    "appId": 44,
    "occurredAt": 1767323045000,
    "subscriptionType": "deal.propertyChange",
    "attemptNumber": 0,
    "objectId": 55,
    "propertyName": "amount",
    "propertyValue": "12.50",
    "changeSource": "CRM_UI",
}
SENDGRID = {
    "email": "ada@example.com",
    "event": "bounce",
    "reason": "No such user",
    "sg_event_id": "e1",
    "sg_message_id": "m1",
    "timestamp": 1767323045,
}
ZENDESK = {
    "type": "zen:event-type:ticket.created",
    "account_id": 1,
    "id": "z1",
    "time": "2026-01-02T03:04:05Z",
    "zendesk_event_version": "2022-06-20",
    "subject": "zen:ticket:35",
    "detail": {"id": "35", "subject": "Grüße"},
    "event": {},
}
SLACK = {
    "type": "event_callback",
    "team_id": "T1",
    "event_id": "Ev1",
    "event": {"type": "app_mention", "channel": "C1", "user": "U1", "text": "hi"},
}
TWILIO = {
    "MessageSid": "SM" + "1" * 32,
    "From": "+15005550006",
    "To": "+15005550007",
    "Body": "Hello",
    "NumMedia": "0",
}
JIRA = {
    "timestamp": 1767323045000,
    "webhookEvent": "jira:issue_created",
    "issue": {"id": "10002", "key": "ACME-1"},
}
SHOPIFY_TOLD = {
    "X-Shopify-Topic": "orders/create",
    "X-Shopify-Shop-Domain": "acme.myshopify.com",
    "X-Shopify-Webhook-Id": "w1",
    "X-Shopify-Triggered-At": "2026-01-02T03:04:05.123456789Z",
}

VENDORS = [
    Vendor("stripe", stripe.event(["invoice.paid"]), by_stripe, told(STRIPE), "Stripe-Signature"),
    Vendor(
        "stripe connect",
        stripe.account_event(["invoice.paid"]),
        by_stripe,
        told({**STRIPE, "account": "acct_1"}),
        "Stripe-Signature",
    ),
    Vendor(
        "shopify",
        shopify.event(["orders/create"]),
        by_shopify,
        told({"id": 7, "total_price": "9.90"}),
        "X-Shopify-Hmac-SHA256",
        timed=False,
        told=SHOPIFY_TOLD,
    ),
    Vendor("hubspot", hubspot.change(), by_hubspot, told([HUBSPOT]), "X-HubSpot-Signature-v3"),
    Vendor(
        "twilio",
        twilio.message("+15005550007"),
        by_twilio,
        urlencode(TWILIO).encode(),
        "X-Twilio-Signature",
        timed=False,
        content_type=FORM,
    ),
    Vendor(
        "zendesk",
        zendesk.event(["ticket.created"]),
        by_zendesk,
        told(ZENDESK),
        "X-Zendesk-Webhook-Signature",
    ),
    Vendor("slack", slack.event(["app_mention"]), by_slack, told(SLACK), "X-Slack-Signature"),
    Vendor(
        "sendgrid",
        sendgrid.event(["bounce"]),
        by_sendgrid,
        told([SENDGRID]),
        "X-Twilio-Email-Event-Webhook-Signature",
        secret=public(KEY),
        other=public(OTHER_KEY),
    ),
    Vendor(
        "jira",
        jira.event(["jira:issue_created"]),
        by_jira,
        told(JIRA),
        "X-Hub-Signature",
        timed=False,
        told={"X-Atlassian-Webhook-Identifier": "a1"},
    ),
]
BY_NAME = {each.name: each for each in VENDORS}


# ---- The table


def wrong_requests(vendor: Vendor) -> list[tuple[str, Request, datetime]]:
    """The requests of a vendor that must be refused, and why."""
    good = vendor.headers()
    value = good[vendor.header]
    rest = [(name, each) for name, each in good.items() if name != vendor.header]

    def signed_as(*values: str) -> Request:
        return vendor.request([*rest, *((vendor.header, each) for each in values)])

    found = [
        ("of another endpoint's secret", vendor.request(vendor.headers(vendor.other)), NOW),
        ("unsigned", vendor.request(rest), NOW),
        ("an empty signature", signed_as(""), NOW),
        ("a truncated signature", signed_as(value[:-4]), NOW),
        ("a signature of nothing", signed_as(value[:2] + "A" * (len(value) - 4) + value[-2:]), NOW),
        ("two signature headers", signed_as(value, value), NOW),
        ("a signature in another charset", signed_as(value[:-1] + "é"), NOW),
        ("a truncated body", vendor.request(good, vendor.body[:-1]), NOW),
        ("a longer body", vendor.request(good, vendor.body + b"0"), NOW),
        ("no body", vendor.request(good, b""), NOW),
    ]
    for name, each in rest:
        found.append((f"without {name}", vendor.request({vendor.header: value}), NOW))
        doubled = vendor.request([*good.items(), (name, each)])
        found.append((f"with {name} twice", doubled, NOW))
    for other in VENDORS:
        if other is not vendor:
            confused = other.sign(other.body, other.secret, NOW, URL)
            found.append((f"as {other.name} signs", vendor.request(confused), NOW))
    if vendor.timed:
        age = vendor.verifier.tolerance  # pyright: ignore[reportAttributeAccessIssue]
        for seconds in (age + 1, -age - 1):
            found.append(
                (f"{seconds} s old", vendor.request(good), NOW + timedelta(seconds=seconds))
            )
        moved = vendor.headers(now=NOW + timedelta(seconds=5))
        mixed = {**moved, vendor.header: value}
        if rest:  # else both are in the one header
            found.append(("with another time", vendor.request(mixed), NOW))
    if vendor.name in ("hubspot", "twilio"):
        elsewhere = vendor.headers(url=URL + "x")
        found.append(("of another URL", vendor.request(elsewhere), NOW))
    return found


def taken(vendor: Vendor, verifier: Verifier) -> list[str]:
    """The wrong requests that a verifier takes all the same."""
    found: list[str] = []
    for why, request, now in wrong_requests(vendor):
        try:
            verifier.verify(request, [vendor.secret], now)
        except Rejected as error:
            if error.status != 401:
                found.append(f"{why}: answered {error.status}")
        else:
            found.append(why)
    return found


@for_each("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_what_the_vendors_own_code_signed_is_taken(vendor: Vendor) -> None:
    request = vendor.request(vendor.headers())
    vendor.verifier.verify(request, [vendor.secret], NOW)
    vendor.verifier.verify(request, [vendor.other, "", vendor.secret], NOW)
    if vendor.timed:
        edge = timedelta(seconds=vendor.verifier.tolerance)  # pyright: ignore[reportAttributeAccessIssue]
        vendor.verifier.verify(request, [vendor.secret], NOW + edge)


@for_each("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_nothing_else_is_taken(vendor: Vendor) -> None:
    assert taken(vendor, vendor.verifier) == []
    for none in ([], [""], [" "]):
        with pytest.raises(Rejected, match="no usable"):
            vendor.verifier.verify(vendor.request(vendor.headers()), none, NOW)


def test_a_verifier_that_takes_everything_fails_the_table() -> None:
    class Careless:
        def verify(self, request: Request, secrets: Sequence[str], now: datetime) -> None:
            return

    for each in VENDORS:
        assert len(taken(each, Careless())) == len(wrong_requests(each)) > 15


def test_two_signatures_of_which_one_is_genuine_are_taken_where_secrets_are_rolled() -> None:
    vendor = BY_NAME["stripe"]
    stamp, good = vendor.headers()["Stripe-Signature"].split(",")
    bad = "v1=" + "0" * 64
    for order in ((stamp, bad, good), (good, stamp, bad), (stamp, "v0=" + good[3:], good)):
        request = vendor.request({"Stripe-Signature": ",".join(order)})
        vendor.verifier.verify(request, [vendor.secret], NOW)
    for order in ((stamp, bad), (stamp, "v0=" + good[3:]), (bad, good)):
        request = vendor.request({"Stripe-Signature": ",".join(order)})
        with pytest.raises(Rejected):
            vendor.verifier.verify(request, [vendor.secret], NOW)


# ---- Vectors that the vendors publish


def test_the_vendors_vectors_are_taken() -> None:
    jira_vector = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
    request = BY_NAME["jira"].request({"X-Hub-Signature": jira_vector}, b"Hello World!")
    BY_NAME["jira"].verifier.verify(request, ["It's a Secret to Everybody"], NOW)

    event = {
        "email": "hello@world.com",
        "event": "dropped",
        "reason": "Bounced Address",
        "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
        "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
        "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
        "timestamp": 1600112492,
    }
    body = json.dumps([event], separators=(",", ":")).encode() + b"\r\n"
    name = "X-Twilio-Email-Event-Webhook"
    signature = (
        "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15Tl"
        "uLtEZtM="
    )
    vector = {f"{name}-Signature": signature, f"{name}-Timestamp": "1600112502"}
    key = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe6"
        "2gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
    )
    then = datetime.fromtimestamp(1600112502, UTC)
    as_pem = f"-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n"
    for secret in (key, as_pem):
        request = BY_NAME["sendgrid"].request(vector, body)
        BY_NAME["sendgrid"].verifier.verify(request, [secret], then)
    with pytest.raises(Rejected):
        BY_NAME["sendgrid"].verifier.verify(replace(request, body=body.strip()), [key], then)


def test_a_key_of_another_curve_opens_nothing() -> None:
    vendor, large = BY_NAME["sendgrid"], ec.derive_private_key(7, ec.SECP384R1())
    for secret in (public(large), "whsec_abc", "MFkw", "é"):
        with pytest.raises(Rejected, match="no usable"):
            vendor.verifier.verify(vendor.request(vendor.headers()), [secret], NOW)
    for private in ("no key", public(KEY)):
        with pytest.raises(Rejected, match="PEM"):
            SendGridSignature().sign(b"", private, NOW)


# ---- Through the gateway, as an event


async def receive_from(
    receive: Receive, vendor: Vendor, body: bytes | None = None, trigger: Any = None
) -> Any:
    sent = replace(vendor, body=vendor.body if body is None else body)
    headers = {"Content-Type": vendor.content_type, **sent.headers(), **(vendor.told or {})}
    return await receive(
        trigger or vendor.trigger,
        sent.body,
        headers=headers,
        sign=False,
        secret=vendor.secret,
        now=NOW,
    )


SIGNED_FORM = hashlib.sha256(
    (URL + "".join(name + value for name, value in sorted(TWILIO.items()))).encode()
).hexdigest()[:32]
EXPECTED: dict[str, tuple[list[str], list[str], dict[str, Any]]] = {
    "stripe": (["in_1"], ["evt_1"], {"type": "invoice.paid", "livemode": False}),
    "stripe connect": (["in_1"], ["evt_1"], {"type": "invoice.paid", "account": "acct_1"}),
    "shopify": (["7"], ["w1#"], {"topic": "orders/create", "shop": "acme.myshopify.com"}),
    "hubspot": (["55"], ["33/12/1/1767323045000/55"], {"property_value": "12.50", "portal_id": 33}),
    "twilio": (["+15005550006"], [SIGNED_FORM], {"body": "Hello", "sender": "+15005550006"}),
    "zendesk": (["35"], ["z1"], {"type": "ticket.created", "subject": "zen:ticket:35"}),
    "slack": (["C1"], ["Ev1"], {"text": "hi", "user": "U1"}),
    "sendgrid": (["m1"], ["e1"], {"event": "bounce", "reason": "No such user"}),
    "jira": (["10002"], ["a1#"], {"name": "jira:issue_created"}),
}


@pytest.mark.parametrize("name", BY_NAME)
async def test_an_event_has_its_record_its_delivery_and_its_fields(receive: Receive, name: str):
    keys, deliveries, fields = EXPECTED[name]
    vendor = BY_NAME[name]
    received = await receive_from(receive, vendor)
    assert received.status == 200, received.reason
    assert received.keys == keys
    assert [each.rstrip("0123456789abcdef") or each for each in received.deliveries] == [
        each.rstrip("0123456789abcdef") or each for each in deliveries
    ]
    [event] = await received.events()
    assert {each: getattr(event, each) for each in fields} == fields
    again = await receive_from(receive, vendor)
    assert (again.status, len(again.started), again.duplicates) == (200, 0, 1)


async def test_what_was_not_asked_for_is_ignored(receive: Receive):
    for name, trigger in (
        ("sendgrid", sendgrid.event(["open"])),
        ("jira", jira.event(["comment_created"])),
    ):
        received = await receive_from(receive, BY_NAME[name], trigger=trigger)
        [event] = await received.events()
        assert isinstance(event, Ignore), name
    for name, trigger in (
        ("zendesk", zendesk.event(["ticket.merged"])),
        ("hubspot", hubspot.change(["deal.creation"])),
        ("stripe", stripe.event(["charge.failed"])),
        ("stripe connect", stripe.account_event(["charge.failed"])),
    ):  # these say so before it is stored
        received = await receive_from(receive, BY_NAME[name], trigger=trigger)
        assert (received.status, list(received.started)) == (200, []), name
    everything = await receive_from(receive, BY_NAME["stripe"], trigger=stripe.event(["*"]))
    assert [each.type for each in await everything.events()] == ["invoice.paid"]


async def test_a_batch_is_many_events_each_with_an_identity(receive: Receive):
    changes = [{**HUBSPOT, "eventId": number, "objectId": number} for number in range(100)]
    received = await receive_from(receive, BY_NAME["hubspot"], told(changes))
    assert len(received.started) == len(set(received.deliveries)) == 100
    # Event ids alone are not unique, HubSpot says; an attempt that is repeated is the same event.
    again = [{**changes[0], "attemptNumber": 1}, {**changes[1], "occurredAt": 1767323046000}]
    received = await receive_from(receive, BY_NAME["hubspot"], told(again))
    assert (len(received.started), received.duplicates) == (1, 1)
    mails = [
        {**SENDGRID, "sg_event_id": f"e{number}", "event": "spamreport"} for number in range(3)
    ]
    trigger = sendgrid.event(["spam_report"])
    received = await receive_from(receive, BY_NAME["sendgrid"], told(mails), trigger)
    assert [each.event for each in await received.events()] == ["spam_report"] * 3


@pytest.mark.parametrize(
    "bad",
    ['"a\\ud800"', "9" * 600, "[" * 100_000 + "]" * 100_000, "NaN", '["],[{\\"", NaN]'],
    ids=["half a pair", "digits", "depth", "NaN", "brackets in a text"],
)
@pytest.mark.parametrize("name", ["hubspot", "sendgrid"])
async def test_a_hostile_value_in_a_batch_spoils_no_other_event(
    receive: Receive, name: str, bad: str
):
    plain = HUBSPOT if name == "hubspot" else SENDGRID
    id = "eventId" if name == "hubspot" else "sg_event_id"
    batch = [json.dumps({**plain, id: 100 + number}) for number in range(3)]
    batch.insert(1, json.dumps({**plain, id: 9, "x": 0}).replace('"x": 0', f'"x": {bad}'))
    body = f" [{', '.join(batch)}]\n".encode()
    received = await receive_from(receive, BY_NAME[name], body)
    assert [each.body for each in received.started][1].decode() == batch[1]
    read = [each for each in received.started if each.body.decode() != batch[1]]
    assert [each.json()[id] for each in read] == [100, 101, 102]


def cut_anew(**changes: str | None) -> bytes:
    """Return the form with some fields changed, or left out."""
    form = {**TWILIO, **changes}
    return urlencode({name: value for name, value in form.items() if value is not None}).encode()


SID = TWILIO["MessageSid"]


@pytest.mark.parametrize(
    "body",
    [
        cut_anew(MessageSid=f"{SID}NumMedia0", NumMedia=None),
        cut_anew(MessageSid=None, From=f"+15005550006MessageSid{SID}"),
        cut_anew(Body=None, **{"BodyHelloFrom+15005550006": ""}, From=None),
        cut_anew(Body=None, B="odyHello"),
    ],
    ids=["a longer id", "no id", "no name", "another event"],
)
async def test_a_form_of_twilio_that_was_cut_anew_is_no_other_event(receive: Receive, body: bytes):
    assert (await receive_from(receive, BY_NAME["twilio"])).status == 200
    signed = BY_NAME["twilio"].headers()
    TwilioSignature().verify(
        BY_NAME["twilio"].request({**signed}, body), (BY_NAME["twilio"].secret,), NOW
    )
    received = await receive(
        BY_NAME["twilio"].trigger,
        body,
        headers={"Content-Type": FORM, **signed},
        sign=False,
        secret=BY_NAME["twilio"].secret,
        now=NOW,
    )
    assert len(received.started) == 0
    assert (received.status, received.duplicates) in ((400, 0), (200, 1))


async def test_media_come_with_a_message(receive: Receive):
    form = {**TWILIO, "NumMedia": "1", "MediaUrl0": "https", "MediaContentType0": "image/png"}
    received = await receive_from(receive, BY_NAME["twilio"], urlencode(form).encode())
    [message] = await received.events()
    assert [each.content_type for each in message.media] == ["image/png"]
    assert received.text == "<Response/>"


def test_events_are_offered_and_others_may_be_written() -> None:
    for vendor in VENDORS:
        trigger: Trigger[..., Any] = vendor.trigger.trigger
        offered = trigger.shape.by_name.get("events") or trigger.shape.by_name.get("topics")
        if offered is None:
            continue  # Twilio's messages are of one kind
        schema = json.dumps(offered.adapter.json_schema())
        [named, *_] = vendor.trigger.inputs[offered.name] or ["deal.creation"]
        assert f'"{named}"' in schema
        if vendor.name != "sendgrid":  # its settings have a switch for each
            trigger(["one.that.is.new"])
