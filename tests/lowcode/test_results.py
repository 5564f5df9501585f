"""The types of results that no schema declares: of other flows, code, state, answers and links."""

from __future__ import annotations

import asyncio
from random import Random
from textwrap import indent
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from halflap import lowcode
from halflap.lowcode import Components
from halflap.lowcode.assist import analyse, complete
from halflap.lowcode.lint import Shapes, lint_text
from halflap.lowcode.lint.engine import names_at
from halflap.lowcode.lint.reader import names_given
from halflap.lowcode.lint.scope import Schema
from halflap.lowcode.lint.words import words
from halflap.testing import Run
from tests.cases import for_each
from tests.lowcode.convert.generated import Documents, events, written
from tests.lowcode.convert.test_equal import stubs
from tests.lowcode.convert.twins import opened
from tests.lowcode.documents import own
from tests.lowcode.test_infer import is_one

SHAPES = Shapes(Components(own))
HEAD = """\
name: tried
config:
  Connect:
    acme: {connection: acme}
flows:
  pay:
    trigger: webhook.request
    steps:
      - if: =event.free
        then: [{stop: {answer: {paid: 0}}}]
      - stop: {answer: {paid: 1, by: =customer.name}}
  maybe:
    trigger: webhook.request
    steps:
      - if: =event.free
        then: [{stop: {answer: free}}]
  again:
    trigger: webhook.request
    steps:
      - if: =event.left > 0
        then:
          - {id: less, call: again, event: {left: =event.left - 1}}
          - stop: {answer: =less}
      - stop: {answer: done}
  chain:
    trigger: webhook.request
    steps:
      - {id: paid, call: pay}
      - stop: {answer: =paid}
  odd:
    trigger: webhook.request
    steps:
      - if: =event.free
        then: [{stop: {reply: {status: 204}}}]
      - stop: {answer: a}
  writes:
    trigger: webhook.request
    steps:
      - {state: put, key: "1", value: a, scope: instance}
      - {state: put, key: =event.x, value: a, scope: integration}
      - {state: put, key: its own, value: a}
  main:
    trigger: webhook.request
    with: {signature: github}
    steps:
"""


def known(steps: str, name: str = "it") -> Schema | None:
    """Return the known schema of a name behind steps."""
    source = lowcode.read(HEAD + indent(steps, " " * 6) + "\n      - log: x\n", "tried.yaml")
    document = lowcode.document_of(source)
    last = len(document.flows["main"].steps)
    return names_at(source, document, SHAPES, ("flows", "main", "steps", last))[name].schema


@for_each(
    ("steps", "said"),
    [
        ("- {id: it, call: pay}", "an object with paid or an object with paid, by"),
        ("- {id: it, call: pay, wait: false}", "a text"),
        ("- {id: it, call: pay, wait: false, on_failure: ignore}", "a text or null"),
        ("- {id: it, call: maybe}", '"free" or null'),
        ("- {id: it, call: again}", ""),
        ("- {id: it, call: chain}", "an object with paid or an object with paid, by"),
        ("- {id: it, call: odd}", ""),
        ("- {id: one, call: maybe}\n- {id: it, call: maybe}", '"free" or null'),
        ("- {id: it, call: writes}", "null"),
        ("- {id: it, state: get, key: k}", ""),
        ("- {state: put, key: k, value: 1}\n- {id: it, state: get, key: k}", "1"),
        ("- {state: put, key: k, value: 1}\n- {id: it, state: get, key: k, default: x}", '1 or "x"'),
        ("- {id: it, state: get, key: k, default: 0}\n- {state: put, key: k, value: =it + 1}",
         "a number or 0"),
        ("- {id: it, state: get, key: k, default: 0}\n- {state: put, key: k, value: =it}", ""),
        ("- {id: it, state: get, key: 1, scope: instance}", '"a"'),
        ("- {id: it, state: get, key: 1}", ""),
        ("- {id: it, state: get, key: z, scope: integration}", '"a"'),
        ("- {id: it, state: get, key: its own}", ""),
        ("- {state: put, key: k, value: 1}\n- {id: it, state: get, key: '==k'}", ""),
        ("- {id: it, state: put, key: z, value: {a: 1}}", "an object with a"),
        ("- {id: it, state: delete, key: z}", "null"),
        ("- {id: it, links: ask, choices: [yes, no]}", "an object with yes, no"),
        ("- {id: it, wait: ask}", ""),
        ("- {id: it, action: acme.get_account, with: {id: a}, on_failure: ignore}",
         "an object with id, external_id, name or null"),
        ("- {id: it, for: x, in: [1, 2], do: [{log: a}], collect: =x, on_failure: continue}",
         "a list of 1 or 2 or objects with error"),
    ],
)  # fmt: skip
def test_what_a_step_gives_is_said_in_words(steps: str, said: str) -> None:
    assert words(known(steps)) == said


