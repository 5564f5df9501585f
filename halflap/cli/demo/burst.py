"""kill -9 in the middle of a burst; the sender sends again what was not acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

import aiohttp

from halflap.cli.demo.checks import Checks, eventually
from halflap.cli.demo.customer import Customer
from halflap.cli.demo.stage import Stage
from halflap.cli.demo.warehouse import send_updates, state
from halflap.errors import HalflapError
from halflap.model import ENDED

BURST = 500


async def burst(scene: Stage, checks: Checks, globex: Customer) -> None:
    """kill -9 in the middle of a burst; the sender sends again what was not acknowledged."""
    checks.act(f"kill -9 in the middle of a burst of {BURST}")
    url = globex.url("warehouse", "stock")
    acknowledged: dict[int, str] = {}
    third = asyncio.Event()
    gate = asyncio.Semaphore(32)

    async def send(number: int) -> None:
        async with gate:
            with contextlib.suppress(OSError, TimeoutError, HalflapError, aiohttp.ClientError):
                update = [(f"item-{number}", "add", 1)]
                acknowledged[number] = await send_updates(scene, url, update, f"burst-{number}")
        if len(acknowledged) >= BURST // 3:
            third.set()

    sending = [asyncio.create_task(send(number)) for number in range(BURST)]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(20):
            await third.wait()
    pid = await scene.server.kill()
    await asyncio.wait(sending)
    before = dict(acknowledged)
    missing = [number for number in range(BURST) if number not in before]
    checks.check(
        0 < len(before) < BURST,
        f"killed, pid {pid}",
        f"{len(before)} acknowledged",
        f"{len(missing)} not",
    )
    await scene.server.start()
    checks.check(True, f"started again, pid {scene.server.pid}")
    await asyncio.gather(*(send(number) for number in missing))
    checks.check(len(acknowledged) == BURST, "what was not acknowledged is sent again and accepted")

    async def done() -> bool:
        return all([(await state(scene, each)) in ENDED for each in acknowledged.values()])

    await eventually(done, within=60, every=0.2)
    states = Counter([await state(scene, each) for each in acknowledged.values()])
    checks.check(
        states == {"succeeded": BURST},
        "every event has its outcome",
        *(f"{count} {name}" for name, count in states.items()),
    )
    stock = await scene.acme.call("GET", "/v1/stock", globex.key)
    counts = [each["quantity"] for each in stock if each["item"].startswith("item-")]
    checks.check(
        counts == [1] * BURST, f"all {BURST} are in Acme, each once", f"{sum(counts)} booked"
    )
    effects = await scene.acme.call("GET", f"/sandbox/effects?workspace={globex.workspace}")
    adds = [each for each in effects if each["path"].endswith("/add")]
    repeated = sum(each["times"] > 1 for each in adds)
    checks.check(
        len(adds) == BURST and all(each["key"] and each["applied"] == 1 for each in adds),
        "each effect was sent once, or repeated with its key",
        f"{repeated} repeated",
    )
