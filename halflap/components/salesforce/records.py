"""Records: made, read, changed, removed and asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, cast
from urllib.parse import unquote

from pydantic import Field

from halflap import DynamicFields, Records, Response, Source, Writes
from halflap.components.salesforce._answer import refusal, unless_gone
from halflap.components.salesforce.connection import Salesforce, component
from halflap.components.salesforce.description import Object, describe_fields, list_fields
from halflap.components.salesforce.models import Record, Saved
from halflap.components.salesforce.quoting import filled, soql

FieldName = Annotated[str, Source(list_fields, depends=("object",))]
Fields = Annotated[dict[str, Any], DynamicFields(describe_fields, depends=("object",))]

UPSERT_ANSWERS_SINCE = 46
"""The first API version in which an upsert that changes a record says which one."""

RECORD_ID = re.compile(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?")

WRITES = Writes(kind="{object}", record="id", fields=("fields",))


@component.action(writes=WRITES)
async def create_record(sf: Salesforce, object: Object, fields: Fields) -> Saved:
    """Create a record.

    The answer has the fields as Salesforce saved them. Where it is lost, a second try makes a second
    record; with an external id, `upsert_record` does not.
    """
    path = sf.data("sobjects", object)
    made = await written(sf, Write("POST", path, fields, f"{path}/{SAVED_ID}"), fields)
    return Saved(id=made.response.json()["id"], created=True, **made.fields)


@component.action
async def get_record(
    sf: Salesforce, object: Object, id: str, fields: list[str] | None = None
) -> Record | None:
    """Get a record, all of its fields or some; None where it is gone."""
    params = {"fields": ",".join(fields)} if fields else None
    found = await unless_gone(sf.get(sf.data("sobjects", object, id), params=params))
    return None if found is None else Record.model_validate(found)


@component.action(batch=200)
async def get_records(
    sf: Salesforce, object: Object, ids: list[str], fields: list[str]
) -> Records[Record]:
    """Get some fields of many records by their ids, of 15 characters or of 18."""
    asked = [each for each in ids if RECORD_ID.fullmatch(each)]
    names = dict.fromkeys(["Id", *fields])
    places = ", ".join(["{:name}"] * len(names))
    template = f"SELECT {places} FROM {{:name}} WHERE Id IN {{}}"  # noqa: S608
    ask = soql(template, *names, object, asked) if asked else ""
    rows: list[Record] = await query.function(sf, ask) if asked else []
    by_id = {str(each.id)[:15]: each for each in rows}
    return Records.of(ids, {each: by_id[each[:15]] for each in asked if each[:15] in by_id})


@component.action(writes=WRITES)
async def update_record(sf: Salesforce, object: Object, id: str, fields: Fields) -> Saved:
    """Change fields of a record; None clears one.

    The answer has the fields as Salesforce saved them.
    """
    path = sf.data("sobjects", object, id)
    made = await written(sf, Write("PATCH", path, fields, path), fields)
    return Saved(id=id, created=False, **made.fields)


@component.action(writes=WRITES, repeatable=True)
async def upsert_record(
    sf: Salesforce, object: Object, external_id: FieldName, value: str, fields: Fields
) -> Saved:
    """Create or change the record that has an external id.

    `external_id` names the field that holds it. Done twice, there is still one record. The answer has
    the fields as Salesforce saved them.
    """
    path = sf.data("sobjects", object, external_id, value)
    body = {name: each for name, each in fields.items() if name.lower() != external_id.lower()}
    back = f"{sf.data('sobjects', object)}/{SAVED_ID}"
    write = Write("PATCH", path, body, back, since=UPSERT_ANSWERS_SINCE)
    made = await written(sf, write, [*body, external_id])
    created = made.response.status == 201
    if made.response.body:
        return Saved(id=made.response.json()["id"], created=created, **made.fields)
    found: Any = await sf.get(path, params={"fields": "Id"})
    return Saved(id=found["Id"], created=created)


@component.action
async def delete_record(sf: Salesforce, object: Object, id: str) -> None:
    """Delete a record; one that is gone already is fine."""
    await unless_gone(sf.delete(sf.data("sobjects", object, id)))


@component.action
async def query(
    sf: Salesforce,
    soql: Annotated[str, Field(description="SOQL, as SELECT Id FROM Account WHERE Name = {name}")],
    values: Annotated[
        dict[str, Any] | None,
        Field(description="What stands for each {name} in the query, quoted safely."),
    ] = None,
) -> list[Record]:
    """Ask for records by SOQL, and get all pages of the answer.

    With `values`, the query is a template: `SELECT Id FROM Account WHERE Name = {name}`, in which
    they are quoted safely (in Python, `salesforce.soql` makes the same). Never join texts to SOQL.
    """
    path = sf.data("query")
    rows = sf.pages(path, params={"q": filled(soql, values)}, items="records", next=next_page)
    return [Record.model_validate(await whole(sf, each)) async for each in rows]


def next_page(response: Response) -> str | None:
    """The address of a query's next page."""
    return response.json().get("nextRecordsUrl")


