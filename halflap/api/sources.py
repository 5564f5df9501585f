"""The choices that a form offers, listed by the connected app."""

from __future__ import annotations

from fastapi import HTTPException

from halflap.api.asking import Ops, for_customers, needs, router_of
from halflap.api.view import ChoicesView, SourceDraft

router = router_of("/api", "integrations", 502)


@router.post("/sources")
@for_customers
@needs("configure", audited="no")
async def list_choices(draft: SourceDraft, operations: Ops) -> ChoicesView:
    """List the choices of a config's field, or of an action's input, with a connection.

    A customer's token lists those of fields, with the connections that its config may name.
    """
    if operations.customer is not None and draft.field is None:
        raise HTTPException(403, "This is for the team's token; yours lists the config's fields.")
    page = await operations.sources.choices(draft)
    return ChoicesView.of(page)
