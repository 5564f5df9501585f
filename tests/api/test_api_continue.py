"""Chains of executions through the API: shown both ways, on the version of then, replayed sanely."""

from typing import Any

import pytest

from halflap.store.protocol import Filter
from tests.api.conftest import ORDERS

PAGES = (
    ORDERS
    + '''

@integration.flow(trigger=webhook.request(dedupe="header:x-id", key="body:/import"))
async def pages(ctx: Context[Settings], event: Any) -> str:
    """Import a page, then the next."""
    if event["page"] == event.get("bad"):
        raise ValueError("the page is bad")
    await ctx.wait_for("go")
    if event["page"] < 3:
        await ctx.continue_with({**event, "page": event["page"] + 1})
    return f"page {event['page']} was the last"


@integration.flow(trigger=webhook.request())
async def imports(ctx: Context[Settings], event: Any) -> str:
    """Import all pages."""
    return await ctx.call("pages", event)
'''
)


@pytest.fixture
async def instance(world: Any) -> Any:
    await world.publish(world.bundle(orders=PAGES))
    return await world.instance()


async def show(world: Any, id: str) -> dict[str, Any]:
    return await world.api.get(f"/api/executions/{id}")


async def go(world: Any, id: str) -> str:
    """Let a page go on; returns the execution of the next one, once it waits."""
    await world.state(id, "waiting")
    assert (await world.api("POST", f"/api/executions/{id}/signals/go")).status < 300
    await world.state(id, "succeeded")
    return (await show(world, id))["continued_by"]


async def test_a_chain_is_shown_both_ways_and_goes_on_to_the_version_of_then(
    world: Any, instance: Any
) -> None:
    first = await world.send(instance, {"import": "i1", "page": 1}, "pages", **{"x-id": "1"})
    second = await go(world, first)
    await world.publish(world.bundle(orders=PAGES, label="2"), expect=instance["version"]["hash"])
    await world.upgrade("2")
    third = await go(world, second)
    assert await go(world, third) is None
    shown = [await show(world, each) for each in (first, second, third)]
    links = [(each["continues"], each["continued_by"]) for each in shown]
    assert links == [(None, second), (first, third), (second, None)]
    assert [each["reason"] for each in shown] == ["continued", "continued", ""]
    assert [each["version"]["number"] for each in shown] == [1, 1, 2]
    assert {each["key"] for each in shown} == {"i1"}
    assert shown[0]["result"] == {"import": "i1", "page": 2}
    outcome = await world.host.engine.outcome(first, 0)
    assert outcome is not None
    assert outcome.result == b'"page 3 was the last"'


async def test_a_second_delivery_is_a_duplicate_while_the_chain_goes_on_and_after(
    world: Any, instance: Any
) -> None:
    event = {"import": "i1", "page": 1}
    first = await world.send(instance, event, "pages", **{"x-id": "1"})
    link: str | None = first
    while link is not None:
        link = await go(world, link)
        await world.send(instance, event, "pages", **{"x-id": "1"})
    found = await world.host.store.journal.executions(Filter(flow="pages"))
    assert len(found) == 3
    assert (await show(world, first))["duplicates"] == 3


async def test_a_replay_of_a_page_does_that_page_alone(world: Any, instance: Any) -> None:
    first = await world.send(instance, {"import": "i1", "page": 1}, "pages")
    second = await go(world, first)
    third = await go(world, second)
    await go(world, third)
    again = await world.replay(second, {"from": "start"})
    assert await go(world, again) == third
    assert (await show(world, again))["reason"] == "continued"
    found = await world.host.store.journal.executions(Filter(flow="pages"))
    assert len(found) == 4, "the replay, and no page after it"


async def test_a_replay_of_the_page_that_was_cancelled_goes_on(world: Any, instance: Any) -> None:
    first = await world.send(instance, {"import": "i1", "page": 1}, "pages")
    second = await go(world, first)
    assert (await world.api("POST", f"/api/executions/{first}/cancel")).status < 300
    await world.state(second, "cancelled")
    again = await world.replay(second)
    third = await go(world, again)
    await go(world, third)
    assert (await show(world, second))["continued_by"] == third
    assert (await show(world, third))["continues"] == again
    twice = await world.replay(second)
    assert await go(world, twice) == third


async def test_a_call_that_failed_names_the_page_that_did(world: Any, instance: Any) -> None:
    parent = await world.send(instance, {"import": "i1", "page": 1, "bad": 2}, "imports")
    await world.state(parent, "waiting")
    [child] = (await show(world, parent))["children"]
    bad = await go(world, child["id"])
    await world.state(parent, "failed")
    body = {"event": {"body": '{"import": "i1", "page": 2}'}}
    mended = await world.replay(bad, body)
    third = await go(world, mended)
    assert await go(world, third) is None
    [call] = [e for e in (await show(world, parent))["steps"] if e["kind"] == "call"]
    assert call["failure"]["where"] == bad
