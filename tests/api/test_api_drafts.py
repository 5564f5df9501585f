"""Drafts: begun, edited by several people at once, taken back, published."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import halflap.api.app  # noqa: F401 - or the first request waits for that
from halflap.api.asking import exact
from halflap.engine.bundle import Bundle
from halflap.lowcode.rewrite.state import DraftState
from halflap.sdk import budget
from halflap.store.catalogue.versions import OvertakenVersion
from tests.api.conftest import Browser, signed_in

TEXT = """\
name: tried
flows:
  one:
    trigger: webhook.request
    steps:
      - log: first
      # about the second
      - if: =event.x
        then:
          - log: within
      - log: last
  two:
    trigger: webhook.request
    steps:
      - log: other
"""
ONE, TWO = ["flows", "one", "steps"], ["flows", "two", "steps"]


async def begun(world: Any, text: str = TEXT) -> Any:
    answer = await world.api("POST", "/api/drafts", {"integration": "tried", "text": text})
    assert answer.status == 201, answer.json
    assert answer.headers["etag"] == '"1"'
    return answer.json


def sender(who: Any) -> Any:
    return who if isinstance(who, Browser) else who.api


async def edit(who: Any, draft: Any, revision: int, *ops: Any, **more: Any) -> Any:
    path, body = f"/api/drafts/{draft['id']}/edits", {"ops": ops, **more}
    return await sender(who)("POST", path, body, headers={"if-match": f'"{revision}"'})


async def again(who: Any, draft: Any, revision: int, kind: str) -> Any:
    path = f"/api/drafts/{draft['id']}/{kind}"
    return await sender(who)("POST", path, headers={"if-match": f'"{revision}"'})


async def now(world: Any, draft: Any) -> Any:
    return await world.api.get(f"/api/drafts/{draft['id']}")


def said(text: str, flow: str = "one") -> dict[str, Any]:
    return {"op": "insert", "path": ["flows", flow, "steps"], "at": 0, "value": {"log": text}}


def nodes(flows: Any) -> dict[str, Any]:
    """Steps by their keys."""
    found: dict[str, Any] = {}
    stack = [step for flow in flows for step in flow["steps"]]
    while stack:
        step = stack.pop()
        found[step["key"]] = step
        stack += [each for block in step["blocks"] for each in block["nodes"]]
    return found


async def test_a_draft_is_begun_listed_read_and_deleted(either: Any) -> None:
    draft = await begun(either)
    assert (draft["text"], draft["revision"], draft["base"]) == (TEXT, 1, None)
    assert nodes(draft["flows"])["n3"]["path"] == [*ONE, 1, "then", 0]
    assert (await now(either, draft)) == draft
    fresh = (await either.api("POST", "/api/drafts", {"integration": "new-one"})).json
    assert fresh["text"].startswith("name: new-one\n")
    found = await either.api("GET", f"/api/drafts/{fresh['id']}/findings")
    assert (found.json["revision"], found.headers["etag"]) == (1, '"1"')
    assert [each["code"] for each in found.json["items"]] == ["HF114"]  # which it does not hide
    listed = await either.api.items("/api/drafts")
    assert {each["id"] for each in listed} == {draft["id"], fresh["id"]}
    assert "text" not in listed[0]
    one = await either.api.items("/api/drafts", integration="tried")
    assert [each["id"] for each in one] == [draft["id"]]
    assert (await either.api("DELETE", f"/api/drafts/{draft['id']}")).status == 204
    for gone in ("GET", "DELETE"):
        assert (await either.api(gone, f"/api/drafts/{draft['id']}")).status == 404
    assert (await edit(either, draft, 1, said("x"))).status == 404


async def test_a_draft_of_a_version_is_its_document(world: Any) -> None:
    hash = await world.publish(world.packed("tried.yaml", {"tried.yaml": TEXT}))
    draft = await world.draft("tried")
    assert draft["text"] == TEXT
    assert draft["base"] == {"number": 1, "hash": hash}
    bundle = Bundle.from_bytes((await world.api("GET", f"/api/drafts/{draft['id']}/bundle")).body)
    assert bundle.hash == hash
    await world.publish()
    begin = {"integration": "orders", "version": "dev"}
    refused = await world.api("POST", "/api/drafts", begin)
    assert (refused.status, refused.json["kind"]) == (422, "ConfigError")


async def test_an_unfinished_text_shows_all_flows_and_takes_edits_of_the_text(world: Any) -> None:
    half = TEXT.replace("log: first", "lo").replace("log: other", "log: [")
    draft = await begun(world, half)
    assert draft["unreadable"]["line"] > 10
    assert {each["name"]: len(each["steps"]) for each in draft["flows"]} == {"one": 3, "two": 1}
    first = draft["flows"][0]["steps"][0]
    assert (first["kind"], first["key"]) == ("unknown", "n1")
    refused = await edit(world, draft, 1, said("x"))
    assert (refused.status, refused.json["kind"]) == (422, "UnwritableEdit")
    line = half[: half.index("log: [")].count("\n") + 1
    text = {"op": "text", "start": [line, 9], "end": [line, 15], "text": "log: [x]"}
    made = (await edit(world, draft, 1, text)).json
    assert made["unreadable"] is None
    assert [each["name"] for each in made["flows"]] == ["two"]
    found = await world.api.get(f"/api/drafts/{draft['id']}/findings")
    assert found["revision"] == 2
    assert found["items"][0]["path"][:4] == [*ONE, 0]
    assert found["items"][0]["node"] == "n1"


async def test_a_finding_comes_with_its_fix_as_an_edit(world: Any) -> None:
    text = TEXT.replace("log: other", "log: =evnt.x")
    draft = await begun(world, text)
    found = await world.api.items(f"/api/drafts/{draft['id']}/findings")
    [finding] = [each for each in found if "evnt" in each["message"]]
    assert (finding["path"], finding["node"]) == ([*TWO, 0, "log"], "n5")
    assert (await edit(world, draft, 1, finding["fix"]["edit"])).status == 200
    assert (await now(world, draft))["text"] == TEXT.replace("log: other", "log: =event.x")
    assert (await now(world, draft))["findings"] is None


async def test_an_edit_answers_with_what_it_changed_and_no_more(either: Any) -> None:
    draft = await begun(either)
    before = {key: each["fields"] for key, each in nodes(draft["flows"]).items()}
    move = {"op": "move", "path": [*ONE, 0], "to": [*ONE, 1, "then"], "at": 0}
    answer = await edit(either, draft, 1, move)
    made = answer.json
    assert (made["revision"], answer.headers["etag"]) == (2, '"2"')
    assert [each["name"] for each in made["flows"]] == ["one"]
    assert {"node": "n1", "path": [*ONE, 0, "then", 0]} in made["moved"]
    after = await now(either, draft)
    assert {key: each["fields"] for key, each in nodes(after["flows"]).items()} == before
    back = (await again(either, draft, 2, "undo")).json
    assert (await now(either, draft))["text"] == TEXT
    assert {"node": "n1", "path": [*ONE, 0]} in back["moved"]
    forth = await again(either, draft, 3, "redo")
    assert (await now(either, draft))["text"] == after["text"]
    assert forth.json["revision"] == 4
    since = await either.api.get(f"/api/drafts/{draft['id']}/changes", since=1)
    assert since["revision"] == 4
    assert {each["node"]: each["path"] for each in since["moved"]}["n1"] == [*ONE, 0, "then", 0]
    assert (await again(either, draft, 4, "redo")).json["kind"] == "Conflict"


async def test_edits_that_cannot_be_made_change_nothing(world: Any) -> None:
    draft = await begun(world)
    for op in (
        {"op": "delete", "path": [*ONE, 9]},
        {"op": "move", "path": ["flows", "one"], "to": TWO, "at": 0},
        {"op": "insert", "path": [*ONE, "0"], "at": 0, "value": {}},
        {"op": "set", "path": [*ONE, 0, "log", "x"], "value": 1},
        {"op": "rename", "flow": "one", "name": "nothing", "to": "x"},
        {"op": "text", "start": [99, 1], "end": [99, 1], "text": ""},
        {"op": "text", "start": [1, 1], "end": [1, 1], "text": "\0"},
    ):
        refused = await edit(world, draft, 1, said("kept"), op)
        assert refused.status == 422, (op, refused.json)
        assert refused.json["kind"] in {"UnwritableEdit", "DefinitionError", "InvalidRequest"}
    for wrong in ("", "x", '"-1"', "*"):
        path = f"/api/drafts/{draft['id']}/edits"
        answer = await world.api("POST", path, {"ops": [said("x")]}, headers={"if-match": wrong})
        assert answer.status == 422
    assert (await edit(world, draft, 7, said("x"))).status == 409
    assert (await edit(world, draft, 1, *[said("x")] * 101)).status == 422
    assert (await now(world, draft)) == draft


async def test_edits_that_take_too_long_are_refused_and_hold_up_nobody(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = "".join(f"      - log: a{at}\n" for at in range(100))
    text = f"name: tried\nflows:\n  one:\n    trigger: webhook.request\n    steps:\n{steps}"
    draft = await begun(world, text)
    ops = [
        {"op": "set", "path": ["flows", "one", "steps", at, "log"], "value": 1} for at in range(100)
    ]
    monkeypatch.setattr("halflap.api.operations.drafts.SECONDS", 0.1)
    refused = await edit(world, draft, 1, *ops)
    assert (refused.status, refused.json["kind"]) == (422, "ConfigError")
    assert "fewer" in refused.json["detail"]
    assert (await now(world, draft))["text"] == text
    assert (await edit(world, draft, 1, ops[0])).status == 200


async def test_a_large_draft_is_encoded_beside_the_loop(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []

    def seen(*given: Any) -> Any:
        encoded.append(threading.get_ident())
        return exact(*given)

    draft = await begun(world)
    monkeypatch.setattr("halflap.api.drafts.exact", seen)
    assert (await now(world, draft))["revision"] == 1
    assert (await edit(world, draft, 1, said("x"))).status == 200
    assert len(encoded) == 2
    assert threading.get_ident() not in encoded


async def test_an_edit_that_is_sent_twice_is_made_once(either: Any) -> None:
    draft = await begun(either)
    for _ in range(2):
        made = (await edit(either, draft, 1, said("once"), token="t1")).json
        assert (made["revision"], len(made["patches"])) == (2, 1)
    assert (await now(either, draft))["text"].count("once") == 1
    other = await edit(either, draft, 2, said("other"), token="t1")
    assert (other.status, other.json["kind"]) == (422, "ConfigError")
    assert "token" in other.json["fields"]


async def test_what_is_stale_is_made_where_it_is_apart_and_refused_where_not(world: Any) -> None:
    draft = await begun(world)
    await edit(world, draft, 1, said("a", "one"))
    made = await edit(world, draft, 1, said("b", "two"))
    assert made.json["revision"] == 3
    assert {each["name"] for each in made.json["flows"]} == {"one", "two"}
    text = (await now(world, draft))["text"]
    assert "log: a" in text
    assert "log: b" in text
    stale = await edit(world, draft, 1, {"op": "set", "path": [*ONE, 0, "log"], "value": "c"})
    assert (stale.status, stale.json["kind"]) == (409, "StaleEdit")
    told = stale.json["draft"]
    assert told["revision"] == 3
    assert [(each["revision"], each["flows"]) for each in told["since"]] == [
        (2, ["one"]),
        (3, ["two"]),
    ]
    assert (await now(world, draft))["text"] == text


async def test_a_rename_meanwhile_is_never_merged_into_its_flow(world: Any) -> None:
    text = TEXT.replace("- log: first", "- {id: a, set: {v: 1}}")
    draft = await begun(world, text)
    await edit(world, draft, 1, {"op": "rename", "flow": "one", "name": "v", "to": "w"})
    late = {"op": "set", "path": [*ONE, 2, "log"], "value": "=v"}
    assert (await edit(world, draft, 1, late)).json["kind"] == "StaleEdit"
    assert (await edit(world, draft, 1, said("apart", "two"))).status == 200


async def test_each_takes_back_what_is_their_own(world: Any) -> None:
    ada, bob = await signed_in(world, "developer"), await signed_in(world, "developer", "b@x.y")
    draft = await begun(world)
    await edit(ada, draft, 1, said("of ada", "one"))
    await edit(bob, draft, 2, said("of bob", "two"))
    undone = await again(ada, draft, 3, "undo")
    assert undone.status == 200, undone.json
    text = (await now(world, draft))["text"]
    assert "of ada" not in text
    assert "of bob" in text
    assert (await again(ada, draft, 4, "undo")).json["kind"] == "Conflict"
    await again(ada, draft, 4, "redo")
    assert "of ada" in (await now(world, draft))["text"]
    await again(bob, draft, 5, "undo")
    await again(ada, draft, 6, "undo")
    assert (await now(world, draft))["text"] == TEXT


async def test_typing_in_one_field_is_taken_back_step_by_step_or_as_a_group(world: Any) -> None:
    draft = await begun(world)
    for revision, value in enumerate(("a", "ab", "abc"), start=1):
        await edit(world, draft, revision, {"op": "set", "path": [*TWO, 0, "log"], "value": value})
    for revision, value in enumerate(("ab", "a", "other"), start=4):
        assert (await again(world, draft, revision, "undo")).status == 200
        assert f"log: {value}\n" in (await now(world, draft))["text"]
    for revision in (7, 8):
        await again(world, draft, revision, "redo")
    assert "log: ab\n" in (await now(world, draft))["text"]
    for revision, value in enumerate(("x", "xy", "xyz"), start=9):
        change = {"op": "set", "path": [*TWO, 0, "log"], "value": value}
        await edit(world, draft, revision, change, group="typing")
    await again(world, draft, 12, "undo")
    assert "log: ab\n" in (await now(world, draft))["text"]
    await again(world, draft, 13, "redo")
    assert "log: xyz\n" in (await now(world, draft))["text"]


async def test_many_at_once_lose_nothing(either: Any) -> None:
    """Sixteen clients insert a step each, all for the first revision."""
    lines = "".join(
        f"  f{n}:\n    trigger: webhook.request\n    steps:\n      - log: f\n" for n in range(16)
    )
    draft = await begun(either, f"name: tried\nflows:\n{lines}")
    made = await asyncio.gather(
        *(edit(either, draft, 1, said(f"new {n}", f"f{n}")) for n in range(16))
    )
    ok = [n for n, each in enumerate(made) if each.status == 200]
    assert len(ok) >= 8
    text = (await now(either, draft))["text"]
    assert [n for n in range(16) if f"log: new {n}\n" in text] == ok
    assert (await now(either, draft))["revision"] == 1 + len(ok)


async def test_drafts_are_for_those_who_publish(world: Any) -> None:
    draft = await begun(world)
    viewer = await signed_in(world, "viewer")
    assert (await viewer("GET", f"/api/drafts/{draft['id']}")).status == 200
    assert (await edit(viewer, draft, 1, said("x"))).status == 403
    assert (await viewer("POST", "/api/drafts", {"integration": "x"})).status == 403
    found = await world.api.items("/api/audit", limit=500)
    assert [each["operation"] for each in found].count("begin_draft") == 2


async def publish(world: Any, draft: Any, revision: int, **more: Any) -> Any:
    path = f"/api/drafts/{draft['id']}/publish"
    return await world.api("POST", path, more, headers={"if-match": f'"{revision}"'})


SOUND = TEXT.replace(
    "trigger: webhook.request", "trigger: webhook.request # halflap: ignore[HF114]"
)


async def test_a_draft_is_published_as_deploy_does(world: Any) -> None:
    draft = await begun(world, SOUND)
    diff = await world.api.get(f"/api/drafts/{draft['id']}/diff")
    assert (diff["against"], diff["is_newest"]) == (None, True)
    assert {each["flow"]: each["change"] for each in diff["flows"]} == {
        "": "changed",
        "one": "added",
        "two": "added",
    }
    made = await publish(world, draft, 1, note="first")
    assert made.status == 201, made.json
    assert (made.json["number"], made.json["revision"]) == (1, 1)
    shown = await now(world, draft)
    assert shown["base"] == {"number": 1, "hash": made.json["hash"]}
    version = await world.api.get("/api/integrations/tried/versions/dev")
    assert (version["files"], version["note"]) == ({"tried.yaml": SOUND}, "first")
    await edit(world, draft, 1, said("new", "two"))
    diff = await world.api.get(f"/api/drafts/{draft['id']}/diff", against="base")
    assert diff["flows"] == [{"flow": "two", "change": "changed"}]
    assert "+      - log: new" in diff["lines"].split("\n")
    stale = await publish(world, draft, 1)
    assert stale.json["kind"] == "StaleEdit"
    assert (await publish(world, draft, 2)).json["number"] == 2


async def test_a_version_that_came_meanwhile_is_seen_before_it_is_followed(world: Any) -> None:
    one, other = await begun(world, SOUND), await begun(world, SOUND)
    first = (await publish(world, one, 1)).json
    await edit(world, other, 1, said("of the other"))
    overtaken = await publish(world, other, 2)
    assert (overtaken.status, overtaken.json["kind"]) == (412, "OvertakenVersion")
    told = overtaken.json["draft"]
    assert told["newest"] == {"number": 1, "hash": first["hash"]}
    assert "+      - log: of the other" in told["lines"]
    assert (await publish(world, other, 2, expect="x")).status == 412
    both = await asyncio.gather(*(publish(world, other, 2, expect=first["hash"]) for _ in range(2)))
    assert [each.status for each in both] == [201, 201]  # the same content is the same version
    assert {each.json["number"] for each in both} == {2}
    assert (await edit(world, one, 1, said("late"))).status == 200
    assert (await publish(world, one, 2)).status == 412
    # Also where the other one's publishing moved the target between two looks at it.
    with pytest.raises(OvertakenVersion):
        await world.host.operations.versions.publish(
            world.packed("tried.yaml", {"tried.yaml": SOUND.replace("other", "x")}).to_bytes(),
            target="dev", expect=first["hash"], note="", overwrite=False, follows=first["hash"],
        )  # fmt: skip


async def test_what_lint_calls_an_error_is_not_published(world: Any) -> None:
    for wrong, kind in (
        (SOUND.replace("log: other", "log: =evnt.x"), "NotADocument"),
        (SOUND.replace("name: tried", "name: other"), "ConfigError"),
        (SOUND.replace("log: other", "log: ["), "Unreadable"),
    ):
        refused = await publish(world, await begun(world, wrong), 1)
        assert (refused.status, refused.json["kind"]) == (422, kind), refused.json
    assert await world.api.items("/api/integrations") == []


async def test_a_draft_keeps_what_lies_beside_its_document(world: Any) -> None:
    """The Python of a version comes along, and its components may be used."""
    used = SOUND.replace(
        "      - log: other\n",
        "      - {id: found, action: shop.find_order, connection: shop, with: {id: a}}\n",
    ).replace("flows:", "config:\n  Shop:\n    shop: {connection: shop}\nflows:", 1)
    await world.publish(world.packed("tried.yaml", {"tried.yaml": used}))
    draft = await world.draft("tried")
    assert nodes(draft["flows"])["n5"]["title"] == "Find order"
    found = await world.api.items(f"/api/drafts/{draft['id']}/findings")
    assert [each for each in found if each["severity"] == "error"] == []
    await edit(world, draft, 1, said("new"))
    assert (await publish(world, draft, 2)).json["number"] == 2
    files = (await world.api.get("/api/integrations/tried/versions/dev"))["files"]
    assert "shop.py" in files


async def test_an_edit_whose_sender_leaves_is_computed_no_further(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = await begun(world)
    began, ended = threading.Event(), threading.Event()

    def endless(state: DraftState, edits: Any) -> Any:
        began.set()
        try:
            while True:
                budget.spend()
        except budget.OverBudget:
            ended.set()
            raise

    with monkeypatch.context() as patched:
        patched.setattr(DraftState, "edited", endless)
        sent = asyncio.create_task(edit(world, draft, 1, {"op": "delete", "path": [*ONE, 0]}))
        assert await asyncio.to_thread(began.wait, 10)
        sent.cancel()
        # Its time alone would end it after ten seconds of the processor.
        assert await asyncio.to_thread(ended.wait, 5)
    made = await edit(world, draft, 1, {"op": "delete", "path": [*ONE, 0]})
    assert made.status == 200, made.json
    assert "first" not in (await now(world, draft))["text"]
