"""Generated documents and their Python do the same: effects, order, inputs, results and outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from random import Random
from textwrap import dedent, indent
from typing import Any

import pytest

from halflap import UpstreamError
from halflap.lowcode.convert import flow, terms
from halflap.lowcode.convert.flow import PythonScope
from halflap.lowcode.kinds import ForStep
from halflap.sdk.integration import Integration
from halflap.testing import Run
from tests.lowcode.convert.generated import MANY, drawn, events, hunt
from tests.lowcode.convert.twins import ID, both, imported, opened, python_of, seen
from tests.lowcode.documents import HEAD, acme

Of = Callable[..., Any]


def stubs(seed: int) -> dict[Any, Callable[..., Any]]:
    """Return the apps' answers: by the action and its inputs alone, sometimes that it failed."""

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
            if one != other:
                keys = [each for each in one if one[each] != other[each]]
                told = "\n".join(f"{each}:\n  {one[each]}\n  {other[each]}" for each in keys)
                pytest.fail(f"{flow} {told}\n{event!r}\n{made.text}\n{python}")


def declared(integration: Integration[Any]) -> Any:
    """Return what an integration declares of its flows."""
    told = ("name", "title", "description", "keep", "timeout", "max_age", "is_shared")
    return [
        (*(getattr(each, name) for name in told), str(each.trigger), str(each.order))
        for each in integration.flows.values()
    ]


def test_a_document_and_its_python_do_the_same() -> None:
    hunt(15, lambda seed: compare(Random(seed)))


@pytest.mark.soak
def test_many_documents_and_their_python_do_the_same() -> None:
    hunt(MANY * 5, lambda seed: compare(Random(seed)))


def test_a_document_of_code_and_its_python_do_the_same() -> None:
    hunt(8, lambda seed: compare(Random(seed), coded=True))


@pytest.mark.soak
def test_many_documents_of_code_and_their_python_do_the_same() -> None:
    hunt(MANY, lambda seed: compare(Random(seed), coded=True))


def null_for_left_out(patch: pytest.MonkeyPatch) -> None:
    """An input or a member that is left out is given as null."""
    whole = PythonScope.value
    patch.setattr(PythonScope, "value", lambda *args, maybe=False: whole(*args))


def kept_from_the_item_before(patch: pytest.MonkeyPatch) -> None:
    """A name that a loop's body sets keeps its value from one item to the next."""
    whole = flow.beginnings

    def beginnings(scope: PythonScope, names: Any) -> list[str]:
        return whole(scope, names) if scope.path[-1] == "steps" else []

    patch.setattr(flow, "beginnings", beginnings)


def expressions_uncaught(patch: pytest.MonkeyPatch) -> None:
    """`try` does not catch an expression that fails."""
    patch.setattr(PythonScope, "failures", lambda self: self.use("FAILURES"))


def misfits_unfitted(patch: pytest.MonkeyPatch) -> None:
    """Inputs are given as they come."""
    whole = PythonScope.argument
    patch.setattr(PythonScope, "argument", lambda *args: (whole(*args)[0], True))


def unequal_kinds_compared(patch: pytest.MonkeyPatch) -> None:
    """Values of any kinds are compared by `==`, by which 1 equals True."""
    patch.setattr(terms, "_compares_alike", lambda *_: True)


def collected_only_for_a_result(patch: pytest.MonkeyPatch) -> None:
    """The values that a loop collects are left out where nothing reads them."""
    whole = ForStep._python_item

    def item(self: ForStep, inner: PythonScope, give: str, *rest: Any, **more: Any) -> list[str]:
        step = self if give else self.model_copy(update={"collect": None})
        return whole(step, inner, give, *rest, **more)

    patch.setattr(ForStep, "_python_item", item)


def outer_names_reused(patch: pytest.MonkeyPatch) -> None:
    """A loop's names take the variables of the steps around it."""
    whole = PythonScope.frame

    def frame(self: PythonScope, *args: Any) -> Any:
        return whole(replace(self, taken=frozenset()), *args)

    patch.setattr(PythonScope, "frame", frame)


def copies_begin_with_nothing(patch: pytest.MonkeyPatch) -> None:
    """An item that runs beside others has no copy of what was set before."""
    patch.setattr(flow, "copies", lambda *_: [])


FAULTS = {
    null_for_left_out: 25,
    kept_from_the_item_before: 130,
    expressions_uncaught: 13,
    misfits_unfitted: 3,
}
"""Faults, each with a document that shows it; where the generator changes, look for others."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.__name__)
def test_a_fault_in_the_converter_is_found(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(Random(FAULTS[fault]))
    fault(monkeypatch)
    with pytest.raises(pytest.fail.Exception):
        compare(Random(FAULTS[fault]))


RARE = {
    unequal_kinds_compared: """
        - if: =event.a = 1
          then: [{stop: {answer: one}}]
        - stop: {answer: another}
        """,
    collected_only_for_a_result: """
        - {for: x, in: [1], do: [{log: "=x & 'x'"}], collect: '=event.a + 1'}
        """,
    outer_names_reused: """
        - for: x
          in: [1]
          do:
            - {id: r, state: get, key: k, default: =x}
            - log: =$string(r)
        - if: =event.none = 1
          then: [{id: r, state: get, key: k}]
        - stop: {answer: =r}
        """,
    copies_begin_with_nothing: """
        - set: {n: 7}
        - id: found
          for: x
          in: [1, 2]
          parallel: 2
          do: [{if: =x = 2, then: [{set: {n: 8}}]}]
          collect: =n
        - stop: {answer: =found}
        """,
}
"""Faults that documents by chance seldom show, each with steps that do."""


@pytest.mark.parametrize("fault", RARE, ids=lambda each: each.__name__)
async def test_a_rare_fault_in_the_converter_is_found(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HEAD + indent(dedent(RARE[fault]), " " * 6)

    async def seen_of(integration: Integration[Any]) -> Any:
        return seen(await Run()(integration.flows["main"], {"a": True}, integration=integration))

    wanted = await seen_of(opened(text).integration)
    assert await seen_of(imported(python_of(text))) == wanted
    fault(monkeypatch)
    try:
        found = await seen_of(imported(python_of(text)))
    except UnboundLocalError:
        return
    assert found != wanted


async def test_a_message_is_evaluated_before_its_fields() -> None:
    text = HEAD + "      - {log: '=$string(event.a + 1)', fields: {x: '=$uppercase(event.a)'}}\n"
    for result in await both(text, {"a": True}):
        assert "+" in result.reason, result.reason


async def test_the_place_of_an_error_within_a_text_is_not_compared() -> None:
    steps = """
    - id: all
      for: each
      in: [a]
      on_failure: continue
      collect: =each
      do: [{log: =event.list}]
    - stop: {answer: =$string(all)}
    """
    one, other = await both(HEAD + indent(dedent(steps), " " * 6), {"list": [1]})
    assert "ExpressionError" in str(one.result)
    assert one.result != other.result
    assert seen(one) == seen(other)
