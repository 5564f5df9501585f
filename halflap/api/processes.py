"""The processes that have the store open: who runs, where, on which code."""

from __future__ import annotations

from halflap.api.asking import Ops, needs, router_of
from halflap.api.view import ProcessView

router = router_of("/api/processes", "health")


@router.get("")
@needs("read")
async def list_processes(operations: Ops) -> list[ProcessView]:
    """All processes that have the store open, oldest first; this one too."""
    return [ProcessView.of(each) for each in await operations.store.processes()]
