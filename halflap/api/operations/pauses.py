"""Operations on pauses: of a customer, an instance, a flow of one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from halflap.engine.journal import JournalEngine
from halflap.engine.library import Library
from halflap.errors import NotFound
from halflap.model import SYSTEM, Execution, FlowKey, Instance, Paused, pausable


@dataclass(slots=True)
class Pauses:
    """Pauses and resumes; what is paused accepts events, and runs none of them."""

    engine: JournalEngine
    library: Library

    async def pause(self, instance: Instance, flow: str | None, by: str, reason: str) -> None:
        """Let an instance stand still, or one flow of it; twice is once."""
        if flow is not None:
            known = (await self.library.integration(instance.version)).flows
            if flow not in known:
                raise NotFound(
                    f"{instance.name} has no flow {flow!r}; it has: {', '.join(known) or 'none'}"
                )
        await self.engine.pause(named(instance, flow), by, reason)

    async def resume(self, instance: Instance, flow: str | None) -> None:
        """Let an instance, or one flow of it, go on."""
        await self.engine.resume(named(instance, flow))

    async def of(self, instances: Collection[Instance]) -> dict[str, list[Paused]]:
        """By instance, what of it stands still, and with whom."""
        paused = await self.engine.journal.paused()
        return {
            each.id: [found for found in paused if found.holder in (each.id, each.customer)]
            for each in instances
            if paused
        }

    async def holding(self, execution: Execution) -> list[Paused]:
        """Return the pauses that hold an execution that does not run."""
        if execution.state not in ("queued", "waiting"):
            return []
        names = pauses_of(execution.flow)
        return [each for each in await self.engine.journal.paused() if each.what in names]


def pauses_of(flow: FlowKey) -> Sequence[str]:
    """Return the names of the pauses that hold a flow; none holds a deployment."""
    return () if flow.flow.startswith(SYSTEM) else pausable(flow)


def named(instance: Instance, flow: str | None) -> str:
    """Return the name of an instance, or of a flow of it, as that of a pause."""
    return instance.id if flow is None else f"{instance.id}/{flow}"
