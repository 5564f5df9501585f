"""Customers' tokens: each reads and changes what is its customer's, and knows of nothing else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.routing import APIRoute

from halflap.api import stream
from halflap.api.app import ROUTERS
from halflap.api.asking import needed_by
from halflap.api.operations import connections, instances
from halflap.api.rights import ACCESSES, ROLES
from tests.api.conftest import ON_ONE_STORE, ORDERS, OUR_CLIENT, Client, document_of, signed_in
from tests.polling import DEADLINE, until

ORDER = {"id": "o-1", "amount": 5}
BODIES: dict[str, Any] = {
    "change_connection": {"name": "renamed", "test": False},
    "begin_authorization": {"redirect_uri": "https://app.example/callback"},
    "send_signal": {},
    "mint_token": {},
    "configure_instance": {},
}
QUERIES: dict[str, dict[str, str]] = {
    "get_inputs": {"step": "{step}"},
    "forget_pair": {"id": "1"},
    "get_counters": {"instance": "{instance}"},
}
# Routes that name nothing in their path: how they name something of another customer's.
NAMING: dict[str, list[tuple[dict[str, str], Any]]] = {
    "list_connections": [({"customer": "{customer}"}, ...)],
    "make_connection": [
        (
            {},
            {
                "customer": "{customer}",
                "name": "n",
                "values": {},
                "integration": "orders",
                "field": "shop",
            },
        )
    ],
    "list_choices": [
        ({}, {"instance": "{instance}", "field": "label"}),
        ({}, {"customer": "{customer}", "integration": "orders", "field": "label"}),
    ],
    "list_instances": [({"customer": "{customer}"}, ...)],
    "list_receivers": [({"customer": "{customer}"}, ...)],
    "add_instance": [({}, {"customer": "{customer}", "integration": "orders"})],
    "list_causes": [({"customer": "{customer}"}, ...), ({"instance": "{instance}"}, ...)],
    "list_executions": [
        ({"customer": "{customer}"}, ...),
        ({"instance": "{instance}"}, ...),
        ({"lineage": "{execution}"}, ...),
    ],
    "get_last_event": [({"customer": "{customer}"}, ...), ({"instance": "{instance}"}, ...)],
    "list_rejections": [
        ({"customer": "{customer}"}, ...),
        ({"instance": "{instance}"}, ...),
        ({"endpoint": "{endpoint}"}, ...),
    ],
    "list_logs": [({"customer": "{customer}"}, ...), ({"instance": "{instance}"}, ...)],
    "list_schedules": [({"customer": "{customer}"}, ...), ({"instance": "{instance}"}, ...)],
    "get_health": [({"instance": "{instance}"}, ...)],
    "get_counters": [({"instance": "{instance}"}, ...)],
    "get_stats": [({"customer": "{customer}"}, ...)],
    "search_payloads": [
        ({"q": "o-1", "customer": "{customer}"}, ...),
        ({"q": "o-1", "instance": "{instance}"}, ...),
    ],
    "stream_events": [
        ({"topics": "executions", "customer": "{customer}"}, ...),
        ({"topics": "instances", "instance": "{instance}"}, ...),
        ({"topics": "steps:{execution}"}, ...),
    ],
}
NOBODYS = {
    *("list_components", "list_offers", "end_authorization", "get_me", "get_form"),
    "get_webhooks_document",
}
"""Routes of customers that name nothing of a customer's: what is ended is named by a secret, a form by
what is offered to all, a document by what all receivers may be sent.
"""


LAST = {"remove_instance", "remove_connection", "disable_instance", "remove_receiver"}
"""Routes that are asked behind the others, as they end what these are asked about."""


@dataclass
class Side:
    """A customer, what is its own, and a token that acts for it."""

    names: dict[str, str]
    token: str
    sent: list[str]


@dataclass
class Two:
    """A world of two customers who have the same."""

    world: Any
    mine: Side
    others: Side

    def routes(self) -> Iterator[tuple[str, str, APIRoute]]:
        """Every route of the API, but for health."""
        for part in ROUTERS:
            for each in part.router.routes:
                assert isinstance(each, APIRoute)
                for method in sorted(each.methods):
                    yield method, each.name, each


@pytest.fixture
async def two(either: Any) -> Two:
    await either.publish()
    await offer(either, "orders")
    mine, others = [await side(either, name) for name in ("Mine", "Others")]
    return Two(either, mine, others)


async def offer(world: Any, integration: str, version: str = "dev") -> None:
    offered = await world.api("PUT", f"/api/integrations/{integration}/offer", {"version": version})
    assert offered.status == 200, offered.body


async def side(world: Any, name: str) -> Side:
    customer = await world.customer(name)
    instance = await world.instance(customer, f"orders of {name}")
    sent = [await world.send(instance, {**ORDER, "id": f"{name}-{n}"}) for n in range(2)]
    ended = [await world.ended(each) for each in sent]
    [step, *_] = [each["path"] for each in ended[0]["steps"] if each["kind"] == "action"]
    sent.append(await world.send(instance, {}, "waiting"))
    await world.state(sent[2], "waiting")
    token = await world.token(name, "secrets")
    url = {"url": f"{world.shop.url}/hooks"}
    receiver = await world.api("POST", f"/api/customers/{customer}/receivers", url)
    assert receiver.status == 201, receiver.body
    _, _, endpoint = instance["urls"]["incoming"].rpartition("/")
    refused = await world.api("GET", f"/hooks/{endpoint}", token=None)
    assert refused.status == 404 or refused.status == 405
    names = {
        "customer": customer,
        "instance": instance["id"],
        "connection": instance["connections"]["shop"],
        "execution": sent[0],
        "endpoint": endpoint,
        "name": "go",
        "step": step,
        "pairs": "people",
        "integration": "orders",
        "version": "dev",
        "flow": "incoming",
        "component": "http",
        "bulk": "blk_1",
        "token": "tok_1",
        "user": "usr_1",
        "key": "key_1",
        "draft": "drf_1",
        "component_set": "cset_1",
        "editor": "window",
        "event": "evt_1",
        "node": "n1",
        "event_type": "order.created",
        "receiver": receiver.json["id"],
    }
    return Side(names, token, sent)


def filled(value: Any, names: dict[str, str]) -> Any:
    """A request's part with ids in the place of their names."""
    match value:
        case str():
            return value.format_map(names)
        case dict():
            return {key: filled(each, names) for key, each in value.items()}
        case _:
            return value


