"""Edits: a change is made if its object is still as it was read (ETag, If-Match)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from halflap.api.asking import answering
from halflap.api.view import TaggedView
from tests.api.conftest import ON_ONE_STORE, ORDERS

SHARED = """

@integration.preprocess(trigger=webhook.request(), shared=True)
async def receive(ctx: Context[Settings], event: Any) -> None:
    \"\"\"Everything, for all customers.\"\"\"
"""
Edit = Callable[[int, dict[str, str]], Awaitable[Any]]


@pytest.fixture
async def objects(either: Any) -> dict[str, tuple[str, list[Edit]]]:
    """By kind, the path of an object and ways to change it, each time to something else."""
    await either.publish(either.bundle(orders=ORDERS + SHARED))
    customer = (await either.api("POST", "/api/customers", {"name": "Initech"})).json["id"]
    connection = await either.connection("Initech", "main")
    draft = {
        "customer": customer,
        "integration": "orders",
        "config": {"label": "new"},
        "connections": {"shop": connection},
    }
    instance = (await either.api("POST", "/api/instances", draft)).json["id"]
    paths = {
        "customer": f"/api/customers/{customer}",
        "connection": f"/api/connections/{connection}",
        "instance": f"/api/instances/{instance}",
        "endpoint": "/api/integrations/orders/endpoints/receive",
    }

    def edit(what: str, method: str, body: Callable[[int], Any], more: str = "") -> Edit:
        async def send(n: int, headers: dict[str, str]) -> Any:
            return await either.api(method, paths[what] + more, body(n), headers=headers)

        return send

    config = {"connections": {"shop": connection}}
    edits = {
        "customer": [
            edit("customer", "PATCH", lambda n: {"private": n % 2 == 1}),
            edit("customer", "PUT", lambda n: {"concurrency": n}, "/limits"),
            edit("customer", "PUT", lambda n: {"execution": n}, "/retention"),
        ],
        "connection": [
            edit("connection", "PATCH", lambda n: {"values": {"region": f"r{n}"}}),
            edit("connection", "PUT", lambda n: {"rate": n}, "/limits"),
        ],
        "instance": [
            edit("instance", "PATCH", lambda n: {"name": f"name {n}"}),
            edit("instance", "PATCH", lambda n: {"config": {"label": f"part {n}"}}),
            edit("instance", "PUT", lambda n: {"config": {"label": str(n)}, **config}, "/config"),
            edit("instance", "PUT", lambda n: {"execution": n}, "/retention"),
        ],
        "endpoint": [
            edit("endpoint", "POST", lambda n: {"secret": f"secret {n}"}, "/secret"),
        ],
    }
    return {what: (path, edits[what]) for what, path in paths.items()}


async def test_a_route_answers_with_what_it_declares() -> None:
    async def nothing() -> None: ...

    async def untagged() -> TaggedView:
        return TaggedView()

    async def tagged() -> TaggedView:
        return TaggedView().with_tag("1")

    assert (await answering(nothing, 204)()).status_code == 204
    assert (await answering(tagged, 200)()).headers["etag"] == '"1"'
    for route, status in ((nothing, 200), (tagged, 204)):
        with pytest.raises(AssertionError, match=route.__name__):
            await answering(route, status)()
    with pytest.raises(AttributeError, match="_tag"):
        await answering(untagged, 200)()


@ON_ONE_STORE
async def test_a_stale_edit_is_refused_with_what_the_object_is_now(
    either: Any, objects: dict[str, tuple[str, list[Edit]]]
) -> None:
    n = 0
    for what, (path, ways) in objects.items():
        for edit in ways:
            read = await either.api("GET", path)
            tag = read.headers["etag"]
            assert (await either.api("GET", path)).headers["etag"] == tag
            n += 1
            made = await edit(n, {"if-match": f'"other", {tag}'})
            assert made.status == 200, made.body
            stale = await edit(n + 1, {"if-match": tag})
            assert (stale.status, stale.kind) == (412, "Stale"), (what, stale.body)
            now = await either.api("GET", path)
            assert now.headers["etag"] != tag
            assert (
                stale.headers["etag"]
                == now.headers["etag"]
                == made.headers.get("etag", now.headers["etag"])
            )
            assert stale.json["current"] == now.json
            for headers in ({}, {"if-match": "*"}):
                n += 1
                assert (await edit(n, headers)).status == 200
        if what != "endpoint":
            gone = await either.api("DELETE", path, headers={"if-match": '"other"'})
            assert gone.status == 412


async def test_of_two_edits_of_the_same_one_wins(
    either: Any, objects: dict[str, tuple[str, list[Edit]]]
) -> None:
    n = 0
    for path, ways in objects.values():
        pairs = [*zip(ways, ways, strict=True), *pairwise(ways)]
        for headers in (True, False):
            for first, second in pairs if headers else pairs[:1]:
                n += 4
                await ways[0](0, {})  # so that each of the two changes something
                tag = (await either.api("GET", path)).headers["etag"]
                given = {"if-match": tag} if headers else {}
                done = await asyncio.gather(first(n + 1, given), second(n + 3, given))
                statuses = sorted(each.status for each in done)
                # The control: without the tag, both are made.
                assert statuses == ([200, 412] if headers else [200, 200]), [e.body for e in done]


@ON_ONE_STORE
async def test_an_instance_is_changed_in_part(
    either: Any, objects: dict[str, tuple[str, list[Edit]]]
) -> None:
    path = objects["instance"][0]

    async def change(**draft: Any) -> Any:
        return await either.api("PATCH", path, draft)

    changed = await change(name="Wholesale", config={"discount": 7})
    assert (changed.status, changed.json["name"]) == (200, "Wholesale")
    assert changed.json["config"] == {"label": "new", "discount": 7}
    assert changed.json["revision"] == 2
    cleared = await change(config={"discount": None})
    assert cleared.json["config"] == {"label": "new"}
    for draft, field in (
        ({"config": {"label": None}}, "label"),
        ({"config": {"discount": 101}}, "discount"),
        ({"config": {"unknown": 1}}, "unknown"),
        ({"connections": {"shop": None}}, "shop"),
    ):
        refused = await change(**draft)
        assert (refused.status, list(refused.json["fields"])) == (422, [field]), refused.body
    other = {
        "customer": "Initech",
        "integration": "orders",
        "name": "Other",
        "config": {"label": "x"},
    }
    other["connections"] = {"shop": "main"}
    assert (await either.api("POST", "/api/instances", other)).status == 201
    taken = await change(name="Other", config={"label": "not this"})
    assert (taken.status, list(taken.json["fields"])) == (422, ["name"])
    assert (await either.api.get(path))["config"] == {"label": "new"}
