"""Actions that are declared from an OpenAPI document: what is sent, what comes back, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from pydantic import ValidationError

from halflap import (
    UNSET,
    Component,
    Config,
    Connection,
    Context,
    DefinitionError,
    File,
    Integration,
    Operation,
    Paging,
    RateLimited,
    Specification,
    Unauthorized,
    UpstreamError,
    webhook,
)
from halflap.components.hubspot import Condition
from halflap.errors import InputsRefused
from halflap.lowcode.lint import Shapes, lint_text
from halflap.lowcode.lint.shapes import dump_shapes, read_shapes, shape_of
from halflap.sdk.conformity import DEVIATIONS, deviations
from halflap.sdk.fit import misfit
from halflap.sdk.openapi import ApiDocument, UnsupportedSpecification, snake
from halflap.sdk.specification import SpecifiedAction
from halflap.sdk.survey import Module, Survey
from halflap.sdk.trigger import first_line
from halflap.testing import Fake, Run

Json = dict[str, Any]
TEXT: Json = {"type": "string"}


def table(names: str, **cases: Any) -> Any:
    """Make a test of each case, by its name."""
    return pytest.mark.parametrize(names, cases.values(), ids=cases)


class Shop(Connection):
    """A shop."""

    base_url: str = "https://shop.example/v1"
    other_url: str = "https://other.example"
    account: str = "A1"
    idempotency_header = "Idempotency-Key"


def parameter(name: str, place: str = "query", schema: Json = TEXT, **more: Any) -> Json:
    return {"name": name, "in": place, "schema": schema, **more}


def body(schema: Json, media: str = "application/json", **more: Any) -> Json:
    return {"required": True, "content": {media: {"schema": schema, **more}}}


def answer(schema: Json) -> Json:
    return {"200": {"description": "", "content": {"application/json": {"schema": schema}}}}


def document(paths: Mapping[str, Any], schemas: Json | None = None, version: str = "3.0.3") -> Json:
    made: Json = {"openapi": version, "info": {"title": "Shop", "version": "1"}, "paths": paths}
    return made | {"components": {"schemas": schemas or {}}}


LINTED = """\
name: orders
config:
  Connect:
    shop: {connection: shop}
flows:
  main:
    trigger: schedule.every
    with: {hours: 1}
    steps: [STEP]