async def ask(two: Two, method: str, route: APIRoute, names: dict[str, str], token: str) -> Any:
    body = filled(BODIES.get(route.name, ...), names)
    query = filled(QUERIES.get(route.name, {}), names)
    return await two.world.api(method, filled(route.path, names), body, token=token, **query)


async def test_of_another_customer_nothing_is_found_by_any_route_and_of_its_own_all(
    two: Two,
) -> None:
    unknown = {
        **two.others.names,
        **{
            each: f"{two.others.names[each][:4]}{'0' * 26}"
            for each in ("customer", "instance", "connection", "execution")
        },
        "endpoint": f"hk_{'0' * 26}",
    }
    told: list[str] = []
    document = document_of(two.world)["paths"].items()
    there = {(method.upper(), path) for path, methods in document for method in methods}
    assert {(m, route.path) for m, _, route in two.routes()} == there - {("GET", "/api/health")}
    for method, name, route in two.routes():
        if not needed_by(route.endpoint).for_customers:
            refused = await ask(two, method, route, two.mine.names, two.mine.token)
            assert (refused.status, refused.kind) == (403, "Forbidden"), name
            continue
        told.append(name)
        if "{" in route.path and name not in NOBODYS:
            foreign = await ask(two, method, route, two.others.names, two.mine.token)
            missing = await ask(two, method, route, unknown, two.mine.token)
            assert_alike(name, foreign, missing, two.others.names, unknown)
        for query, body in NAMING.get(name, []):
            foreign, missing = [
                await two.world.api(
                    method,
                    route.path,
                    filled(body, names),
                    token=two.mine.token,
                    **filled(query, names),
                )
                for names in (two.others.names, unknown)
            ]
            assert_alike(name, foreign, missing, two.others.names, unknown)
        assert "{" in route.path or name in NAMING or name in NOBODYS, f"{name}: say what it names"
    assert len(told) >= 30
    # Nothing of it was done.
    instance = await two.world.api("GET", f"/api/instances/{two.others.names['instance']}")
    assert (instance.status, instance.json["state"]) == (200, "active")
    waiting = await two.world.api.get(f"/api/executions/{two.others.sent[2]}")
    assert waiting["state"] == "waiting"
    # The control: with what is one's own, the same requests are answered.
    wrong = {"forget_pair", "list_pairs"}  # `orders` has no pairs, and says so
    found = [each for each in two.routes() if each[1] in told]
    for method, name, route in sorted(found, key=lambda each: each[1] in LAST):
        if "{" in route.path and name not in wrong:
            answer = await ask(two, method, route, two.mine.names, two.mine.token)
            assert answer.status not in (401, 403, 404, 500), (name, answer.body)
        for query, body in NAMING.get(name, []) if name != "stream_events" else []:
            answer = await two.world.api(
                method,
                route.path,
                filled(body, two.mine.names),
                token=two.mine.token,
                **filled(query, two.mine.names),
            )
            assert answer.status not in (401, 403, 404, 500), (name, answer.body)


