"""Event types: declared again and again, changed so that nobody notices, and refused otherwise."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from pydantic import BaseModel

from halflap.api.operations import event_schema
from halflap.api.operations.event_schema import MOST_SECONDS, data_faults, schema_fault
from halflap.export import EventTypes, UpstreamError
from halflap.sdk.event_type import breaking_changes, is_pattern, takes
from tests.api.conftest import Client
from tests.cases import for_each
from tests.export.conftest import ON_BOTH_STORES, Product


def schema(**changes: Any) -> dict[str, Any]:
    fields = {"id": {"type": "string"}, "total": {"type": "string"}}
    return {"type": "object", "properties": fields, "required": ["id"], **changes}


ADDED = {**schema()["properties"], "note": {"type": "string", "default": ""}}
NESTED = {"$defs": {"Line": schema()}, "type": "array", "items": {"$ref": "#/$defs/Line"}}


def multiplying(depth: int) -> dict[str, Any]:
    """A schema of about a kilobyte that is applied 2 ** depth times to one value."""
    defs = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(depth)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{depth}": {"type": "object"}}}


DOUBLING = {
    "$schema": Draft202012Validator.META_SCHEMA["$id"],
    "allOf": [{"properties": {"a": {"$ref": "#"}}}] * 2,
}
"""A schema that is applied 2 ** n times to what is n levels deep."""


LARGE_PATTERNS = [{"pattern": f"(.{{1,200}}){{1,4}}[b{chr(300 + n)}]$"} for n in range(200)]
"""Patterns of thousands of steps a character each."""


def nested(depth: int) -> Any:
    return {"a": nested(depth - 1)} if depth else {}


def test_schemas_are_compared_no_further_than_is_bounded() -> None:
    before = {"properties": {"a": multiplying(40)["$defs"]["d0"]}, **multiplying(40)}
    began = time.thread_time()
    changed = breaking_changes(before, {**before, "title": "x", "$comment": "y"})
    assert changed == ["the schema is too large to be compared"]
    assert time.thread_time() - began < 5
    assert breaking_changes(before, before) == []


SOON = 0.5
"""The seconds of a check of data that is to be given up, in place of a server's three."""


