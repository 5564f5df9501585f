"""Count an instance's executions by outcome, and the writes that arrived at the apps."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from halflap.cli.demo.checks import eventually
from halflap.cli.demo.customer import Both, Customer
from halflap.cli.demo.stage import Stage
from halflap.errors import HalflapError

EVENTS = {"account", "opportunity", "opportunity_amount", "contact", "acme_contact"}
"""The flows that records set off; the others run once, at activation and at its end."""
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of executions that succeeded, were echoes, and neither; and of writes that
    arrived.
    """

    executed: int
    echoes: int
    others: int
    writes: int

    def __sub__(self, other: Tally) -> Tally:
        return Tally(
            self.executed - other.executed,
            self.echoes - other.echoes,
            self.others - other.others,
            self.writes - other.writes,
        )

    def __add__(self, other: Tally) -> Tally:
        return self - (Tally(0, 0, 0, 0) - other)


async def tally(scene: Stage, customer: Customer) -> Tally:
    """Count, once all is quiet."""
    ours = [
        each for each in await executions(scene, customer.deals["id"]) if each["flow"] in EVENTS
    ]
    executed = sum(each["state"] == "succeeded" for each in ours)
    echoes = sum(
        each["state"] == "ignored" and each["reason"].startswith("echo: ") for each in ours
    )
    at_acme = sum(each["applied"] for each in await scene.acme.written(customer.workspace))
    effects = await scene.salesforce.look(customer.org, "effects")
    at_salesforce = sum(each["by"] == "api" for each in effects)
    return Tally(executed, echoes, len(ours) - executed - echoes, at_acme + at_salesforce)


async def executions(scene: Stage, instance: str) -> list[Any]:
    """All executions of an instance, newest first."""
    found: list[Any] = []
    before = ""
    while True:
        page = await scene.api.call("GET", f"/executions?instance={instance}&limit=200{before}")
        found += page["executions"]
        if page["next"] is None:
            return found
        before = f"&before={page['next']}"


async def quiet(scene: Stage, both: Both) -> None:
    """Wait until no app has anything to send and nothing runs here; an error if it never is."""
    last = ""

    async def looks_so() -> bool:
        nonlocal last
        if any([await on_its_way(scene, each) for each in both]):
            return False
        live = await scene.api.call("GET", "/executions?state=queued,running,waiting&limit=1")
        newest = (await scene.api.call("GET", "/executions?limit=1"))["executions"][0]["id"]
        was, last = last, newest
        return not live["executions"] and was == newest

    if not await eventually(looks_so, within=60):
        raise HalflapError("the apps and the server do not come to rest")


async def on_its_way(scene: Stage, customer: Customer) -> int:
    """Return the number of events that the apps have yet to send."""
    pending = await scene.salesforce.look(customer.org, "pending")
    return pending["pending"] + await scene.acme.pending(customer.workspace)


async def follows(look: Callable[[], Awaitable[bool]]) -> float:
    """Milliseconds until it holds; `NEVER` where it does not within 10 seconds."""
    began = time.perf_counter()
    held = await eventually(look, within=10, every=0.001)
    return (time.perf_counter() - began) * 1000 if held else NEVER
