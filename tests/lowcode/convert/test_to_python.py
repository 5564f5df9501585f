"""What a document is converted to is Python as it would be written, and does the same."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from halflap.testing import document
from tests.lowcode.convert.twins import documents_of, imported, opened, python_of, seen
from tests.lowcode.documents import EXAMPLES

DOCS = Path(__file__).parents[3] / "docs" / "low-code"
EXAMPLE_DOCUMENTS = {each.name: each.read_text("utf-8") for each in sorted(EXAMPLES.glob("*.yaml"))}
DOCUMENTS = EXAMPLE_DOCUMENTS | {
    f"{page.stem}-{at}": each
    for page in sorted(DOCS.glob("*.md"))
    for at, each in enumerate(documents_of(page))
}
TESTS = [
    pytest.param(name, at, id=f"{name}-{at}")
    for name, text in DOCUMENTS.items()
    for at in range(len(opened(text).document.tests))
]


@pytest.mark.parametrize(("name", "at"), TESTS)
async def test_a_documents_tests_hold_for_its_python_and_all_is_equal(name: str, at: int) -> None:
    given = opened(DOCUMENTS[name])
    twin = replace(given, integration=imported(python_of(DOCUMENTS[name])))
    assert seen(await document.run_test(given, at)) == seen(await document.run_test(twin, at))


def test_the_page_shows_what_its_document_becomes() -> None:
    page = (DOCS / "convert.md").read_text("utf-8")
    (shown,) = [each.partition("```")[0] for each in page.split("```python\n")[1:]]
    assert shown == python_of(documents_of(DOCS / "convert.md")[0])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_it_is_formatted_and_clean(name: str) -> None:
    python = python_of(DOCUMENTS[name])
    for command in (["format", "--check"], ["check"]):
        told = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", "examples/x.py", "-"],
            input=python, text=True, capture_output=True, cwd=EXAMPLES.parent, check=False,
        )  # fmt: skip
        assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_customer_is_asked_the_same(name: str) -> None:
    given, made = opened(DOCUMENTS[name]).integration, imported(python_of(DOCUMENTS[name]))
    schemas = [each.config.model_json_schema() for each in (given, made)]
    for each in schemas:
        each.pop("title")
        each.pop("description", None)
    assert schemas[0] == schemas[1]
    assert (given.name, given.title, given.description) == (made.name, made.title, made.description)
    for name, flow in given.flows.items():
        twin = made.flows[name]
        for each in ("title", "description", "keep", "timeout", "max_age", "side", "preprocess"):
            assert getattr(twin, each) == getattr(flow, each), each
        assert repr(twin.trigger) == repr(flow.trigger)
        assert str(twin.order) == str(flow.order)
