"""Receivers: customers' own endpoints, which are sent the product's events as signed webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from halflap.model import new_id
from halflap.store.catalogue.connections import ConnectionFilter
from tests.api.conftest import Client
from tests.cases import for_each
from tests.export.conftest import ON_BOTH_STORES, Product
from tests.loopback import on_loopback
from tests.polling import DEADLINE, until


@dataclass
class Endpoint:
    """A customer's endpoint: it keeps what it is sent, and answers as it is told."""

    url: str = ""
    status: int = 204
    hangs: bool = False
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.seen.append(({name.lower(): each for name, each in request.headers.items()}, body))
        if self.hangs:
            await asyncio.sleep(60)
        return web.Response(status=self.status, text="as it is told")

    async def events(self, count: int) -> list[Any]:
        """Return what it was sent, once there is so much."""
        await until(lambda: len(self.seen) >= count, what=lambda: self.seen)
        return self.seen


@asynccontextmanager
async def endpoint() -> AsyncIterator[Endpoint]:
    """An endpoint on loopback."""
    made = Endpoint()
    server = web.Application()
    server.add_routes([web.post("/hooks", made.take)])
    async with on_loopback(server) as url:
        made.url = f"{url}/hooks"
        yield made


async def added(product: Product, customer: str, url: str, **draft: Any) -> Any:
    """A receiver of a customer, with its secret."""
    answer = await product.api(
        "POST", f"/api/customers/{customer}/receivers", {"url": url, **draft}
    )
    assert answer.status == 201, answer.body
    return answer.json


async def shown(product: Product, receiver: Any) -> Any:
    return await product.api.get(f"/api/receivers/{receiver['id']}")


async def deliveries(product: Product, receiver: Any, **which: Any) -> list[Any]:
    return await product.api.items(
        "/api/executions", instance=receiver["id"], flow="deliver", **which
    )


async def test_an_event_is_sent_signed_with_the_customers_headers(product: Product) -> None:
    await product.customer("ada")
    await product.customer("bob")
    async with endpoint() as hooks, endpoint() as others:
        headers = {"Authorization": "Bearer abc", "X-Shop": "7"}
        made = await added(product, "ada", hooks.url, types=["order.created"], headers=headers)
        assert (made["state"], made["enabled"]) == ("active", True)
        assert made["header_names"] == ["Authorization", "X-Shop"]
        await added(product, "ada", others.url, types=["invoice.*"])
        await added(product, "bob", others.url)
        data = {"id": "o-1", "total": "22.10"}
        answer = await product.publish("ada", data=data, timestamp="2026-11-30T12:00:00+01:00")
        assert len(answer.json["executions"]) == 1
        [(sent, body)] = await hooks.events(1)
        verified = Webhook(made["secret"]).verify(body, sent)
        assert verified == {
            "type": "order.created",
            "timestamp": "2026-11-30T11:00:00Z",
            "data": data,
        }
        assert sent["webhook-id"] == answer.json["id"]
        assert (sent["authorization"], sent["x-shop"]) == ("Bearer abc", "7")
        await product.publish("ada", type="order.paid", data={"id": "o-1"})
        [execution] = await deliveries(product, made)
        await product.results(instance=made["id"])
        assert (len(hooks.seen), others.seen) == (1, [])
    for answer in (
        await product.api("GET", "/api/receivers", customer="ada"),
        await product.api("GET", f"/api/executions/{execution['id']}"),
        await product.api("GET", "/api/audit"),
    ):
        assert answer.status == 200
        for secret in (made["secret"], "Bearer abc"):
            assert secret.encode() not in answer.body


async def test_a_rotated_secret_signs_beside_the_one_before_for_a_while(product: Product) -> None:
    await product.customer("ada")
    async with endpoint() as hooks:
        made = await added(product, "ada", hooks.url, headers={"X-Shop": "7"})
        path = f"/api/receivers/{made['id']}/secret"
        rotated = (await product.api("POST", path, {"overlap_seconds": 3600})).json
        assert rotated["secret"] != made["secret"]
        assert rotated["former_until"] is not None
        again = await product.api("POST", path, {"overlap_seconds": 3600})
        assert again.status == 409, again.body  # it would void the secret that is still good
        await product.publish("ada", data={"id": "o-1", "total": "1"})
        [(sent, body)] = await hooks.events(1)
        for secret in (made["secret"], rotated["secret"]):
            Webhook(secret).verify(body, sent)
        assert sent["x-shop"] == "7"
        last = (await product.api("POST", path, {"overlap_seconds": 0})).json
        await product.publish("ada", data={"id": "o-2", "total": "1"})
        sent, body = (await hooks.events(2))[1]
        Webhook(last["secret"]).verify(body, sent)
        assert len(sent["webhook-signature"].split()) == 1


