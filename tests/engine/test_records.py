"""Records by their ids: asked for once in an execution, in batches, the same on every attempt."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from halflap import (
    Component,
    Config,
    Connection,
    Context,
    DefinitionError,
    Integration,
    Model,
    Records,
    StepFailed,
    UpstreamError,
    webhook,
)
from halflap.testing import Fake, Run
from halflap.testing.fake import Sent


class Shop(Connection):
    """A shop."""

    base_url: str = "https://shop.example"


class Item(Model):
    id: str
    name: str


component = Component("shop", connection=Shop)


@component.action(batch=3)
async def get_items(shop: Shop, ids: list[str], lang: str = "en") -> Records[Item]:
    """Get items by their ids."""
    found = await shop.get("/items", params={"ids": ",".join(ids), "lang": lang})
    return Records.of(ids, {each["id"]: Item.model_validate(each) for each in found})


class Settings(Config):
    shop: Shop
    other: Shop


integration = Integration("items", config=Settings)
Told = dict[str, Any]


@integration.flow(trigger=webhook.request(signature=None))
async def once(ctx: Context[Settings], event: Told) -> list[list[str]]:
    asked = [await get_items(ctx.config.shop, ids) for ids in event["asked"]]
    return [[*each.found, *(f"-{id}" for id in each.missing)] for each in asked]


@integration.flow(trigger=webhook.request(signature=None))
async def apart(ctx: Context[Settings], event: Told) -> None:
    await get_items(ctx.config.shop, ["a"])
    await get_items(ctx.config.shop, ["a"], lang="de")
    await get_items(ctx.config.other, ["a"])
    await get_items.titled("Look again")(ctx.config.shop, ["a"])


@integration.flow(trigger=webhook.request(signature=None))
async def branches(ctx: Context[Settings], event: Told) -> list[str]:
    await get_items(ctx.config.shop, ["a"])

    async def branch(id: str) -> str:
        await get_items(ctx.config.shop, ["a", id, "z"])
        await ctx.sleep(60)  # the flow is run again from its records
        return (await get_items(ctx.config.shop, [id])).found[id].name

    names = await ctx.gather(["b", "c"], branch)
    await get_items(ctx.config.shop, ["z"])
    return names


@integration.flow(trigger=webhook.request(signature=None))
async def again(ctx: Context[Settings], event: Told) -> list[str]:
    with suppress(StepFailed):
        await get_items(ctx.config.shop, ["a", "b", "c", "d"])
    return [*(await get_items(ctx.config.shop, ["a", "d"])).found]


def shop(fake: Fake, *gone: str) -> None:
    def answer(sent: Sent) -> Any:
        ids = sent.params["ids"].split(",")
        return [{"id": each, "name": each.upper()} for each in ids if each not in gone]

    fake.get("/items", answers=answer)


def asked(result: Any) -> list[list[str]]:
    return [dict(each.inputs)["ids"] for each in result.steps]


async def test_each_id_is_asked_for_once_and_three_at_a_time(run: Run, fake: Fake) -> None:
    shop(fake, "c", "x")
    wanted = [["a", "b", "a", "c", "d"], ["d", "c"], ["x", "e"], [], ["a", "e", "x"]]
    result = await run(once, {"asked": wanted}, fake=fake)
    assert result.result == [["a", "b", "d", "-c"], ["d", "-c"], ["e", "-x"], [], ["a", "e", "-x"]]
    assert asked(result) == [["a", "b", "c"], ["d"], ["x", "e"]]
    assert [each.name for each in result.records][1:] == ["shop.get_items"] * 3


async def test_other_inputs_and_another_connection_are_asked_by_themselves(
    run: Run, fake: Fake
) -> None:
    shop(fake)
    result = await run(apart, {}, fake=fake)
    assert asked(result) == [["a"], ["a"], ["a"]]


async def test_a_branch_knows_what_was_known_before_it_began(run: Run, fake: Fake) -> None:
    shop(fake)
    result = await run(branches, {}, fake=fake)
    assert result.result == ["B", "C"]
    assert sorted(asked(result)) == [["a"], ["b", "z"], ["c", "z"], ["z"]]
    assert len(fake.requests) == 4  # none again, though each branch was resumed


async def test_a_batch_that_failed_is_asked_for_again(run: Run, fake: Fake) -> None:
    refused = UpstreamError("no", status=400)
    page = [{"id": each, "name": each} for each in "abc"]
    fake.get("/items", answers=page).then(error=refused).then([{"id": "d", "name": "d"}])
    result = await run(again, {}, fake=fake)
    assert result.result == ["a", "d"]
    assert asked(result) == [["a", "b", "c"], ["d"], ["d"]]


async def test_outside_of_a_flow_it_is_a_function_in_batches(fake: Fake) -> None:
    shop(fake, "b")
    found = await get_items(fake.connection(Shop), list("abcd"))
    assert (list(found.found), found.missing) == (["a", "c", "d"], ["b"])
    assert found.found["a"] == Item(id="a", name="A")
    assert len(fake.requests) == 2


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_has_ids_and_records(batch: int) -> None:
    one = Component("one", connection=Shop)
    with pytest.raises(DefinitionError, match="at least one"):

        @one.action(batch=batch)
        async def none_at_a_time(shop: Shop, ids: list[str]) -> Records[Item]:
            """Get none."""
            return Records.of(ids, {})

    with pytest.raises(DefinitionError, match="ids: list"):

        @one.action(batch=1)
        async def no_ids(shop: Shop, id: str) -> Records[Item]:
            """Get one."""
            return Records.of([id], {})

    with pytest.raises(DefinitionError, match="Records"):

        @one.action(batch=1)
        async def no_records(shop: Shop, ids: list[str]) -> list[Item]:
            """Get a list."""
            return []
