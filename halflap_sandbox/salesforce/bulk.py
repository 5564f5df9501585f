"""Bulk API 2.0, ingest: a job takes records as CSV and saves them in chunks, each by itself."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from halflap_sandbox.salesforce import collection
from halflap_sandbox.salesforce.call import Call, Refused, Route, answer, done, not_found
from halflap_sandbox.salesforce.model import Entity, Json, World, timestamp
from halflap_sandbox.salesforce.records import entity, external_id
from halflap_sandbox.salesforce.records import field as find_field

CHUNK = 200
_DELIMITERS = {
    "COMMA": ",",
    "SEMICOLON": ";",
    "TAB": "\t",
    "PIPE": "|",
    "CARET": "^",
    "BACKQUOTE": "`",
}
_OPERATIONS = ("insert", "update", "upsert", "delete", "hardDelete")
_NO_CHANGE, _EMPTY = "", "#N/A"
Row = dict[str, str]


@dataclass(slots=True, kw_only=True)
class Job:
    """One job: what it does with which object, what it was given, and what became of it."""

    id: str
    entity: Entity
    operation: str
    key: str | None
    delimiter: str
    line_ending: str
    created_by: str
    created: str
    changed: str
    api_version: str
    state: str = "Open"
    error: str | None = None
    given: bytes = b""
    columns: list[str] = field(default_factory=list[str])
    succeeded: list[tuple[Row, str, bool]] = field(default_factory=list[tuple[Row, str, bool]])
    failed: list[tuple[Row, str, str]] = field(default_factory=list[tuple[Row, str, str]])
    left: list[Row] = field(default_factory=list[Row])
    running: asyncio.Task[None] | None = None


async def create(call: Call) -> Response:
    """Open a job."""
    asked = call.json_object()
    of = entity(call.org, str(asked.get("object")))
    operation, name = str(asked.get("operation")), asked.get("externalIdFieldName")
    delimiter, ending = asked.get("columnDelimiter", "COMMA"), asked.get("lineEnding", "LF")
    if operation not in _OPERATIONS or delimiter not in _DELIMITERS or ending not in ("LF", "CRLF"):
        raise Refused(400, "INVALIDJOB", f"InvalidJob : {operation}, {delimiter}, {ending}")
    if operation == "upsert" and not name:
        raise Refused(400, "INVALIDJOB", "InvalidJob : upsert needs externalIdFieldName")
    key = external_id(of, str(name)).name if operation == "upsert" else None
    now = _now(call)
    job = Job(
        id=call.org.new_id("750"),
        entity=of,
        operation=operation,
        key=key,
        delimiter=delimiter,
        line_ending=ending,
        created_by=call.user.id,
        created=now,
        changed=now,
        api_version=call.path["version"],
    )
    call.org.jobs[job.id] = job
    return answer(_json(job))


async def upload(call: Call) -> Response:
    """Take a job's records."""
    job = _job(call)
    if job.state != "Open" or job.given:
        raise Refused(400, "INVALIDJOBSTATE", f"InvalidJobState : the job is {job.state}, or full")
    job.given = call.body
    return done(201)


async def change(call: Call) -> Response:
    """Close a job, so that it runs, or abort it."""
    job, state = _job(call), call.json_object().get("state")
    if state not in ("UploadComplete", "Aborted") or job.state not in ("Open", "UploadComplete"):
        raise Refused(400, "INVALIDJOBSTATE", f"InvalidJobState : {job.state} to {state}")
    job.state, job.changed = state, _now(call)
    if state == "UploadComplete":
        job.running = asyncio.create_task(_work(call, job), name=f"bulk {job.id}")
    return answer(_json(job))


async def show(call: Call) -> Response:
    """Tell how far a job is."""
    return answer(_json(_job(call)))


async def list_all(call: Call) -> Response:
    """List the jobs."""
    jobs = [_json(each) for each in call.org.jobs.values() if isinstance(each, Job)]
    return answer({"done": True, "records": jobs, "nextRecordsUrl": None})


async def delete(call: Call) -> Response:
    """Delete a job that is over."""
    job = _job(call)
    if job.state in ("Open", "UploadComplete", "InProgress"):
        raise Refused(400, "INVALIDJOBSTATE", f"InvalidJobState : the job is {job.state}")
    del call.org.jobs[job.id]
    return done()


async def results(call: Call) -> Response:
    """Give the rows that were saved, those that were not, or those that were not tried."""
    job = _job(call)
    match call.path["which"]:
        case "successfulResults":
            head = ["sf__Id", "sf__Created"]
            rows = (([id, str(new).lower()], row) for row, id, new in job.succeeded)
        case "failedResults":
            head = ["sf__Id", "sf__Error"]
            rows = (([id, error], row) for row, id, error in job.failed)
        case "unprocessedrecords":
            head: list[str] = []
            rows = ((head, row) for row in job.left)
        case _:
            raise not_found()
    return _csv(job, head, rows)


