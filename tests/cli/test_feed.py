"""The feed of `halflap dev`: what it shows of an execution, and what it only counts."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from rich.console import Console

from halflap.cli.feed import MOST_LINES, Feed, ShownParts
from halflap.cli.screen import Screen
from halflap.model import Failure, Record

TOO_MANY = 2_000


def record(seq: int, failure: Failure | None = None) -> Record:
    status = "failed" if failure else "succeeded"
    return Record(
        seq=seq, path=str(seq), kind="action", name="acme.add", title=f"Add {seq}", status=status,
        started_at=seq, ended_at=seq, failure=failure,
    )  # fmt: skip


class Journal:
    """Only the steps of one execution."""

    def __init__(self) -> None:
        self.found: list[Record] = []

    async def steps(self, execution: str) -> list[Record]:
        return self.found

    async def logs(self, execution: str, after: int) -> list[Any]:
        return []


async def test_a_step_that_waits_is_shown_once_it_is_over() -> None:
    text = io.StringIO()
    journal = Journal()
    feed = Feed(cast(Any, journal), Screen(Console(file=text, width=200, highlight=False)))
    seen = ShownParts(0)
    waits = replace(record(1), kind="signal", title="Wait for approved", status="retrying")
    journal.found = [waits]
    await feed._steps("orders", "exe_1", seen)
    assert text.getvalue() == ""
    journal.found = [replace(waits, status="succeeded")]
    await feed._steps("orders", "exe_1", seen)
    assert text.getvalue().count("Wait for approved") == 1
    assert "retrying" not in text.getvalue()


async def test_no_replay_is_suggested_for_an_event_that_its_trigger_does_not_read() -> None:
    text = io.StringIO()
    screen = Screen(Console(file=text, width=200, highlight=False))
    screen.replayable("exe_1", "InvalidEvent")
    assert text.getvalue().endswith("halflap executions show exe_1\n")
    screen.replayable("exe_2", "StepFailed")
    assert text.getvalue().endswith("run it again: halflap executions replay exe_2\n")


async def test_thousands_of_steps_are_counted_and_what_failed_is_shown(tmp_path: Path) -> None:
    text = io.StringIO()
    journal = Journal()
    feed = Feed(cast(Any, journal), Screen(Console(file=text, width=200, highlight=False)))
    seen = ShownParts(0)
    journal.found = [record(seq) for seq in range(MOST_LINES - 1)]
    await feed._steps("orders", "exe_1", seen)
    assert text.getvalue().count("Add ") == MOST_LINES - 1

    failed = record(TOO_MANY, Failure("ValueError", "no ink"))
    journal.found += [*(record(seq) for seq in range(MOST_LINES - 1, TOO_MANY)), failed]
    await feed._steps("orders", "exe_1", seen)
    shown = text.getvalue()
    assert shown.count("Add ") == MOST_LINES + 1
    assert f"{TOO_MANY + 1 - MOST_LINES} more steps and lines" in shown
    assert "halflap executions show exe_1" in shown
    assert "no ink" in shown
