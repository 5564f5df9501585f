"""Values that may be null, given to what takes no null: told where it can happen, past guards never."""

from __future__ import annotations

import asyncio
import re
from copy import deepcopy
from random import Random
from textwrap import indent
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from halflap import Component, ExpressionError, Model, expr, lowcode
from halflap.lowcode import Components
from halflap.lowcode import kinds as doc
from halflap.lowcode.expressions import Expression
from halflap.lowcode.lint import Shapes, lint_text
from halflap.lowcode.lint.conditions import holds
from halflap.lowcode.source import Path, value_at
from halflap.lowcode.template import is_expression
from halflap.testing import Run
from tests.cases import for_each
from tests.lowcode.convert.generated import events, written
from tests.lowcode.convert.test_equal import stubs
from tests.lowcode.convert.twins import opened
from tests.lowcode.documents import own
from tests.lowcode.test_results import Results

shop = Component("shop")


class Line(Model):
    sku: str
    note: str | None = None


class Order(Model):
    id: str
    kind: str | None = None
    line: Line | None = None
    lines: list[Line] = []


@shop.action
async def order(number: str, note: str = "", amount: int | None = None) -> Order | None:
    """Find an order."""


@shop.action
async def keep(given: Order) -> Order:
    """Keep an order."""
    return given


SHAPES = Shapes(Components(lambda name: shop if name == "shop" else own(name)))
HEAD = """\
name: tried
config:
  Options:
    code: {required: false}
flows:
  other:
    trigger: webhook.request
    with: {signature: github}
    steps:
      - if: =event.x
        then: [{stop: {answer: a}}]
  main:
    trigger: webhook.request
    with: {signature: github}
    steps:
      - log: =$string(config.code)
"""
O = "- {id: o, action: shop.order, with: {number: a}}\n"  # noqa: E741
K = "- {id: o, action: shop.keep, with: {given: {id: a}}}\n"
USE = "- {action: shop.order, with: {number: =o.id}}"


def told(steps: str) -> list[str]:
    text = HEAD + indent(steps, " " * 6) + "\n"
    found = lint_text(text, "tried.yaml", SHAPES)
    assert [each for each in found if each.severity == "error"] == [], found
    return [each.message for each in found if each.code == "HF120"]


def inside(steps: str, by: int = 4) -> str:
    return indent(steps, " " * by)


def under(condition: str, then: str = USE, otherwise: str = "- log: x") -> str:
    return f"{O}- if: '={condition}'\n  then:\n{inside(then)}\n  else:\n{inside(otherwise)}"


