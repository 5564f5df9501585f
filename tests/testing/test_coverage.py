"""Coverage of YAML documents: what never ran is named at its line, and production counts nothing."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from halflap.lowcode import Components, build, read
from halflap.lowcode.observer import Mark
from halflap.testing import report
from halflap.testing.coverage import Coverage, Covered, covered
from halflap.testing.document import open_document, run_test
from halflap.testing.report import documents

DOCUMENT = """\
name: whole
preprocess:
  route:
    trigger: webhook.request
    routes:
      - {when: =event.left, flow: main}
      - {flow: main, event: {n: 1}}
flows:
  main:
    trigger: webhook.request
    steps:
      - if: =event.n > 1
        then:
          - log: many
      - if: =event.n > 1
        then: [{log: many}]
        else:
          - title: Just one
            log: one
      - switch: =event.kind
        cases:
          a: [{log: a}]
          b: [{log: b}]
      - switch: =event.kind
        cases: {a: [{log: a}], 1: [{log: one}]}
        default: [{log: other}]
      - for: item
        in: =event.items
        where: =item > 1
        do:
          - set: {last: =item}
          - if: =item = 3
            then: [{break: true}]
      - try:
          - log: ="trying " & event.n
          - if: =event.kind = "b"
            then: [{throw: wrong}]
          - log: first
          - switch: 1
            cases: {1: [{log: second}]}
        catch:
          - log: caught
      - {id: called, call: other}
  other:
    trigger: webhook.request
    steps: [{log: x}, {stop: true}]
tests:
"""
HALF = """\
name: half
flows:
  main:
    trigger: webhook.request
    steps:
      - if: =event.more
        then: [{log: more}]
        else: [{stop: true}]
      - log: last
tests: [{name: one, flow: main, event: {}}]
"""
ONE = {"n": 1, "kind": "a", "items": [2]}
MANY = {"n": 2, "kind": "b", "items": [1, 3]}


async def run_of(folder: Path, *tests: tuple[str, Any]) -> Covered:
    """Return what these events run of the document: each a flow's name, and the event."""
    lines = [
        f"  - {{name: t{at}, flow: {flow}, event: {event!r}}}\n"
        for at, (flow, event) in enumerate(tests)
    ]
    path = folder / "whole.yaml"
    path.write_text(DOCUMENT + "".join(lines).replace("True", "true"), encoding="utf-8")
    opened = open_document(path)
    for at in range(len(tests)):
        await run_test(opened, at)
    return covered(opened.source, opened.coverage)


def said(found: Covered) -> list[str]:
    return [f"{each.line}: {each.missed}" for each in found.missed]


async def test_what_never_ran_is_named_at_its_line(tmp_path: Path) -> None:
    found = await run_of(tmp_path, ("main", ONE))
    assert said(found) == [
        "6: the route was never taken",
        "7: the route was never taken",
        "13: `then` never ran",
        "16: `then` never ran",
        "23: the case b never ran",
        "20: no value came that has no case",
        "25: the case 1 never ran",
        "26: `default` never ran",
        "29: `where` never left an item out",
        "33: `then` never ran",
        "37: `then` never ran",
        "39: no value came that has no case",
        "41: `catch` never ran",
    ]
    assert found.percent < 100


async def test_of_what_stands_after_a_failure_the_first_is_named(tmp_path: Path) -> None:
    found = await run_of(tmp_path, ("main", MANY))
    assert "38: `log` never ran" in said(found)
    assert not any(each.startswith(("39:", "40:")) for each in said(found))
    assert "22: the case a never ran" in said(found)
    assert "12: the condition was never false" in said(found)
    assert "17: `else` never ran" in said(found)


async def test_where_all_of_it_ran_nothing_is_missed(tmp_path: Path) -> None:
    kinds = [("main", {"n": 3, "kind": each, "items": [3]}) for each in ("x", 1)]
    main = [("main", ONE), ("main", MANY), *kinds]
    routes = [("route", {"left": True}), ("route", {"left": False})]
    none = await run_of(tmp_path, *routes)
    assert said(none) == ["11: the flow main never ran", "46: the flow other never ran"]
    assert none.ran == 2
    found = await run_of(tmp_path, *main, *routes)
    assert said(found) == ["39: no value came that has no case"]  # of `switch: 1`
    assert (found.percent, found.ran) == (98, len(found.units) - 1)


