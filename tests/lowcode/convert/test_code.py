"""A code step stays the sandbox's: its text becomes `code("…")`."""

from __future__ import annotations

import ast
import re
from textwrap import indent
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from halflap.lowcode.code.literal import cleaned, quoted
from halflap.lowcode.python import indented
from halflap.testing import Run
from tests.lowcode.convert.twins import imported, opened, python_of, seen
from tests.lowcode.documents import HEAD, acme

STEPS = r"""
- id: sum
  title: Take Stock
  code: |
    import re

    total = 0
    for stock in await acme.list_stock():
        if re.match(r"\w+$", stock["item"]):
            print(stock["item"])
            total += stock["quantity"] * factor

    return total
  with: {factor: =event.factor, class: 1}
- code: return await acme.find_account(external_id="1")
- id: odd
  code: "x = '''a \n\n \tb\\\\'''\nreturn x + \"\"\"c\"\"\"\n"
  on_failure: ignore
- stop: {answer: [=sum, =odd]}
"""
SANDBOXED = HEAD + indent(STEPS, " " * 6)


async def test_code_is_given_to_the_sandbox_as_it_stands(run: Run) -> None:
    python = python_of(SANDBOXED)
    assert 'title="Take Stock",\n    inputs=["factor", "class"],\n' in python
    stubs = {acme.list_stock: [acme.Stock(item="rope", quantity=2)], acme.find_account: None}
    found: list[Any] = []
    for integration in (opened(SANDBOXED).integration, imported(python)):
        flow, event = integration.flows["main"], {"factor": 3}
        result = await run(flow, event, integration=integration, stubs=stubs)
        assert result.result == [6, "a \n\n \tb\\c"]
        found.append(seen(result))
    assert found[0] == found[1]


@given(st.text(st.sampled_from(" \t\n\\\"'ax#\x00é\u2028"), max_size=20))
def test_a_text_over_several_lines_stays_the_same_between_its_quotes(text: str) -> None:
    body = cleaned(f"a{text}\nb")
    made = "\n".join(indented(quoted(body)))
    assert cleaned(ast.literal_eval(made.strip().rstrip(","))) == body
    assert not re.search(r"[ \t]$", made, re.MULTILINE)