@for_each(
    ("steps", "said"),
    [
        (O + USE, "shop.order: the input number takes no null, and o may be null, which leaves nothing"),
        (O + "- {action: shop.order, with: {number: =o}}", ""),
        (O + "- log: =o.id", "`log` takes no null"),
        (O + "- throw: =o.id", "`throw` takes no null"),
        (O + "- {state: put, key: =o.id, value: 1}", "`key` takes no null"),
        (O + "- {action: shop.keep, with: {given: {id: =o.id}}}", "the input given.id takes no null"),
        (O + "- {action: shop.keep, with: {given: {id: a, lines: [{sku: =o.id}]}}}", "given.lines.0.sku"),
        (K + "- {action: shop.order, with: {number: a, note: =o.kind}}", "o.kind may be null: it may"),
        (K + "- {action: shop.order, with: {number: =o.line.sku}}", "o.line may be null, which leaves"),
        ("- {action: shop.order, with: {number: =config.code}}", "config.code may be null: it may"),
        ("- if: =event.x\n  then:\n" + inside(K) + USE, "its step is in a branch"),
        ("- switch: =event.x\n  cases:\n    a:\n" + inside(K, 6) + USE, "its step is in a branch"),
        (K.replace("}}}", "}}, on_failure: ignore}") + USE, "its step may fail, and that is ignored"),
        ("- try:\n" + inside(K) + "  catch: [{log: x}]\n" + USE, "its step is in a `try`"),
        ("- try:\n" + inside(K) + "  catch:\n" + inside(USE), "its step is in a `try`"),
        ("- {id: o, call: other}\n- log: =o", "the flow other may end without an answer"),
        ("- {id: o, wait: ask, timeout: 1h, on_timeout: continue}\n- log: =o", "nobody may answer"),
        ("- set: {o: null}\n- log: =o", "it is set to null"),
        (O + "- set: {x: =o.id}\n- log: =x", "it is set to what `o` gives"),
        ("- try: [{action: shop.order, with: {number: a}}]\n  catch: [{log: =error.step}]", "error.step"),
        (O + "- log: '=event.x ? \"a\" : o.id'", "o may be null"),
        (O + "- for: x\n  in: =event.xs\n  do:\n" + inside(USE), "o may be null"),
        ("- set: {o: a}\n- for: x\n  in: =event.xs\n  do:\n    - log: =o\n"
         "    - set: {o: null}\n- log: =o", "it is set to null"),
        ("- if: =event.x\n  then:\n" + inside(K) + "- if: =event.x\n  then: [{log: x}]\n" + USE,
         "its step is in a branch"),
        ("- if: =event.x\n  then: [{set: {o: a}}, {stop: true}]\n- log: =o", "its step is in a branch"),
        ("- if: =event.x\n  then: [{set: {o: a}}, {stop: true}]\n- if: =event.y\n  then:\n"
         "    - set: {o: b}\n- log: =o", "its step is in a branch"),
        ("- try:\n    - set: {o: null}\n    - throw: x\n  catch: [{log: =o}]", "it is set to null"),
    ],
)  # fmt: skip
def test_what_may_be_null_is_told(steps: str, said: str) -> None:
    found = told(steps) if said else told(steps.replace("number: =o}", "number: a}"))
    assert len(found) == bool(said), found
    assert all(said in each for each in found)


@for_each(
    "condition",
    [
        "o != null", "null != o", "$not(o = null)", "$boolean(o)", "$exists(o.id)", 'o.kind = "a"',
        "o != null and event.x", "event.x and o.kind != null", 'o.kind in ["a", "b"]', 'o.kind > "a"',
        "$not(o = null or event.x)", "(o != null)", "$count(o.lines) > 0",
        '$lookup(o, "id") = "a"', "$o != null", "$$.o.id", "$exists(o.*)",
    ],
)  # fmt: skip
def test_what_a_condition_asks_for_is_there_where_it_holds(condition: str) -> None:
    assert told(under(condition)) == []


@for_each("condition", ["o = null", "$not(o)", "o = null or event.x", "o.id = null"])
def test_what_a_condition_denies_is_there_where_it_does_not_hold(condition: str) -> None:
    assert told(under(condition, "- log: x", USE)) == []
    assert told(under(condition, "- stop: true") + "\n" + USE) == []
    assert told(under(condition, "- throw: x") + "\n" + USE) == []
    assert len(told(under(condition))) == 1
    assert len(told(under(condition, "- log: x") + "\n" + USE)) == 1


@for_each(
    "condition", ["$exists(o)", 'o.kind != "a"', "event.x", "o != null or event.x", "$not(event.x)"]
)
def test_what_a_condition_does_not_ask_for_may_be_null_under_it(condition: str) -> None:
    assert len(told(under(condition))) == 1


