"""The demo's day: its acts in order, with its beginning and its end."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import click

from halflap.cli.demo.burst import burst
from halflap.cli.demo.checks import Checks, eventually
from halflap.cli.demo.crash import crash
from halflap.cli.demo.customer import INTEGRATIONS, TWO_WAY, Customer, customers, meet
from halflap.cli.demo.export import export_day
from halflap.cli.demo.github import github_day
from halflap.cli.demo.people import people_day
from halflap.cli.demo.stage import Stage, stage
from halflap.cli.demo.upgrade import switch_off, upgrade_day
from halflap.cli.demo.warehouse import warehouse_day
from halflap.engine.bundle import pack
from halflap.errors import HalflapError


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
    """The day: Salesforce ⇄ Acme first, then the other integrations of the same customers."""
    await opening(scene, checks)
    both = await meet(scene, checks)
    deals = await people_day(scene, checks, both)
    await crash(scene, checks, both)
    contacts = pack(project(), "salesforce_acme_contacts:integration")
    await upgrade_day(scene, checks, both, contacts, deals)
    await switch_off(scene, checks, both, deals)
    for name in INTEGRATIONS:
        await publish(scene, name)
    await customers(scene, checks, both)
    initech, globex = both
    await github_day(scene, checks, initech, globex)
    await warehouse_day(scene, checks, initech)
    await export_day(scene, checks, initech)
    await burst(scene, checks, globex)
    await closing(scene, checks, initech, globex)


async def opening(scene: Stage, checks: Checks) -> None:
    """The sandbox apps and the server start; the two-way integration is published."""
    checks.act("A server, and two sandbox apps")
    found = await scene.acme.call("GET", "/sandbox/workspaces")
    checks.check(found == [], "Acme answers", scene.acme.url)
    checks.check(await scene.salesforce.orgs() == [], "Salesforce answers", scene.salesforce.url)
    await scene.server.start()
    checks.check(True, "the server answers", scene.server.url)
    version = await publish(scene, TWO_WAY)
    checks.check(
        version["number"] == 1,
        "Salesforce ⇄ Acme is published, version 1",
        version["hash"][:8],
    )


async def publish(scene: Stage, module: str) -> Any:
    """Pack an example and publish it."""
    bundle = pack(project(), f"{module}:integration")
    return await scene.api.call("POST", "/versions?target=production", raw=bundle.to_bytes())


async def closing(scene: Stage, checks: Checks, initech: Customer, globex: Customer) -> None:
    """One customer leaves."""
    checks.act("One customer switches off")
    before = await scene.acme.hooks(globex.key)
    for module in INTEGRATIONS:
        each = initech.instances[module.replace("_", "-")]
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

    async def still() -> bool:
        live = await scene.api.call("GET", "/executions?state=queued,running&limit=10")
        return live["executions"] == []

    checks.check(await eventually(still, within=60), "nothing is left running")


async def left_running(scene: Stage) -> None:
    """KEEP=1: leave all running until Ctrl-C."""
    click.echo(f"\nSalesforce  {scene.salesforce.url}\nAcme        {scene.acme.url}")
    click.echo(f"server      {scene.server.url}/api")
    click.echo(f"store       {scene.server.directory / 'store'}")
    click.echo("Look around; Ctrl-C ends it.")
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        await asyncio.Event().wait()


def project() -> Path:
    """The folder of the example integrations: beside the package in a clone, inside it in a wheel."""
    inside = Path(__file__).parent / "examples"
    beside = Path(__file__).parents[3] / "examples"
    return inside if inside.is_dir() else beside


def tail(path: Path) -> str:
    """The end of a log."""
    return path.read_text(errors="replace")[-2_000:] if path.exists() else ""
