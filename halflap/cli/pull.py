"""`halflap pull`: bring a target's version, or a draft, into a checkout; local edits stay as they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from halflap.api.draft_view import DraftSummary
from halflap.api.view import IntegrationView
from halflap.cli.client import Client
from halflap.cli.deploy import OWN, DeploymentLedger, at_target
from halflap.cli.output import Output
from halflap.cli.project import Project
from halflap.cli.reach import speaks
from halflap.engine.bundle import Bundle
from halflap.errors import Conflict, NotFound
from halflap.server.settings import Settings

MOST_NAMED = 5
Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class PullPlan:
    """The files that a pull writes and removes, and those that were edited here and there."""

    writes: dict[str, bytes] = field(default_factory=dict[str, bytes])
    removes: list[str] = field(default_factory=list[str])
    conflicts: list[str] = field(default_factory=list[str])


def plan_pull(here: Callable[[str], bytes | None], base: Files, there: Files) -> PullPlan:
    """Compare a checkout, and what it began from, with what is there; a file edited here alone stays."""
    plan = PullPlan()
    for name in sorted({*base, *there}):
        mine, was, now = here(name), base.get(name), there.get(name)
        if now in (was, mine):
            continue
        if mine != was:
            plan.conflicts.append(name)
        elif now is None:
            plan.removes.append(name)
        else:
            plan.writes[name] = now
    return plan


@click.command("pull")
@click.argument("integration", required=False)
@click.option("--from", "target", default=OWN, show_default=True, help="dev, staging, production …")
@click.option("--draft", metavar="ID", help="A draft of the designer, in a version's place.")
@click.option(
    "--path",
    "start",
    type=click.Path(exists=True, path_type=Path),
    help="The project's folder; the one you are in, where it is not given.",
)
@speaks(connects=False)
async def pull(
    settings: Settings,
    output: Output,
    integration: str | None,
    target: str,
    draft: str | None,
    start: Path | None,
) -> None:
    """Bring what a target has, or a draft, into this checkout; nothing that you edited is overwritten.

    A file that was edited here and there is named, and then nothing is changed. What you have is
    compared with the version that this checkout last deployed or pulled.

    Example: halflap pull --from staging
    """
    project = Project.read(start)
    settings = at_target(settings, output, target)
    ledger = DeploymentLedger(project, settings)
    async with Client.connect(settings) as api:
        name, at = await source_of(api, project, integration, target, draft)
        bundle = Bundle.from_bytes(await api.bytes(*at))
        known = ledger.known(target, name)
        base = await files_of(api, name, known)
    there = dict(bundle.files)
    plan = plan_pull(lambda each: content_of(project.root / each), base, there)
    if plan.conflicts:
        more = len(plan.conflicts) - MOST_NAMED
        named = ", ".join(plan.conflicts[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        raise Conflict(
            f"{named}: edited here, and other than there; nothing was changed. Look at the difference: "
            "halflap deploy --dry-run; put the file aside, pull, then make your edit anew"
        )
    for each, content in plan.writes.items():
        file = project.root / each
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    for each in plan.removes:
        (project.root / each).unlink()
    if draft is None:
        ledger.note(target, name, bundle.hash)
    found = {"integration": name, "wrote": [*plan.writes], "removed": plan.removes}
    if output.emitted(found):
        return
    for verb, names in (("wrote", plan.writes), ("removed", plan.removes)):
        for each in names:
            # The project may lie above the folder that one is in: the path leads to the file.
            output.line((f"{verb} ", "green"), os.path.relpath(project.root / each))
    if not plan.writes and not plan.removes:
        output.line(f"{name} is here as it is there")


async def source_of(
    api: Client, project: Project, integration: str | None, target: str, draft: str | None
) -> tuple[str, tuple[str, ...]]:
    """Return the name of what is pulled, and the path of its bundle."""
    if draft is not None:
        found = await api.get(DraftSummary, "drafts", draft)
        return found.integration, ("drafts", draft, "bundle")
    name = integration or project.integration().name
    listed = await api.list(IntegrationView, "integrations")
    targets = {
        t: version for each in listed if each.name == name for t, version in each.targets.items()
    }
    if target not in targets:
        raise NotFound(f"{target} has no version of {name}; targets of it: {', '.join(targets)}")
    return name, ("integrations", name, "versions", targets[target], "bundle")


async def files_of(api: Client, name: str, version: str | None) -> Files:
    """Return the files of a version that this checkout has seen; none where it is not known."""
    if version is None:
        return {}
    try:
        data = await api.bytes("integrations", name, "versions", version, "bundle")
    except NotFound:
        return {}
    return dict(Bundle.from_bytes(data).files)


def content_of(file: Path) -> bytes | None:
    """Return what a file holds; None where there is none."""
    return file.read_bytes() if file.is_file() else None
