"""The form of a version, who uses a connection, and how instances fare, as the console shows them."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from halflap.engine.bundle import pack
from tests.api.conftest import ORDERS, SHOP, World, signed_in

YAML = """
name: deals
title: Deals
description: Deals go to the books.

config:
  Account:
    books: {connection: http, title: The books, description: Where deals are booked.}
    zone: {type: text, default: Europe/Vienna}
  Rules:
    discount: {type: decimal, minimum: 0, maximum: 100, default: 0}
    kind: {choices: {new: New ones, old: Old ones}, required: false}
    every: {type: text, default: "0 8 * * *"}

flows:
  nightly:
    trigger: schedule.cron
    with: {expression: =config.every, tz: =config.zone}
    steps:
      - log: tick
"""
CHECKED = (
    SHOP
    + """

@order_changed.exists
async def _(shop: Shop, subscription: Subscription) -> bool:
    return "ok" in await shop.get("/me")
"""
)


async def test_a_form_has_its_fields_by_page_with_connections_in_their_place(world: World) -> None:
    root = world.folder / "yaml"
    root.mkdir()
    (root / "deals.yaml").write_text(YAML)
    await world.publish(pack(root, "deals.yaml"))
    form = await world.api.get("/api/integrations/deals/versions/1/form")

    assert [(p["title"], [f["name"] for f in p["fields"]]) for p in form["pages"]] == [
        ("Account", ["books", "zone"]),
        ("Rules", ["discount", "kind", "every"]),
    ]
    books, zone = form["pages"][0]["fields"]
    assert (books["title"], books["required"], books["value"]) == ("The books", True, None)
    assert books["connection"]["component"] == "http"
    assert "base_url" in books["connection"]["form"]["properties"]
    assert (zone["value"]["format"], zone["required"]) == ("time-zone", False)
    _, kind, every = form["pages"][1]["fields"]
    assert kind["value"]["x-labels"] == {"new": "New ones", "old": "Old ones"}
    assert every["value"]["format"] == "cron"


SIGNED = """
name: signed
config:
  Rules:
    scheme: {default: github}
flows:
  bare:
    trigger: webhook.request
    sample: {id: a, total: 1.10}
    steps: [{stop: true}]
  hub:
    trigger: webhook.request
    with: {signature: github}
    schema: {type: object, properties: {number: {type: integer, examples: [7]}}}
    steps: [{stop: true}]
  timed:
    trigger: webhook.request
    with: {signature: standard}
    steps: [{stop: {answer: =event.tested}}]
  looked:
    trigger: webhook.request
    with: {methods: [GET]}
    steps: [{stop: true}]
tests:
  - {name: one, flow: timed, event: {tested: "it's"}}
"""


async def test_an_endpoint_has_an_example_that_it_takes(world: World) -> None:
    root = world.folder / "signed"
    root.mkdir()
    (root / "signed.yaml").write_text(SIGNED)
    await world.publish(pack(root, "signed.yaml"))
    made = await world.add(await world.customer(), "signed")
    path = f"/api/instances/{made['id']}"
    found = await world.activate(made["id"])
    bodies: dict[str, str] = {}
    for flow, url in found["urls"].items():
        example = await world.api.get(f"{path}/endpoints/{flow}/example")
        assert example["url"] == url
        bodies[flow] = example["body"]
        hook, body = urlsplit(url).path, example["body"].encode()
        told = {"headers": example["headers"], "token": None}
        sent = await world.api(example["method"], hook, body=body, **told)
        assert sent.status < 300, (flow, example, sent.body)
        forged = {name: each for name, each in example["headers"].items() if name == "Content-Type"}
        if forged != example["headers"]:
            assert (await world.hook(found, b"{}", flow, **forged)).status == 401
    assert bodies == {
        "bare": '{"id":"a","total":1.10}',
        "hub": '{"number":7}',
        "timed": '{"tested":"it\'s"}',
        "looked": "",
    }
    assert (await world.api("GET", f"{path}/endpoints/none/example")).status == 404
    viewer = await signed_in(world, "viewer")
    assert (await viewer("GET", f"{path}/endpoints/bare/example")).status == 403


SHOWN = """
name: copies
config:
  Choose:
    mode: {choices: [all, some], default: all}
    tag: {when: {mode: some}}
flows:
  main:
    trigger: webhook.request
    with: {answer: result}
    steps: [{stop: {answer: =config.tag}}]
