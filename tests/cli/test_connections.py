"""Connections as the command line shows them."""

from __future__ import annotations

from typing import Any

from halflap.api.view import ConnectionView
from halflap.cli.connections import condition
from halflap.cli.output import text
from halflap.cli.record import clock
from tests.cases import for_each

SINCE, PROBE = "2026-03-01T10:00:00Z", "2026-03-01T12:00:00Z"


@for_each(
    ("found", "told"),
    [
        ({}, "working"),
        ({"status": "untested"}, "not tested"),
        ({"away": True}, f"away since {clock(SINCE)}, next probe {clock(PROBE)}"),
        ({"away": True, "rests_until": None}, f"away since {clock(SINCE)}, next probe under way"),
    ],
)
def test_an_app_that_is_away_is_told_before_the_status(found: dict[str, Any], told: str) -> None:
    row = {"status": "working", "away": False, "away_since": SINCE, "rests_until": PROBE, **found}
    assert text(condition(ConnectionView.model_construct(**row))).plain == told
