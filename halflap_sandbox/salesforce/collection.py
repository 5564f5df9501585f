"""Collections: up to 200 records in one request, each with a result of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from starlette.responses import Response

from halflap_sandbox.salesforce.call import Call, Refused, Route, answer
from halflap_sandbox.salesforce.model import Entity, Json, full_id
from halflap_sandbox.salesforce.records import Transaction, entity, external_id, field, saving
from halflap_sandbox.salesforce.rest import shown

LARGEST = 200
Work = Callable[[Transaction], tuple[str, bool | None]]
"""Saves one record; returns its id and, of an upsert, whether it is new."""


class RolledBack(Exception):
    """Gives up a whole collection, of which one record was refused."""


def save_each(
    call: Call, works: Sequence[Work], *, all_or_none: bool
) -> list[tuple[str, bool | None] | Refused]:
    """Save records in one transaction, each with its result; all or none of them if asked."""
    results: list[tuple[str, bool | None] | Refused] = []
    try:
        with saving(call) as transaction:
            for work in works:
                mark = transaction.mark()
                try:
                    results.append(work(transaction))
                except Refused as refused:
                    transaction.roll_back(mark)
                    results.append(as_result(refused))
            if all_or_none and any(isinstance(each, Refused) for each in results):
                raise RolledBack
    except RolledBack:
        message = "Record rolled back because not all records were valid and the request was using"
        undone = Refused(
            400, "ALL_OR_NONE_OPERATION_ROLLED_BACK", f"{message} AllOrNone header", ()
        )
        return [each if isinstance(each, Refused) else undone for each in results]
    return results


def as_result(refused: Refused) -> Refused:
    """Say of one of several records what a request for one alone says by its status."""
    if refused.code != "NOT_FOUND":
        return refused
    return Refused(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ())


async def create(call: Call) -> Response:
    """Save new records."""
    given = _records(call)
    works = [creation(_typed(call, each), each) for each in given]
    return _answer(save_each(call, works, all_or_none=_all_or_none(call)))


async def update(call: Call) -> Response:
    """Change records by id."""
    works: list[Work] = []
    for each in _records(call):
        id = next((value for name, value in each.items() if name.lower() == "id"), None)
        rest = {name: value for name, value in each.items() if name.lower() != "id"}
        works.append(change(_typed(call, each), id, rest))
    return _answer(save_each(call, works, all_or_none=_all_or_none(call)))


async def upsert(call: Call) -> Response:
    """Change the records that have these external ids, and create the others."""
    of = entity(call.org, call.path["object"])
    key = external_id(of, call.path["field"])
    works: list[Work] = []
    for each in _records(call):
        own = next((name for name in each if (f := field(of, name)) and f is key), "")
        rest = {name: value for name, value in each.items() if name != own}
        works.append(upsertion(of, key.name, each.get(own), rest))
    return _answer(save_each(call, works, all_or_none=_all_or_none(call)))


async def delete(call: Call) -> Response:
    """Put records into the recycle bin."""
    query = call.request.query_params
    ids = [each.strip() for each in query.get("ids", "").split(",") if each.strip()]
    _limit(ids)
    works = [deletion(call, each) for each in ids]
    asked = query.get("allOrNone", "").lower() == "true"
    return _answer(save_each(call, works, all_or_none=asked))


async def read(call: Call) -> Response:
    """Give records by id, and none for those that are not there."""
    of, query = entity(call.org, call.path["object"]), call.request.query_params
    if call.request.method == "GET":
        ids, wanted = query.get("ids", "").split(","), query.get("fields", "").split(",")
    else:
        body = call.json_object()
        ids, wanted = list(map(str, body.get("ids", []))), list(map(str, body.get("fields", [])))
    _limit(ids)
    table = call.org.tables[of.name]
    found = [table.get(full_id(each.strip()) or "") for each in ids]
    return answer(
        [
            None if each is None or each.get("IsDeleted") else shown(call, of, each, wanted)
            for each in found
        ]
    )


def creation(of: Entity, values: Json) -> Work:
    """Make the work of saving a new record."""
    return lambda transaction: (transaction.create(of, values), None)


def change(of: Entity, id: object, values: Json) -> Work:
    """Make the work of changing a record."""

    def work(transaction: Transaction) -> tuple[str, None]:
        whole = _checked(of, id)
        transaction.update(of, whole, values)
        return whole, None

    return work


def upsertion(of: Entity, key: str, value: object, values: Json) -> Work:
    """Make the work of changing the record that has this external id, or creating it."""
    return lambda transaction: transaction.upsert(of, of.fields[key], value, values)


def deletion(call: Call, id: str) -> Work:
    """Make the work of putting a record of whichever object into the recycle bin."""

    def work(transaction: Transaction) -> tuple[str, None]:
        of = next((e for e in call.org.entities.values() if id.startswith(e.prefix)), None)
        if of is None:
            raise Refused(400, "MALFORMED_ID", f"malformed id {id}", ())
        whole = _checked(of, id)
        transaction.delete(of, whole)
        return whole, None

    return work


def _checked(of: Entity, id: object) -> str:
    if id is None:
        raise Refused(400, "MISSING_ARGUMENT", "Id not specified in an update call", ())
    whole = full_id(str(id))
    if whole is None or not whole.startswith(of.prefix):
        message = f"{of.label} ID: id value of incorrect type: {id}"
        raise Refused(400, "MALFORMED_ID", message, ("Id",))
    return whole


def _records(call: Call) -> list[Json]:
    records = call.json_object().get("records")
    if not isinstance(records, list) or not all(
        isinstance(each, dict) for each in cast("list[Any]", records)
    ):
        raise Refused(400, "JSON_PARSER_ERROR", "The body needs records: an array of objects.")
    _limit(cast("list[Json]", records))
    return cast("list[Json]", records)


def _limit(records: Sequence[object]) -> None:
    if len(records) > LARGEST:
        message = f"The number of records exceeds the limit of {LARGEST}."
        raise Refused(400, "EXCEEDED_ID_LIMIT", message)


def _all_or_none(call: Call) -> bool:
    return call.json_object().get("allOrNone") is True


def _typed(call: Call, record: Json) -> Entity:
    attributes = record.get("attributes")
    kind = cast(Json, attributes).get("type") if isinstance(attributes, dict) else None
    if not isinstance(kind, str) or kind.casefold() not in map(str.casefold, call.org.entities):
        raise Refused(400, "INVALID_TYPE", f"sObject type '{kind}' is not supported.")
    return entity(call.org, kind)


def _answer(results: Sequence[tuple[str, bool | None] | Refused]) -> Response:
    shown: list[Json] = []
    for each in results:
        if isinstance(each, Refused):
            fields = list(each.fields or ())
            error = {"statusCode": each.code, "message": each.message, "fields": fields}
            shown.append({"success": False, "errors": [error]})
        else:
            id, created = each
            new = {} if created is None else {"created": created}
            shown.append({"id": id, "success": True, "errors": [], **new})
    return answer(shown)


_COLLECTIONS = "/services/data/v{version}/composite/sobjects"
ROUTES: tuple[Route, ...] = (
    ("POST", _COLLECTIONS, create),
    ("PATCH", _COLLECTIONS, update),
    ("DELETE", _COLLECTIONS, delete),
    ("GET", f"{_COLLECTIONS}/{{object}}", read),
    ("POST", f"{_COLLECTIONS}/{{object}}", read),
    ("PATCH", f"{_COLLECTIONS}/{{object}}/{{field}}", upsert),
)
