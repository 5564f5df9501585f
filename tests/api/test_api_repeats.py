"""Requests that are sent again with their Idempotency-Key: done once, and answered alike."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from halflap.errors import StoreError
from halflap.store.catalogue.answers import StoredAnswers
from tests.api.conftest import document_of, signed_in

DRAFTS: dict[str, dict[str, Any]] = {
    "add_customer": {"json": {"name": "Twice"}},
    "make_connection": {
        "json": {
            "name": "twice",
            "customer": "Initech",
            "integration": "orders",
            "field": "shop",
            "values": {"base_url": "{url}", "api_key": "good-key"},
        }
    },
    "add_instance": {
        "json": {
            "customer": "Initech",
            "integration": "orders",
            "name": "twice",
            "config": {"label": "a"},
            "connections": {"shop": "twice"},
        }
    },
    "begin_bulk": {"json": {"do": "dismiss", "where": {"flow": "incoming"}}},
    "upgrade_instances": {"json": {"version": "2"}},
    "publish_version": {"body": b"{bundle}", "overwrite": True},
    "replay_execution": {"json": {"from": "start", "repeat": True}},
    "add_receiver": {"json": {"url": "https://hooks.example/orders", "name": "hooks"}},
    "mint_token": {"json": {"customer": "Initech"}},
    "add_user": {"json": {"email": "twice@example.com"}},
    "make_link": {"json": {"email": "twice@example.com"}},
    "make_key": {"json": {"name": "twice", "rights": ["read"]}},
    "undo_bulk": {"json": ...},
    "publish_component_set": {"body": b"{bundle}", "name": "twice"},
    "begin_draft": {"json": {"integration": "twice"}},
    "publish_draft": {"json": {}},
}
"""By operation, what it makes something of."""
COUNTED = ("customers", "connections", "instances", "bulks", "tokens", "users", "keys")


async def test_whatever_makes_something_makes_it_once(either: Any) -> None:
    first = either.bundle()
    await either.publish(first)
    instance = await either.instance()
    execution = await either.send(instance, b'{"id": "1", "amount": 1}')
    await either.ended(execution)
    document = document_of(either)
    makes = {
        each["operationId"]: (path, each)
        for path, methods in document["paths"].items()
        for method, each in methods.items()
        if method == "post" and "201" in each["responses"]
    }
    assert set(makes) == set(DRAFTS)
    draft = await either.api("POST", "/api/drafts", {"integration": "fresh"})
    revision = draft.headers["etag"]
    names = {
        "customer": "Initech",
        "execution": execution,
        "integration": "orders",
        "draft": draft.json["id"],
    }

    async def counts() -> list[int]:
        found = [await either.api.get(f"/api/{each}", limit=1_000) for each in COUNTED]
        executions = await either.api.items("/api/executions")
        versions = await either.api.items("/api/integrations/orders/versions")
        return [len(each["items"]) for each in found] + [len(executions), len(versions)]

    order = sorted(makes, key=lambda each: ("publish" not in each, list(DRAFTS).index(each)))
    for name in order:
        path, described = makes[name]
        assert "Idempotency-Key" in [each["name"] for each in described["parameters"]], name
        draft = dict(DRAFTS[name])
        if name == "publish_version":
            draft["body"] = either.bundle(label="another").to_bytes()
        if name == "publish_component_set":
            draft["body"] = either.components().to_bytes()
        if name == "make_connection":
            draft["json"]["values"]["base_url"] = either.shop.url
        if name == "undo_bulk":
            bulks = await either.api.items("/api/bulks")
            names["bulk"] = next(each["id"] for each in bulks if each["do"] == "upgrade")
            await either.api("POST", f"/api/bulks/{names['bulk']}/cancel")
        headers = {"idempotency-key": f"key of {name}"}
        if name == "publish_draft":
            headers["if-match"] = revision

        async def send(headers: Any = headers, draft: Any = draft, path: str = path) -> Any:
            return await either.api("POST", path.format(**names), headers=headers, **draft)

        made = await send()
        assert made.status == 201, (name, made.body)
        assert "idempotent-replayed" not in made.headers
        before = await counts()
        again = await send()
        assert (again.status, again.body) == (201, made.body), name
        assert again.headers["idempotent-replayed"] == "true"
        assert await counts() == before, name
        other = await either.api(
            "POST", path.format(**names), {"another": "request"}, headers=headers
        )
        assert (other.status, other.kind) == (422, "KeyReused"), name
    # Of what was made, no secret can be read where the answers are kept.
    rows = await either.host.store.database.read(
        lambda c: [bytes(each) for (each,) in c.execute("SELECT answer FROM answers").fetchall()]
    )
    assert len(rows) == len(DRAFTS)
    assert not any(b"halflap_" in each or b"twice" in each for each in rows)
    audited = await either.api.get("/api/audit", operation="add_customer", limit=2)
    assert [each["changes"].get("Idempotent-Replayed") for each in audited["items"]] == [
        True,
        None,
    ]


async def test_one_that_is_refused_may_be_sent_again_and_one_without_an_answer_is_not(
    either: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def add(name: str, key: str, **more: Any) -> Any:
        headers = {"idempotency-key": key}
        return await either.api("POST", "/api/customers", {"name": name}, headers=headers, **more)

    await either.api("POST", "/api/customers", {"name": "Taken"})
    for _ in range(2):
        refused = await add("Taken", "a")
        assert (refused.status, refused.kind) == (422, "ConfigError")
    for wrong in ("", "x" * 256, "\t"):
        assert list((await add("New", wrong)).json["fields"]) == ["Idempotency-Key"], wrong
    # A process that ends, or a store that fails, between the change and the answer.
    with monkeypatch.context() as patched:

        async def fails(*_: Any) -> None:
            raise StoreError("the disk is gone")

        patched.setattr(StoredAnswers, "keep", fails)
        assert (await add("Once", "b")).status == 503
    for _ in range(2):
        again = await add("Once", "b")
        assert (again.status, again.kind) == (409, "Unanswered")
    names = [each["name"] for each in await either.api.items("/api/customers")]
    assert names == ["Once", "Taken"]
    # Two at once: one is done, the other is told to come back.
    both = await asyncio.gather(add("Both", "c"), add("Both", "c"))
    assert sorted(each.status for each in both) in ([201, 201], [201, 409])
    assert (await add("Both", "c")).headers["idempotent-replayed"] == "true"
    # The control: without the key, each is done.
    tokens = [await either.api("POST", "/api/tokens", {"customer": "Both"}) for _ in range(2)]
    assert tokens[0].json["id"] != tokens[1].json["id"]
    # Keys are each principal's own, and an answer is for who may still ask.
    developer = await signed_in(either, "developer")
    headers = {"idempotency-key": "c"}
    own = await developer("POST", "/api/customers", {"name": "Both"}, headers=headers)
    assert (own.status, own.kind) == (422, "ConfigError")
    own = await developer("POST", "/api/customers", {"name": "Own"}, headers=headers)
    assert own.status == 201
    change = {"role": "support"}
    assert (await either.api("PATCH", f"/api/users/{developer.user}", change)).status == 200
    links = (await either.api("POST", "/api/links", {"email": "developer@example.com"})).json
    await developer.sign_in(link=links["link"])
    again = await developer("POST", "/api/customers", {"name": "Own"}, headers=headers)
    assert again.status == 403


async def test_answers_are_kept_for_a_day(world: Any) -> None:
    draft, headers = {"name": "Daily"}, {"idempotency-key": "daily"}
    assert (await world.api("POST", "/api/customers", draft, headers=headers)).status == 201
    answers = world.host.store.catalogue.answers
    assert not await answers.prune(10)
    assert (await world.api("POST", "/api/customers", draft, headers=headers)).status == 201
    now = world.host.store.clock()
    answers._clock = lambda: now + 86_400_000_000
    assert not await answers.prune(10)
    again = await world.api("POST", "/api/customers", draft, headers=headers)
    assert (again.status, again.kind) == (422, "ConfigError")
