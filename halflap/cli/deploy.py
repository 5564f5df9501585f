"""`halflap deploy`: publish a project's integration to a target; one definition, promoted.

What a target has is compared with what this checkout last saw there (`.halflap/deployed.json`), so
that nobody overwrites what somebody else deployed, or published in the designer, meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import click

from halflap.api.draft_view import ComponentSetRow, ComponentSetView
from halflap.api.execution_view import BulkView
from halflap.api.view import (
    InstanceSummary,
    IntegrationView,
    ListPage,
    Published,
    UpgradePlan,
    VersionSummary,
    VersionView,
)
from halflap.cli.bulk import follow
from halflap.cli.changes import Changes, outline
from halflap.cli.client import Client
from halflap.cli.output import Output, ago, quoted
from halflap.cli.project import STORE, Project, ProjectEntry
from halflap.cli.reach import speaks, sure
from halflap.engine.bundle import Bundle, pack, pack_components
from halflap.errors import ConfigError, Conflict, NotFound
from halflap.server.settings import Settings

OWN = "dev"
"""The target that `halflap dev` moves as well, in the project's own store."""
USUAL = (OWN, "staging", "production")
"""The targets that need not be there yet."""
Instances = ListPage[InstanceSummary]
SHORTEST = 8
"""The fewest digits that stand for a hash."""


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """A plan of a deployment: a bundle, the target, and what that has now."""

    entry: ProjectEntry
    bundle: Bundle
    target: str
    listed: IntegrationView | None
    """The integration at the server; None where it is not there yet."""
    changes: Changes

    @property
    def now(self) -> str | None:
        """The hash that the target has."""
        return self.listed.targets.get(self.target) if self.listed is not None else None

    def whole(self, hash: str) -> str:
        """Return the hash that the target has, where this is its beginning."""
        is_beginning = len(hash) >= SHORTEST and self.now is not None and self.now.startswith(hash)
        return self.now if is_beginning and self.now else hash

    @property
    def summary(self) -> VersionSummary:
        """The version that the target has, in short."""
        assert self.listed is not None
        return next(each for each in self.listed.versions if each.hash == self.now)


@click.command("deploy")
@click.argument("integration", required=False)
@click.option("--to", "target", default="dev", show_default=True, help="dev, staging, production …")
@click.option("--note", default="", help="What is new, in a sentence.")
@click.option(
    "--expect",
    metavar="HASH",
    default="",
    help="What the target has, as you last looked at it: in the place of what this checkout remembers.",
)
@click.option("--overwrite", is_flag=True, help="Deploy over whatever the target has.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option(
    "--upgrade-instances", "upgrades", is_flag=True, help="Move the target's instances to it, too."
)
@click.option(
    "--components",
    is_flag=True,
    help="Send the project's own components alone, for drafts; INTEGRATION is a name for the set.",
)
@click.option(
    "--path",
    "start",
    type=click.Path(exists=True, path_type=Path),
    help="The project's folder; the one you are in, where it is not given.",
)
@speaks(connects=False)
async def deploy(
    settings: Settings,
    output: Output,
    integration: str | None,
    target: str,
    note: str,
    expect: str,
    overwrite: bool,
    dry_run: bool,
    upgrades: bool,
    components: bool,
    start: Path | None,
) -> None:
    """Publish a project's integration to a target, and show what changes.

    A target is a name at a server: the one of this project, or the one that HALFLAP_SERVER_STAGING
    and HALFLAP_TOKEN_STAGING (in .env) name for --to staging. Instances stay on their version until
    they are upgraded; their connections are their server's own.

    Where the target has another version than this checkout last deployed to it or pulled from it, or one
    that it has never seen, nothing is deployed, and the difference is shown. Then halflap pull, or
    deploy with --expect and the hash of what you have looked at.

    With --components, what the designer's drafts may use is sent to the target's server: the modules
    and folders with a component, and what these import of the project; no integration.

    Example: halflap deploy --to staging --note "books returns too"
    """
    project = Project.read(start)
    if components:
        settings = at_target(settings, output, target)
        await deploy_components(settings, output, project, integration, dry_run=dry_run)
        return
    entries = (project.integration(integration),) if integration else project.needed()
    if expect and len(entries) > 1:
        raise ConfigError("--expect is about one integration; name the one to deploy")
    settings = at_target(settings, output, target)
    ledger = DeploymentLedger(project, settings)
    async with Client.connect(settings, make=not dry_run) as api:
        for entry in entries:
            plan = await prepare(api, project, entry, target)
            known_target(output, settings, plan)
            seen = plan.whole(expect) if expect else ledger.seen(plan)
            overtaken = plan.now not in (None, plan.bundle.hash, seen) and not overwrite
            show(output, api, plan, every_line=dry_run or overtaken)
            if dry_run:
                if overtaken:
                    output.progress((f"\n{refused(plan).message}", "yellow"))
                if output.json:
                    output.emit(report(plan, None))
                continue
            try:
                made = await publish(api, plan, seen, note, overwrite=overwrite)
            except Conflict as error:
                if not error.key:
                    raise
                if error.key != plan.now:  # somebody deployed since the difference was shown
                    plan = await prepare(api, project, entry, target)
                    show(output, api, plan, every_line=True)
                raise refused(plan) from error
            ledger.saw(plan)
            if output.json:
                output.emit(report(plan, made.number))
            elif plan.now != plan.bundle.hash:
                output.line(
                    ("deployed ", "green"), (entry.name, "bold"),
                    f" version {made.number} to {target}", (f"  {plan.bundle.hash[:12]}", "dim"),
                )  # fmt: skip
            await follow_up(api, output, plan, made.number, upgrades=upgrades)
    if dry_run:
        output.progress(("\nnothing was deployed: this was a dry run", "dim"))


