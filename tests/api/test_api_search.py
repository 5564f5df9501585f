"""Searching payloads: what contains a text, newest first, without secrets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from halflap.api import search
from halflap.api.operations.executions import Executions
from halflap.api.search import excerpt_of, needles
from halflap.sdk import codec
from tests.polling import stays


async def searched(world: Any, q: str, **query: Any) -> tuple[list[Any], Any]:
    """Return what is found, and the end."""
    answer = await world.api("GET", "/api/search", q=q, **query)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    *lines, end = [codec.decode(each) for each in answer.body.splitlines()]
    return [each for each in lines if "execution" in each], end


async def test_events_steps_and_log_lines_are_found_by_a_text_newest_first(either: Any) -> None:
    await either.publish()
    instance = await either.instance()
    ids = [await either.send(instance, {"id": f"o-{n}", "amount": 17 + n}) for n in range(3)]
    live = await either.send(instance, {"note": 'Grüße, \\ "you"'}, "waiting")
    for each in ids:
        await either.ended(each)
    await either.state(live, "waiting")

    hits, end = await searched(either, '"amount":1')
    assert [each["execution"]["id"] for each in hits] == ids[::-1]
    assert end == {"found": 3, "next": None}
    [hit], _ = await searched(either, '"id":"o-1","amount":18')
    assert (hit["execution"]["id"], hit["part"], hit["step"]) == (ids[1], "event", None)
    for text in ("Grüße", '\\ "you"'):
        [hit], _ = await searched(either, text)
        assert (hit["execution"]["id"], hit["execution"]["state"]) == (live, "waiting"), text
    assert await searched(either, "o-1", flow="waiting") == ([], {"found": 0, "next": None})
    assert await searched(either, "o-1", state="failed") == ([], {"found": 0, "next": None})
    for secret in ("a-key-nobody-may-see", "$secret", "halflap-sealed"):
        assert await searched(either, secret) == ([], {"found": 0, "next": None})

    step, _ = await searched(either, "create_order", flow="incoming")
    assert step == []  # names of steps are no payload
    # A step alone has this text, and a line of a log is found by its message and its fields.
    [hit, *_], _ = await searched(either, '"secret":', flow="incoming")
    assert (hit["part"], hit["step"]) == ("inputs", "shop.create_order")
    assert "•••" in hit["excerpt"]
    assert hit["text"] == '"secret":'
    for text, execution in (("creating", ids[2]), ("sleeps for", live)):
        [hit, *_], _ = await searched(either, text)
        assert (hit["execution"]["id"], hit["part"], hit["text"]) == (execution, "log", text)
    [hit], _ = await searched(either, '"o-1"', flow="incoming")
    assert hit["part"] == "event"  # the first place that has it


async def test_a_search_ends_where_it_found_enough_or_took_long_and_goes_on(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.publish()
    instance = await world.instance()
    ids = [await world.send(instance, {"id": f"o-{n}", "amount": 1}) for n in range(4)]
    for each in ids:
        await world.ended(each)

    hits, end = await searched(world, '"o-', limit=2)
    rest, _ = await searched(world, '"o-', limit=2, before=end["next"])
    assert [each["execution"]["id"] for each in (*hits, *rest)] == ids[::-1]

    monkeypatch.setattr(search, "PAGE", 1)
    answer = await world.api("GET", "/api/search", q='"o-')
    lines = [codec.decode(each) for each in answer.body.splitlines()]
    reached = [each["reached"] for each in lines if "reached" in each]
    accepted = [each["execution"]["accepted_at"] for each in lines if "execution" in each]
    assert reached[: len(accepted)] == accepted
    monkeypatch.setattr(search, "SEARCH_SECONDS", 0.0)
    before: dict[str, str] = {}
    seen: list[str] = []
    while True:
        hits, end = await searched(world, '"o-', **before)
        seen += [each["execution"]["id"] for each in hits]
        if end["next"] is None:
            break
        before = {"before": end["next"]}
    assert seen == ids[::-1]


async def test_a_search_ends_with_its_request(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = 0

    async def endless(self: Any, *_: Any, **__: Any) -> Any:
        nonlocal pages
        pages += 1
        await asyncio.sleep(0)
        return [], "1.exe_1"

    monkeypatch.setattr(Executions, "list", endless)
    async with world.api.stream("/api/search", q="o-1") as found:
        while pages < 5:
            await found.chunks.get()
    seen = pages
    await stays(lambda: pages == seen, 0.05)


async def test_a_text_that_is_short_is_refused(world: Any) -> None:
    assert (await world.api("GET", "/api/search", q="ab")).status == 422


def test_a_text_is_looked_for_as_json_has_it_and_never_in_a_secret() -> None:
    assert needles("a-1") == (b"a-1",)
    assert needles('ü"') == ('ü"'.encode(), 'ü\\"'.encode(), b'\\u00fc\\"')
    data = codec.encode({"a": {"$secret": "c2VhbGVk"}, "b": "sealed"})
    assert excerpt_of(data, [b"c2Vh"]) is None
    assert excerpt_of(data, [b"sealed"]) == ('{"a":"•••","b":"sealed"}', "sealed")
