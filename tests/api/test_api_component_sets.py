"""Component sets: a project's own components, sent alone, and pinned by drafts."""

from __future__ import annotations

import asyncio
import builtins
from typing import Any

import pytest

from halflap.api.operations.draft_runs import DraftRuns
from halflap.engine.bundle import Bundle
from halflap.errors import DefinitionError
from tests.api.conftest import SHOP, signed_in

TEXT = """\
name: bought
config:
  Connect:
    shop: {connection: shop}
flows:
  order:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - id: found
        action: shop.find_order
        with: {id: =event.id}
      - stop: {answer: =found.amount}
"""
RENAMED = SHOP.replace("async def find_order", "async def seek_order")
PLAIN = """\
name: other
flows:
  one:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - log: hello
"""
OTHER = """\
from halflap import Component

component = Component("other")
"""


async def deploy(world: Any, bundle: Bundle, name: str = "tools") -> Any:
    answer = await world.api("POST", "/api/component-sets", body=bundle.to_bytes(), name=name)
    assert answer.status == 201, answer.body
    return answer.json


async def begun(world: Any, **more: Any) -> str:
    begin = {"integration": "bought", "text": TEXT, **more}
    answer = await world.api("POST", "/api/drafts", begin)
    assert answer.status == 201, answer.body
    return f"/api/drafts/{answer.json['id']}"


async def errors(world: Any, draft: str) -> list[str]:
    found = await world.api.items(f"{draft}/findings")
    return [each["message"] for each in found if each["severity"] == "error"]


async def test_a_set_is_another_one_only_where_its_contents_are(either: Any) -> None:
    first = await deploy(either, either.components())
    assert (first["name"], first["number"], first["components"]) == ("tools", 1, ["shop"])
    assert await deploy(either, either.components()) == first
    second = await deploy(either, either.components(RENAMED))
    assert second["number"] == 2
    back = await deploy(either, either.components())
    assert (back["number"], back["hash"]) == (3, first["hash"])
    other = await deploy(either, either.components(), "others")
    page = await either.api.get("/api/component-sets", limit=2)
    ids = {each["id"] for each in page["items"]}
    rest = await either.api.get("/api/component-sets", before=page["next"])
    ids |= {each["id"] for each in rest["items"]}
    assert (ids, rest["next"]) == ({each["id"] for each in (first, second, back, other)}, None)
    named = await either.api.items("/api/component-sets", name="others")
    assert named == [{**other, "drafts": []}]


async def refused(world: Any, **files: str) -> str:
    """Why a set of these modules is refused."""
    sources = {f"{name}.py": text.encode() for name, text in files.items()}
    body = bundled(f"{next(iter(files))}:component", sources).to_bytes()
    answer = await world.api("POST", "/api/component-sets", body=body, name="tools")
    assert (answer.status, answer.kind) == (422, "DefinitionError"), answer.body
    return answer.json["detail"]


async def test_what_does_not_load_or_has_no_component_is_refused(world: Any) -> None:
    failing = f"{OTHER}raise ValueError('not here')\n"
    for source, said in [("def broken(: pass", "Python"), (failing, "not here")]:
        assert said in await refused(world, kept=OTHER, shop=source), source
    await refused(world, plain="x = 1\n")
    # None takes the place of an installed one.
    for file in ("http", "mine"):
        taken = 'from halflap import Component\n\ncomponent = Component("http")\n'
        assert "'http' is installed" in await refused(world, **{file: taken})
    # What Python's parser fails at is named.
    assert "kept.py" in await refused(world, kept=f"{OTHER}x={'-' * 90_000}1\n")
    said = await refused(world, kept=f"{OTHER}x=[{'1,' * 140_000}]\n")
    assert ("Split it" in said, "kept.py" in said) == (True, True)
    assert await world.api.items("/api/component-sets") == []


