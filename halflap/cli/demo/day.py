"""The demo's day, act by act."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import shutil
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import click

from halflap.cli.demo.checks import Checks, eventually
from halflap.cli.demo.stage import Stage, stage
from halflap.engine.bundle import pack
from halflap.errors import HalflapError
from halflap.sdk import codec
from halflap.sdk.signature import GitHubSignature

INTEGRATIONS = ("github_acme", "warehouse", "acme_export", "stock_report")
BURST = 500
ENDED = ("succeeded", "failed", "cancelled", "ignored")


@dataclass
class Tenant:
    """A customer of the demo: here, and at Acme."""

    name: str
    id: str
    key: str
    workspace: str
    instances: dict[str, Any]

    def url(self, integration: str, flow: str) -> str:
        """The URL of a flow of one of its instances."""
        return self.instances[integration]["urls"][flow]


async def run_day(*, keep: bool) -> int:
    """Run every act; returns the exit code."""
    directory = Path(tempfile.mkdtemp(prefix="halflap-demo-"))
    checks = Checks()
    try:
        async with stage(directory) as scene:
            try:
                await acts(scene, checks)
            except (HalflapError, TimeoutError, OSError) as error:
                checks.check(False, f"the demo could not go on: {error or type(error).__name__}")
                click.echo(f"the server's log: {scene.server.log}", err=True)
                click.echo(tail(scene.server.log), err=True)
            code = checks.close()
            if keep:
                await left_running(scene)
            return code
    finally:
        if checks.passed == checks.total:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            click.echo(f"kept for a look: {directory}", err=True)


async def acts(scene: Stage, checks: Checks) -> None:
    """The day."""
    await opening(scene, checks)
    initech, globex = await customers(scene, checks)
    await github_day(scene, checks, initech, globex)
    await warehouse_day(scene, checks, initech)
    await export_day(scene, checks, initech)
    await burst(scene, checks, globex)
    await closing(scene, checks, initech, globex)


async def opening(scene: Stage, checks: Checks) -> None:
    """Acme and the server start; the integrations are published."""
    checks.act("A server, and the sandbox app Acme")
    found = await scene.acme.call("GET", "/sandbox/workspaces")
    checks.check(found == [], "Acme answers", scene.acme.url)
    await scene.server.start()
    checks.check(True, "the server answers", scene.server.url)
    published: list[str] = []
    for name in INTEGRATIONS:
        bundle = pack(project(), f"{name}:integration")
        version = await scene.api.call("POST", "/versions?target=production", raw=bundle.to_bytes())
        published.append(f"{version['integration']} {version['hash'][:8]}")
    checks.check(len(published) == len(INTEGRATIONS), "integrations published", *published)


async def customers(scene: Stage, checks: Checks) -> tuple[Tenant, Tenant]:
    """Two customers connect their accounts and activate their instances."""
    checks.act("Two customers activate their own")
    tenants = [await customer(scene, checks, name) for name in ("Initech", "Globex")]
    for tenant in tenants:
        ours = {url for each in tenant.instances.values() for url in each["urls"].values()}
        hooks = await scene.acme.hooks(tenant.key)
        subscribed = sum(len(each["subscriptions"]) for each in tenant.instances.values()) - 1
        checks.check(
            set(hooks) <= ours and len(hooks) == subscribed == len(set(hooks)),
            f"Acme calls {tenant.name}'s URLs, each once",
            f"{len(hooks)} webhooks",
        )
    checks.check(len(scene.github.hooks) == 2, "GitHub has one hook per repository")
    return tenants[0], tenants[1]


async def customer(scene: Stage, checks: Checks, name: str) -> Tenant:
    """One customer: connections tested before they are saved, instances activated."""
    made = await scene.api.call("POST", "/customers", {"name": name})
    workspace, key = await scene.acme.workspace(name)
    tenant = Tenant(name, made["id"], key, workspace, {})
    refused = ""
    try:
        await connect(scene, tenant, "acme", {"base_url": f"{scene.acme.url}/v1", "api_key": "no"})
    except HalflapError as error:
        refused = error.message
    checks.check("401" in refused, f"{name}: a wrong key is refused before it is saved")
    connections = {
        "acme": await connect(
            scene, tenant, "acme", {"base_url": f"{scene.acme.url}/v1", "api_key": key}
        ),
        "github": await connect(
            scene,
            tenant,
            "github",
            {
                "base_url": scene.github_url,
                "token": "ghp_demo",
                "repository": f"demo/{name.lower()}",
            },
        ),
        "destination": await connect(
            scene, tenant, "destination", {"base_url": scene.receiver_url}
        ),
    }
    for module in INTEGRATIONS:
        await activate(scene, tenant, module, connections)
    states = Counter(each["state"] for each in tenant.instances.values())
    checks.check(
        states == {"active": len(INTEGRATIONS)},
        f"{name}: instances active",
        *(each["id"] for each in tenant.instances.values()),
    )
    return tenant


async def connect(scene: Stage, tenant: Tenant, field: str, values: dict[str, Any]) -> str:
    """Test and save a connection; returns its id."""
    where = {"acme": "warehouse", "github": "github-acme", "destination": "acme-export"}[field]
    made = await scene.api.call(
        "POST",
        "/connections",
        {
            "customer": tenant.id,
            "integration": where,
            "field": field,
            "name": field,
            "values": values,
            "test": True,
        },
    )
    return made["id"]


async def activate(scene: Stage, tenant: Tenant, module: str, connections: dict[str, str]) -> None:
    """Configure and activate one instance."""
    name = module.replace("_", "-")
    version = await scene.api.call("GET", f"/integrations/{name}/versions/1")
    wanted = {field: connections[field] for field in version["connections"]}
    body = {"customer": tenant.id, "integration": name, "config": {}, "connections": wanted}
    instance = await scene.api.call("POST", "/instances", body)
    tenant.instances[name] = await scene.api.call(
        "POST", f"/instances/{instance['id']}/activate?wait=30"
    )


async def github_day(scene: Stage, checks: Checks, initech: Tenant, globex: Tenant) -> None:
    """GitHub's real payloads, signed, once and again."""
    events = payloads()
    checks.act(f"GitHub sends its {len(events)} real payloads")
    hook = next(h for h in scene.github.hooks.values() if h["repo"] == "initech")
    url = hook["config"]["url"]
    first = events[0]
    async with scene.http.post(
        url, data=codec.encode(first["payload"]), headers={"X-GitHub-Event": first["event"]}
    ) as answer:
        checks.check(answer.status == 401, "an unsigned request is refused", answer.status)
    deliveries = [str(uuid.uuid4()) for _ in events]
    took: list[float] = []
    statuses: Counter[int] = Counter()
    for _ in range(2):
        for event, delivery in zip(events, deliveries, strict=True):
            began = time.perf_counter()
            statuses[await send_github(scene, hook, event, delivery)] += 1
            took.append((time.perf_counter() - began) * 1000)
    checks.check(
        statuses == {200: 2 * len(events)},
        "every request is accepted, sent twice each",
        f"median {median(took):.1f} ms to the 2xx",
    )
    wanted = len([each for each in events if each["event"] != "ping"])

    async def arrived() -> bool:
        return len(await scene.acme.everything("/v1/activities", initech.key)) >= wanted

    await eventually(arrived)
    activities = await scene.acme.everything("/v1/activities", initech.key)
    ids = Counter(each["external_id"] for each in activities)
    checks.check(
        len(ids) == wanted, "every event is an activity in Acme", f"{len(ids)} of {wanted}"
    )
    checks.check(
        max(ids.values()) == 1, "sent twice, none is doubled", f"{len(activities)} activities"
    )
    others = await scene.acme.everything("/v1/activities", globex.key)
    checks.check(others == [], f"nothing of it reached {globex.name}")


