"""The REST API: what there is, descriptions, and one record a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from halflap_sandbox.salesforce import description
from halflap_sandbox.salesforce.call import Call, Refused, Route, answer, done
from halflap_sandbox.salesforce.model import API_VERSION, Entity, Json, Values
from halflap_sandbox.salesforce.records import (
    Ambiguous,
    entity,
    external_id,
    field,
    find,
    find_by,
    saving,
)

_RELEASES = {
    "59.0": "Winter '24",
    "60.0": "Spring '24",
    "61.0": "Summer '24",
    "62.0": "Winter '25",
    API_VERSION: "Spring '25",
}


async def versions(call: Call) -> Response:
    """List the versions of the API; this needs no session."""
    return answer(
        [
            {"label": label, "url": f"/services/data/v{version}", "version": version}
            for version, label in _RELEASES.items()
        ]
    )


async def resources(call: Call) -> Response:
    """List what there is in a version."""
    names = ("sobjects", "query", "queryAll", "limits", "composite", "tooling", "jobs")
    identity = f"{call.instance_url}/id/{call.org.id}/{call.user.id}"
    return answer({**{name: f"{call.base}/{name}" for name in names}, "identity": identity})


async def limits(call: Call) -> Response:
    """Tell how much of the day's limits is used."""
    most, used = call.org.daily_api_requests, call.org.api_requests
    return answer(
        {
            "DailyApiRequests": {"Max": most, "Remaining": max(0, most - used)},
            "DailyBulkApiBatches": {"Max": 15_000, "Remaining": 15_000 - len(call.org.jobs)},
        }
    )


async def describe_all(call: Call) -> Response:
    """Describe every object in short."""
    return answer(description.of_all(call))


async def describe_in_short(call: Call) -> Response:
    """Describe one object in short."""
    short = description.in_short(call, _entity(call))
    return answer({"objectDescribe": short, "recentItems": []})


async def describe(call: Call) -> Response:
    """Describe one object with its fields."""
    return answer(description.in_full(call, _entity(call)))


async def create(call: Call) -> Response:
    """Save a new record."""
    with saving(call) as transaction:
        id = transaction.create(_entity(call), call.json_object())
    return saved(call, id, status=201)


async def read(call: Call) -> Response:
    """Give a record, or those of its fields that are asked for."""
    of = _entity(call)
    return answer(shown(call, of, find(call.org, of, call.path["id"])))


async def update(call: Call) -> Response:
    """Change a record."""
    with saving(call) as transaction:
        transaction.update(_entity(call), call.path["id"], call.json_object())
    return done()


async def delete(call: Call) -> Response:
    """Put a record into the recycle bin."""
    with saving(call) as transaction:
        transaction.delete(_entity(call), call.path["id"])
    return done()


async def read_by(call: Call) -> Response:
    """Give the record that has an external id."""
    of = _entity(call)
    try:
        return answer(shown(call, of, _only(call, of)))
    except Ambiguous as several:
        return _several(call, of, several)


async def upsert(call: Call) -> Response:
    """Change the record that has an external id, or create it."""
    of, key, value = _entity(call), external_id(_entity(call), call.path["field"]), _value(call)
    given: Json = call.json_object()
    for name in given:
        if (each := field(of, name)) and each.name == key.name:
            message = f"The {key.name} field should not be specified in the sobject data."
            raise Refused(400, "INVALID_FIELD", message, (key.name,))
    only_update = call.request.query_params.get("updateOnly", "").lower() == "true"
    if only_update and key.name != "Id" and not find_by(call.org, of, key, value):
        raise Refused(404, "NOT_FOUND", "The requested resource does not exist")
    try:
        with saving(call) as transaction:
            id, created = transaction.upsert(of, key, value, given)
    except Ambiguous as several:
        return _several(call, of, several)
    return saved(call, id, status=201 if created else 200, created=created)


async def delete_by(call: Call) -> Response:
    """Put the record that has an external id into the recycle bin."""
    of = _entity(call)
    try:
        id = str(_only(call, of)["Id"])
    except Ambiguous as several:
        return _several(call, of, several)
    with saving(call) as transaction:
        transaction.delete(of, id)
    return done()


def saved(call: Call, id: str, *, status: int, **more: Any) -> Response:
    """Answer that a record was saved."""
    headers = {}
    if status == 201:
        of = next(e for e in call.org.entities.values() if id.startswith(e.prefix))
        headers = {"Location": f"{call.base}/sobjects/{of.name}/{id}"}
    return answer({"id": id, "success": True, "errors": [], **more}, status, headers)


def shown(
    call: Call, of: Entity, record: Values, wanted: list[str] | None = None
) -> Mapping[str, Any]:
    """Give a record as REST shows it, with the fields that the request asks for."""
    if wanted is None and (asked := call.request.query_params.get("fields")):
        wanted = [each.strip() for each in asked.split(",")]
    names = list(of.fields)
    if wanted is not None:
        names: list[str] = []
        for each in wanted:
            if (found := field(of, each)) is None:
                message = f"No such column '{each}' on sobject of type {of.name}"
                raise Refused(400, "INVALID_FIELD", message)
            names.append(found.name)
        names += [] if "Id" in names else ["Id"]
    url = f"{call.base}/sobjects/{of.name}/{record['Id']}"
    attributes = {"type": of.name, "url": url}
    return {"attributes": attributes, **{name: record.get(name) for name in names}}


def _entity(call: Call) -> Entity:
    return entity(call.org, call.path["object"])


def _value(call: Call) -> str:
    return call.path["value"]


def _only(call: Call, of: Entity) -> Values:
    key, value = external_id(of, call.path["field"]), _value(call)
    if key.name == "Id":
        return find(call.org, of, value)
    found = find_by(call.org, of, key, value)
    if not found:
        raise Refused(404, "NOT_FOUND", "The requested resource does not exist")
    if len(found) > 1:
        raise Ambiguous(key.name, value, [str(each["Id"]) for each in found])
    return found[0]


def _several(call: Call, of: Entity, several: Ambiguous) -> Response:
    return answer([f"{call.base}/sobjects/{of.name}/{id}" for id in several.ids], 300)


_DATA = "/services/data/v{version}"
_OBJECT = f"{_DATA}/sobjects/{{object}}"
ROUTES: tuple[Route, ...] = (
    ("GET", _DATA, resources),
    ("GET", f"{_DATA}/limits", limits),
    ("GET", f"{_DATA}/sobjects", describe_all),
    ("GET", _OBJECT, describe_in_short),
    ("POST", _OBJECT, create),
    ("GET", f"{_OBJECT}/describe", describe),
    ("GET", f"{_OBJECT}/{{id}}", read),
    ("PATCH", f"{_OBJECT}/{{id}}", update),
    ("DELETE", f"{_OBJECT}/{{id}}", delete),
    ("GET", f"{_OBJECT}/{{field}}/{{value:path}}", read_by),
    ("PATCH", f"{_OBJECT}/{{field}}/{{value:path}}", upsert),
    ("DELETE", f"{_OBJECT}/{{field}}/{{value:path}}", delete_by),
)
OPEN_ROUTES: tuple[Route, ...] = (("GET", "/services/data", versions),)
