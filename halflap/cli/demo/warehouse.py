"""The article's WAREHOUSE_UPDATE."""

from __future__ import annotations

import uuid
from typing import Any

from halflap.cli.demo.checks import Checks, eventually
from halflap.cli.demo.customer import Customer
from halflap.cli.demo.stage import Stage
from halflap.errors import HalflapError
from halflap.model import ENDED
from halflap.sdk import codec


async def warehouse_day(scene: Stage, checks: Checks, initech: Customer) -> None:
    """The article's WAREHOUSE_UPDATE."""
    checks.act("A warehouse reports its movements")
    url = initech.url("warehouse", "stock")
    first = await send_updates(scene, url, [("gadgets", "add", 30), ("widgets", "add", 20)])
    await ended(scene, first)
    update = await send_updates(scene, url, [("widgets", "remove", 10), ("gadgets", "add", 20)])
    outcome = await ended(scene, update)
    stock = await scene.acme.call("GET", "/v1/stock", initech.key)
    quantities = {each["item"]: each["quantity"] for each in stock}
    checks.check(
        outcome["state"] == "succeeded" and quantities == {"widgets": 10, "gadgets": 50},
        "quantities are added and removed",
        update,
        quantities,
    )
    body: dict[str, Any] = {"event": "PRICE_UPDATE", "updates": []}
    async with scene.http.post(url, data=codec.encode(body)) as answer:
        other = answer.headers["halflap-execution"]
    outcome = await ended(scene, other)
    checks.check(outcome["state"] == "ignored", "an unknown event is ignored, visibly", other)
    async with scene.http.post(url, data=b"<not json>") as answer:
        broken = answer.headers["halflap-execution"]
    outcome = await ended(scene, broken)
    checks.check(
        outcome["state"] == "failed" and outcome["failure"]["kind"] == "InvalidEvent",
        "what cannot be read is kept and fails, visibly",
        broken,
    )


async def send_updates(
    scene: Stage, url: str, updates: list[tuple[str, str, int]], delivery: str = ""
) -> str:
    """Send a WAREHOUSE_UPDATE; returns the execution that its acknowledgement names."""
    body = {
        "event": "WAREHOUSE_UPDATE",
        "updates": [{"item": i, "action": a, "quantity": q} for i, a, q in updates],
    }
    headers = {"X-Delivery-Id": delivery or str(uuid.uuid4())}
    async with scene.http.post(url, data=codec.encode(body), headers=headers) as answer:
        if answer.status != 200:
            raise HalflapError(f"not accepted: {answer.status}")
        return answer.headers["halflap-execution"]


async def ended(scene: Stage, execution: str) -> Any:
    """The execution, once it has ended."""

    async def over() -> bool:
        return await state(scene, execution) in ENDED

    await eventually(over)
    return await scene.api.call("GET", f"/executions/{execution}")


async def state(scene: Stage, execution: str) -> str:
    """Return the state of an execution."""
    return (await scene.api.call("GET", f"/executions/{execution}"))["state"]
