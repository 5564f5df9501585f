"""Event types of the product in the designer: offered, known to pickers, samples, lint and runs."""

from __future__ import annotations

from typing import Any

from tests.api.test_api_draft_runs import run
from tests.api.test_api_drafts import begun
from tests.api.test_api_drafts_queries import ask

TEXT = """\
name: tried
flows:
  one:
    trigger: app.event
    with: {type: order.created}
    steps:
      - log: =event.data.total
      - log: =event.data.buyer.emial
      - log: ='the note is ' & event.data.note
  several:
    trigger: app.events
    with: {types: [order.*, invoice.paid]}
    steps:
      - log: =event.data.id
      - log: =event.data.total
      - log: =event.data.noting
  wrong:
    trigger: app.event
    with: {type: order.creatd}
    steps:
      - log: =event.data.whatever
"""
BUYER = {"type": "object", "properties": {"email": {"type": "string"}}, "required": ["email"]}
CREATED = {
    "type": "object",
    "$defs": {"Buyer": BUYER},
    "properties": {
        "id": {"type": "string"},
        "total": {"type": "string"},
        "note": {"type": ["string", "null"]},
        "buyer": {"$ref": "#/$defs/Buyer"},
    },
    "required": ["id", "total", "buyer"],
}
EXAMPLE = {"id": "o-1", "total": "22.10", "buyer": {"email": "ada@example.com"}}
PAID = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}


async def declare(world: Any, *more: Any) -> None:
    types = [
        {"name": "order.created", "schema": CREATED, "example": EXAMPLE, "version": 1},
        {"name": "order.paid", "schema": PAID, "version": 3},
        *more,
    ]
    answer = await world.api("PUT", "/api/event-types", {"types": types})
    assert answer.status == 200, answer.body


async def findings(world: Any, draft: Any) -> list[tuple[str, int, str]]:
    found = await world.api.items(f"/api/drafts/{draft['id']}/findings")
    return [(each["code"], each["line"], each["message"]) for each in found]


async def test_declared_types_are_offered_and_what_is_named_stays_a_choice(world: Any) -> None:
    draft = await begun(world, TEXT)
    [field] = (await ask(world, draft, "form", path_='["flows", "one"]'))["fields"]
    assert "enum" not in field["schema"]
    await declare(world)
    [field] = (await ask(world, draft, "form", path_='["flows", "one"]'))["fields"]
    assert field["schema"]["enum"] == ["order.created", "order.paid", "order.*"]
    assert field["schema"]["x-open"] is True
    [field] = (await ask(world, draft, "form", path_='["flows", "several"]'))["fields"]
    assert field["schema"]["items"]["enum"] == [
        *("*", "order.created", "order.paid", "order.*", "invoice.paid")
    ]
    [field] = (await ask(world, draft, "form", path_='["flows", "wrong"]'))["fields"]
    assert field["schema"]["enum"][-1] == "order.creatd"


async def test_the_schema_of_a_type_feeds_pickers_and_its_example_the_sample(world: Any) -> None:
    await declare(world)
    draft = await begun(world, TEXT)
    scope = await ask(world, draft, "scope", path_='["flows", "one", "steps", 0]')
    [event] = [each for each in scope if each["name"] == "event"]
    assert (
        '"data":{"id":"o-1","total":"22.10","buyer":{"email":"ada@example.com"}}' in event["sample"]
    )
    assert '"type":"order.created","version":1' in event["sample"]
    assert (
        event["schema"]["properties"]["data"]["properties"].keys() == CREATED["properties"].keys()
    )
    offers = await ask(
        world,
        draft,
        "complete",
        path_='["flows", "one", "steps", 0, "log"]',
        before="=event.data.buyer.",
    )
    assert [each["label"] for each in offers["items"]] == ["email"]
    samples = await ask(world, draft, "samples", flow="one")
    assert '"total":"22.10"' in samples["items"][0]["body"]


async def test_what_no_type_has_and_undeclared_types_are_findings(world: Any) -> None:
    draft = await begun(world, TEXT)
    before = await findings(world, draft)
    assert [code for code, _, _ in before] == ["HF145"] * 4
    assert "it has declared none yet" in before[0][2]
    await declare(world)
    found = await findings(world, draft)
    assert [(code, line) for code, line, _ in found] == [
        ("HF115", 8),
        ("HF145", 12),
        ("HF115", 16),
        ("HF145", 19),
    ]
    assert "email" in found[0][2]
    assert "'order.creatd'; did you mean order.created?" in found[3][2]
    fixes = await world.api.items(f"/api/drafts/{draft['id']}/findings")
    assert fixes[3]["fix"]["edit"]["text"] == "order.created"
    await declare(world, {"name": "invoice.paid", "schema": PAID, "version": 1})
    assert [code for code, _, _ in await findings(world, draft)] == ["HF115", "HF115", "HF145"]


async def test_a_draft_runs_with_the_example_of_its_events_type(world: Any) -> None:
    await declare(world)
    text = "\n".join(TEXT.split("\n")[:7]).replace(
        "log: =event.data.total", "stop: {answer: =event.data.total}"
    )
    draft = await begun(world, text + "\n")
    _, ended = await run(world.api, draft, flow="one")
    assert (ended["state"], ended["result"]) == ("succeeded", '"22.10"')


async def test_a_flow_may_read_what_any_version_of_its_type_has(world: Any) -> None:
    later = {"type": "object", "properties": {"sum": {"type": "string"}}, "required": ["sum"]}
    await declare(world, {"name": "order.created", "schema": later, "version": 2})
    steps = "      - log: =event.data.sum\n      - log: =event.data.smu\n"
    draft = await begun(world, "\n".join(TEXT.split("\n")[:7]) + "\n" + steps)
    found = [(code, line) for code, line, _ in await findings(world, draft)]
    assert found == [("HF115", 9)]
    scope = await ask(world, draft, "scope", path_='["flows", "one", "steps", 0]')
    [event] = [each for each in scope if each["name"] == "event"]
    assert '"version":2' in event["sample"]