@for_each(
    "steps",
    [
        O + "- log: '=o = null ? \"none\" : o.id'",
        O + "- log: '=o ? o.id : \"none\"'",
        O + "- log: '=o.id ?: \"none\"'",
        O + "- log: =\"Order \" & o.id",
        O + "- {action: shop.order, with: {number: a, amount: =o.id}}",
        O + "- {action: shop.order, with: {number: a, note: =o.id}}",
        O + "- {action: shop.keep, with: {given: {id: a, kind: =o.id}}}",
        O + "- for: x\n  in: '=[1]'\n  where: =o != null\n  do:\n" + inside(USE),
        O + "- try:\n" + inside(USE) + "\n  catch: [{log: x}]",
        O + "- switch: =o.kind\n  cases:\n    a:\n" + inside(USE, 6),
        # What rests on whether it is there.
        "- if: =event.x\n  then:\n" + inside(K) + "- if: =event.x\n  then: [{log: x}]\n"
        "  else: [{stop: true}]\n" + USE,
        O + "- set: {found: =o != null}\n- if: =found\n  then:\n" + inside(USE),
        O + "- set: {found: false}\n- if: =o != null\n  then: [set: {found: true}]\n"
        "- if: =found\n  then:\n" + inside(USE),
        "- if: =event.x\n  then:\n" + inside(K) + "- if: =event.x\n  then:\n" + inside(USE),
        "- set: {failed: false}\n- try:\n" + inside(K) + "  catch: [set: {failed: true}]\n"
        "- if: =$not(failed)\n  then:\n" + inside(USE),
        "- try:\n" + inside(K) + "  catch: [{throw: x}]\n" + USE,
        "- if: =event.x\n  then:\n" + inside(K) + "  else:\n" + inside(K) + USE,
        "- if: =event.x\n  then:\n" + inside(K) + "  else: [{stop: true}]\n" + USE,
        "- switch: '=event.x = 1'\n  cases:\n"
        "    true:\n" + inside(K, 6) + "    false:\n" + inside(K, 6) + USE,
        "- set: {o: null}\n- set: {o: a}\n- log: =o",
        O + "- if: =o = null\n  then: [{stop: true}]\n- set: {x: =o.id}\n- log: =x",
        "- {id: n, state: get, key: k, default: 1}\n- {state: put, key: k, value: =n}\n- log: =n",
    ],
)  # fmt: skip
def test_a_value_that_was_asked_for_or_that_is_taken_is_left_alone(steps: str) -> None:
    assert told(steps) == []


def test_what_is_set_anew_is_not_what_was_asked_for() -> None:
    steps = "- set: {x: =event.x}\n- if: =x != null\n  then:\n    - set: {x: null}\n    - log: =x"
    assert len(told(steps)) == 1
    again = (
        "- set: {x: a}\n- if: =x != null\n  then:\n    - for: y\n      in: =event.ys\n      do:\n"
        "        - log: =x\n        - set: {x: null}\n    - log: =x"
    )
    assert len(told(again)) == 1


@for_each(
    "condition",
    ["o", "o != null", "$not(o = null)", "o.a = 1", "o and o.a", "o.a in [1]", "$exists(o.a)", "o.a > 0",
     "$boolean(o)", "o = null or o.a = 1", "$not(o.a != 1)", "null = o"],
)  # fmt: skip
def test_what_is_said_to_be_there_is(condition: str) -> None:
    found = holds(Expression.parse(condition).tree)
    for value in (None, {}, {"a": None}, {"a": 1}, {"a": 2}):
        true = bool(_evaluated(condition, value))
        for field in found.true if true else found.false:
            assert _evaluated(".".join(field), value) is not None, value


def _evaluated(text: str, value: object) -> object:
    try:
        return expr(text, o=value)
    except ExpressionError:
        return None


class Direct(Results):
    """Documents that read results as they are, where texts are wanted, and ask whether they are there."""

    def words(self) -> Any:
        if self.names and self.chance.random() < 0.6:
            return f"={self.chance.choice(self.names)}{self.chance.choice(['', '.id', '.name'])}"
        return super().words()

    def condition(self) -> Any:
        if self.names and self.chance.random() < 0.5:
            name = self.chance.choice(self.names)
            asked = (
                "{} = null",
                "{} != null",
                "{}.id != null",
                "$exists({}.id)",
                "$not({} = null)",
            )
            return f"={self.chance.choice(asked).format(name)}"
        return super().condition()