def assert_alike(
    name: str, foreign: Any, missing: Any, theirs: dict[str, str], unknown: dict[str, str]
) -> None:
    """Check that another customer's object is answered like one that is missing, to the letter."""
    assert (foreign.status, foreign.kind) == (404, "NotFound"), (name, foreign.body)
    said, as_unknown = foreign.body.decode(), missing.body.decode()
    for each in ("customer", "instance", "connection", "execution", "endpoint"):
        said = said.replace(theirs[each], each)
        as_unknown = as_unknown.replace(unknown[each], each)
    assert said == as_unknown, name


async def test_lists_and_counts_tell_of_ones_own_alone_and_the_teams_connection_is_used(
    two: Two,
) -> None:
    api, token = two.world.api, two.mine.token

    async def ids(what: str, **query: Any) -> list[str]:
        found = await api.get(f"/api/{what}", token=token, **query)
        return [each["id"] for each in found["items"]]

    assert set(await ids("executions", flow="incoming")) == set(two.mine.sent[:2])
    assert await ids("instances") == [two.mine.names["instance"], two.mine.names["receiver"]]
    connection, _ = await ids("connections")
    assert connection == two.mine.names["connection"]
    assert await ids("receivers") == [two.mine.names["receiver"]]
    assert await ids("executions", key="Mine-0") == [two.mine.sent[0]]
    searched = await api.get("/api/executions", token=token, key="Others-0")
    assert searched == {"items": [], "next": None, "total": None}
    # Others' executions lie between the pages' ends, and are on none of them.
    pages: list[str] = []
    before: dict[str, str] = {"before": two.others.sent[2]}
    while True:
        page = await api.get("/api/executions", token=token, limit=1, **before)
        pages += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert len(pages) == len(await ids("executions"))
    own = await api.get(f"/api/customers/{two.mine.names['customer']}", token=token)
    assert (own["name"], own["running"], own["queued"]) == ("Mine", 0, 0)
    last = await api.get("/api/executions/last", token=token)
    assert last["id"] == two.mine.sent[2]
    found = await api("GET", "/api/search", token=token, q='"id":"')
    assert b"Mine-1" in found.body
    assert b"Others" not in found.body
    stats = await api.get("/api/stats", token=token, state="succeeded")
    assert [(each["key"], each["count"]) for each in stats["series"]] == [("succeeded", 2)]
    assert stats["backlog"] == 1
    # The control: the team's token sees both.
    stats = await api.get("/api/stats", state="succeeded")
    assert [(each["key"], each["count"]) for each in stats["series"]] == [("succeeded", 4)]
    everything = await api.items("/api/executions", flow="incoming")
    assert len(everything) == 4
    # The team's connection is used, and not shown.
    id = await two.world.connection(None, "everybody's shop")
    for path in (f"/api/connections/{id}", "/api/connections/everybody's shop"):
        assert (await api("GET", path, token=token)).status == 404
    changed = await api("PATCH", f"/api/connections/{id}", {"name": "mine now"}, token=token)
    assert changed.status == 404
    shop = {"shop": "everybody's shop"}
    await two.world.add("Mine", name="with the team's", connections=shop, token=token)