async def deploy_components(
    settings: Settings, output: Output, project: Project, name: str | None, *, dry_run: bool
) -> None:
    """Send a project's own components as a set, which is a new one if anything in it changed."""
    name = name or project.name
    without = [each.file for each in project.integrations]
    bundle = await asyncio.to_thread(pack_components, project.root, without)
    async with Client.connect(settings, make=not dry_run) as api:
        newest = (
            await api.get(ListPage[ComponentSetRow], "component-sets", name=name, limit=1)
        ).items
        same = bool(newest) and newest[0].hash == bundle.hash
        made = newest[0] if same else None
        if made is None and not dry_run:
            data = bundle.to_bytes()
            made = await api.post(ComponentSetView, "component-sets", data=data, name=name)
    found = {"name": name, "hash": bundle.hash, "number": made and made.number, "changed": not same}
    if output.emitted({**found, "files": [path for path, _ in bundle.files]}):
        return
    output.line((name, "bold"), f" → {api.where}")
    for path_, _ in bundle.files:
        output.line(f"  {path_}")
    if same:
        output.line(f"the newest set of that name is exactly this: number {newest[0].number}")
    elif made is None:
        output.progress(("nothing was sent: this was a dry run", "dim"))
    else:
        output.line(
            ("deployed ", "green"), f"components {', '.join(made.components)} as {name} {made.number}",
            (f"  {bundle.hash[:12]}", "dim"),
        )  # fmt: skip


async def prepare(
    api: Client, project: Project, entry: ProjectEntry, target: str
) -> DeploymentPlan:
    """Pack an integration, load it as the server will, and compare it with what the target has."""
    bundle = await asyncio.to_thread(pack, project.root, entry.entry)
    with tempfile.TemporaryDirectory(prefix="halflap-deploy-") as cache:
        after = await asyncio.to_thread(outline, bundle, Path(cache))
    listed = await api.list(IntegrationView, "integrations")
    found = next((each for each in listed if each.name == entry.name), None)
    now = found.targets.get(target) if found is not None else None
    before = None
    if now is not None:
        before = await api.get(VersionView, "integrations", entry.name, "versions", now)
    return DeploymentPlan(entry, bundle, target, found, Changes.between(before, after, bundle))


def known_target(output: Output, settings: Settings, plan: DeploymentPlan) -> None:
    """Refuse a target that nobody knows, which is most often one that is misspelt, or ask."""
    there = plan.listed.targets if plan.listed is not None else ()
    known = sorted({*USUAL, *settings.remotes, *there})
    if plan.target in known:
        return
    unknown = f"there is no target {plan.target!r}; there are: {', '.join(known)}"
    if output.asks:
        sure(False, f"{unknown}. Make it?")
        return
    variable = f"HALFLAP_SERVER_{plan.target.upper().replace('-', '_')}"
    raise NotFound(f"{unknown}. A server of that name is known once {variable} is set in .env")


def show(output: Output, api: Client, plan: DeploymentPlan, *, every_line: bool) -> None:
    """Show what a deployment changes."""
    if output.json:
        return
    output.line((plan.entry.name, "bold"), f" → {plan.target}", (f"  at {api.where}", "dim"))
    if plan.now is None:
        files = len(plan.bundle.files)
        output.line(f"  the target has none yet; {files} {'file' if files == 1 else 'files'}")
    elif plan.now == plan.bundle.hash:
        output.line(f"  {plan.target} has exactly this: version {plan.summary.number}")
    else:
        plan.changes.show(output, every_line=every_line)


