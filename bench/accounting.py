"""Lost and doubled, event by event: what was acknowledged against what is stored and arrived.

An execution counts as acknowledged where an answer of 2xx named it. From its id, the store says
which event it holds; from the event's id, the workload says what the destination must have seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.workload import Workload


@dataclass(frozen=True, slots=True)
class Account:
    """lost: acknowledged, and not wholly arrived. doubled: arrivals beyond the first of their id.

    unknown: ids that arrived although the store has no event for them.
    """

    lost: int
    doubled: int
    unknown: int


def account(
    workload: Workload,
    acknowledged: Iterable[str],
    events: Mapping[str, str],
    arrived: Mapping[str, int],
) -> Account:
    """Compare what was acknowledged with what is stored (execution → event) and what arrived."""
    lost = 0
    for execution in acknowledged:
        event = events.get(execution)
        if event is None or not all(arrived.get(each) for each in workload.due(event)):
            lost += 1
    known = {each for event in events.values() for each in workload.due(event)}
    return Account(
        lost,
        sum(count - 1 for count in arrived.values() if count > 1),
        len(arrived.keys() - known),
    )
