"""The product's events, published for a customer: to the flows of its instances that take them."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from halflap.export import EventTypes, ProductEvent, Publisher, UpstreamError
from halflap.model import CustomerLimits
from tests.api.conftest import Client
from tests.cases import for_each
from tests.export.conftest import ON_BOTH_STORES, ORDERS, OrderCreated, OrderPaid, Product, types
from tests.polling import until
from tests.zygote import PYTHON

WAITING = f'''{ORDERS}
from datetime import timedelta

from halflap import Deployment, instance


@integration.flow(trigger=instance.deploy)
async def deploy(ctx: Context[Settings], _: Deployment) -> None:
    """Wait until somebody says that it goes on."""
    await ctx.wait_for("go", timeout=timedelta(seconds=60))
'''


def order(id: str = "o-1", total: str = "22.10") -> dict[str, str]:
    return {"id": id, "total": total}


@ON_BOTH_STORES
async def test_an_event_starts_the_flows_of_that_customer_that_take_its_type(
    product: Product,
) -> None:
    for name in ("ada", "bob"):
        await product.instance(await product.customer(name))
    async with product.publisher() as publisher:
        first = await publisher.publish("t-ada", OrderCreated(id="o-1", total=Decimal("22.10")))
        second = await publisher.publish("t-ada", OrderPaid(id="o-1"))
    assert len(first.executions) == 2
    assert len(second.executions) == 1
    results = [
        ["ada", first.id, "o-1", Decimal("22.10"), "o-1"],
        ["order.created", {"id": "o-1", "total": "22.10"}],
        ["order.paid", {"id": "o-1"}],
    ]
    assert sorted(await product.results(), key=str) == results
    found = await product.api.items("/api/executions", key="o-1")
    assert len(found) == 3
    quiet = await product.publish("ada", data=order("o-quiet"))  # which a flow's filter leaves out
    assert len(quiet.json["executions"]) == 1


async def test_an_event_with_a_known_key_is_the_same_one(product: Product) -> None:
    await product.instance(await product.customer("ada"))
    answers = [await product.publish("ada", data=order(), idempotency_key="k") for _ in range(3)]
    assert [each.status for each in answers] == [202] * 3
    assert len({each.json["id"] for each in answers}) == 1
    assert len({tuple(each.json["executions"]) for each in answers}) == 1
    assert [each.json["duplicate"] for each in answers] == [False, True, True]
    header = await product.api(
        "POST",
        "/api/customers/external:t-ada/events",
        {"type": "order.created", "data": order()},
        headers={"idempotency-key": "k"},
    )
    assert header.json == answers[1].json
    other = await product.publish("ada", data=order("o-2"), idempotency_key="k")
    assert (other.status, other.json["kind"]) == (409, "Conflict")
    # It stays the same one once its type has another version.
    newer = {"name": "order.created", "version": 2, "schema": {"type": "object"}}
    declared = await product.api("PUT", "/api/event-types", {"types": [newer]})
    assert declared.status == 200
    again = await product.publish("ada", data=order(), idempotency_key="k")
    assert (again.status, again.json) == (202, {**answers[1].json, "version": 2})
    assert len(await product.results()) == 2
    await product.customer("bob")
    assert (await product.publish("bob", data=order(), idempotency_key="k")).json[
        "executions"
    ] == []


async def test_an_event_that_nobody_took_is_taken_once_by_a_listener_that_came_since(
    product: Product,
) -> None:
    ada = await product.customer("ada")
    event = {"data": order(), "idempotency_key": "k"}
    first = await product.publish("ada", **event)
    assert (first.json["executions"], first.json["duplicate"]) == ([], False)
    await product.instance(ada)
    again = await product.publish("ada", **event)
    assert (again.json["id"], again.json["duplicate"]) == (first.json["id"], False)
    assert len(again.json["executions"]) == 2
    url = {"url": "http://127.0.0.1:9999/hooks"}
    assert (await product.api("POST", "/api/customers/ada/receivers", url)).status == 201
    third = await product.publish("ada", **event)  # for the receiver alone
    assert set(again.json["executions"]) < set(third.json["executions"])
    assert (len(third.json["executions"]), third.json["duplicate"]) == (3, False)
    for _ in range(3):
        repeated = await product.publish("ada", **event)
        assert (repeated.json["executions"], repeated.json["duplicate"]) == (
            third.json["executions"],
            True,
        )
    assert len(await product.results(flow="created")) == 1
    assert len(await product.results(flow="anything")) == 1


async def test_nothing_is_started_where_a_key_has_other_contents(product: Product) -> None:
    customer = await product.customer("ada")
    await product.instance(customer)
    assert (await product.publish("ada", data=order(), idempotency_key="k")).status == 202

    def event(id: str, key: str) -> dict[str, Any]:
        return {"type": "order.created", "data": order(id), "idempotency_key": key}

    path = "/api/customers/external:t-ada/events/batch"
    for events in (
        [event("o-2", "k2"), event("o-9", "k")],
        [event("o-5", "k5"), event("o-6", "k5")],
    ):
        assert (await product.api("POST", path, {"events": events})).status == 409
    draft = {"customer": customer, "integration": "orders", "name": "since"}
    since = await product.activate((await product.api("POST", "/api/instances", draft)).json)
    assert (await product.publish("ada", data=order("o-9"), idempotency_key="k")).status == 409
    assert len(await product.results()) == 2
    assert await product.results(instance=since["id"]) == []
    again = await product.publish("ada", data=order(), idempotency_key="k")
    assert (again.status, again.json["duplicate"]) == (202, False)
    assert len(await product.results()) == 4
    assert len(await product.results(instance=since["id"])) == 2


@ON_BOTH_STORES
async def test_of_many_at_once_with_one_key_the_contents_of_one_are_started(
    product: Product,
) -> None:
    await product.instance(await product.customer("ada"))

    async def published(key: str, contents: int) -> list[Any]:
        ids = [f"o-{n % contents}" for n in range(20)]
        same = {"idempotency_key": key}
        return await asyncio.gather(
            *(product.publish("ada", data=order(each), **same) for each in ids)
        )

    answers = await published("k1", 1)
    assert len({tuple(each.json["executions"]) for each in answers}) == 1
    assert len(await product.results()) == 2
    answers = await published("k2", 5)
    assert sorted(each.status for each in answers) == [202] * 4 + [409] * 16
    assert len(await product.results()) == 4


@ON_BOTH_STORES
async def test_a_batch_is_accepted_whole_and_in_its_order_or_not_at_all(product: Product) -> None:
    await product.instance(await product.customer("ada"))
    path = "/api/customers/external:t-ada/events/batch"
    events = [
        {"type": "order.created", "data": order(f"o-{n}"), "subject": "same"} for n in range(30)
    ]
    wrong = [
        *events,
        {"type": "order.created", "data": {"id": "o-x"}},
        {"type": "order.lost", "data": 1},
    ]
    refused = await product.api("POST", path, {"events": wrong})
    assert refused.status == 422
    assert set(refused.json["fields"]) == {"events.30.data", "events.31.type"}
    assert await product.results() == []
    taken = await product.api("POST", path, {"events": events})
    assert taken.status == 202
    results = await product.results(flow="created")
    assert [each[2] for each in results] == [f"o-{n}" for n in range(30)]
    many = await product.api("POST", path, {"events": events * 4})
    assert many.status == 422


@pytest.fixture
async def listening(product: Product, ada: str) -> None:
    """An instance of `ada` that listens."""
    await product.instance(ada)


@pytest.mark.usefixtures("listening")
@for_each(
    ("event", "field"),
    [
        ({"data": {"id": "o-1"}}, "data"),
        ({"data": {"id": 1, "total": "1"}}, "data.id"),
        ({"data": order() | {"note": "x" * 300_000}}, "data"),
        ({"data": order(), "type": "order.unknown"}, "type"),
        ({"data": order(), "version": 9}, "type"),
        ({"data": order(), "type": "no type"}, "type"),
        ({"data": order(), "timestamp": "2026-01-01T00:00:00"}, "timestamp"),
        ({"data": order(), "timestamp": "0001-01-01T00:00:00+23:59"}, "timestamp"),
        ({"data": order(), "timestamp": "9999-12-31T23:59:59-23:59"}, "timestamp"),
        ({"data": order(), "idempotency_key": "k" * 300}, "idempotency_key"),
        ({"data": order(), "more": 1}, "more"),
    ],
)
async def test_what_does_not_fit_is_refused_by_its_field(
    product: Product, event: dict[str, Any], field: str
) -> None:
    answer = await product.publish("ada", **event)
    assert (answer.status, list(answer.json["fields"])) == (422, [field]), answer.body
    assert await product.results() == []


async def test_numbers_keep_their_digits(product: Product) -> None:
    await product.api(
        "PUT", "/api/event-types", {"types": [{"name": "order.weighed", "schema": {}}]}
    )
    await product.instance(await product.customer("ada"))
    data = {"id": "o", "weight": Decimal("0.12345678901234567890"), "n": 2**70}
    await product.publish("ada", type="order.weighed", data=data)
    assert await product.results() == [["order.weighed", data]]


async def test_what_comes_while_an_instance_is_activated_waits_for_it(product: Product) -> None:
    await product.integration(WAITING)
    made = await product.instance(await product.customer("ada"), active=False)
    assert (await product.publish("ada", data=order())).json["executions"] == []
    activating = await product.api("POST", f"/api/instances/{made['id']}/activate", wait=0)
    assert activating.json["state"] == "activating"
    answer = await product.publish("ada", data=order())
    assert len(answer.json["executions"]) == 2
    held = await product.api.get(f"/api/executions/{answer.json['executions'][0]}")
    assert held["state"] == "queued"
    deployment = (await product.api.get(f"/api/instances/{made['id']}"))["deployment"]
    signalled = f"/api/executions/{deployment}/signals/go"

    async def is_signalled() -> bool:  # once it has begun
        return (await product.api("POST", signalled, {})).status == 200

    await until(is_signalled)
    assert len(await product.results(flow="created")) == 1
    disabled = await product.api("POST", f"/api/instances/{made['id']}/disable", wait=9)
    assert disabled.json["state"] == "disabled"
    assert (await product.publish("ada", data=order())).json["executions"] == []


async def test_a_flow_of_events_has_no_url(product: Product) -> None:
    instance = await product.instance(await product.customer("ada"))
    assert instance["urls"] == {}
    endpoints = await product.host.store.catalogue.endpoints.of_instance(instance["id"])
    for method in ("POST", "PUBLISH"):
        answer = await product.api(
            method,
            f"/hooks/{endpoints['created'].id}",
            {"id": "e", "type": "order.created"},
            token=None,
        )
        assert answer.status == 404, method
    assert await product.results() == []


async def test_a_customer_with_a_full_backlog_is_told_to_wait(product: Product) -> None:
    id = await product.customer("ada")
    instance = await product.instance(id)
    await product.api("POST", f"/api/instances/{instance['id']}/pause", {})
    await product.host.operations.limit(id, CustomerLimits(backlog=4))
    assert [(await product.publish("ada", data=order())).status for _ in range(2)] == [202, 202]
    product.host.engine.backlog.forget(id)
    answer = await product.publish("ada", data=order())
    assert (answer.status, answer.json["kind"]) == (429, "Backlogged")
    assert int(answer.headers["retry-after"]) > 0


async def test_the_right_to_publish_is_one_of_its_own(product: Product) -> None:
    await product.instance(await product.customer("ada"))
    made = await product.api("POST", "/api/keys", {"name": "product", "rights": ["events"]})
    key = Client(product.host, made.json["key"])
    path = "/api/customers/external:t-ada/events"
    draft = {"type": "order.created", "data": order()}
    assert (await key("POST", path, draft)).status == 202
    assert (await key("GET", "/api/executions")).status == 403
    other = await product.api("POST", "/api/keys", {"name": "other", "rights": ["read", "operate"]})
    assert (await Client(product.host, other.json["key"])("POST", path, draft)).status == 403
    token = await product.api("POST", "/api/tokens", {"customer": "ada", "access": "secrets"})
    assert (await Client(product.host, token.json["token"])("POST", path, draft)).status == 403


def publish_blocking(url: str, key: str) -> list[Any]:
    with Publisher(url, key, types) as publisher:
        publisher.declare()
        first = publisher.publish("t-ada", OrderCreated(id="o-1", total=Decimal(1)), key="k")
        again = publisher.publish("t-ada", OrderCreated(id="o-1", total=Decimal(1)), key="k")
        events = [ProductEvent("order.paid", f'{{"id": "o-{n}"}}', f"k{n}") for n in range(150)]
        many = publisher.publish_all("t-ada", [*events, OrderPaid(id="o-150")])
        with pytest.raises(UpstreamError, match=r"404.*t-nobody") as missing:
            publisher.publish("t-nobody", OrderPaid(id="o"))
        return [first, again, many, missing.value.retryable]


async def test_a_blocking_client_does_the_same(product: Product) -> None:
    await product.instance(await product.customer("ada"))
    first, again, many, retryable = await asyncio.to_thread(
        publish_blocking, product.url, "the-token-of-these-tests"
    )
    assert (first.duplicate, again.duplicate, first.executions) == (False, True, again.executions)
    assert len({each.id for each in many}) == 151
    assert not retryable


FORKED = """
import os, sys
from halflap.export import ProductEvent, Publisher

