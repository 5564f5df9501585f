"""What a document is converted to is Python as it would be written, and does the same."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from halflap.lowcode.convert import NotConvertible
from halflap.testing import Run, document
from tests.lowcode.convert.test_code import SANDBOXED
from tests.lowcode.convert.twins import documents_of, imported, opened, python_of, seen
from tests.lowcode.documents import EXAMPLES, HEAD

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
    shown = page.split("```python\n")[1].partition("```")[0]
    assert shown == python_of(documents_of(DOCS / "convert.md")[0])


def test_it_is_formatted_and_clean(tmp_path: Path) -> None:
    for name, text in (
        DOCUMENTS | {"remarked": REMARKED, "coded": CODED, "sandboxed": SANDBOXED}
    ).items():
        module = name.partition(".")[0].replace("-", "_")
        (tmp_path / f"{module}.py").write_text(python_of(text), "utf-8")
    config = ["--config", str(EXAMPLES.parent / "pyproject.toml"), "--no-cache"]
    config += ["--config", f"src = ['{EXAMPLES.parent}']"]
    for command in (["format", "--diff"], ["check"]):
        told = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *config, str(tmp_path)],
            text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert told.returncode == 0, told.stdout + told.stderr


SET_INSIDE = """\
- id: found
  for: x
  in: [1, 2]
  parallel: 2
  where: =y = null
  do:
    - set: {y: =x * 2}
  collect: =y
- stop: {answer: =found}
"""


async def test_what_only_the_loop_sets_is_null_before(run: Run) -> None:
    text = HEAD + indent(SET_INSIDE, " " * 6)
    for integration in (opened(text).integration, imported(python_of(text))):
        result = await run(integration.flows["main"], {}, integration=integration)
        assert result.result == [2, 4], result.reason


REMARKED = """\
# Who gets what.
name: remarked
flows:
  # Goods.
  order:
    trigger: webhook.request # of the shop
    order: {rule: fifo, by_key: /id} # one after another
    steps:
      # Tell them.
      - log: "hello # not a remark" # a greeting
        # in two lines
        level: warning
      - if: =event.a = null
        then: # nothing
          - note: It is empty.
            stop: true
        else:
          # something
          - title: 'The "loop"'
            for: line
            in: =event.lines
            parallel: 3
            where: =line.count > 0
            do:
              - log: =$string(line.count)
"""
IN_PYTHON = """\
# Goods.
# of the shop
# one after another
@integration.flow(trigger=webhook.request, order=fifo(by_key=pointer("/id")))
async def order(ctx: Context[Config], event: Json) -> None:
    # Tell them.
    # a greeting
    # in two lines
    ctx.log.warning("hello # not a remark")
    # nothing
    if at(event, "a") is None:
        # It is empty.
        return
    # something

    async def do_line(line: Json) -> None:  # The "loop"
        ctx.log.info(expr.text("$string(line.count)", line=line))

    await ctx.gather(
        [
            line
            for line in expr.items("event.lines", event=event)
            if expr.truth("line.count > 0", line=line)
        ],
        do_line,
        limit=3,
    )
"""


def test_comments_notes_and_titles_stay_in_their_places() -> None:
    python = python_of(REMARKED)
    assert python.startswith('# Who gets what.\n"""Remarked."""\n')
    assert python.endswith(IN_PYTHON)


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
        for each in ("title", "description", "keep", "timeout", "max_age", "side", "is_shared"):
            assert getattr(twin, each) == getattr(flow, each), each
        assert repr(twin.trigger) == repr(flow.trigger)
        assert str(twin.order) == str(flow.order)


CODED = """\
name: coded
flows:
  totals:
    trigger: webhook.request
    steps:
      - id: totals
        title: Add Up the Lines
        code: |
          from decimal import Decimal

          total = Decimal(0)
          for line in order["lines"]:
              total += line["count"] * line["price"]
          return {"total": total, "both": (1, 2), "free": total >= 100}
        with: {order: =event.order}
      - id: none
        code: return 1 / zero
        with: {zero: 0}
        on_failure: ignore
      - stop: {answer: {totals: =totals, none: =none, total: =totals.total}}
"""


@pytest.mark.parametrize("order", [{"lines": [{"count": 3, "price": Decimal("9.99")}]}, {}, None])
async def test_a_code_step_is_a_function_that_is_a_step(run: Run, order: Any) -> None:
    found: list[Any] = []
    for integration in (opened(CODED).integration, imported(python_of(CODED))):
        result = await run(integration.flows["totals"], {"order": order}, integration=integration)
        steps = [(each.title, each.status, each.result) for each in result.steps]
        found.append((result.state, result.result, steps))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("- log: =$string($)", "12:14: this expression reads everything"),
    ],
)
def test_what_has_no_python_is_refused_at_its_place(steps: str, said: str) -> None:
    with pytest.raises(NotConvertible) as error:
        python_of(HEAD + indent(steps, " " * 6))
    assert str(error.value).startswith(f"tried.yaml:{said}")