@for_each(
    ("schema", "data", "fits"),
    [
        ({"uniqueItems": True}, [{"a": n} for n in range(20_000)], True),
        ({"uniqueItems": True}, [{"a": [1]}, {"a": [1.0]}], False),
        ({"uniqueItems": True}, [1, True, "1", None, [1]], True),
        ({"pattern": r"^(\w+\s?)*$"}, "a" * 5_000 + "!", False),
        ({"pattern": r"^(\w+\s?)*$"}, "a b", True),
        ({"patternProperties": {"^(a+)+$": {"type": "null"}}}, {"a" * 5_000 + "!": 1}, True),
        ({"patternProperties": {"^a+$": {"type": "null"}}}, {"aa": 1}, False),
        ({"patternProperties": {"^a$": {}}, "additionalProperties": False}, {"a": 1}, True),
        ({"patternProperties": {"^a$": {}}, "additionalProperties": False}, {"b": 1}, False),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "null"}}, {"b": 1}, False),
        ({"allOf": LARGE_PATTERNS}, "a" * 3_900, False),
        ({"allOf": LARGE_PATTERNS}, "a" * 60_000, False),
        ({"patternProperties": {LARGE_PATTERNS[0]["pattern"]: {}}}, {"a" * 60_000: 1}, False),
        ({"pattern": r"^[\w.]{1,100}@[a-z.]+$"}, "a@b" * 1_000, False),
        ({"pattern": r"^[\w.]{1,100}@[a-z.]+$"}, "a@b", True),
        (DOUBLING, nested(200), False),
        ({"additionalProperties": {"$ref": "#"}}, nested(250), False),
    ],
)
async def test_data_is_checked_in_bounded_time(
    schema: Any, data: Any, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert schema_fault(schema) == ""
    monkeypatch.setattr(event_schema, "MOST_SECONDS", MOST_SECONDS if fits else SOON)
    began, all_began = time.thread_time(), time.process_time()
    found = await data_faults(schema, data, asyncio.Semaphore(1))
    assert time.thread_time() - began < 0.5  # of the thread that serves
    assert time.process_time() - all_began < 10  # of all threads
    assert (not found) is fits, found


@for_each(
    ("after", "broken"),
    [
        (schema(), []),
        (schema(title="Order", description="An order.", examples=[{}]), []),
        (schema(properties=ADDED), []),
        (schema(properties={"id": {"type": "string"}}), ["total is gone"]),
        (schema(required=[]), ["id is required no more: who reads it may miss it"]),
        (
            schema(required=["id", "total"]),
            ["total is required now: what is published without it would be refused"],
        ),
        (
            schema(properties={**ADDED, "id": {"type": "integer"}}),
            ["id.type was string and is integer"],
        ),
        (
            schema(additionalProperties=False),
            ["additionalProperties was nothing and is False"],
        ),
        (
            schema(properties={**ADDED, "total": {"type": "string", "enum": ["1"]}}),
            ["total.enum was nothing and is ['1']"],
        ),
    ],
)
def test_a_change_is_breaking_where_somebody_notices(after: Any, broken: list[str]) -> None:
    assert breaking_changes(schema(), after) == broken


def test_changes_are_found_behind_references_and_circles_end() -> None:
    wider = {**NESTED, "$defs": {"Line": schema(properties=ADDED)}}
    assert breaking_changes(NESTED, wider) == []
    narrower = {**NESTED, "$defs": {"Line": schema(properties={"id": {"type": "string"}})}}
    assert breaking_changes(NESTED, narrower) == ["items.total is gone"]
    moved = {"type": "array", "items": schema()}
    assert breaking_changes(NESTED, moved) == []
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    circle = {"$ref": "#/$defs/Node", "$defs": {"Node": node}}
    assert breaking_changes(circle, circle) == []
    assert breaking_changes(circle, {**circle, "$defs": {"Node": {**node, "type": "array"}}}) == [
        "type was object and is array"
    ]


names = st.sampled_from(["a", "b", "c"])
kinds = st.sampled_from(["string", "integer", "null", "boolean"])
schemas = st.builds(
    lambda fields, required, more: {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in fields.items()},
        "required": sorted(required & fields.keys()),
        **({} if more is None else {"additionalProperties": more}),
    },
    st.dictionaries(names, kinds),
    st.sets(names),
    st.sampled_from([None, False]),
)
values = st.dictionaries(names, st.sampled_from(["text", 1, None, True]))


@given(schemas, schemas, values)
def test_what_was_let_in_and_promised_still_is(before: Any, after: Any, value: Any) -> None:
    if breaking_changes(before, after):
        return
    was, now = Draft202012Validator(before), Draft202012Validator(after)
    fields = {name: each for name, each in value.items() if name in before["properties"]}
    if was.is_valid(fields):
        assert now.is_valid(fields)  # who publishes by the schema before is not refused
    if now.is_valid(value):
        assert was.is_valid(fields)  # who reads by the schema before finds what it promised


@for_each(
    ("pattern", "taken"),
    [
        ("order.created", ["order.created"]),
        ("order.*", ["order.created", "order.line.added"]),
        ("*", ["order.created", "order.line.added", "orders.created", "order"]),
        ("order", ["order"]),
    ],
)
def test_a_pattern_names_types(pattern: str, taken: list[str]) -> None:
    types = ["order.created", "order.line.added", "orders.created", "order"]
    assert [each for each in types if takes((pattern,), each)] == taken
    assert is_pattern(pattern)