def places_told(text: str) -> list[tuple[Path, str]]:
    """The expressions of `main` of which it is told that something in them may be null."""
    source = lowcode.read(text, "made.yaml")
    found: list[tuple[Path, str]] = []
    for each in lint_text(text, "made.yaml", Shapes(Components(own))):
        if each.code == "HF120" and not each.message.startswith("$count"):  # which is 1 then
            before = [
                (place.column, path)
                for path, place in source.values.items()
                if place.column < each.column and is_expression(value_at(source.data, path))
            ]
            path, name = max(before)[1], re.findall(r"and (\S+) may be null", each.message)[0]
            if path[:2] == ("flows", "main"):
                found.append((path, name))
    return found


def probed(made: Any, path: Path, name: str) -> str:
    """The document, with a step before the one at a path that logs what may be null."""
    at = max(
        at
        for at, each in enumerate(path)
        if isinstance(each, int) and doc.kind_of(value_at(made, path[: at + 1])) is not None
    )
    changed = deepcopy(made)
    value_at(changed, path[:at]).insert(path[at], {"log": "probe", "fields": {"it": f"={name}"}})
    return written(changed)


@settings(phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_a_step_of_which_it_is_told_fails_where_it_is_null(chance: Random) -> None:
    documents = Direct(chance)
    typed, made = documents.typed, documents.document()
    with asyncio.Runner() as runner:
        for path, name in places_told(written(made))[:2]:
            integration = opened(probed(made, path, name)).integration
            for seed in range(3):
                run = Run()(
                    integration.flows["main"],
                    events(Random(seed), typed),
                    integration=integration,
                    stubs=stubs(seed),
                    config={"note": "so"} if seed else {},
                    signals={"decision": {"choice": "yes"}} if seed else {},
                )
                result = runner.run(run)
                asked = [each.fields.get("it") for each in result.logs if each.message == "probe"]
                if asked and asked[-1] is None:
                    assert result.error is not None, (path, name, written(made))


@for_each(
    "steps",
    [
        "- {action: shop.order, with: {number: '=$string(«execution.attempt)'}}",
        "- if: =«execution.attempt > 1\n  then: [{action: shop.order, with: {number: a}}]",
        "- if: =«execution.attempt > 1\n  then: [{stop: true}]",
        "- {for: x, in: '=[1..«execution.attempt]', do: [{log: a}]}",
        "- {state: put, key: '=$string(«execution.attempt)', value: 1}",
        "- {state: put, key: a, value: =«execution.attempt}",
        "- {call: other, event: {a: '=«execution'}}",
        "- {id: c, code: return a, with: {a: =«execution.attempt}}\n- log: =$string(c)",
        "- set: {n: =execution.attempt}\n- set: {m: =n + 1}\n- {state: put, key: a, value: =«m}",
        "- switch: =«execution.attempt\n  cases:\n    1: [{action: shop.order, with: {number: a}}]",
    ],
)
def test_the_attempt_in_what_is_recorded_is_told(steps: str) -> None:
    text = HEAD + indent(steps, " " * 6) + "\n"
    at = text.index("«")
    place = (text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
    found = lint_text(text.replace("«", ""), "tried.yaml", SHAPES)
    assert [(each.line, each.column) for each in found if each.code == "HF121"] == [place]


@for_each(
    "steps",
    [
        "- log: =execution.attempt",
        "- {action: shop.order, with: {number: =execution.id}}",
        "- if: =execution.attempt > 1\n  then: [{log: again}]",
        "- if: =execution.attempt > 5\n  then: [{throw: too often}]",
        "- set: {n: =execution.attempt}\n- log: =n",
        "- stop: {answer: =execution.attempt}",
    ],
)
def test_the_attempt_where_nothing_rests_on_it_is_left_alone(steps: str) -> None:
    text = HEAD + indent(steps, " " * 6) + "\n"
    assert [each for each in lint_text(text, "f.yaml", SHAPES) if each.code == "HF121"] == []
