"""Generated documents go through Python and come back: nothing is refused, and they do the same."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Callable
from random import Random

import pytest

from halflap.lowcode.convert import to_yaml
from halflap.lowcode.convert.to_yaml import loops
from halflap.lowcode.convert.to_yaml.branches import Branches
from halflap.lowcode.convert.to_yaml.functions import Functions
from halflap.lowcode.convert.to_yaml.shapes import Body
from tests.lowcode.convert.generated import MANY, drawn, events, hunt
from tests.lowcode.convert.test_equal import ran
from tests.lowcode.convert.twins import opened, python_of
from tests.lowcode.documents import EXAMPLES

ACME = (EXAMPLES / "acme.py").read_text("utf-8")


def back(seed: int, *, coded: bool = False) -> str:
    """Send a document through Python, and run both for some events; what came back."""
    chance = Random(seed)
    made = drawn(chance, coded=coded)
    text = made.text
    python = python_of(text)
    yaml = to_yaml({"acme.py": ACME, "tried.py": python}, "tried.py")
    one, other = opened(text).integration, opened(yaml).integration
    with asyncio.Runner() as runner:
        for flow in (*made.flows, "main"):
            event = events(chance, made.typed and flow == "main")
            stubbed = chance.randrange(10**6)
            seen = [runner.run(ran(each, event, stubbed, flow)) for each in (one, other)]
            if seen[0] != seen[1]:
                pytest.fail(f"{event!r}\n{text}\n{python}\n{yaml}")
    return yaml


def test_documents_do_the_same_after_a_way_through_python() -> None:
    hunt(25, back)


def test_documents_of_code_do_the_same_after_a_way_through_python() -> None:
    hunt(15, lambda seed: back(seed, coded=True))


@pytest.mark.soak
def test_many_documents_do_the_same_after_a_way_through_python() -> None:
    hunt(MANY * 3, back)
    hunt(MANY, lambda seed: back(seed, coded=True))


def every_item(patch: pytest.MonkeyPatch) -> None:
    """A loop takes every item."""
    taken_apart = loops.taken_apart

    def without(statements: list[ast.stmt]) -> Body:
        body = taken_apart(statements)
        body.where = None
        return body

    patch.setattr(loops, "taken_apart", without)


def null_for_left_out(patch: pytest.MonkeyPatch) -> None:
    """A member that is left out is null."""
    whole = Functions.asked

    def asked(self: Functions, node: ast.expr) -> str | None:
        found = whole(self, node)
        return None if found == "maybe" else found

    patch.setattr(Functions, "asked", asked)


def cases_by_equality(patch: pytest.MonkeyPatch) -> None:
    """True is 1, and False is 0."""
    whole = Branches.switch

    def switch(self: Branches, node: ast.Match) -> object:
        made = whole(self, node)
        cases = made[0].data["cases"]
        made[0].data["cases"] = {
            int(each) if isinstance(each, bool) else each: steps for each, steps in cases.items()
        }
        return made

    patch.setattr(Branches, "switch", switch)


def failures_uncaught(patch: pytest.MonkeyPatch) -> None:
    """What is passed by where it fails is not."""
    whole = Branches.attempt

    def attempt(self: Branches, node: ast.Try) -> object:
        made = whole(self, node)
        for each in made:
            each.data.pop("on_failure", None)
        return made

    patch.setattr(Branches, "attempt", attempt)


FAULTS = {
    every_item: 6,
    null_for_left_out: 29,
    cases_by_equality: 264,
    failures_uncaught: 259,
}
"""Faults, each with a document that shows it; where the generator changes, look for others."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.__name__)
def test_a_fault_on_the_way_back_is_found(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert back(FAULTS[fault])
    fault(monkeypatch)
    with pytest.raises(pytest.fail.Exception):
        back(FAULTS[fault])
