"""The audit log: what was changed, and which secrets and payloads were looked at, by whom."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from halflap.api.asking import Before, Ops, last_id, needs, router_of
from halflap.api.people_view import AuditPage, AuditView
from halflap.errors import NotFound

router = router_of("/api/audit", "team", 404)


@router.get("")
@needs("admin")
async def list_audit(
    operations: Ops,
    actor: Annotated[
        str | None, Query(description="Who did it: an id, an email, or a key's name.")
    ] = None,
    operation: Annotated[str | None, Query(description="An operation id of this API.")] = None,
    on: Annotated[str | None, Query(description="The id of what it was done to.")] = None,
    customer: Annotated[str | None, Query(description="The customer, by id or name.")] = None,
    before: Before = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> AuditPage:
    """Return what was done, newest first."""
    if customer is not None:
        try:
            customer = (await operations.catalogue.customers.get(customer)).id
        except NotFound:
            if not customer.startswith("cus_"):  # one that was removed stays in the log
                raise
    found = await operations.catalogue.audit.list(
        actor=actor, operation=operation, on=on, customer=customer, before=before, limit=limit
    )
    return AuditPage(items=[AuditView.of(each) for each in found], next=last_id(found, limit))
