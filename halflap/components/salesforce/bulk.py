"""Bulk upserts: many records in one job of the Bulk API 2.0."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from halflap import DefinitionError, UpstreamError
from halflap.components.salesforce.connection import Salesforce, component
from halflap.components.salesforce.description import Object
from halflap.components.salesforce.models import BulkResult, Refused, Saved
from halflap.components.salesforce.records import FieldName

MOST_BYTES = 100_000_000
"""The most bytes of one job: Salesforce's 150 MB is of the base64 that it makes of it."""

FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0
STARTED = frozenset({"UploadComplete", "InProgress", "JobComplete"})
ENDED = frozenset({"JobComplete", "Failed", "Aborted"})
CLEARED = "#N/A"
HEADERS = {"Content-Type": "text/csv; charset=UTF-8"}


@component.action(title="Bulk upsert", timeout=timedelta(hours=1), repeatable=True)
async def bulk_upsert(
    sf: Salesforce, object: Object, external_id: FieldName, records: list[dict[str, Any]]
) -> BulkResult:
    """Create or change many records by an external id, in one bulk job.

    A row may have fields that another has not: those are left alone, and None clears one. What was
    refused is in the result, row by row. A job runs only once its upload was closed, so one whose
    answer was lost before that never runs, and one whose closing's answer was lost is looked up.
    Where this process stops between the closing and its record, the next try runs the rows again:
    the records are the same then, but automation at Salesforce sees them twice.
    """
    if not records:
        return BulkResult(id="", state="JobComplete", saved=[], refused=[])
    content = table(records, external_id)
    job = await opened(sf, object, external_id)
    await sf.put(sf.data("jobs", "ingest", job, "batches"), body=content, headers=HEADERS)
    await close(sf, job)
    state = await ended(sf, job)
    return await outcome(sf, job, state)


def table(records: Sequence[Mapping[str, Any]], external_id: str) -> bytes:
    """Records as the CSV that a job takes."""
    columns = list(dict.fromkeys(name for each in records for name in each))
    without = [number for number, each in enumerate(records) if not each.get(external_id)]
    if without:
        raise DefinitionError(
            f"row {without[0]} of the bulk upsert has no {external_id}, which tells which record it is"
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for each in records:
        writer.writerow([cell(each[name]) if name in each else "" for name in columns])
    content = text.getvalue().encode()
    if len(content) > MOST_BYTES:
        raise DefinitionError(
            f"a bulk upsert takes {MOST_BYTES:,} bytes, and these are {len(content):,}; "
            "call it with fewer records at a time"
        )
    return content


def cell(value: Any) -> str:
    """A value as it stands in the CSV: an empty cell means to leave the field alone."""
    match value:
        case None | "":
            return CLEARED
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case Decimal():
            return format(value, "f")
        case datetime():
            if value.tzinfo is None:
                raise DefinitionError("a date-time for Salesforce needs a time zone; give it one")
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case int() | float():
            return str(value)
        case _:
            raise DefinitionError(f"a bulk upsert has no place for {type(value).__name__}")


async def opened(sf: Salesforce, object: str, external_id: str) -> str:
    """Open a job; the id of it."""
    wanted = {
        "object": object,
        "operation": "upsert",
        "externalIdFieldName": external_id,
        "contentType": "CSV",
        "lineEnding": "LF",
        "columnDelimiter": "COMMA",
    }
    made: Any = await sf.post(sf.data("jobs", "ingest"), json=wanted)
    return str(made["id"])


async def close(sf: Salesforce, job: str) -> None:
    """Close a job's upload, so that it runs; where the answer is lost, see whether it does."""
    path = sf.data("jobs", "ingest", job)
    try:
        await sf.patch(path, json={"state": "UploadComplete"})
    except UpstreamError as error:
        if error.status is not None and error.status < 500:
            raise
        found: Any = await sf.get(path)
        if found["state"] not in STARTED:
            raise


async def ended(sf: Salesforce, job: str) -> Mapping[str, Any]:
    """Wait until a job has ended."""
    wait = FIRST_WAIT
    while True:
        state: dict[str, Any] = await sf.get(sf.data("jobs", "ingest", job))
        if state["state"] in ENDED:
            return state
        await asyncio.sleep(wait)
        wait = min(wait * 1.5, LONGEST_WAIT)


async def outcome(sf: Salesforce, job: str, state: Mapping[str, Any]) -> BulkResult:
    """Return the outcome of each row."""
    saved = await rows(sf, job, "successfulResults")
    refused = await rows(sf, job, "failedResults")
    whole = state["state"] == "JobComplete"
    left = [] if whole else await rows(sf, job, "unprocessedrecords")
    if not saved and not refused and not whole:
        raise UpstreamError(
            f"the Salesforce bulk job {job} ended as {state['state']}: "
            f"{state.get('errorMessage') or 'no reason was given'}",
            retryable=False,
        )
    return BulkResult(
        id=job,
        state=state["state"],
        saved=[Saved(id=each["sf__Id"], created=each["sf__Created"] == "true") for each in saved],
        refused=[Refused(error=each["sf__Error"], row=own(each)) for each in refused],
        unprocessed=len(left),
    )


async def rows(sf: Salesforce, job: str, kind: str) -> list[dict[str, str]]:
    """One of the tables that a job ends with."""
    response = await sf.request("GET", sf.data("jobs", "ingest", job, kind))
    text = response.body.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def own(row: Mapping[str, str]) -> dict[str, str]:
    """A row as it was sent, without what Salesforce adds."""
    pairs: Iterable[tuple[str, str]] = row.items()
    return {name: value for name, value in pairs if not name.startswith("sf__")}
