"""Drafts that several people and processes edit: who is there, who writes which flow."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from halflap.sdk import codec
from halflap.server.host import Host
from halflap.server.settings import Settings
from halflap.store.catalogue import drafts as stored
from halflap.store.catalogue.drafts import MOST_OWN
from tests.api.conftest import KEYS, TOKEN, Client, signed_in
from tests.api.test_api_drafts import begun, edit, now, said
from tests.cluster import emptied_url

PAGE = Path(__file__).parents[2] / "docs" / "drafts.md"


async def test_one_writes_a_flow_until_it_is_taken_over(either: Any) -> None:
    ada, bob = await signed_in(either, "developer"), await signed_in(either, "developer", "b@x.y")
    draft = await begun(either)
    writers = f"/api/drafts/{draft['id']}/writers"
    assert (await edit(ada, draft, 1, said("a"))).status == 200
    held = await edit(bob, draft, 2, said("b"))
    assert (held.status, held.json["kind"]) == (409, "FlowHeld")
    assert held.json["draft"]["writer"]["label"] == "developer@example.com"
    assert "log: b" not in (await now(either, draft))["text"]
    assert (await edit(bob, draft, 2, said("b", "two"))).status == 200
    both = await edit(ada, draft, 3, said("a"), said("a", "two"))
    assert both.json["kind"] == "FlowHeld"
    assert (await bob("POST", writers, {"flow": "one"})).json["kind"] == "FlowHeld"
    taken = await bob("POST", writers, {"flow": "one", "take_over": True})
    assert (taken.status, taken.json["label"]) == (200, "b@x.y")
    assert (await edit(ada, draft, 3, said("lost"))).json["kind"] == "FlowHeld"
    assert (await edit(bob, draft, 3, said("b"))).status == 200
    shown = await now(either, draft)
    assert {each["flow"]: each["label"] for each in shown["writers"]} == {
        "one": "b@x.y",
        "two": "b@x.y",
    }
    assert (await bob("DELETE", writers, flow="one")).status == 204
    assert (await edit(ada, draft, 4, said("again"))).status == 200
    title = {"op": "set", "path": ["title"], "value": "Tried"}
    assert (await edit(ada, draft, 5, title)).status == 200
    assert (await edit(bob, draft, 6, {**title, "value": "Other"})).json["kind"] == "FlowHeld"


async def test_editors_are_seen_and_their_flows_freed_as_they_leave(either: Any) -> None:
    ada, bob = await signed_in(either, "developer"), await signed_in(either, "developer", "b@x.y")
    draft = await begun(either)
    path = f"/api/drafts/{draft['id']}/editors/"
    for window in ("w1", "w2"):
        await ada("PUT", path + window, {"selected": f"n{window}"})
    seen = await bob("PUT", path + "w3", {})
    assert [(each["editor"], each["label"], each["selected"]) for each in seen.json] == [
        ("w3", "b@x.y", ""),
        ("w1", "developer@example.com", "nw1"),
        ("w2", "developer@example.com", "nw2"),
    ]
    await edit(ada, draft, 1, said("a"))
    await ada("DELETE", path + "w1")
    assert (await edit(bob, draft, 2, said("b"))).json["kind"] == "FlowHeld"
    await bob("DELETE", path + "w2")  # another's window
    await ada("DELETE", path + "w2")
    assert (await edit(bob, draft, 2, said("b"))).status == 200
    assert len((await now(either, draft))["editors"]) == 1
    for wrong in ("x" * 65, "a b"):
        assert (await ada("PUT", path + wrong, {})).status == 422


async def test_one_fills_no_draft_with_windows_and_flows(world: Any) -> None:
    ada, bob = await signed_in(world, "developer"), await signed_in(world, "developer", "b@x.y")
    draft = await begun(world)
    path = f"/api/drafts/{draft['id']}/editors/"
    for window in range(MOST_OWN):
        assert (await ada("PUT", f"{path}w{window}", {})).status == 200
    assert (await ada("PUT", f"{path}more", {})).status == 422
    assert (await ada("PUT", f"{path}w0", {"selected": "n1"})).status == 200
    assert (await bob("PUT", f"{path}mine", {})).status == 200
    none = await ada("POST", f"/api/drafts/{draft['id']}/writers", {"flow": "none"})
    assert (none.status, none.json["kind"]) == (422, "ConfigError")
    rest = await ada("POST", f"/api/drafts/{draft['id']}/writers", {"flow": ""})
    assert rest.status == 200


async def test_a_lease_ends_by_itself(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, bob = await signed_in(world, "developer"), await signed_in(world, "developer", "b@x.y")
    draft = await begun(world)
    monkeypatch.setattr(stored, "LEASE", 0)
    await edit(ada, draft, 1, said("a"))
    assert (await edit(bob, draft, 2, said("b"))).status == 200


async def test_edits_and_editors_are_told_as_they_come(world: Any) -> None:
    ada = await signed_in(world, "developer")
    draft = await begun(world)
    topic = f"drafts:{draft['id']}"
    async with world.api.stream("/api/stream", topics=topic) as stream:
        await stream.event()
        await edit(ada, draft, 1, said("a"))
        name, told = await stream.named()
        assert (name, told["revision"]) == ("drafts", 2)
        assert told["changed_by"] == "developer@example.com"
        assert [each["flow"] for each in told["writers"]] == ["one"]
        await ada("PUT", f"/api/drafts/{draft['id']}/editors/w", {"selected": "n1"})
        assert (await stream.data())["editors"][0]["selected"] == "n1"
        await world.api("DELETE", f"/api/drafts/{draft['id']}")
        assert (await stream.data())["revision"] is None
    assert (await world.api("GET", "/api/stream", topics="drafts:drf_x")).status == 404


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[list[Client]]:
    """Two processes' worth of servers on one store."""
    settings = Settings(dir=tmp_path / "a", token=TOKEN, store=emptied_url(), keys=KEYS)
    hosts = [await Host.open(settings), await Host.open(replace(settings, dir=tmp_path / "b"))]
    yield [Client(host) for host in hosts]
    for host in hosts:
        await host.stop(1)


