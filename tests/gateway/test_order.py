"""Events of paired records come one after another, whichever app tells of them."""

import json
from collections.abc import Sequence

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
from halflap.gateway.app import Gateway
from halflap.gateway.route import EndpointRoute
from halflap.model import FlowKey, Order, Outcome, Start, Started, wall_clock


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


class Intake:
    """An engine that keeps what it is given."""

    def __init__(self) -> None:
        self.starts: list[Start] = []

    async def start(self, starts: Sequence[Start]) -> list[Started]:
        self.starts += starts
        return [Started(each.execution) for each in starts]

    async def outcome(self, execution: str, within: float) -> Outcome | None:
        return None


async def orders_of(flow: str) -> list[Order | None]:
    """The orders of the executions that one request with two things starts."""
    key = FlowKey("cus_1", "ins_1", integration.name, flow, "v1", 1)
    route = EndpointRoute(
        "hk_1", "https://h.example/hooks/hk_1", key, integration.flows[flow], (), str
    )

    async def find(endpoint: str) -> EndpointRoute | None:
        return route

    intake = Intake()
    gateway = Gateway(find, intake, wall_clock, reject=lambda _: None, count=lambda *_: None)
    body = json.dumps({"things": [{"id": "t1"}, {"name": "has no id"}]}).encode()
    await gateway(
        {"method": "POST", "path": "/hooks/hk_1", "query_string": b"", "headers": []},
        iter_of({"type": "http.request", "body": body}),
        nothing,
    )
    return [each.order for each in intake.starts]


def iter_of(message: dict[str, object]):
    async def receive() -> dict[str, object]:
        return message

    return receive


async def nothing(message: dict[str, object]) -> None:
    pass


async def test_an_event_of_a_paired_record_has_the_order_of_its_pair() -> None:
    assert await orders_of("paired") == [Order("pairs:ins_1:things", "here/thing/t1"), None]


async def test_all_events_of_a_flow_have_its_order() -> None:
    order = Order("order:ins_1:limited", "", 3, while_waiting="go_on")
    assert await orders_of("limited") == [order, order]


async def test_an_event_has_the_order_of_its_key_and_none_without_one() -> None:
    assert await orders_of("keyed") == [Order("order:ins_1:keyed", "t1"), None]
    assert await orders_of("named") == [None, Order("order:ins_1:named", "has no id")]


async def test_an_event_of_a_flow_without_pairs_waits_for_none() -> None:
    assert await orders_of("single") == [None, None]
