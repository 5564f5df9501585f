"""Duplicates: whether a start was accepted before, under another id."""

from __future__ import annotations

from collections.abc import Iterable

from halflap.errors import Conflict


def duplicate_of(execution: str, holders: Iterable[str | None]) -> str | None:
    """Return which execution gives the answer to a start, where it is another one.

    holders: who has what it wants, in this order: its dedupe key, its place in a chain, the turn to
    replay another one. They are only looked at as far as the first one that is not itself.
    """
    return next((each for each in holders if each is not None and each != execution), None)


def another_event() -> Conflict:
    """Return the error for an event whose key is that of another one."""
    return Conflict(
        "another event was published with this idempotency key; give each event its own"
    )
