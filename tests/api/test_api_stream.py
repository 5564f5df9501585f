"""The stream: what happens as it happens, heartbeats between, and slow readers let go."""

import asyncio
from typing import Any

import pytest

from halflap.api import stream
from halflap.api.operations.following import Following, KeepAlive, Which
from halflap.engine.audience import Audience
from halflap.engine.relay import Relay, read_progress, written_progress
from halflap.errors import StoreError
from halflap.model import Change, FlowKey, LogLine, Progress
from tests.api.conftest import Client
from tests.polling import DEADLINE


async def test_each_change_of_an_execution_is_told_as_it_happens(world: Any, instance: Any) -> None:
    async with world.api.stream("/api/stream", topics="executions", instance="orders") as stream:
        assert await stream.event() == ": following"
        id = await world.send(instance, {"id": "o1", "amount": 1})
        changes = [await stream.data() for _ in range(3)]

    assert [each["state"] for each in changes] == ["queued", "running", "succeeded"]
    assert {each["execution"] for each in changes} == {id}
    assert (changes[0]["flow"], changes[0]["integration"]) == ("incoming", "orders")
    assert changes[0]["key"] == "o1"
    assert changes[0]["at"].endswith("Z")
    headers = dict(stream.started.result()["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")


async def test_a_dismissal_is_told_here_and_in_other_processes(
    world: Any, instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.shop.broken = True
    failed = await world.send(instance, {"id": "o1", "amount": 1})
    await world.ended(failed)
    lines: list[str] = []
    heard: list[Change] = []
    hints = Hinted(lines)
    relay = Relay(hints, due=print, ended=print, cancel=print, change=heard.append, recorded=print)
    hints.heard("changes")
    monkeypatch.setattr(world.host.engine._audience, "relay", relay)
    async with world.api.stream("/api/stream", topics="executions", state="failed") as stream:
        assert await stream.event() == ": following"
        assert (await world.api("POST", f"/api/executions/{failed}/dismiss")).status == 204
        told = await stream.data()
    assert (told["execution"], told["state"], told["dismissed"]) == (failed, "failed", True)
    assert (told["flow"], told["instance"]) == ("incoming", instance["id"])
    assert told["reason"]
    [line] = [each for each in lines if each.startswith("dismissed ")]
    hints.heard(line)
    assert [(each.execution, each.state, each.dismissed) for each in heard] == [
        (failed, "failed", True)
    ]
    relay.close()


async def test_of_streams_of_one_principal_so_many_are_open(
    world: Any, instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MOST_STREAMS", 1)
    follower = Client(world.api.app, await world.key("read"))
    for _ in range(2):
        async with follower.stream("/api/stream", topics="executions") as heard:
            assert await heard.event() == ": following"
            refused = await follower("GET", "/api/stream", topics="executions")
            assert (refused.status, refused.kind) == (429, "TooManyStreams")
            async with world.api.stream("/api/stream", topics="executions") as another:
                assert await another.event() == ": following"
    assert not world.host.operations.following.streams.total()


async def test_a_store_that_is_away_ends_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = asyncio.Event()

    async def told(*answers: bool | Exception) -> list[str]:
        """Return what a stream sends whose client is admitted so, look by look."""
        left, sent = list(answers), list[str]()

        async def admitted() -> bool:
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def run(tell: stream.Tell) -> None:
            await tell(": following")
            await ends.wait()

        async def send(message: Any) -> None:
            sent.append(message.get("body", b"").decode())

        async with asyncio.timeout(DEADLINE):
            await stream.EventStream(run, admitted)({}, asyncio.Event().wait, send)
        assert not left
        return sent

    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.001)
    whole = ["", ": following\n\n", ""]
    assert await told(True, StoreError(), True, StoreError(), False) == whole
    for error in (ZeroDivisionError, TimeoutError):
        with pytest.raises(error):  # which the server logs
            await told(True, error())
    monkeypatch.setattr(stream, "LOOK_SECONDS", DEADLINE)
    ends.set()
    assert await told() == whole  # nothing is asked of the store as it begins


async def test_a_stream_tells_only_what_was_asked_for_and_is_forgotten_with_its_reader(
    world: Any, instance: Any
) -> None:
    world.host.operations.following.linger_seconds = 0
    other = await world.instance(await world.customer("Globex"))
    audience: Audience = world.host.engine._audience
    before = len(audience._listeners)

    async with world.api.stream(
        "/api/stream", topics="executions,logs", customer="Globex"
    ) as heard:
        assert await heard.event() == ": following"
        assert len(audience._listeners) == before + 1
        await world.send(instance, {"id": "mine", "amount": 1})
        theirs = await world.send(other, {"id": "theirs", "amount": 1})
        told = [await heard.named() for _ in range(4)]

    assert {each["execution"] for _, each in told} == {theirs}
    assert sorted(name for name, _ in told) == ["executions"] * 3 + ["logs"]
    assert (len(audience._listeners), audience._watchers) == (before, {})
    for query in ({"state": "failed"}, {"flow": "waiting"}, {"key": "o2"}, {"version": "x"}):
        query = {"topics": "executions", **query}
        async with world.api.stream("/api/stream", **query) as heard:
            await heard.event()
            await world.ended(await world.send(instance, {"id": "o1", "amount": 1}))
            assert heard.chunks.empty(), query


async def test_steps_come_with_the_changes_of_their_execution(world: Any, instance: Any) -> None:
    world.shop.hold.clear()
    id = await world.send(instance, {"id": "o1", "amount": 1})
    other = await world.send(instance, {"id": "o2", "amount": 1})
    topics = f"steps:{id}"
    async with world.api.stream("/api/stream", topics=topics) as heard:
        await heard.event()
        world.shop.hold.set()
        shown = await world.ended(id)
        await world.ended(other)
        told: list[tuple[str, Any]] = []
        while not told or told[-1][0] != "executions":
            told.append(await heard.named())

    assert {each["execution"] for _, each in told} == {id}
    steps = [step for name, each in told if name == "steps" for step in each["steps"]]
    last = {each["path"]: each["status"] for each in steps}
    assert last["shop.create_order"] == "succeeded"
    recorded = await world.api.items(f"/api/executions/{id}/steps")
    assert last.items() <= {each["path"]: each["status"] for each in recorded}.items()
    assert told[-1][1]["state"] == shown["state"] == "succeeded"


async def test_log_lines_come_without_their_fields(world: Any, instance: Any) -> None:
    async with world.api.stream("/api/stream", topics="logs") as heard:
        await heard.event()
        id = await world.send(instance, {"id": "o1", "amount": 7})
        name, line = await heard.named()

    assert (name, line["execution"], line["message"]) == ("logs", id, "creating")
    assert "fields" not in line


async def test_instances_connections_and_bulks_tell_that_they_changed(
    either: Any,
) -> None:
    await either.publish()
    topics = "instances,connections,bulks"
    async with either.api.stream("/api/stream", topics=topics) as heard:
        await heard.event()
        instance = await either.instance()
        seen = dict[str, list[Any]]()
        last = dict[str, Any]()
        while last != {"instances": "active", "connections": "working"}:
            name, told = await heard.named()
            seen.setdefault(name, []).append(told)
            last[name] = told["state"]
        assert {each["id"] for each in seen["instances"]} == {instance["id"]}
        bulk = (await either.api("POST", "/api/bulks", {})).json["id"]
        while seen.get("bulks", [{}])[-1].get("id") != bulk:
            name, told = await heard.named()
            seen.setdefault(name, []).append(told)
        await either.api("POST", "/api/instances/orders/disable", wait=30)
        await either.api("DELETE", "/api/instances/orders")
        while seen["instances"][-1]["state"] is not None:
            name, told = await heard.named()
            seen.setdefault(name, []).append(told)


async def test_who_comes_back_gets_what_it_missed_or_is_told_to_reload(
    world: Any, instance: Any
) -> None:
    topics = {"topics": "executions", "state": "succeeded"}
    async with world.api.stream("/api/stream", **topics) as heard:
        await heard.event()
        await world.ended(await world.send(instance, {"id": "o1", "amount": 1}))
        await heard.named()
    missed = await world.send(instance, {"id": "o2", "amount": 1})
    await world.ended(missed)

    async with world.api.stream("/api/stream", **topics, after=heard.last) as again:
        assert (await again.data())["execution"] == missed
        next = await world.send(instance, {"id": "o3", "amount": 1})
        assert (await again.data())["execution"] == next

    assert len(again.last) == 16  # no number, which would tell how much happens to others
    for after in (f"{again.last}0", "0" * 16, "x"):
        async with world.api.stream("/api/stream", **topics, after=after) as told:
            assert await told.named() == ("reload", {}), after
    both = {"topics": "executions,logs", "after": again.last}
    async with world.api.stream("/api/stream", **both) as told:
        assert await told.named() == ("reload", {})  # nothing told of logs meanwhile


async def test_notices_that_were_too_many_to_retain_mean_reload(world: Any, instance: Any) -> None:
    following: Following = world.host.operations.following
    following._retained = type(following._retained)(maxlen=2)
    async with world.api.stream("/api/stream", topics="executions") as heard:
        await heard.event()
        await world.ended(await world.send(instance, {"id": "o1", "amount": 1}))
        await heard.named()
        first = heard.last
    await world.ended(await world.send(instance, {"id": "o2", "amount": 1}))

    async with world.api.stream("/api/stream", topics="executions", after=first) as told:
        assert await told.named() == ("reload", {})


async def test_a_quiet_stream_beats_and_ends_with_the_server(world: Any) -> None:
    world.host.operations.following.heartbeat_seconds = 0.01

    async with world.api.stream("/api/stream", topics="instances") as stream:
        assert [await stream.event() for _ in range(3)] == [": following"] * 3
        world.host.operations.stop()


async def test_who_comes_as_the_server_stops_leaves_nothing_open(world: Any) -> None:
    following: Following = world.host.operations.following
    world.host.operations.stop()
    async with world.api.stream("/api/stream", topics="bulks,executions") as heard:
        await heard.started
    assert following._sources == {}


async def test_a_reader_that_is_too_slow_is_dropped_and_told_so(world: Any, instance: Any) -> None:
    following = Following(world.host.engine, world.host.store.catalogue, room=2)
    changes = following.notices(Which())
    assert await anext(changes) is KeepAlive.HEARTBEAT
    await world.ended(await world.send(instance, {"id": "o1", "amount": 1}))

    async with asyncio.timeout(DEADLINE):
        heard = [each async for each in changes]
    following.stop()

    assert [each if isinstance(each, KeepAlive) else each.about.state for each in heard] == [
        "queued",
        "running",
        KeepAlive.DROPPED,
    ]


async def test_following_what_is_not_there_is_refused(world: Any) -> None:
    topics = {"topics": "executions"}
    missing = (
        {**topics, "instance": "none"},
        {**topics, "customer": "none"},
        {"topics": "steps:x"},
    )
    for query in missing:
        assert (await world.api("GET", "/api/stream", **query)).kind == "NotFound"
    for wrong in ("", ",", "steps", "everything", ",".join(["instances"] * 2 + ["none"])):
        refused = await world.api("GET", "/api/stream", topics=wrong)
        assert (refused.status, set(refused.json["fields"])) == (422, {"topics"}), wrong
    assert (await world.api("GET", "/api/stream")).status == 422


def test_what_was_recorded_comes_through_a_relay_as_it_was() -> None:
    key = FlowKey("c", "i", "g", "f", "v", 3)
    line = LogLine(7, "info", "a\nb ☃", step="s#1")
    for each in (
        Progress("exe_1", key, ((1, "a/b#1", "failed"),)),
        Progress("exe_1", key, (), (line,)),
    ):
        assert read_progress(written_progress(each)) == each


async def test_an_execution_is_told_of_to_other_processes_only_while_they_watch_it() -> None:
    lines: list[str] = []
    hints = Hinted(lines)
    relay = Relay(hints, due=print, ended=print, cancel=print, change=print, recorded=print)
    assert not relay.is_asked("steps:exe_1")
    hints.heard("watch steps:exe_1")
    assert relay.is_asked("steps:exe_1")
    assert not relay.is_asked("logs")
    relay.ask_while("logs", lambda: True)
    await asyncio.sleep(0)
    assert lines == ["watch logs"]
    relay.close()


class Hinted:
    """Hints that one process sends itself."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.heard: Any = None

    def send(self, line: str = "") -> None:
        self.lines.append(line)

    def follow(self, listener: Any) -> Any:
        self.heard = listener
        return lambda: None
