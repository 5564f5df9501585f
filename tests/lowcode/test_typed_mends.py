"""Mends that the type of an event decides: none of them is a choice."""

from __future__ import annotations

import json

import pytest

from tests.cases import for_each
from tests.lowcode.wrong import linted

DOCUMENT = """\
name: typed
flows:
  main:
    trigger: webhook.request
    with: {signature: github, answer: result, dedupe: "header:x-github-delivery"}
    schema:
      type: object
      required: [due, at, name, tags, lines]
      properties:
        due: {type: string, format: date}
        at: {type: string, format: date-time}
        name: {type: string}
        tags: {type: array, items: {type: string}}
        lines: {type: array, items: {type: object, properties: {n: {type: integer}}}}
    steps:
      - set: {x: EXPRESSION}
      - log: =$string(x)
"""
DATE = '"[Y0001]-[M01]-[D01]"'


@for_each(
    ("text", "meant"),
    [
        ("len(event.lines)", "$count(event.lines)"),
        ("len(event.name)", "$length(event.name)"),
        ("$length(event.lines)", "$count(event.lines)"),
        ("size(event.name)", "$length(event.name)"),
        ("event.tags.length", "$count(event.tags)"),
        ("event.name.length", "$length(event.name)"),
        ("event.name.toUpperCase().length", "$length($uppercase(event.name))"),
        ('event.tags.includes("x")', '"x" in event.tags'),
        ('event.name.includes("x")', '$contains(event.name, "x")'),
        ('event.tags.concat(["x"])', '$append(event.tags, ["x"])'),
        ('event.name.concat("x")', 'event.name & "x"'),
        ("event.lines.slice(1)", "$filter(event.lines, function($x, $i){$i >= 1})"),
        ("event.name.slice(1, 3)", "$substring(event.name, 1, 2)"),
        ("event.due + 30", f"$fromMillis($toMillis(event.due) + 30 * 86400000, {DATE})"),
        ("event.at - 30", "$fromMillis($toMillis(event.at) - 30 * 86400000)"),
        ("7 + event.at", "$fromMillis($toMillis(event.at) + 7 * 86400000)"),
        ("event.name * 2", "$number(event.name) * 2"),
        ("2 / event.name + 1", "2 / $number(event.name) + 1"),
        ("event.name > 5", "$number(event.name) > 5"),
        ('event.lines[0].n >= "5"', "event.lines[0].n >= 5"),
        ("addDays(event.due, 3)", f"$fromMillis($toMillis(event.due) + 3 * 86400000, {DATE})"),
        ("DATEADD(day, 3, event.due)", f"$fromMillis($toMillis(event.due) + 3 * 86400000, {DATE})"),
        ('DATEADD(event.at; 3; "days")', "$fromMillis($toMillis(event.at) + 3 * 86400000)"),
    ],
)
def test_what_is_known_of_a_value_decides_its_mend(text: str, meant: str) -> None:
    document = DOCUMENT.replace("EXPRESSION", json.dumps(f"={text}"))
    fixes = [each.fix for each in linted(document) if each.fix is not None]
    assert [each.title for each in fixes] == [f"write ={meant}"]
    assert linted("\n".join(fixes[0].applied(document.split("\n")))) == []


@pytest.mark.parametrize("text", ["event.due - event.at", "7 - event.at", '"x" * event.lines[0].n'])
def test_what_may_mean_several_things_is_left_to_a_person(text: str) -> None:
    found = linted(DOCUMENT.replace("EXPRESSION", json.dumps(f"={text}")))
    assert [(each.code, each.fix) for each in found] == [("HF104", None)]
