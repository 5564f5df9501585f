"""A document's tests, as tests of pytest, hold and fail for its Python where its own do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halflap.errors import DefinitionError, HalflapError
from halflap.lowcode import Components, read
from halflap.lowcode.convert import to_pytest
from halflap.testing import Run
from halflap.testing.document import DocumentWithTests, run_test
from tests.lowcode.convert.test_to_python import DOCS, DOCUMENTS
from tests.lowcode.convert.twins import documents_of, imported, loaded, opened, python_of
from tests.lowcode.documents import EXAMPLES, own
from tests.lowcode.test_document_presets import TEXT

ALL = DOCUMENTS | {"presets": TEXT}
Failed = (AssertionError, KeyError, HalflapError)


def suite_of(text: str, folder: str = ".") -> str:
    """A document's tests as Python."""
    return to_pytest(read(text, "tried.yaml"), Components(own), "converted", folder=folder)


def functions_of(suite: str, python: str, folder: Path) -> list[Callable[[Run], Any]]:
    """The test functions of a suite, for a module."""
    made = loaded(suite, converted=loaded(python))
    made.__file__ = str(folder / "test_converted.py")
    return [each for name, each in vars(made).items() if name.startswith("test_")]


async def failing(suite: str, python: str, folder: Path) -> list[int]:
    """Return the numbers of the tests of a suite that fail for a module."""
    found: list[int] = []
    for at, function in enumerate(functions_of(suite, python, folder)):
        try:
            await function(Run())
        except Failed:
            found.append(at)
    return found


async def failing_in(document: DocumentWithTests) -> list[int]:
    """Return the numbers of a document's own tests that fail."""
    found: list[int] = []
    for at in range(len(document.document.tests)):
        try:
            await run_test(document, at)
        except Failed:
            found.append(at)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "order.xml").write_text("<order/>")
    return tmp_path


@pytest.mark.parametrize("name", ALL)
async def test_they_pass_for_the_documents_python(name: str, folder: Path) -> None:
    suite, python = suite_of(ALL[name]), python_of(ALL[name])
    count = len(opened(ALL[name]).document.tests)
    assert len(functions_of(suite, python, folder)) == count
    assert await failing(suite, python, folder) == []


PLANTED = {
    "another branch": ("convert-0", 'event.stage == "Closed"', 'event.stage != "Closed"'),
    "another input": ("warehouse.yaml", 'at(update, "quantity")', "1"),
    "another object": ("salesforce_acme.yaml", 'object="Account",', 'object="Lead",'),
    "another answer": ("presets", '"id": expr.maybe("event.id"', '"ids": expr.maybe("event.id"'),
    "another reason": ("warehouse.yaml", "neither adds nor removes", "is unknown"),
    "another filter": ("presets", '!= "ping" and', '!= "order" and'),
    "another secret": ("presets", "secret=ctx.secret(raw)", "secret=ctx.secret(hooked)"),
    "another state": ("presets", 'ctx.state.integration.put("total"', 'ctx.state.put("total"'),
    "another log": ("presets", "For ", "To "),
    "another reply": ("testing-2", "Reply(422", "Reply(423"),
    "another route": ("testing-3", "config={", "customer={"),
    "an ignored failure": ("steps-0", '"status") == 404', '"status") == 405'),
}
"""Faults: the document, what its Python says, and what it is made to say."""


@pytest.mark.parametrize("fault", PLANTED)
async def test_a_fault_is_found_by_those_that_find_it_in_the_document(
    fault: str, folder: Path
) -> None:
    name, before, after = PLANTED[fault]
    python = python_of(ALL[name])
    assert before in python, python
    wrong = python.replace(before, after, 1)
    twin = replace(opened(ALL[name]), integration=imported(wrong), folder=folder)
    found = await failing_in(twin)
    assert found, "the document's own tests find nothing"
    assert await failing(suite_of(ALL[name]), wrong, folder) == found


REMARKED = """\
name: remarked
config:
  Connect:
    acme: {connection: acme}
    second: {connection: acme}
pairs:
  one: {sides: {acme: account, second: contact}}
flows:
  main:
    trigger: webhook.request
    steps:
      - {id: go, wait: go}
      - {id: went, wait: go}
      - {call: other, event: {a-b: "=go", class: =went}}
      - {action: acme.list_stock, connection: acme}
      - stop: {answer: true}
  other: {trigger: webhook.request, steps: [stop: true]}
tests:
  # Everybody's
  # favourite.
  - name: "It's 5 % – naïve, and far too long a name for any function that people read in a terminal"
    flow: main # the main one
    event: 'say "so"'
    headers: {content-type: text/plain}
    config: {acme: {api_key: t}}
    now: 2026-03-01T12:00:30.5+01:00
    customer: {external_id: "7"}
    instance: {name: Stock}
    paired: {one: [{acme: a1, second: c1}]}
    current: {acme/account/a1: null}
    secrets: {main: s}
    signals: {go: {$sequence: [1, 2.50]}}
    stubs:
      other: {$error: it's gone, status: 404}
      acme.list_stock: [{item: rope, quantity: 1}]
    expect: [other: {a-b: 1, class: 2.50}]
    outcome: failed
    reason: it's gone
    after: {paired: {one: [{acme: a1, second: c1}]}}
  - {name: it's, flow: other}
  - {name: "its", flow: other, answer: null, after: {state: {done: null}}}
"""
NAMES = [
    "test_its_5_naive_and_far_too_long_a_name_for_any_function_that",
    "test_its",
    "test_its_2",
]


async def test_names_remarks_and_values_of_any_kind_are_written(folder: Path) -> None:
    suite, python = suite_of(REMARKED), python_of(REMARKED)
    assert suite.count("# Everybody's\n# favourite.\n# the main one\n# It's 5 % – naïve, and") == 1
    assert [each.__name__ for each in functions_of(suite, python, folder)] == NAMES
    assert await failing(suite, python, folder) == []
    assert await failing_in(opened(REMARKED)) == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("flow: other}", "flow: others}", r":\d+:\d+: there is no flow 'others'"),
        ("acme.list_stock: [", "acme.list: [", "21:5: acme has no action 'list'"),
        ("paired: {one: [", "paired: {two: [", "there are no pairs 'two'"),
    ],
)
def test_what_names_nothing_is_said_at_its_place(before: str, after: str, said: str) -> None:
    assert before in REMARKED
    with pytest.raises(DefinitionError, match=said):
        suite_of(REMARKED.replace(before, after, 1))


def test_they_are_formatted_and_clean(tmp_path: Path) -> None:
    for name, text in (ALL | {"remarked": REMARKED}).items():
        module = name.partition(".")[0].replace("-", "_")
        (tmp_path / f"test_{module}.py").write_text(suite_of(text), "utf-8")
    config = ["--config", str(EXAMPLES.parent / "pyproject.toml"), "--no-cache"]
    config += ["--config", f"src = ['{EXAMPLES.parent}']"]
    for command in (["format", "--diff"], ["check", "--extend-ignore", "S106"]):
        told = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *config, str(tmp_path)],
            text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert told.returncode == 0, told.stdout + told.stderr


def test_the_page_shows_what_its_tests_become() -> None:
    page = (DOCS / "convert.md").read_text("utf-8")
    shown = page.split("```python\n")[2].partition("```")[0]
    suite = to_pytest(
        read(documents_of(DOCS / "convert.md")[0], "renewals.yaml"), Components(own), "renewals"
    )
    assert shown == suite
