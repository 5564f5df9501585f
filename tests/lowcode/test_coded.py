"""`code` steps in a flow: recorded, with their actions as steps of their own."""

from __future__ import annotations

import pytest

from halflap.errors import DefinitionError
from halflap.testing import Run
from tests.cases import for_each
from tests.lowcode.documents import acme, of_steps
from tests.lowcode.test_steps import answer, tried

ALONE = """
- id: total
  title: Add it up
  with: {lines: =event.lines}
  code: |
    print("lines", len(lines))
    total = 0
    for line in lines:
        total += line["n"]
    return total
- stop: {answer: =total}
"""


async def test_code_is_one_recorded_step_whose_lines_are_logged(run: Run) -> None:
    result = await tried(run, ALONE, {"lines": [{"n": 2}, {"n": 40}]})
    assert answer(result) == 42
    (step,) = result.steps
    assert (step.action, step.title, step.result) == ("code", "Add it up", 42)
    assert [(each.message, each.fields) for each in result.logs] == [("lines 2", {"line": 16})]


TOGETHER = """
- id: found
  with: {items: =event.items}
  code: |
    import asyncio

    calls = [acme.add_stock(item=item, quantity=1) for item in items]
    stocks = await asyncio.gather(*calls, acme.add_stock("hemp", 2))
    return [each["quantity"] for each in stocks]
- stop: {answer: =found}
"""


async def test_what_code_asks_for_at_once_are_steps_side_by_side(run: Run) -> None:
    stubs = {"add_stock": lambda item, quantity: acme.Stock(item=item, quantity=len(item))}
    result = await tried(run, TOGETHER, {"items": ["anvil"]}, stubs=stubs)
    assert answer(result) == [5, 4]
    paths = ["gather[0]/acme.add_stock", "gather[1]/acme.add_stock", "code"]
    assert [each.path for each in result.steps] == paths


async def test_code_that_fails_says_its_line_and_can_be_caught_or_ignored(run: Run) -> None:
    steps = "- code: |\n    x = 1\n    return x / 0\n"
    result = await tried(run, steps)
    assert result.state == "failed"
    assert "tried.yaml:14" in result.reason
    assert "ZeroDivisionError" in result.reason
    caught = "- try:\n    - code: |\n        return 1 / 0\n  catch:\n    - stop: {answer: caught}\n"
    assert answer(await tried(run, caught)) == "caught"
    ignored = "- id: x\n  code: |\n    return 1 / 0\n  on_failure: ignore\n- stop: {answer: =x}\n"
    assert answer(await tried(run, ignored)) is None


@for_each(
    ("code", "where", "said"),
    [
        ("import os", "13:11", "no files"),
        ("await acme.find_acount(external_id='1')", "13:", "did you mean acme.find_account?"),
        ("await acne.find(1)", "13:", "there is no component 'acne'"),
        ("x +", "13:", ""),
    ],
)
def test_code_that_cannot_run_is_refused_at_its_place(code: str, where: str, said: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        of_steps(f"- code: |\n    {code}\n")
    assert str(raised.value).startswith(f"tried.yaml:{where}")
    assert said in str(raised.value)


@pytest.mark.parametrize("quote", ["", '"', "'"])
async def test_an_error_in_code_names_its_column_however_it_is_written(
    run: Run, quote: str
) -> None:
    step = f"- {{code: {quote}return 1 / zero{quote}, with: {{zero: 0}}}}"
    result = await tried(run, step, {})
    column = 6 + step.index("1 / zero") + 1  # of the division, in a document's steps
    assert f":{column}: ZeroDivisionError" in result.reason
