"""HTTP's triggers against a server: polls, long polls and streams lose nothing and double nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from halflap import (
    DefinitionError,
    InvalidEvent,
    Message,
    PolledPage,
    Polling,
    Request,
    UpstreamError,
    http,
)
from halflap.components.http import triggers
from halflap.components.http.triggers import EventParser, message
from halflap.engine.listening import check_text
from halflap.sdk.connection import egress
from halflap.sdk.egress import Egress, Policy
from halflap.sdk.listener import MOST_MESSAGES
from halflap.sdk.polling import MOST_SEEN, PollCursor, PollSpec, polled
from halflap.sdk.request import Headers
from halflap.sdk.response import Limits
from halflap.testing.listeners import AcceptedLog, ListenerRun, TestedListening
from tests.cases import for_each
from tests.http_api import Api
from tests.loopback import on_loopback
from tests.polling import DEADLINE


@pytest.fixture
async def api() -> Api:
    return Api()


@pytest.fixture
async def connection(api: Api) -> AsyncIterator[http.Http]:
    client = Egress(Policy(allow=("127.0.0.1",)))
    token = egress.set(client)
    async with on_loopback(api.app()) as url:
        yield http.Http(base_url=url)
        egress.reset(token)
        await client.close()


class Resting(TestedListening):
    """A listening that notes its rests, and is cancelled after so many."""

    __test__ = False

    def __init__(self, log: AcceptedLog, shard: str, start: str, rests: int = 100) -> None:
        super().__init__(log, shard, start)
        self.rests: list[float] = []
        self.most = rests

    async def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        if len(self.rests) == self.most:
            raise asyncio.CancelledError


def numbers(log: AcceptedLog) -> list[int]:
    return [json.loads(each)["n"] for each in log.bodies]


POLLS: dict[str, dict[str, Any]] = {
    "/time": {"items": "/data/items", "updated_at": "/at", "since": "since"},
    "/pages": {"items": "/items", "updated_at": "/at", "since": "since", "next": "/links/next"},
    "/cursor": {"items": "/items", "cursor": "/next", "since": "after"},
    "/whole": {},
}


async def read(trigger: Any, connection: Any, log: AcceptedLog, count: int) -> None:
    """Read until so many messages are accepted, or with none to come it rests, and for a moment more."""
    run = ListenerRun(trigger, connection, log)
    run.listening.beat = lambda: None  # it is idle once it rests
    async with run.reading() as reading:
        async with asyncio.timeout(DEADLINE):
            while not reading.done() and (
                len(log.bodies) < count if count else not run.listening.idle.is_set()
            ):
                await asyncio.wait([reading], timeout=0.01)
        await asyncio.wait([reading], timeout=0.2)


@pytest.mark.parametrize("path", POLLS)
async def test_a_poll_begins_now_and_starts_each_item_once(
    path: str, api: Api, connection: http.Http
):
    await api.put([b'{"n": 0}'] if "updated_at" not in POLLS[path] else [])
    trigger, log = http.poll(path=path, **POLLS[path]), AcceptedLog()
    await read(trigger, connection, log, 0)  # it is ended before the first item
    await api.put([b'{"n": 1}', b'{"n": 2}', b'{"n": 3}'])
    await read(trigger, connection, log, 3)
    await api.put([b'{"n": 4}'])
    await read(trigger, connection, log, 4)
    assert numbers(log) == [1, 2, 3, 4]


@pytest.mark.parametrize("path", POLLS)
async def test_an_initial_import_has_what_was_there(path: str, api: Api, connection: http.Http):
    await api.put([b'{"n": 1}', b'{"n": 2}', b'{"n": 3}'])
    log = AcceptedLog()
    await read(http.poll(path=path, **POLLS[path], start="earliest"), connection, log, 3)
    assert numbers(log) == [1, 2, 3]


@pytest.mark.parametrize(
    "hostile",
    ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00", "zzz", "x\0y"],
)
async def test_an_item_of_another_age_hides_no_later_one(
    hostile: str, api: Api, connection: http.Http
):
    await api.put(
        [b'{"n": 1}', b'{"n": 2, "at": "%s"}' % hostile.replace("\0", "\\u0000").encode()]
    )
    trigger, log = http.poll(path="/time", **POLLS["/time"], start="earliest"), AcceptedLog()
    await read(trigger, connection, log, 2)
    await api.put([b'{"n": 3}'])
    await read(trigger, connection, log, 3)
    await api.put([b'{"n": 4}'])
    await read(trigger, connection, log, 4)
    assert numbers(log) == [1, 2, 3, 4]
    cursor = PollCursor.read(log.cursors[""] or "").cursor
    assert cursor is not None
    assert cursor <= datetime.now(UTC).isoformat()
    if hostile < "0002":  # it alone is the oldest that can be asked for
        api.items[:] = api.items[1:2]
        await read(trigger, connection, AcceptedLog(), 1)


async def test_a_cursor_of_a_time_to_come_is_now():
    known = PollCursor()
    known.take(PolledPage(cursor=datetime.max.replace(tzinfo=UTC)))
    assert (known.cursor or "") <= datetime.now(UTC).isoformat()
    known.take(PolledPage(cursor="9999-12-31"))  # an app's own text is left as it is
    assert known.cursor == "9999-12-31"


async def test_a_long_list_begins_now_and_is_known(api: Api, connection: http.Http):
    api.items += [{"id": n, "n": n} for n in range(triggers.MOST_LISTED - 1)]
    trigger, log = http.poll(path="/whole"), AcceptedLog()
    await read(trigger, connection, log, 0)
    run = ListenerRun(trigger, connection, log)
    while "read" not in (log.cursors[""] or ""):
        await run.step()
    check_text(log.cursors[""] or "")
    await api.put([b'{"n": -1}'])
    await read(trigger, connection, log, 1)
    assert numbers(log) == [-1]
    check_text(log.cursors[""] or "")
    await api.put([b'{"n": -2}'])
    with pytest.raises(DefinitionError, match="10,001 items"):
        await read(trigger, connection, log, 2)
    assert numbers(log) == [-1]
    assert triggers.MOST_LISTED <= MOST_SEEN


def test_a_cursor_has_the_marks_that_there_is_room_for():
    known = PollCursor("é" * 60_000, dict.fromkeys(f"{n:08}" for n in range(MOST_SEEN)))
    check_text(known.write())
    seen = [*PollCursor.read(known.write()).seen]
    assert seen == [f"{n:08}" for n in range(MOST_SEEN - len(seen), MOST_SEEN)]
    assert len(seen) > 4_900


async def test_more_pages_than_a_look_reads_are_read_in_the_next(api: Api, connection: http.Http):
    await api.put([b'{"n": %d}' % n for n in range(150)])  # two on a page
    where, log = {**POLLS["/pages"], "path": "/pages", "start": "earliest"}, AcceptedLog()
    await read(http.poll(**where), connection, log, 150)
    assert numbers(log) == [*range(150)]
    api.items.reverse()
    with pytest.raises(DefinitionError, match="not the oldest first"):
        await read(http.poll(**where), connection, AcceptedLog(), 150)
    given = {"path": "/pages", "items": "/items", "next": "/links/next"}
    with pytest.raises(DefinitionError, match="more than the 20 pages"):
        await read(http.poll(**given), connection, AcceptedLog(), 150)


async def test_more_than_a_batch_holds_is_polled_in_parts():
    found = [Message(b"1", id=str(n)) for n in range(2 * MOST_MESSAGES + 5)]
    pages = [PolledPage(found, cursor="a")]

    async def poll(polling: Polling) -> PolledPage:
        return pages.pop()

    parts = polled(TestedListening(AcceptedLog(), "", "earliest"), PollSpec(), poll)
    batches = [await anext(parts) for _ in range(3)]
    assert [len(each.messages) for each in batches] == [MOST_MESSAGES, MOST_MESSAGES, 5]
    assert [each.cursor is None for each in batches] == [True, True, False]
    assert [m for each in batches for m in each.messages] == found


async def test_an_item_that_is_shown_late_is_an_event_within_the_overlap(
    api: Api, connection: http.Http
):
    newest = datetime.now(UTC)
    log, late = AcceptedLog(), newest - timedelta(minutes=5)
    api.items = [{"id": 1, "n": 1, "at": newest.isoformat()}]
    where = {**POLLS["/time"], "path": "/time", "start": "earliest"}
    await read(http.poll(**where, overlap=600), connection, log, 1)
    api.items.append({"id": 2, "n": 2, "at": late.isoformat()})
    await read(http.poll(**where, overlap=600), connection, log, 2)
    api.items.append({"id": 3, "n": 3, "at": (late - timedelta(minutes=9)).isoformat()})
    await read(http.poll(**where, overlap=600), connection, log, 2)
    assert numbers(log) == [1, 2]


@pytest.mark.parametrize(
    ("interval", "every", "at_most"), [(2, 2, 20), (timedelta(minutes=1), 60, 300), (900, 900, 900)]
)
def test_a_chosen_interval_grows_to_ten_times_itself_at_most(
    interval: object, every: int, at_most: int
):
    spec = PollSpec().within(interval, 7)
    assert spec.every == timedelta(seconds=every)
    assert spec.at_most == timedelta(seconds=at_most)
    assert spec.overlap == timedelta(seconds=7)


HOSTILE = (
    b'{"id": 7, "x": "\\ud800"}',
    b'{"id": 7, "x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    b'{"id": 7, "x": ' + b"9" * 5_000 + b"}",
    b'{"id": 7, "x": NaN, "y": ["],"]}',
    b'"\xff"',
)
"""Items that cannot be read."""


@for_each("hostile", HOSTILE, ids=["surrogate", "deep", "digits", "nan", "bytes"])
@for_each("kind", ["time", "cursor", "whole", "long"])
async def test_an_item_that_cannot_be_read_holds_up_no_other(
    kind: str, hostile: bytes, api: Api, connection: http.Http
):
    good = b'{"id": 1, "n": 1, "at": "2020-01-01T00:00:00Z"}'
    last = b'{"id": 2, "n": 2, "x": "],\\"[{", "at": "2020-01-01T00:00:00Z"}'
    api.body = b'{"a": [], "data": {"items": [], "items": [%b , %b, %b]}, "next": 3}' % (
        good,
        hostile,
        last,
    )
    given: dict[str, Any] = {"path": "/one", "items": "/data/items"}
    match kind:
        case "long":
            trigger = http.long_poll(**given, cursor="/next", id="/id")
        case "time":
            trigger = http.poll(
                **given, updated_at="/at", since="since", start="earliest", next="/last"
            )
        case "cursor":
            trigger = http.poll(**given, cursor="/next", since="after", start="earliest")
        case _:
            trigger = http.poll(**given, start="earliest")
    log = AcceptedLog()
    await read(trigger, connection, log, 3)
    assert len(log.bodies) == 3
    assert [json.loads(log.bodies[n])["n"] for n in (0, 2)] == [1, 2]
    assert log.bodies[1] == hostile
    request = Request("MESSAGE", "", "", Headers(), hostile, "", datetime.now(UTC))
    with pytest.raises(InvalidEvent):
        await trigger.parse(request)


@for_each(
    "body",
    [
        b"<html>",
        b"[1, NaN",
        b'{"items": {}}',
        b'{"items": [NaN]',
        b"[" * 300_000,
        b'["' + b'\\"' * 500_000,
    ],
)
async def test_an_answer_that_is_bad_elsewhere_is_refused(
    body: bytes, api: Api, connection: http.Http
):
    api.body = body
    began = time.process_time()
    for items in ("", "/items"):
        with pytest.raises(UpstreamError):
            await ListenerRun(
                http.poll(path="/one", items=items, start="earliest"), connection, AcceptedLog()
            ).step()
    assert time.process_time() - began < 3


async def test_an_id_that_no_store_holds_is_none():
    for bad in ("a\0b", "a" * 1_000_000):
        found = message({"id": bad}, "/id", "")
        assert found.key is None
        assert len(found.id or "") == 24


async def test_a_changed_item_is_an_event_again(api: Api, connection: http.Http):
    await api.put([b'{"n": 1}'])
    log = AcceptedLog()
    trigger = http.poll(path="/whole", start="earliest")
    await read(trigger, connection, log, 1)
    api.items[0]["n"] = 7
    await read(trigger, connection, log, 2)
    assert numbers(log) == [1, 7]


async def test_a_stream_goes_on_behind_its_last_event(api: Api, connection: http.Http):
    log = AcceptedLog()
    trigger = http.events(path="/stream")
    for count in (2, 5, 6):
        await api.put([b'{"n": %d}' % n for n in range(len(api.items), count)])
        await read(trigger, connection, log, count)
    assert numbers(log) == list(range(6))


async def test_a_long_poll_goes_on_at_its_cursor(api: Api, connection: http.Http):
    log = AcceptedLog()
    trigger = http.long_poll(path="/waiting", cursor="/next", items="/items", id="/id")
    for count in (2, 5, 6):
        await api.put([b'{"n": %d}' % n for n in range(len(api.items), count)])
        await read(trigger, connection, log, count)
    assert numbers(log) == list(range(6))


@for_each("cut", range(1, 8))
def test_a_stream_is_read_however_it_is_cut(cut: int):
    stream = (
        b"\xef\xbb\xbf: c\n\nid: 1\r\nevent: added\r\ndata: a\r\ndata:b\r\n\r\n"
        b"data: c\rid: 2\r\rid\ndata\n\nretry: 7\nretry: x\ndata: \xc3\xa9\n\ndata: unfinished\n"
    )
    parser = EventParser()
    found = [
        each for at in range(0, len(stream), cut) for each in parser.feed(stream[at : at + cut])
    ]
    assert [(each.type, each.id, each.data) for each in found] == [
        ("added", "1", "a\nb"),
        ("message", "2", "c"),
        ("message", "", ""),
        ("message", "", "é"),
    ]
    assert parser.retry == 1.0


def test_an_event_of_a_stream_is_bounded_however_it_is_made(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(triggers, "MOST_EVENT", 100_000)
    for piece in (b"data\n" * 1_000, b"data: " + b"x" * 5_000, b"data: x\n\xff\n" * 500):
        parser = EventParser()
        feed = partial(map, parser.feed, [piece] * 500)
        with pytest.raises(UpstreamError, match="100,000 bytes"):
            list(feed())
        assert len(parser._data) + len(parser._left) < 110_000


def test_a_line_without_an_end_is_read_once():
    parser = EventParser()
    parser.feed(b"data: " + b"x" * 4_000_000)
    began = time.process_time()
    for _ in range(2_000):
        parser.feed(b"y")
    assert time.process_time() - began < 0.5


def test_hostile_fields_of_a_stream_are_passed_over():
    parser = EventParser()
    parser.feed(b"retry: " + b"9" * 5_000 + b"\n")
    assert parser.retry == triggers.LONGEST_RETRY
    found = parser.feed(b"id: 1\ndata: a\n\nid: " + b"2" * 3_000_000 + b"\ndata: b\n\n")
    assert [(each.id, each.is_named) for each in found] == [("1", True), ("1", False)]


async def test_events_that_share_an_id_and_more_than_a_batch_holds_all_arrive(
    api: Api, connection: http.Http
):
    count = 25_000
    api.body = b"id: 1\ndata: 0\n\n" + b"".join(b"data:%d\n\n" % n for n in range(1, count))
    api.content_type = "text/event-stream"
    run = ListenerRun(http.events(path="/one"), connection, log := AcceptedLog())
    while len(log.bodies) < count:
        batch = await run.step()
        assert batch is not None
        assert len(batch.messages) <= MOST_MESSAGES
    await run.end()
    assert [int(each) for each in log.bodies] == list(range(count))


async def test_a_stream_that_ends_at_once_is_asked_ever_less(api: Api, connection: http.Http):
    api.body, api.content_type = b"retry: 0\n\n", "text/event-stream"
    listening = Resting(AcceptedLog(), "", "now", rests=5)
    with contextlib.suppress(asyncio.CancelledError):
        async for _ in http.events(path="/one").listen(connection, listening):
            pass
    assert listening.rests == [1, 2, 4, 8, 16]


async def test_a_long_poll_is_limited_as_a_request_is(
    api: Api, connection: http.Http, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(http.Http, "limits", Limits(response_bytes=100_000))
    api.body = b" " * 100_001  # compressed, it is short
    trigger = http.long_poll(path="/one", cursor="/next", items="/items")
    with pytest.raises(UpstreamError, match="more than 100,000 bytes"):
        await ListenerRun(trigger, connection, AcceptedLog()).step()
    api.body = b" " * 90_000 + b'{"next": 1}'
    assert await ListenerRun(trigger, connection, AcceptedLog()).step() is not None


async def test_an_event_of_a_stream_is_json_or_text():
    trigger = http.events(path="/stream")

    async def event(body: bytes) -> Any:
        headers = Headers([("event", "added"), ("last-event-id", "7")])
        return await trigger.parse(Request("MESSAGE", "", "", headers, body, "", datetime.now(UTC)))

    assert (await event(b'{"a": 1}')).data == {"a": 1}
    found = await event(b"plain text")
    assert (found.type, found.id, found.data) == ("added", "7", "plain text")


async def test_the_interval_grows_while_nothing_comes_and_is_short_again_at_once():
    pages = [PolledPage()] * 3 + [PolledPage([Message(b"1", id="1")], cursor="1")]
    pages += [PolledPage([Message(b"1", id="1")]), PolledPage()]

    async def poll(polling: Polling) -> PolledPage:
        if not pages:
            raise asyncio.CancelledError
        return pages.pop(0)

    spec = PollSpec().within(10)
    listening = Resting(AcceptedLog(), "", "earliest")
    rests = listening.rests
    found = []
    with contextlib.suppress(asyncio.CancelledError):
        async for each in polled(listening, spec, poll):
            found.append(each)
    assert rests == [pytest.approx(each, rel=0.1) for each in (20, 40, 80, 10, 10, 20)]
    assert len(found) == 2  # without an overlap, the store is who knows an id again


async def test_what_the_overlap_shows_again_writes_nothing():
    first = PolledPage([Message(b"1", id="1", version="a")], cursor="2026-01-01T00:00:00")
    pages = [first, first, PolledPage([Message(b"1", id="1", version="b")])]

    async def poll(polling: Polling) -> PolledPage:
        if not pages:
            raise asyncio.CancelledError
        return pages.pop(0)

    listening = TestedListening(AcceptedLog(), "", "earliest")
    found: list[Any] = []
    with contextlib.suppress(asyncio.CancelledError):
        async for each in polled(listening, PollSpec(overlap=timedelta(minutes=1)), poll):
            found.append(each)
    assert [[m.version for m in each.messages] for each in found] == [["a"], ["b"]]
