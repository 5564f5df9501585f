"""A person's edit in Acme goes out."""

from __future__ import annotations

import time

from halflap.cli.demo.checks import Checks, eventually
from halflap.cli.demo.customer import Customer
from halflap.cli.demo.stage import Stage
from halflap.sdk import codec


async def export_day(scene: Stage, checks: Checks, initech: Customer) -> None:
    """A person edits in Acme; the edit goes out."""
    checks.act("A person edits in Acme")
    made = await scene.acme.call(
        "POST",
        "/v1/opportunities",
        initech.key,
        json={"external_id": "006", "name": "Initech", "stage": "Proposal"},
    )
    scene.receiver.received.clear()
    began = time.perf_counter()
    await scene.acme.call(
        "PATCH",
        f"/v1/opportunities/{made['id']}",
        initech.key,
        json={"seats": 10, "price": "22.10"},
    )

    async def out() -> bool:
        return any("22.10" in codec.encode(body).decode() for _, _, body in scene.receiver.received)

    gone = await eventually(out)
    took = next((at - began for at, _, _ in scene.receiver.received), 0.0) * 1000
    checks.check(
        gone, "the edit is at the other API, its price exact", f"{took:.0f} ms after the edit"
    )
