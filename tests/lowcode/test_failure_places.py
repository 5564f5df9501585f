"""A failure of a flow in YAML names the line of the document whose step raised it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from halflap import Request, UpstreamError
from halflap.errors import ExpressionError, StepFailed
from halflap.lowcode.kinds.run import Asked, Outside
from halflap.sdk.request import Headers
from halflap.testing import Result, Run
from tests.cases import for_each
from tests.lowcode.documents import HEAD, built
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
WRONG = "=event.kind + 1"
READ = [
    ("- if: WRONG\n  then: []\n", "if, if", "12:25"),
    ("- switch: WRONG\n  cases: {a: []}\n", "switch, switch", "12:29"),
    ("- for: item\n  in: WRONG\n  do: []\n", "for item, in", "13:25"),
    ("- for: item\n  in: [1]\n  where: WRONG\n  do: []\n", "for item, where", "14:28"),
    ("- log: WRONG\n", "log, log", "12:26"),
    ("- throw: WRONG\n", "throw, throw", "12:28"),
    ("- sleep: WRONG\n", "sleep, sleep", "12:28"),
    ("- wait: answer\n  timeout: WRONG\n", "wait, timeout", "13:30"),
    ("- stop: {ignore: WRONG}\n", "stop, stop.ignore", "12:36"),
    ("- stop: {reply: {status: WRONG}}\n", "stop, stop.reply.status", "12:44"),
]
"""Each way to read what an expression gives, the field that it stands in, and where `+` stands."""
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


@for_each(("steps", "where"), PLAIN)
async def test_a_failure_names_the_innermost_step_of_the_document(
    run: Run, steps: str, where: str
) -> None:
    stubs: dict[str, Any] = {"update_contact": GONE}
    if "call: other" in steps:
        stubs["other"] = StepFailed("not today")
    result = await tried(run, steps.replace("UPDATE", UPDATE), {"kind": "a"}, OTHER, stubs=stubs)
    assert place_of(result) == where


@for_each(("steps", "field", "where"), READ)
async def test_a_failed_expression_names_its_field_and_its_place_in_the_line(
    run: Run, steps: str, field: str, where: str
) -> None:
    result = await tried(run, steps.replace("WRONG", WRONG), {"kind": "a"})
    assert place_of(result) == where
    assert result.error is not None
    assert result.error.message.startswith(f"{field}: event.kind is the text")
    assert f"character 12 of `{WRONG[1:]}`; tried.yaml:{where})" in result.error.message


def test_a_failed_filter_names_its_place_as_names_and_as_a_column() -> None:
    text = HEAD.replace("    steps:\n", "    filter: =event.kind + 1\n    steps: [log: x]\n")
    accepts: Any = built(text, "tried.yaml").flows["main"].filter
    with pytest.raises(ExpressionError) as wrong:
        accepts(Request("POST", "", "", Headers(()), b'{"kind": "a"}', "", datetime.now(UTC)))
    assert wrong.value.path == ("flows", "main", "filter")
    assert wrong.value.where == "tried.yaml:11:25"


async def test_a_value_of_another_kind_is_the_fields_failure(run: Run) -> None:
    result = await tried(run, "- sleep: =event.kind\n", {"kind": "a while"})
    assert place_of(result) == "12:16"
    read = Asked(lambda names, host: "a while", "tried.yaml:12:16", "`sleep`")
    with pytest.raises(ExpressionError, match="a while") as wrong:
        read.duration(Outside({}))
    assert isinstance(wrong.value.__cause__, ValueError)


async def test_a_failure_in_a_code_step_names_the_line_of_the_code(run: Run) -> None:
    result = await tried(run, "- code: |\n    a = 1\n    return a / 0\n")
    (step,) = [each.failure for each in result.records if each.failure]
    assert re.fullmatch(r"tried\.yaml:14(:\d+)?", step.where)
    assert result.error is not None
    assert result.error.where == "tried.yaml:12:9"
