"""Continuing: when the next of a chain begins, and which signals of the former one it inherits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from halflap.model import SYSTEM, Micros, StepKind, frozen

ANSWERED = f"{SYSTEM}answered"
"""The name of a signal that is inherited only so that its question is not answered twice."""

WORK: frozenset[StepKind] = frozenset({"action", "step", "start", "call", "sleep", "signal"})
"""The kinds of steps by which an execution does something, or waits for something."""
UNPACED = 10
"""The number of executions of a chain that follow each other at once, whatever they do."""
PACE: Micros = 1_000_000
PACED = "the pace of its chain, whose last execution did nothing"


def begins_at(link: int, now: Micros, *, has_worked: bool) -> Micros:
    """Return when the next of a chain may begin, whose former one ends now.

    One that did no work is followed a second later, so that a flow that only continues is no load.
    """
    return now if has_worked or link <= UNPACED else now + PACE


@frozen
class SentSignal:
    """A signal as it is stored for an execution; `once` names the question that it answers."""

    name: str
    payload: bytes
    at: Micros
    once: str | None = None


def carry(former: str, signals: Iterable[SentSignal], taken: Mapping[str, int]) -> list[SentSignal]:
    """Return the signals that pass to the next of a chain, in the order in which they were sent.

    Those that no step has `taken` do. Of an answer that was taken, the question stays, so that a
    second answer is known for one. Ends of children do not: no later one waits for them.
    """
    left = Counter(taken)
    found: list[SentSignal] = []
    for each in signals:
        once = None if each.once is None else question_of(former, each.once)
        is_unread = each.name != ANSWERED and left[each.name] <= 0
        left[each.name] -= 1
        if each.name.startswith(SYSTEM) and each.name != ANSWERED:
            continue
        if is_unread:
            found.append(SentSignal(each.name, each.payload, each.at, once))
        elif once is not None:
            found.append(SentSignal(ANSWERED, b"", each.at, once))
    return found


def question_of(execution: str, once: str) -> str:
    """Return the name of a question of an execution, as later ones of its chain know it."""
    return once if once.startswith("exe_") else f"{execution} {once}"