"""
Declare = Callable[..., SpecifiedAction]


@pytest.fixture
def declare(tmp_path: Path) -> Declare:
    """Declare one operation, as an author does."""

    def declare(
        operation: Json,
        path: str = "/things",
        method: str = "get",
        schemas: Json | None = None,
        said: Operation | None = None,
        **options: Any,
    ) -> SpecifiedAction:
        file = tmp_path / "openapi.json"
        known = {"responses": {}, "operationId": "do", **operation}
        file.write_text(json.dumps(document({path: {method: known}}, schemas)))
        component = Component("shop", connection=Shop)
        specification = Specification(file, **options)
        made = component.operations(specification, {"do": said or Operation("do", "Do it")})
        found = made["do"]
        assert isinstance(found, SpecifiedAction)
        return found

    return declare


class Settings(Config):
    shop: Shop


@pytest.fixture
def shop(fake: Fake) -> Shop:
    return fake.connection(Shop)


# What is sent ---------------------------------------------------------------------------------

LIST: Json = {"type": "array", "items": TEXT}
OBJECT: Json = {"type": "object", "properties": {"gte": {"type": "integer"}, "in": LIST}}


@table(
    "one, value, sent",
    lists=(parameter("ids", schema=LIST), ["a", "b&c"], "ids=a&ids=b%26c"),
    joined=(parameter("ids", schema=LIST, explode=False), ["a", "b"], "ids=a,b"),
    pipes=(
        parameter("ids", schema=LIST, style="pipeDelimited", explode=False),
        ["a", "b"],
        "ids=a%7Cb",
    ),
    spaces=(
        parameter("ids", schema=LIST, style="spaceDelimited", explode=False),
        ["a", "b"],
        "ids=a+b",
    ),
    deep=(
        parameter("created", schema=OBJECT, style="deepObject"),
        {"gte": 5, "in": ["x"]},
        "created%5Bgte%5D=5&created%5Bin%5D%5B0%5D=x",
    ),
    exploded=(parameter("created", schema=OBJECT), {"gte": 5}, "gte=5"),
    pairs=(parameter("created", schema=OBJECT, explode=False), {"gte": 5}, "created=gte,5"),
    as_json=(
        {"name": "q", "in": "query", "content": {"application/json": {"schema": OBJECT}}},
        {"gte": 5},
        "q=%7B%22gte%22:5%7D",
    ),
    a_truth=(parameter("all", schema={"type": "boolean"}), True, "all=true"),
    a_number=(parameter("n", schema={"type": "number"}), Decimal("0.10"), "n=0.10"),
    a_time=(
        parameter("since", schema={"type": "string", "format": "date-time"}),
        datetime(2026, 1, 2, tzinfo=UTC),
        "since=2026-01-02T00:00:00%2B00:00",
    ),
    odd=(parameter("Date<"), "x", "Date%3C=x"),
    left_alone=(parameter("q"), UNSET, ""),
    null=(parameter("q"), None, ""),
)
async def test_a_query_is_written_as_the_document_says(
    declare: Declare, fake: Fake, shop: Shop, one: Json, value: Any, sent: str
) -> None:
    action = declare({"parameters": [one]})
    fake.get("/things", answers={})
    await action(shop, **{action.inputs[0].name: value})
    assert fake.requests[0].url.partition("?")[2].replace("%2C", ",") == sent


FORM = "application/x-www-form-urlencoded"
STRIPE: Json = {
    "type": "object",
    "required": ["items"],
    "properties": {
        "items": {"type": "array", "items": {"type": "object", "properties": {"price": TEXT}}},
        "metadata": {"type": "object", "additionalProperties": TEXT},
        "events": LIST,
        "blob": {"type": "object"},
    },
}
DEEP = {"style": "deepObject", "explode": True}


async def test_a_form_is_nested_where_the_document_says_so(
    declare: Declare, fake: Fake, shop: Shop
) -> None:
    encoding = {"items": DEEP, "metadata": DEEP}
    action = declare({"requestBody": body(STRIPE, FORM, encoding=encoding)}, method="post")
    fake.post("/things", answers={})
    await action(
        shop,
        items=[{"price": "p1"}, {"price": "p2"}],
        metadata={"a b": "ü"},
        events=["x", "y"],
        blob={"a": [1]},
    )
    [sent] = fake.requests
    assert parse_qsl(sent.body.decode()) == [
        ("items[0][price]", "p1"),
        ("items[1][price]", "p2"),
        ("metadata[a b]", "ü"),
        ("events", "x"),
        ("events", "y"),
        ("blob", '{"a":[1]}'),
    ]


async def test_a_body_of_json_has_its_fields_and_null_where_the_document_takes_it(
    declare: Declare, fake: Fake, shop: Shop
) -> None:
    fields: Json = {
        "name": TEXT,
        "from": TEXT,
        "parent": {"type": "string", "nullable": True},
        "since": {"type": "integer", "format": "unix-time"},
        "id": {"type": "string", "readOnly": True},
    }
    schema = {"type": "object", "properties": fields, "additionalProperties": {}}
    action = declare({"requestBody": body(schema)}, method="put")
    assert [each.name for each in action.inputs] == [
        *("name", "from_", "parent", "since", "other_fields"),
    ]
    fake.put("/things", answers={})
    at = datetime(2026, 1, 1, tzinfo=UTC)
    extra = {"customfield_1": {"value": "red"}}
    await action(shop, name=None, from_="a", parent=None, since=at, other_fields=extra)
    expected = {"from": "a", "parent": None, "since": int(at.timestamp()), **extra}
    assert fake.requests[0].json == expected


async def test_files_go_in_parts_or_as_the_body(declare: Declare, fake: Fake, shop: Shop) -> None:
    blob: Json = {"type": "string", "format": "binary"}
    schema = {"type": "object", "properties": {"file": blob, "note": TEXT}}
    fake.post("/things", answers={})
    parts = declare({"requestBody": body(schema, "multipart/form-data")}, method="post")
    await parts(shop, file=File(b"\x00", "a.bin"), note="hi")
    whole = declare({"requestBody": body(blob, "application/octet-stream")}, method="post")
    await whole(shop, file=File(b"\x01"))
    first, second = fake.requests
    assert first.files["file"].data == b"\x00"
    assert second.body == b"\x01"
    assert second.headers["Content-Type"] == "application/octet-stream"


async def test_a_path_takes_one_encoded_segment_and_what_the_connection_gives(
    declare: Declare, fake: Fake, shop: Shop
) -> None:
    parameters = [
        parameter("AccountSid", "path"),
        parameter("pet-id", "path"),
        parameter("X-A", "header"),
    ]
    action = declare(
        {"parameters": parameters},
        path="/v1/accounts/{AccountSid}/pets/{pet-id}.json",
        given={"AccountSid": "account"},
        prefix="/v1",
    )
    assert [each.name for each in action.inputs] == ["pet_id", "x_a"]
    route = fake.get("/accounts/A1/pets/{id}.json", answers={})
    await action(shop, "a/b", x_a="z")
    assert (route.requests[0].url, route.requests[0].headers["X-A"]) == (
        "https://shop.example/v1/accounts/A1/pets/a%2Fb.json",
        "z",
    )


async def test_paths_are_joined_to_another_address_of_the_connection(
    declare: Declare, fake: Fake, shop: Shop
) -> None:
    action = declare({}, base="other_url")
    route = fake.get("https://other.example/things", answers={})
    await action(shop)
    assert len(route.requests) == 1


@table(
    "given, message",
    kind=({"n": "5"}, "n: has to be a whole number, and is a text"),
    choice=({"s": "x"}, "s: has to be one of: a, b"),
    nested=({"o": {"p": 1}}, "p: has to be a text, and is a whole number"),
    missing=({"o": {}}, "p: is missing"),
)
async def test_an_input_that_does_not_fit_is_refused_with_its_place(
    declare: Declare, fake: Fake, shop: Shop, given: Json, message: str
) -> None:
    fields: Json = {
        "n": {"type": "integer"},
        "s": {"type": "string", "enum": ["a", "b"]},
        "o": {"type": "object", "required": ["p"], "properties": {"p": TEXT}},
    }
    action = declare({"requestBody": body({"type": "object", "properties": fields})}, method="post")
    [(name, value)] = given.items()
    with pytest.raises(ValidationError) as raised:
        action.shape.by_name[name].adapter.validate_python(value)
    assert message.partition(": ")[2] in str(raised.value)


# What comes back ------------------------------------------------------------------------------


async def test_an_answer_that_deviates_passes_unchanged_and_is_counted(
    declare: Declare, fake: Fake, shop: Shop
) -> None:
    schema = {
        "type": "object",
        "required": ["id"],
        "properties": {"id": TEXT, "n": {"type": "integer"}},
    }
    action = declare({"responses": answer(schema)})
    came = {"n": "5", "new": [1, Decimal("1.10")]}
    fake.get("/things", answers=came)
    before = DEVIATIONS["shop.do"]
    assert await action(shop) == came
    assert DEVIATIONS["shop.do"] - before == 2
    fake.get("/things", answers={"id": "1", "n": 5, "new": None})
    await action(shop)
    assert DEVIATIONS["shop.do"] - before == 2


@table(
    "status, kind",
    unauthorized=(401, Unauthorized),
    limited=(429, RateLimited),
    missing=(404, UpstreamError),
    broken=(500, UpstreamError),
)
async def test_a_refusal_is_the_error_that_it_means(
    declare: Declare, fake: Fake, shop: Shop, status: int, kind: type[Exception]
) -> None:
    fake.get("/things", answers={}, status=status, headers={"Retry-After": "7"})
    with pytest.raises(kind) as raised:
        await declare({"responses": answer({})})(shop)
    if isinstance(raised.value, RateLimited):
        assert raised.value.retry_after is not None
        assert raised.value.retry_after.total_seconds() == 7


async def test_what_is_not_there_is_none_where_that_is_declared(
    declare: Declare, fake: Fake, shop: Shop
) -> None:
    fake.get("/things", answers={}, status=404)
    said = Operation("do", "Do it", missing=True)
    assert await declare({"responses": answer({})}, said=said)(shop) is None


async def test_a_check_reads_what_a_status_does_not_say(
    declare: Declare, fake: Fake, shop: Shop
) -> None:
    def check(response: Any) -> None:
        if not response.json()["ok"]:
            raise Unauthorized("the token was revoked")

    fake.get("/things", answers={"ok": False})
    with pytest.raises(Unauthorized, match="revoked"):
        await declare({"responses": answer({})}, check=check)(shop)


# Lists in pages -------------------------------------------------------------------------------


def serve_pages(fake: Fake, kind: str) -> None:
    """Serve the numbers to 7 in pages of up to 3, as an app of this kind does."""

    def respond(sent: Any) -> Any:
        query, all_of = dict(sent.params), [{"id": str(n)} for n in range(7)]
        size = min(int(query.get("size", 3)), 3)
        start = {
            "cursor": int(query["after"]) + 1 if "after" in query else 0,
            "token": int(query.get("token", 0)),
            "offset": int(query.get("start", 0)),
            "number": (int(query.get("page", 1)) - 1) * size,
            "link": int(query.get("at", 0)),
        }[kind]
        more = start + size < 7
        page: Json = {"items": all_of[start : start + size], "more": more, "total": 7}
        if more:
            page |= {
                "token": str(start + size),
                "next": f"/v1/things?at={start + size}&size={size}",
            }
        return page

    fake.get("/things", answers=respond)


SIZE: Json = {"size": "size", "largest": 3}


@table(
    "kind, paging",
    cursor=("cursor", Paging.cursor("items", "after", more="more", **SIZE)),
    token=("token", Paging.token("items", "token", "token", **SIZE)),
    offset=("offset", Paging.offset("items", "start", **SIZE)),
    total=("offset", Paging.offset("items", "start", "total", **SIZE)),
    number=("number", Paging.number("items", "page", **SIZE)),
    link=("link", Paging.link("items", "next", **SIZE)),
)
async def test_a_list_is_read_page_by_page_up_to_a_bound(
    declare: Declare, fake: Fake, shop: Shop, kind: str, paging: Paging
) -> None:
    serve_pages(fake, kind)
    item = {"type": "object", "properties": {"id": TEXT}}
    schema = {"type": "object", "properties": {"items": {"type": "array", "items": item}}}
    names = [each for each in (paging.parameter, "size", "q") if each]
    operation = {"parameters": list(map(parameter, names)), "responses": answer(schema)}
    action = declare(operation, said=Operation("do", "List", pages=paging))
    assert [each.name for each in action.shape.inputs] == ["q", "most"]
    assert action.shape.output_schema() == {"type": "array", "items": item}
    assert [each["id"] for each in await action(shop)] == list("0123456")
    read = len(fake.requests)
    assert read <= 4
    assert [each["id"] for each in await action(shop, most=2)] == ["0", "1"]
    assert (len(fake.requests) - read, fake.requests[-1].params["size"]) == (1, "2")
    assert [each["id"] async for each in action.each(shop)] == list("0123456")


@table(
    "media, paging",
    token=("application/json", Paging.token("items", "token", "token", **SIZE)),
    offset=("application/json", Paging.offset("items", "start", "total", **SIZE)),
    form=("application/x-www-form-urlencoded", Paging.number("items", "page", **SIZE)),
)
async def test_a_page_is_asked_for_by_a_field_of_the_body(
    declare: Declare, fake: Fake, shop: Shop, media: str, paging: Paging
) -> None:
    def respond(sent: Any) -> Any:
        asked = {"q": "a", "size": 3} | (dict(sent.form) if "form" in media else sent.json)
        assert (asked["q"], int(asked["size"]), sent.params) == ("a", 3, {})
        start = int(asked.get("token") or asked.get("start", 0))
        start = (int(asked["page"]) - 1) * 3 if "page" in asked else start
        page: Json = {"items": [{"id": n} for n in range(7)][start : start + 3], "total": 7}
        return page | ({"token": str(start + 3)} if start < 6 else {})

    fake.post("/things", answers=respond)
    number = {"type": "integer"}
    fields = {"q": TEXT, "token": TEXT, "page": TEXT, "start": number, "size": number}
    operation = {"requestBody": body({"type": "object", "properties": fields}, media)}
    operation["responses"] = answer({"type": "object", "properties": {"items": LIST}})
    action = declare(operation, method="post", said=Operation("do", "Find", pages=paging))
    assert [each["id"] for each in await action(shop, q="a")] == [*range(7)]
    assert paging.parameter not in action.shape.by_name


@table(
    "paging",
    token=Paging.token("items", "token", "token"),
    number=Paging.number("items", "page"),
)
async def test_a_list_whose_pages_repeat_is_an_error(
    declare: Declare, fake: Fake, shop: Shop, paging: Paging
) -> None:
    fake.get("/things", answers={"items": [{"id": "1"}], "token": "same"})
    action = declare({"responses": answer({})}, said=Operation("do", "List", pages=paging))
    with pytest.raises(UpstreamError, match="same page again"):
        await action(shop)
    assert len(fake.requests) == 2


# Documents ------------------------------------------------------------------------------------


def cycle() -> Json:
    link = {"$ref": "#/components/schemas/Node"}
    node = {
        "type": "object",
        "properties": {"id": TEXT, "next": link, "all": {"type": "array", "items": link}},
    }
    return {"Node": node}


def test_a_schema_that_leads_to_itself_is_cut() -> None:
    found = ApiDocument(document({}, cycle())).schema({"$ref": "#/components/schemas/Node"}, "#")
    assert found["properties"]["next"] == {"type": "object"}
    assert found["properties"]["all"]["items"] == {"type": "object"}
    deep = {"id": "1", "next": {"id": "2", "next": {"id": 3}}}
    assert list(deviations(deep, found)) == []


def test_a_schema_that_nests_without_end_is_cut() -> None:
    deep: Json = TEXT
    for _ in range(600):
        deep = {"type": "array", "items": deep}
    found = ApiDocument(document({})).schema(deep, "#")
    assert 50 < json.dumps(found).count("items") < 100


def wide() -> Json:
    """Schemas of which each has ten of the next: 10^8 in all."""
    made: Json = {"S8": TEXT}
    for level in range(8):
        link = {"$ref": f"#/components/schemas/S{level + 1}"}
        made[f"S{level}"] = {"type": "object", "properties": {f"p{n}": link for n in range(10)}}
    return made


def test_a_schema_that_would_fill_the_memory_is_cut() -> None:
    found = ApiDocument(document({}, wide())).schema({"$ref": "#/components/schemas/S0"}, "#")
    assert len(json.dumps(found)) < 2_000_000
    assert set(found["properties"]) == {f"p{n}" for n in range(10)}


@table(
    "schema, plain",
    nullable=({"type": "string", "nullable": True}, {"anyOf": [TEXT, {"type": "null"}]}),
    types=({"type": ["string", "null"]}, {"anyOf": [TEXT, {"type": "null"}]}),
    several=({"type": ["string", "integer"]}, {"anyOf": [TEXT, {"type": "integer"}]}),
    const=({"const": "a"}, {"enum": ["a"]}),
    merged=(
        {"allOf": [{"properties": {"a": TEXT}}, {"required": ["a"], "properties": {"b": TEXT}}]},
        {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "required": ["a"]},
    ),
    one_of=({"oneOf": [TEXT, {"type": "integer"}]}, {"anyOf": [TEXT, {"type": "integer"}]}),
    anything=(True, {}),
    default=(
        {"type": "integer", "default": 3},
        {"type": "integer", "description": "By default: 3."},
    ),
    guessed=({"items": TEXT}, {"items": TEXT, "type": "array"}),
)
def test_a_schema_is_read_in_plain_words(schema: Any, plain: Json) -> None:
    assert ApiDocument(document({})).schema(schema, "#") == plain


EXTERNAL = {"responses": answer({"$ref": "other.yaml#/Thing"})}


@table(
    "operation, message, place",
    external=(
        EXTERNAL,
        "the reference 'other.yaml#/Thing' leads out of openapi.json",
        "/responses/200",
    ),
    remote=(
        {"responses": answer({"$ref": "https://x.example/a.json"})},
        "leads out",
        "/responses/200",
    ),
    dangling=(
        {"responses": answer({"$ref": "#/components/schemas/No"})},
        "names nothing",
        "/responses/200",
    ),
    cookie=(
        {"parameters": [parameter("s", "cookie", required=True)]},
        "in cookie is not sent",
        "(s)",
    ),
    matrix=({"parameters": [parameter("s", "path", style="matrix")]}, "the style matrix", "(s)"),
    xml=(
        {"requestBody": body({}, "application/xml")},
        "a body of application/xml",
        "application~1xml",
    ),
)
def test_what_is_not_supported_is_refused_by_name_with_its_place(
    declare: Declare, operation: Json, message: str, place: str
) -> None:
    with pytest.raises(UnsupportedSpecification) as raised:
        _ = declare(operation).shape
    assert message in str(raised.value)
    assert place in str(raised.value.where)


@table(
    "data, message",
    swagger=({"swagger": "2.0"}, "Swagger 2.0"),
    new=({"openapi": "4.0.0"}, "OpenAPI 4.0.0"),
    none=({}, "of no version"),
)
def test_a_document_of_another_version_is_refused(data: Json, message: str) -> None:
    with pytest.raises(UnsupportedSpecification, match=message):
        ApiDocument(data)


def test_an_operation_that_is_not_there_is_told_with_those_that_are_alike(declare: Declare) -> None:
    with pytest.raises(DefinitionError, match=r"has no operation 'doo'; there are do"):
        _ = declare({}, said=Operation("doo", "Do it")).shape


def test_inputs_of_one_name_are_told_apart(declare: Declare) -> None:
    schema = {"type": "object", "properties": {"id": TEXT, "petId": TEXT, "pet-id": TEXT}}
    operation = {"parameters": [parameter("id", "path")], "requestBody": body(schema)}
    action = declare(operation, path="/things/{id}", method="post")
    assert [each.name for each in action.inputs] == ["id", "id_in_body", "pet_id", "pet_id_in_body"]


@table(
    "name, expected",
    camel=("StatusCallback", "status_callback"),
    acronym=("issueIdOrKey", "issue_id_or_key"),
    word=("from", "from_"),
    digits=("2fa", "n2fa"),
    odd=("Date<", "date_before"),
    nothing=("$", "value"),
)
def test_names_are_those_of_python(name: str, expected: str) -> None:
    assert snake(name) == expected


def test_a_form_shows_eight_inputs_before_more(declare: Declare) -> None:
    operation = {"parameters": [parameter(f"p{n}", required=n == 9) for n in range(12)]}
    action = declare(operation, said=Operation("do", "Do it", "p3 p1"))
    fields = action.shape.json_schema()["properties"]
    assert [name for name, each in fields.items() if not each.get("x-more")] == ["p9", "p3", "p1"]
    with pytest.raises(DefinitionError, match="at most 8 inputs come first"):
        declare(operation, said=Operation("do", "Do it", " ".join(f"p{n}" for n in range(9))))
    with pytest.raises(DefinitionError, match="has no input nope"):
        _ = declare(operation, said=Operation("do", "Do it", "nope")).shape


def test_an_action_that_is_written_by_hand_stands_instead(tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document({"/a": {"get": {"operationId": "do", "responses": {}}}})))
    for first in (True, False):
        component = Component("shop", connection=Shop)
        specification = Specification(file)
        both = {"do": Operation("do", "Declared"), "other": Operation("do", "Other")}
        if not first:
            component.operations(specification, both)

        @component.action(title="By hand")
        async def do(shop: Shop) -> str:
            """Do it by hand."""
            return "by hand"

        if first:
            component.operations(specification, both)
        titles = {name: each.title for name, each in component.actions.items()}
        assert titles == {"do": "By hand", "other": "Other"}


def test_the_document_is_read_as_it_is_needed(tmp_path: Path) -> None:
    component = Component("shop", connection=Shop)
    specification = Specification(tmp_path / "not-there.json")
    made = component.operations(specification, {"do": Operation("do", "Do it")})
    assert made["do"].title == "Do it"
    with pytest.raises(DefinitionError, match=r"not-there\.json"):
        _ = made["do"].shape


def test_what_an_action_is_for_is_told_without_its_schemas(declare: Declare) -> None:
    broken = {"summary": "Do it all", "responses": answer({"$ref": "elsewhere.json#/A"})}
    action = declare(broken)
    assert action.description == "Do it all."
    with pytest.raises(UnsupportedSpecification):
        _ = action.shape


def test_a_component_is_loaded_without_its_document() -> None:
    read = (
        "from halflap import stripe\n"
        "assert len(stripe.component.actions) > 30\n"
        "assert 'document' not in vars(stripe.SPECIFICATION)\n"
        "stripe.create_customer.shape\n"
        "assert 'document' in vars(stripe.SPECIFICATION)\n"
    )
    subprocess.run([sys.executable, "-c", read], check=True)
    plain = "import sys, halflap.sdk.component; assert 'halflap.sdk.openapi' not in sys.modules"
    subprocess.run([sys.executable, "-c", plain], check=True)


def test_a_survey_of_sources_knows_the_declared_actions() -> None:
    actions = 'made = component.operations(S, {"create": Operation("c", "C")})'
    modules = [
        Module.read("acme/actions.py", actions),
        Module.read("acme/__init__.py", "from acme.actions import *"),
    ]
    survey = Survey.of(iter(modules))
    assert survey.canonical("acme.create") in survey.actions
    assert survey.canonical("acme.other") not in survey.actions


# The rules of inputs --------------------------------------------------------------------------


def paid_by(kind: str, **rules: Any) -> Json:
    """Make an option that is an object, told apart by its `kind`."""
    fields = {"kind": {"enum": [kind]}, kind: {**TEXT, **rules}}
    return {"type": "object", "required": ["kind", kind], "properties": fields}


@table(
    "schema, fits, not_fitting, message",
    least=({"type": "integer", "minimum": 3}, 3, 2, "be 3 at least (minimum)"),
    most=({"type": "number", "maximum": 3}, Decimal("3.0"), 3.5, "be 3 at most (maximum)"),
    above=({"type": "integer", "exclusiveMinimum": 3}, 4, 3, "be more than 3 (exclusiveMinimum)"),
    below=(
        {"type": "integer", "maximum": 3, "exclusiveMaximum": True},
        2,
        3,
        "be less than 3 (exclusiveMaximum)",
    ),
    multiple=({"type": "number", "multipleOf": 0.1}, 0.3, 0.35, "be a multiple of 0.1"),
    shortest=({**TEXT, "minLength": 2}, "ab", "a", "have at least 2 characters (minLength)"),
    longest=({**TEXT, "maxLength": 2}, "äö", "abc", "have at most 2 characters (maxLength)"),
    pattern=({**TEXT, "pattern": "^[A-Z]{2}$"}, "DE", "de", "match ^[A-Z]{2}$ (pattern)"),
    mail=({**TEXT, "format": "email"}, "a@b", "a b@c", "be an address of mail (format email)"),
    uri=({**TEXT, "format": "uri"}, "https://a.example/b", "/b", "be a whole address"),
    time=({**TEXT, "format": "date-time"}, "2026-01-31T12:00:00Z", "noon", "be a time as"),
    date=({**TEXT, "format": "date"}, "2026-01-31", "2026-02-31", "be a date as"),
    uuid=({**TEXT, "format": "uuid"}, "6f1b0c1e-8f0a-4c3e-9d7e-0123456789ab", "6f", "be a UUID"),
    bits=({"type": "integer", "format": "int32"}, 2**31 - 1, 2**31, "be a number of 32 bits"),
    fewest=({**LIST, "minItems": 1}, ["a"], [], "have at least 1 items (minItems)"),
    twice=({**LIST, "uniqueItems": True}, ["a", "b"], ["a", "a"], "the same item twice"),
    fields=({"type": "object", "maxProperties": 1}, {"a": 1}, {"a": 1, "b": 2}, "at most 1 fields"),
    within=({**LIST, "items": {**TEXT, "minLength": 2}}, ["ab"], ["ab", "c"], "/1: has to have"),
    options=(
        {"oneOf": [{**TEXT, "maxLength": 2}, {"type": "integer", "minimum": 10}]},
        10,
        9,
        "be 10 at least (minimum)",
    ),
    fraction=({"type": "integer"}, 12, 12.5, "be a whole number, and has a fraction"),
    empty=({"enum": ["reverse", ""]}, "", "forward", 'be one of: reverse, ""'),
    objects=(
        {"oneOf": [paid_by("card", minLength=12), paid_by("iban")]},
        {"kind": "card", "card": "4" * 12},
        {"kind": "card", "card": "1"},
        "/card: has to have at least 12 characters",
    ),
    object_of_none=(
        {"oneOf": [paid_by("card", minLength=12), paid_by("iban")]},
        {"kind": "iban", "iban": "x"},
        {"kind": "zzz", "iban": "x"},
        "/card: is missing",
    ),
    nullable=({**TEXT, "maxLength": 2, "nullable": True}, None, "abc", "at most 2 characters"),
    choices=(
        {"enum": ["active", "past_due", "canceled", *map(str, range(20))]},
        "active",
        "cancelled",
        "be one of: canceled, ",
    ),
    needs=(
        {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b", "c"]}]},
        {"b": 1, "c": 2},
        {"b": 1},
        "needs a, or b and c",
    ),
    needs_one=(
        {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"a": 1},
        {"a": 1, "b": 2},
        "takes only one of these: a, or b",
    ),
)
def test_an_input_is_held_to_every_rule_of_its_schema(
    declare: Declare, schema: Json, fits: Any, not_fitting: Any, message: str
) -> None:
    sent: Json = {"type": "object", "properties": {"x": schema}}
    for needed in ([], ["x"]):
        action = declare({"requestBody": body(sent | {"required": needed})}, method="post")
        adapter = action.shape.by_name["x"].adapter
        adapter.validate_python(fits)
        with pytest.raises(ValidationError) as raised:
            adapter.validate_python(not_fitting)
        assert message in str(raised.value)
    assert [*deviations(fits, action.shape.by_name["x"].annotation.__metadata__[-1].schema)] == []


async def test_a_pattern_that_is_not_read_is_left_to_the_app(declare: Declare) -> None:
    for pattern in ("(?=a)", "(a+)+$", "["):
        fields = {"x": {**TEXT, "pattern": pattern}}
        one = declare(
            {"requestBody": body({"type": "object", "properties": fields})}, method="post"
        )
        one.shape.by_name["x"].adapter.validate_python("a" * 50_000)


def test_a_pattern_that_may_take_too_long_is_left_to_the_app(declare: Declare) -> None:
    rules = [{**TEXT, "pattern": "(.{1,200}){1,4}b$"}, {**TEXT, "pattern": "^[a-z]+$"}]
    for schema, value in (
        (rules[0], "a" * 20_000),
        ({**LIST, "items": rules[0]}, ["a" * 2_000] * 100),
        ({"anyOf": [rules[0]] * 100}, "a" * 2_000),
    ):
        requestBody = body({"type": "object", "properties": {"x": schema, "y": rules[1]}})
        action = declare({"requestBody": requestBody}, method="post")
        began = time.thread_time()
        action.shape.by_name["x"].adapter.validate_python(value)
        assert time.thread_time() - began < 0.5
        with pytest.raises(ValidationError, match="has to match"):  # another has a time of its own
            action.shape.by_name["y"].adapter.validate_python("A" * 1_000)


async def test_a_header_with_a_line_break_is_refused_before_anything_is_sent(
    declare: Declare, fake: Fake, shop: Shop, run: Run
) -> None:
    action = declare({"parameters": [parameter("X-Trace", "header")]})
    fake.get("/things", answers={})
    integration = Integration("traces", config=Settings)

    @integration.flow(trigger=webhook.request(signature=None))
    async def flow(ctx: Context[Settings], event: Json) -> None:
        await action(ctx.config.shop, x_trace=event["trace"])

    failed = await run(flow, {"trace": "a\r\nX-Admin: 1"}, fake=fake)
    assert failed.state == "failed"
    assert "the value of the header X-Trace has line breaks" in str(failed.error)
    assert not fake.requests
    assert (await run(flow, {"trace": "a"}, fake=fake)).state == "succeeded"


@table("exactly, words", one=("oneOf", "takes only one of these"), some=("anyOf", None))
async def test_fields_of_which_some_are_needed_are_checked_before_anything_is_sent(
    declare: Declare, fake: Fake, shop: Shop, exactly: str, words: str | None
) -> None:
    fields = {"email": TEXT, "customerId": TEXT, "note": TEXT}
    needs = [{"required": ["email"]}, {"required": ["customerId"]}]
    schema = {"type": "object", "properties": fields, exactly: needs}
    fake.post("/things", answers={})
    action = declare({"requestBody": body(schema)}, method="post")
    with pytest.raises(InputsRefused, match="needs email, or customer_id"):
        await action(shop, note="a")
    assert not fake.requests
    await action(shop, email="a")
    both = action(shop, email="a", customer_id="b")
    if words is None:
        await both
    else:
        with pytest.raises(InputsRefused, match=words):
            await both


def test_lint_tells_inputs_that_exclude_each_other_or_of_which_one_is_needed(
    declare: Declare, tmp_path: Path
) -> None:
    fields = {"email": TEXT, "customerId": TEXT, "note": TEXT}
    needs = [{"required": ["email"]}, {"required": ["customerId"]}]
    declare({"requestBody": body({"properties": fields, "oneOf": needs})}, method="post")
    component = Component("shop", connection=Shop)
    component.operations(Specification(tmp_path / "openapi.json"), {"do": Operation("do", "Do it")})
    shapes = Shapes(own=read_shapes(dump_shapes({"shop": shape_of(component)})))
    one = "HF103: shop.do takes only one of these: email, or customer_id"
    none = "HF103: shop.do needs email, or customer_id"
    for given, finding in (
        ("email: a@b.example, customer_id: c1", one),
        ("email: a@b.example, customer_id: =event.local", None),  # which may be null
        ("note: n", none),
        ("email: null, note: n", none),
        ("email: =event.local, note: n", None),
        ("email: a@b.example", None),
    ):
        step = f"{{action: shop.do, with: {{{given}}}}}"
        text = LINTED.replace("STEP", step)
        found = [f"{each.code}: {each.message}" for each in lint_text(text, "f.yaml", shapes)]
        assert found == ([] if finding is None else [finding]), given


async def test_the_fields_of_a_bodys_options_are_inputs(
    declare: Declare, fake: Fake, shop: Shop
) -> None:
    card = {"type": "object", "required": ["card"], "properties": {"card": TEXT}}
    bank = {
        "type": "object",
        "required": ["iban"],
        "properties": {"iban": {**TEXT, "minLength": 5}},
    }
    schema = {"type": "object", "properties": {"name": TEXT}, "oneOf": [card, bank]}
    route = fake.post("/things", answers={})
    action = declare({"requestBody": body(schema)}, method="post")
    assert {*action.shape.by_name} == {"name", "card", "iban"}
    await action(shop, iban="DE123")
    assert route.requests[0].json == {"iban": "DE123"}
    with pytest.raises(InputsRefused, match="needs card, or iban"):
        await action(shop, name="a")


def test_null_is_told_once(declare: Declare) -> None:
    schema = {"type": "object", "required": ["x"], "properties": {"x": TEXT}}
    action = declare({"requestBody": body(schema)}, method="post")
    with pytest.raises(ValidationError) as raised:
        action.shape.by_name["x"].adapter.validate_python(None)
    expected = "has to be a text, and is null: what it is read from is missing"
    assert misfit(raised.value, None) == expected


def test_of_many_choices_of_a_model_the_nearest_come_first() -> None:
    given = {"property": "a", "operator": "CONTAIN_TOKEN"}
    with pytest.raises(ValidationError) as raised:
        Condition.model_validate(given)
    for message in (misfit(raised.value, given), first_line(raised.value)):
        assert message.startswith(
            "operator: has to be one of: 'CONTAINS_TOKEN', 'NOT_CONTAINS_TOKEN'"
        )
        assert message.endswith(", …")
