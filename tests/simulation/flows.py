"""Flows of every kind, and what each has to come to for its event."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from halflap.engine.executor import Work
from halflap.errors import StepFailed, TimedOut
from halflap.gateway.route import EndpointRoute
from halflap.model import FlowKey
from halflap.sdk.action import Retry, step
from halflap.sdk.component import Component
from halflap.sdk.context import Context, CustomerInfo, InstanceInfo
from halflap.sdk.integration import Integration
from halflap.sdk.order import FlowOrder, fifo, latest_wins, parallel, singleton
from halflap.sdk.request import Request
from halflap.sdk.schema import Config
from halflap.sdk.trigger import FlowResult, Ignore, Reply
from tests.simulation.app import APP, answer_to
from tests.simulation.loop import PROCESS

INSTANCE = "ins_1"
app = Component("app")
shop = Integration[Config]("shop")
PATIENT = Retry(attempts=8, first=timedelta(seconds=1), longest=timedelta(seconds=20))


@app.action(retry=PATIENT)
async def act(name: str, told: str = "") -> str:
    """Do something that changes the app."""
    return await APP.get().call(name)


@app.action(pure=True)
async def spell(text: str) -> str:
    """Spell a text backwards."""
    return text[::-1]


@app.trigger(dedupe=lambda request: request.headers.get("x-delivery"))
async def hook(request: Request) -> Any:
    """Read an event."""
    event = request.json()
    return Ignore("a ping") if event.get("ping") else event


@app.trigger(
    dedupe=lambda request: request.headers.get("x-delivery"), split=lambda request: request.json()
)
async def batch(request: Request) -> Any:
    """Read one of many events that came together."""
    return request.json()


@app.trigger(
    dedupe=lambda request: request.headers.get("x-delivery"),
    answer=FlowResult(timedelta(seconds=8)),
)
async def ask(request: Request) -> Any:
    """Read a question."""
    return request.json()


@shop.flow(trigger=hook)
async def straight(ctx: Context[Config], event: Any) -> list[str]:
    """Effects one after another, which tell the time and a number of their own."""
    first = await act(f"{event['id']}.a")
    ctx.log.info("first is done", first=first)
    second = await act(f"{event['id']}.b", f"{ctx.now().isoformat()} {ctx.uuid()}")
    third = await act(f"{event['id']}.c", f"{second} {ctx.now().isoformat()}")
    return [first, second, third]


@shop.flow(trigger=hook)
async def mixed(ctx: Context[Config], event: Any) -> list[str]:
    """Pure steps between effects."""
    name = await spell(await spell(event["id"]))
    first = await act(f"{name}.a", str(ctx.uuid()))
    turned = await spell(first)
    second = await act(f"{name}.b", turned + ctx.now().isoformat())
    return [first, await spell(turned), second]


@shop.flow(trigger=hook)
async def sleeper(ctx: Context[Config], event: Any) -> list[str]:
    """An effect, a rest, another one."""
    first = await act(f"{event['id']}.a")
    began = ctx.now()
    await ctx.sleep(float(event["rest"]))
    if ctx.now() - began < timedelta(seconds=float(event["rest"])):
        return ["woken too early"]
    return [first, await act(f"{event['id']}.b", ctx.now().isoformat())]


@shop.flow(trigger=hook)
async def fan(ctx: Context[Config], event: Any) -> list[str]:
    """A branch for each item; one of them may fail for good."""

    async def branch(item: str) -> str:
        try:
            made = await act(f"{event['id']}.{item}")
        except StepFailed:
            return f"{item} failed"
        return await act(f"{made}.more", ctx.now().isoformat())

    found = await ctx.gather(event["items"], branch, limit=event["limit"])
    return [*found, await act(f"{event['id']}.last", ctx.now().isoformat())]


@shop.flow(trigger=hook)
async def counter(ctx: Context[Config], event: Any) -> list[str]:
    """Adds its event to a list that many others add to at the same time, between two effects."""
    first = await act(f"{event['id']}.a")
    await ctx.state.update("list", lambda found: [*found, event["id"]], default=[])
    return [first, await act(f"{event['id']}.b")]


async def one_of_many(ctx: Context[Config], event: Any) -> list[str]:
    """Two effects, and maybe a rest between them."""
    first = await act(f"{event['id']}.a")
    if event.get("rest"):
        await ctx.sleep(float(event["rest"]))
    return [first, await act(f"{event['id']}.b{event.get('how', '')}")]


def key_in(request: Request) -> str | None:
    """The key in a request's body."""
    return request.json()["key"]


