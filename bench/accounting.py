"""Lost and doubled, event by event: what was acknowledged against what is stored and arrived.

An execution counts as acknowledged where an answer of 2xx named it. From its id, the store says
which event it holds; from the event's id, the workload says what the destination must have seen.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.workload import Workload

LIVE = "SELECT count(*) FROM executions WHERE state IN ('queued', 'running', 'waiting')"
_EVENT_ID = re.compile(rb'"id":"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store holds: execution → event for each that succeeded, and figures of all."""

    events: Mapping[str, str]
    executions: int
    seconds: float
    event_bytes: int
    steps: int


@dataclass(frozen=True, slots=True)
class Account:
    """lost: acknowledged, and not wholly arrived. doubled: arrivals beyond the first of their id.

    unknown: ids that arrived although the store has no event for them.
    """

    lost: int
    doubled: int
    unknown: int


def account(
    workload: Workload, acknowledged: Iterable[str], stored: Stored, arrived: Mapping[str, int]
) -> Account:
    """Compare what was acknowledged with what is stored and what arrived."""
    lost = 0
    for execution in acknowledged:
        event = stored.events.get(execution)
        if event is None or not all(arrived.get(each) for each in workload.due(event)):
            lost += 1
    known = {each for event in stored.events.values() for each in workload.due(event)}
    return Account(
        lost,
        sum(count - 1 for count in arrived.values() if count > 1),
        len(arrived.keys() - known),
    )


def live(file: Path) -> int:
    """How many executions have not ended."""
    with closing(_open(file)) as connection:
        return int(connection.execute(LIVE).fetchone()[0])


def used_bytes(file: Path) -> int:
    """Bytes of the pages that the store uses, its log merged in."""
    with closing(_open(file)) as connection:
        pages, free, size = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * size


def read(file: Path, flow: str, after: int = 0) -> Stored:
    """What the store holds of a flow, of executions accepted after a time (microseconds)."""
    with closing(_open(file)) as connection:
        which = "FROM executions x WHERE x.flow = ? AND x.accepted_at >= ?"
        count, first, last = connection.execute(
            f"SELECT count(*), min(accepted_at), max(ended_at) {which}", (flow, after)
        ).fetchone()
        rows = connection.execute(
            f"SELECT x.id, (SELECT substr(body, 1, 100) FROM events WHERE execution = x.id) {which}"
            " AND x.state = 'succeeded'",
            (flow, after),
        ).fetchall()
        size = connection.execute("SELECT sum(length(body) + length(headers)) FROM events")
        steps = connection.execute("SELECT count(*) FROM steps")
        return Stored(
            {execution: _id_of(body) for execution, body in rows},
            count,
            ((last or 0) - (first or 0)) / 1e6,
            int(size.fetchone()[0] or 0),
            int(steps.fetchone()[0]),
        )


def _id_of(body: bytes | None) -> str:
    found = _EVENT_ID.search(body or b"")
    return found[1].decode() if found else ""


def _open(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
    connection.execute("PRAGMA query_only = ON")
    return connection
