"""The order of a parallel run's tests: what is long begins, and nothing is left out or run twice."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.conftest import COMPUTING, WAITING, dealt, spread

ROOT = Path(__file__).parents[2]


def item(name: str) -> Any:
    return SimpleNamespace(nodeid=f"{name}::test_it")


def test_modules_that_begin_are_there() -> None:
    assert [each for each in {**WAITING, **COMPUTING} if not (ROOT / each).is_file()] == []
    assert not WAITING.keys() & COMPUTING.keys()


def test_each_test_is_dealt_once_and_long_modules_first() -> None:
    waiting, computing = list(WAITING)[:5], list(COMPUTING)[:4]
    some = [f"tests/some/test_{number}.py" for number in range(42)]
    items = [item(each) for each in sorted([*waiting, *computing, *some])]
    items.append(items[0])  # a fixture of a session may part the tests of a module
    found = [each.nodeid.partition("::")[0] for each in dealt(items, 4)]
    assert sorted(found) == sorted(each.nodeid.partition("::")[0] for each in items)
    size = len(items) // 4
    parts = [found[at * size : (at + 1) * size] for at in range(4)]
    assert [each[0] for each in parts] == [*waiting[:2], *computing[:2]]
    assert {*waiting} <= {*parts[0], *parts[1]}
    assert {*computing} <= {*parts[2], *parts[3]}


def test_a_module_goes_to_the_part_that_is_done_soonest() -> None:
    modules = {each: [item(each)] for each in "abcd"}
    found = spread({"a": 5, "b": 9, "c": 3, "d": 1}, modules, 2)
    assert [[each.nodeid[0] for each in part] for part in found] == [["b"], ["a", "c", "d"]]
    assert modules == {}
