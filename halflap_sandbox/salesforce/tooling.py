"""The Tooling API: metadata as objects that are queried, created, changed and deleted over REST."""

from __future__ import annotations

from typing import cast

from starlette.responses import Response

from halflap_sandbox.salesforce import tooling_tables as tables
from halflap_sandbox.salesforce.call import Call, Refused, Route, answer, done, not_found
from halflap_sandbox.salesforce.catalog import KINDS, rename
from halflap_sandbox.salesforce.component import Author, Problem
from halflap_sandbox.salesforce.description import in_full, in_short
from halflap_sandbox.salesforce.flows import activate, change_version, delete_version, find_version
from halflap_sandbox.salesforce.markup import Element
from halflap_sandbox.salesforce.metadata_json import from_json, to_json
from halflap_sandbox.salesforce.model import Entity, Json, Org, by_name, full_id
from halflap_sandbox.salesforce.soql import run

ONE_ROW = ("FullName", "Metadata")
"""Fields that a query gives only where it finds one row."""


async def query(call: Call) -> Response:
    """Answer a query over metadata."""
    text = call.request.query_params.get("q")
    if text is None:
        raise Refused(400, "MALFORMED_QUERY", "A query string has to be specified")
    org = call.org
    found = run(text, tables.views(org), now=org.clock())
    wanted = [c.field.name for c in found.columns if not c.steps and c.field.name in ONE_ROW]
    if wanted and found.total > 1:
        message = (
            "When retrieving results with Metadata or FullName fields, the query qualifications "
            f"must specify no more than one row for retrieval. Result size: {found.total}"
        )
        raise Refused(400, "MALFORMED_QUERY", message)
    records = found.records(lambda table, key: f"{_base(call)}/sobjects/{table}/{key}")
    for record, row in zip(records, found.rows, strict=False):
        for name in wanted:
            record[name] = _one_row_only(org, found.table.name, str(row["Id"]))[name]
    size = {"size": found.total, "totalSize": found.total, "done": True, "queryLocator": None}
    return answer({**size, "entityTypeName": found.table.name, "records": records})


async def describe_all(call: Call) -> Response:
    """Describe every object in short."""
    objects = [_linked(call, in_short(call, each)) for each in tables.ENTITIES.values()]
    return answer({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects})


async def describe(call: Call) -> Response:
    """Describe an object."""
    return answer(_linked(call, in_full(call, _entity(call))))


async def describe_in_short(call: Call) -> Response:
    """Describe an object without its fields."""
    described = _linked(call, in_short(call, _entity(call)))
    return answer({"objectDescribe": described, "recentItems": []})


async def read(call: Call) -> Response:
    """Give one."""
    entity, id = _found(call)
    row = tables.views(call.org)[entity.name].rows[id]
    url = f"{_base(call)}/sobjects/{entity.name}/{id}"
    more = _one_row_only(call.org, entity.name, id) if entity.name in KINDS else {}
    return answer({"attributes": {"type": entity.name, "url": url}, **row, **more})


async def create(call: Call) -> Response:
    """Create one of `FullName` and `Metadata`."""
    entity, body = _entity(call), call.json_object()
    if entity.name not in ("WorkflowOutboundMessage", "WorkflowRule", "Flow", "CustomField"):
        raise Refused(400, "INVALID_TYPE_FOR_OPERATION", f"{entity.name} can't be created")
    given = _given(entity, body, _full_name(body))
    kind, author = KINDS[entity.name], Author(call.org, call.user)
    author.check_may_save(kind.type)
    saved = kind.save(author, given, create=True, update=entity.name == "Flow")
    result: Json = {"id": saved.id, "success": True, "errors": [], "warnings": [], "infos": []}
    url = f"{_base(call)}/sobjects/{entity.name}/{saved.id}"
    return answer(result, 201, {"Location": url})