async def whole(sf: Salesforce, row: dict[str, Any]) -> dict[str, Any]:
    """A row with all the rows of its subqueries: those come in pages too."""
    for value in row.values():
        if not isinstance(value, dict) or "records" not in value:
            continue
        inner = cast("dict[str, Any]", value)
        address = inner.pop("nextRecordsUrl", None)
        if address:
            more = sf.pages(address, items="records", next=next_page)
            inner["records"] += [each async for each in more]
            inner["done"] = True
    return row


# One write, and what Salesforce made of it, read back before anybody else can change the record

COMPOSITE_SINCE = 38
"""The first API version that takes several requests in one."""

SAVED_ID = "@{saved.id}"
"""Stands in the path of the reading for the id that the write answers."""

HALTED = "PROCESSING_HALTED"


@dataclass(frozen=True, slots=True)
class Write:
    """A write of one record, and where the record is read afterwards.

    Both go in one composite request that stands or falls as a whole. Where the reading is refused, the
    write is sent alone: nothing that could be saved fails because it cannot be read.
    since: the first API version whose answer says what `back` needs.
    """

    method: str
    path: str
    fields: Mapping[str, Any]
    back: str
    since: int = COMPOSITE_SINCE


@dataclass(frozen=True, slots=True)
class Written:
    """Salesforce's answer to a write, and the record's fields after it; none where they are unknown."""

    response: Response
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])


async def written(sf: Salesforce, write: Write, names: Iterable[str]) -> Written:
    """Write, and read those fields back; a refusal of the write is raised as that of a plain one."""
    asked = readable(names, write.fields)
    if asked and may_be_composite(sf, write):
        answer = await sf.request("POST", sf.data("composite"), json=composite(write, asked))
        parts = {str(each["referenceId"]): each for each in answer.json()["compositeResponse"]}
        saved, read = parts["saved"], parts["read"]
        own = alone(sf, answer, write, saved)
        if is_ok(saved):
            return Written(own, told(read["body"]) if is_ok(read) else {})
        if not is_halted(saved):
            raise refusal(own)
    return Written(await sf.request(write.method, write.path, json=write.fields))


def readable(names: Iterable[str], given: Mapping[str, Any]) -> list[str]:
    """The fields that can be asked for by name, each once; a parent that is named by a key cannot."""
    plain = {
        name.lower(): name
        for name in names
        if re.fullmatch(r"\w+", name, re.ASCII) and not isinstance(given.get(name), Mapping)
    }
    return [name for lower, name in plain.items() if lower not in ("id", "attributes")]


def may_be_composite(sf: Salesforce, write: Write) -> bool:
    """Return whether this API version can do both at once, and no value would be taken for a
    reference.
    """
    reads_like_a_reference = "@{" in f"{unquote(write.path)} {write.fields}"
    return int(sf.api_version.partition(".")[0]) >= write.since and not reads_like_a_reference


def composite(write: Write, names: Sequence[str]) -> dict[str, Any]:
    """The request for both: where one is refused, neither is done."""
    fields = ",".join(["Id", *names])
    return {
        "allOrNone": True,
        "compositeRequest": [
            {
                "method": write.method,
                "url": write.path,
                "referenceId": "saved",
                "body": write.fields,
            },
            {"method": "GET", "url": f"{write.back}?fields={fields}", "referenceId": "read"},
        ],
    }


def alone(sf: Salesforce, answer: Response, write: Write, part: Mapping[str, Any]) -> Response:
    """The answer to one of the requests, as if it had been sent by itself."""
    said = part["body"]
    return replace(
        answer,
        status=part["httpStatusCode"],
        body=b"" if said is None else json.dumps(said, default=str).encode(),
        url=sf.base_url + write.path,
        method=write.method,
    )


def told(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record by API name, without its id and its address."""
    return {name: value for name, value in record.items() if name not in ("Id", "attributes")}


def is_ok(part: Mapping[str, Any]) -> bool:
    """Return whether one of the requests was done."""
    return 200 <= part["httpStatusCode"] < 300


def is_halted(part: Mapping[str, Any]) -> bool:
    """Return whether a request was undone only because another one failed."""
    said = part["body"]
    errors = cast("list[Any]", said) if isinstance(said, list) else []
    return bool(errors) and all(
        isinstance(each, dict) and cast("dict[str, Any]", each).get("errorCode") == HALTED
        for each in errors
    )
