"""The actions of HubSpot: records of every type, one or a hundred at a time, and what connects them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from halflap import (
    DynamicFields,
    FieldSpec,
    Records,
    Source,
    UpstreamError,
    Writes,
    encode_segment,
)
from halflap.components.hubspot.connection import OBJECTS, HubSpot, component
from halflap.components.hubspot.models import Association, Condition, Record
from halflap.components.listing import first

TYPES = ("contacts", "companies", "deals", "tickets", "products", "line_items")
MOST_FOUND = 10_000
"""HubSpot finds no more by one search."""
AT_ONCE = 100


@component.action
async def list_types(hubspot: HubSpot) -> list[tuple[str, str]]:
    """List the types of records: HubSpot's own, and those that the portal has defined."""
    own = [(each, each.replace("_", " ").capitalize()) for each in TYPES]
    found: dict[str, Any] = await hubspot.find("/crm/v3/schemas") or {"results": []}
    return own + [
        (each["fullyQualifiedName"], each["labels"]["plural"]) for each in found["results"]
    ]


Object = Annotated[
    str,
    Source(list_types, open=True),
    Field(description="A type of records, as contacts, deals or a custom one."),
]


def path_of(object: str, rest: str = "") -> str:
    """The path of the records of a type."""
    return f"{OBJECTS}/{encode_segment(object)}{rest}"


@component.action
async def describe_properties(hubspot: HubSpot, object: Object) -> list[FieldSpec]:
    """List the properties of a type that may be written."""
    found = await hubspot.get(f"/crm/v3/properties/{encode_segment(object)}")
    return [
        FieldSpec(
            name=each["name"],
            title=each.get("label") or each["name"],
            type=KINDS.get(each["type"], "string"),
            choices=[e["value"] for e in each.get("options") or ()] or None,
        )
        for each in found["results"]
        if not each.get("modificationMetadata", NOTHING).get("readOnlyValue")
    ]


NOTHING: dict[str, Any] = {}
KINDS: dict[str, Any] = {
    "number": "number",
    "bool": "boolean",
    "date": "date",
    "datetime": "datetime",
}

Properties = Annotated[dict[str, Any], DynamicFields(describe_properties, depends=("object",))]
Wanted = Annotated[
    list[str] | None,
    Field(description="The properties to read; without them, HubSpot's usual ones."),
]
WRITES = Writes(kind="{object}", fields=("properties",), within="properties")


def chosen(properties: list[str] | None) -> dict[str, str]:
    """The parameters that choose properties."""
    return {"properties": ",".join(properties)} if properties else {}


@component.action
async def get_record(
    hubspot: HubSpot, object: Object, id: str, properties: Wanted = None, by: str | None = None
) -> Record | None:
    """Get a record by its id, or by a unique property (`by`, as email); nothing where there is none."""
    params = {**chosen(properties), **({"idProperty": by} if by else {})}
    found = await hubspot.find(path_of(object, "/{id}"), values={"id": id}, params=params)
    return None if found is None else Record.model_validate(found)


@component.action(batch=AT_ONCE)
async def get_records(
    hubspot: HubSpot, object: Object, ids: list[str], properties: Wanted = None
) -> Records[Record]:
    """Get many records by their ids."""
    sent = {"inputs": [{"id": each} for each in ids], "properties": properties or []}
    found = await hubspot.post(path_of(object, "/batch/read"), json=sent)
    records = [Record.model_validate(each) for each in found["results"]]
    return Records.of(ids, {each.id: each for each in records})


@component.action
async def list_records(
    hubspot: HubSpot, object: Object, properties: Wanted = None, most: int = 1_000
) -> list[Record]:
    """List records; at most `most`."""
    pages = hubspot.pages(
        path_of(object),
        params={"limit": min(most, AT_ONCE), **chosen(properties)},
        items="results",
        next=lambda page: next_of(page.json(), "link"),
    )
    return await first(most, Record, pages)


def next_of(body: dict[str, Any], name: str) -> str | None:
    """Return where the next page is; None at the end."""
    return body.get("paging", NOTHING).get("next", NOTHING).get(name)


@component.action(repeatable=True)
async def search_records(
    hubspot: HubSpot,
    object: Object,
    conditions: list[Condition],
    properties: Wanted = None,
    sort: str | None = None,
    descending: bool = False,
    most: int = 100,
) -> list[Record]:
    """Search records for which all conditions hold; at most `most`, and never more than 10,000.

    What was written some seconds ago may not be found yet.
    """
    direction = "DESCENDING" if descending else "ASCENDING"
    body: dict[str, Any] = {
        "filterGroups": [{"filters": [filter_of(each) for each in conditions]}],
        "properties": properties or [],
        "sorts": [{"propertyName": sort, "direction": direction}] if sort else [],
        "limit": min(most, AT_ONCE),
    }
    found: list[Record] = []
    after, seen = "0", set[str]()
    while len(found) < min(most, MOST_FOUND) and after not in seen:
        seen.add(after)
        page = await hubspot.post(path_of(object, "/search"), json={**body, "after": after})
        found += [Record.model_validate(each) for each in page["results"]]
        if (following := next_of(page, "after")) is None:
            break
        after = following
    return found[:most]


