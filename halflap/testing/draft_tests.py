"""Runs the tests of drafts, and makes tests of executions for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from halflap.errors import HalflapError
from halflap.lowcode import Draft
from halflap.testing.coverage import covered
from halflap.testing.document import (
    Differs,
    DocumentWithTests,
    open_document,
    run_test,
    warnings_of,
)
from halflap.testing.draft_run import DraftFolder, Given, Notify, folder_of
from halflap.testing.record import expect_run, make_test

PLACE = 3
"""The parts of `file:line:column: ` before what is said."""


async def run_tests(given: Given, notify: Notify) -> dict[str, Any]:
    """Run tests of a draft, all or those that are named, tell of each, and return what they ran of it."""
    with folder_of(given) as folder:
        opened = opens(given, folder)(given["text"].encode())
        wanted: list[str] | None = given["names"]
        for at, test in enumerate(opened.document.tests):
            if wanted is None or test.name in wanted:
                notify(await tested(opened, at))
        found = covered(opened.source, opened.coverage)
        missed = [{"path": e.path, "line": e.line, "message": e.missed} for e in found.missed]
        return {"coverage": found.percent, "missed": missed[:500]}


async def tested(opened: DocumentWithTests, at: int) -> dict[str, Any]:
    """Run a test; what differs has its place in the document."""
    test, began, said = opened.document.tests[at], perf_counter(), ""
    warned: list[str] = []
    try:
        warned = warnings_of(opened.source, at, await run_test(opened, at))
    except (Differs, AssertionError) as error:
        said = str(error)
    except HalflapError as error:
        where = getattr(error, "where", None)
        said = f"{where}: {error.message}" if where else error.message
    place, line, column = opened.source.place(("tests", at)), 0, 0
    begins, *parts = said.split(":", PLACE)
    if begins == opened.source.file and len(parts) == PLACE and parts[0].isdigit():
        line, column, said = int(parts[0]), int(parts[1]), parts[2].strip()
    return {
        "at": at,
        "name": test.name,
        "flow": test.flow,
        "passed": not said,
        "message": said,
        "warnings": [each.partition(": ")[2] for each in warned],
        "line": line or place.line,
        "column": column or place.column,
        "took_ms": round((perf_counter() - began) * 1_000, 3),
    }


async def recorded_test(given: Given) -> dict[str, Any]:
    """Return a draft's text with a test of an execution, which passes."""
    with folder_of(given) as folder:
        recorded = given["recorded"]
        made = await make_test(
            Draft.read(given["text"], given["file"]),
            opens(given, folder),
            recorded["detail"],
            config=recorded.get("config"),
            customer=recorded.get("customer"),
            name=given["name"],
        )
        return {"name": made.name, "left_out": made.left_out, "text": made.content.decode()}


async def expected_test(given: Given) -> dict[str, Any]:
    """Return a test with what it expects, by what happens in it in a draft."""
    with folder_of(given) as folder:
        draft = Draft.read(given["text"], given["file"])
        test, left_out = await expect_run(draft, opens(given, folder), given["test"])
        return {"test": test, "left_out": left_out}


def opens(given: Given, folder: DraftFolder) -> Callable[[bytes], DocumentWithTests]:
    """Return what opens a draft's text for its tests, beside what lies in its folder."""
    file, components = folder.path / Path(given["file"]).name, folder.components
    return lambda text: open_document(file, given["file"], content=text, components=components)
