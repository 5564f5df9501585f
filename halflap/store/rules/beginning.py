"""Beginning: whether a new execution is claimed as it is accepted, and what holds it back."""

from __future__ import annotations

from collections.abc import Collection

from halflap.errors import NotFound
from halflap.model import SYSTEM, FlowKey, frozen, pausable
from halflap.store.rules.order import BEHIND

LIMITED = 0
"""The bit in the place of a gate's that says that a customer has limits."""
GONE = 8
"""The bit of `held`, and of a gate, that says that a customer is being erased, or was."""


@frozen
class Beginning:
    """The beginning of a new execution: claimed at once, or with bits of `held`."""

    runs: bool
    held: int


def gates_of(
    flow: FlowKey, closed: Collection[tuple[str, int]], *, all_limited: bool
) -> tuple[int, bool]:
    """Return the bits of `held` that gates give an execution, and whether it has limits.

    `closed`: gates by name and bit, and customers with limits. A flow of ours has neither. Raises
    `NotFound` where its customer is erased: what was on its way meanwhile would be left behind.
    """
    if flow.flow.startswith(SYSTEM):
        return 0, False
    if (flow.customer, GONE) in closed:
        raise NotFound("the customer is there no more: it was erased meanwhile")
    if not closed:
        return 0, all_limited
    names = pausable(flow)
    held = {bit for name, bit in closed if name in names and bit != LIMITED}
    return sum(held), all_limited or (flow.customer, LIMITED) in closed


def begin(
    room: int, held: int, *, limited: bool, suspect: bool, behind: bool, orphan: bool
) -> Beginning:
    """Decide whether one is claimed at once.

    Limits are looked at by the claim. A suspect (a replay of what ended its process) begins in a
    process of its own; an orphan, whose parent was cancelled, to be cancelled, too.
    """
    runs = room > 0 and not (held or limited or suspect or behind or orphan)
    return Beginning(runs, held | (BEHIND if behind else 0))
