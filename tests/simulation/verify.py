"""The conditions that must hold once all is done."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection

from halflap.engine.probation import SET_ASIDE
from halflap.model import Outcome
from tests.simulation.flows import INSTANCE, expected
from tests.simulation.plan import Delivery, Plan
from tests.simulation.trace import Violation
from tests.simulation.truth import Known, Truth


def verify(
    plan: Plan, truth: Truth, store: sqlite3.Connection, acknowledged: Collection[Delivery]
) -> None:
    """Raise what promise was broken."""
    rows = {row[0]: row[1:] for row in store.execute("SELECT id, state, result FROM executions")}
    if rows.keys() != truth.executions.keys():
        raise Violation("nothing accepted is lost", f"{rows.keys() ^ truth.executions.keys()}")
    for name, known in truth.executions.items():
        outcome = known.outcome
        assert outcome is not None
        if (outcome.state, outcome.result) != rows[name]:
            raise Violation("one outcome each", f"{name}: {outcome.state}, stored {rows[name]}")
        if not is_right(known, outcome):
            raise Violation("each comes to what it should", f"{name}: {outcome}")
    for delivery in plan.deliveries:
        for event in delivery.events:
            ids = truth.started_by(delivery.flow, event)
            if delivery in acknowledged and not ids:
                raise Violation("nothing accepted is lost", f"{delivery.id} {event}")
            # What was cancelled before it began may be delivered again.
            counted = [id for id in ids if not was_freed(truth.executions[id])]
            if len(counted) > 1:
                raise Violation("a delivery is one execution", f"{delivery.id}: {ids}")
    verify_state(truth, store)


def was_freed(known: Known) -> bool:
    """Return whether somebody cancelled an execution before it began."""
    return known.attempt == 0 and known.cancelled


def is_right(known: Known, outcome: Outcome) -> bool:
    """Return whether an execution came to what it should."""
    wanted = expected(known.start.flow.flow, known.start.event.body)
    match outcome.state:
        case "succeeded":
            found = json.loads(outcome.result or b"null")
            return (found["$reply"]["body"] if isinstance(found, dict) else found) == wanted
        case "cancelled":
            return known.cancelled
        case "ignored":
            return known.start.flow.flow == "single" and known.attempt == 0
        case "failed" if known.start.flow.flow == "poison":
            return outcome.reason == SET_ASIDE
        case "failed" if wanted is None and outcome.failure is not None:
            return outcome.failure.kind in ("UpstreamError", "StepFailed")
        case _:
            return False


def verify_state(truth: Truth, store: sqlite3.Connection) -> None:
    """The list has what was added to it, each once."""
    sql = "SELECT value FROM state WHERE scope = ? AND key = 'list'"
    row = store.execute(sql, (f"flow:{INSTANCE}:counter",)).fetchone()
    listed: list[str] = json.loads(row[0]) if row else []
    wrote = [
        json.loads(known.start.event.body)["id"]
        for known in truth.executions.values()
        if known.start.flow.flow == "counter"
        and any(
            each.path.startswith("state.put") and each.result == b"true"
            for each in known.records.values()
        )
    ]
    if sorted(listed) != sorted(wrote):
        raise Violation("state is written once, with its step", f"{listed} by {wrote}")
