"""`halflap outline`: what an integration's flows may do, read from its text."""

from __future__ import annotations

from pathlib import Path

import click

from halflap.cli.project import Project, ProjectEntry, documents, sources
from halflap.lowcode.outline import as_text
from halflap.lowcode.outline import outline as outline_of
from halflap.sdk import codec


@click.command("outline")
@click.argument("target", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON, for diagrams and other machines.")
def outline(target: str | None, as_json: bool) -> None:
    """Show what the flows of an integration may do: steps, branches, loops, as a tree.

    TARGET is a file, Python or YAML, a project's folder, or the name of an integration of the project
    in this folder; without it, the project's integrations are shown. Nothing is imported or run. What
    cannot be followed from the text is shown as `unknown`, with its source.
    """
    project, entries = found(target)
    files = read(project.root)
    outlines = [outline_of(files, each.entry) for each in entries]
    if as_json:
        shown = [each.model_dump() for each in outlines]
        click.echo(codec.encode(shown).decode())
        return
    click.echo("\n\n".join(as_text(each) for each in outlines))


def found(target: str | None) -> tuple[Project, tuple[ProjectEntry, ...]]:
    """The project that is meant, and the integrations of it."""
    if target is None or Path(target).exists():
        project = Project.read(None if target is None else Path(target))
        return project, project.needed()
    project = Project.read()
    return project, (project.integration(target),)


def read(root: Path) -> dict[str, str]:
    """A project's sources and documents, by path below its folder."""
    paths = (*sources(root), *documents(root))
    return {
        each.relative_to(root).as_posix(): each.read_bytes().decode("utf-8", errors="replace")
        for each in paths
    }