@for_each("pattern", ["", "*.created", "order.", "order.**", "a b", "or*", "\n"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    assert not is_pattern(pattern)


@ON_BOTH_STORES
async def test_types_are_declared_again_and_changed_by_versions(product: Product) -> None:
    async def declare(**changes: Any) -> Any:
        draft = {"name": "order.sent", "schema": schema(), **changes}
        return await product.api("PUT", "/api/event-types", {"types": [draft]})

    first = (await declare(description="Sent.")).json["items"]
    assert (await declare(description="Sent.")).json["items"] == first  # to the microsecond
    wider = (await declare(schema=schema(properties=ADDED))).json["items"][0]
    assert (wider["version"], wider["schema"]["properties"]) == (1, ADDED)
    assert (await declare(description="Sent.")).json["items"] == [wider]  # a former release starts
    refused = await declare(schema=schema(required=[]))
    assert refused.status == 409
    assert "Declare this as version 2" in refused.json["detail"]
    second = (await declare(schema=schema(required=[]), version=2)).json["items"][0]
    assert second["version"] == 2
    assert (
        await declare(schema=schema(properties=ADDED))
    ).status == 200  # an older app starts again
    listed = await product.api.items("/api/event-types")
    assert [(each["name"], each["version"]) for each in listed] == [
        ("order.created", 1),
        ("order.paid", 1),
        ("order.sent", 2),
    ]
    former = await product.api.get("/api/event-types/order.sent", version=1)
    assert former["schema"]["required"] == ["id"]
    await product.customer("ada")
    for version, status in ((1, 422), (2, 202), (None, 202)):
        answer = await product.publish("ada", type="order.sent", data={}, version=version)
        assert answer.status == status, answer.body
    assert (await product.api("DELETE", "/api/event-types/order.sent")).status == 204
    assert (await product.publish("ada", type="order.sent", data={})).status == 422
    assert (await product.api("DELETE", "/api/event-types/order.sent")).status == 404


@for_each(
    ("draft", "field"),
    [
        ({"schema": {"type": "strange"}}, "types.0.schema"),
        ({"schema": {"$ref": "https://example.com/schema"}}, "types.0.schema"),
        ({"schema": {"a": "x" * 70_000}}, "types.0.schema"),
        ({"schema": {"$ref": "#/$defs/nope"}}, "types.0.schema"),
        ({"schema": {"$ref": "#anchor"}}, "types.0.schema"),
        ({"schema": {"$ref": "#"}}, "types.0.schema"),
        ({"schema": {"$ref": "#/x", "x": {"type": "null"}}}, "types.0.schema"),
        (
            {"schema": {"items": {"$schema": "https://json-schema.org/draft/2020-12/schema"}}},
            "types.0.schema",
        ),
        ({"schema": {"allOf": [{"not": {"$ref": "#"}}]}}, "types.0.schema"),
        ({"schema": {"pattern": "(?=a)b"}}, "types.0.schema"),
        ({"schema": multiplying(30), "example": {}}, "types.0.schema"),
        ({"schema": DOUBLING, "example": nested(40)}, "types.0.example"),
        ({"schema": schema(), "example": {"id": 1}}, "types.0.example.id"),
        ({"schema": schema(), "name": "order created"}, "types.0.name"),
        ({"schema": schema(), "version": 0}, "types.0.version"),
        ({"schema": []}, "types.0.schema"),
    ],
)
async def test_what_is_no_type_is_refused_by_its_field(
    product: Product, draft: Any, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_schema, "MOST_SECONDS", SOON)
    whole = {"types": [{"name": "order.odd", **draft}]}
    answer = await product.api("PUT", "/api/event-types", whole)
    assert (answer.status, list(answer.json["fields"])) == (422, [field]), answer.body
    assert (await product.api("GET", "/api/event-types/order.odd")).status == 404


async def test_a_batch_of_types_is_declared_whole_or_not_at_all(product: Product) -> None:
    drafts = [
        {"name": "order.new", "schema": schema()},
        {"name": "order.paid", "schema": schema(type="array")},
    ]
    assert (await product.api("PUT", "/api/event-types", {"types": drafts})).status == 409
    assert (await product.api("GET", "/api/event-types/order.new")).status == 404


async def test_a_product_hears_that_a_change_would_break_somebody(product: Product) -> None:
    changed = EventTypes()

    @changed.event("order.paid")
    class OrderPaid(BaseModel):
        """An order was paid."""

        id: int

    async with product.publisher() as publisher:
        with pytest.raises(UpstreamError, match=r"id\.type was string and is integer") as refused:
            await publisher.declare(changed)
    assert (refused.value.status, refused.value.retryable) == (409, False)


async def test_a_type_says_who_takes_it_and_how_many_were_published(product: Product) -> None:
    for name in ("ada", "bob"):
        await product.instance(await product.customer(name))
        url = {
            "url": f"http://127.0.0.1:9999/{name}",
            "types": ["order.paid" if name == "bob" else "*"],
        }
        assert (await product.api("POST", f"/api/customers/{name}/receivers", url)).status == 201
    found = await product.api.get("/api/event-types/order.created/listeners")
    assert [(each["flow"], each["instances"], each["by_config"]) for each in found["flows"]] == [
        ("anything", 2, False),
        ("created", 2, False),
    ]
    assert [each["customer_name"] for each in found["receivers"]] == ["ada"]
    flow = found["flows"][1]
    at = f"/api/integrations/{flow['integration']}/versions/{flow['version']}"
    shown = (await product.api.get(at))["flows"]
    inputs = {each["name"]: each["inputs"] for each in shown}
    assert inputs["created"] == {"type": "order.created"}
    found = await product.api.get("/api/event-types/order.paid/listeners")
    assert [each["flow"] for each in found["flows"]] == ["anything"]
    assert (found["receiver_count"], found["receivers"][1]["types"]) == (2, ["order.paid"])
    assert (await product.api("GET", "/api/event-types/order.gone/listeners")).status == 404
    before = await product.api.get("/api/event-types/order.created")
    assert (before["published"], before["published_at"]) == (0, None)
    for _ in range(2):
        await product.publish("ada", data={"id": "o-1", "total": "1"}, idempotency_key="k")
    await product.publish("bob", data={"id": "o-1", "total": "1"})
    after = await product.api.get("/api/event-types/order.created")
    assert (after["published"], after["published_at"] is not None) == (2, True)
    assert (await product.api("DELETE", "/api/event-types/order.created")).status == 204
    async with product.publisher() as publisher:
        await publisher.declare()
    assert (await product.api.get("/api/event-types/order.created"))["published"] == 0


async def test_the_document_of_the_webhooks_is_an_openapi_document(product: Product) -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    tree = {"$defs": {"Node": node}, "$ref": "#/$defs/Node"}
    drafts = [
        {"name": "order.tree", "schema": tree, "example": {"next": {"next": {}}}},
        {"name": "order.own", "schema": {"anyOf": [{"type": "null"}, {"items": {"$ref": "#"}}]}},
    ]
    assert (await product.api("PUT", "/api/event-types", {"types": drafts})).status == 200
    await product.customer("ada")
    minted = await product.api("POST", "/api/tokens", {"customer": "ada", "access": "read"})
    customer = Client(product.host, minted.json["token"])
    document = (await customer("GET", "/api/event-types/openapi.json")).json
    validate(document, cls=OpenAPIV31SpecValidator)
    assert set(document["webhooks"]) == {"order.created", "order.own", "order.paid", "order.tree"}
    content = document["webhooks"]["order.tree"]["post"]["requestBody"]["content"]
    schema = {**document, **content["application/json"]["schema"]}
    body = content["application/json"]["example"]
    assert Draft202012Validator(schema).is_valid(body)
    wrong = {**body, "data": {"next": "a text"}}
    assert not Draft202012Validator(schema).is_valid(wrong)
    assert not Draft202012Validator(schema).is_valid({**body, "type": "order.paid"})


def test_a_type_is_declared_once() -> None:
    types = EventTypes()
    types.event("order.paid")(dict)
    with pytest.raises(ValueError, match=r"order\.paid is declared twice in version 1"):
        types.event("order.paid")(list)
