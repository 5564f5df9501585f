"""The vocabulary: every name is there, is loaded when it is first used, and is what checkers read."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import halflap
from halflap import lowcode


@pytest.mark.parametrize("door", [halflap, lowcode])
def test_each_name_is_what_type_checkers_take_it_for(door: ModuleType) -> None:
    assert door.__file__ is not None
    read = ast.parse(Path(door.__file__).read_text())
    checked = next(each for each in read.body if isinstance(each, ast.If))
    names: set[str] = set()
    for each in checked.body:
        assert isinstance(each, ast.ImportFrom)
        home = import_module(each.module or "")
        for alias in each.names:
            assert getattr(door, alias.name) is getattr(home, alias.name), alias.name
            assert alias.asname == alias.name, "else checkers take it for private"
            names.add(alias.name)
    assert names == set(door.__all__)


def test_a_name_that_there_is_not_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'colour'"):
        _ = halflap.colour  # pyright: ignore[reportAttributeAccessIssue]
