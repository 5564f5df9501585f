"""Read the replays of an execution, whoever started them."""

from __future__ import annotations

from halflap.model import CONTINUED, ENDED, ENDED_BADLY, Execution, position_in_chain
from halflap.store.protocol import Filter, Journal

MOST_RELATED = 200
CUT = frozenset({"crashed", "drained"})
"""The ends of attempts that their process, or its stop, cut."""


async def latest_of(journal: Journal, execution: Execution) -> Execution:
    """Return the replay that stands for a child that did not end well, else the child itself."""
    if execution.state not in ENDED_BADLY:
        return execution
    if execution.state == "failed" and not execution.dismissed:
        return execution
    replays = [e for e in await replays_of(journal, execution) if e.state != "ignored"]
    live = [each for each in replays if each.state not in ENDED]
    well = [each for each in replays if each.state == "succeeded"]
    latest = max(live or well or replays, key=lambda each: each.id, default=execution)
    if latest.state == "succeeded" and latest.reason == CONTINUED:
        chain, _ = position_in_chain(latest)
        [last] = await journal.executions(Filter(chain=chain, limit=1))
        return await latest_of(journal, last)
    return latest


async def was_cut(journal: Journal, execution: Execution) -> bool:
    """Return whether an attempt of an execution was cut, perhaps within a step: of that is no record."""
    if execution.attempt <= 1:
        return False
    return any(each.how in CUT for each in await journal.attempts(execution.id))


async def replays_of(journal: Journal, execution: Execution) -> list[Execution]:
    """Return the replays of an execution, and those of these."""
    found: list[Execution] = []
    below = [execution]
    while below:
        page = await journal.executions(Filter(replay_of=below.pop().id, limit=MOST_RELATED))
        found += page
        below += page
    return found
