"""Rows of a run: what each step gave, bounded."""

from __future__ import annotations

from typing import Any

import pytest

from halflap import lowcode
from halflap.lowcode import Components, rows
from halflap.lowcode.rows import RowTracer, StepRun
from halflap.testing import Run

TEXT = """\
name: tried
flows:
  one:
    trigger: webhook.request
    steps:
      - for: outer
        in: =event
        do:
          - for: each
            in: =outer
            parallel: 2
            do:
              - set: {last: =each}
              - if: =each = 3
                then: [{log: three}, {throw: no three}]
"""
INNER = ("flows", "one", "steps", 0, "do", 0, "do")


async def traced(event: Any) -> tuple[RowTracer, list[StepRun]]:
    told: list[StepRun] = []
    tracer = RowTracer(told.append)
    made = lowcode.build(lowcode.read(TEXT, "tried.yaml"), Components(), tracer)
    await Run()(made.flows["one"], event, integration=made)
    return tracer, told


async def test_a_row_knows_the_items_around_it_also_side_by_side() -> None:
    tracer, _ = await traced([[1, 2], [4]])
    sets = {each.item: each.gave for each in tracer.rows if each.path == (*INNER, 0)}
    assert sets == {(0, 0): b'{"last":1}', (0, 1): b'{"last":2}', (1, 0): b'{"last":4}'}
    assert {each.within.path for each in tracer.rows if each.item == (0, 1) and each.within} == {
        INNER[:-1]
    }


async def test_an_error_is_noted_at_the_step_that_raised_it() -> None:
    tracer, told = await traced([[3]])
    failed = [(each.path, each.failure) for each in told if each.state == "failed"]
    assert failed[0] == ((*INNER, 1, "then", 1), ("thrown", "no three"))
    assert [failure for _, failure in failed[1:]] == [None] * 3
    assert tracer.failed == (*INNER, 1, "then", 1)


async def test_rows_and_what_they_gave_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_ROWS", 5)
    tracer, _ = await traced([[1, 2], [4]])
    assert (len(tracer.rows), tracer.is_cut) == (5, True)
    monkeypatch.setattr(rows, "MOST_ROWS", 100)
    monkeypatch.setattr(rows, "MOST_GIVEN", 15)
    tracer, _ = await traced([[1, 2], [4]])
    assert [each.gave for each in tracer.rows if each.path == (*INNER, 0)].count(None) == 1
    assert tracer.is_cut