async def test_a_set_that_no_draft_pins_is_deleted(either: Any) -> None:
    made = await deploy(either, either.components())
    draft, path = await begun(either), f"/api/component-sets/{made['id']}"
    assert (await either.api("PUT", f"{draft}/components", {"components": "tools"})).status == 200
    held = await either.api("DELETE", path)
    assert (held.status, held.kind) == (409, "Conflict")
    assert "1 of the drafts" in held.json["detail"]
    (listed,) = await either.api.items("/api/component-sets")
    assert listed["drafts"] == [{"id": draft.rpartition("/")[2], "integration": "bought"}]
    await either.api("PUT", f"{draft}/components", {"components": None})
    assert (await either.api("DELETE", path)).status == 204
    assert (await either.api("DELETE", path)).status == 404
    assert await either.api.items("/api/component-sets") == []
    pinned = await either.api("PUT", f"{draft}/components", {"components": made["id"]})
    assert pinned.status == 404


async def test_old_sets_of_a_name_go_and_all_have_a_most(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = "halflap.store.catalogue.component_sets"
    monkeypatch.setattr(f"{sets}.KEPT", 2)
    draft, ids = await begun(world), list[str]()
    for source in (SHOP, RENAMED, SHOP, RENAMED):
        ids.append((await deploy(world, world.components(source)))["id"])
        if len(ids) == 1:
            await world.api("PUT", f"{draft}/components", {"components": ids[0]})
    listed = await world.api.items("/api/component-sets")
    assert {each["id"] for each in listed} == {ids[0], ids[2], ids[3]}
    for most, allowed in (("MOST_SETS", 3), ("MOST_STORED", 1_000)):
        with monkeypatch.context() as patched:
            patched.setattr(f"{sets}.{most}", allowed)
            body = world.components().to_bytes()
            full = await world.api("POST", "/api/component-sets", body=body, name="others")
            assert (full.status, full.kind) == (422, "ConfigError"), full.body
            assert "there are 3 component sets" in full.json["detail"]
    assert (await deploy(world, world.components(), "others"))["number"] == 1


async def test_no_name_looks_like_an_id(world: Any) -> None:
    made = await deploy(world, world.components())
    body = world.components(RENAMED).to_bytes()
    name = made["id"]
    squat = await world.api("POST", "/api/component-sets", body=body, name=name)
    assert (squat.status, squat.json["fields"]) == (422, {"name": "begins with cset_"})
    for external, status in (("cus_development", 422), ("customer_1", 201)):
        draft = {"name": external, "external_id": external}
        answer = await world.api("POST", "/api/customers", draft)
        assert answer.status == status, answer.body


async def test_a_set_is_loaded_in_a_process_that_ends_and_nothing_waits_for_it(
    runs: DraftRuns, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def describing(source: str) -> asyncio.Task[bytes]:
        bundle = bundled("kept:component", {"kept.py": (OTHER + source).encode()})
        return asyncio.create_task(runs.describe_set(bundle.to_bytes(), "me"))

    endless = describing("while True: pass\n")
    await world.publish(world.packed("other.yaml", {"other.yaml": PLAIN}))
    monkeypatch.setattr(runs, "seconds", 0.5)
    later = describing("while True: pass\n")
    endless.cancel()
    with pytest.raises(DefinitionError, match=r"longer than 0\.5 s"):
        await later
    monkeypatch.setattr(runs, "seconds", 30.0)
    with pytest.raises(DefinitionError, match="MemoryError"):
        await describing("x = bytearray(2 << 30)\n")
    with pytest.raises(DefinitionError, match="calls nothing"):
        await describing("import socket\nsocket.create_connection(('127.0.0.1', 9))\n")
    # This process has loaded nothing of it.
    mark = "import builtins\nbuiltins.halflap_was_here = True\n"
    await deploy(world, bundled("kept:component", {"kept.py": (OTHER + mark).encode()}))
    assert not hasattr(builtins, "halflap_was_here")


def bundled(entry: str, files: dict[str, bytes]) -> Bundle:
    from halflap.engine.bundle import _hash

    ordered = tuple(sorted(files.items()))
    return Bundle(_hash(entry, ordered, ()), entry, ordered, ())


async def test_a_draft_has_the_components_that_are_pinned_everywhere(world: Any) -> None:
    draft = await begun(world)
    assert any("shop" in each for each in await errors(world, draft))
    made = await deploy(world, world.components())
    pin = await world.api("PUT", f"{draft}/components", {"components": "tools"})
    assert (pin.status, pin.json["pinned"]) == (200, made)
    assert await errors(world, draft) == []
    assert (await world.api.get(draft))["components"] == made
    [listed] = await world.api.items("/api/drafts")
    assert listed["components"] == made
    palette = (await world.api.get(f"{draft}/palette", q="find"))["calls"]
    assert "shop.find_order" in {each["name"] for each in palette}
    form = await world.api.get(f"{draft}/form", path_='["flows", "order", "steps", 0]')
    assert [each["name"] for each in form["fields"]] == ["id"]
    step = {"node": "n1", "event": {"id": "1"}}
    ran = (await world.api("POST", f"{draft}/steps/run", step)).json
    assert (ran["end"]["state"], ran["rows"][0]["source"]) == ("succeeded", "sample")
    made_of = (await world.api("GET", f"{draft}/bundle")).body
    assert sorted(dict(Bundle.from_bytes(made_of).files)) == ["bought.yaml", "shop.py"]
    tag = {"if-match": '"1"'}
    published = await world.api("POST", f"{draft}/publish", {"target": "dev"}, headers=tag)
    assert published.status == 201, published.body
    version = await world.api.get("/api/integrations/bought/versions/dev")
    assert (version["error"], sorted(version["files"])) == (None, ["bought.yaml", "shop.py"])
    # Without the set, it has the components of the version that it was published as.
    await world.api("PUT", f"{draft}/components", {"components": None})
    assert (await world.api.get(f"{draft}/components"))["pinned"] is None
    assert await errors(world, draft) == []


async def test_a_set_takes_the_place_of_the_base_s_components_and_says_what_it_has_otherwise(
    world: Any,
) -> None:
    files = {"bought.yaml": TEXT, "other.py": OTHER, "notes.json": "{}"}
    await world.publish(world.packed("bought.yaml", files))
    draft = await begun(world, text=None, version="dev")
    made = await deploy(world, world.components(RENAMED))
    path = f"{draft}/components"
    compared = await world.api.get(path, against=made["hash"])
    assert compared == {
        "pinned": None,
        "changes": [
            {"name": "shop.find_order", "kind": "action", "change": "removed"},
            {"name": "shop.seek_order", "kind": "action", "change": "added"},
        ],
    }
    assert await errors(world, draft) == []
    await world.api("PUT", path, {"components": made["id"]})
    assert any("find_order" in each for each in await errors(world, draft))
    bundle = Bundle.from_bytes((await world.api("GET", f"{draft}/bundle")).body)
    assert sorted(dict(bundle.files)) == ["bought.yaml", "notes.json", "shop.py"]
    assert dict(bundle.files)["shop.py"] == RENAMED.encode()
    missing = await world.api("PUT", path, {"components": "nothing"})
    assert (missing.status, missing.kind) == (404, "NotFound")
    begin = {"integration": "bought", "text": TEXT, "components": "nothing"}
    assert (await world.api("POST", "/api/drafts", begin)).status == 404
    assert (await begun(world, components="tools")) != draft


async def test_others_are_told_of_a_set_that_is_pinned_and_viewers_pin_none(world: Any) -> None:
    draft = await begun(world)
    made = await deploy(world, world.components())
    viewer = await signed_in(world, "viewer")
    path = f"{draft}/components"
    assert (await viewer("PUT", path, {"components": "tools"})).status == 403
    assert (await viewer("GET", path)).status == 200
    sent = await viewer("POST", "/api/component-sets", name="tools")
    assert sent.status == 403
    topic = f"drafts:{draft.rpartition('/')[2]}"
    async with world.api.stream("/api/stream", topics=topic) as stream:
        await stream.event()
        await world.api("PUT", path, {"components": "tools"})
        assert (await stream.named())[1]["components"] == made["id"]
