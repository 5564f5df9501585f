"""`code("…")`: a code step in a Python flow, which is that of YAML."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from textwrap import indent
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from pydantic import Field

from halflap import (
    UNSET,
    Config,
    Context,
    Integration,
    Json,
    Model,
    UpstreamError,
    code,
    step,
    webhook,
)
from halflap.errors import DefinitionError
from halflap.lowcode.code_step import CodeStep
from halflap.testing import Run
from tests.cases import for_each
from tests.lowcode.convert.twins import seen
from tests.lowcode.documents import acme, of_steps

HERE = "test_code_step.py"


class Settings(Config):
    acme: acme.Acme


def line_of(text: str) -> int:
    """The line of this file that begins so."""
    lines = Path(__file__).read_text("utf-8").splitlines()
    return next(at for at, each in enumerate(lines, 1) if each.startswith(text))


integration = Integration("coded", config=Settings)
made: CodeStep
give: dict[str, Any] = {}
"""Values that are given to the step instead of those of the event."""
ACTIONS = [acme.add_stock, acme.list_stock, acme.find_account]


@integration.flow(trigger=webhook.request(answer="result"))
async def main(ctx: Context[Settings], event: Json) -> Json:
    """Run what the test has made."""
    return await made(ctx, **{name: give.pop(name, event[name]) for name in event})


async def ran(run: Run, one: CodeStep, event: Any = None, **options: Any) -> Any:
    """Run the flow with a code step, and return its result."""
    global made
    made = one
    return await run(main, event or {}, **options)


TEXTS = [
    "return items",
    "print('items', len(items))\nprint(items)\nreturn {'first': items[0], 'both': (1, 2)}",
    "stocks = await acme.list_stock()\nprint(len(stocks))\nreturn [each['item'] for each in stocks]",
    "found = []\nfor item in items:\n    stock = await acme.add_stock(item=item, quantity=1)\n"
    "    found.append(stock['quantity'])\nreturn found",
    "import asyncio\nreturn await asyncio.gather(acme.add_stock('a', 1), acme.list_stock())",
    "try:\n    return await acme.find_account(external_id=items[0])\n"
    "except RuntimeError as error:\n    print('no:', error)\n    return None",
    "return await acme.find_account(external_id=items[0])",
    "await acme.add_stock(item=items[0])\nreturn 1",
    "x = '''over\n  several\n\nlines'''\nreturn x + items[0]",
    "return items['a']",
    "raise ValueError('no such item')",
    "return {1: 2}",
    "while True:\n    pass",
    "return len(items) / 0",
]


async def no_account(external_id: str) -> Any:
    """There is none."""
    raise UpstreamError(f"no such account: {external_id}", status=404)


STUBS = {
    acme.add_stock: lambda item, quantity: acme.Stock(item=item, quantity=len(item)),
    acme.list_stock: [acme.Stock(item="rope", quantity=1)],
    acme.find_account: no_account,
}


@for_each("text", TEXTS)
async def test_it_does_and_records_what_a_step_of_yaml_does(run: Run, text: str) -> None:
    event = {"items": ["rope", "anvil"]}
    document = of_steps(
        "- id: x\n  title: Look\n  with: {items: =event.items}\n  code: |\n"
        f"{indent(text, '    ')}\n- stop: {{answer: =x}}"
    )
    one = await run(document.flows["main"], event, integration=document, stubs=STUBS)
    look = code(text, title="Look", inputs=["items"], actions=ACTIONS)
    other = await ran(run, look, event, stubs=STUBS)
    assert seen(one) == seen(other)


async def test_actions_that_code_calls_are_tried_again_and_come_once(run: Run) -> None:
    buy = code(
        """
        first = await acme.add_stock(item="rope", quantity=1)
        second = await acme.add_stock(item="anvil", quantity=1)
        return [first["quantity"], second["quantity"]]
        """,
        actions=[acme.add_stock],
    )
    down = UpstreamError("down", status=503)
    result = await ran(run, buy, stubs=STUBS, fail={acme.add_stock: [down]})
    assert result.result == [4, 5]
    assert result.attempts == 2
    assert result.runs["acme.add_stock"] == 3


async def test_an_action_keeps_the_title_that_it_is_given(run: Run) -> None:
    look = code("return await acme.list_stock()", actions=[acme.list_stock.titled("Take stock")])
    result = await ran(run, look, stubs=STUBS)
    assert [each.title for each in result.steps] == ["Take stock", "Code"]


class Line(Model):
    """A line of an order, by the app's own names."""

    count: Annotated[int, Field(alias="Count")]
    price: Decimal


