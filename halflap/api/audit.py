"""The audit log: what was changed, and which secrets and payloads were looked at, by whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Request
from fastapi.routing import APIRoute

from halflap.api.asking import Before, Ops, last_id, needs, router_of
from halflap.api.operations import Operations
from halflap.api.people_view import AuditedOperation, AuditedOperations, AuditView
from halflap.api.recorded import moment
from halflap.api.view import ListPage
from halflap.errors import NotFound
from halflap.model import AuditEntry

router = router_of("/api/audit", "team")

MOST_CUSTOMERS = 20
"""Of an entry about more customers, so many are named."""
ACTS = {"draft.run_real": "A draft was run for real: the apps were called."}
"""The acts that are audited under another name than that of their operation, in a sentence each."""


@router.get("")
@needs("admin")
async def list_audit(
    operations: Ops,
    actor: Annotated[
        str | None, Query(description="Who did it: an id, an email, or a key's name.")
    ] = None,
    operation: Annotated[str | None, Query(description="An operation id of this API.")] = None,
    on: Annotated[str | None, Query(description="The id of what it was done to.")] = None,
    customer: Annotated[
        str | None,
        Query(description="The customer, by id or name; also of what was about several."),
    ] = None,
    since: Annotated[str | None, Query(description="At this time or later.")] = None,
    until: Annotated[str | None, Query(description="Before this time.")] = None,
    before: Before = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> ListPage[AuditView]:
    """Return what was done, newest first."""
    if customer is not None:
        try:
            customer = (await operations.catalogue.customers.get(customer)).id
        except NotFound:
            if not customer.startswith("cus_"):  # one that was removed stays in the log
                raise
    found = await operations.catalogue.audit.list(
        actor=actor,
        operation=operation,
        on=on,
        customer=customer,
        since=moment("since", since),
        until=moment("until", until),
        before=before,
        limit=limit,
    )
    return ListPage(items=await views(operations, found), next=last_id(found, limit))


@router.get("/operations")
@needs("admin")
async def list_audited_operations(request: Request) -> AuditedOperations:
    """Return the operations of which the log has entries, in words."""
    found = {
        name: AuditedOperation(operation=name, title=in_words(name), text=text)
        for name, text in ACTS.items()
    }
    for each in request.app.routes:
        if isinstance(each, APIRoute) and (each.openapi_extra or {}).get("x-audited") != "no":
            text = " ".join(each.description.partition("\n\n")[0].split())
            found[each.name] = AuditedOperation(
                operation=each.name, title=in_words(each.name), text=text
            )
    return AuditedOperations(items=sorted(found.values(), key=lambda each: each.title), next=None)


def in_words(operation: str) -> str:
    """Return an operation id as people read it: `get_execution` is "look at execution"."""
    words = operation.replace("_", " ").replace(".", ": ")
    verb, _, rest = words.partition(" ")
    return f"look at {rest}" if verb in ("get", "list") else words


async def views(operations: Operations, found: Sequence[AuditEntry]) -> list[AuditView]:
    """Return entries as they are shown: with the names of what they are about."""
    log = operations.catalogue.audit
    several = await log.customers([each.id for each in found], MOST_CUSTOMERS)
    of = {each.id: customers_of(each, *several.get(each.id, (0, []))) for each in found}
    ids = {id for each in found for id in (*each.objects.values(), *of[each.id][1], each.actor)}
    names = await log.names(ids)
    names |= await operations.catalogue.versions.labels(each for each in ids if "_" not in each)
    for each in ids:
        if each.startswith("exe_") and (execution := await operations.journal.execution(each)):
            names[each] = " ".join(filter(None, (execution.flow.flow, execution.key)))
    return [
        AuditView.of(
            each,
            names={
                id: names[id]
                for id in (*each.objects.values(), *of[each.id][1], each.actor)
                if id in names
            },
            customer_count=of[each.id][0],
            customers=of[each.id][1],
        )
        for each in found
    ]


def customers_of(entry: AuditEntry, count: int, some: list[str]) -> tuple[int, list[str]]:
    """Return how many customers an entry is about, and some of them, its own in front."""
    own = entry.customer
    if own is None or own in some:
        return count, some
    return count + 1, [own, *some]