ORDERS: dict[str, FlowOrder] = {
    "fifos": fifo(by_key=key_in),
    "passing": fifo(by_key=key_in, while_waiting="go_on"),
    "strict": fifo(by_key=key_in, after_failure="block"),
    "narrow": parallel(2),
    "latest": latest_wins(by_key=key_in),
    "single": singleton(by_key=key_in),
}
"""The flows that have an order, each with its own."""


def in_order(name: str, order: FlowOrder) -> None:
    """Make a flow whose executions come in an order."""

    async def flow(ctx: Context[Config], event: Any) -> list[str]:
        return await one_of_many(ctx, event)

    flow.__name__ = name
    shop.flow(trigger=hook, order=order)(flow)


for flow_name, flow_order in ORDERS.items():
    in_order(flow_name, flow_order)


@shop.flow(trigger=hook)
async def approval(ctx: Context[Config], event: Any) -> list[str]:
    """Waits for somebody to say yes."""
    first = await act(f"{event['id']}.a")
    said = await ctx.wait_for("approved")
    return [first, said, await act(f"{event['id']}.b", said)]


@shop.flow(trigger=hook)
async def patient(ctx: Context[Config], event: Any) -> list[str]:
    """Waits for somebody to say yes, in each branch of its own, but not for ever."""

    async def branch(name: str) -> str:
        try:
            said = await ctx.wait_for(name, timeout=timedelta(seconds=30))
        except TimedOut:
            said = "nobody"
        return await act(f"{event['id']}.{name}", said)

    return await ctx.gather(["a", "b"], branch)


@step
async def die(attempt: int) -> str:
    """End the process."""
    process = PROCESS.get()
    assert process is not None
    asyncio.get_running_loop().kill(process)
    await asyncio.sleep(1.0)
    return "alive"


@shop.flow(trigger=hook)
async def poison(ctx: Context[Config], event: Any) -> str:
    """Ends its process, whenever it is run."""
    await act(f"{event['id']}.a")
    return await die(0)


@shop.flow(trigger=hook)
async def hopeless(ctx: Context[Config], event: Any) -> list[str]:
    """Fails at its second step for good, until somebody replays it with another event."""
    first = await act(f"{event['id']}.a")
    return [first, await act(f"{event['id']}.b{event.get('how', '!')}", first)]


@shop.flow(trigger=batch)
async def parts(ctx: Context[Config], event: Any) -> list[str]:
    """An effect for one of many events that came in one request."""
    return [await act(f"{event['id']}.a")]


@shop.flow(trigger=ask)
async def asked(ctx: Context[Config], event: Any) -> Reply:
    """Answers the sender."""
    return Reply(body=[await act(f"{event['id']}.a"), await act(f"{event['id']}.b")])


def expected(flow: str, body: bytes) -> Any:
    """Return the result of a flow for an event, where nobody cancels it."""
    event = json.loads(body)
    name = event["id"]
    done = [answer_to(f"{name}.{each}") for each in "abc"]
    match flow:
        case "straight":
            return done
        case "mixed":
            return [done[0], done[0], done[1]]
        case "sleeper" | "counter" | "patient":
            return done[:2]
        case "approval":
            return [done[0], "yes", done[1]]
        case "poison":
            return None
        case _ if flow in ORDERS:
            how = event.get("how", "")
            return None if how == "!" else [done[0], answer_to(f"{name}.b{how}")]
        case "fan":
            branches = [
                f"{item} failed"
                if item.endswith("!")
                else answer_to(f"{answer_to(f'{name}.{item}')}.more")
                for item in event["items"]
            ]
            return [*branches, answer_to(f"{name}.last")]
        case "parts":
            return done[:1]
        case "asked":
            return done[:2]
        case "hopeless":
            how = event.get("how", "!")
            return None if how == "!" else [done[0], answer_to(f"{name}.b{how}")]
        case _:
            raise AssertionError(f"there is no flow {flow}")


async def find(endpoint: str) -> EndpointRoute | None:
    """The route to a flow, which is named as its endpoint."""
    flow = shop.flows.get(endpoint)
    if flow is None:
        return None
    key = FlowKey("cus_1", INSTANCE, "shop", endpoint, "v1", 1)
    return EndpointRoute(endpoint, "", key, flow, (), hide)


async def work_of(key: FlowKey) -> Work:
    """The work of a flow."""
    return Work(
        flow=shop.flows[key.flow],
        config=Config(),
        customer=CustomerInfo(key.customer, "Ada"),
        instance=InstanceInfo(key.instance, "Ada's"),
        urls={},
        secret=SecretStr,
        seal=hide,
        unseal=hide,
    )


def hide(text: str) -> str:
    """Seals nothing that is worth it."""
    return b64encode(text.encode()).decode()
