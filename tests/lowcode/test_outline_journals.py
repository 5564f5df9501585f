"""The records that examples leave when they run are in the outlines of their text."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from halflap.lowcode.outline import FlowOutline, outline, within
from halflap.lowcode.outline.executed import recorded_as, records_as
from halflap.testing import Fake, Result, Run
from tests.lowcode.documents import EXAMPLES

READERS = ("trigger", "check")
"""Records of what comes before a flow's own steps, and beside them."""


@cache
def sources() -> Mapping[str, str]:
    return {path.name: path.read_text("utf-8") for path in EXAMPLES.glob("*.*")}


def lacking(result: Result, flow: FlowOutline) -> list[str]:
    """Return the records of a run that an outline does not have."""
    has = {records_as(node) for node in within(flow.steps)}
    kept = [each for each in result.records if each.kind not in READERS]
    return [said for each in kept if (said := recorded_as(each)) not in has]


@dataclass
class Watched:
    """Runs flows as `run` does, and keeps what came of them by integration and flow."""

    results: list[tuple[str, str, Result]] = field(default_factory=list[tuple[str, str, Result]])

    async def __call__(self, flow: Any, *given: Any, **more: Any) -> Result:
        result = await Run()(flow, *given, **more)
        self.results.append((f"{flow.function.__module__}:integration", flow.name, result))
        return result


def example_tests() -> Iterator[Callable[..., Awaitable[None]]]:
    """The examples' own tests that need no more than `run` and `fake`."""
    for path in sorted((EXAMPLES / "tests").glob("test_*.py")):
        for name, test in vars(imported(path)).items():
            needs = inspect.signature(test).parameters.keys() if name.startswith("test_") else ()
            if "run" in needs and set(needs) <= {"run", "fake"}:
                yield test


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"outlined_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def runs() -> list[tuple[str, str, Result]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        return asyncio.run(run_examples())


async def run_examples() -> list[tuple[str, str, Result]]:
    watched = Watched()
    for test in example_tests():
        needs = inspect.signature(test).parameters
        await test(**{"run": watched, **({"fake": Fake()} if "fake" in needs else {})})
    return watched.results


def lies(files: Mapping[str, str], runs: list[tuple[str, str, Result]]) -> list[str]:
    """All that these runs recorded and the outlines of these sources do not have."""
    entries = {entry: outline(files, entry) for entry in {each for each, _, _ in runs}}
    flows = {(entry, each.name): each for entry, made in entries.items() for each in made.flows}
    return [said for entry, flow, result in runs for said in lacking(result, flows[entry, flow])]


def test_every_step_that_the_examples_record_is_in_their_outlines(
    runs: list[tuple[str, str, Result]],
) -> None:
    assert len({(entry, flow) for entry, flow, _ in runs}) >= 10
    assert sum(len(result.steps) for _, _, result in runs) > 40
    assert lies(sources(), runs) == []


LIES = {
    "another title": ("salesforce_acme.py", '"Create an Account"', '"Make an Account"'),
    "another action": ("warehouse.py", "acme.remove_stock(", "acme.add_stock("),
    "a read that is gone": ("stock_report.py", 'await ctx.state.get("told", default=[])', "[]"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_step_that_the_text_does_not_have_is_found_out(
    runs: list[tuple[str, str, Result]], lie: str
) -> None:
    file, old, new = LIES[lie]
    assert old in sources()[file]
    told = {**sources(), file: sources()[file].replace(old, new)}
    if lie == "a read that is gone":  # a write is of the same kind
        told[file] = told[file].replace("await ctx.state.put(", "print(")
    assert lies(told, runs)
