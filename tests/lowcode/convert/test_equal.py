"""Generated documents and their Python do the same: effects, order, inputs, results and outcome."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from halflap import UpstreamError
from halflap.lowcode.convert.to_python import code
from halflap.lowcode.convert.to_python.scope import Frame
from halflap.lowcode.convert.to_python.speaker import Speaker
from halflap.lowcode.convert.to_python.writer import Writer
from halflap.sdk.integration import Integration
from halflap.testing import Run
from tests.lowcode.convert.generated import MANY, drawn, events, hunt
from tests.lowcode.convert.twins import ID, alike, imported, opened, python_of, seen, steps_in
from tests.lowcode.documents import acme

Of = Callable[..., Any]


def stubs(seed: int) -> dict[Any, Callable[..., Any]]:
    """What the apps answer: by the action and its inputs alone, sometimes that it failed."""

    def opportunity(of: Of) -> Any:
        price = of(Decimal("1.50"), Decimal(5), Decimal(10**24 + 3))
        return acme.Opportunity(id="o1", name=of("", "n"), stage="Won", seats=of(0, 3), price=price)

    def stock(of: Of) -> Any:
        return [acme.Stock(item=each, quantity=1) for each in of([], ["a"], ["a", "b"])]

    return {
        acme.find_account: answer(seed, lambda of: of(None, account(of), account(of))),
        acme.update_opportunity: answer(seed, opportunity),
        acme.add_stock: answer(seed, lambda of: acme.Stock(item="a", quantity=of(0, 7))),
        acme.log_activity: answer(
            seed, lambda of: acme.Activity(id="1", kind="k", title="t", body=of(None, "b"))
        ),
        acme.list_stock: answer(seed, stock),
    }


def account(of: Of) -> Any:
    """An account, of one kind or another."""
    return acme.Account(id=of("a1", "a2"), name="Initech", external_id=of(None, "006"))


def answer(seed: int, make: Callable[[Of], Any]) -> Callable[..., Any]:
    """A stub that answers by chance, and the same to the same inputs."""

    def stub(**inputs: Any) -> Any:
        chance = Random(ID.sub("exe", f"{seed} {sorted(inputs.items())}"))
        if chance.random() < 0.1:
            raise UpstreamError("refused", status=chance.choice([404, 422]))
        return make(lambda *choices: chance.choice(choices))

    return stub


async def ran(
    integration: Integration[Any], event: Any, seed: int, flow: str = "main"
) -> dict[str, Any]:
    """Run a flow; what was seen of it."""
    chance = Random(seed)
    pairs = integration.paired["accounts"]
    result = await Run()(
        integration.flows[flow],
        event,
        integration=integration,
        stubs=stubs(seed),
        state={"a": 1} if chance.random() < 0.5 else {},
        config={} if chance.random() < 0.5 else {"note": "so", "rate": "7"},
        signals={} if chance.random() < 0.5 else {"decision": {"choice": "yes", "id": 1}},
        paired={pairs: [{"acme": "a", "second": "Won"}]},
    )
    return seen(result)


def compare(chance: Random, *, coded: bool = False) -> None:
    """Make a document, and run it beside its Python for some events."""
    made = drawn(chance, coded=coded)
    integration = opened(made.text).integration
    python = python_of(made.text)
    twin = imported(python)
    assert declared(integration) == declared(twin), f"{made.text}\n{python}"
    with asyncio.Runner() as runner:
        for flow in (*made.flows, "main"):
            event = events(chance, made.typed and flow == "main")
            seed = chance.randrange(10**6)
            one = runner.run(ran(integration, event, seed, flow))
            other = runner.run(ran(twin, event, seed, flow))
            if functions := steps_in(python):
                one, other = alike(one, functions), alike(other, functions)
            if one != other:
                keys = [each for each in one if one[each] != other[each]]
                told = "\n".join(f"{each}:\n  {one[each]}\n  {other[each]}" for each in keys)
                pytest.fail(f"{flow} {told}\n{event!r}\n{made.text}\n{python}")


def declared(integration: Integration[Any]) -> Any:
    """What an integration says of its flows."""
    told = ("name", "title", "description", "keep", "timeout", "max_age", "is_shared")
    return [
        (*(getattr(each, name) for name in told), str(each.trigger), str(each.order))
        for each in integration.flows.values()
    ]


def test_a_document_and_its_python_do_the_same() -> None:
    hunt(40, lambda seed: compare(Random(seed)))


@pytest.mark.soak
def test_many_documents_and_their_python_do_the_same() -> None:
    hunt(MANY * 5, lambda seed: compare(Random(seed)))


def test_a_document_of_code_and_its_python_do_the_same() -> None:
    hunt(25, lambda seed: compare(Random(seed), coded=True))


@pytest.mark.soak
def test_many_documents_of_code_and_their_python_do_the_same() -> None:
    hunt(MANY, lambda seed: compare(Random(seed), coded=True))


def null_for_left_out(patch: pytest.MonkeyPatch) -> None:
    """An input that is left out is given as null."""
    patch.setattr(Speaker, "maybe", Speaker.value)


def kept_from_the_item_before(patch: pytest.MonkeyPatch) -> None:
    """What a loop's body names keeps its value from one item to the next."""
    whole = Writer.beginnings

    def beginnings(self: Writer, frame: Frame, indent: int) -> list[str]:
        made = whole(self, frame, indent)
        return made if frame.parent is None else []

    patch.setattr(Writer, "beginnings", beginnings)


def expressions_uncaught(patch: pytest.MonkeyPatch) -> None:
    """`try` does not catch an expression that fails."""
    uses = Speaker.uses
    others = {"ExpressionError": "Conflict"}
    patch.setattr(Speaker, "uses", lambda self, name: uses(self, others.get(name, name)))


def misfits_unfitted(patch: pytest.MonkeyPatch) -> None:
    """Inputs are given as they come."""
    fits = Speaker.given
    patch.setattr(Speaker, "given", lambda self, *args: (fits(self, *args)[0], True))


def code_unlike_python(patch: pytest.MonkeyPatch) -> None:
    """All code that calls nothing and prints nothing is a function."""

    def is_plain(body: list[ast.stmt], *_: object) -> bool:
        return not {"await", "print"} & set(re.findall(r"\w+", ast.unparse(ast.Module(body, []))))

    patch.setattr(code, "is_plain", is_plain)


def failures_unseen(patch: pytest.MonkeyPatch) -> None:
    """Code is a function where the flow looks at its failure, too."""
    patch.setattr(code, "_is_watched", lambda *_: False)


FAULTS = {
    null_for_left_out: 7,
    kept_from_the_item_before: 130,
    expressions_uncaught: 13,
    misfits_unfitted: 6,
}
"""Faults, each with a document that shows it; where the generator changes, look for others."""
CODED = {code_unlike_python: 18, failures_unseen: 48}
"""The same, for documents of code."""


@pytest.mark.parametrize("fault", FAULTS | CODED, ids=lambda each: each.__name__)
def test_a_fault_in_the_converter_is_found(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seed, coded = (FAULTS | CODED)[fault], fault in CODED
    compare(Random(seed), coded=coded)
    fault(monkeypatch)
    with pytest.raises(pytest.fail.Exception):
        compare(Random(seed), coded=coded)
