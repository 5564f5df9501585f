"""Ending: what a cancellation comes to, and what follows from an end in the transaction that ends."""

from __future__ import annotations

from halflap.model import ENDED, ExecutionState, frozen
from halflap.store.protocol import CancelResult


@frozen
class Consequences:
    """The consequences of the end of an execution.

    It gives up its place in its order (`failed`: unless it is to block), tells the parent that
    `child`, by which name the parent knows it, has ended, and takes its bound children along.
    """

    leaves_order: bool
    failed: bool
    parent: str | None
    child: str
    cancels_children: bool


def consequences(
    state: ExecutionState, *, ordered: bool, parent: str | None, child: str
) -> Consequences:
    """Return what follows from an end, unless the next of its chain takes over its place."""
    return Consequences(ordered, state == "failed", parent, child, state == "cancelled")


def decide_cancel(state: ExecutionState) -> CancelResult:
    """Decide whether an execution ends at once, its worker is asked to end it, or it has ended."""
    if state == "running":
        return "asked"
    return "over" if state in ENDED else "ended"


def frees_key(attempt: int) -> bool:
    """Tell whether an event may come again: of its execution, which was cancelled, nothing was done."""
    return attempt == 0
