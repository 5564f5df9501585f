"""Bulk API 2.0, query: a job finds records, which are then fetched as CSV, page by page."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from starlette.responses import Response

from halflap_sandbox.salesforce.call import Call, Refused, Route, answer, done, not_found, number
from halflap_sandbox.salesforce.model import Json, timestamp
from halflap_sandbox.salesforce.query import find
from halflap_sandbox.salesforce.soql import Found

LARGEST_PAGE = 50_000


@dataclass(slots=True, kw_only=True)
class QueryJob:
    """One job: the query, and the rows that it found when it was asked."""

    id: str
    operation: str
    query: str
    object: str
    created_by: str
    created: str
    api_version: str
    header: list[str]
    rows: list[list[str]]
    state: str = "UploadComplete"


async def create(call: Call) -> Response:
    """Open a job; its query is run at once."""
    asked = call.json_object()
    operation, text = str(asked.get("operation")), str(asked.get("query"))
    if operation not in ("query", "queryAll"):
        raise Refused(400, "INVALIDJOB", f"InvalidJob : {operation} is no operation of a query job")
    found = find(call.org, text, include_deleted=operation == "queryAll")
    if found.counts:
        raise Refused(400, "INVALIDJOB", "InvalidJob : COUNT() is not supported in bulk")
    header, rows = _table(found)
    job = QueryJob(
        id=call.org.new_id("750"),
        operation=operation,
        query=text,
        object=found.table.name,
        created_by=call.user.id,
        created=timestamp(int(call.org.clock())),
        api_version=call.path["version"],
        header=header,
        rows=rows,
    )
    call.org.jobs[job.id] = job
    return answer(_json(job))


async def show(call: Call) -> Response:
    """Tell how far a job is: the first who asks finds it done."""
    job = _job(call)
    if job.state == "UploadComplete":
        job.state = "JobComplete"
    return answer(_json(job))


async def change(call: Call) -> Response:
    """Abort a job."""
    job = _job(call)
    if call.json_object().get("state") != "Aborted" or job.state != "UploadComplete":
        raise Refused(400, "INVALIDJOBSTATE", f"InvalidJobState : the job is {job.state}")
    job.state = "Aborted"
    return answer(_json(job))


async def delete(call: Call) -> Response:
    """Delete a job."""
    del call.org.jobs[_job(call).id]
    return done()


async def list_all(call: Call) -> Response:
    """List the jobs."""
    jobs = [_json(each) for each in call.org.jobs.values() if isinstance(each, QueryJob)]
    return answer({"done": True, "records": jobs, "nextRecordsUrl": None})


async def results(call: Call) -> Response:
    """Give a page of rows; the header `Sforce-Locator` leads to the next, or is `null`."""
    job, asked = _job(call), call.request.query_params
    if job.state != "JobComplete":
        raise Refused(400, "INVALIDJOBSTATE", f"InvalidJobState : the job is {job.state}")
    start, size = asked.get("locator", "0"), asked.get("maxRecords", str(LARGEST_PAGE))
    if not (start.isdigit() and size.isdigit() and int(size) >= 1):
        raise Refused(400, "INVALIDJOB", "InvalidJob : locator or maxRecords is wrong")
    end = int(start) + min(int(size), LARGEST_PAGE)
    rows = job.rows[int(start) : end]
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(job.header)
    writer.writerows(rows)
    locator = str(end) if end < len(job.rows) else "null"
    headers = {"Sforce-Locator": locator, "Sforce-NumberOfRecords": str(len(rows))}
    return Response(out.getvalue(), 200, headers, "text/csv")


def _table(found: Found) -> tuple[list[str], list[list[str]]]:
    header = found.header()
    records = found.records(lambda table, row: "")
    return header, [[_cell(record, name.split(".")) for name in header] for record in records]


def _cell(record: Mapping[str, Any], path: list[str]) -> str:
    value: Any = record
    for name in path:
        value = cast("Mapping[str, Any]", value).get(name) if value is not None else None
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case Decimal():
            return number(value)
        case _:
            return str(value)


def _json(job: QueryJob) -> Json:
    shown: Json = {
        "id": job.id,
        "operation": job.operation,
        "object": job.object,
        "createdById": job.created_by,
        "createdDate": job.created,
        "systemModstamp": job.created,
        "state": job.state,
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": float(job.api_version),
        "jobType": "V2Query",
        "lineEnding": "LF",
        "columnDelimiter": "COMMA",
    }
    if job.state == "JobComplete":
        shown |= {"numberRecordsProcessed": len(job.rows), "retries": 0, "totalProcessingTime": 0}
    return shown


def _job(call: Call) -> QueryJob:
    found = call.org.jobs.get(call.path["id"])
    if not isinstance(found, QueryJob):
        raise not_found()
    return found


_QUERY = "/services/data/v{version}/jobs/query"
ROUTES: tuple[Route, ...] = (
    ("POST", _QUERY, create),
    ("GET", _QUERY, list_all),
    ("GET", f"{_QUERY}/{{id}}", show),
    ("PATCH", f"{_QUERY}/{{id}}", change),
    ("DELETE", f"{_QUERY}/{{id}}", delete),
    ("GET", f"{_QUERY}/{{id}}/results", results),
)
