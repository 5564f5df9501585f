"""The types of results that no schema declares: of other flows, answers and links."""

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
        ("- {id: it, state: get, key: k}", ""),
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


class Results(Documents):
    """Documents with flows that end in several ways and call each other."""

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
