"""Following: every change of an execution as it happens, as Server-Sent Events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from halflap.api.asking import Ops, Whose
from halflap.api.executions import whose
from halflap.api.operations import Operations
from halflap.api.operations.following import Pause, Which
from halflap.api.operations.needs import Change
from halflap.api.problem import documented
from halflap.api.recorded import ChangeView
from halflap.api.view import rfc3339
from halflap.sdk import codec

router = APIRouter(prefix="/api", tags=["executions"], responses=documented(404, 409))
stream = {
    200: {
        "description": "Server-Sent Events; each `data` is a ChangeView.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.get("/follow", response_class=StreamingResponse, responses={**stream})
async def follow(
    operations: Ops,
    customer: Whose = None,
    instance: str | None = None,
    execution: str | None = None,
) -> StreamingResponse:
    """Every change from now on. Comments are heartbeats; `event: dropped` ends a slow reader."""
    owner, within = await whose(operations, customer, instance)
    if execution is not None:
        execution = (await operations.executions.find(execution)).id
    which = Which(owner, within, execution)
    return StreamingResponse(
        lines(operations, which),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def lines(operations: Operations, which: Which) -> AsyncGenerator[bytes]:
    """What is followed, as lines of an event stream."""
    async with aclosing(operations.following.changes(which)) as changes:
        async for each in changes:
            match each:
                case Pause.HEARTBEAT:
                    yield b": following\n\n"
                case Pause.DROPPED:
                    yield b"event: dropped\ndata: {}\n\n"
                case _:
                    yield b"data: " + codec.encode(change_view(each).model_dump()) + b"\n\n"


def change_view(change: Change) -> ChangeView:
    """A change as it is told."""
    return ChangeView(
        execution=change.execution,
        flow=change.start.flow.flow,
        instance=change.start.flow.instance,
        customer=change.start.flow.customer,
        state=change.state,
        at=rfc3339(change.at),
        attempt=change.attempt,
        reason=change.outcome.reason if change.outcome is not None else "",
    )
