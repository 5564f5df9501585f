"""A customer is erased: nothing of it is left in any file, and nobody else's is touched."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from halflap.api.operations import erasure
from halflap.errors import StoreError
from halflap.sdk import codec
from halflap.server.settings import Settings
from halflap.store import erasing
from halflap.store.job import fetch
from tests.api.conftest import TOKEN, Shop, World, on_its_way, world_on

CANARY = "canary-4711"
LARGE = "x" * 100_000


def found(folder: Path) -> list[str]:
    """The files in which the canary can be found."""
    files = [each for each in folder.rglob("*") if each.is_file() and "bundles" not in each.parts]
    return [each.name for each in files if CANARY.encode() in each.read_bytes()]


@pytest.fixture
async def customer(world: Any) -> str:
    await world.publish()
    instance = await world.instance()
    for body in ({"id": CANARY, "amount": 1}, {"id": CANARY, "amount": 1, "large": LARGE}):
        id = await world.send(instance, body, authorization=f"Bearer {CANARY}")
        await world.ended(id)
    return instance["customer"]


async def test_it_is_planned_and_then_nothing_of_it_is_left(world: Any, customer: str):
    folder, path = world.host.settings.dir, f"/api/customers/{customer}/erasure"
    plan = await world.api.get(path)
    refused = await world.api("POST", path, json={})
    assert (plan["executions"] >= 2, plan["blobs"]) == (True, 1)
    assert "halflap instances disable" in plan["before"][0]
    assert (refused.status, refused.kind) == (409, "Conflict")
    assert len(found(folder)) >= 2  # the control: a file of the store, and a blob
    await world.disable()

    done = await world.api("POST", path, json={"by": "Ada"})

    assert done.status == 200, done.body
    assert found(folder) == []
    assert (await world.api("GET", f"/api/customers/{customer}")).status == 404
    left = (await erasing.erased(world.host.store.database))[customer]
    assert left["by"] == "Ada"
    assert left["counts"]["executions"] == done.json["executions"]
    assert left["at"] > 0


async def test_one_that_was_cut_off_goes_on(
    world: Any, customer: str, monkeypatch: pytest.MonkeyPatch
):
    await world.disable()
    payloads = world.host.store.payloads

    async def ended(_: str, limit: int) -> int:
        raise StoreError("the process ended here")

    with monkeypatch.context() as patch:
        patch.setattr(payloads, "erase_blobs", ended)
        cut = await world.api("POST", f"/api/customers/{customer}/erasure", json={})
    assert cut.status == 503

    done = await world.api("POST", f"/api/customers/{customer}/erasure", json={})

    assert done.status == 200, done.body
    assert found(world.host.settings.dir) == []


async def test_it_says_how_much_is_left_and_goes_on_when_asked_again(
    world: Any, customer: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(erasure, "AT_ONCE", 1)
    await world.disable()
    plan = await world.api.get(f"/api/customers/{customer}/erasure")
    counts = {each: plan[each] for each in ("instances", "connections", "executions", "blobs")}

    said: list[tuple[int, int]] = []
    for _ in range(plan["left"] + 1):
        path = f"/api/customers/{customer}/erasure"
        answer = await world.api("POST", path, json={}, wait=0)
        said.append((answer.status, answer.json["left"]))
        assert {each: answer.json[each] for each in counts} == counts
        if not answer.json["left"]:
            break

    left = [each for _, each in said]
    assert left == sorted(left, reverse=True)
    assert len(left) > counts["executions"]
    assert [status for status, _ in said] == [202] * (len(said) - 1) + [200]
    assert found(world.host.settings.dir) == []
    assert (await world.api("GET", f"/api/customers/{customer}")).status == 404


async def test_an_instance_that_is_activated_meanwhile_can_be_disabled(world: Any, customer: str):
    await world.disable()
    path = f"/api/customers/{customer}/erasure"
    begun = await world.api("POST", path, json={}, wait=0)
    assert begun.status == 202, begun.body

    activated = await world.api("POST", "/api/instances/orders/activate", wait=30)
    refused = await world.api("POST", path, json={})
    await world.disable()
    done = await world.api("POST", path, json={})

    assert (activated.status, refused.status) == (200, 409)
    assert done.status == 200, done.body
    assert found(world.host.settings.dir) == []


async def test_one_that_was_killed_at_its_very_end_is_finished_at_the_next_start(
    world: Any, customer: str, monkeypatch: pytest.MonkeyPatch
):
    await world.disable()

    async def ended(_: Any) -> None:
        raise StoreError("the process ended here")

    with monkeypatch.context() as patch:
        patch.setattr(erasing, "compact", ended)
        cut = await world.api("POST", f"/api/customers/{customer}/erasure", json={})
    assert cut.status == 503
    assert (await erasing.erased(world.host.store.database))[customer]["at"] is None

    await world.host.operations.erasure.resume()

    assert (await erasing.erased(world.host.store.database))[customer]["at"] > 0
    assert found(world.host.settings.dir) == []


@pytest.fixture
async def streaming(tmp_path: Path, shop: Shop) -> AsyncIterator[World]:
    """A world that streams bodies of more than 1 MiB."""
    settings = Settings(
        dir=tmp_path / "store",
        token=TOKEN,
        egress_allow=("127.0.0.1",),
        stream_bytes=1024 * 1024,
    )
    async with world_on(settings, shop, tmp_path / "projects") as world:
        yield world


@pytest.mark.parametrize("size", [100, 200_000, 2_000_000], ids=["row", "blob", "streamed"])
async def test_an_event_that_is_on_its_way_meanwhile_is_not_taken(streaming: World, size: int):
    world = streaming
    await world.publish()
    instance = await world.instance()
    body = codec.encode({"id": CANARY, "amount": 1, "large": "x" * size})
    hook = world.hook(instance, body)
    async with on_its_way(world, hook, behind="_starts") as sending:
        await world.disable()
        erasing = f"/api/customers/{instance['customer']}/erasure"
        done = await world.api("POST", erasing, json={})

    assert done.status == 200, done.body
    assert (await sending).status == 404
    database = world.host.store.database
    for table in ("executions", "events", "blobs"):
        assert await fetch(database, f"SELECT * FROM {table}") == []
    blobs = world.host.settings.dir / "blobs"
    assert [each for each in blobs.rglob("*") if each.is_file()] == []


async def test_bulks_over_what_it_had_go_with_it_as_they_name_records(world: Any, customer: str):
    others = await world.customer("Others")
    for where in ({"customer": customer}, {"instance": "orders"}, {"customer": others}, {}):
        draft = {"do": "dismiss", "where": {**where, "key": CANARY}}
        begun = await world.api("POST", "/api/bulks", draft)
        assert begun.status == 201, begun.body
    await world.disable()

    done = await world.api("POST", f"/api/customers/{customer}/erasure", json={})

    assert done.status == 200, done.body
    left = await world.api.items("/api/bulks")
    assert [each["wanted"]["where"]["customer"] for each in left] == [None, others]


async def test_a_request_that_is_refused_afterwards_leaves_nothing(world: Any, customer: str):
    instance = await world.api.get("/api/instances/orders")
    hook = world.hook(instance, b"{}", **{"content-encoding": CANARY})
    async with on_its_way(world, hook, before="_receive") as sending:
        await world.disable()
        done = await world.api("POST", f"/api/customers/{customer}/erasure", json={})

    assert (done.status, (await sending).status) == (200, 415)
    await world.host.store.catalogue.settled()
    assert await fetch(world.host.store.database, "SELECT * FROM rejections") == []
