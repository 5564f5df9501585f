"""kill -9 while Salesforce sends what people make; it sends again what was not acknowledged."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from halflap.cli.demo.checks import Checks, eventually
from halflap.cli.demo.customer import Both, Customer
from halflap.cli.demo.stage import Stage
from halflap.cli.demo.tally import quiet, tally

RECORDS = 150


async def crash(scene: Stage, checks: Checks, both: Both) -> None:
    """kill -9 while Salesforce sends what people make; it sends again what was not acknowledged."""
    checks.act(f"kill -9 while people make {RECORDS} accounts and opportunities in Salesforce")
    initech, globex = both
    before = await tally(scene, initech)
    known, others = await arrived(scene, initech), await arrived(scene, globex)
    ids = await killed_meanwhile(scene, checks, initech, known.total())
    await scene.server.start()
    checks.check(True, f"started again, pid {scene.server.pid}")
    await quiet(scene, both)
    checks.check(
        await waiting(scene, initech) == 0,
        "Salesforce sent again what was not acknowledged",
        f"{await in_vain(scene, initech)} tries had been in vain",
    )
    now = await arrived(scene, initech)
    counts = [now[id] for id in ids]
    lost = counts.count(0)
    doubled = now.total() - known.total() - RECORDS + lost
    checks.check(
        counts == [1] * RECORDS and doubled == 0,
        f"all {RECORDS} are in Acme, each once",
        f"{lost} lost  {doubled} doubled",
    )
    did = await tally(scene, initech) - before
    repeated = sum(each["times"] > 1 for each in await scene.acme.written(initech.workspace))
    checks.check(
        did.others == 0 and did.executed == did.writes == RECORDS,
        "each was written once, or repeated with its key",
        f"{did.writes} writes  {repeated} repeated",
    )
    checks.check(await arrived(scene, globex) == others, f"nothing of it reached {globex.name}")


async def killed_meanwhile(
    scene: Stage, checks: Checks, customer: Customer, known: int
) -> list[str]:
    """Records made in Salesforce while the server is up, is killed, and is down; their ids."""
    gate = asyncio.Semaphore(8)

    async def make(number: int) -> str:
        async with gate:
            name = f"{customer.name} {number}"
            if number % 2:
                return await scene.salesforce.edit(customer.org, "Account", Name=name)
            fields = {"Name": name, "StageName": "Prospecting", "CloseDate": "2026-12-31"}
            return await scene.salesforce.edit(customer.org, "Opportunity", **fields)

    making = [asyncio.create_task(make(number)) for number in range(RECORDS * 2 // 3)]

    async def underway() -> bool:
        return (await arrived(scene, customer)).total() - known >= RECORDS // 6

    await eventually(underway, within=20, every=0.005)
    pid = await scene.server.kill()
    ids = await asyncio.gather(*making)
    done = (await arrived(scene, customer)).total() - known
    checks.check(0 < done < RECORDS, f"killed, pid {pid}", f"{done} are in Acme")
    ids += await asyncio.gather(*(make(number) for number in range(len(ids), RECORDS)))

    async def refused() -> bool:
        return await in_vain(scene, customer) > 0

    await eventually(refused, within=10)
    left = await waiting(scene, customer)
    checks.check(
        left > 0, "people go on; Salesforce keeps what it cannot deliver", f"{left} waiting"
    )
    return ids


async def arrived(scene: Stage, customer: Customer) -> Counter[str]:
    """Return how often each of Salesforce's records is at Acme."""
    found: list[Any] = []
    for kind in ("accounts", "opportunities"):
        found += await scene.acme.everything(f"/v1/{kind}", customer.key)
    return Counter(each["external_id"] for each in found)


async def in_vain(scene: Stage, customer: Customer) -> int:
    """Return the number of messages that Salesforce could not deliver."""
    deliveries = await scene.salesforce.look(customer.org, "deliveries")
    return sum(each["outcome"] == "failed" for each in deliveries)


async def waiting(scene: Stage, customer: Customer) -> int:
    """Return the number of records' changes that Salesforce has yet to send."""
    return (await scene.salesforce.look(customer.org, "pending"))["pending"]
