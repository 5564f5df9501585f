"""Acme, over real HTTP: its API, its webhooks, its faults and its page."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from standardwebhooks import Webhook

from halflap_sandbox import run, serving
from halflap_sandbox.acme import Settings, create_app
from tests.cases import for_each
from tests.console.conftest import CHROMIUM
from tests.loopback import on_loopback
from tests.polling import DEADLINE, until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
# One server for all of them: each test has a workspace of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")
QUICK = Settings(backoff=(0.01, 0.02))


class Client:
    """One workspace at a running Acme."""

    def __init__(
        self, session: aiohttp.ClientSession, base: str, workspace: dict[str, Any]
    ) -> None:
        self.session, self.base = session, base
        self.id, self.api_key = workspace["id"], workspace["api_key"]

    async def ask(
        self, method: str, path: str, body: object = None, *, key: str | None = None, **more: Any
    ) -> tuple[int, Any, Mapping[str, str]]:
        headers = {"Authorization": f"Bearer {self.api_key}", **more.pop("headers", {})}
        if key is not None:
            headers["Idempotency-Key"] = key
        if body is not None:
            more["data"] = io.BytesIO(
                body if isinstance(body, bytes) else json.dumps(body).encode()
            )
            headers.setdefault("Content-Type", "application/json")
        url = self.base + path
        async with self.session.request(method, url, headers=headers, **more) as got:
            text = await got.text()
            return got.status, json.loads(text) if text else None, got.headers

    async def make(self, path: str, **fields: Any) -> Any:
        status, made, _ = await self.ask("POST", f"/v1{path}", fields)
        assert status in (200, 201), made
        return made

    async def see(self, path: str) -> Any:
        status, seen, _ = await self.ask("GET", path)
        assert status == 200, seen
        return seen

    async def faults(self, **faults: Any) -> None:
        status, answer, _ = await self.ask(
            "POST", "/sandbox/faults", {"workspace": self.id, **faults}
        )
        assert status == 200, answer

    async def effects(self) -> list[dict[str, Any]]:
        return await self.see(f"/sandbox/effects?workspace={self.id}")

    async def deliveries(self) -> list[dict[str, Any]]:
        return await self.see(f"/sandbox/deliveries?workspace={self.id}")


class Receiver:
    """A server that webhooks are sent to; it answers with `statuses`, then 204."""

    def __init__(self) -> None:
        self.url = ""
        self.statuses: list[int] = []
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        await self.gate.wait()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)

    def names(self) -> list[str]:
        return [json.loads(body)["data"]["name"] for _, body in self.got]


@asynccontextmanager
async def running(settings: Settings = QUICK) -> AsyncGenerator[Client]:
    async with serving(create_app(settings)) as base, aiohttp.ClientSession() as session:
        yield await open_workspace(session, base)


async def open_workspace(session: aiohttp.ClientSession, base: str, **fields: Any) -> Client:
    body = {"name": "Globex", **fields}
    async with session.post(f"{base}/sandbox/workspaces", json=body) as answer:
        assert answer.status == 201
        return Client(session, base, await answer.json())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncGenerator[Client]:
    async with running() as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def acme(server: Client) -> AsyncGenerator[Client]:
    client = await open_workspace(server.session, server.base)
    yield client
    await server.ask("DELETE", f"/sandbox/workspaces/{client.id}")


@pytest_asyncio.fixture(loop_scope="module")
async def receiver() -> AsyncGenerator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    async with on_loopback(app) as url:
        made.url = f"{url}/hook"
        yield made
        made.gate.set()


# --- workspaces and keys


async def test_a_workspace_is_opened_by_its_api_key_only(acme: Client) -> None:
    assert await acme.see("/v1/me") == {"workspace": acme.id, "name": "Globex"}
    other = await open_workspace(acme.session, acme.base, name="Initech")
    await acme.make("/accounts", name="Stark")
    assert await other.see("/v1/accounts") == []
    for header in ("Bearer wrong", f"Basic {acme.api_key}", ""):
        status, body, _ = await acme.ask("GET", "/v1/me", headers={"Authorization": header})
        assert (status, body["error"]["code"]) == (401, "unauthorized")


async def test_a_workspace_may_bring_its_own_api_key_and_can_be_deleted(acme: Client) -> None:
    mine = await open_workspace(acme.session, acme.base, name="Mine", api_key="my-own-key")
    assert (await mine.see("/v1/me"))["name"] == "Mine"
    twin = {"name": "Twin", "api_key": "my-own-key"}
    assert (await acme.ask("POST", "/sandbox/workspaces", twin))[0] == 409
    assert mine.id in [each["id"] for each in await acme.see("/sandbox/workspaces")]
    assert (await acme.ask("DELETE", f"/sandbox/workspaces/{mine.id}"))[0] == 204
    assert (await mine.ask("GET", "/v1/me"))[0] == 401
    assert (await acme.ask("GET", f"/sandbox/effects?workspace={mine.id}"))[0] == 404


async def test_a_taken_address_is_an_error_of_the_caller() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError):
        await run(create_app(), port=taken.getsockname()[1])


# --- the API


async def test_an_account_is_created_found_changed_and_deleted(acme: Client) -> None:
    made = await acme.make("/accounts", name="Stark", external_id="001")
    assert set(made) == {"id", "external_id", "name", "created_at", "updated_at"}
    assert await acme.see("/v1/accounts?external_id=001") == [made]
    assert await acme.see("/v1/accounts?external_id=002") == []
    path = f"/v1/accounts/{made['id']}"
    status, changed, _ = await acme.ask("PATCH", path, {"name": "Wayne", "external_id": "002"})
    assert (status, changed["name"]) == (200, "Wayne")
    assert changed["created_at"] == made["created_at"] <= changed["updated_at"]
    assert await acme.see(path) == changed
    assert await acme.see("/v1/accounts?external_id=001") == []
    assert await acme.see("/v1/accounts?external_id=002") == [changed]
    status, cleared, _ = await acme.ask("PATCH", path, {"external_id": None})
    assert (status, cleared["external_id"], cleared["name"]) == (200, None, "Wayne")
    assert (await acme.ask("DELETE", path))[:2] == (204, None)
    for method in ("GET", "DELETE"):
        assert (await acme.ask(method, path))[0] == 404
    assert (await acme.ask("PATCH", path, {"name": "x"}))[0] == 404


async def test_an_opportunity_keeps_every_digit(acme: Client) -> None:
    made = await acme.make("/opportunities", name="Suit", external_id="006")
    assert (made["stage"], made["seats"], made["price"]) == ("new", 0, "0.00")
    path = f"/v1/opportunities/{made['id']}"
    exact = b'{"seats": 9007199254740993, "price": 1234567890123456789.10}'
    _, changed, _ = await acme.ask("PATCH", path, exact)
    assert (changed["seats"], changed["price"]) == (2**53 + 1, "1234567890123456789.10")
    _, changed, _ = await acme.ask("PATCH", path, {"price": "22.00"})
    assert (changed["price"], Decimal(changed["price"]) * 3) == ("22.00", Decimal("66.00"))
    _, changed, _ = await acme.ask("PATCH", path, b'{"price": 1e3}')
    assert changed["price"] == "1000.00"
    assert await acme.see(path) == changed
    assert await acme.see("/v1/opportunities?external_id=006") == [changed]
    assert (await acme.ask("DELETE", path))[0] == 204
    assert (await acme.ask("GET", path))[0] == 404


@for_each(
    ("sent", "kept"),
    [
        ("22", "22.00"),
        ("0.005", "0.01"),
        ("0.0049", "0.00"),
        ("2.675", "2.68"),
        ("-0", "0.00"),
        ("9" * 38, "9" * 38 + ".00"),
        ("9" * 35 + ".995", "1" + "0" * 35 + ".00"),
    ],
)
async def test_a_price_is_kept_with_two_decimals_rounded_half_up(
    acme: Client, sent: str, kept: str
) -> None:
    made = await acme.make("/opportunities", name="Suit", price=sent)
    assert made["price"] == kept
    path = f"/v1/opportunities/{made['id']}"
    await acme.ask("PATCH", path, {"price": "1"})
    assert (await acme.ask("PATCH", path, {"price": sent}))[1]["price"] == kept
    assert (await acme.see(path))["price"] == kept


async def test_a_contact_is_created_found_changed_and_deleted(acme: Client) -> None:
    account = await acme.make("/accounts", name="Stark")
    made = await acme.make("/contacts", name="Pepper", external_id="003", account_id=account["id"])
    fields = {"id", "external_id", "name", "email", "account_id", "created_at", "updated_at"}
    assert set(made) == fields
    assert (made["email"], made["account_id"]) == (None, account["id"])
    assert await acme.see("/v1/contacts?external_id=003") == [made]
    path = f"/v1/contacts/{made['id']}"
    _, changed, _ = await acme.ask("PATCH", path, {"email": "pepper@stark.example"})
    assert (changed["name"], changed["email"]) == ("Pepper", "pepper@stark.example")
    assert await acme.see(path) == changed
    cleared = (await acme.ask("PATCH", path, {"email": None, "account_id": None}))[1]
    assert (cleared["name"], cleared["email"], cleared["account_id"]) == ("Pepper", None, None)
    assert (await acme.ask("DELETE", path))[0] == 204
    assert (await acme.ask("GET", path))[0] == 404
    assert await acme.see("/v1/contacts") == []


async def test_a_contacts_name_and_email_are_tidied(acme: Client) -> None:
    untidy = {"name": " Ada \t\n King\u00a0 Lovelace ", "email": "  Ada.King@Example.COM\n"}
    made = await acme.make("/contacts", **untidy)
    assert (made["name"], made["email"]) == ("Ada King Lovelace", "ada.king@example.com")
    path = f"/v1/contacts/{made['id']}"
    await acme.ask("PATCH", path, {"name": "x", "email": "x@x"})
    _, changed, _ = await acme.ask("PATCH", path, untidy)
    assert (changed["name"], changed["email"]) == (made["name"], made["email"])


async def test_a_contact_outlives_its_account(acme: Client, receiver: Receiver) -> None:
    account = await acme.make("/accounts", name="Stark")
    made = await acme.make("/contacts", name="Pepper", account_id=account["id"])
    await subscribe(acme, receiver, "contact.changed")
    await acme.ask("DELETE", f"/v1/accounts/{account['id']}")
    freed = await acme.see(f"/v1/contacts/{made['id']}")
    assert freed["account_id"] is None
    await until(lambda: len(receiver.got) == 1)
    assert json.loads(receiver.got[0][1])["data"] == freed
    for method, path in (("POST", "/v1/contacts"), ("PATCH", f"/v1/contacts/{made['id']}")):
        body = {"name": "Happy", "account_id": account["id"]}
        status, answer, _ = await acme.ask(method, path, body)
        assert (status, list(answer["error"]["fields"])) == (422, ["account_id"])


async def test_a_list_is_read_page_by_page(acme: Client) -> None:
    for number in range(5):
        await acme.make("/accounts", name=str(number), external_id="same")
    for query in ("", "&external_id=same"):
        url, names = f"{acme.base}/v1/accounts?per_page=2{query}", list[str]()
        while url:
            status, page, headers = await acme.ask("GET", url.removeprefix(acme.base))
            assert (status, len(page) <= 2) == (200, True)
            names += [each["name"] for each in page]
            link = headers.get("Link", "")
            assert not link or link.endswith('>; rel="next"')
            url = link[1:].partition(">")[0]
        assert names == ["0", "1", "2", "3", "4"]
    for wrong in ("page=0", "per_page=501", "page=x", "page=²", "page=-1"):
        assert (await acme.ask("GET", f"/v1/accounts?{wrong}"))[0] == 422


async def test_stock_is_added_and_removed_but_never_below_nothing(acme: Client) -> None:
    assert (await acme.ask("POST", "/v1/stock/bolt/remove", {"quantity": 1}))[0] == 404
    assert (await acme.make("/stock/bolt/add", quantity=5))["quantity"] == 5
    assert (await acme.make("/stock/bolt/remove", quantity=3))["quantity"] == 2
    status, body, _ = await acme.ask("POST", "/v1/stock/bolt/remove", {"quantity": 3})
    assert (status, body["error"]["code"]) == (409, "not_enough_stock")
    assert (await acme.see("/v1/stock/bolt"))["quantity"] == 2
    await acme.make("/stock/nuts%2Fm8%20x/add", quantity=10**20)
    assert (await acme.see("/v1/stock/nuts%2Fm8%20x"))["quantity"] == 10**20
    assert [each["item"] for each in await acme.see("/v1/stock")] == ["bolt", "nuts/m8 x"]
    assert (await acme.ask("GET", "/v1/stock/none"))[0] == 404
    for wrong in (0, -1, "2", 1.5, True, None):
        assert (await acme.ask("POST", "/v1/stock/bolt/add", {"quantity": wrong}))[0] == 422


async def test_an_activity_is_recorded_and_found(acme: Client) -> None:
    made = await acme.make("/activities", kind="issues.opened", title="Typo", external_id="42")
    assert made["body"] is None
    assert await acme.see("/v1/activities?external_id=42") == [made]
    assert await acme.see("/v1/activities") == [made]


async def test_records_are_listed_by_their_ids(acme: Client) -> None:
    made = [(await acme.make("/accounts", name=str(number)))["id"] for number in range(3)]
    asked = ",".join([made[2], "acc_gone", made[0], made[2]])
    _, page, _ = await acme.ask("GET", f"/v1/accounts?ids={asked}")
    assert [each["id"] for each in page] == [made[2], made[0]]
    many = ",".join(map(str, range(501)))
    assert (await acme.ask("GET", f"/v1/accounts?ids={many}"))[0] == 422


async def test_a_webhook_is_listed_without_its_secret_and_may_be_registered_twice(
    acme: Client,
) -> None:
    same = {"event": "stock.changed", "url": "http://127.0.0.1:9/hook", "secret": SECRET}
    first, second = await acme.make("/webhooks", **same), await acme.make("/webhooks", **same)
    assert first["id"] != second["id"]
    assert await acme.see("/v1/webhooks") == [first, second]
    assert await acme.see(f"/v1/webhooks/{first['id']}") == first
    assert first.items() >= {"event": same["event"], "url": same["url"]}.items()
    assert SECRET not in str([first, second])
    assert "secret" not in first
    assert (await acme.ask("DELETE", f"/v1/webhooks/{first['id']}"))[0] == 204
    assert await acme.see("/v1/webhooks") == [second]
    assert (await acme.ask("GET", f"/v1/webhooks/{first['id']}"))[0] == 404


@for_each(
    ("path", "body", "fields"),
    [
        ("/accounts", {}, ["name"]),
        ("/accounts", {"name": None}, ["name"]),
        ("/accounts", {"name": "x", "nmae": 1}, ["nmae"]),
        ("/accounts", {"name": "x" * 256}, ["name"]),
        ("/accounts", [], ["body"]),
        ("/opportunities", {"name": "x", "seats": "2", "price": "y"}, ["seats", "price"]),
        ("/opportunities", {"name": "x", "seats": -1, "price": "-1"}, ["seats", "price"]),
        ("/opportunities", {"name": "x", "price": "1e999999999"}, ["price"]),
        ("/opportunities", {"name": "x", "price": "NaN"}, ["price"]),
        ("/contacts", {"email": "x@x"}, ["name"]),
        ("/contacts", {"name": " \t ", "email": "nobody"}, ["name", "email"]),
        ("/contacts", {"name": "x" * 256, "email": "a b@x"}, ["name", "email"]),
        ("/activities", {"title": "x"}, ["kind"]),
        ("/webhooks", {"event": "x", "url": "ftp://x", "secret": "x"}, ["event", "url", "secret"]),
        (
            "/webhooks",
            {"event": "stock.changed", "url": "http://x", "secret": "whsec_AA=="},
            ["secret"],
        ),
    ],
)
async def test_a_wrong_body_is_refused_with_the_names_of_its_fields(
    acme: Client, path: str, body: object, fields: list[str]
) -> None:
    status, answer, _ = await acme.ask("POST", f"/v1{path}", body)
    assert (status, answer["error"]["code"]) == (422, "invalid")
    assert list(answer["error"]["fields"]) == fields


async def test_what_is_not_json_or_not_a_route_gets_an_error_in_json(acme: Client) -> None:
    for bad in (b"{", b'{"name": NaN}', b"\xff", b"[" * 100_000, b"9" * 5000):
        status, answer, _ = await acme.ask("POST", "/v1/accounts", bad)
        assert (status, answer["error"]["code"]) == (400, "bad_json")
    text = {"Content-Type": "text/plain"}
    assert (await acme.ask("POST", "/v1/accounts", {"name": "x"}, headers=text))[0] == 415
    assert (await acme.ask("POST", "/v1/accounts", b" " * 5_000_000))[0] == 413
    for method, path, expected in (("GET", "/v1/nothing", 404), ("PUT", "/v1/accounts", 405)):
        status, answer, _ = await acme.ask(method, path)
        assert (status, set(answer["error"])) == (expected, {"code", "message"})
    assert await acme.see("/v1/accounts") == []


# --- idempotency


async def test_the_same_request_with_the_same_key_is_applied_once(acme: Client) -> None:
    first = await acme.ask("POST", "/v1/accounts", {"name": "Stark"}, key="k")
    again = await acme.ask("POST", "/v1/accounts", {"name": "Stark"}, key="k")
    assert first[:2] == again[:2]
    assert "Idempotency-Replayed" not in first[2]
    assert again[2]["Idempotency-Replayed"] == "true"
    assert await acme.see("/v1/accounts") == [first[1]]
    once = {"key": "k", "method": "POST", "path": "/v1/accounts", "times": 2, "applied": 1}
    assert await acme.effects() == [once]
    path = f"/v1/accounts/{first[1]['id']}"
    assert [(await acme.ask("DELETE", path, key="d"))[0] for _ in range(2)] == [204, 204]


async def test_a_key_is_refused_for_another_request(acme: Client) -> None:
    await acme.ask("POST", "/v1/accounts", {"name": "Stark"}, key="k")
    for path, body in (("/v1/accounts", {"name": "Wayne"}), ("/v1/activities", {"name": "Stark"})):
        status, answer, _ = await acme.ask("POST", path, body, key="k")
        assert (status, answer["error"]["code"]) == (422, "idempotency_key_reused")
    assert len(await acme.see("/v1/accounts")) == 1
    other = await open_workspace(acme.session, acme.base)
    assert (await other.ask("POST", "/v1/accounts", {"name": "Wayne"}, key="k"))[0] == 201


async def test_what_was_refused_may_be_tried_again_with_its_key(acme: Client) -> None:
    take = ("POST", "/v1/stock/bolt/remove", {"quantity": 1})
    assert (await acme.ask(*take, key="k"))[0] == 404
    await acme.make("/stock/bolt/add", quantity=1)
    assert (await acme.ask(*take, key="k"))[0] == 200
    keyed, unkeyed = await acme.effects()
    assert (keyed["key"], keyed["times"], keyed["applied"]) == ("k", 2, 1)
    assert (unkeyed["key"], unkeyed["times"], unkeyed["applied"]) == (None, 1, 1)


async def test_an_app_without_idempotency_applies_a_repeated_key_twice(acme: Client) -> None:
    status, _, _ = await acme.ask("PATCH", f"/sandbox/workspaces/{acme.id}", {"idempotency": False})
    assert status == 200
    for _ in range(2):
        status, _, headers = await acme.ask("POST", "/v1/accounts", {"name": "Stark"}, key="k")
        assert (status, "Idempotency-Replayed" in headers) == (201, False)
    assert len(await acme.see("/v1/accounts")) == 2
    only = await acme.see(f"/sandbox/effects?workspace={acme.id}&key=k")
    assert [(each["times"], each["applied"]) for each in only] == [(2, 2)]


async def test_only_the_last_effects_and_deliveries_are_kept(receiver: Receiver) -> None:
    async with running(Settings(kept=3)) as acme:
        await acme.make("/webhooks", event="account.created", url=receiver.url, secret=SECRET)
        for number in range(5):
            await acme.ask("POST", "/v1/accounts", {"name": str(number)}, key=str(number))
        await until(lambda: len(receiver.got) == 5)
        assert [each["key"] for each in await acme.effects()] == ["2", "3", "4"]
        [made] = await acme.see("/sandbox/workspaces")
        assert await acme.see(f"/sandbox/effects?workspace={made['name']}") == await acme.effects()
        assert len(await acme.deliveries()) == 3


# --- webhooks


async def subscribe(acme: Client, receiver: Receiver, event: str = "account.created") -> Any:
    return await acme.make("/webhooks", event=event, url=receiver.url, secret=SECRET)


async def test_every_change_is_told_signed_and_in_order(acme: Client, receiver: Receiver) -> None:
    events = ["account.created", "account.updated", "opportunity.created", "opportunity.updated"]
    events += ["stock.changed", "activity.created", "contact.changed"]
    for event in events:
        await subscribe(acme, receiver, event)
    account = await acme.make("/accounts", name="Stark")
    _, changed, _ = await acme.ask("PATCH", f"/v1/accounts/{account['id']}", {"name": "Wayne"})
    sale = await acme.make("/opportunities", name="Suit", seats=2**53 + 1, price="22.00")
    _, sold, _ = await acme.ask("PATCH", f"/v1/opportunities/{sale['id']}", {"stage": "won"})
    stock = await acme.make("/stock/bolt/add", quantity=5)
    note = await acme.make("/activities", kind="note", title="Hello")
    person = await acme.make("/contacts", name="Pepper")
    await until(lambda: len(receiver.got) == 7)

    told = dict[str, Any]()
    for headers, body in receiver.got:
        verified = Webhook(SECRET).verify(body, headers)
        told[verified["type"]] = verified["data"]
        assert headers["webhook-id"].startswith("msg_")
    records = [account, changed, sale, sold, stock, note, person]
    assert told == dict(zip(events, records, strict=True))
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 7


async def test_a_webhook_is_tried_until_it_is_taken(acme: Client, receiver: Receiver) -> None:
    receiver.statuses = [503, 302, 404]
    webhook = await subscribe(acme, receiver)
    await acme.make("/accounts", name="Stark")

    async def delivered() -> bool:
        return len(await acme.deliveries()) == 4

    await until(delivered)
    tries = await acme.deliveries()
    assert [each["status"] for each in tries] == [503, 302, 404, 204]
    assert [each["outcome"] for each in tries] == ["failed", "failed", "failed", "delivered"]
    assert [each["attempt"] for each in tries] == [1, 2, 3, 4]
    assert {each["webhook_id"] for each in tries} == {webhook["id"]}
    assert len({(headers["webhook-id"], body) for headers, body in receiver.got}) == 1
    for headers, body in receiver.got:
        Webhook(SECRET).verify(body, headers)
    shown = (await acme.see(f"/sandbox/overview?workspace={acme.id}"))["shown"]["webhooks"][0]
    assert (shown["pending"], shown["last"]["outcome"]) == (0, "delivered")


async def test_a_webhook_that_nobody_takes_is_given_up(receiver: Receiver) -> None:
    async with running(Settings(backoff=(0.01,), tries=3)) as acme:
        await acme.make(
            "/webhooks", event="account.created", url="http://127.0.0.1:9/", secret=SECRET
        )
        await acme.make("/accounts", name="Stark")

        async def given_up() -> bool:
            return [each["outcome"] for each in await acme.deliveries()][2:] == ["given_up"]

        await until(given_up)
        assert all(each["status"] is None and each["error"] for each in await acme.deliveries())


async def test_a_waiting_delivery_does_not_hold_up_the_next(receiver: Receiver) -> None:
    async with running(Settings(backoff=(0.5,))) as acme:
        receiver.statuses = [500]
        await subscribe(acme, receiver)
        for name in ("first", "second"):
            await acme.make("/accounts", name=name)
        await until(lambda: len(receiver.got) == 3)
        assert receiver.names() == ["first", "second", "first"]


async def test_a_deleted_webhook_is_not_called_any_more(acme: Client, receiver: Receiver) -> None:
    receiver.gate.clear()
    gone, stays = await subscribe(acme, receiver), await subscribe(acme, receiver)
    for number in range(3):
        await acme.make("/accounts", name=str(number))
    await until(lambda: len(receiver.got) == 2)
    assert (await acme.ask("DELETE", f"/v1/webhooks/{gone['id']}"))[0] == 204
    receiver.gate.set()

    async def delivered() -> bool:
        return len(await acme.deliveries()) == 3

    await until(delivered)
    assert {each["webhook_id"] for each in await acme.deliveries()} == {stays["id"]}
    assert sorted(receiver.names()) == ["0", "0", "1", "2"]


# --- faults


async def test_an_answer_is_lost_after_its_effect(acme: Client) -> None:
    await acme.faults(lose_answer_next=1)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await acme.ask("POST", "/v1/stock/bolt/add", {"quantity": 5}, key="k")
    assert (await acme.see("/v1/stock/bolt"))["quantity"] == 5
    status, stock, headers = await acme.ask("POST", "/v1/stock/bolt/add", {"quantity": 5}, key="k")
    assert (status, stock["quantity"], headers["Idempotency-Replayed"]) == (200, 5, "true")
    assert [(each["times"], each["applied"]) for each in await acme.effects()] == [(2, 1)]


async def test_just_the_named_requests_fail_and_just_the_named_answers_are_lost(
    acme: Client,
) -> None:
    await acme.faults(fail_at=[3, 1], lose_answer_at=[1, 9])
    tried = list[int]()
    for number in range(5):
        try:
            tried.append((await acme.ask("POST", "/v1/accounts", {"name": str(number)}))[0])
        except aiohttp.ServerDisconnectedError:
            tried.append(0)
    assert tried == [201, 503, 0, 503, 201]
    assert sorted(each["name"] for each in await acme.see("/v1/accounts")) == ["0", "2", "4"]
    _, listed, _ = await acme.ask("GET", "/sandbox/faults")
    left = listed["workspaces"][acme.id]
    assert (left["fail_at"], left["lose_answer_at"]) == ([], [6])


async def test_the_next_requests_fail_without_an_effect(acme: Client) -> None:
    await acme.faults(fail_next=2, status=502)
    ask = ("POST", "/v1/accounts", {"name": "Stark"})
    assert [(await acme.ask(*ask, key="k"))[0] for _ in range(4)] == [502, 502, 201, 201]
    assert [(each["times"], each["applied"]) for each in await acme.effects()] == [(4, 1)]


async def test_errors_come_at_a_rate_and_again_from_the_same_seed(acme: Client) -> None:
    async def run(seed: int) -> list[int]:
        await acme.faults(error_rate=0.5, seed=seed)
        return [(await acme.ask("GET", "/v1/me"))[0] for _ in range(30)]

    first = await run(1)
    assert set(first) == {200, 503}
    assert await run(1) == first
    assert await run(2) != first


async def test_too_many_requests_are_told_when_to_come_back() -> None:
    now = [1_000_000.0]
    async with running(Settings(clock=lambda: now[0])) as acme:
        await acme.faults(rate_limit_per_s=2)
        assert [(await acme.ask("GET", "/v1/me"))[0] for _ in range(2)] == [200, 200]
        status, answer, headers = await acme.ask("GET", "/v1/me")
        assert (status, answer["error"]["code"], headers["Retry-After"]) == (
            429,
            "rate_limited",
            "1",
        )
        now[0] += 1
        assert [(await acme.ask("GET", "/v1/me"))[0] for _ in range(3)] == [200, 200, 429]
        await acme.faults(rate_limit_per_s=0.1)
        assert (await acme.ask("GET", "/v1/me"))[0] == 200
        assert (await acme.ask("GET", "/v1/me"))[2]["Retry-After"] == "10"


async def test_a_slow_app_answers_late(acme: Client) -> None:
    loop = asyncio.get_running_loop()
    await acme.faults(latency_ms=60, latency_jitter_ms=1)
    began = loop.time()
    await acme.make("/accounts", name="Stark")
    assert loop.time() - began >= 0.05


async def test_a_hanging_app_does_nothing_and_then_cuts(acme: Client) -> None:
    await acme.faults(hang_s=0.05)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await acme.ask("POST", "/v1/accounts", {"name": "Stark"})
    await acme.faults(hang_s=60)
    with pytest.raises(TimeoutError):
        await acme.ask(
            "POST", "/v1/accounts", {"name": "x"}, timeout=aiohttp.ClientTimeout(total=0.05)
        )
    await acme.faults()
    assert await acme.see("/v1/accounts") == []


async def test_webhooks_are_sent_twice_with_one_id(acme: Client, receiver: Receiver) -> None:
    await acme.faults(duplicate_rate=1)
    await subscribe(acme, receiver)
    await acme.make("/accounts", name="Stark")
    await until(lambda: len(receiver.got) == 2)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1


async def test_webhooks_come_out_of_order_but_all_come(acme: Client, receiver: Receiver) -> None:
    await acme.faults(reorder=True)
    await subscribe(acme, receiver)
    await asyncio.gather(*(acme.make("/accounts", name=str(number)) for number in range(20)))
    sent = [each["name"] for each in await acme.see("/v1/accounts")]
    await until(lambda: len(receiver.got) == 20)
    assert receiver.names() != sent
    assert sorted(receiver.names()) == sorted(sent)


async def test_webhooks_get_dropped(acme: Client, receiver: Receiver) -> None:
    await acme.faults(drop_webhook_rate=1)
    await subscribe(acme, receiver)
    await acme.make("/accounts", name="lost")
    await acme.faults()
    await acme.make("/accounts", name="found")
    await until(lambda: bool(receiver.got))
    assert receiver.names() == ["found"]
    assert (await acme.deliveries())[0]["outcome"] == "dropped"


async def test_faults_are_shown_replaced_and_cleared(acme: Client) -> None:
    other = await open_workspace(acme.session, acme.base)
    assert await acme.see("/sandbox/faults") == {"all": None, "workspaces": {}}
    assert (await acme.ask("POST", "/sandbox/faults", {"error_rate": 1}))[0] == 200
    await acme.faults(fail_next=2)
    assert (await acme.ask("GET", "/v1/me"))[0] == 503
    active = await acme.see("/sandbox/faults")
    assert (active["all"]["error_rate"], list(active["workspaces"])) == (1, [acme.id])
    assert active["workspaces"][acme.id]["fail_next"] == 1
    assert (await other.ask("GET", "/v1/me"))[0] == 503
    assert (await acme.ask("DELETE", "/sandbox/faults"))[0] == 204
    assert await acme.see("/sandbox/faults") == {"all": None, "workspaces": {}}
    assert (await other.ask("GET", "/v1/me"))[0] == 200
    for wrong in ({"error_rate": 2}, {"status": 200}, {"typo": 1}):
        assert (await acme.ask("POST", "/sandbox/faults", wrong))[0] == 422
    assert (await acme.ask("POST", "/sandbox/faults", {"workspace": "wks_none"}))[0] == 404


# --- the page


@pytest.mark.browser
async def test_the_page_shows_records_inertly_and_edits_them(
    acme: Client, receiver: Receiver
) -> None:
    from playwright.async_api import async_playwright

    hostile = (
        "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    )
    await acme.make("/accounts", name=hostile)
    await acme.make("/opportunities", name="Suit", seats=2**53 + 1, price="22.00")
    await acme.make("/activities", kind=hostile, title=hostile)
    await acme.make("/stock/%3Cscript%3E/add", quantity=1)
    await subscribe(acme, receiver, "opportunity.updated")
    flags = "--disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --disable-gpu"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=flags.split(), chromium_sandbox=False
        )
        page = await browser.new_page()
        page.set_default_timeout(DEADLINE * 1_000)
        wrong = list[str]()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        await page.goto(f"{acme.base}/#{acme.id}")
        await page.get_by_role("cell", name=hostile).first.wait_for()
        await page.get_by_role("cell", name=str(2**53 + 1)).wait_for()
        assert await page.title() == "Acme (sandbox)"
        assert await page.locator("td script, td img").count() == 0

        await page.get_by_role("button", name="Edit Suit").click()
        await page.get_by_label("Seats").fill("9007199254740995")
        await page.get_by_label("Price").fill("24.50")
        await page.get_by_role("button", name="Save").click()
        await until(lambda: len(receiver.got) == 1)
        told = json.loads(receiver.got[0][1])["data"]
        assert (told["seats"], told["price"]) == (9007199254740995, "24.50")
        await page.get_by_role("cell", name="delivered · 204").wait_for()

        await page.get_by_role("button", name="Add to accounts").click()
        await page.get_by_role("button", name="Save").click()
        await page.get_by_role("alert").get_by_text("name:").wait_for()
        await page.get_by_label("Name").fill("Wayne")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_role("cell", name="Wayne").wait_for()
        await page.get_by_role("button", name="Add to contacts").click()
        await page.get_by_label("Name").fill("Pepper")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_role("button", name="Edit Pepper").click()
        await page.get_by_label("Email").fill(" Pepper@Stark.example")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_role("cell", name="pepper@stark.example", exact=True).wait_for()
        await acme.make("/accounts", name="From outside")
        await page.get_by_role("cell", name="From outside").wait_for()
        assert [text for text in wrong if "422" not in text] == []
        await browser.close()
