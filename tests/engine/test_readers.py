"""Two-way: several flows of one instance that are told of the same record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from halflap import Context, Flow, Pairs
from tests.engine.twins import FIELDS, Twins, twins_on


@pytest.fixture
async def twins(tmp_path: Path) -> AsyncIterator[Twins]:
    async with twins_on("memory", tmp_path) as made:
        yield made


def noting(twins: Twins, told: list[Any], **options: Any) -> Flow[Any, Any, Any]:
    """A second flow of the left app: it writes nothing."""

    async def note(ctx: Context[Any], thing: Any) -> None:
        told.append(thing["amount"])

    trigger: Any = twins.components["left"].triggers["changed"]
    return twins.integration.flow(trigger=trigger, **options)(note)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("first", [True, False])
async def test_each_flow_of_an_app_is_told_of_an_edit(
    twins: Twins, paired: bool, first: bool
) -> None:
    told: list[Any] = []
    second = noting(twins, told, **({"pairs": twins.pairs} if paired else {}))
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    twins.left.edit("left_1", amount="300")
    event = twins.left.told.pop()
    for flow in (second, None) if first else (None, second):
        assert (await twins.ended(await twins.send(event, flow=flow))).state == "succeeded"
    assert told == [Decimal(300)]
    await twins.settle()
    assert twins.right.records["right_1"]["amount"] == Decimal(300)
    assert twins.equal


async def test_an_own_write_is_an_echo_for_each_flow_of_an_app(twins: Twins) -> None:
    told: list[Any] = []
    second = noting(twins, told)
    twins.right.edit(name="Initech", amount="220")
    await twins.ended(await twins.send(twins.right.told.pop()))
    event = twins.left.told.pop()
    for flow in (second, None, second):
        echo = await twins.ended(await twins.send(event, flow=flow))
        assert echo.reason.startswith("echo: ")
    assert told == []


async def test_an_edit_that_only_another_flow_was_told_of_is_not_written_over(
    twins: Twins,
) -> None:
    twins.build(master=None)
    second = noting(twins, [])
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    twins.left.edit("left_1", amount="300")
    event = twins.left.told.pop()
    await twins.ended(await twins.send(event, flow=second))
    twins.right.edit("right_1", name="Initrode")
    await twins.ended(await twins.send(twins.right.told.pop()))
    assert twins.left.records["left_1"] == {"name": "Initrode", "amount": Decimal(300)}
    await twins.ended(await twins.send(event))
    await twins.settle()
    assert twins.equal


async def test_what_a_flow_was_told_before_a_write_of_ours_is_news_after_it(twins: Twins) -> None:
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    for place, id, amount in [
        (twins.left, "left_1", 300),
        (twins.right, "right_1", 400),
        (twins.left, "left_1", 300),
    ]:
        place.edit(id, amount=amount)
        await twins.settle()
        assert twins.equal
        assert twins.left.records["left_1"]["amount"] == Decimal(amount)


@pytest.fixture
def others(twins: Twins) -> tuple[Pairs, Flow[Any, Any, Any], list[Any]]:
    """Other pairs of the same left records, and their flow."""
    told: list[Any] = []
    pairs = twins.integration.pairs("others", left="thing", right="thing")

    async def other(ctx: Context[Any], thing: Any) -> None:
        told.append(thing["amount"])
        known = await ctx.paired(pairs, left=thing["id"])
        fields = {name: thing[name] for name in FIELDS}
        if known is None:
            await twins.components["right"].actions["create"](ctx.config.right, **fields)
        else:
            await twins.components["right"].actions["update"](ctx.config.right, known, **fields)

    trigger: Any = twins.components["left"].triggers["changed"]
    return pairs, twins.integration.flow(trigger=trigger, pairs=pairs)(other), told


async def test_what_a_flow_wrote_is_passed_on_to_the_record_of_other_pairs(
    twins: Twins, others: tuple[Pairs, Flow[Any, Any, Any], list[Any]]
) -> None:
    _, flow, told = others
    twins.right.edit(name="Initech", amount="220")
    await twins.ended(await twins.send(twins.right.told.pop()))
    event = twins.left.told.pop()
    assert (await twins.ended(await twins.send(event))).reason.startswith("echo: ")
    for _ in range(2):
        await twins.ended(await twins.send(event, flow=flow))
    assert told == [Decimal(220)]
    assert twins.right.records["right_2"] == twins.right.records["right_1"]
    assert len(twins.left.records) == 1
    twins.right.told.clear()
    twins.right.edit("right_1", amount="300")
    await twins.ended(await twins.send(twins.right.told.pop()))
    await twins.ended(await twins.send(twins.left.told[-1], flow=flow))
    assert twins.right.records["right_2"]["amount"] == Decimal(300)


async def test_a_value_that_other_pairs_wrote_again_is_no_news(
    twins: Twins, others: tuple[Pairs, Flow[Any, Any, Any], list[Any]]
) -> None:
    _, flow, told = others
    twins.right.edit(name="Initech", amount="220")
    await twins.ended(await twins.send(twins.right.told.pop()))
    event = twins.left.told.pop()
    await twins.ended(await twins.send(event, flow=flow))
    twins.right.edit("right_1", name="Initrode")  # its amount is written again, as it is
    await twins.ended(await twins.send(twins.right.told.pop()))
    again = await twins.ended(await twins.send(event, flow=flow))  # late, of what was before
    assert (again.state, told) == ("succeeded", [Decimal(220)] * 2)
    last = await twins.ended(await twins.send(twins.left.told[-1], flow=flow))
    assert last.state == "ignored"
