"""Flows of every kind, and what each has to come to for its event."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from halflap.errors import StepFailed
from halflap.sdk.action import Retry
from halflap.sdk.component import Component
from halflap.sdk.context import Context
from halflap.sdk.integration import Integration
from halflap.sdk.request import Request
from halflap.sdk.schema import Config
from halflap.sdk.trigger import FlowResult, Ignore, Reply
from tests.simulation.app import APP, TURN, answer_to

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


@shop.flow(trigger=hook)
async def ordered(ctx: Context[Config], event: Any) -> list[str]:
    """Effects of which those of one key come one execution after another."""
    first = await act(f"{event['id']}.a")
    if event.get("rest"):
        await ctx.sleep(float(event["rest"]))
    return [first, await act(f"{event['id']}.b")]


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
    """What a flow comes to for an event, where nobody cancels it."""
    event = json.loads(body)
    name = event["id"]
    done = [answer_to(f"{name}.{each}") for each in "abc"]
    match flow:
        case "straight":
            return done
        case "mixed":
            return [done[0], done[0], done[1]]
        case "sleeper" | "counter" | "ordered":
            return done[:2]
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


__all__ = ["TURN", "expected", "shop"]