async def test_it_is_given_values_as_json(run: Run) -> None:
    price = Decimal("1.10")
    look = code("return [line, due, left]", inputs=["line", "due", "left"])
    event = {"line": Line(Count=2, price=price), "due": date(2026, 1, 2), "left": UNSET}
    give.update(event)
    result = await ran(run, look, dict.fromkeys(event))
    assert result.result == [{"Count": 2, "price": price}, "2026-01-02", None]


add_up = code(
    """

    total = 0
    for line in lines:
        total += line["count"]
        print("so far", total)
    return total
    """,
    title="Add up",
    inputs=["lines"],
)
ADDS = line_of("add_up = ") + 3
"""The line of its `total = 0`."""
divide = code("return 1 / n", inputs=["n"])
escaped = code("x = 1\nreturn x / n\n", inputs=["n"])


async def test_what_fails_and_what_is_printed_have_the_lines_of_the_source(run: Run) -> None:
    result = await ran(run, add_up, {"lines": [{"count": 2}, {}]})
    where = f"{HERE}:{ADDS + 2}:18"
    assert result.reason == f"Add up (code) failed: {where}: KeyError: 'count'"
    assert [each.fields for each in result.logs] == [{"line": ADDS + 3}]
    result = await ran(run, divide, {"n": 0})
    assert f"{HERE}:{line_of('divide = ')}:23: Zero" in result.reason


@pytest.mark.parametrize("one", [escaped, code("\n".join(["x = 1", "return x / n"]), inputs=["n"])])
async def test_of_another_text_they_have_its_own_lines(run: Run, one: CodeStep) -> None:
    result = await ran(run, one, {"n": 0})
    assert "<code>:2:8: ZeroDivisionError" in result.reason


@for_each(
    ("text", "said"),
    [
        ("\n    x = 1\n      y = 2", "<code>:3:6: not Python: unexpected indent"),
        ("return itms", "<code>:1:8: `itms` is not known; did you mean `items`?"),
        ("import os", "<code>:1:1: `os` is not here"),
        ("await acme.create_account(1)", "<code>:1:7: this code may not call acme.create_account: "
         "of actions, it is given acme.add_stock, acme.find_account, acme.list_stock"),
        ("await github.list_issues()", "<code>:1:7: this code may not call github.list_issues"),
    ],
)  # fmt: skip
def test_a_text_that_cannot_run_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        code(str(text), inputs=["items"], actions=ACTIONS)
    assert str(raised.value).startswith(said)


@step
async def local() -> int:
    """No action of a component."""
    return 1


def test_it_calls_actions_of_components_only() -> None:
    with pytest.raises(DefinitionError, match="local is a step"):
        code("return 1", actions=[local])


class Several(Config):
    one: acme.Acme
    two: acme.Acme


class Neither(Config):
    limit: int = 1


@pytest.mark.parametrize(("config", "has"), [(Several, "one and two"), (Neither, "none")])
async def test_it_needs_the_configs_one_connection(config: type[Config], has: str) -> None:
    look = code("return await acme.list_stock()", actions=[acme.list_stock])
    ctx: Any = SimpleNamespace(config=config.model_construct())
    with pytest.raises(DefinitionError, match=f"{config.__name__} has {has}$"):
        await look(ctx)


@pytest.mark.parametrize(
    ("inputs", "said"), [({}, "no value for a, b"), ({"a": 1, "b": 1, "c": 1}, "takes no c")]
)
async def test_it_takes_the_inputs_that_it_names(inputs: dict[str, Any], said: str) -> None:
    ctx: Any = SimpleNamespace(config=None)
    with pytest.raises(TypeError, match=said):
        await code("return a + b", inputs=["a", "b"])(ctx, **inputs)


def test_halflap_alone_does_not_load_it() -> None:
    told = "import halflap, sys; print('halflap.lowcode' in sys.modules); halflap.code"
    done = subprocess.run([sys.executable, "-c", told], text=True, capture_output=True, check=True)
    assert done.stdout == "False\n"
