"""Large payloads through the API: their beginning is shown, the whole is streamed, lost ones told."""

from pathlib import Path
from typing import Any

import pytest

from halflap.sdk import codec
from tests.cases import for_each

TEXT = "Grüße " * 60_000
BODY = codec.encode({"id": "o1", "amount": 1, "text": TEXT})
SMALL = b'{"id":"o2","amount":2}'


@pytest.fixture
async def execution(world: Any) -> str:
    await world.publish()
    instance = await world.instance()
    id = await world.send(instance, BODY)
    await world.ended(id)
    return id


def files(world: Any) -> list[Path]:
    folder = world.host.settings.dir / "blobs"
    return [each for each in folder.rglob("*") if each.is_file()]


async def test_the_beginning_is_shown_and_the_whole_can_be_had(world: Any, execution: str):
    assert len(files(world)) == 1

    shown = (await world.api.get(f"/api/executions/{execution}"))["event"]
    whole = await world.api("GET", f"/api/executions/{execution}/body")
    part = await world.api(
        "GET", f"/api/executions/{execution}/body", headers={"range": "bytes=2-3"}
    )

    assert (shown["size"], shown["encoding"]) == (len(BODY), "utf-8")
    assert BODY.decode().startswith(shown["body"])
    assert f"of {len(BODY):,} bytes" in shown["note"]
    assert (whole.status, whole.body) == (200, BODY)
    assert whole.headers["content-length"] == str(len(BODY))
    assert (part.status, part.body) == (206, BODY[2:4])
    assert part.headers["content-range"] == f"bytes 2-3/{len(BODY)}"


@pytest.fixture
async def small(world: Any, execution: str) -> str:
    instance = await world.api.get("/api/instances/orders")
    return await world.send(instance, SMALL)


@for_each(
    ("asked", "status", "cut"),
    [
        ("bytes=5-", 206, slice(5, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=0-99999999", 206, slice(None)),
        ("bytes=99999999-", 416, slice(0, 0)),
        ("bytes=7-3", 416, slice(0, 0)),
        ("bytes=-0", 416, slice(0, 0)),
        ("bytes=-", 200, slice(None)),
        ("bytes=0-1,3-4", 200, slice(None)),
        ("lines=1-2", 200, slice(None)),
    ],
)
async def test_a_range_is_that_of_http(
    world: Any, execution: str, small: str, asked: str, status: int, cut: slice
):
    for id, body in ((execution, BODY), (small, SMALL)):
        answer = await world.api("GET", f"/api/executions/{id}/body", headers={"range": asked})

        assert answer.status == status
        if status == 416:
            assert "bytes" in answer.json["detail"]
            assert answer.headers["content-range"] == f"bytes */{len(body)}"
        else:
            assert answer.body == body[cut]


async def test_a_steps_payloads_can_be_had(world: Any, execution: str):
    steps = (await world.api.get(f"/api/executions/{execution}"))["steps"]
    [found] = [each for each in steps if each["name"] == "shop.find_order"]
    [created] = [each for each in steps if each["name"] == "shop.create_order"]
    base = f"/api/executions/{execution}"

    inputs = await world.api.get(f"{base}/inputs", step=found["path"])
    result = await world.api.get(f"{base}/result", step=created["path"])
    flows = await world.api.get(f"{base}/result")
    nothing = await world.api("GET", f"{base}/result", step="shop.nothing#1")

    assert inputs["id"] == "o1"
    assert result["id"] == "o1"
    assert flows["id"] == "o1"
    assert (nothing.status, nothing.kind) == (404, "NotFound")


async def test_a_lost_payload_is_told_and_the_rest_is_shown(world: Any, execution: str):
    for each in files(world):
        each.unlink()

    shown = await world.api("GET", f"/api/executions/{execution}")
    whole = await world.api("GET", f"/api/executions/{execution}/body")
    again = await world.api("POST", f"/api/executions/{execution}/replay")

    assert (shown.status, shown.json["state"]) == (200, "succeeded")
    assert "not in the blob store" in shown.json["event"]["note"]
    assert shown.json["event"]["size"] == len(BODY)
    for each in (whole, again):
        assert (each.status, each.kind) == (500, "BlobLost")
        assert "not in the blob store" in each.json["detail"]
