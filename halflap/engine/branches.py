"""Branches: steps side by side, each item's in a scope of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from halflap.engine.doing import Cancelled, Steps
from halflap.engine.failure import failed_step
from halflap.engine.scope import StepScope, current_scope, escaped
from halflap.errors import Fenced, StoreError
from halflap.sdk.context import Settled
from halflap.sdk.running import Suspended


async def gather(
    steps: Steps,
    items: list[Any],
    keys: list[str],
    do: Callable[[Any], Awaitable[Any]],
    limit: int,
) -> list[Any]:
    """Run a branch for each item, in a scope of its own."""
    parent = current_scope()
    name = parent.next_path("gather")
    gate = asyncio.Semaphore(max(limit, 1))
    scopes = [steps.past.branch(parent, f"{name}[{escaped(key)}]/") for key in keys]

    async def branch(item: Any, scope: StepScope) -> Any:
        scope.enter()
        async with gate:
            result = await do(item)
            steps.close(scope)
            return result

    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(branch(i, s)) for i, s in zip(items, scopes, strict=True)]
    try:
        if tasks:
            await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise
    for each in scopes:
        parent.now = max(parent.now, each.now)
        parent.lines += each.lines
    errors = [each.exception() for each in tasks if not each.cancelled()]
    settled = [each.result() for each in tasks if not each.cancelled() and not each.exception()]
    ended_badly = [*errors, *(each.error for each in settled if isinstance(each, Settled))]
    steps.failed_branches |= {failed_step(each) for each in ended_badly if each is not None} - {""}
    for error in errors:
        if isinstance(error, Fenced | StoreError):
            raise error
    if any(each.unwinding for each in scopes):
        parent.unwinding = True
        raise Cancelled if steps.cancelled else Suspended
    for error in errors:
        if error is not None:
            raise error
    return [each.result() for each in tasks]
