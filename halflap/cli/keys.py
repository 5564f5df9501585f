"""`halflap keys`: what programs show at the API, each with the rights that it was given."""

from __future__ import annotations

from typing import Any

import click

from halflap.api.people_view import KeyMade, KeyView
from halflap.api.rights import RIGHTS
from halflap.cli.amount import lasting_option
from halflap.cli.client import Client
from halflap.cli.group import CommandGroup
from halflap.cli.output import Output, ago
from halflap.cli.reach import speaks


@click.group("keys", cls=CommandGroup)
def keys() -> None:
    """Manage keys of programs: for the whole tenant, with the rights that each was given.

    Example: halflap keys make "deploys from CI" --right read --right publish
    """


@keys.command("make")
@click.argument("name")
@click.option(
    "--right",
    "rights",
    multiple=True,
    required=True,
    type=click.Choice(list(RIGHTS)),
    help="What it may do; as often as needed.",
)
@lasting_option("--lasts", "lasts_seconds", "365d", "24h, 90d")
@speaks(make=True)
async def make_key(api: Client, output: Output, **draft: Any) -> None:
    """Make a key of a program. It is shown this once: only its hash is kept.

    Example: halflap keys make "deploys from CI" --right read --right publish --lasts 90d
    """
    show(output, await api.post(KeyMade, "keys", json=draft))


@keys.command("list")
@speaks()
async def list_keys(api: Client, output: Output) -> None:
    """List the keys that are good now, oldest first.

    Example: halflap keys list
    """
    output.listing(
        await api.list(KeyView, "keys"),
        ("id", "name", "rights", "used", "expires"),
        lambda each: (
            each.id,
            each.name,
            " ".join(each.rights),
            (ago(each.used_at) if each.used_at else "never", "dim"),
            each.expires_at,
        ),
        "no keys; one is made with: halflap keys make NAME --right read",
    )


@keys.command("rotate")
@click.argument("id")
@lasting_option(
    "--overlap", "overlap_seconds", "24h", "For how long the secret before is good, too"
)
@speaks()
async def rotate_key(api: Client, output: Output, id: str, **draft: Any) -> None:
    """Give a key another secret, for as long as its first; the one before is good for a while.

    Example: halflap keys rotate key_01jdq5m4x2f8t9v0c3k7n6b1wa --overlap 1h
    """
    show(output, await api.post(KeyMade, "keys", id, "rotate", json=draft))


@keys.command("revoke")
@click.argument("id")
@speaks()
async def revoke_key(api: Client, output: Output, id: str) -> None:
    """Revoke a key, by its id: its next request is refused.

    Example: halflap keys revoke key_01jdq5m4x2f8t9v0c3k7n6b1wa
    """
    await api.delete("keys", id)
    output.answer({"revoked": id}, f"revoked {id}")


def show(output: Output, made: KeyMade) -> None:
    """Print a key with its secret."""
    if output.emitted(made):
        return
    output.line((made.key, "bold"))
    output.line((f"  {made.id}, {' '.join(made.rights)}, until {made.expires_at}", "dim"))