@ON_ONE_STORE
async def test_a_customer_makes_and_runs_what_is_its_own_so_much_and_no_more(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, token, mine = two.world, two.mine.token, two.mine.names["customer"]
    id = await world.connection(None, "second shop", token=token)
    assert (await world.api.get(f"/api/connections/{id}"))["customer"] == mine
    made = await world.add("Mine", name="second", connections={"shop": id}, token=token)
    await world.activate(made["id"], token=token)
    again = await world.replay(two.mine.sent[0], token=token)
    assert (await world.ended(again))["state"] == "succeeded"

    async def make(number: int, shop: str, token: str = world.api.token) -> list[Any]:
        connection = {"integration": "orders", "field": "shop", "name": f"shop {number}"}
        values = {"base_url": world.shop.url, "api_key": "good-key"}
        draft = {**connection, "customer": "Mine", "values": values, "test": False}
        instance = {"customer": "Mine", "integration": "orders", "name": f"orders {number}"}
        linked = {**instance, "config": {"label": "x"}, "connections": {"shop": shop}}
        return [
            await world.api("POST", "/api/connections", draft, token=token),
            await world.api("POST", "/api/instances", linked, token=token),
        ]

    # A config names no connection of another customer.
    foreign, unknown = two.others.names["connection"], f"con_{'0' * 26}"
    [_, refused], [_, missing] = [
        await make(3 + at, shop, token) for at, shop in enumerate((foreign, unknown))
    ]
    assert refused.status == missing.status == 422
    assert refused.body.decode().replace(foreign, "") == missing.body.decode().replace(unknown, "")
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 6)
    monkeypatch.setattr(instances, "MOST_INSTANCES", 4)
    assert [each.status for each in await make(5, id, token)] == [201, 201]
    assert [each.status for each in await make(6, id, token)] == [409, 409]
    assert [each.status for each in await make(6, id)] == [201, 201]  # the team may


@ON_ONE_STORE
async def test_who_signs_in_to_a_type_that_is_offered_ends_it_for_the_same_customer(
    two: Two,
) -> None:
    api, world = two.world.api, two.world
    await world.publish(world.cloud())
    draft = {"integration": "cloud-sync", "field": "cloud", "name": "n", "values": {}}
    for changes in ({}, {"version": "1"}, {"version": "dev"}):
        refused = await api("POST", "/api/connections", {**draft, **changes}, token=two.mine.token)
        assert (refused.status, refused.kind) == (404, "NotFound"), refused.body
    await offer(world, "cloud-sync")
    assert (await api("POST", "/api/connections", draft, token=two.mine.token)).status == 422
    path = await world.cloud_connection(token=two.others.token, **OUR_CLIENT)
    begun = await api(
        "POST",
        f"{path}/authorize",
        {"redirect_uri": "https://app.example/cb"},
        token=two.others.token,
    )
    answer = {"state": begun.json["state"], "code": "the-code"}
    unknown = {"state": "x" * 40, "code": "the-code"}
    foreign, missing = [
        await api("POST", "/api/connections/authorized", each, token=two.mine.token)
        for each in (answer, unknown)
    ]
    assert (foreign.status, foreign.body) == (422, missing.body)
    # It is still under way for who began it.
    ended = await api("POST", "/api/connections/authorized", answer, token=two.others.token)
    assert (ended.status, ended.json["status"]) == (200, "working"), ended.body


