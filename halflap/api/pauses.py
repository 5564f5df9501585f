"""Pauses of customers, instances and flows."""

from __future__ import annotations

from halflap.api.asking import OneCustomer, OneInstance, Ops, needs, router_of
from halflap.api.view import PauseDraft, PauseView, Resumption, pause_view

router = router_of("/api", "pauses")


@router.get("/pauses")
@needs("read")
async def list_pauses(operations: Ops) -> list[PauseView]:
    """All that stands still, in the order in which it was paused."""
    return [pause_view(each) for each in await operations.engine.journal.paused()]


@router.post("/customers/{customer}/pause")
@needs("operate")
async def pause_customer(
    found: OneCustomer, operations: Ops, draft: PauseDraft | None = None
) -> list[PauseView]:
    """Let a customer stand still: its events are accepted and wait, what runs goes on."""
    draft = draft or PauseDraft()
    await operations.engine.pause(found.id, operations.acting(draft.by), draft.reason)
    return await list_pauses(operations)


@router.post("/customers/{customer}/resume")
@needs("operate")
async def resume_customer(found: OneCustomer, operations: Ops) -> list[PauseView]:
    """Let a customer go on; instances and flows that are paused themselves stay so."""
    await operations.engine.resume(found.id)
    return await list_pauses(operations)


@router.post("/instances/{instance}/pause")
@needs("operate")
async def pause_instance(
    found: OneInstance, operations: Ops, draft: PauseDraft | None = None
) -> list[PauseView]:
    """Let an instance, or one flow of it, stand still: events are accepted and wait."""
    draft = draft or PauseDraft()
    await operations.pauses.pause(found, draft.flow, operations.acting(draft.by), draft.reason)
    return await list_pauses(operations)


@router.post("/instances/{instance}/resume")
@needs("operate")
async def resume_instance(
    found: OneInstance, operations: Ops, draft: Resumption | None = None
) -> list[PauseView]:
    """Let an instance, or one flow of it, go on; what else is paused stays so."""
    await operations.pauses.resume(found, None if draft is None else draft.flow)
    return await list_pauses(operations)
