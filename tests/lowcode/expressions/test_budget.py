"""No expression takes more than its budget: each hostile one ends, soon, and in little memory."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from bench.experiments.jsonata_hostile import HOSTILE, tried
from halflap.lowcode.expressions import EvaluationBudget, Expression, ExpressionError, Scope
from halflap.lowcode.expressions.meter import MIB
from halflap.lowcode.expressions.parser import MAX_NESTING, MAX_TEXT
from tests.cases import for_each

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS and /proc are Linux's")

HARMLESS = {
    "catastrophic regex",
    "catastrophic regex 2",
    "catastrophic regex 3",
    "large regex",
    "wide regex",
    "long chain of filters",
}
"""Expressions that only look hostile here: they have a value."""

WITHOUT_END = EvaluationBudget(
    steps=10**15,
    depth=10**9,
    seconds=10**6,
    memory=10**15,
    text=10**15,
    values=10**15,
    result=10**15,
)


def evaluated(text: str, budget: EvaluationBudget) -> str:
    try:
        return f"value: {Expression.parse(text).evaluate(Scope(seed=1), budget)}"[:60]
    except ExpressionError as error:
        return f"error: {error}"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_expression_ends(name: str) -> None:
    result = tried(lambda text: evaluated(text, EvaluationBudget()), HOSTILE[name])
    assert result["ended"].startswith("value" if name in HARMLESS else "error"), result
    assert result["cpu"] < 1, result
    if name not in HARMLESS:
        assert re.search(r"\([A-Z]\d{4}, at (character )?\d+", result["ended"]), result


@for_each(
    "name",
    [
        "endless tail recursion",
        "huge range",
        "doubled text",
        "long join",
    ],
)
def test_without_its_budget_it_does_not(name: str) -> None:
    result = tried(lambda text: evaluated(text, WITHOUT_END), HOSTILE[name], patience=1)
    assert result["ended"].startswith("crash"), result


def test_a_pattern_of_python_would_not_end() -> None:
    def python(_: str) -> str:
        return f"value: {re.search('^(a+)+$', 'a' * 50 + 'b')}"

    assert tried(python, "", patience=1)["ended"] == "crash: never ended"


@for_each(
    ("text", "budget", "message"),
    [
        ("$map([1..100], function($x) { $x })", EvaluationBudget(steps=100), "more than 100 steps"),
        (
            "($f := function($x) { [$f($x)] }; $f(1))",
            EvaluationBudget(depth=50),
            "limit: 50 nested",
        ),
        ("[1..1000].{'a': $}", EvaluationBudget(memory=100_000), "needs more than 0 MiB"),
        ("$pad('', 20)", EvaluationBudget(text=19), "longer than 19 characters"),
        ("$split('a,b,c', ',')", EvaluationBudget(values=2), "more than 2 values"),
        ("[1..3]", EvaluationBudget(values=2), "more than 2 numbers"),
        ("[1..100]", EvaluationBudget(result=1000), "result is larger than 0 MiB"),
    ],
)
def test_each_limit_says_what_it_is(text: str, budget: EvaluationBudget, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        Expression.parse(text).evaluate(Scope(), budget)


def test_the_page_names_the_limits() -> None:
    page = (Path(__file__).parents[3] / "docs" / "low-code" / "expressions.md").read_text("utf-8")
    budget = EvaluationBudget()
    for shown in (
        f"| {budget.steps:,} |",
        f"| {budget.depth} |",
        f"| {budget.seconds} s |",
        f"| {budget.memory // MIB} MiB |",
        f"| {budget.text:,} characters |",
        f"| {budget.values:,} values |",
        f"| {budget.result // MIB} MiB |",
        f"| {MAX_TEXT:,} characters, {MAX_NESTING} brackets deep |",
    ):
        assert shown in page


def test_the_budget_is_spent_at_the_same_step_each_time() -> None:
    text = "$reduce([1..100000], function($a, $b) { $a + $b })"
    messages = set[str]()
    for _ in range(3):
        with pytest.raises(ExpressionError) as raised:
            Expression.parse(text).evaluate(Scope(), EvaluationBudget(steps=5_000))
        messages.add(str(raised.value))
    assert len(messages) == 1


def test_a_deep_caller_leaves_as_much_depth_as_a_shallow_one() -> None:
    text = "($f := function($n) { $n = 0 ? 0 : 1 + $f($n - 1) }; $f(100))"

    def deep(levels: int) -> object:
        return deep(levels - 1) if levels else Expression.parse(text).evaluate(Scope())

    assert deep(0) == deep(800) == 100


@for_each(
    ("text", "made"),
    [
        ("event & event", 2_000),
        ("$uppercase(event)", 1_000),
        ("$pad('', 1000, event)", 1_000),
        ("$replace('xx', 'x', event)", 2_000),
        ("$replace('xx', /x/, event)", 2_000),
        ("$join([event, event])", 2_000),
        ("$string([event])", 1_000),
        ("$trim(event)", 1_000),
    ],
)
def test_memory_is_counted_in_bytes_and_not_in_characters(text: str, made: int) -> None:
    for character, fits in (("a", True), ("é", False), ("€", False), ("😀", False)):
        scope = Scope({"event": character * 1_000})
        expression = Expression.parse(text)
        if fits:
            assert expression.evaluate(scope, EvaluationBudget(memory=3 * made + 1_000))
        else:
            with pytest.raises(ExpressionError, match="needs more than"):
                expression.evaluate(scope, EvaluationBudget(memory=3 * made + 1_000))
        assert expression.evaluate(scope, EvaluationBudget(memory=20 * made + 1_000))