async def test_who_follows_hears_of_its_own_customer_alone(two: Two) -> None:
    mine = Client(two.world.api.app, two.mine.token)
    topics = "executions,logs,instances,connections"
    async with mine.stream("/api/stream", topics=topics) as heard:
        assert await heard.event() == ": following"
        for each in (two.others, two.mine):
            await two.world.api("POST", f"/api/executions/{each.sent[0]}/replay", {"from": "start"})
            await two.world.api("POST", f"/api/instances/{each.names['instance']}/disable")
            named = {"name": "renamed", "test": False}
            path = f"/api/connections/{each.names['connection']}"
            await two.world.api("PATCH", path, named)
        seen = set[str]()
        while seen != {"executions", "logs", "instances", "connections"}:
            name, told = await heard.named()
            assert told["customer"] == two.mine.names["customer"], (name, told)
            seen.add(name)


async def test_who_follows_is_sent_off_once_its_token_is_revoked(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.05)
    await world.customer("Mine")
    minted = (await world.api("POST", "/api/tokens", {"customer": "Mine"})).json
    client = Client(world.api.app, minted["token"])
    refused = await client("GET", "/api/stream", topics="bulks")  # which the team alone may follow
    assert (refused.status, refused.kind) == (403, "Forbidden")
    async with client.stream("/api/stream", topics="executions") as heard:
        assert await heard.event() == ": following"
        await world.api("DELETE", f"/api/tokens/{minted['id']}")
        async with asyncio.timeout(DEADLINE):
            assert await heard.chunks.get() == b""  # its last byte


async def test_a_token_is_kept_as_its_hash_and_ends_as_it_expires_or_is_revoked(
    world: Any,
) -> None:
    api = world.api
    made = await api("POST", "/api/customers", {"name": "Mine", "external_id": "4711"})
    minted = await api("POST", "/api/tokens", {"external_id": "4711"})
    assert minted.json["customer"] == made.json["id"]
    assert [e["name"] for e in await api.items("/api/customers", external_id="4711")] == ["Mine"]
    assert await api.items("/api/customers", external_id="4712") == []
    assert (await api("POST", "/api/tokens", {"external_id": "4712"})).status == 404
    for neither in ({}, {"customer": "Mine", "external_id": "4711"}):
        assert (await api("POST", "/api/tokens", neither)).status == 422

    revoked = (await api("POST", "/api/tokens", {"customer": "Mine", "label": "wizard"})).json
    listed = await api.items("/api/tokens", customer="Mine")
    assert [each["label"] for each in listed] == ["", "wizard"]
    assert all("token" not in each for each in listed)
    rows = str(
        await world.host.store.database.read(lambda c: c.execute("SELECT * FROM tokens").fetchall())
    )
    for each in (minted.json, revoked):
        assert each["id"] in rows
        assert each["token"].removeprefix("halflap_") not in rows
    assert (await api("GET", "/api/instances", token=revoked["token"])).status == 200
    assert (await api("DELETE", f"/api/tokens/{revoked['id']}")).status == 204
    assert (await api("DELETE", f"/api/tokens/{revoked['id']}")).status == 404
    refused = await api("GET", "/api/instances", token=revoked["token"])
    assert (refused.status, refused.kind) == (401, "TokenRefused")
    short = {"external_id": None, "customer": "Mine", "lasts_seconds": 1}
    expiring = (await api("POST", "/api/tokens", short)).json["token"]

    async def expired() -> bool:
        return (await api("GET", "/api/instances", token=expiring)).status == 401

    await until(expired)
    assert len(await api.items("/api/tokens", customer="Mine")) == 1


