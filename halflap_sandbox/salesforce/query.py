"""Queries over REST: the first page of the records found, then one after the other."""

from __future__ import annotations

import re

from starlette.responses import Response

from halflap_sandbox.salesforce.call import Call, Refused, Route, answer
from halflap_sandbox.salesforce.model import Entity, Json, Org
from halflap_sandbox.salesforce.records import children, relationship
from halflap_sandbox.salesforce.soql import Found, Parents, TableView, run

MOST_CURSORS = 10
SMALLEST_PAGE, LARGEST_PAGE = 200, 2000


def tables(org: Org) -> dict[str, TableView]:
    """Give the objects of an org as queries see them."""
    return {
        entity.name: TableView(
            name=entity.name,
            fields=entity.fields,
            rows=org.tables[entity.name],
            parents={
                name: Parents(field.name, field.reference_to)
                for field in entity.fields.values()
                if (name := relationship(field)) is not None
            },
            children={
                child_relationship(child, name, entity): (child.name, name)
                for child, name in children(org, entity.name)
            },
        )
        for entity in org.entities.values()
    }


def child_relationship(child: Entity, field: str, parent: Entity) -> str:
    """Return the name by which a parent's query reads its children: `Contacts`, `ChildAccounts`."""
    if field.endswith("__c"):
        return child.plural.replace(" ", "_") + "__r"
    return f"Child{child.plural}" if child.name == parent.name else child.plural


def find(org: Org, text: str, *, include_deleted: bool = False) -> Found:
    """Run a query over the objects of an org."""
    return run(text, tables(org), now=org.clock(), include_deleted=include_deleted)


async def query(call: Call) -> Response:
    """Answer a query with its first page."""
    return answer(first_page(call, include_deleted=False))


async def query_all(call: Call) -> Response:
    """Answer a query that sees deleted records too."""
    return answer(first_page(call, include_deleted=True))


async def query_more(call: Call) -> Response:
    """Answer with the page that a locator such as `01g…-2000` leads to."""
    cursor, _, start = call.path["locator"].partition("-")
    records = call.org.cursors.get(cursor)
    if records is None or not start.isdigit() or int(start) > len(records):
        raise Refused(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    return answer(_page(call, cursor, records, int(start)))


def first_page(call: Call, *, include_deleted: bool) -> Json:
    """Run the query that the request asks, and keep its records for the pages that follow."""
    text = call.request.query_params.get("q")
    if text is None:
        raise Refused(400, "MALFORMED_QUERY", "A query string has to be specified")
    found = find(call.org, text, include_deleted=include_deleted)
    if found.counts:
        return {"totalSize": found.total, "done": True, "records": []}
    records = found.records(lambda table, row: f"{call.base}/sobjects/{table}/{row}")
    cursor = ""
    if len(records) > _page_size(call):
        cursors = call.org.cursors
        cursor = call.org.new_id("01g")
        cursors[cursor] = records
        while len(cursors) > MOST_CURSORS:
            del cursors[next(iter(cursors))]
    return _page(call, cursor, records, 0)


def _page(call: Call, cursor: str, records: list[Json], start: int) -> Json:
    end = start + _page_size(call)
    page: Json = {"totalSize": len(records), "done": end >= len(records)}
    if end < len(records):
        page["nextRecordsUrl"] = f"{call.base}/query/{cursor}-{end}"
    return {**page, "records": records[start:end]}


def _page_size(call: Call) -> int:
    asked = re.search(
        r"batchSize\s*=\s*(\d{1,6})", call.request.headers.get("sforce-query-options", "")
    )
    if asked is None:
        return call.settings.page
    return max(SMALLEST_PAGE, min(LARGEST_PAGE, int(asked[1])))


_DATA = "/services/data/v{version}"
ROUTES: tuple[Route, ...] = (
    ("GET", f"{_DATA}/query", query),
    ("GET", f"{_DATA}/queryAll", query_all),
    ("GET", f"{_DATA}/query/{{locator}}", query_more),
    ("GET", f"{_DATA}/queryAll/{{locator}}", query_more),
)
