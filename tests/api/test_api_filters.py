"""Filters that raise: their events are accepted, fail without a step, and can be replayed."""

from typing import Any

import pytest

from tests.api.conftest import World

INTAKE = '''
"""Intake: takes orders of a kind."""

from typing import Any

import shop
from halflap import Config, Context, Integration, webhook

integration = Integration("intake", config=Config)


@integration.flow(trigger=webhook.request(), filter=lambda r: r.json()["kind"].startswith("order"))
async def whole(ctx: Context[Config], event: Any) -> str:
    """An order."""
    return event["id"]


@integration.flow(
    trigger=webhook.request(), filter=lambda r: int(r.json()["private"]) > 1, keep=["/id"]
)
async def cut(ctx: Context[Config], event: Any) -> str:
    """An order, of which the id is stored."""
    return event["id"]
'''
DOCUMENT = """
name: intake
flows:
  whole:
    trigger: webhook.request
    filter: =$uppercase(event.kind) = "ORDER"
    steps:
      - stop: {answer: =event.id}
  cut:
    trigger: webhook.request
    filter: =$number(event.private) > 1
    keep: [/id]
    steps:
      - stop: {answer: =event.id}
"""
PYTHON = ("intake:integration", {"intake.py": INTAKE})
YAML = ("intake.yaml", {"intake.yaml": DOCUMENT})
BAD = {"whole": {"id": "o1", "kind": 1}, "cut": {"id": "o1", "private": "hushx"}}


async def activated(world: World, entry: str, files: dict[str, str]) -> dict[str, Any]:
    """An active instance of `intake`."""
    await world.publish(world.packed(entry, files))
    return await world.activate((await world.add(await world.customer(), "intake"))["id"])


@pytest.mark.parametrize("written", [PYTHON, YAML], ids=["python", "yaml"])
async def test_an_event_whose_filter_raises_is_a_dead_letter_and_its_replay_asks_it_again(
    world: World, written: Any
) -> None:
    instance = await activated(world, *written)
    ids = {flow: await world.send(instance, body, flow) for flow, body in BAD.items()}
    for flow, id in ids.items():
        shown = await world.ended(id)
        assert (shown["state"], shown["steps"]) == ("failed", [])
        assert shown["failure"]["kind"] == "FilterFailed"
        assert shown["reason"].startswith(f"the filter of {flow} raised ")
        assert "hush" not in f"{shown}"
    page = await world.api.items("/api/executions", instance=instance["id"], state="failed")
    assert [each["flow"] for each in page] == ["cut", "whole"]

    async def replayed(flow: str, body: str | None) -> dict[str, Any]:
        draft: dict[str, Any] = {} if body is None else {"event": {"body": body}}
        return await world.replayed(ids[flow], draft | {"again": True})

    again = await replayed("whole", None)
    assert (again["state"], again["failure"]["kind"]) == ("failed", "FilterFailed")
    again = await replayed("cut", None)
    assert again["state"] == "failed"
    assert "cannot be asked again" in again["reason"]
    taken = await replayed("whole", '{"id": "o1", "kind": "order"}')
    assert (taken["state"], taken["result"]) == ("succeeded", "o1")
    ignored = await replayed("whole", '{"id": "o1", "kind": "ping"}')
    assert (ignored["state"], ignored["reason"]) == (
        "ignored",
        "the flow's filter wants nothing of it",
    )
    taken = await replayed("cut", '{"id": "o2", "private": 2}')
    assert (taken["state"], taken["result"]) == ("succeeded", "o2")


async def test_a_version_whose_filter_is_mended_takes_what_failed(world: World) -> None:
    instance = await activated(world, *PYTHON)
    id = await world.send(instance, {"id": "o1"}, "whole")
    assert (await world.ended(id))["reason"] == "the filter of whole raised KeyError: 'kind'"
    mended = INTAKE.replace(
        'r.json()["kind"].startswith("order")', 'r.json().get("kind") != "ping"'
    )
    bundle = world.packed("intake:integration", {"intake.py": mended})
    hash = await world.publish(bundle, overwrite="true")
    await world.upgrade(hash, instance["id"])
    assert (await world.replayed(id))["result"] == "o1"