"""


async def test_a_field_that_is_not_shown_is_neither_demanded_nor_stored(world: World) -> None:
    root = world.folder / "shown"
    root.mkdir()
    (root / "copies.yaml").write_text(SHOWN)
    first = await world.publish(pack(root, "copies.yaml"))
    form = await world.api.get("/api/integrations/copies/versions/1/form")
    tag = form["pages"][0]["fields"][1]
    assert (tag["required"], tag["value"]["x-when"]) == (True, {"mode": ["some"]})

    draft = {
        "customer": await world.customer(),
        "integration": "copies",
        "config": {"mode": "some"},
    }
    refused = await world.api("POST", "/api/instances", draft)
    assert (refused.status, [*refused.json["fields"]]) == (422, ["tag"])
    made = await world.api("POST", "/api/instances", {**draft, "config": {"tag": "vip"}})
    assert (made.status, made.json["config"]) == (201, {})
    path = f"/api/instances/{made.json['id']}"
    body = {"config": {"mode": "some", "tag": "vip"}, "connections": {}}
    assert (await world.api("PUT", f"{path}/config", body)).json["config"] == body["config"]
    back = await world.api("PATCH", path, {"config": {"mode": "all"}})
    assert back.json["config"] == {"mode": "all"}
    (root / "copies.yaml").write_text(SHOWN.replace("default: all}", "default: some}"))
    await world.publish(pack(root, "copies.yaml"), expect=first)
    body = {"version": "2", "config": {"tag": "gone"}}
    assert (await world.api("POST", f"{path}/upgrade", body)).status < 300
    assert (await world.api.get(path))["config"] == {"mode": "all"}


async def test_fields_of_no_page_come_to_one_for_their_kind(world: World) -> None:
    await world.publish()
    form = await world.api.get("/api/integrations/orders/versions/dev/form")
    assert [(p["title"], [f["name"] for f in p["fields"]]) for p in form["pages"]] == [
        ("Connect", ["shop"]),
        ("Options", ["label", "discount"]),
    ]
    assert form["pages"][0]["fields"][0]["connection"]["component"] == "shop:Shop"
    assert (await world.api("GET", "/api/integrations/orders/versions/7/form")).status == 404


async def test_a_customer_sees_the_form_of_what_is_offered_alone(world: World) -> None:
    await world.publish()
    customer = await world.customer()
    token = await world.token(customer)
    path = "/api/integrations/orders/versions/1/form"
    assert (await world.api("GET", path, token=token)).status == 404
    await world.api("PUT", "/api/integrations/orders/offer", {"version": "1"})
    assert (await world.api.get(path, token=token))["title"] == "Orders to the shop"


async def test_a_connection_says_which_instances_use_it(world: World) -> None:
    await world.publish()
    instance = await world.instance()
    other = await world.customer("Globex")
    team = await world.connection(None, "ours")
    draft = {
        "customer": other,
        "integration": "orders",
        "config": {"label": "x"},
        "connections": {"shop": "ours"},
    }
    made = (await world.api("POST", "/api/instances", draft)).json

    listed = {each["id"]: each for each in await world.api.items("/api/connections")}
    own = listed[instance["connections"]["shop"]]
    assert (own["customer_name"], own["uses"]) == ("Initech", 1)
    assert [each["id"] for each in own["used_by"]] == [instance["id"]]
    assert (listed[team]["customer_name"], listed[team]["uses"]) == (None, 1)
    assert listed[team]["used_by"][0]["customer"] == other
    found = await world.api.items("/api/customers")
    customers = {each["name"]: each for each in found}
    assert customers["Initech"]["instances"] == {"active": 1}
    assert customers["Globex"]["instances"] == {"configured": 1}
    assert made["state"] == "configured"


async def test_the_health_of_an_instance_counts_its_day(world: World) -> None:
    await world.publish()
    instance = await world.instance()
    await world.ended(await world.send(instance, {"id": "1", "amount": 5}))
    world.shop.broken = True
    await world.ended(await world.send(instance, {"id": "2", "amount": 5}))
    asked = await world.api.get("/api/instances/health", instance=instance["id"])
    [health] = asked
    assert (health["failed"], health["backlog"]) == (1, 0)
    assert health["last_ok"] < health["last_failed"]


async def test_revisions_of_a_config_are_listed_newest_first(world: World) -> None:
    await world.publish()
    instance = await world.instance()
    for label in ("a", "b"):
        draft = {"config": {"label": label}, "connections": instance["connections"]}
        assert (await world.configure(instance["id"], draft, wait=30)).status == 200
    path = f"/api/instances/{instance['id']}/revisions"
    page = await world.api.get(path, limit=2)
    assert [each["config"]["label"] for each in page["items"]] == ["b", "a"]
    rest = await world.api.get(path, before=page["next"])
    assert [each["config"]["label"] for each in rest["items"]] == ["x"]
    assert rest["next"] is None
    support = await signed_in(world, "viewer")
    seen = await support("GET", path)
    assert [each["config"] for each in seen.json["items"]] == [{}, {}, {}]


async def test_apps_are_asked_whether_they_still_have_a_webhook(world: World) -> None:
    await world.publish()
    instance = await world.instance()
    path = f"/api/instances/{instance['id']}/subscriptions"
    [unknown] = await world.api.get(path)
    assert (unknown["flow"], unknown["exists"]) == ("changed", None)
    assert unknown["because"] == "shop.order_changed cannot ask its app"

    files = {"orders.py": ORDERS, "shop.py": CHECKED}
    await world.publish(world.packed("orders:integration", files), overwrite=True)
    upgraded = await world.api(
        "POST", f"/api/instances/{instance['id']}/upgrade", {"version": "2"}, wait=30
    )
    assert upgraded.json["state"] == "active", upgraded.body
    [checked] = await world.api.get(path)
    assert checked["exists"] is False
    world.shop.keys.clear()
    [refused] = await world.api.get(path)
    assert refused["exists"] is None
    assert "good-key" not in refused["because"]


async def test_only_the_session_that_began_a_sign_in_may_end_it(world: World) -> None:
    await world.publish(world.cloud())
    cloud = await world.cloud_connection(await world.customer(), client_id="c")
    one = await signed_in(world, "developer")
    other = await signed_in(world, "developer", "other@example.com")
    begun = await one(
        "POST", f"{cloud}/authorize", {"redirect_uri": "http://127.0.0.1/console/connected"}
    )
    state = parse_qs(urlsplit(begun.json["url"]).query)["state"][0]
    answer = {"state": state, "code": "the-code"}

    for stranger in (other, world.api):
        refused = await stranger("POST", "/api/connections/authorized", answer)
        assert (refused.status, list(refused.json["fields"])) == (422, ["state"])
    ended = await one("POST", "/api/connections/authorized", answer)
    assert ended.status == 200, ended.body
    assert ended.json["needs_sign_in"] is False