def filter_of(condition: Condition) -> dict[str, Any]:
    """Return a condition as HubSpot takes it."""
    given = {
        "value": condition.value,
        "values": condition.values,
        "highValue": condition.high,
    }
    sent = {name: value for name, value in given.items() if value is not None}
    return {"propertyName": condition.property, "operator": condition.operator, **sent}


@component.action(writes=WRITES)
async def create_record(hubspot: HubSpot, object: Object, properties: Properties) -> Record:
    """Create a record.

    Where the answer is lost, a second try makes a second one; with a unique property,
    `upsert_record` does not.
    """
    sent = {name: value for name, value in properties.items() if value is not None}
    made = await hubspot.post(path_of(object), json={"properties": sent})
    return Record.model_validate(made)


@component.action(writes=WRITES)
async def update_record(
    hubspot: HubSpot, object: Object, id: str, properties: Properties
) -> Record:
    """Change properties of a record; None clears one."""
    sent = {"properties": cleared(properties)}
    made = await hubspot.patch(path_of(object, "/{id}"), values={"id": id}, json=sent)
    return Record.model_validate(made)


def cleared(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return properties as HubSpot takes them: an empty text clears one."""
    return {name: "" if value is None else value for name, value in properties.items()}


@component.action(repeatable=True, writes=WRITES)
async def upsert_record(
    hubspot: HubSpot, object: Object, by: str, value: str, properties: Properties
) -> Record:
    """Create or change the record whose unique property `by` (email, say) has this value."""
    [made] = await upserted(hubspot, object, by, {value: properties})
    return made


@component.action(repeatable=True)
async def upsert_records(
    hubspot: HubSpot, object: Object, by: str, records: dict[str, dict[str, Any]]
) -> list[Record]:
    """Create or change many records, each by the value of a unique property; a hundred a request."""
    found: list[Record] = []
    values = list(records.items())
    for at in range(0, len(values), AT_ONCE):
        found += await upserted(hubspot, object, by, dict(values[at : at + AT_ONCE]))
    return found


async def upserted(
    hubspot: HubSpot, object: str, by: str, records: dict[str, dict[str, Any]]
) -> list[Record]:
    """Create or change up to a hundred records."""
    inputs = [
        {"id": id, "idProperty": by, "properties": cleared(each)} for id, each in records.items()
    ]
    response = await hubspot.request(
        "POST", path_of(object, "/batch/upsert"), json={"inputs": inputs}
    )
    answer = response.json()
    if response.status == 207 and answer.get("errors"):
        why = "; ".join(str(each.get("message")) for each in answer["errors"])
        raise UpstreamError(
            f"HubSpot took {len(answer['results'])} of {len(records)} records: {why}",
            status=207,
            retryable=False,
            in_doubt=False,
        )
    return [Record.model_validate(each) for each in answer["results"]]


@component.action(repeatable=True)
async def archive_record(hubspot: HubSpot, object: Object, id: str) -> None:
    """Move a record to the recycling bin; one that is gone already is fine."""
    await hubspot.delete(path_of(object, "/{id}"), values={"id": id})


ASSOCIATIONS = "/crm/v4/objects/{object}/{id}/associations/{to}"


@component.action
async def list_associations(
    hubspot: HubSpot, object: Object, id: str, to: Object
) -> list[Association]:
    """List the records of another type that a record is associated with."""
    pages = hubspot.pages(
        ASSOCIATIONS,
        values={"object": object, "id": id, "to": to},
        params={"limit": 500},
        items="results",
        next=lambda page: next_of(page.json(), "link"),
    )
    return [
        Association(
            id=str(each["toObjectId"]),
            labels=[e["label"] for e in each["associationTypes"] if e.get("label")],
        )
        async for each in pages
    ]


@component.action(repeatable=True)
async def associate(hubspot: HubSpot, object: Object, id: str, to: Object, to_id: str) -> None:
    """Associate a record with one of another type, without a label."""
    path = "/crm/v4/objects/{object}/{id}/associations/default/{to}/{to_id}"
    await hubspot.put(path, values={"object": object, "id": id, "to": to, "to_id": to_id})


@component.action(repeatable=True)
async def dissociate(hubspot: HubSpot, object: Object, id: str, to: Object, to_id: str) -> None:
    """End all associations of a record with one of another type."""
    values = {"object": object, "id": id, "to": to, "to_id": to_id}
    await hubspot.delete(f"{ASSOCIATIONS}/{{to_id}}", values=values)
