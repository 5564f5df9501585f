"""Following: changes as they happen, heartbeats between them, and slow readers let go."""

import asyncio
from typing import Any

import pytest

from halflap.api.operations.following import Following, KeepAlive, Which


@pytest.fixture
async def instance(world: Any) -> Any:
    await world.publish()
    return await world.instance()


async def test_each_change_of_an_execution_is_told_as_it_happens(world: Any, instance: Any) -> None:
    async with world.api.stream("/api/follow", instance="orders") as stream:
        assert await stream.event() == ": following"
        id = await world.send(instance, {"id": "o1", "amount": 1})
        changes = [await stream.data() for _ in range(3)]

    assert [each["state"] for each in changes] == ["queued", "running", "succeeded"]
    assert {each["execution"] for each in changes} == {id}
    assert changes[0]["flow"] == "incoming"
    assert changes[0]["at"].endswith("Z")
    headers = dict(stream.started.result()["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")


async def test_a_stream_tells_only_what_was_asked_for_and_is_forgotten_with_its_reader(
    world: Any, instance: Any
) -> None:
    other = await world.instance(await world.customer("Globex"))
    before = len(world.host.engine._audience._listeners)

    async with world.api.stream("/api/follow", customer="Globex") as stream:
        assert await stream.event() == ": following"
        assert len(world.host.engine._audience._listeners) == before + 1
        await world.send(instance, {"id": "mine", "amount": 1})
        theirs = await world.send(other, {"id": "theirs", "amount": 1})
        assert (await stream.data())["execution"] == theirs

    assert len(world.host.engine._audience._listeners) == before


async def test_a_quiet_stream_beats_and_ends_with_the_server(world: Any) -> None:
    world.host.operations.following.heartbeat_seconds = 0.01

    async with world.api.stream("/api/follow") as stream:
        assert [await stream.event() for _ in range(3)] == [": following"] * 3
        world.host.operations.stop()


async def test_a_reader_that_is_too_slow_is_dropped_and_told_so(world: Any, instance: Any) -> None:
    following = Following(world.host.engine, room=2)
    changes = following.changes(Which())
    assert await anext(changes) is KeepAlive.HEARTBEAT
    await world.ended(await world.send(instance, {"id": "o1", "amount": 1}))

    async with asyncio.timeout(9):
        heard = [each async for each in changes]

    assert [getattr(each, "state", each) for each in heard] == [
        "queued",
        "running",
        KeepAlive.DROPPED,
    ]


async def test_following_what_is_not_there_is_refused(world: Any) -> None:
    for query in ({"instance": "none"}, {"customer": "none"}, {"execution": "exe_none"}):
        assert (await world.api("GET", "/api/follow", **query)).kind == "NotFound"
