"""`halflap audit`: what was changed, and which secrets and payloads were looked at, by whom."""

from __future__ import annotations

from typing import Any

import click

from halflap.api.people_view import AuditView
from halflap.api.view import ListPage
from halflap.cli.bulk import time_of
from halflap.cli.client import Client
from halflap.cli.output import Output, ago
from halflap.cli.reach import customer_option, speaks


@click.command("audit")
@click.option("--actor", help="Who did it: an id, an email, or a key's name.")
@click.option("--operation", help="What was done: an operation id of the API.")
@click.option("--on", metavar="ID", help="What it was done to.")
@customer_option
@click.option("--since", metavar="TIME", help="Since then, as 2h, 3d, or a time.")
@click.option("--until", metavar="TIME", help="Before then.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@speaks()
async def audit(
    api: Client, output: Output, since: str | None, until: str | None, **query: Any
) -> None:
    """Show what was changed, and which secrets and payloads were looked at, by whom; newest first.

    Example: halflap audit --actor ada@example.com
    """
    query["since"], query["until"] = (at and time_of(at) for at in (since, until))
    page = await api.get(ListPage[AuditView], "audit", **query)
    output.listing(
        page.items,
        ("when", "who", "what", "on", "status", "with"),
        lambda each: (
            (ago(each.at), "dim"),
            each.label or each.actor or each.kind,
            each.operation,
            " ".join(each.names.get(id, id) for id in each.objects.values()),
            (str(each.status or "unanswered"), "" if 0 < each.status < 400 else "yellow"),
            (described(each), "dim"),
        ),
        "nothing was changed yet",
    )


def described(entry: AuditView) -> str:
    """Return what was sent, in one line."""
    return " ".join(f"{name}={value}" for name, value in entry.changes.items())[:80]