async def edited_by_both(clients: list[Client]) -> tuple[int, str]:
    """Edits by two processes at once: how many were made, and the text that came of them."""
    flows = "".join(
        f"  f{n}:\n    trigger: webhook.request\n    steps:\n      - log: x\n" for n in range(6)
    )
    body = {"integration": "tried", "text": f"name: tried\nflows:\n{flows}"}
    draft = (await clients[0]("POST", "/api/drafts", body)).json["id"]
    for each in clients:  # both have it in memory
        await each("GET", f"/api/drafts/{draft}")

    async def made(n: int) -> bool:
        ops = [{"op": "set", "path": ["flows", f"f{n}", "steps", 0, "log"], "value": f"new {n}"}]
        path = f"/api/drafts/{draft}/edits"
        answer = await clients[n % 2]("POST", path, {"ops": ops}, headers={"if-match": '"1"'})
        return answer.status == 200

    count = sum(await asyncio.gather(*map(made, range(6))))
    answer = await clients[0]("GET", f"/api/drafts/{draft}")
    return count, answer.json["text"]


async def test_two_processes_lose_no_edit(processes: list[Client]) -> None:
    made, text = await edited_by_both(processes)
    assert made == 6
    assert text.count("log: new") == 6


async def test_control_without_the_revision_an_edit_is_lost(
    processes: list[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    always = stored.ADVANCE.replace("AND revision = ?", "AND revision > 0 * ?")
    monkeypatch.setattr(stored, "ADVANCE", always)
    monkeypatch.setattr(stored, "ADD_EDIT", stored.ADD_EDIT + "ON CONFLICT DO NOTHING")
    _, text = await edited_by_both(processes)
    assert text.count("log: new") < 6


async def test_the_examples_of_the_page_are_what_happens(runs: Any, world: Any) -> None:
    found = re.findall(
        r"```http\n(\w+) (\S+)\n(?:If-Match: (\S+)\n)?(.*?)\n?\n(\d+)\n(.*?)\n?```",
        PAGE.read_text("utf-8"),
        re.DOTALL,
    )
    assert len(found) >= 5
    id = ""
    for method, path, revision, body, status, wanted in found:
        path, _, query = path.partition("?")
        answer = await world.api(
            method,
            path.replace("<id>", id),
            **dict(parse_qsl(query)),
            **({"json": codec.decode(body)} if body else {}),
            headers={"if-match": revision} if revision else {},
        )
        assert answer.status == int(status), (path, answer.body)
        if wanted.startswith("event: "):
            for told, expected in zip(events(answer.body.decode()), events(wanted), strict=True):
                assert told[0] == expected[0]
                within(told[1], expected[1], path)
            continue
        id = id or answer.json["id"]
        within(answer.json, codec.decode(wanted), path)


def events(text: str) -> list[tuple[str, Any]]:
    """Server-Sent Events, each with its data."""
    parts = [each.split("\n", 1) for each in text.strip().split("\n\n")]
    return [(kind, codec.decode(data.removeprefix("data: ").encode())) for kind, data in parts]


def within(given: Any, wanted: Any, where: str) -> None:
    """Compare what is wanted; there may be more."""
    if isinstance(wanted, dict):
        for name, each in wanted.items():
            within(given[name], each, f"{where}.{name}")
    elif isinstance(wanted, list) and wanted and isinstance(wanted[0], dict):
        for place, each in enumerate(wanted):
            within(given[place], each, f"{where}.{place}")
    else:
        assert given == wanted, where