async def test_a_receiver_that_is_gone_is_disabled_and_gets_what_it_missed(
    product: Product,
) -> None:
    await product.customer("ada")
    began = datetime.now(UTC)
    async with endpoint() as hooks:
        made = await added(product, "ada", hooks.url)
        hooks.status = 410
        first = await product.publish("ada", data={"id": "o-1", "total": "1"})
        await product.host.engine.outcome(first.json["executions"][0], DEADLINE)
        state = await shown(product, made)
        assert (state["enabled"], state["disabled_because"]) == (
            False,
            "it answered that it is gone (410)",
        )
        assert state["disabled_at"] >= began.isoformat()[:19]
        found = await product.api.get("/api/event-types/order.created/listeners")
        [listener] = found["receivers"]
        assert (listener["enabled"], listener["failing_since"]) == (False, state["failing_since"])
        second = await product.publish("ada", data={"id": "o-2", "total": "1"})
        await product.host.engine.outcome(second.json["executions"][0], DEADLINE)
        assert len(hooks.seen) == 1
        states = {each["state"] for each in await deliveries(product, made)}
        assert states == {"failed", "cancelled"}
        hooks.status = 200
        enabled = await product.api("POST", f"/api/receivers/{made['id']}/enable")
        assert enabled.json["enabled"] is True
        recovery = await product.api(
            "POST", f"/api/receivers/{made['id']}/recover", {"since": began.isoformat()}
        )
        assert (recovery.status, recovery.json["total"]) == (200, 2), recovery.body
        seen = await hooks.events(3)
        ids = [first.json["id"], second.json["id"]]
        assert sorted(sent["webhook-id"] for sent, _ in seen) == sorted([ids[0], *ids])
        assert (await shown(product, made))["failing_since"] is None


@ON_BOTH_STORES
async def test_receivers_in_trouble_are_found_and_marked_among_instances(product: Product) -> None:
    await product.customer("ada")
    async with endpoint() as well, endpoint() as failing, endpoint() as gone:
        failing.status, gone.status = 500, 410
        made = [
            await added(product, "ada", each.url, name=name)
            for name, each in (("well", well), ("failing", failing), ("gone", gone))
        ]
        off = await added(product, "ada", well.url, name="off")
        await product.api("POST", f"/api/receivers/{off['id']}/disable", {"reason": "asked for"})
        await product.publish("ada", data={"id": "o-1", "total": "1"})

        async def found(trouble: str) -> list[str]:
            answer = await product.api.items("/api/receivers", trouble=trouble)
            return [each["name"] for each in answer]

        async def are_known() -> bool:
            return await found("failing,disabled") == ["failing", "gone", "off"]

        await until(are_known)
        assert await found("failing") == ["failing", "gone"]  # none that a person disabled
        assert await found("disabled") == ["gone", "off"]
        answer = await product.api("GET", "/api/receivers", trouble="failing,disabled", limit=1)
        rest = await product.api.items(
            "/api/receivers", trouble="failing,disabled", after=answer.json["next"]
        )
        assert [each["name"] for each in rest] == ["gone", "off"]
        unknown = await product.api("GET", "/api/receivers", trouble="late")
        assert (unknown.status, "failing" in unknown.json["detail"]) == (422, True)
        listed = await product.api.items("/api/instances", customer="ada")
        troubles = {each["name"]: each["trouble"] for each in listed}
        assert troubles == {
            "well": None,
            "failing": "failing",
            "gone": "disabled",
            "off": "disabled",
        }
        # since when it failed tells what disabled itself from what a person disabled
        since = {each["id"]: (await shown(product, each))["failing_since"] for each in [*made, off]}
        assert [id for id, each in since.items() if each] == [made[1]["id"], made[2]["id"]]


