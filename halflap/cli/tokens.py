"""`halflap tokens`: what acts for one customer at the API."""

from __future__ import annotations

from typing import Any

import click

from halflap.api.view import Minted, TokenView
from halflap.cli.amount import lasting_option
from halflap.cli.client import Client
from halflap.cli.group import CommandGroup
from halflap.cli.output import Output, ago
from halflap.cli.reach import speaks


@click.group("tokens", cls=CommandGroup)
def tokens() -> None:
    """Manage tokens that act for one customer at the API: they see and change its things alone.

    Example: halflap tokens mint Initech --lasts 15m
    """


@tokens.command("mint")
@click.argument("customer", required=False)
@click.option("--external-id", metavar="ID", help="The customer by its id in your own product.")
@click.option("--read", "only_reads", is_flag=True, help="It may look, and change nothing.")
@click.option(
    "--secrets", is_flag=True, help="It may see the secrets of endpoints, and links that approve."
)
@lasting_option("--lasts", "lasts_seconds", "24h", "15m, 24h, 30d")
@click.option("--label", default="", help="What it is for; shown where tokens are listed.")
@speaks()
async def mint_token(
    api: Client, output: Output, only_reads: bool, secrets: bool, **draft: Any
) -> None:
    """Mint a token for a customer. It is told this once: only its hash is kept.

    Example: halflap tokens mint Initech --lasts 15m --label "settings page"
    """
    if only_reads and secrets:
        raise click.UsageError("--read only looks, and --secrets may do all: use one of them")
    draft["access"] = "read" if only_reads else "secrets" if secrets else "manage"
    made = await api.post(Minted, "tokens", json=draft)
    if output.emitted(made):
        return
    output.line((made.token, "bold"))
    output.line((f"  {made.id}, acts for {made.customer} until {made.expires_at}", "dim"))


@tokens.command("list")
@click.argument("customer", required=False)
@speaks()
async def list_tokens(api: Client, output: Output, customer: str | None) -> None:
    """List the tokens that are good now: all, or a customer's.

    Example: halflap tokens list Initech
    """
    output.listing(
        await api.list(TokenView, "tokens", customer=customer),
        ("id", "customer", "access", "label", "minted?", "expires"),
        lambda each: (
            each.id,
            each.customer,
            each.access,
            each.label,
            (ago(each.made_at), "dim"),
            each.expires_at,
        ),
        "no tokens; one is minted with: halflap tokens mint CUSTOMER",
    )


@tokens.command("revoke")
@click.argument("id")
@speaks()
async def revoke_token(api: Client, output: Output, id: str) -> None:
    """Revoke a token, by its id: its next request is refused.

    Example: halflap tokens revoke tok_01jdq5m4x2f8t9v0c3k7n6b1wa
    """
    await api.delete("tokens", id)
    output.answer({"revoked": id}, f"revoked {id}")
