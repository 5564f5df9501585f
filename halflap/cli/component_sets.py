"""`halflap component-sets`: the components that projects have sent for drafts."""

from __future__ import annotations

import click

from halflap.api.draft_view import ComponentSetRow
from halflap.api.view import ListPage
from halflap.cli.client import LARGEST_PAGE, Client
from halflap.cli.group import CommandGroup
from halflap.cli.output import Output, ago
from halflap.cli.reach import speaks


@click.group("component-sets", cls=CommandGroup)
def component_sets() -> None:
    """Manage component sets: a project's own components, as `halflap deploy --components` sent them.

    Example: halflap component-sets list
    """


@component_sets.command("list")
@click.option("--name", help="Only those of a name.")
@speaks()
async def list_component_sets(api: Client, output: Output, name: str | None) -> None:
    """List component sets, newest first, and the drafts that use them.

    Example: halflap component-sets list
    """
    output.listing(
        (
            await api.get(
                ListPage[ComponentSetRow], "component-sets", name=name, limit=LARGEST_PAGE
            )
        ).items,
        ("id", "name", "hash", "components", "sent", "by", "drafts"),
        lambda each: (
            each.id,
            f"{each.name} {each.number}",
            each.hash[:12],
            " ".join(each.components),
            (ago(each.published_at), "dim"),
            each.published_by or "the team's token",
            " ".join(draft.integration for draft in each.drafts),
        ),
        "no component sets; a project sends one with: halflap deploy --components",
    )


@component_sets.command("remove")
@click.argument("id")
@speaks()
async def remove_component_set(api: Client, output: Output, id: str) -> None:
    """Remove a component set that no draft uses, by its id. What was published of it stays.

    Example: halflap component-sets remove cset_01jdq5m4x2f8t9v0c3k7n6b1wa
    """
    await api.delete("component-sets", id)
    output.answer({"removed": id}, f"removed {id}")
