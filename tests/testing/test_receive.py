"""`receive`: what an app sends, through the gateway's own decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from halflap import (
    Component,
    Config,
    Context,
    DefinitionError,
    FlowResult,
    Integration,
    Json,
    MailgunSignature,
    Reply,
    Request,
    StandardWebhooks,
    fifo,
    header,
    imap,
    pointer,
)
from halflap.sdk import codec
from halflap.testing import Receive

shop = Component("shop")
integration = Integration[Config]("shop-orders")


def challenge(request: Request) -> Reply | None:
    asked: str | None = request.json().get("challenge")
    return Reply(200, asked) if asked else None


@shop.trigger(
    verify=StandardWebhooks(),
    handshake=challenge,
    dedupe=header("webhook-id"),
    key=pointer("/id"),
    answer=lambda request: Reply(201, {"got": request.json()["id"]}),
)
async def order(request: Request) -> Json:
    """An order."""
    return request.json()


@shop.trigger(
    split=lambda request: [codec.encode(each) for each in request.json()], key=pointer("/id")
)
async def many(request: Request) -> Json:
    """Many orders."""
    return request.json()


@shop.trigger(answer=FlowResult(within=timedelta(seconds=1)))
async def asked(request: Request) -> Json:
    """A question."""
    return request.json()


@shop.trigger(verify=MailgunSignature())
async def mail(request: Request) -> Json:
    """A mail."""
    return request.json()


@integration.flow(
    trigger=order, filter=lambda request: request.json()["id"] != "dull", keep=["/id"]
)
async def orders(ctx: Context[Config], event: Json) -> None:
    """Take an order."""


@integration.flow(trigger=many, order=fifo(by_key=True))
async def in_order(ctx: Context[Config], event: Json) -> None:
    """Take what comes, one after another."""


@integration.flow(trigger=asked)
async def answered(ctx: Context[Config], event: dict[str, Any]) -> dict[str, Any]:
    """Answer a question."""
    return {"doubled": event["number"] * 2}


async def test_a_signed_request_is_accepted_answered_and_kept(receive: Receive) -> None:
    received = await receive(orders, {"id": "o1", "card": "4111"}, id="msg_9")
    assert (received.status, received.json) == (201, {"got": "o1"})
    assert (received.keys, received.deliveries) == (["o1"], ["msg_9"])
    assert await received.events() == [{"id": "o1"}]


async def test_the_same_delivery_starts_once(receive: Receive) -> None:
    assert len((await receive(orders, {"id": "a"})).started) == 1
    again = await receive(orders, {"id": "a"})
    assert (again.status, list(again.started), again.duplicates) == (201, [], 1)
    assert len((await receive(orders, {"id": "a"}, id="msg_2")).started) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sign": False}, "webhook-"),
        ({"sign": "whsec_b3RoZXI="}, "signature"),
        ({"signed_at": datetime(2025, 12, 31, tzinfo=UTC)}, "86400 s old"),
    ],
)
async def test_what_is_not_genuine_is_rejected(
    receive: Receive, options: dict[str, Any], reason: str
) -> None:
    received = await receive(orders, {"id": "o1"}, **options)
    assert (received.status, list(received.started)) == (401, [])
    assert reason in received.reason.lower()
    assert reason not in received.text.lower()


async def test_a_challenge_is_answered_and_starts_nothing(receive: Receive) -> None:
    received = await receive(order, {"challenge": "abc"})
    assert (received.text, list(received.started), received.noted) == ("abc", [], ["handshake"])


async def test_what_a_flow_filters_is_counted(receive: Receive) -> None:
    received = await receive(orders, {"id": "dull"})
    assert (received.status, list(received.started), received.noted) == (201, [], ["filtered"])


async def test_one_request_may_hold_many_events(receive: Receive) -> None:
    received = await receive(many, [{"id": 1}, {"id": 2}])
    assert (received.keys, [each.part for each in received.started]) == (["1", "2"], [0, 1])


async def test_each_event_shows_the_order_that_it_is_in(receive: Receive) -> None:
    received = await receive(in_order, [{"id": 1}, {"id": 2}, {"id": 1}])
    one, two, again = [each.key if each else None for each in received.orders]
    assert (one, two, again) == ("1", "2", "1")
    assert list((await receive(many, [{"id": 1}])).orders) == [None]


async def test_a_flows_result_is_the_answer(receive: Receive) -> None:
    assert (await receive(answered, {"number": 21})).json == {"doubled": 42}
    assert (await receive(answered, {"number": None})).status == 500


async def test_a_method_that_is_not_taken_is_not_found(receive: Receive) -> None:
    assert (await receive(many, [], method="GET")).status == 404


async def test_forms_bytes_and_own_headers_are_sent_as_they_are(receive: Receive) -> None:
    received = await receive(many, form={"a": ["1", "2"]}, headers={"X-One": "é"})
    assert received.started[0].form() == {"a": ["1", "2"]}
    assert received.started[0].headers["x-one"] == "é"
    assert (await receive(many, b"\xff")).started[0].body == b"\xff"


async def test_a_layout_that_signs_inside_the_body_is_signed_by_the_test(receive: Receive) -> None:
    with pytest.raises(DefinitionError, match="sign it there"):
        await receive(mail, {})
    assert (await receive(mail, {}, sign=False)).status == 401


async def test_what_no_url_calls_is_tested_in_another_way(receive: Receive) -> None:
    with pytest.raises(DefinitionError, match=r"not called by a URL: run\(flow"):
        await receive(imap.message(folder="INBOX"), b"From: a")
