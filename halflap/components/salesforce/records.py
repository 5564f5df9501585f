"""Records: made, read, changed, removed and asked for."""

from __future__ import annotations

from typing import Annotated, Any, cast

from halflap import DynamicFields, Response, Source, UpstreamError, Writes
from halflap.components.salesforce._answer import is_gone
from halflap.components.salesforce.connection import Salesforce, component
from halflap.components.salesforce.description import Object, describe_fields, list_fields
from halflap.components.salesforce.models import Record, Saved
from halflap.components.salesforce.quoting import filled

FieldName = Annotated[str, Source(list_fields, depends=("object",))]
Fields = Annotated[dict[str, Any], DynamicFields(describe_fields, depends=("object",))]

WRITES = Writes(kind="{object}", record="id", fields=("fields",))


@component.action(writes=WRITES)
async def create_record(sf: Salesforce, object: Object, fields: Fields) -> Saved:
    """Create a record.

    Where the answer is lost, a second try makes a second record; with an external id,
    `upsert_record` does not.
    """
    made: Any = await sf.post(sf.data("sobjects", object), json=fields)
    return Saved(id=made["id"], created=True)


@component.action
async def get_record(
    sf: Salesforce, object: Object, id: str, fields: list[str] | None = None
) -> Record | None:
    """Get a record, all of its fields or some; None where it is gone."""
    params = {"fields": ",".join(fields)} if fields else None
    try:
        return Record.model_validate(await sf.get(sf.data("sobjects", object, id), params=params))
    except UpstreamError as error:
        if is_gone(error):
            return None
        raise


@component.action(writes=WRITES)
async def update_record(sf: Salesforce, object: Object, id: str, fields: Fields) -> None:
    """Change fields of a record; None clears one."""
    await sf.patch(sf.data("sobjects", object, id), json=fields)


@component.action(writes=WRITES)
async def upsert_record(
    sf: Salesforce, object: Object, external_id: FieldName, value: str, fields: Fields
) -> Saved:
    """Create or change the record that has an external id.

    `external_id` names the field that holds it. Done twice, there is still one record.
    """
    path = sf.data("sobjects", object, external_id, value)
    body = {name: each for name, each in fields.items() if name.lower() != external_id.lower()}
    response = await sf.request("PATCH", path, json=body)
    if response.body:
        answer: Any = response.json()
        return Saved(id=answer["id"], created=response.status == 201)
    found: Any = await sf.get(path, params={"fields": "Id"})  # API versions before 46.0 say nothing
    return Saved(id=found["Id"], created=response.status == 201)


@component.action
async def delete_record(sf: Salesforce, object: Object, id: str) -> None:
    """Delete a record; one that is gone already is fine."""
    try:
        await sf.delete(sf.data("sobjects", object, id))
    except UpstreamError as error:
        if not is_gone(error):
            raise


@component.action
async def query(sf: Salesforce, soql: str, values: dict[str, Any] | None = None) -> list[Record]:
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