# Rights -----------------------------------------------------------------------------------------


@ON_ONE_STORE
async def test_every_route_is_answered_by_the_right_of_the_token(two: Two) -> None:
    """Every route of the OpenAPI document, by every kind of token, with one's own id and another's."""
    document = document_of(two.world)["paths"]
    tokens = {access: await two.world.token("Mine", access) for access in ACCESSES}
    secrets = f"/api/instances/{two.mine.names['instance']}/secrets"
    for access, token in tokens.items():
        shown = await two.world.api("GET", secrets, token=token)
        sees = access == "secrets"
        assert (shown.status == 200, b"whsec_" in shown.body) == (sees, sees), access
    for method, name, route in sorted(two.routes(), key=lambda each: each[1] in LAST):
        described = document[route.path][method.lower()]
        for access, token in tokens.items():
            rights = ACCESSES[access]
            allowed = described["x-for-customers"] and rights.issuperset(described["x-rights"])
            if name == "follow" or (name in LAST and allowed):
                continue
            for side in (two.others, two.mine) if allowed else (two.mine,):
                answer = await ask(two, method, route, side.names, token)
                told = (name, access, answer.body)
                assert (answer.status == 403) == (not allowed), told
                foreign = side is two.others and name not in NOBODYS
                if allowed and foreign and "{" in route.path:
                    assert answer.status == 404, told


async def test_every_route_is_answered_by_the_role_of_the_user(world: Any) -> None:
    """Every route of the OpenAPI document, by every role; refused ones before anything is looked at."""
    document = document_of(world)["paths"]
    routes = [
        (method.upper(), path, described)
        for path, methods in document.items()
        for method, described in methods.items()
        if path not in ("/api/health", "/api/session", "/api/stream")
    ]
    assert len(routes) > 80
    for role, rights in ROLES.items():
        browser = await signed_in(world, role)
        for method, path, described in routes:
            place = re.sub(r"\{\w+\}", "none", path)
            answer = await browser(method, place, {} if method != "GET" else ...)
            allowed = rights.issuperset(described["x-rights"])
            told = (role, method, path, answer.body)
            if path == "/api/me/password":
                assert answer.status == 422, told
            else:
                assert (answer.status == 403) == (not allowed), told
    assert not ROLES["viewer"] - {"read"}


@ON_ONE_STORE
async def test_a_link_that_approves_is_shown_to_whom_may_see_secrets(either: Any) -> None:
    flow = """
@integration.flow(trigger=webhook.request())
async def asks(ctx: Context[Settings], event: Any) -> None:
    \"\"\"Asks somebody.\"\"\"
    link = ctx.signal_url("answer", "yes")
    ctx.log.info(f"ask at {link}", link=link)
    await ctx.state.put("link", link)
    await keep_link(link)
    await ctx.wait_for("answer")


@halflap.step
async def keep_link(link: str) -> dict[str, str]:
    \"\"\"Keep it.\"\"\"
    return {"link": link, "again": link.replace("/", "%2F")}
"""
    await either.publish(
        either.bundle(
            orders=f"{ORDERS}{flow}".replace("import shop", "import halflap\nimport shop")
        )
    )
    instance = await either.instance(await either.customer("Mine"))
    execution = await either.send(instance, {}, "asks")
    await either.state(execution, "waiting")
    whole = await either.api.get(f"/api/executions/{execution}")
    [step] = [each for each in whole["steps"] if each["name"] == "keep_link"]
    link = step["result"]["link"]
    token = link.partition("/signals/")[2].encode()
    assert len(token) > 40
    logs = f"/api/executions/{execution}/logs"
    result = f"/api/executions/{execution}/result"
    for access in (*ACCESSES, "team"):
        given = {} if access == "team" else {"token": await either.token("Mine", access)}
        sees = access in ("secrets", "team")
        for path, query in (
            (f"/api/executions/{execution}", {}),
            (logs, {}),
            (result, {"step": step["path"]}),
        ):
            shown = await either.api("GET", path, **given, **query)
            assert shown.status == 200, (path, shown.body)
            assert (token in shown.body) == sees, (access, path)
            assert (token.rpartition(b".")[2] in shown.body) == sees, (access, path)
        assert len((await either.api("GET", logs, **given)).body) == len(
            (await either.api("GET", logs)).body
        )


