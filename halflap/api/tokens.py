"""Tokens of customers: minted by the team, each for one customer, for a while."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from halflap.api.asking import USUAL_PAGE, After, Ops, PageSize, last_id, needs, router_of
from halflap.api.operations import finding
from halflap.api.operations.people import check_grant
from halflap.api.rights import ACCESSES
from halflap.api.view import ListPage, Minted, TokenDraft, TokenView

MICROS = 1_000_000

router = router_of("/api/tokens", "tokens")


@router.get("")
@needs("admin")
async def list_tokens(
    operations: Ops,
    customer: Annotated[
        str | None, Query(description="Only this customer's, by id or name.")
    ] = None,
    after: After = None,
    limit: PageSize = USUAL_PAGE,
) -> ListPage[TokenView]:
    """The tokens that are good now, oldest first."""
    catalogue = operations.catalogue
    owner = None if customer is None else (await catalogue.customers.get(customer)).id
    found = await operations.tokens.list(owner, after, limit)
    return ListPage(items=[TokenView.of(each) for each in found], next=last_id(found, limit))


@router.post("", status_code=201)
@needs("admin")
async def mint_token(draft: TokenDraft, operations: Ops) -> Minted:
    """Mint a token that acts for one customer; it is told this once."""
    check_grant(operations.principal, ACCESSES[draft.access])
    owner = await finding.customer(operations.catalogue, draft.customer, draft.external_id)
    token, secret = await operations.tokens.make(
        owner.id, draft.access, draft.lasts_seconds * MICROS, draft.label
    )
    return Minted.of(token, token=secret)


@router.delete("/{token}", status_code=204)
@needs("admin")
async def revoke_token(token: str, operations: Ops) -> None:
    """Revoke a token, by its id: its next request is refused."""
    await operations.tokens.revoke(token)
