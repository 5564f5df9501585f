"""The owner of a name is told by its place; in YAML, in lint and in the Python of the document."""

from __future__ import annotations

from textwrap import indent
from typing import Any

import pytest

from halflap import DefinitionError
from halflap.lowcode.lint import Shapes, lint_text
from tests.cases import for_each
from tests.lowcode.convert.twins import both, opened
from tests.lowcode.documents import HEAD, described

SHAPES = Shapes(own=described())

# steps before the flow answers [=n, =got], and that answer for {a: true}, and for {a: false}
CASES: dict[str, tuple[str, Any, Any]] = {
    "set above for certain": (
        """
- set: {n: 0}
- {id: got, for: x, in: [1, 2], do: [{set: {n: =n + x}}], collect: =n}
""",
        [3, [1, 3]],
        [3, [1, 3]],
    ),
    "set above in some cases": (
        """
- {if: =event.a, then: [{set: {n: 10}}]}
- {id: got, for: x, in: [1, 2], do: [{if: =n = null, then: [{set: {n: 0}}]}, {set: {n: =n + x}}],
   collect: =n}
""",
        [13, [11, 13]],
        [3, [1, 3]],
    ),
    "set above in a case that ends": (
        """
- {if: =event.a = null, then: [{set: {n: 10}}, {stop: true}]}
- {id: got, for: x, in: [1, 2], do: [{set: {n: "=(n = null ? 0 : n) + x"}}], collect: =n}
""",
        [3, [1, 3]],
        [3, [1, 3]],
    ),
    "set in another branch": (
        """
- if: =event.a
  then: [{set: {n: 10}}]
  else:
    - {id: got, for: x, in: [1, 2], do: [{if: =x = 1, then: [{set: {n: =x}}]}], collect: 7}
""",
        [10, None],
        [None, [7, 7]],
    ),
    "set in what was tried": (
        """
- try:
    - set: {n: 5}
    - throw: no
  catch:
    - {id: got, for: x, in: [1, 2], do: [{set: {n: =n + x}}], collect: =n}
""",
        [8, [6, 8]],
        [8, [6, 8]],
    ),
    "set below": (
        """
- {id: got, for: x, in: [1, 2], do: [{if: =x = 1, then: [{set: {n: =x}}]}, {set: {m: =n}}],
   collect: =m}
- set: {n: 9}
""",
        [9, [1, None]],
        [9, [1, None]],
    ),
    "set in a loop that has ended": (
        """
- {for: x, in: [1, 2], do: [{set: {n: =x}}, {log: =$string(n)}]}
- {id: got, for: x, in: [3, 4], do: [{if: =x = 4, then: [{set: {n: =x}}]}, {set: {m: =n}}],
   collect: =m}
- {if: =event.a, then: [{set: {n: 1}}]}
""",
        [1, [None, 4]],
        [None, [None, 4]],
    ),
    "set in the loop around": (
        """
- set: {n: null}
- id: got
  for: x
  in: [1, 2]
  do:
    - {if: =event.a, then: [{set: {sum: 100}}]}
    - {for: y, in: [1, 2], do: [{set: {sum: "=(sum = null ? 0 : sum) + x + y", n: =y}}]}
  collect: =sum
""",
        [2, [105, 107]],
        [2, [5, 7]],
    ),
    "set by items side by side": (
        """
- set: {n: 1}
- {id: got, for: x, in: [1, 2], parallel: 2, do: [
    {set: {n: =n + x}}, {for: y, in: [1, 2], do: [{set: {n: =n + y}}]}], collect: =n}
""",
        [1, [5, 6]],
        [1, [5, 6]],
    ),
    "set by items within items side by side": (
        """
- set: {n: 1}
- {id: got, for: x, in: [1, 2], parallel: 2, do: [
    {id: each, for: y, in: [1, 2], do: [{set: {n: =n + y}}], collect: =n}, {set: {m: =n}}],
   collect: "=[m, each]"}
""",
        [1, [[1, 2, 3], [1, 2, 3]]],
        [1, [[1, 2, 3], [1, 2, 3]]],
    ),
}


def document(steps: str) -> str:
    """A document whose flow does these steps, and answers what is left of them."""
    head = HEAD.replace("{answer: result}", "{answer: result, signature: github}")
    ended = f'- log: =config.limit & ""\n{steps.strip()}\n- stop: {{answer: [=n, =got]}}'
    return head + indent(ended, " " * 6) + "\n"


@for_each("name", CASES)
async def test_a_variable_is_that_of_the_place_where_it_is_set_first(name: str) -> None:
    steps, *wanted = CASES[name]
    text = document(steps)
    found = lint_text(text, "tried.yaml", SHAPES)
    assert [each.message for each in found if each.severity == "error"] == []
    for a, answer in zip((True, False), wanted, strict=True):
        for result in await both(text, {"a": a}):
            assert (result.state, result.result) == ("succeeded", answer), result.reason


@for_each(
    ("steps", "place", "said"),
    [
        (
            "- set: {n: 1}\n- {id: got, for: n, in: [1], do: [{log: =$string(n)}]}",
            "14:24",
            "the item 'n' takes a name in use (line 13); choose another",
        ),
        (
            "- set: {n: 1}\n- for: x\n  in: [1]\n  do:\n    - {id: n, wait: hello}\n    - log: =n.a",
            "17:18",
            "'n' is in use already (line 13); choose another name",
        ),
        (
            "- {id: n, wait: hello}\n- {if: =n.a, then: [{set: {n: 1}}]}",
            "14:34",
            "'n' is in use already (line 13); choose another name",
        ),
        (
            "- set: {n: 1}\n- try: [{log: a}]\n  error: n\n  catch: [{log: =n.message}]",
            "15:16",
            "the error 'n' takes a name in use (line 13); choose another with `error:`",
        ),
        (
            "- try: [{log: a}]\n  error: event\n  catch: [{log: a}]",
            "14:16",
            "'event' is a name that every flow has; choose another",
        ),
        (
            "- {for: config, in: [1], do: [{log: a}]}",
            "13:15",
            "'config' is a name that every flow has; choose another",
        ),
        (
            "- set: {secrets: 1}",
            "13:15",
            "'secrets' is a name that every flow has; choose another",
        ),
    ],
)
def test_a_name_for_two_things_is_an_error_of_the_document(
    steps: str, place: str, said: str
) -> None:
    text = document(steps)
    where = f"tried.yaml:{place}"
    found = [each for each in lint_text(text, "tried.yaml", SHAPES) if each.code == "HF110"]
    assert [(f"tried.yaml:{each.line}:{each.column}", each.message) for each in found] == [
        (where, said)
    ]
    with pytest.raises(DefinitionError) as error:
        opened(text)
    assert str(error.value) == f"{where}: {said}"


def test_names_that_are_not_seen_by_each_other_may_be_the_same() -> None:
    steps = """
- {if: =event.a, then: [{id: n, wait: hello}], else: [{set: {n: 1}}]}
- {for: x, in: [1], do: [{log: =$string(x)}]}
- {id: x, wait: hello}
- log: =x.a
- try:
    - log: a
  catch:
    - try:
        - log: =error.message
      catch:
        - log: =error.message
- {id: got, for: y, in: [1], do: [{set: {error: =y}}], collect: =error}
"""
    found = lint_text(document(steps), "tried.yaml", SHAPES)
    assert [each.message for each in found if each.severity == "error"] == []
    assert opened(document(steps))