@ON_BOTH_STORES
async def test_what_was_missed_is_sent_once_however_often_it_is_recovered(product: Product) -> None:
    await product.customer("ada")
    since = {"since": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    async with endpoint() as hooks:
        made = await added(product, "ada", hooks.url)
        path = f"/api/receivers/{made['id']}"

        async def recover() -> int:
            answers = await asyncio.gather(
                *(product.api("POST", f"{path}/recover", since) for _ in range(4))
            )
            for each in answers:
                if each.status == 200:
                    await bulk_ended(product, each.json["id"])
            await product.results(instance=made["id"])
            assert {each.status for each in answers} <= {200, 409}
            return sum(each.status == 200 for each in answers)

        assert (await product.api("POST", f"{path}/disable")).status == 200
        missed = [
            (await product.publish("ada", data={"id": f"o-{n}", "total": "1"})).json["id"]
            for n in range(3)
        ]
        await product.results(instance=made["id"])
        await recover()  # it is still disabled: the replays end as cancelled, too
        assert (await product.api("POST", f"{path}/enable")).status == 200
        assert await recover() >= 1
        assert await recover() >= 1
        assert sorted(sent["webhook-id"] for sent, _ in hooks.seen) == sorted(missed)


async def test_a_recovery_is_refused_while_another_one_goes_on(product: Product) -> None:
    await product.customer("ada")
    since = {"since": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    made, other = [await added(product, "ada", "https://example.com") for _ in range(2)]
    path = f"/api/receivers/{made['id']}/recover"
    first = (await product.api("POST", path, since)).json
    await bulk_ended(product, first["id"])
    bulks = product.host.store.catalogue.bulks
    ended = await bulks.get(first["id"])
    going = replace(ended, id=new_id("blk"), state="paused")
    await bulks.add(going)
    refused = await product.api("POST", path, since)
    assert (refused.status, going.id in refused.json["detail"]) == (409, True)
    answer = await product.api("POST", f"/api/receivers/{other['id']}/recover", since)
    assert answer.status == 200
    await bulks.end(going.id, "cancelled", "by hand")
    assert (await product.api("POST", path, since)).status == 200


async def bulk_ended(product: Product, id: str) -> None:
    """Wait until a bulk has ended."""

    async def ended() -> bool:
        return (await product.api.get(f"/api/bulks/{id}"))["state"] != "running"

    await until(ended)


async def test_each_try_is_shown_with_its_answer_and_a_delivery_is_sent_again_by_itself(
    product: Product,
) -> None:
    await product.customer("ada")
    async with endpoint() as hooks:
        made = await added(product, "ada", hooks.url)
        hooks.status = 500
        answer = await product.publish("ada", data={"id": "o-1", "total": "1"})
        [execution] = answer.json["executions"]
        await hooks.events(1)
        assert (await until(lambda: shown(product, made)))["url"] == hooks.url

        async def failing() -> Any:
            return (await shown(product, made))["failing_since"]

        await until(failing)
        hooks.status = 200
        await hooks.events(2)  # 5 seconds later
        await product.host.engine.outcome(execution, DEADLINE)
        steps = (await product.api.get(f"/api/executions/{execution}"))["steps"]
        tries = [each for each in steps if each["title"].startswith("Try")]
        assert [each["title"] for each in tries] == ["Try 1", "Try 2"]
        assert tries[0]["failure"]["status"] == 500
        assert "as it is told" in str(tries[0])
        assert tries[1]["result"]["status"] == 200
        assert (await shown(product, made))["failing_since"] is None
        again = {"from": "start", "repeat": True}
        made = await product.api("POST", f"/api/executions/{execution}/replay", again)
        assert made.status == 201, made.body
        _, first, second = await hooks.events(3)
        assert first[0]["webhook-id"] == second[0]["webhook-id"]
        assert first[1] == second[1]


@ON_BOTH_STORES
async def test_a_hanging_receiver_keeps_no_other_from_its_events(product: Product) -> None:
    await product.customer("ada")
    async with endpoint() as hanging, endpoint() as quick:
        hanging.hangs = True
        stuck = await added(product, "ada", hanging.url)
        await added(product, "ada", quick.url)
        loop = asyncio.get_running_loop()
        path = "/api/customers/external:t-ada/events/batch"
        for number in range(3):  # far more than one receiver is sent at a time
            events = [
                {"type": "order.created", "data": {"id": f"o-{number}-{n}", "total": "1"}}
                for n in range(50)
            ]
            assert (await product.api("POST", path, {"events": events})).status == 202
        await quick.events(150)
        began = loop.time()
        await product.publish("ada", data={"id": "o-last", "total": "1"})
        await quick.events(151)
        assert loop.time() - began < 15  # the other one is waited for, for 20
        assert len(hanging.seen) <= 60
        waiting = await deliveries(product, stuck, state="queued,waiting,running")
        assert waiting
        hanging.hangs = False


@ON_BOTH_STORES
async def test_a_receiver_is_removed_with_what_waits_for_it(product: Product) -> None:
    await product.customer("ada")
    async with endpoint() as hooks:
        made = await added(product, "ada", hooks.url)
        hooks.status = 500
        answer = await product.publish("ada", data={"id": "o-1", "total": "1"})
        await hooks.events(1)
        removed = await product.api("DELETE", f"/api/receivers/{made['id']}")
        assert removed.status == 204, removed.body
        assert (await product.api("GET", f"/api/receivers/{made['id']}")).status == 404
        assert await product.api.items("/api/connections", customer="ada") == []
        outcome = await product.host.engine.outcome(answer.json["executions"][0], DEADLINE)
        assert outcome is not None
        assert outcome.state == "cancelled"
        assert (await product.publish("ada", data={"id": "o-2", "total": "1"})).json[
            "executions"
        ] == []


async def test_a_receiver_is_changed_and_its_headers_go_to_no_other_host(product: Product) -> None:
    await product.customer("ada")
    async with endpoint() as hooks, endpoint() as other:
        made = await added(product, "ada", hooks.url, headers={"X-Key": "secret-value"})
        path = f"/api/receivers/{made['id']}"
        refused = await product.api("PATCH", path, {"url": other.url})
        assert (refused.status, list(refused.json["fields"])) == (422, ["headers"])
        changed = await product.api(
            "PATCH", path, {"url": other.url, "headers": {}, "types": ["order.paid"], "name": "b"}
        )
        assert changed.status == 200, changed.body
        found = changed.json
        assert (found["url"], found["types"], found["header_names"], found["name"]) == (
            other.url,
            ["order.paid"],
            [],
            "b",
        )
        answer = await product.publish("ada", data={"id": "o-1", "total": "1"})
        assert answer.json["executions"] == []
        await product.publish("ada", type="order.paid", data={"id": "o-1"})
        [(sent, body)] = await other.events(1)
        Webhook(made["secret"]).verify(body, sent)
        assert "x-key" not in sent


async def test_a_receiver_is_not_disabled_where_its_events_would_be_lost(product: Product) -> None:
    await product.customer("ada")
    async with endpoint() as hooks:
        made = await added(product, "ada", hooks.url)
        answer = await product.api("POST", f"/api/instances/{made['id']}/disable")
        assert answer.status == 409
        assert f"halflap receivers disable {made['id']}" in answer.json["detail"]
        await product.host.deployer.disable(made["id"])  # by a former version, say
        await product.host.deployer.settled(made["id"], DEADLINE)
        assert (await product.api("POST", f"/api/receivers/{made['id']}/enable")).status == 200
        await product.host.deployer.settled(made["id"], DEADLINE)
        await product.publish("ada", data={"id": "o-1", "total": "1"})
        [(sent, body)] = await hooks.events(1)
        Webhook(made["secret"]).verify(body, sent)


async def test_a_test_event_goes_to_one_receiver_alone(product: Product) -> None:
    await product.customer("ada")
    async with endpoint() as hooks, endpoint() as other:
        made = await added(product, "ada", hooks.url, types=["order.paid"])
        await added(product, "ada", other.url)
        path = f"/api/receivers/{made['id']}/test"
        assert (await product.api("POST", path)).status == 202
        answer = await product.api("POST", path, {"type": "order.created"})
        assert answer.status == 202, answer.body
        seen = await hooks.events(2)
        told = [Webhook(made["secret"]).verify(body, sent) for sent, body in seen]
        by_type = {each["type"]: each["data"] for each in told}
        assert by_type == {
            "webhook.test": {"test": True},
            "order.created": {"id": "o-1", "total": "22.10"},
        }
        assert other.seen == []


@for_each(
    ("draft", "field"),
    [
        ({"url": "ftp://example.com"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://user:word@example.com/"}, "url"),
        ({"url": "https://example.com:80@10.0.0.1/"}, "url"),
        ({"url": "https://example.com\\\\@10.0.0.1/"}, "url"),
        ({"url": "https://example.com:99999/"}, "url"),
        ({"url": "https://example.com/a/../b"}, "url"),
        ({"url": "https://example.com/a/%2e%2e/b?c=1"}, "url"),
        ({"url": "https://example.com", "types": ["or*"]}, "types"),
        ({"url": "https://example.com", "headers": {"Expect": "1"}}, "headers"),
        ({"url": "https://example.com", "headers": {"Keep-Alive": "1"}}, "headers"),
        ({"url": "https://example.com", "headers": {"webhook-id": "1"}}, "headers"),
        ({"url": "https://example.com", "headers": {"Host": "1"}}, "headers"),
        ({"url": "https://example.com", "headers": {"X Y": "1"}}, "headers"),
        ({"url": "https://example.com", "headers": {"X-Y": "a\r\nb"}}, "headers"),
    ],
)
async def test_what_is_no_receiver_is_refused_by_its_field(
    product: Product, ada: str, draft: Any, field: str
) -> None:
    answer = await product.api("POST", "/api/customers/ada/receivers", draft)
    assert (answer.status, [name.split(".")[0] for name in answer.json["fields"]]) == (
        422,
        [field],
    ), answer.body
    assert answer.json["detail"].removeprefix("the receiver is not valid: ")
    if "@" in draft["url"]:
        assert "send credentials in headers" in answer.json["fields"]["url"]
    assert await product.api.items("/api/receivers") == []


PRIVATE = (
    "http://169.254.169.254/latest",
    "http://10.0.0.8:8080",
    "http://[::1]/x",
    "http://inside.example",
)


async def test_a_url_at_a_private_address_is_refused_as_it_is_written(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lookup(host: str, port: int) -> list[str]:
        if host == "inside.example":
            return ["10.0.0.9"]
        raise OSError(f"{host} has no address")

    monkeypatch.setattr(product.host.egress._resolver, "_lookup", lookup)
    await product.customer("ada")
    made = await added(product, "ada", "https://hooks.invalid/orders")  # it has no address yet
    for url in PRIVATE:
        for method, path in (
            ("POST", "/api/customers/ada/receivers"),
            ("PATCH", f"/api/receivers/{made['id']}"),
        ):
            answer = await product.api(method, path, {"url": url})
            assert answer.status == 422, answer.body
            assert list(answer.json["fields"]) == ["url"]
            assert "may not be called" in answer.json["fields"]["url"]
    listed = await product.api.items("/api/receivers")
    assert [each["url"] for each in listed] == ["https://hooks.invalid/orders"]


async def test_a_receiver_whose_address_is_private_later_is_sent_nothing(product: Product) -> None:
    await product.customer("ada")
    made = await added(product, "ada", "http://hooks.invalid/latest")
    stored = await product.host.store.catalogue.connections.list(made["customer"])
    fields = {
        **stored[0].fields,
        "address": "http://169.254.169.254/latest",
    }  # as its name resolves now
    await product.host.store.catalogue.connections.save(
        made["customer"],
        "webhook",
        stored[0].name,
        fields,
        {"secret": made["secret"]},
        id=stored[0].id,
    )
    answer = await product.publish("ada", data={"id": "o-1", "total": "1"})
    outcome = await product.host.engine.outcome(answer.json["executions"][0], DEADLINE)
    assert outcome is not None
    assert outcome.failure is not None
    assert "169.254.169.254" in outcome.failure.message
    assert len(await deliveries(product, made, state="failed")) == 1


@ON_BOTH_STORES
async def test_erasing_a_customer_takes_its_receivers_their_secrets_and_deliveries(
    product: Product,
) -> None:
    ada = await product.customer("ada")
    await product.customer("bob")
    async with endpoint() as hooks:
        made = await added(product, "ada", f"{hooks.url}?{CANARY}", headers={f"X-{CANARY}": "a"})
        bobs = await added(product, "bob", hooks.url)
        event = {"data": {"id": "o-1", "total": "1"}, "idempotency_key": "k"}
        await product.publish("ada", subject=CANARY, **event)
        await product.publish("bob", **event)
        await hooks.events(2)
        assert product.host.settings.store or files_with_canary(product)  # the control
        path = f"/api/customers/{ada}/erasure"
        refused = await product.api("POST", path, {})
        assert refused.status == 409
        assert f"halflap receivers remove {made['id']}" in refused.json["detail"]
        assert (await product.api("DELETE", f"/api/receivers/{made['id']}")).status == 204
        erased = await product.api("POST", path, {})
        assert (erased.status, erased.json["left"]) == (200, 0), erased.body
        assert await deliveries(product, made) == []
        assert [each["id"] for each in await product.api.items("/api/receivers")] == [bobs["id"]]
        assert len(await product.api.items("/api/connections")) == 1
        assert files_with_canary(product) == []
        assert len(await deliveries(product, bobs)) == 1
        assert (await product.publish("bob", **event)).json["duplicate"] is True


CANARY = "canary-4711"


def files_with_canary(product: Product) -> list[str]:
    """The files of the store in which the canary can be found."""
    files = [each for each in product.host.settings.dir.rglob("*") if each.is_file()]
    return [each.name for each in files if CANARY.encode() in each.read_bytes()]


async def test_a_recovery_says_before_what_it_sends_and_what_waits_by_itself(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each reason names the delivery that took an event, so each is of one event.
    monkeypatch.setattr("halflap.api.operations.bulks.MOST_GROUPS", 1)
    await product.customer("ada")
    async with endpoint() as hooks:
        made = await added(product, "ada", hooks.url)
        hooks.status = 500
        event = await product.publish("ada", data={"id": "o-1", "total": "1"})
        await hooks.events(1)  # it waits for its next try
        await until(lambda: waiting_in(product, event.json["executions"][0]))
        path = f"/api/receivers/{made['id']}"
        await product.api("POST", f"{path}/disable")
        for number in (2, 3):
            cut = await product.publish("ada", data={"id": f"o-{number}", "total": "1"})
            await product.host.engine.outcome(cut.json["executions"][0], DEADLINE)
        await product.api("POST", f"{path}/enable")
        since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        plan = await product.api.get(f"{path}/recovery", since=since)
        assert (plan["missed"], plan["sent"], plan["is_exact"], plan["waiting"]) == (2, 2, True, 1)
        assert plan["next_try_at"] is not None
        hooks.status = 200
        begun = await product.api("POST", f"{path}/recover", {"since": since})
        assert begun.json["total"] == plan["sent"]
        await hooks.events(4)

        async def is_done() -> bool:
            plan = await product.api.get(f"{path}/recovery", since=since)
            return (plan["missed"], plan["sent"], plan["waiting"]) == (2, 0, 0)

        await until(is_done)


async def waiting_in(product: Product, execution: str) -> bool:
    shown = await product.api.get(f"/api/executions/{execution}")
    return shown["state"] == "waiting"


@ON_BOTH_STORES
async def test_a_customers_token_manages_its_own_receivers_alone(product: Product) -> None:
    for name in ("ada", "bob"):
        await product.customer(name)
    async with endpoint() as hooks:
        bobs = await added(product, "bob", hooks.url)
        minted = await product.api("POST", "/api/tokens", {"customer": "ada", "access": "manage"})
        ada = Client(product.host, minted.json["token"])
        made = await ada("POST", "/api/customers/ada/receivers", {"url": hooks.url})
        assert made.status == 201, made.body
        listed = (await ada("GET", "/api/receivers")).json["items"]
        assert [each["id"] for each in listed] == [made.json["id"]]
        path = f"/api/receivers/{made.json['id']}"
        for verb in ("secret", "disable", "enable", "test"):
            assert (await ada("POST", f"{path}/{verb}")).status in (200, 202), verb
        since = {"since": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
        assert (await ada("POST", f"{path}/recover", since)).status == 200
        assert (await ada("PATCH", path, {"types": ["order.paid"]})).status == 200
        await hooks.events(1)
        assert len(await deliveries(product, made.json)) == 1
        other = f"/api/receivers/{bobs['id']}"
        for method, at, draft in (
            ("GET", other, ...),
            ("PATCH", other, {"types": []}),
            ("DELETE", other, ...),
            ("POST", f"{other}/secret", ...),
            ("POST", f"{other}/disable", ...),
            ("POST", f"{other}/enable", ...),
            ("POST", f"{other}/test", ...),
            ("POST", f"{other}/recover", since),
            ("GET", f"{other}/recovery?since=2026-11-30T00:00:00Z", ...),
            ("POST", "/api/customers/bob/receivers", {"url": hooks.url}),
        ):
            assert (await ada(method, at, draft)).status == 404, (method, at)
        assert (await ada("DELETE", path)).status == 204
        assert (await shown(product, bobs))["enabled"] is True


async def test_a_receiver_is_not_configured_as_an_instance(product: Product) -> None:
    id = await product.customer("ada")
    async with endpoint() as hooks:
        made = await added(product, "ada", hooks.url)
        second = await added(product, "ada", hooks.url)
        values = {"address": f"{hooks.url}?token=team", "secret": made["secret"]}
        teams = await product.api(
            "POST",
            "/api/connections",
            {"name": "team-hook", "component": "webhook", "values": values, "test": False},
        )
        assert teams.status == 201, teams.body
        minted = await product.api("POST", "/api/tokens", {"customer": "ada", "access": "manage"})
        ada = Client(product.host, minted.json["token"])
        own = {
            each["name"]: each["id"]
            for each in (await ada("GET", "/api/connections")).json["items"]
        }
        path = f"/api/instances/{made['id']}"
        [kept] = (await ada("GET", path)).json["connections"].values()
        [other] = set(own.values()) - {kept}
        for who in (ada, product.api):
            for named in ("team-hook", teams.json["id"], other):
                links = {"connections": {"receiver": named}}
                for method, at, draft in (
                    ("PATCH", path, links),
                    ("PUT", f"{path}/config", {"config": {"types": ["*"]}, **links}),
                ):
                    refused = await who(method, at, draft)
                    assert refused.status == 422
                    assert f"PATCH /api/receivers/{made['id']}" in refused.json["detail"]
        draft = {"customer": id, "integration": "halflap-webhooks", "name": "x", **links}
        refused = await product.api("POST", "/api/instances", draft)
        assert "halflap receivers add" in refused.json["detail"], refused.body
        for types in (None, ["order.paid"] * 1_000):  # each receiver would be a 500, or large
            assert (await ada("PATCH", path, {"config": {"types": types}})).status == 422
        empty = {"config": {}, "connections": {"receiver": kept}}
        assert (await ada("PUT", f"{path}/config", empty)).status == 422
        same = {"config": {"types": ["*"]}, "connections": {"receiver": kept}}
        assert (await ada("PUT", f"{path}/config", same)).status == 200
        assert (await ada("PATCH", path, {"name": "ours"})).status == 200
        assert [shown["types"] for shown in await product.api.items("/api/receivers")] == [
            ["*"]
        ] * 2
        upgrade = {"version": "1", "config": {"types": []}}
        assert (await product.api("POST", f"{path}/upgrade", upgrade)).status == 422
        assert (
            await product.api("POST", f"{path}/upgrade", {"version": "1"}, wait=9)
        ).status == 200
        for each in (made, second):
            assert (await ada("DELETE", f"/api/receivers/{each['id']}")).status == 204
        left = await product.api.items("/api/connections")
        assert [each["id"] for each in left] == [teams.json["id"]]


async def test_removing_a_receiver_leaves_a_connection_that_is_not_its_customers(
    product: Product,
) -> None:
    await product.customer("ada")
    async with endpoint() as hooks:
        made = await added(product, "ada", hooks.url)
        catalogue = product.host.store.catalogue
        [own] = await catalogue.connections.page(ConnectionFilter(), after=None, limit=9)
        teams = await catalogue.connections.save(None, "webhook", "team-hook", own.fields, {})
        await catalogue.instances.set_revision(made["id"], {"types": ["*"]}, {"receiver": teams.id})
        assert (await product.api("DELETE", f"/api/receivers/{made['id']}")).status == 204
        assert (await catalogue.connections.get(teams.id)).name == "team-hook"


async def test_a_url_is_shown_whole_to_who_may_see_payloads_alone(product: Product) -> None:
    await product.customer("ada")
    async with endpoint() as hooks:
        made = await added(product, "ada", f"{hooks.url}?token=q-secret")
        viewer = await with_rights(product, "read")
        for path in ("/api/receivers", f"/api/receivers/{made['id']}"):
            answer = await viewer("GET", path)
            assert answer.status == 200
            assert b"hooks" not in answer.body
            assert b"q-secret" not in answer.body
        assert (await viewer("GET", path)).json["url"] == hooks.url.removesuffix("/hooks")
        seeing = await with_rights(product, "read", "payloads")
        assert (await seeing("GET", path)).json["url"] == made["url"]


async def test_a_test_event_has_no_other_data_than_a_types_example(product: Product) -> None:
    await product.customer("ada")
    async with endpoint() as hooks:
        made = await added(product, "ada", hooks.url)
        support = await with_rights(product, "read", "operate")
        path = f"/api/receivers/{made['id']}/test"
        forged = {"type": "order.created", "data": {"id": "o-666", "total": "1"}}
        assert (await support("POST", path, forged)).status == 422
        assert (await support("POST", path, {"type": "order.unknown"})).status == 404
        assert (await support("POST", path, {"type": "order.created"})).status == 202
        [(_, body)] = await hooks.events(1)
        assert b"22.10" in body


async def test_a_secret_is_rotated_by_who_may_see_secrets_or_its_customer(
    product: Product,
) -> None:
    await product.customer("ada")
    async with endpoint() as hooks:
        made = await added(product, "ada", hooks.url)
        path = f"/api/receivers/{made['id']}/secret"
        configures = await with_rights(product, "read", "configure")
        assert (await configures("POST", path)).status == 403
        instance = await product.api.get(f"/api/instances/{made['id']}")
        connection = f"/api/connections/{instance['connections']['receiver']}"
        for values in ({"secret": made["secret"]}, {"secret": None}, {"extra_headers": {"X": "1"}}):
            change = {"values": values, "test": False}
            for who in (configures, product.api):
                refused = await who("PATCH", connection, change)
                assert (refused.status, path in refused.json["detail"]) == (422, True)
        named = await configures("PATCH", connection, {"name": "theirs", "test": False})
        assert named.status == 200, named.body
        sees = await with_rights(product, "read", "configure", "secrets")
        assert (await sees("POST", path)).json["secret"] != made["secret"]


@ON_BOTH_STORES
async def test_many_added_at_once_are_no_more_than_a_customer_may_have(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halflap.api.operations.receivers.MOST_RECEIVERS", 3)
    await product.customer("ada")
    answers = await asyncio.gather(
        *(
            product.api("POST", "/api/customers/ada/receivers", {"url": "https://example.com"})
            for _ in range(8)
        )
    )
    assert sorted(each.status for each in answers) == [201] * 3 + [409] * 5
    assert len({each.json["name"] for each in answers if each.status == 201}) == 3


async def test_the_name_of_a_receiver_that_has_another_one_now_is_free(product: Product) -> None:
    await product.customer("ada")
    made = await added(product, "ada", "https://example.com/hooks")
    renamed = await product.api("PATCH", f"/api/receivers/{made['id']}", {"name": "ours"})
    assert renamed.status == 200, renamed.body
    assert (await added(product, "ada", "https://example.com/hooks"))["name"] == made["name"]


async def with_rights(product: Product, *rights: str) -> Client:
    """A program with these rights."""
    made = await product.api("POST", "/api/keys", {"name": "-".join(rights), "rights": [*rights]})
    assert made.status == 201, made.body
    return Client(product.host, made.json["key"])
