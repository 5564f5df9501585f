"""Tokens of customers: minted by the team, each for one customer, for a while."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import Field

from halflap.api.asking import Ops, router_of
from halflap.api.operations import finding
from halflap.api.view import Input, Name, Text, Time, View
from halflap.model import Access

LONGEST_SECONDS = 366 * 86_400
MICROS = 1_000_000

router = router_of("/api/tokens", "tokens", 404)


class TokenDraft(Input):
    """Whom a token acts for, what it may do, and for how long."""

    customer: Name | None = None
    """The customer, by id or name."""
    external_id: Text | None = None
    """The customer, by its id in your own product."""
    access: Access = "manage"
    """`read` only looks; `manage` does all that a customer may; `secrets` shows the secrets of its
    endpoints and links that approve, too."""
    lasts_seconds: Annotated[int, Field(ge=1, le=LONGEST_SECONDS)] = 86_400
    label: Annotated[str, Field(max_length=200)] = ""
    """The purpose of the token; shown where tokens are listed."""


class TokenView(View):
    """A token, without what it is: that is told once, to whoever minted it."""

    id: str
    customer: str
    access: Access
    label: str
    made_at: Time
    expires_at: Time


class Minted(TokenView):
    """A token that was just minted, with itself."""

    token: str


@router.get("")
async def list_tokens(
    operations: Ops,
    customer: Annotated[
        str | None, Query(description="Only this customer's, by id or name.")
    ] = None,
) -> list[TokenView]:
    """The tokens that are good now, oldest first."""
    catalogue = operations.catalogue
    owner = None if customer is None else (await catalogue.customers.get(customer)).id
    return [TokenView.of(each) for each in await operations.tokens.list(owner)]


@router.post("", status_code=201)
async def mint_token(draft: TokenDraft, operations: Ops) -> Minted:
    """Mint a token that acts for one customer; it is told this once."""
    owner = await finding.customer(operations.catalogue, draft.customer, draft.external_id)
    token, secret = await operations.tokens.make(
        owner.id, draft.access, draft.lasts_seconds * MICROS, draft.label
    )
    return Minted.of(token, token=secret)


@router.delete("/{token}", status_code=204)
async def revoke_token(token: str, operations: Ops) -> Response:
    """Revoke a token, by its id: its next request is refused."""
    await operations.tokens.revoke(token)
    return Response(status_code=204)
