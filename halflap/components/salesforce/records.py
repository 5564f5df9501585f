"""Records: made, read, changed, removed and asked for."""

from __future__ import annotations

import re
from typing import Annotated, Any, cast

from pydantic import Field

from halflap import DynamicFields, Records, Response, Source, Writes
from halflap.components.salesforce._answer import unless_gone
from halflap.components.salesforce._write import SAVED_ID, Write, written
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