publisher = Publisher(sys.argv[1], "k")
publisher.publish_all("a", [ProductEvent("a", "1", "before")])
child = os.fork()
if child:
    os.waitpid(child, 0)
publisher.publish_all("a", [ProductEvent("a", "1", "parent" if child else "child")])
"""


LOOPS = """
import asyncio, sys
from halflap.export import AsyncPublisher, ProductEvent

publisher = AsyncPublisher(sys.argv[1], "k")
for key in ("before", "parent", "child"):
    asyncio.run(publisher.publish("a", ProductEvent("a", "1", key)))
asyncio.run(publisher.close())
"""


async def connections_of(program: str) -> dict[str, object]:
    """Return by which connection a program, given a server's URL, sent each event, by its key."""
    connections: dict[str, object] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            head = line + await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            [sent] = json.loads(await reader.readexactly(length))["events"]
            connections[sent["idempotency_key"]] = writer
            body = b'{"events": [{"id": "e", "executions": [], "duplicate": false}]}'
            writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        process = await asyncio.create_subprocess_exec(PYTHON, "-c", program, url)
        assert await process.wait() == 0
    return connections


async def test_a_fork_has_a_connection_of_its_own() -> None:
    """Two processes on one connection would read each other's answers."""
    connections = await connections_of(FORKED)
    assert connections["parent"] is connections["before"]
    assert connections["child"] is not connections["before"]


async def test_an_event_loop_after_another_has_a_connection_of_its_own() -> None:
    assert len({*(await connections_of(LOOPS)).values()}) == 3


async def test_a_class_that_is_not_declared_is_refused_before_anything_is_sent(
    product: Product,
) -> None:
    async with product.publisher() as publisher:
        with pytest.raises(TypeError, match="declared as no event type"):
            await publisher.publish("t-ada", EventTypes())
