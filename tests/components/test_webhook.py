"""Webhooks that are sent, read by strangers' receivers; CloudEvents in and out, by strangers' code."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import standardwebhooks
import svix
from cloudevents.core.bindings import http
from cloudevents.core.v1.event import CloudEvent as TheirEvent
from pydantic import ValidationError

from halflap import (
    CloudEvent,
    Config,
    Context,
    Integration,
    Request,
    StandardWebhooks,
    UpstreamError,
    webhook,
)
from halflap.sdk.request import Headers
from halflap.sdk.signature import new_secret
from halflap.testing import Fake, Receive, Run
from halflap.testing.fake import Sent
from tests.cases import for_each

HOOKS = "https://app.example/hooks"
ADDRESS = f"{HOOKS}?team=7"
OLD, NEW = new_secret(), new_secret()
WHSK = "whsk_" + base64.b64encode(bytes(range(32))).decode()
WHPK = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Settings(Config):
    receiver: webhook.Receiver


integration = Integration("announcements", config=Settings)


@integration.flow(trigger=webhook.request())
async def announce(ctx: Context[Settings], event: dict[str, Any]) -> str:
    """Tell the receiver what came."""
    sent = await webhook.send(
        ctx.config.receiver, "order.paid", {"amount": event["amount"]}, at=NOW
    )
    return sent.id


@integration.flow(trigger=webhook.cloud_event())
async def forward(ctx: Context[Settings], event: CloudEvent) -> list[str]:
    """Hand an event on, in both modes."""
    return [
        (
            await webhook.send_cloud_event(
                ctx.config.receiver,
                event.type,
                event.source,
                event.data,
                subject=event.subject,
                extensions=event.extensions,
                mode=mode,
            )
        ).id
        for mode in ("binary", "structured")
    ]


def receiver(fake: Fake, **fields: Any) -> webhook.Receiver:
    return fake.connection(webhook.Receiver, **{"address": ADDRESS, **fields})


def as_request(sent: Sent) -> Request:
    return Request("POST", "", "", Headers(sent.headers.items()), sent.body, sent.url, NOW)


# ---- Standard Webhooks


async def test_strangers_receivers_take_what_is_sent(fake: Fake, run: Run):
    fake.post(HOOKS, status=202)
    connection = receiver(fake, secret=NEW, former_secret=OLD)
    ran = await run(
        announce, {"amount": Decimal("12.30")}, config={"receiver": connection}, fake=fake
    )
    [sent] = fake.requests
    told = {name.lower(): value for name, value in sent.headers.items()}
    assert told["webhook-id"] == ran.result
    assert sent.url == ADDRESS
    assert (
        sent.body
        == b'{"type":"order.paid","timestamp":"2026-01-02T03:04:05Z","data":{"amount":12.30}}'
    )
    expected = json.loads(sent.body)
    for secret in (OLD, NEW):  # while it is rotated, with either
        assert standardwebhooks.Webhook(secret).verify(sent.body, told) == expected
        svix.Webhook(secret).verify(sent.body, told)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(new_secret()).verify(sent.body, told)
    with pytest.raises(svix.WebhookVerificationError):
        svix.Webhook(NEW).verify(sent.body + b" ", told)


async def test_a_private_key_signs_so_that_everybody_can_verify(fake: Fake):
    fake.post(HOOKS, status=204)
    await webhook.send(receiver(fake, secret=WHSK, former_secret=OLD), "a", None)
    [sent] = fake.requests
    signatures = sent.headers["webhook-signature"].split(" ")
    assert [each.partition(",")[0] for each in signatures] == ["v1a", "v1"]
    for secret in (WHPK, OLD):
        StandardWebhooks().verify(as_request(sent), [secret], datetime.now(UTC))


async def test_every_try_has_the_same_id_and_a_time_of_its_own(fake: Fake, run: Run):
    fake.post(HOOKS, status=500).then(status=503, headers={"Retry-After": "7"}).then(status=200)
    connection = receiver(fake, secret=NEW)
    ran = await run(announce, {"amount": 1}, config={"receiver": connection}, fake=fake)
    assert len(fake.requests) == 3
    assert {each.headers["webhook-id"] for each in fake.requests} == {ran.result}
    assert len({each.body for each in fake.requests}) == 1
    for each in fake.requests:
        StandardWebhooks().verify(as_request(each), [NEW], datetime.now(UTC))
    then, later = (connection.signed(b"{}", "m", NOW + timedelta(seconds=s)) for s in (0, 5))
    assert then["webhook-id"] == later["webhook-id"]
    assert then["webhook-signature"] != later["webhook-signature"]
    assert int(later["webhook-timestamp"]) - int(then["webhook-timestamp"]) == 5


async def test_a_receiver_that_is_gone_is_told_once(fake: Fake, run: Run):
    fake.post(HOOKS, status=410)
    ran = await run(announce, {"amount": 1}, config={"receiver": receiver(fake)}, fake=fake)
    assert ran.outcome.state == "failed"
    assert len(fake.requests) == 1
    assert "webhook-signature" not in fake.requests[0].headers


async def test_a_redirect_is_no_delivery(fake: Fake):
    fake.post(HOOKS, status=302, headers={"Location": "https://elsewhere.example"})
    with pytest.raises(UpstreamError, match="redirect"):
        await webhook.send(receiver(fake, secret=NEW), "a", {}, id="mine")
    assert fake.requests[0].headers["webhook-id"] == "mine"


@for_each("secret", ["plain", "whsec_", "whsec_é", WHPK, "whsk_YWJj"])
def test_a_secret_that_signs_nothing_is_refused(secret: str) -> None:
    with pytest.raises(ValidationError, match="no secret of Standard Webhooks"):
        webhook.Receiver.model_validate({"address": ADDRESS, "secret": secret})


# ---- CloudEvents in


ATTRIBUTES = {"id": "1", "source": "/orders", "type": "order.paid", "subject": "7", "time": NOW}


async def test_events_of_a_strangers_sender_arrive_in_every_mode(receive: Receive):
    made = TheirEvent({**ATTRIBUTES, "traceparent": "00-1"}, {"amount": 12})
    found: list[CloudEvent] = []
    for message in (http.to_binary_event(made), http.to_structured_event(made)):
        received = await receive(webhook.cloud_event(), message.body, headers=message.headers)
        assert (received.status, received.keys) == (200, ["7"])
        # Headers are not signed, so what stands in them does not count alone.
        [delivery] = received.deliveries
        assert (delivery or "").partition("#")[0] == "7:/orders1"
        found += await received.events()
    structured = http.to_structured_event(made).body.decode()
    other = structured.replace('"id": "1"', '"id": "2"').replace('"id":"1"', '"id":"2"')
    batch = {"Content-Type": "application/cloudevents-batch+json"}
    body = f"[{structured},{other},{structured}]"
    received = await receive(webhook.cloud_event(), body, headers=batch)
    assert (received.deliveries, received.duplicates) == (["7:/orders1", "7:/orders2"], 1)
    found += await received.events()
    assert {each.data["amount"] for each in found} == {12}
    assert {each.extensions["traceparent"] for each in found} == {"00-1"}
    assert [each.time for each in found] == [NOW] * 4
    again = await receive(webhook.cloud_event(), "[]", headers=batch)
    assert (again.status, len(again.started)) == (200, 0)


async def test_an_event_that_comes_again_is_a_duplicate(receive: Receive):
    made, trigger = TheirEvent(ATTRIBUTES, {"amount": 12}), webhook.cloud_event()
    changed = TheirEvent(ATTRIBUTES, {"amount": 13})
    binary, structured = http.to_binary_event(made), http.to_structured_event(made)
    for message, count in (
        (binary, 1),
        (binary, 0),
        (structured, 1),
        (structured, 0),
        (http.to_structured_event(changed), 0),  # its source and its id say that it is the same
    ):
        received = await receive(trigger, message.body, headers=message.headers)
        assert (received.status, len(received.started)) == (200, count)


async def test_a_signature_may_be_demanded(receive: Receive):
    message = http.to_binary_event(TheirEvent(ATTRIBUTES, {"amount": 12}))
    trigger = webhook.cloud_event(signature="standard")
    received = await receive(trigger, message.body, headers=message.headers)
    assert received.status == 200
    assert (await receive(trigger, message.body, headers=message.headers, sign=False)).status == 401


async def test_what_is_no_event_is_refused_for_good(receive: Receive):
    told = {f"ce-{name}": "x" for name in ("specversion", "id", "source", "type")}
    for headers, body, status in (
        ({"Content-Type": "application/json"}, "{}", 400),
        (told, "{}", 400),
        ({"Content-Type": "application/cloudevents+json"}, "{", 400),
        ({"Content-Type": "application/cloudevents-batch+json"}, "[1]", 400),
        ({"Content-Type": "application/cloudevents+avro"}, "x", 415),
    ):
        received = await receive(webhook.cloud_event(), body, headers=headers)
        assert (received.status, len(received.started)) == (status, 0), headers
        assert received.reason
        assert received.json["detail"] == received.reason  # a sender can mend it


async def test_what_is_shown_to_be_sent_is_taken(receive: Receive):
    example = webhook.cloud_event.example
    received = await receive(
        webhook.cloud_event(), example.data, headers={"Content-Type": example.content_type}
    )
    [event] = await received.events()
    assert (received.status, event.type) == (200, "example.happened")


async def test_a_sender_that_asks_before_is_given_consent(receive: Receive):
    asked = {"WebHook-Request-Origin": "eventgrid.azure.net", "WebHook-Request-Rate": "120"}

    async def answer(trigger: Any, headers: dict[str, str], **more: Any) -> Any:
        return await receive(trigger, b"", method="OPTIONS", headers=headers, sign=False, **more)

    for trigger in (
        webhook.cloud_event(),
        webhook.cloud_event(signature="standard", origins=("EventGrid.azure.net",)),
    ):
        received = await answer(trigger, asked)
        assert (received.status, list(received.started)) == (200, [])
        assert received.headers["webhook-allowed-origin"] == "eventgrid.azure.net"
        assert received.headers["webhook-allowed-rate"] == "120"
        assert received.headers["allow"] == "POST"
        assert received.noted == ["handshake"]
    received = await answer(webhook.cloud_event(origins=("other.example",)), asked)
    assert received.status == 200
    assert "webhook-allowed-origin" not in received.headers
    received = await answer(webhook.cloud_event(), {})  # whoever asks nothing learns nothing
    assert (received.status, list(received.started)) == (404, [])
    assert (await answer(webhook.request(), asked)).status == 404


# ---- CloudEvents out


async def test_a_strangers_receiver_reads_what_is_sent(fake: Fake, run: Run):
    fake.post(HOOKS, status=200)
    event = CloudEvent(id="1", source="/ordérs", type="order.paid", subject="7", data={"amount": 1})
    event.extensions["traceparent"] = "00-1"
    ran = await run(forward, event, config={"receiver": receiver(fake, secret=NEW)}, fake=fake)
    assert len(set(ran.result)) == 2
    for sent, id in zip(fake.requests, ran.result, strict=True):
        message = http.HTTPMessage({n.lower(): v for n, v in sent.headers.items()}, sent.body)
        found = http.from_http_event(message)
        assert (found.get_id(), found.get_source()) == (id, "/ordérs")
        assert found.get_extension("traceparent") == "00-1"
        assert found.get_data() == {"amount": 1}
        svix.Webhook(NEW).verify(sent.body, dict(message.headers))