def refused(plan: DeploymentPlan) -> Conflict:
    """Says that the target has what this checkout does not know, and what to do."""
    now, name, to = plan.summary, quoted(plan.entry.name), quoted(plan.target)
    by = f" by {now.published_by}" if now.published_by else ""
    note = f" ({now.note})" if now.note else ""
    return Conflict(
        f"{plan.target} has version {now.number} of {plan.entry.name}, published {ago(now.published_at)}"
        f"{by}{note}, which this checkout neither deployed nor pulled; above is what deploying would "
        f"change of it. Bring it here: halflap pull {name} --from {to}. Or, having looked at it: "
        f"halflap deploy {name} --to {to} --expect {now.hash[:12]}",
        key=now.hash,
    )


async def publish(
    api: Client, plan: DeploymentPlan, seen: str | None, note: str, *, overwrite: bool
) -> Published:
    """Send the bundle, and point the target at it."""
    return await api.post(
        Published,
        "versions",
        data=plan.bundle.to_bytes(),
        target=plan.target,
        expect=seen,
        note=note,
        overwrite=overwrite,
    )


async def follow_up(
    api: Client, output: Output, plan: DeploymentPlan, number: int, *, upgrades: bool
) -> None:
    """Upgrade the target's instances, or say which ones stay where they are."""
    name = plan.entry.name
    draft = {"version": plan.bundle.hash, "stay": sorted(others_versions(plan))}
    at = ("integrations", name, "upgrade")
    behind = (await api.post(UpgradePlan, *at, json={**draft, "dry_run": True})).total
    if upgrades and behind:
        await follow(api, output, await api.post(BulkView, *at, json=draft))
    elif behind:
        many = f"{behind:,} {'instance stays on its' if behind == 1 else 'instances stay on their'}"
        output.progress(f"{many} version; to move to version {number}:")
        again = f"halflap deploy {quoted(name)} --to {plan.target} --upgrade-instances"
        output.progress(f"  {output.command(again)}")
    elif output.json:
        return
    elif not (await api.get(Instances, "instances", integration=name, limit=1)).items:
        at = "" if plan.target == OWN else f" --target {quoted(plan.target)}"
        output.next(f"halflap instances add CUSTOMER {quoted(name)}{at}")


def at_target(settings: Settings, output: Output, target: str) -> Settings:
    """Return the settings with the server of a target: the one of its name, else the project's own."""
    if settings.server:
        return settings
    if target in settings.remotes:
        output.place = f"--server {quoted(target)}"
        return replace(settings, server=target)
    if target != OWN:
        output.progress(
            (f"HALFLAP_SERVER_{target.upper().replace('-', '_')} is not set: ", "dim"),
            (f"{target} is a target of this project's own server", "dim"),
        )
    return settings


def others_versions(plan: DeploymentPlan) -> set[str]:
    """The versions that other targets have at the same server: their instances are not ours."""
    if plan.listed is None:
        return set()
    targets = plan.listed.targets.items()
    return {hash for name, hash in targets if name != plan.target and hash != plan.now}


def report(plan: DeploymentPlan, number: int | None) -> Mapping[str, Any]:
    """A deployment, or what it would be, for machines."""
    return {
        "integration": plan.entry.name,
        "target": plan.target,
        "hash": plan.bundle.hash,
        "number": number,
        "before": plan.now,
        "changed": plan.now != plan.bundle.hash,
        **plan.changes.plain(),
    }


class DeploymentLedger:
    """A record of what this checkout last saw at each server's targets."""

    def __init__(self, project: Project, settings: Settings) -> None:
        self._path = project.root / STORE / "deployed.json"
        own = not settings.server and settings.dir.resolve() == project.store.resolve()
        self._own = own
        remote = settings.remotes.get(settings.server)
        self._where = (remote.url if remote else settings.server).rstrip("/") or (
            "here" if own else str(settings.dir.resolve())
        )

    def seen(self, plan: DeploymentPlan) -> str | None:
        """The hash that this checkout last saw at a target."""
        if self._own and plan.target == OWN and not (plan.now and plan.summary.published_by):
            return plan.now  # what no person published in the designer, this project did
        return self.known(plan.target, plan.entry.name)

    def known(self, target: str, integration: str) -> str | None:
        """The hash of an integration that this checkout last deployed to a target, or pulled from it."""
        return self._read().get(self._key(target, integration))

    def saw(self, plan: DeploymentPlan) -> None:
        """Note that the target has the plan's version now."""
        self.note(plan.target, plan.entry.name, plan.bundle.hash)

    def note(self, target: str, integration: str, version: str) -> None:
        """Note that this checkout has what a target has."""
        known = {**self._read(), self._key(target, integration): version}
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")
        draft.replace(self._path)

    def _key(self, target: str, integration: str) -> str:
        return f"{self._where} {target} {integration}"

    def _read(self) -> dict[str, str]:
        try:
            found: Any = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return cast(dict[str, str], found) if isinstance(found, dict) else {}