async def close(world: World) -> None:
    """Stop the jobs that run."""
    jobs = [each for org in world.orgs.values() for each in org.jobs.values()]
    running = [each.running for each in jobs if isinstance(each, Job) and each.running]
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def _work(call: Call, job: Job) -> None:
    job.state = "InProgress"
    try:
        rows = _rows(job)
        _check(job)
    except (Refused, ValueError) as error:
        said = error.message if isinstance(error, Refused) else str(error)
        job.state, job.error, job.changed = "Failed", f"InvalidBatch : {said}", _now(call)
        return
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        job.left = rows[start:]
        _save(call, job, chunk)
        await asyncio.sleep(0)
    job.left, job.changed = [], _now(call)
    job.state = "JobComplete"


def _save(call: Call, job: Job, chunk: Sequence[Row]) -> None:
    works = [_row_work(call, job, each) for each in chunk]
    done = collection.save_each(call, works, all_or_none=False)
    for row, result in zip(chunk, done, strict=True):
        if isinstance(result, Refused):
            code = result.code.replace("JSON_PARSER_ERROR", "INVALID_TYPE_ON_FIELD_IN_RECORD")
            fields = ",".join(result.fields or ())
            error = f"{code}:{result.message}:{fields} --"
            job.failed.append((row, row.get("Id", ""), error))
        else:
            id, new = result
            job.succeeded.append((row, id, job.operation == "insert" if new is None else new))


def _row_work(call: Call, job: Job, row: Row) -> collection.Work:
    values = dict(_values(row))
    match job.operation:
        case "insert":
            return collection.creation(job.entity, values)
        case "update":
            id = values.pop("Id", None)
            return collection.change(job.entity, id, values)
        case "upsert":
            key = job.key or "Id"
            own = next((name for name in values if name.casefold() == key.casefold()), key)
            value = values.pop(own, None)
            return collection.upsertion(job.entity, key, value, values)
        case _:
            return collection.deletion(call, str(values.get("Id", "")))


def _values(row: Row) -> Iterator[tuple[str, Any]]:
    for name, text in row.items():
        if text == _NO_CHANGE:
            continue
        value = None if text == _EMPTY else text
        parent, _, key = name.partition(".")
        if key:
            yield parent, {key: value}
        else:
            yield ("Id" if name.casefold() == "id" else name), value


def _rows(job: Job) -> list[Row]:
    text = job.given.decode("utf-8-sig")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_DELIMITERS[job.delimiter])
    lines = [line for line in reader if line]
    if not lines:
        raise ValueError("The file has no header")
    job.columns = lines[0]
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(job.columns):
            raise ValueError(f"Row {number} has {len(line)} fields, not {len(job.columns)}")
    return [dict(zip(job.columns, line, strict=True)) for line in lines[1:]]


def _check(job: Job) -> None:
    for name in job.columns:
        if "." not in name and find_field(job.entity, name) is None:
            raise ValueError(f"Field name not found : {name}")


def _csv(job: Job, head: list[str], rows: Iterable[tuple[list[str], Row]]) -> Response:
    out = io.StringIO()
    ending = "\r\n" if job.line_ending == "CRLF" else "\n"
    writer = csv.writer(
        out, delimiter=_DELIMITERS[job.delimiter], quoting=csv.QUOTE_ALL, lineterminator=ending
    )
    writer.writerow([*head, *job.columns])
    writer.writerows([*more, *row.values()] for more, row in rows)
    return Response(out.getvalue(), media_type="text/csv")


def _json(job: Job) -> Json:
    content = f"services/data/v{job.api_version}/jobs/ingest/{job.id}/batches"
    key = {"externalIdFieldName": job.key} if job.key else {}
    shown: Json = {
        "id": job.id,
        "operation": job.operation,
        "object": job.entity.name,
        "createdById": job.created_by,
        "createdDate": job.created,
        "systemModstamp": job.changed,
        "state": job.state,
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": float(job.api_version),
        "jobType": "V2Ingest",
        "lineEnding": job.line_ending,
        "columnDelimiter": job.delimiter,
        **key,
    }
    if job.state == "Open":
        shown["contentUrl"] = content
    else:
        shown["numberRecordsProcessed"] = len(job.succeeded) + len(job.failed)
        shown["numberRecordsFailed"] = len(job.failed)
        shown["retries"] = 0
        shown["totalProcessingTime"] = 0
    return shown if job.error is None else {**shown, "errorMessage": job.error}


def _job(call: Call) -> Job:
    found = call.org.jobs.get(call.path["id"])
    if not isinstance(found, Job):
        raise not_found()
    return found


def _now(call: Call) -> str:
    return timestamp(int(call.org.clock()))


_INGEST = "/services/data/v{version}/jobs/ingest"
ROUTES: tuple[Route, ...] = (
    ("POST", _INGEST, create),
    ("GET", _INGEST, list_all),
    ("GET", f"{_INGEST}/{{id}}", show),
    ("PATCH", f"{_INGEST}/{{id}}", change),
    ("DELETE", f"{_INGEST}/{{id}}", delete),
    ("PUT", f"{_INGEST}/{{id}}/batches", upload),
    ("GET", f"{_INGEST}/{{id}}/{{which}}", results),
)
