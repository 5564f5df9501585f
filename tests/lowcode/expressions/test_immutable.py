"""Values in scope stay as they are, whatever an expression does with them or a caller with its result."""

from __future__ import annotations

import copy
import datetime as dt
import random
from typing import Any, cast

import pytest

from halflap import http
from halflap.lowcode.expressions import Expression, ExpressionError, Scope
from halflap.lowcode.expressions.value import Native
from halflap.testing import Run
from tests.cases import for_each
from tests.lowcode.documents import built, of_steps
from tests.lowcode.expressions.test_fuzz import SUITE, mangled

DATA = [each for each in SUITE["datasets"].values() if isinstance(each, dict)]
LOCATIONS = ["$event", "$config", "$$", "$", "**", "$defaults", "$defaults.a[0]", "$event.**", "*"]
INPUTS = [
    "$event",
    "$config",
    "$defaults",
    "$$",
    "[$event, $config]",
    "$defaults.a",
    "{'x': $event}",
]
CHANGES = ["{'planted': 1}", "$event", "$merge([$config, {'a': $defaults}])", "{'a': $event}"]
WRONG = Native("wrong", 1, lambda _, value: value.update(planted=1) or value)


def generated(chance: random.Random) -> str:
    """An expression that uses the names in scope, half of them by a transformation."""
    if chance.random() < 0.5:
        return mangled(chance)
    location = chance.choice([*LOCATIONS, mangled(chance)])
    delete = chance.choice(["", ", 'a'", ", $keys($config)"])
    given = chance.choice([*INPUTS, mangled(chance)])
    return f"{given} ~> |{location}|{chance.choice(CHANGES)}{delete}|"


def names(chance: random.Random) -> dict[str, Any]:
    defaults = {"a": [{"b": 1}, {"c": [2]}], "currency": "EUR"}
    config = copy.deepcopy(chance.choice(DATA))
    return {"event": copy.deepcopy(chance.choice(DATA)), "config": config, "defaults": defaults}


def changed(text: str, values: dict[str, Any], **more: Any) -> bool | None:
    """Return whether the values in scope differ afterwards; None where there is no result."""
    before = copy.deepcopy(values)
    scope = Scope(values, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), 1)
    try:
        result = Expression.parse(text).evaluate_on(values["event"], {**values, **more}, scope)
    except ExpressionError:
        return True if values != before else None
    spoil(result)
    return values != before


def spoil(value: Any) -> None:
    """Change every object and list of a result, as a caller may."""
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        for each in fields.values():
            spoil(each)
        fields["spoilt"] = True
    elif isinstance(value, list):
        values = cast(list[Any], value)
        for each in values:
            spoil(each)
        values.append("spoilt")


@for_each("seed", range(4))
def test_no_expression_changes_a_value_in_scope(seed: int) -> None:
    chance = random.Random(seed)
    evaluated = 0
    for _ in range(800):
        text = generated(chance)
        found = changed(text, names(chance))
        assert not found, text
        evaluated += found is not None
    assert evaluated > 150


def test_a_function_that_changes_its_argument_is_noticed() -> None:
    """The control: the same comparison finds a planted fault."""
    assert changed("$wrong($defaults)", names(random.Random(1)), wrong=WRONG)
    assert changed("$defaults", names(random.Random(1))) is False


@for_each("location", ["$defaults", "$event", "$config", "**[currency]"])
def test_a_transformation_changes_nothing_but_its_copy(location: str) -> None:
    values = {"event": {"currency": "CHF"}, "config": {"x": 1}, "defaults": {"currency": "EUR"}}
    before = copy.deepcopy(values)
    text = f'defaults ~> |{location}|{{"currency": $$.event.currency}}, "x"|'
    result = Expression.parse(text).evaluate_on(values, values, Scope(values))
    assert values == before
    assert result == {"currency": "CHF" if location.startswith("**") else "EUR"}


STEPS = """
- set: {defaults: {currency: EUR, list: [{a: 1}]}}
- set: {first: '=%s'}
- stop: {answer: {defaults: =defaults, first: =first, constant: {list: [{a: 1}]}}}
"""


@pytest.mark.parametrize(
    "text",
    [
        'defaults ~> |$defaults|{"currency": $event.currency}|',
        'event ~> |$defaults.list[0]|{"a": $event.currency}|',
        'defaults.list ~> |$defaults.**|{"a": $event.currency}, "currency"|',
    ],
)
async def test_one_customers_value_is_not_in_the_answer_to_another(run: Run, text: str) -> None:
    integration = of_steps(STEPS % text)
    flow = integration.flows["main"]
    for customer, currency in (("a", "SECRET-OF-A"), ("b", "CHF")):
        result = await run(flow, {"currency": currency}, integration=integration, customer=customer)
        result.raise_for_failure()
        assert result.result["defaults"] == {"currency": "EUR", "list": [{"a": 1}]}
        assert result.result["constant"] == {"list": [{"a": 1}]}
    assert "SECRET-OF-A" not in str(result.result)


DOCUMENT = """
name: tried
config:
  Connect:
    api: {connection: http}
flows:
  main:
    trigger: webhook.request
    with: {answer: result}
    steps:
      - set: {defaults: {list: [1]}}
      - {action: http.post, with: {path: /x, json: =defaults}}
      - {action: http.post, with: {path: /x, json: {list: [1]}}}
      - {action: http.post, with: {path: /x, json: {list: [1], event: =event}}}
      - stop: {answer: {defaults: =defaults, constant: {more: [{a: 1}]}, event: =event}}
"""


async def test_an_action_that_changes_its_input_changes_nothing_in_scope(run: Run) -> None:
    integration = built(DOCUMENT)
    seen: list[str] = []

    def post(path: str, json: Any) -> None:
        seen.append(str(json))
        spoil(json)

    for _ in range(2):
        result = await run(
            integration.flows["main"], {"a": 1}, integration=integration, stubs={http.post: post}
        )
        result.raise_for_failure()
        assert result.result == {
            "defaults": {"list": [1]},
            "constant": {"more": [{"a": 1}]},
            "event": {"a": 1},
        }
        spoil(result.result)
    assert seen[:3] == seen[3:]
    assert seen[2] == str({"list": [1], "event": {"a": 1}})
