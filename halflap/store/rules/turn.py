"""Turns: whether a worker may write what it brings, and how it leaves an execution."""

from __future__ import annotations

from halflap.model import ExecutionState, frozen
from halflap.store.protocol import Release, Written


@frozen
class HeldTurn:
    """A running execution, as a lease is compared with it."""

    fence: int
    cancelling: bool


def refusal(held: HeldTurn | None, fence: int, ends: str | None) -> Written | None:
    """Return why what a turn brings is not written; `None` where it is.

    `held` is None where the execution does not run. `ends`: the state that the turn ends it in; one
    that is to be cancelled ends in no other.
    """
    if held is None or held.fence != fence:
        return Written.FENCED
    if held.cancelling and ends is not None and ends != "cancelled":
        return Written.CANCELLED
    return None


def state_after(how: Release) -> ExecutionState:
    """Return the state of an execution that was released."""
    return "waiting" if how.how in ("sleep", "signal", "park") else "queued"
