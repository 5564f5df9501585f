"""The processes that have the store open: who runs, where, on which code."""

from __future__ import annotations

from halflap.api.asking import Ops, router_of
from halflap.api.view import ProcessView, rfc3339
from halflap.model import Process

router = router_of("/api/processes", "health")


@router.get("")
async def list_processes(operations: Ops) -> list[ProcessView]:
    """All processes that have the store open, oldest first; this one too."""
    return [process_view(each) for each in await operations.store.processes()]


def process_view(process: Process) -> ProcessView:
    """A process as it is shown."""
    return ProcessView(
        id=process.id,
        role=process.role,
        host=process.host,
        pid=process.pid,
        version=process.version,
        migration=process.migration,
        started_at=rfc3339(process.started_at),
        seen_at=rfc3339(process.seen_at),
    )
