"""Pauses of customers, instances and flows."""

from __future__ import annotations

from halflap.api.asking import OneCustomer, OneInstance, Ops, needs, router_of
from halflap.api.operations import Operations
from halflap.api.view import NamedPause, PauseDraft, PauseView, Resumption, pause_view

router = router_of("/api", "pauses")


@router.get("/pauses")
@needs("read")
async def list_pauses(operations: Ops) -> list[NamedPause]:
    """All that stands still, in the order in which it was paused."""
    pauses = await standing_still(operations)
    instances = await operations.catalogue.instances.some(each.id for each in pauses)
    owners = {id: each.customer for id, each in instances.items()}
    names = await operations.catalogue.customers.names(
        {owners.get(each.id, each.id) for each in pauses}
    )
    return [
        NamedPause.of(
            each,
            customer=(owner := owners.get(each.id, each.id)),
            customer_name=names.get(owner, owner),
            instance_name=instances[each.id].name if each.id in instances else None,
        )
        for each in pauses
    ]


@router.post("/customers/{customer}/pause")
@needs("operate")
async def pause_customer(
    found: OneCustomer, operations: Ops, draft: PauseDraft | None = None
) -> list[PauseView]:
    """Let a customer stand still: its events are accepted and wait, what runs goes on."""
    draft = draft or PauseDraft()
    await operations.engine.pause(found.id, operations.acting(draft.by), draft.reason)
    return await standing_still(operations)


@router.post("/customers/{customer}/resume")
@needs("operate")
async def resume_customer(found: OneCustomer, operations: Ops) -> list[PauseView]:
    """Let a customer go on; instances and flows that are paused themselves stay so."""
    await operations.engine.resume(found.id)
    return await standing_still(operations)


@router.post("/instances/{instance}/pause")
@needs("operate")
async def pause_instance(
    found: OneInstance, operations: Ops, draft: PauseDraft | None = None
) -> list[PauseView]:
    """Let an instance, or one flow of it, stand still: events are accepted and wait."""
    draft = draft or PauseDraft()
    await operations.pauses.pause(found, draft.flow, operations.acting(draft.by), draft.reason)
    return await standing_still(operations)


@router.post("/instances/{instance}/resume")
@needs("operate")
async def resume_instance(
    found: OneInstance, operations: Ops, draft: Resumption | None = None
) -> list[PauseView]:
    """Let an instance, or one flow of it, go on; what else is paused stays so."""
    await operations.pauses.resume(found, None if draft is None else draft.flow)
    return await standing_still(operations)


async def standing_still(operations: Operations) -> list[PauseView]:
    """Return all pauses, in the order in which they were made."""
    return [pause_view(each) for each in await operations.engine.journal.paused()]
