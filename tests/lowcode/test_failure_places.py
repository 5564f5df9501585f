"""A failure of a flow in YAML names the line of the document whose step raised it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from halflap import UpstreamError
from halflap.errors import StepFailed
from halflap.testing import Result, Run
from tests.lowcode.test_steps import tried

GONE = UpstreamError("it is gone", status=404)
UPDATE = "{action: acme.update_contact, with: {id: '1', name: x}}"
NESTED = """
- set: {a: 1}
- for: item
  in: [1]
  do:
    - if: =item = 1
      then:
        - try:
            - set: {b: 2}
            - UPDATE
          catch:
            - throw: =error.message
"""
PLAIN = [
    ("- set: {a: 1}\n- UPDATE", "13:9"),
    ("- set: {a: 1}\n- throw: never\n", "13:9"),
    ("- for: item\n  in: [1]\n  do:\n    - UPDATE", "15:13"),
    ("- for: item\n  in: [1]\n  parallel: 2\n  do:\n    - UPDATE", "16:13"),
    (NESTED, "22:21"),
    ("- switch: =event.kind\n  cases:\n    a:\n      - UPDATE\n", "15:15"),
    ("- try:\n    - UPDATE\n  catch:\n    - set: {a: =error.kind}\n    - UPDATE", "16:13"),
    ("- call: other\n", "12:9"),
    ("- set: {a: =$number('x')}\n", "12:26"),
    ("- for: item\n  in: [1]\n  do:\n    - if: =item\n      then: [{stop: true}]\n", "15:17"),
    ("- wait: answer\n  timeout: 1h\n", "12:9"),
]  # fmt: skip
OTHER = """
other:
  trigger: webhook.request
  steps:
    - throw: "not today"
"""


def place_of(result: Result) -> str:
    assert result.state == "failed", result.state
    assert result.error is not None
    assert result.error.trace == "", "the interpreter's lines are of no use to an author"
    file, _, place = result.error.where.partition(":")
    assert file == "tried.yaml", result.error.where
    return place


@pytest.mark.parametrize(("steps", "where"), PLAIN)
async def test_a_failure_names_the_innermost_step_of_the_document(
    run: Run, steps: str, where: str
) -> None:
    stubs: dict[str, Any] = {"update_contact": GONE}
    if "call: other" in steps:
        stubs["other"] = StepFailed("not today")
    result = await tried(run, steps.replace("UPDATE", UPDATE), {"kind": "a"}, OTHER, stubs=stubs)
    assert place_of(result) == where


async def test_a_failure_in_a_code_step_names_the_line_of_the_code(run: Run) -> None:
    result = await tried(run, "- code: |\n    a = 1\n    return a / 0\n")
    (step,) = [each.failure for each in result.records if each.failure]
    assert re.fullmatch(r"tried\.yaml:14(:\d+)?", step.where)
    assert result.error is not None
    assert result.error.where == "tried.yaml:12:9"


async def test_what_is_caught_leaves_no_place_behind(run: Run) -> None:
    steps = "- try:\n    - throw: no\n  catch:\n    - stop: {answer: =error.message}\n"
    result = await tried(run, steps)
    result.raise_for_failure()
    assert result.result == "no"