@for_each(
    ("code", "said"),
    [
        ("return 1", "1"),
        ("return", "null"),
        ("x = 1", "null"),
        ("if a: return 'x'\nreturn ['y']", '"x" or a list of "y"'),
        ("if a: return 'x'", '"x" or null'),
        ("if a:\n    return 'x'\nelse:\n    raise ValueError('no')", '"x"'),
        ("try:\n    return 1\nexcept ValueError:\n    pass", "1 or null"),
        ("try:\n    return 1\nexcept ValueError:\n    return 2", "1 or 2"),
        ("try:\n    return 1\nexcept ValueError:\n    return 2\nexcept:\n    a", "1 or 2 or null"),
        ("try:\n    a\nexcept ValueError:\n    return 1\nelse:\n    return 2", "1 or 2"),
        ("try:\n    a\nexcept ValueError:\n    return 1", "1 or null"),
        ("try:\n    a\nfinally:\n    return 3", "3"),
        ("return {1: 'a', 'n': a}", "an object with n"),
        ("return {1: 'a', 'n': 2}['n']", ""),
        ("return {'n': a, 'm': 2}['m']", "2"),
        ("return {'n': len(a), **a, 's': f'{a}'}", "an object with s"),
        ("return {**a, 'n': len(a)}['n']", ""),
        ("return {'n': len(a), 'b': not a}", "an object with n, b"),
        ("lines = []\nfor x in a:\n    lines.append(x)\nreturn {'lines': lines}['lines']", "a list"),
        ("total = 0\nfor x in a:\n    total += x\nreturn total", "a number"),
        ("total = 0\nfor x in a:\n    total += 1\nreturn total", "a whole number"),
        ("text = ''\ntext += a\nreturn text", "a text"),
        ("x = 1\nx = 'a'\nreturn x", "a whole number or a text"),
        ("from decimal import Decimal\ntotal = Decimal(0)\nreturn total * 2", "a number"),
        ("from decimal import Decimal\nx, y = 1, 2\nreturn x", ""),
        ("for x in [1]:\n    pass\nreturn x", ""),
        ("def f():\n    return 'x'\nreturn f()", ""),
        ("def str(x):\n    return 1\nreturn str(a)", ""),
        ("class A:\n    pass\nreturn A() == 1", ""),
        ("return a", ""),
        ("return b", "an object"),
        ("return await acme.get_account(id='a')", "an object with id, external_id, name or null"),
        ("return a or 'none'", ""),
        ("return ', '.join(a)", ""),
        ("return 'n: ' + str(a)", "a text"),
        ("return sorted(a)", "a list"),
    ],
)  # fmt: skip
def test_what_code_returns_is_known_where_its_text_is_certain(code: str, said: str) -> None:
    text = indent(code, "    ")
    step = f"- id: it\n  code: |\n{text}\n  with: {{a: =event.x, b: {{c: =event.y}}}}\n"
    assert words(known(step)) == said


def test_a_result_that_cannot_fit_is_an_error_and_its_fields_are_known() -> None:
    steps = """\
      - {id: paid, call: pay}
      - {action: acme.get_account, with: {id: =paid}}
      - {action: acme.get_account, with: {id: =paid.paid}}
      - {action: acme.get_account, with: {id: =paid.by}}
      - {log: =paid.whom}
"""
    found = lint_text(HEAD + steps, "tried.yaml", SHAPES)
    told = [each for each in found if each.severity == "error"]
    assert [(each.line - HEAD.count("\n"), each.code) for each in told] == [
        (2, "HF104"),
        (3, "HF104"),
        (5, "HF115"),
    ]


@pytest.mark.parametrize(
    ("steps", "offered"),
    [
        ("- {id: paid, call: pay}\n- log: =paid.", ["paid", "by"]),
        ("- {id: sums, code: 'return {\"a\": 1}'}\n- log: =sums.", ["a"]),
        ("- {links: ask, choices: [yes]}\n- {id: said, wait: ask}\n- log: =said.", ["choice"]),
        ("- {id: urls_, links: ask, choices: [yes, no]}\n- log: =urls_.", ["yes", "no"]),
    ],
)
def test_fields_of_such_results_are_offered(steps: str, offered: list[str]) -> None:
    text = HEAD + indent(steps, " " * 6)
    lines = text.split("\n")
    found = complete(analyse(text, "tried.yaml", SHAPES), len(lines) - 1, len(lines[-1]))
    assert [each.label for each in found.offers] == offered


