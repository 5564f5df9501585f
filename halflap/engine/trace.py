"""Trace an execution: which step of its document made each record, found by a shadow run."""

from __future__ import annotations

from collections.abc import Sequence

from halflap.engine.executor import Work
from halflap.engine.protocol import Again
from halflap.engine.shadow import ShadowFindings, ShadowTurn, run_shadow
from halflap.lowcode.observer import Tracer, current
from halflap.lowcode.outline.executed import Trace
from halflap.model import Micros, Record, Start


async def trace(
    start: Start, accepted_at: Micros, history: Sequence[Record], work: Work, tracer: Tracer
) -> Trace:
    """Run a flow that `tracer` watches against what its execution recorded.

    No step is done: each is answered by its record, and the run ends at the first that has none.
    """
    seen = ShadowFindings({each.path: each for each in history}, recalls_pure=True)
    current.set(())
    verdict = await run_shadow(ShadowTurn(start, accepted_at), work, seen)
    at = next(reversed(seen.places.values()), None) if seen.stopped else None
    fails = isinstance(verdict, Again) or (
        verdict is not None and verdict.outcome.state == "failed"
    )
    return Trace(
        seen.places,
        dict(tracer.runs),
        dict(tracer.ended),
        tuple(tracer.routes),
        at or None,
        seen.stopped,
        tracer.failed if fails and not seen.stopped else (),
    )