async def update(call: Call) -> Response:
    """Change one; of a flow definition, which version is active."""
    entity, id = _found(call)
    body, org, author = call.json_object(), call.org, Author(call.org, call.user)
    full_name = tables.full_name(org, entity.name, id)
    if entity.name not in KINDS:
        raise Refused(400, "INVALID_TYPE_FOR_OPERATION", f"{entity.name} can't be changed")
    if "Metadata" not in body and entity.name != "WorkflowOutboundMessage":
        raise Problem("REQUIRED_FIELD_MISSING", "Metadata is required", fields=["Metadata"])
    if entity.name == "FlowDefinition":
        flow = org.flows[full_name]
        metadata = cast("Json", body["Metadata"] or {})
        number = metadata.get("activeVersionNumber") or 0
        if not isinstance(number, int):
            raise Refused(400, "JSON_PARSER_ERROR", "activeVersionNumber is not an integer")
        activate(flow, number)
        author.stamp(flow.id)
        return done()
    if entity.name == "Flow":
        flow, version = find_version(org, id)
        change_version(author, flow, version, _given(entity, body, flow.name))
        return done()
    new_name = body.get("FullName") or full_name
    if new_name != full_name:
        rename(author, entity.name, full_name, str(new_name))
    if "Metadata" in body:
        given = _given(entity, body, str(new_name))
        KINDS[entity.name].save(author, given, create=False, update=True)
    return done()


async def delete(call: Call) -> Response:
    """Delete one; of a flow, a version."""
    entity, id = _found(call)
    if entity.name not in KINDS:
        raise Refused(400, "INVALID_TYPE_FOR_OPERATION", f"{entity.name} can't be deleted")
    if entity.name == "Flow":
        delete_version(call.org, *find_version(call.org, id))
    else:
        name = tables.full_name(call.org, entity.name, id)
        KINDS[entity.name].delete(Author(call.org, call.user), name)
    return done()


def _entity(call: Call) -> Entity:
    if (entity := by_name(tables.ENTITIES, call.path["object"])) is None:
        raise not_found()
    return entity


def _found(call: Call) -> tuple[Entity, str]:
    entity = _entity(call)
    rows = tables.views(call.org)[entity.name].rows
    id = full_id(call.path["id"]) or ""
    if id not in rows:
        raise not_found()
    return entity, id


def _one_row_only(org: Org, type: str, id: str) -> Json:
    full_name = tables.full_name(org, type, id)
    content = KINDS[type].read(org, full_name)
    return {"FullName": full_name, "Metadata": None if content is None else to_json(type, content)}


def _full_name(body: Json) -> str:
    full_name = body.get("FullName")
    if not isinstance(full_name, str) or not full_name:
        message = "Required fields are missing: [FullName]"
        raise Problem("REQUIRED_FIELD_MISSING", message, fields=["FullName"])
    return full_name


def _given(entity: Entity, body: Json, full_name: str) -> Element:
    metadata = body.get("Metadata")
    if not isinstance(metadata, dict):
        message = "Required fields are missing: [Metadata]"
        raise Problem("REQUIRED_FIELD_MISSING", message, fields=["Metadata"])
    return from_json(entity.name, full_name, cast("Json", metadata))


def _base(call: Call) -> str:
    return f"/services/data/v{call.path['version']}/tooling"


def _linked(call: Call, described: Json) -> Json:
    path = f"{_base(call)}/sobjects/{described['name']}"
    urls = {"sobject": path, "describe": f"{path}/describe", "rowTemplate": f"{path}/{{ID}}"}
    return {**described, "urls": urls}


_TOOLING = "/services/data/v{version}/tooling"
_OBJECT = f"{_TOOLING}/sobjects/{{object}}"
ROUTES: list[Route] = [
    ("GET", f"{_TOOLING}/query", query),
    ("GET", f"{_TOOLING}/sobjects", describe_all),
    ("GET", f"{_OBJECT}/describe", describe),
    ("GET", _OBJECT, describe_in_short),
    ("POST", _OBJECT, create),
    ("GET", f"{_OBJECT}/{{id}}", read),
    ("PATCH", f"{_OBJECT}/{{id}}", update),
    ("DELETE", f"{_OBJECT}/{{id}}", delete),
]