# What is offered --------------------------------------------------------------------------------


@ON_ONE_STORE
async def test_a_customer_activates_what_is_offered_at_the_offered_version(two: Two) -> None:
    api, token = two.world.api, two.mine.token
    first = await two.world.publish()
    newer = await two.world.publish(two.world.bundle(label="newer"), overwrite="true")
    await two.world.publish(two.world.cloud())  # not offered
    await offer(two.world, "orders", first)

    def draft(name: str, **changes: Any) -> dict[str, Any]:
        return {
            "customer": "Mine",
            "integration": "orders",
            "name": name,
            "config": {"label": "x"},
            "connections": {"shop": two.mine.names["connection"]},
            **changes,
        }

    refused = [
        {"version": newer},
        {"version": newer[:10]},
        {"version": "2"},
        {"target": "dev"},
        {"version": "no-such"},
        {"integration": "cloud-sync", "connections": {}},
        {"integration": "cloud-sync", "version": "1", "connections": {}},
        {"integration": "no-such"},
    ]
    for changes in refused:
        answer = await api("POST", "/api/instances", draft("new", **changes), token=token)
        assert (answer.status, answer.kind) == (404, "NotFound"), (changes, answer.body)
        team = await api("POST", "/api/instances", draft("team's", **changes))
        assert team.status != 404 or "no-such" in str(changes), changes
        gone = await api("DELETE", "/api/instances/team's")
        assert gone.status in (204, 404)
    for name, changes in (("a", {}), ("b", {"version": first}), ("c", {"target": "offered"})):
        made = await api("POST", "/api/instances", draft(name, **changes), token=token)
        assert (made.status, made.json["version"]["hash"]) == (201, first), made.body
    shown = await api.items("/api/offers", token=token)
    assert [(each["integration"], each["version"]["hash"]) for each in shown] == [("orders", first)]
    # Withdrawn, what is there stays, and nothing new is made.
    assert (await api("DELETE", "/api/integrations/orders/offer")).status == 204
    assert (await api("POST", "/api/instances", draft("d"), token=token)).status == 404
    again = await two.world.configure("a", draft("a"), token=token)
    assert again.status == 200, again.body
    active = await api("POST", f"/api/instances/{again.json['id']}/activate", token=token, wait=30)
    assert (active.status, active.json["state"]) == (200, "active")


@ON_ONE_STORE
async def test_a_customer_replays_on_its_own_or_the_offered_version(two: Two) -> None:
    api, token = two.world.api, two.mine.token
    newer = await two.world.publish(two.world.bundle(label="newer"), overwrite="true")
    path = f"/api/executions/{two.mine.sent[0]}/replay"
    for version in (newer, newer[:10], "2", "dev", "no-such"):
        refused = await api("POST", path, {"version": version}, token=token)
        assert (refused.status, refused.kind) == (404, "NotFound"), (version, refused.body)
    own = (await api.get(f"/api/executions/{two.mine.sent[0]}"))["version"]["hash"]
    for version in ("same", "current", own, own[:10]):
        replayed = await api("POST", path, {"version": version}, token=token)
        assert replayed.status == 201, (version, replayed.body)
        await two.world.ended(replayed.json["execution"])
    await offer(two.world, "orders", newer)
    replayed = await api("POST", path, {"version": newer}, token=token)
    assert replayed.status == 201, replayed.body
