"""Replays as the API decides them, on a runner's journal and clock."""

from __future__ import annotations

from dataclasses import replace

from halflap.api.operations.family import Family
from halflap.api.operations.replay import (
    LeftOut,
    ReplayPlan,
    ReplayRequest,
    decide_replay,
)
from halflap.model import ENDED, Execution, FlowKey, Start, new_id
from halflap.store.protocol import Filter
from tests.engine.flows import Runner

HOUR = 3_600.0


async def descendants(runner: Runner, execution: str) -> list[Execution]:
    found: list[Execution] = []
    above = [execution]
    while above:
        page = await runner.engine.journal.executions(Filter(parent=above.pop(), limit=1_000))
        found += page
        above += [each.id for each in page]
    return found


async def plan_of(
    runner: Runner, execution: str, request: ReplayRequest | None = None
) -> ReplayPlan | LeftOut:
    """Return what is decided about a replay, from what the journal has."""
    journal = runner.engine.journal
    found = await journal.execution(execution)
    assert found is not None
    live = [
        e for e in await journal.executions(Filter(replay_of=execution)) if e.state not in ENDED
    ]
    material = await Family(journal, found).material()
    material = replace(material, live=live[0] if live else None)
    return decide_replay(found, material, request or ReplayRequest())


async def replay(
    runner: Runner,
    execution: str,
    request: ReplayRequest | None = None,
    *,
    after: float = HOUR,
    flow: FlowKey | None = None,
    plan: ReplayPlan | LeftOut | None = None,
) -> str:
    """Replay an execution as the API does, some time later on the clock."""
    runner.clock.advance(after)
    plan = plan or await plan_of(runner, execution, request)
    assert isinstance(plan, ReplayPlan), plan
    found = await runner.execution(execution)
    event = await runner.engine.journal.event(execution)
    assert event is not None
    repeats = request is not None and request.repeat
    id = new_id("exe", now=runner.clock())
    start = Start(
        id,
        flow or found.flow,
        event,
        plan.root or id,
        key=found.key,
        replay_of=execution,
        copied=plan.copied,
        order=found.order,
        replay=replace(plan.how, strict=flow is not None and bool(plan.doubts) and not repeats),
    )
    [started] = await runner.engine.start([start])
    assert started.duplicate_of is None
    return id