def test_flows_that_call_each_other_in_a_long_chain_are_linted() -> None:
    steps = "[{{id: a, call: f{1}}}, {{stop: {{answer: =a}}}}]"
    flow = f"  f{{0}}: {{{{trigger: webhook.request, steps: {steps}}}}}\n"
    text = "name: x\nflows:\n" + "".join(flow.format(at, (at + 1) % 500) for at in range(500))
    assert {each.code for each in lint_text(text, "f.yaml", SHAPES)} == {"HF114", "HF134"}


# Never wrong ----------------------------------------------------------------------------------

CODES = [
    "return {'n': 1, 't': str(a)}",
    "if a:\n    return [a]\nreturn None",
    "total = 0\nfor each in [1, 2]:\n    total += each\nreturn {'total': total, 'a': a}",
    "if isinstance(a, str):\n    return a + '!'\nreturn {'id': 'x', 'quantity': len(str(a))}",
    "text = 'x'\ntext += f'{a}'\nreturn text",
    "return a or 'none'",
    "return {**{'id': a}, 'name': 'n'}",
    "return [not a, a == 1, 2 / 1]",
    "if a:\n    raise ValueError('no')",
]


class Results(Documents):
    """Documents with code, and flows that end in several ways and call each other."""

    def document(self) -> dict[str, Any]:
        made = super().document()
        self.typed, self.names, self.items = False, [], []
        made["flows"][self.called]["steps"] = [
            *self.steps(1),
            {"if": self.condition(), "then": [{"stop": {"answer": self.template()}}]},
            *(
                [{"id": "s1", "call": "third"}, {"stop": {"answer": "=s1"}}]
                if len(self.names) % 2
                else []
            ),
        ]
        self.names = []
        third = [*self.steps(1), {"stop": {"answer": self.template()}}]
        made["flows"]["third"] = {"trigger": "webhook.request", "steps": third}
        return made

    def named(self, made: dict[str, Any], likely: float = 0.7) -> dict[str, Any]:
        """With an id of its own."""
        if self.chance.random() < likely:
            self.ids += 1
            made["id"] = f"r{self.ids}"
            self.names.append(made["id"])
        return made

    def step(self, depth: int) -> dict[str, Any]:
        if self.chance.random() < 0.2:
            code = {"code": self.chance.choice(CODES), "with": {"a": self.value()}}
            return self.named(code, likely=1)
        return super().step(depth)


def logging(steps: list[Any]) -> list[Any]:
    """The steps, and after each that has an id, one that logs its result."""
    made: list[Any] = []
    for each in steps:
        inner = {
            key: {case: logging(list_) for case, list_ in value.items()}
            if key == "cases"
            else logging(value)
            for key, value in each.items()
            if key in ("then", "else", "do", "try", "catch", "default", "cases")
            and "state" not in each
        }
        made.append({**each, **inner})
        if "id" in each:
            made.append({"log": "result", "fields": {each["id"]: f"={each['id']}"}})
    return made


async def results(text: str, event: Any, seed: int) -> list[tuple[str, Any]]:
    """Run the flow `main`, and return the results of its steps, by their ids."""
    integration = opened(text).integration
    result = await Run()(
        integration.flows["main"],
        event,
        integration=integration,
        stubs=stubs(seed),
        state={},
        signals={"decision": {"choice": "yes"}} if seed % 2 else {},
    )
    return [
        item for each in result.logs if each.message == "result" for item in each.fields.items()
    ]


@settings(phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_a_step_gives_what_was_inferred(chance: Random) -> None:
    documents = Results(chance)
    typed = documents.typed
    made = documents.document()
    for flow in made["flows"].values():
        flow["steps"] = logging(flow["steps"])
    text = written(made)
    source = lowcode.read(text, "made.yaml")
    document = lowcode.document_of(source)
    places = names_given(document.flows["main"].steps, ("flows", "main", "steps"))
    with asyncio.Runner() as runner:
        found = runner.run(results(text, events(chance, typed), chance.randrange(10**6)))
    for name, value in found:
        *above, at, _ = places[name]
        assert isinstance(at, int)
        seen = names_at(source, document, SHAPES, (*above, at + 1))
        assert is_one(value, seen[name].schema), (name, words(seen[name].schema), value, text)
