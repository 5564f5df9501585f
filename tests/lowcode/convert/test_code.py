"""A code step becomes a function where Python does the same, and is given to the sandbox elsewhere."""

from __future__ import annotations

import ast
import re
from textwrap import indent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halflap.lowcode.code.literal import cleaned
from halflap.lowcode.convert.to_python.code import literal
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
WRITTEN = r'''
take_stock = code(
    r"""
    import re

    total = 0
    for stock in await acme.list_stock():
        if re.match(r"\w+$", stock["item"]):
            print(stock["item"])
            total += stock["quantity"] * factor

    return total
    """,
    title="Take Stock",
    inputs=["factor", "class"],
    actions=[acme.list_stock],
)


main_code = code('return await acme.find_account(external_id="1")', actions=[acme.find_account])


odd_code = code(
    QUOTES
    x = \'\'\'a\x20

     \tb\\\\\'\'\'
    return x + """c"""
    QUOTES,
)
'''.replace("QUOTES", "'''")
CALLED = """
    sum_ = await take_stock(ctx, **{"factor": at(event, "factor"), "class": 1})
    await main_code(ctx)
"""


async def test_code_is_given_to_the_sandbox_as_it_stands(run: Run) -> None:
    python = python_of(SANDBOXED)
    assert WRITTEN in python
    assert CALLED in python
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
    made = "\n".join(literal(body))
    assert cleaned(ast.literal_eval(made.strip())) == body
    assert not re.search(r"[ \t]$", made, re.MULTILINE)


PLAIN = [
    "return order",
    "found = []\nfor each in order:\n    found.append(each['a'] * 2)\nreturn found",
    "total = 0\nfor at, each in enumerate(order):\n    total += each\nreturn {'n': total}",
    "if order is None:\n    raise ValueError(f'no {order}')\nreturn sorted(x for x in order if x)",
    "from decimal import Decimal\nreturn Decimal('1.10') * order",
    "return ','.join(str(x) for x in order.values())",
]
OTHERS = {
    "an input is changed": "order.append(1)\nreturn order",
    "an input is changed, and then another": "order.append(1)\norder = []\nreturn order",
    "an input is changed by another name": "every = order\nevery += [1]\nreturn every",
    "a list would hold itself": "found = []\nfound.append([found])\nreturn str(found)",
    "no end": "found = [1]\nfor each in found:\n    found.append(each)\nreturn found",
    "what is added may be a list": "n = 2\nn *= order\nreturn n",
    "a key is no text": "return {order: 1}",
    "a float": "return order * 1.5",
    "a quotient": "return order / 2",
    "letters are told apart": "return order.upper()",
    "no value in some cases": "if order:\n    x = 1\nreturn x",
    "more is made than is asked for": "return any(x['a'] for x in order)",
    "the name or its argument may fail": "return order.get(order[0])",
    "too deep": f"return {'-' * 2_000}order",
    "a slice": "return order[1:]",
    "a module": "import re\nreturn re.sub('a', 'b', order)",
    "a function": "def f(x):\n    return x\nreturn f(order)",
    "an error is caught": "try:\n    return order[0]\nexcept KeyError:\n    return 1",
    "a name means something else": "sum = order\nreturn sum",
    "a text over several lines": "return '''a\n  b'''",
    "printed": "print(order)\nreturn 1",
    "an action": "return await acme.list_stock()",
}


def coded(text: str) -> str:
    """A document with a step of code, which has an input."""
    step = f"- with: {{order: =event}}\n  code: |\n{indent(text, '    ')}\n"
    return HEAD + indent(step, " " * 6)


@pytest.mark.parametrize("text", PLAIN)
def test_code_that_does_the_same_in_python_is_a_function(text: str) -> None:
    assert "\n@step(" in python_of(coded(text))


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_all_other_code_stays_the_sandboxs(text: str) -> None:
    assert "\nmain_code = code(" in python_of(coded(text))


@pytest.mark.parametrize(
    "steps",
    [
        "- {code: return x, with: {x: 1}, on_failure: ignore}",
        "- {try: [{if: =event.a, then: [{code: return x, with: {x: 1}}]}], catch: []}",
        "- {for: i, in: [1], do: [{code: return x, with: {x: 1}}], on_failure: continue}",
        "- {code: return x, with: {x: 1}}\n- {if: =event.a, then: [{call: main}]}",
    ],
)
def test_and_so_does_code_whose_failure_the_flow_sees(steps: str) -> None:
    assert '\nmain_code = code("return x", inputs=["x"])' in python_of(
        HEAD + indent(steps, " " * 6)
    )


def test_and_code_where_a_flow_has_the_name_of_what_it_calls() -> None:
    more = "\n  sum:\n    trigger: webhook.request\n    steps: [{stop: true}]\n"
    text = coded("return sum(order)")
    assert "\n@step(" in python_of(text)
    assert "\nmain_code = code(" in python_of(text + more)
