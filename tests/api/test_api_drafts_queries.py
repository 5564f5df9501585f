"""Queries about drafts: what an expression gives, what could stand somewhere, what there is."""

from __future__ import annotations

from typing import Any

from halflap.lowcode.assist.queries import sample_of
from tests.api.conftest import signed_in
from tests.api.test_api_drafts import ONE, begun

TEXT = """\
name: tried
config:
  Options:
    limit: {type: integer, default: 3}
flows:
  one:
    trigger: webhook.request
    steps:
      - id: found
        action: http.get
        with: {url: https://example.com/}
      - set: {total: =event.total}
      - log: =total
      - lo
tests:
  - {name: it adds, flow: one, event: {total: 22.50}}
"""


async def ask(world: Any, draft: Any, what: str, **query: Any) -> Any:
    answer = await world.api("GET", f"/api/drafts/{draft['id']}/{what}", **query)
    assert answer.status == 200, answer.json
    return answer.json


async def evaluate(world: Any, draft: Any, expression: str, **more: Any) -> Any:
    body = {"expression": expression, **more}
    return await world.api("POST", f"/api/drafts/{draft['id']}/evaluate", body)


async def test_an_expression_is_evaluated_with_all_digits(world: Any) -> None:
    draft = await begun(world, TEXT)
    sample = {"event": {"n": 123456789012345678901234567890, "name": "Ada"}}
    for expression, value, kind in (
        ("=event.n", "123456789012345678901234567890", "integer"),
        ("event.name & '!'", '"Ada!"', "string"),
        ("=0.1 + 0.2", "0.3", "number"),
        ("=[1, {'a': null}]", '[1,{"a":null}]', "array"),
        ("=event.nothing", None, "absent"),
    ):
        found = (await evaluate(world, draft, expression, sample=sample)).json
        assert found == {"value": value, "type": kind, "error": None}
    wrong = (await evaluate(world, draft, "=event.name &")).json["error"]
    assert wrong["line"] == 1
    assert wrong["column"] > 1
    made_up = await evaluate(world, draft, "=config.limit", path=[*ONE, 2, "log"])
    assert made_up.json["value"] is not None


async def test_what_takes_too_much_is_refused_and_the_server_goes_on(world: Any) -> None:
    draft = await begun(world, TEXT)
    greedy = "=($f := function($n) { $n < 2 ? $n : $f($n - 1) + $f($n - 2) }; $f(60))"
    found = await evaluate(world, draft, greedy)
    assert found.json["error"] is not None
    assert (await evaluate(world, draft, "=1")).json["value"] == "1"
    await begun(world, "name: x\nflows: " + "[" * 5_000)


async def test_what_could_stand_somewhere_is_offered_in_half_a_text(world: Any) -> None:
    draft = await begun(world, TEXT)
    found = await ask(world, draft, "complete", line=14, column=11)
    assert "log" in [each["label"] for each in found["items"]]
    assert found["column"] == 9
    names = await ask(world, draft, "scope", path_='["flows", "one", "steps", 2, "log"]')
    by_name = {each["name"]: each for each in names}
    assert {"event", "config", "found", "total"} <= {*by_name}
    assert by_name["config"]["schema"]["properties"]["limit"]["type"] == "integer"
    assert by_name["total"]["variable"] is True
    assert by_name["found"]["given"] == [*ONE, 0, "id"]
    assert by_name["event"]["sample"] == '{"total":22.50}'
    form = await ask(world, draft, "form", path_='["flows", "one", "steps", 0]')
    assert form["name"] == "http.get"
    assert {each["name"]: each["required"] for each in form["fields"]}["path"] is True
    trigger = await ask(world, draft, "form", path_='["flows", "one"]')
    signature = next(each for each in trigger["fields"] if each["name"] == "signature")
    assert "anybody who has the URL can send" in signature["schema"]["description"]
    assert all(each["schema"].get("description") for each in trigger["fields"])
    for wrong in ("x", "{}", "[1.5]", "[[]]"):
        answer = await world.api("GET", f"/api/drafts/{draft['id']}/scope", path_=wrong)
        assert answer.status == 422
    assert (await world.api("GET", f"/api/drafts/{draft['id']}/form", path_="[]")).status == 404


async def test_half_an_expression_is_completed_where_it_would_stand(world: Any) -> None:
    draft = await begun(world, TEXT)
    place = '["flows", "one", "steps", 2, "log"]'
    for before, label, column in (
        ("=config.li", "limit", 9),
        ("config.", "limit", 8),
        ("=1 + to", "total", 6),
        ("=$su", "$sum", 2),
    ):
        found = await ask(world, draft, "complete", path_=place, before=before)
        assert label in [each["label"] for each in found["items"]], before
        assert found["column"] == column
    within = await ask(world, draft, "complete", path_=place, before='="config.')
    assert within["items"] == []


async def test_a_value_keeps_its_digits_also_in_half_a_text(world: Any) -> None:
    draft = await begun(world, TEXT.replace("default: 3", "default: 12345678901234567890.10"))
    found = await ask(world, draft, "value", path_='["config", "Options", "limit"]')
    assert found == {"revision": 1, "value": '{"type":"integer","default":12345678901234567890.10}'}
    whole = await ask(world, draft, "value", path_="[]")
    assert '"name":"tried"' in whole["value"]
    assert (await ask(world, draft, "value", path_='["nothing", 1]'))["value"] == "null"


async def test_the_schema_of_documents_is_served(world: Any) -> None:
    found = await world.api.get("/api/schema")
    assert {"ActionStep", "ForStep", "PlainField"} <= {*found["$defs"]}


async def test_usages_and_the_palette(world: Any) -> None:
    draft = await begun(world, TEXT.replace("      - lo\n", ""))
    places = await ask(world, draft, "usages", name="total", flow="one")
    assert [(each["line"], each["column"]) for each in places] == [(12, 15), (13, 15)]
    palette = await ask(world, draft, "palette", q="salesforce record")
    assert palette["kinds"] == []
    assert palette["calls"]
    assert {each["component"] for each in palette["calls"]} == {"salesforce"}
    everything = await ask(world, draft, "palette")
    assert {"if", "for", "log"} <= {each["kind"] for each in everything["kinds"]}
    viewer = await signed_in(world, "viewer")
    path = f"/api/drafts/{draft['id']}"
    assert (await viewer("GET", f"{path}/palette")).status == 200
    assert (await viewer("POST", f"{path}/evaluate", {"expression": "1"})).status == 403


def test_samples_are_made_of_schemas() -> None:
    assert sample_of(None) is None
    schema = {
        "type": "object",
        "properties": {
            "at": {"type": "string", "format": "date"},
            "kind": {"enum": ["a", "b"]},
            "maybe": {"anyOf": [{"type": "null"}, {"type": "integer"}]},
            "self": {"$ref": "#/$defs/Me"},
            "many": {"type": "array", "items": {"type": "boolean"}},
        },
        "$defs": {"Me": {"type": "object", "properties": {"me": {"$ref": "#/$defs/Me"}}}},
    }
    found = sample_of(schema)
    assert (found["at"], found["kind"], found["maybe"]) == ("2026-01-31", "a", 1)
    assert found["many"] == [True]