async def test_what_several_processes_ran_is_one_report(tmp_path: Path) -> None:
    parts = [await run_of(tmp_path, ("main", each)) for each in (ONE, MANY)]
    node = SimpleNamespace(
        config=SimpleNamespace(stash=pytest.Stash()),
        workeroutput={report.OUTPUT: [asdict(each) for each in parts]},
    )
    report.pytest_testnodedown(node, None)
    report.pytest_testnodedown(SimpleNamespace(config=node.config), None)  # one that crashed
    (whole,) = report.together(node.config.stash[report.GATHERED])
    assert whole == dataclasses.replace(
        await run_of(tmp_path, ("main", ONE), ("main", MANY)), has=1
    )
    assert whole.ran > max(each.ran for each in parts)


def test_a_document_whose_tests_did_not_run_is_left_out_and_one_without_tests_is_not() -> None:
    kept = Covered("a.yaml", 0, 0, ())
    assert report.together([Covered("b.yaml", 2, 0, ()), kept]) == [kept]


class Terminal:
    stats: ClassVar[dict[str, list[Any]]] = {}

    def __init__(self) -> None:
        self.lines: list[str] = []

    def section(self, text: str) -> None:
        self.lines.append(text)

    def line(self, text: str, **_: Any) -> None:
        self.lines.append(text)


@pytest.mark.parametrize(("least", "ends"), [(0, 0), (57, 0), (58, 1)])
async def test_where_too_little_ran_the_run_fails_and_says_so(
    tmp_path: Path, least: int, ends: int
) -> None:
    path = tmp_path / "half.yaml"
    path.write_text(HALF, encoding="utf-8")
    opened = open_document(path)
    await run_test(opened, 0)
    config: Any = SimpleNamespace(
        stash=pytest.Stash(),
        getoption={"--halflap-coverage": None, "--halflap-coverage-min": least}.get,
    )
    documents(config).append(opened)
    session: Any = SimpleNamespace(config=config, exitstatus=pytest.ExitCode.OK)
    report.pytest_sessionfinish(session)
    assert session.exitstatus == ends
    terminal = Terminal()
    report.pytest_terminal_summary(terminal, config)
    said = ["half.yaml: 57 % of it ran, and 58 % has to"] if ends else []
    assert terminal.lines[1:] == [
        "half.yaml: 57 % (4 of 7)",
        "  half.yaml:7: `then` never ran",
        "  half.yaml:9: `log` never ran",
        *said,
    ]


@pytest.mark.parametrize(("least", "ends"), [(0, 0), (1, 1)])
def test_where_no_document_ran_at_all_none_has_enough(least: int, ends: int) -> None:
    config: Any = SimpleNamespace(
        stash=pytest.Stash(),
        getoption={"--halflap-coverage": None, "--halflap-coverage-min": least}.get,
    )
    session: Any = SimpleNamespace(config=config, exitstatus=pytest.ExitCode.OK)
    report.pytest_sessionfinish(session)
    assert session.exitstatus == ends
    terminal = Terminal()
    report.pytest_terminal_summary(terminal, config)
    assert [each.partition(";")[0] for each in terminal.lines] == [
        "no YAML document was run, and 1 % of each has to"
    ] * ends


# In production -------------------------------------------------------------------------------


def parts_of(value: Any) -> Iterator[Any]:
    """All that a compiled flow is made of."""
    yield value
    if isinstance(value, list | tuple):
        held: Any = value
    elif isinstance(value, dict):
        held = value.values()
    elif isinstance(value, FunctionType):
        held = inspect.getclosurevars(value).nonlocals.values()
    elif dataclasses.is_dataclass(value) and type(value).__module__.startswith("halflap."):
        held = [getattr(value, each.name) for each in dataclasses.fields(value)]
    else:
        return
    for each in held:
        if type(each).__name__ not in ("Source", "Expression", "Action"):
            yield from parts_of(each)


def watching(observer: Coverage | None) -> list[Any]:
    """Return the parts of the document's compiled flows that belong to tests."""
    built = build(read(DOCUMENT + "  []\n", "whole.yaml"), Components(), observer)
    parts = [part for flow in built.flows.values() for part in parts_of(flow.function)]
    assert len(parts) > 200
    return [
        each
        for each in parts
        if getattr(each, "__module__", type(each).__module__) == Mark.__module__
    ]


def test_in_production_nothing_is_wrapped_or_counted() -> None:
    assert watching(None) == []
    seen = watching(Coverage())  # the control: it would be seen
    assert any(isinstance(each, Mark) for each in seen)
    assert any(isinstance(each, FunctionType) for each in seen)