async def send_github(scene: Stage, hook: dict[str, Any], event: Any, delivery: str) -> int:
    """Send one payload as GitHub does."""
    body = codec.encode(event["payload"])
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": event["event"],
        "X-GitHub-Delivery": delivery,
        **GitHubSignature().sign(body, hook["config"]["secret"], datetime.now(UTC)),
    }
    async with scene.http.post(hook["config"]["url"], data=body, headers=headers) as answer:
        return answer.status


async def warehouse_day(scene: Stage, checks: Checks, initech: Tenant) -> None:
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


async def export_day(scene: Stage, checks: Checks, initech: Tenant) -> None:
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


async def burst(scene: Stage, checks: Checks, globex: Tenant) -> None:
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


async def closing(scene: Stage, checks: Checks, initech: Tenant, globex: Tenant) -> None:
    """One customer leaves."""
    checks.act("One customer switches off")
    before = await scene.acme.hooks(globex.key)
    for each in initech.instances.values():
        await scene.api.call("POST", f"/instances/{each['id']}/disable?wait=60")
    left = await scene.acme.hooks(initech.key)
    checks.check(left == [], f"{initech.name}'s webhooks are gone at Acme")
    repos = [each["repo"] for each in scene.github.hooks.values()]
    checks.check(repos == ["globex"], f"and at GitHub; {globex.name}'s is not", *repos)
    after = await scene.acme.hooks(globex.key)
    checks.check(
        after == before and len(after) > 0, f"{globex.name}'s are as they were", len(after)
    )
    async with scene.http.post(initech.url("warehouse", "stock"), data=b"{}") as answer:
        checks.check(answer.status == 404, f"{initech.name}'s URLs answer as if they never were")
    live = await scene.api.call("GET", "/executions?state=queued,running&limit=10")
    checks.check(live["executions"] == [], "nothing is left running")


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
    """How an execution stands."""
    return (await scene.api.call("GET", f"/executions/{execution}"))["state"]


async def left_running(scene: Stage) -> None:
    """KEEP=1: leave all running until Ctrl-C."""
    click.echo(f"\nAcme:    {scene.acme.url}\nserver:  {scene.server.url}/api")
    click.echo(f"store:   {scene.server.directory / 'store'}")
    click.echo("Look around; Ctrl-C ends it.")
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        await asyncio.Event().wait()


def payloads() -> list[dict[str, Any]]:
    """GitHub's own example payloads (see NOTICE)."""
    packed = files("halflap.cli.demo").joinpath("github_events.json.gz").read_bytes()
    return codec.decode(gzip.decompress(packed))


def project() -> Path:
    """The folder of the example integrations: beside the package in a clone, inside it in a wheel."""
    inside = Path(__file__).parent / "examples"
    beside = Path(__file__).parents[3] / "examples"
    return inside if inside.is_dir() else beside


def tail(path: Path) -> str:
    """The end of a log."""
    return path.read_text(errors="replace")[-2_000:] if path.exists() else ""
