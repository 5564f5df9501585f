"""Rights: payloads are hidden from who may not see them, and no route does without a right."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter

from halflap.api import stream
from halflap.api.asking import needs, router_of
from halflap.api.rights import RIGHTS, ROLES
from halflap.model import Rejection
from tests.api.conftest import ORDERS, Browser, Client, signed_in
from tests.polling import DEADLINE

SECRET = "4711-nobodys-business"
DOCS = Path(__file__).parents[2] / "docs" / "access.md"


def test_a_route_without_a_right_cannot_be_registered() -> None:
    router = router_of("/api/none", "none")

    async def route() -> None:
        """Do nothing."""

    with pytest.raises(KeyError):
        router.get("")(route)
    assert router.get("")(needs("read")(route)) is route
    assert isinstance(router, APIRouter)


def test_the_tables_of_the_docs_are_those_of_the_code() -> None:
    text = DOCS.read_text("utf-8")
    for right, lets in RIGHTS.items():
        assert f"| `{right}` | {lets} |" in text
    for role, rights in ROLES.items():
        marks = " | ".join("✓" if each in rights else "" for each in RIGHTS)
        assert re.search(rf"^\| {role} \| {re.escape(marks).replace('  ', ' +')} \|", text, re.M), (
            role,
            marks,
        )


async def failing(world: Any) -> tuple[Any, str]:
    """An instance, and an execution that failed with a secret in all that it has."""
    await world.publish(
        world.bundle(orders=ORDERS.replace('"creating"', '"creating", key=event["id"]'))
    )
    instance = await world.instance()
    world.shop.broken = True
    execution = await world.send(instance, {"id": SECRET, "amount": 5}, x_note=SECRET)
    assert (await world.ended(execution))["state"] == "failed"
    await world.hook(instance, b"{", **{"x-note": SECRET})
    return instance, execution


def shown(instance: Any, execution: str) -> dict[str, dict[str, str]]:
    """The paths that are asked for, with their queries."""
    return {
        f"/api/executions/{execution}": {},
        f"/api/executions/{execution}/logs": {},
        f"/api/executions/{execution}/steps": {},
        f"/api/executions/{execution}/overview": {},
        "/api/executions": {},
        "/api/executions/causes": {},
        f"/api/instances/{instance['id']}": {},
        f"/api/connections/{instance['connections']['shop']}": {},
        "/api/connections": {},
        "/api/logs": {},
        "/api/rejections": {"instance": instance["id"]},
    }


RAW = ("body", "result", "inputs")


async def sees(browser: Browser, instance: Any, execution: str) -> bool:
    """Return whether a browser is shown payloads everywhere; that it is either everywhere or nowhere."""
    whole = (await browser("GET", f"/api/executions/{execution}")).json
    steps = {"result": whole["steps"][1]["path"], "inputs": whole["steps"][2]["path"]}
    hidden: set[bool] = {whole["payload_hidden"]}
    for path, query in shown(instance, execution).items():
        answer = await browser("GET", path, **query)
        assert answer.status == 200, (path, answer.body)
        found = answer.json["items"] if path == "/api/executions" else answer.json
        for each in found if isinstance(found, list) else [found]:
            if "payload_hidden" in each:
                hidden.add(each["payload_hidden"])
        if whole["payload_hidden"]:
            # The key is a reference, by which support finds it.
            assert SECRET.encode() not in answer.body.replace(f'"key":"{SECRET}"'.encode(), b""), (
                path
            )
    for each in RAW:
        query = {} if each == "body" else {"step": steps[each]}
        raw = await browser("GET", f"/api/executions/{execution}/{each}", **query)
        hidden.add(raw.status == 403)
        assert raw.status == 200 or raw.kind == "PayloadsHidden", raw.body
    found = await browser("GET", "/api/search", q=SECRET)
    hidden.add(found.status == 403 or b'"found":0' in found.body)
    last = await browser("GET", "/api/events/last")
    hidden.add(last.status == 403)
    assert len(hidden) == 1, hidden
    return not hidden.pop()


async def test_payloads_are_shown_by_right_and_a_private_customers_not_to_support(
    either: Any,
) -> None:
    instance, execution = await failing(either)
    browsers = {role: await signed_in(either, role) for role in ROLES}
    assert {role: await sees(each, instance, execution) for role, each in browsers.items()} == {
        "owner": True,
        "developer": True,
        "support": True,
        "viewer": False,
    }
    path = f"/api/customers/{instance['customer']}"
    changed = await browsers["developer"]("PATCH", path, {"private": True})
    assert (changed.status, changed.json["private"]) == (200, True)
    assert {role: await sees(each, instance, execution) for role, each in browsers.items()} == {
        "owner": True,
        "developer": True,
        "support": False,
        "viewer": False,
    }
    hidden = (await browsers["support"]("GET", f"/api/executions/{execution}")).json
    assert hidden["reason"] == hidden["failure"]["cause"]
    assert hidden["reason"] == "UpstreamError at shop.create_order (422)"
    assert hidden["failure"]["message"] == hidden["failure"]["trace"] == ""
    # What is hidden is not found by a search in it either.
    where = {"reason": "taste"}
    for role, found in (("owner", 1), ("support", 0), ("viewer", None)):
        page = await browsers[role]("GET", "/api/executions", **where, total=True)
        assert page.json.get("total") == found, role
        assert page.kind == "PayloadsHidden" if found is None else page.json["next"] is None
    for role, found in (("owner", 1), ("support", 0)):
        draft = {"do": "dismiss", "where": where, "dry_run": True}
        assert (await browsers[role]("POST", "/api/bulks", draft)).json["total"] == found, role
    named = {"reason": "taste", "customer": instance["customer"]}
    assert (await browsers["support"]("GET", "/api/executions", **named)).kind == "PayloadsHidden"
    refused = await browsers["support"]("PATCH", path, {"private": False})
    assert refused.status == 403


BAD = ORDERS.replace(
    "    await shop.find", '    raise ValueError(f"bad value {event}")\n    await shop.find'
)


async def test_a_cause_has_no_values_and_is_one_for_all_of_them(either: Any) -> None:
    await either.publish(either.bundle(orders=BAD))
    instance = await either.instance()
    for each in ("Ada", "Bob"):
        await either.ended(await either.send(instance, each))
    viewer = await signed_in(either, "viewer")
    public = "ValueError at incoming, orders.py:"

    [own] = await either.api.get("/api/executions/causes")
    assert own["text"].startswith(public)
    assert own["text"].endswith(": bad value Bob")
    assert own["count"] == 2
    [group] = (await viewer("GET", "/api/executions/causes")).json
    assert group["text"].startswith(public)
    assert (group["cause"], group["count"]) == (own["cause"][:6], 2)
    [curve] = (await viewer("GET", "/api/stats", by="cause", state="failed")).json["series"]
    assert (curve["key"], curve["label"]) == (group["cause"], group["text"])
    page = await viewer("GET", "/api/executions", cause=group["cause"])
    found = page.json["items"]
    assert [each["reason"] for each in found] == [group["text"]] * 2
    assert {each["cause"] for each in found} == {group["cause"]}
    own_page = await either.api.items("/api/executions", cause=group["cause"], dead_letters=True)
    assert len(own_page) == 2
    refused = await viewer("GET", "/api/executions", cause=own["cause"])
    assert refused.kind == "PayloadsHidden"  # it would say whether a guess is right
    for path in ("", "/overview", "/steps"):
        answer = await viewer("GET", f"/api/executions/{found[0]['id']}{path}")
        assert b"Bob" not in answer.body, path
    draft = {"do": "dismiss", "where": {"cause": group["cause"]}, "dry_run": True}
    support = await signed_in(either, "support")
    path = f"/api/customers/{instance['customer']}"
    await either.api("PATCH", path, {"private": True})
    plan = await support("POST", "/api/bulks", draft)
    assert (plan.json["total"], plan.json["groups"][0]["cause"]) == (2, group["cause"])
    assert (await support("GET", "/api/executions/causes")).json == [group]


async def test_a_hooks_query_is_hidden_wherever_it_stands(world: Any) -> None:
    await world.publish()
    instance = await world.instance()
    _, _, path = instance["urls"]["incoming"].partition("/hooks/")
    await world.api("POST", f"/hooks/{path}", body=b"{}", token=None, mail=SECRET)
    [found] = await world.api.items("/api/executions", flow="incoming")
    viewer = await signed_in(world, "viewer")
    for path in ("", "/overview"):
        whole = await world.api.get(f"/api/executions/{found['id']}{path}")
        assert SECRET in whole["event"]["url"]
        hidden = await viewer("GET", f"/api/executions/{found['id']}{path}")
        assert SECRET.encode() not in hidden.body


async def test_what_is_private_is_shown_by_who_may_see_it_only(world: Any) -> None:
    customer = await world.customer()
    path = f"/api/customers/{customer}"
    for rights, status in (
        (["configure", "payloads"], 403),
        (["configure", "private_payloads"], 200),
        (["configure", "admin"], 200),
    ):
        key = await world.key("read", *rights)
        assert (await world.api("PATCH", path, {"private": True}, token=key)).status == 200
        assert (await world.api("PATCH", path, {"private": False}, token=key)).status == status


async def test_who_follows_is_not_told_of_hidden_values(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.05)
    instance, execution = await failing(world)
    follower = Client(world.api.app, await world.key("read"))
    async with follower.stream("/api/stream", topics="executions") as heard:
        assert await heard.event() == ": following"
        await world.api("POST", f"/api/executions/{execution}/replay")
        while (change := await heard.data())["state"] != "failed":
            assert change["reason"] == ""
        whole = await world.api.get(f"/api/executions/{change['execution']}")
        assert change["reason"] == "UpstreamError at shop.create_order (422)"
        assert change["reason"] in whole["failure"]["cause"]
    assert instance["customer"] == change["customer"]


async def test_a_stream_ends_as_a_customer_is_made_private(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.05)
    customer = await world.customer()
    follower = Client(world.api.app, await world.key("read", "payloads"))
    async with follower.stream("/api/stream", topics="executions,logs") as heard:
        assert await heard.event() == ": following"
        changed = await world.api("PATCH", f"/api/customers/{customer}", {"private": True})
        assert changed.status == 200
        async with asyncio.timeout(DEADLINE):
            assert await heard.chunks.get() == b""


async def test_a_refusals_reason_has_no_values_where_payloads_are_hidden(world: Any) -> None:
    await world.publish()
    instance = await world.instance()
    sent = await world.hook(instance, b"{}", **{"content-encoding": SECRET})
    assert sent.status == 415
    viewer = await signed_in(world, "viewer")
    reason = "the trigger takes no Content-Encoding, and the body is"
    for asks, value in ((world.api, repr(SECRET)), (viewer, "…")):
        for q, many in ((None, 1), ("Content-Encoding", 1), (SECRET, int(asks is world.api))):
            found = await asks("GET", "/api/rejections", **({} if q is None else {"q": q}))
            assert [each["reason"] for each in found.json["items"]] == [f"{reason} {value}"] * many
    pages = [await viewer("GET", "/api/rejections", q=q, limit="1") for q in (SECRET, "no such")]
    assert (
        pages[0].json == pages[1].json == {"items": [], "next": None}
    )  # nor does the next page tell what was found


async def test_what_came_to_a_shared_endpoint_is_of_any_customer(world: Any) -> None:
    catalogue = world.host.store.catalogue
    shared = (await catalogue.shared.ensure("orders", ["incoming"]))["incoming"]
    catalogue.rejections.note(Rejection(shared.id, 1, f"no org {SECRET!r}", 400, (("x", SECRET),)))
    viewer = await signed_in(world, "viewer")
    (whole,) = await world.api.items("/api/rejections")
    assert SECRET in whole["reason"]
    hidden = await viewer("GET", "/api/rejections")
    seen = {"reason": "no org …", "headers": [], "payload_hidden": True}
    assert hidden.json["items"] == [{**whole, **seen}]
    for number in (2, 3):
        catalogue.rejections.note(Rejection(shared.id, number, f"no org {number}", 400))
    query, ids = {"q": "NO ORG", "limit": "1"}, list[str]()
    for _ in range(3):
        page = (await viewer("GET", "/api/rejections", **query)).json
        ids += [each["id"] for each in page["items"]]
        query["before"] = page["next"]
    assert (ids, page["next"]) == (["3", "2", "1"], None)
