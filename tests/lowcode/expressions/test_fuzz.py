"""Whatever is written, an expression has a value or an `ExpressionError`: nothing else comes out."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import random
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

from halflap.lowcode.expressions import Expression, ExpressionError, Scope
from tests.cases import for_each

WORD = re.compile(r'"[^"]*"|\'[^\']*\'|\$?\w+|\s+|.', re.DOTALL)
SUITE: dict[str, Any] = json.loads(
    (Path(__file__).parent / "jsonata" / "suite.json").read_text("utf-8"), parse_float=Decimal
)
EXPRESSIONS = [WORD.findall(case["expr"]) for case in SUITE["cases"] if len(case["expr"]) < 300]
WORDS = [word for words in EXPRESSIONS for word in words]


def mangled(chance: random.Random) -> str:
    """An expression of the suite with a few words added, taken away, replaced or moved in."""
    words = list(chance.choice(EXPRESSIONS))
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(words))
        other = chance.choice(EXPRESSIONS)
        start = chance.randint(0, len(other))
        words[at : at + chance.randint(0, 1)] = chance.choice(
            ([], [chance.choice(WORDS)], other[start : start + chance.randint(1, 8)])
        )
    return "".join(words)


@for_each("seed", range(4))
def test_mangled_expressions(seed: int) -> None:
    chance = random.Random(seed)
    scope = Scope(now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), seed=1)
    data = list(SUITE["datasets"].values())
    for _ in range(2_000):
        with contextlib.suppress(ExpressionError):
            expression = Expression.parse(mangled(chance))
            expression.names()
            expression.evaluate_on(chance.choice(data), {}, scope)


@for_each("seed", range(4))
def test_what_an_expression_reads_by_no_name_it_does_not_see(seed: int) -> None:
    chance = random.Random(seed)
    data = [each for each in SUITE["datasets"].values() if isinstance(each, dict)]
    compared = 0
    for _ in range(2_000):
        with contextlib.suppress(ExpressionError):
            expression = Expression.parse(mangled(chance)).named()
            whole = {**chance.choice(data), "more": 1}
            read = {each.path[0] for each in expression.names()}
            told = [whole, {name: each for name, each in whole.items() if name in read}]
            assert evaluated(expression, told[0]) == evaluated(expression, told[1]), expression
            compared += bool(read)
    assert compared > 100


def evaluated(expression: Expression, values: dict[str, Any]) -> Any:
    """Return the value of an expression, or the code of its error."""
    scope = Scope(values, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), 1)
    try:
        return expression.evaluate(scope)
    except ExpressionError as error:
        return error.code
