"""Amazon SNS: what the emulator of another project signed, what nobody signed, and the API's actions.

The messages are recorded (`tests/localstack.py`); `test_sns_emulator.py` has the emulator itself.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import trustme
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from halflap import (
    Config,
    Context,
    DefinitionError,
    Ignore,
    Integration,
    RateLimited,
    Rejected,
    Reply,
    Unauthorized,
    UpstreamError,
    sns,
)
from halflap.components.aws.signing import AwsKeys, sign
from halflap.components.sns import _envelope
from halflap.sdk.connection import Link
from halflap.sdk.egress import Egress, Policy
from halflap.testing import Fake, Receive
from tests.bucket import server
from tests.cases import for_each

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "sns_messages.json").read_text("utf-8")
)
MESSAGES: dict[str, Any] = RECORDED["messages"]
SIGNED = [name for name in MESSAGES if name != "raw plain"]
PEM_URL: str = RECORDED["certificate"]["url"]
HOME = "https://sns.us-east-1.amazonaws.com"
TOPIC = "arn:aws:sns:us-east-1:000000000000:orders"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_certificates() -> None:
    _envelope._certificates.clear()


@cache
def own_key() -> tuple[rsa.RSAPrivateKey, str]:
    """A key of our own and its certificate, as anybody can make them."""
    day = timedelta(days=1)
    issued = trustme.CA().issue_cert(
        "sns.amazonaws.com",
        not_before=NOW - day,
        not_after=NOW + day,
        key_type=trustme.KeyType.RSA,
    )
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    return cast("rsa.RSAPrivateKey", key), issued.cert_chain_pems[0].bytes().decode()


def message(**changed: Any) -> dict[str, Any]:
    """A message that our own key signs; None leaves a field out."""
    fields: dict[str, Any] = {
        "Type": "Notification",
        "MessageId": "6f0d9b5e-0000-4000-8000-000000000001",
        "TopicArn": TOPIC,
        "Subject": "An order",
        "Message": '{"id": 7}',
        "Timestamp": NOW.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "SignatureVersion": "2",
        "SigningCertURL": f"{HOME}/SimpleNotificationService-1.pem",
        **changed,
    }
    fields = {name: value for name, value in fields.items() if value is not None}
    hashed = SHA1() if fields["SignatureVersion"] == "1" else SHA256()
    signed = _envelope.canonical(fields)
    fields.setdefault(
        "Signature",
        base64.b64encode(own_key()[0].sign(signed, padding.PKCS1v15(), hashed)).decode(),
    )
    return fields


def connected(fake: Fake, pem: str | None = None) -> sns.Sns:
    """A connection whose API has the certificate of our own key, or another one."""
    fake.get(
        "/SimpleNotificationService-1.pem", answers=Reply(200, own_key()[1] if pem is None else pem)
    )
    return fake.connection(sns.Sns, region="us-east-1", endpoint_url=None)


# What SNS sends ---------------------------------------------------------------------------------


async def taken(receive: Receive, name: str, **more: Any) -> Any:
    """A recorded message at a flow of its topic, when it was sent."""
    sent = MESSAGES[name]
    told = json.loads(sent["body"]) if name in SIGNED else {}
    topic = told.get("TopicArn") or sent["headers"]["x-amz-sns-topic-arn"]
    now = datetime.fromisoformat(told["Timestamp"]) if told else NOW
    trigger = sns.notification(topic=topic, **more)
    return await receive(trigger, sent["body"], headers=sent["headers"], now=now)


async def admitted(fake: Fake, received: Any) -> Ignore | None:
    """Return what the execution of an accepted message makes of it, before its flow runs."""
    fake.get(PEM_URL, answers=Reply(200, RECORDED["certificate"]["pem"]))
    aws = fake.connection(sns.Sns, region="us-east-1", endpoint_url=RECORDED["endpoint"])
    (started,) = received.started
    return await received.trigger.admit(aws, started)


@pytest.mark.parametrize("version", ["1", "2"])
async def test_what_a_topic_sends_is_verified_and_read(
    receive: Receive, fake: Fake, version: str
) -> None:
    events: dict[str, sns.Notification] = {}
    for kind in ("plain", "subject", "unicode", "attributes"):
        received = await taken(receive, f"{version} {kind}")
        assert received.status == 200
        assert json.loads(MESSAGES[f"{version} {kind}"]["body"])["SignatureVersion"] == version
        assert await admitted(fake, received) is None
        (events[kind],) = await received.events()
    assert len(fake.requests) == 1  # the certificate, once for all
    assert events["plain"].message == "hello"
    assert (events["plain"].data, events["plain"].subject) == (None, None)
    assert events["subject"].subject == "An order"
    assert events["subject"].data == {"id": 9007199254740993}
    assert events["unicode"].message == "Grüße,\nzwei Zeilen 🚚"
    found = events["attributes"].attributes
    assert {name: (each.type, each.value) for name, each in found.items()} == {
        "kind": ("String", "order"),
        "size": ("Number", "3"),
    }


@pytest.mark.parametrize("kind", ["1", "2", "raw"])
async def test_the_configured_topic_is_confirmed_by_the_api_alone(
    receive: Receive, fake: Fake, kind: str
) -> None:
    answered = fake.post("/", answers=Reply(200, "<ConfirmSubscriptionResponse/>"))
    received = await taken(receive, f"{kind} confirmation", raw=kind == "raw")
    ignored = await admitted(fake, received)
    assert isinstance(ignored, Ignore)
    told = json.loads(MESSAGES[f"{kind} confirmation"]["body"])
    (asked,) = answered.requests
    assert asked.form == {
        "Action": "ConfirmSubscription",
        "Version": "2010-03-31",
        "TopicArn": told["TopicArn"],
        "Token": told["Token"],
        "AuthenticateOnUnsubscribe": "true",
    }
    assert [each.method for each in fake.requests] == ["GET", "POST"]  # SubscribeURL is not called


async def test_a_subscription_that_others_ended_fails_and_says_what_to_do(
    receive: Receive, fake: Fake
) -> None:
    received = await taken(receive, "2 end")
    with pytest.raises(UpstreamError, match="activate the instance again"):
        await admitted(fake, received)


async def test_a_raw_message_is_taken_where_the_trigger_says_so(receive: Receive) -> None:
    refused = await taken(receive, "raw plain")
    assert (refused.status, len(refused.started)) == (401, 0)
    received = await taken(receive, "raw plain", raw=True)
    assert received.deliveries == [MESSAGES["raw plain"]["headers"]["x-amz-sns-message-id"]]
    (event,) = await received.events()
    assert (event.message, event.timestamp) == ("Grüße, roh", NOW)
    aws = Fake().connection(sns.Sns, region="us-east-1")
    assert await received.trigger.admit(aws, received.started[0]) is None


async def test_a_message_that_comes_again_is_one_event(receive: Receive) -> None:
    trigger = sns.notification(topic=TOPIC)
    first = await receive(trigger, message(), now=NOW)
    again = await receive(trigger, message(), now=NOW + timedelta(minutes=59))
    assert (len(first.started), len(again.started), again.duplicates) == (1, 0, 1)


async def test_a_forged_message_does_not_take_the_place_of_the_genuine_one(
    receive: Receive,
) -> None:
    trigger = sns.notification(topic=TOPIC)
    forged = await receive(trigger, message(Message="forged"), now=NOW)
    genuine = await receive(trigger, message(), now=NOW)
    assert (len(forged.started), len(genuine.started)) == (1, 1)


async def test_a_flows_filter_is_not_asked_about_the_confirmation(receive: Receive) -> None:
    integration: Integration[Config] = Integration("filtered")

    @integration.flow(trigger=sns.notification(topic=TOPIC), filter=lambda request: False)
    async def never(ctx: Context[Config], event: sns.Notification) -> None: ...

    asked = {"Type": "SubscriptionConfirmation", "Token": "t", "SubscribeURL": "https://x"}
    confirmation = await receive(never, message(**asked, Subject=None), now=NOW)
    published = await receive(never, message(), now=NOW)
    assert (len(confirmation.started), len(published.started)) == (1, 0)
    assert published.noted == ["filtered"]
    with pytest.raises(DefinitionError, match="keep="):

        @integration.flow(trigger=sns.notification(topic=TOPIC), keep=["/Message"])
        async def cut(ctx: Context[Config], event: sns.Notification) -> None: ...


# What it does not send --------------------------------------------------------------------------


@for_each(
    ("body", "status"),
    [
        (message(TopicArn=f"{TOPIC}2"), 401),
        (message(TopicArn=TOPIC.replace("000000000000", "000000000001")), 401),
        (message(TopicArn=""), 401),
        (message(Timestamp="2026-01-01T10:49:59.000Z"), 401),
        (message(Timestamp="2026-01-01T12:06:00.000Z"), 401),
        (message(Timestamp="2026-01-01T12:00:00"), 401),
        (message(Timestamp="soon"), 400),
        ({**message(), "Type": "Order"}, 400),
        ({**message(), "Type": ["Notification"]}, 400),
        ({**message(), "Message": {"id": 7}}, 400),
        ({**message(), "Subject": 7}, 400),
        ({**message(), "Signature": None}, 400),
        ({**message(), "SigningCertURL": ["x"]}, 400),
        ({**message(), "MessageId": None}, 400),
        (json.dumps(message())[:-1], 400),
        (json.dumps(message())[: len(json.dumps(message())) // 2], 400),
        ("", 400),
        ("[]", 400),
        ("null", 400),
        (b"\xff\xfe", 400),
        ("[" * 100_000, 400),
    ],
)
async def test_what_is_not_of_the_topic_is_refused_before_it_is_kept(
    receive: Receive, body: Any, status: int
) -> None:
    received = await receive(sns.notification(topic=TOPIC), body, now=NOW)
    assert (received.status, len(received.started)) == (status, 0)
    assert TOPIC not in received.text


async def outcome(fake: Fake, receive: Receive, told: dict[str, Any], aws: sns.Sns) -> None:
    received = await receive(sns.notification(topic=TOPIC), told, now=NOW)
    assert received.status == 200
    await received.trigger.admit(aws, received.started[0])


async def test_a_forged_copy_does_not_take_the_place_of_the_genuine_message(
    receive: Receive,
) -> None:
    trigger = sns.notification(topic=TOPIC)
    forged = (
        {"Signature": "AAAA"},
        {"SigningCertURL": "https://x/y.pem"},
        {"SignatureVersion": "1"},
    )
    for change in ({}, *forged):
        received = await receive(trigger, {**message(), **change}, now=NOW)
        assert (len(received.started), received.duplicates) == (1, 0), change
    received = await receive(trigger, message(), now=NOW)
    assert (len(received.started), received.duplicates) == (0, 1)


async def test_our_own_messages_are_taken_as_they_are(receive: Receive, fake: Fake) -> None:
    for version in ("1", "2"):  # the control of what follows
        await outcome(fake, receive, message(SignatureVersion=version), connected(fake))


@for_each(
    "changed",
    [
        {"Message": "other"},
        {"MessageId": "other"},
        {"Subject": "other"},
        {"Subject": None},
        {"Timestamp": "2026-01-01T12:00:01.000Z"},
        {"Type": "UnsubscribeConfirmation", "Token": "t", "SubscribeURL": "https://x"},
        {"Type": "SubscriptionConfirmation", "Token": "t", "SubscribeURL": "https://x"},
        {"SignatureVersion": "1"},
        {"SignatureVersion": "3"},
        {"Signature": ""},
        {"Signature": "AAAA"},
        {"Signature": "not base64"},
    ],
)
async def test_what_was_changed_after_it_was_signed_is_rejected(
    receive: Receive, fake: Fake, changed: dict[str, Any]
) -> None:
    told = {**message(), **changed}
    with pytest.raises(Rejected):
        await outcome(fake, receive, told, connected(fake))
    assert not any(each.method == "POST" for each in fake.requests)


@for_each(
    "url",
    [
        "https://evil.example/SimpleNotificationService-1.pem",
        "http://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.us-east-1.amazonaws.com.evil.example/SimpleNotificationService-1.pem",
        "https://sns.us-east-1.amazonaws.com@evil.example/SimpleNotificationService-1.pem",
        "https://sns.us-east-1.amazonaws.com:8443/SimpleNotificationService-1.pem",
        "https://evil.example/https://sns.us-east-1.amazonaws.com/1.pem",
        f"{HOME}/../evil.pem",
        f"{HOME}//evil.example/1.pem?x=.pem",
        f"{HOME}/1.pem#x",
        f"{HOME}/?Action=x&y=.pem",
        f"{HOME}/SimpleNotificationService-1.txt",
        f"{HOME}\\@evil.example/1.pem",
        "file:///etc/ssl/1.pem",
        "",
    ],
)
async def test_a_certificate_of_anywhere_else_is_not_fetched(
    receive: Receive, fake: Fake, url: str
) -> None:
    with pytest.raises(Rejected, match="certificate"):
        await outcome(fake, receive, message(SigningCertURL=url), connected(fake))
    assert fake.requests == []


async def test_the_key_of_another_certificate_is_rejected(receive: Receive, fake: Fake) -> None:
    other = RECORDED["certificate"]["pem"]
    with pytest.raises(Rejected):
        await outcome(fake, receive, message(), connected(fake, other))


@pytest.mark.parametrize("pem", ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
async def test_what_is_no_certificate_is_rejected(receive: Receive, fake: Fake, pem: str) -> None:
    with pytest.raises(Rejected, match="There is no certificate"):
        await outcome(fake, receive, message(), connected(fake, pem))


async def test_a_certificate_that_has_ended_is_rejected(receive: Receive, fake: Fake) -> None:
    later = NOW + timedelta(days=2)
    told = message(Timestamp=later.isoformat())
    received = await receive(sns.notification(topic=TOPIC), told, now=later)
    with pytest.raises(Rejected, match="not valid"):
        await received.trigger.admit(connected(fake), received.started[0])


async def test_a_redirect_to_a_certificate_is_not_followed(receive: Receive, fake: Fake) -> None:
    aws = fake.connection(sns.Sns, region="us-east-1", endpoint_url=None)
    elsewhere = Reply(302, b"", {"Location": "https://evil.example/1.pem"})
    fake.get("/SimpleNotificationService-1.pem", answers=elsewhere)
    with pytest.raises(UpstreamError, match="redirect"):
        await outcome(fake, receive, message(), aws)
    assert len(fake.requests) == 1


def test_a_fifo_topic_calls_no_url() -> None:
    with pytest.raises(DefinitionError, match="FIFO"):
        sns.notification(topic=f"{TOPIC}.fifo")
    with pytest.raises(DefinitionError, match="topic"):
        sns.notification(topic="orders")


# The API ----------------------------------------------------------------------------------------


@for_each("token", [None, "session"])
def test_requests_are_signed_as_amazons_own_client_signs_them(token: str | None) -> None:
    keys = AwsKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "sns", "eu-central-1", token)
    for method, url, headers, body in (
        (
            "POST",
            "https://sns.eu-central-1.amazonaws.com/",
            {"Content-Type": "a/b; c=d"},
            b"A=1&B=%20",
        ),
        ("GET", "https://sns.eu-central-1.amazonaws.com/?b=2&a=1&a=%C3%A9&c=", {}, b""),
        ("GET", "http://127.0.0.1:4566/a/b-c_d.e~f", {"X-Two": "  a   b "}, b""),
    ):
        ours = sign(keys, method, url, headers, body, datetime.now(UTC))
        theirs = AWSRequest(method, url, headers={**headers}, data=body)
        signer = SigV4Auth(
            Credentials(keys.access_key_id, keys.secret_access_key, token), "sns", keys.region
        )
        theirs.headers["X-Amz-Date"] = ours["X-Amz-Date"]
        theirs.context["timestamp"] = ours["X-Amz-Date"]
        if token is not None:
            theirs.headers["X-Amz-Security-Token"] = token
        canonical = signer.canonical_request(theirs)
        signature = signer.signature(signer.string_to_sign(theirs, canonical), theirs)
        assert ours["Authorization"].rpartition("=")[2] == signature, url


@pytest.fixture
def moto() -> sns.Sns:
    """A connection to a server of another project that has topics."""
    fields: dict[str, Any] = {"access_key_id": "test", "secret_access_key": "test"}
    made = sns.Sns(**fields, endpoint_url=server())
    made._link = Link("aws", egress=Egress(Policy(allow=("127.0.0.1",))))
    return made


async def test_topics_are_listed_subscribed_published_to_and_left(moto: sns.Sns) -> None:
    await moto.test()
    for number in range(101):  # more than a page
        topic = sns.text(await moto.call("CreateTopic", {"Name": f"t{number}"}), "TopicArn")
    assert len(await sns.list_topics(moto)) == 101
    url = "https://halflap.example/hooks/1"
    policy = {"kind": ["order"]}
    made = await sns.subscribe(moto, topic, "https", url, filter_policy=policy)
    again = await sns.subscribe(moto, topic, "https", url, raw=True)
    assert (await sns.list_subscriptions(moto, topic)) == [again]
    assert made.arn == again.arn
    attributes = await moto.call("GetSubscriptionAttributes", {"SubscriptionArn": made.arn})
    found = {sns.text(e, "key"): sns.text(e, "value") for e in attributes.iterfind(".//{*}entry")}
    assert (found["RawMessageDelivery"], found["FilterPolicy"]) == ("true", "{}")
    await sns.unsubscribe(moto, made.arn)
    await sns.unsubscribe(moto, made.arn)
    assert await sns.list_subscriptions(moto, topic) == []
    published = await sns.publish(moto, topic, "Grüße & 🚚", "S", {"kind": "order", "size": 3})
    assert published.message_id


def refused(code: str) -> str:
    return (
        '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type>'
        f"<Code>{code}</Code><Message>because</Message></Error></ErrorResponse>"
    )


@for_each(
    ("status", "body", "kind"),
    [
        (403, refused("InvalidClientTokenId"), Unauthorized),
        (403, refused("SignatureDoesNotMatch"), Unauthorized),
        (400, refused("Throttling"), RateLimited),
        (404, refused("NotFound"), UpstreamError),
        (503, "<html>", UpstreamError),
        (400, "<!DOCTYPE x><a/>", UpstreamError),
    ],
)
async def test_a_refusal_is_the_error_that_it_means(
    fake: Fake, status: int, body: str, kind: type[UpstreamError]
) -> None:
    aws = fake.connection(sns.Sns, region="us-east-1", endpoint_url=None)
    fake.post("/", answers=Reply(status, body))
    with pytest.raises(UpstreamError) as caught:
        await sns.publish(aws, TOPIC, "hello")
    assert type(caught.value) is kind
    if "<Code>" in body:
        assert "because" in caught.value.message


async def test_keys_that_may_not_list_topics_are_good_keys(fake: Fake) -> None:
    aws = fake.connection(sns.Sns, region="us-east-1", endpoint_url=None)
    fake.post("/", answers=Reply(403, refused("AuthorizationError")))
    await aws.test()
