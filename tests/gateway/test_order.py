"""Events of paired records come one after another, whichever app tells of them."""

from dataclasses import replace
from typing import Any

import pytest

from halflap import (
    Component,
    Config,
    Connection,
    Context,
    Integration,
    Json,
    Reads,
    Request,
    fifo,
    parallel,
    pointer,
)
from halflap.model import Order
from halflap.sdk.integration import Flow
from halflap.testing import Receive


class Here(Connection):
    """One app."""


class There(Connection):
    """The other."""


class Settings(Config):
    here: Here
    there: There


component, other = Component("here", connection=Here), Component("there", connection=There)


@component.trigger(
    key=pointer("/id"), reads=Reads("thing"), split=lambda request: request.json()["things"]
)
async def changed(request: Request) -> Json:
    """Things changed."""
    return request.json()


integration = Integration("two-ways", config=Settings)
things = integration.pairs("things", here="thing", there="thing")


@integration.flow(trigger=changed, pairs=things)
async def paired(ctx: Context[Settings], thing: Json) -> None:
    pass


@integration.flow(trigger=changed)
async def single(ctx: Context[Settings], thing: Json) -> None:
    pass


@integration.flow(trigger=changed, order=parallel(3))
async def limited(ctx: Context[Settings], thing: Json) -> None:
    pass


@integration.flow(trigger=changed, order=fifo(by_key=True))
async def keyed(ctx: Context[Settings], thing: Json) -> None:
    pass


@integration.flow(trigger=changed, order=fifo(by_key=lambda request: request.json()["name"]))
async def named(ctx: Context[Settings], thing: Json) -> None:
    pass


@pytest.mark.parametrize(
    ("flow", "orders"),
    [
        (paired, [Order("pairs", "here/thing/t1"), None]),
        (single, [None, None]),
        (limited, [Order("order", "", 3, while_waiting="go_on")] * 2),
        (keyed, [Order("order", "t1"), None]),
        (named, [None, Order("order", "has no id")]),
    ],
    ids=["pairs", "none", "flow", "key", "function"],
)
async def test_an_event_has_the_order_that_its_flow_declares(
    receive: Receive, flow: Flow[Any, Any, Any], orders: list[Order | None]
) -> None:
    received = await receive(flow, {"things": [{"id": "t1"}, {"name": "has no id"}]}, sign=False)
    of = [each and replace(each, scope=each.scope.split(":")[0]) for each in received.orders]
    assert of == orders
