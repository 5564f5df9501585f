"""The budget of an evaluation, and the meter that holds it to it.

Steps decide, so that an expression ends the same way on every machine and in every replay. The
time, which is the processor's and not the clock's, is a last resort for what is slow in few steps.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from halflap.lowcode.expressions.error import fail

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class EvaluationBudget:
    """The limits of an evaluation.

    `steps`: operations (calls, and values that are looked at). `depth`: operations within each
    other. `seconds`: of the processor. `memory`: bytes for all values that it makes on its way. `text`:
    characters of one text. `values`: values of one list. `result`: bytes of the result.
    """

    steps: int = 200_000
    depth: int = 700
    seconds: float = 0.7
    memory: int = 32 * MIB
    text: int = 4 * MIB
    values: int = 100_000
    result: int = 8 * MIB


DEFAULT = EvaluationBudget()


class Meter:
    """Counts what one evaluation takes."""

    __slots__ = ("_checked", "_ends", "budget", "depth", "memory", "steps")

    def __init__(self, budget: EvaluationBudget) -> None:
        self.budget = budget
        self.steps = 0
        self.memory = 0
        self.depth = 0
        self._checked = 0
        self._ends = time.thread_time() + budget.seconds

    def take(self, steps: int = 1) -> None:
        """Count steps."""
        self.steps += steps
        if self.steps > self._checked:
            self._check()

    def _check(self) -> None:
        if self.steps > self.budget.steps:
            fail("H0101", limit=f"{self.budget.steps:,}")
        self._checked = min(self.steps + 500, self.budget.steps)
        if time.thread_time() > self._ends:
            fail("H0103", limit=self.budget.seconds)

    def text(self, characters: int, *sources: str) -> None:
        """Count a text that is about to be made of the sources.

        A character beyond ASCII makes each one of its text take up to four bytes.
        """
        if characters > self.budget.text:
            fail("H0105", limit=f"{self.budget.text:,}")
        wide = not all(map(str.isascii, sources))
        self.bytes((4 * characters if wide else characters) + 56)
        self.take(1 + characters // 512)

    def values(self, count: int) -> None:
        """Count a list that is about to be made."""
        if count > self.budget.values:
            fail("H0106", limit=f"{self.budget.values:,}")
        self.bytes(64 + 16 * count)
        self.take(1 + count // 16)

    def bytes(self, count: int) -> None:
        """Count memory."""
        self.memory += count
        if self.memory > self.budget.memory:
            fail("H0104", limit=self.budget.memory // MIB)

    def deeper(self, by: int) -> None:
        """Go down into a call; the caller comes up by the same."""
        self.depth += by
        if self.depth > self.budget.depth:
            fail("H0102", limit=self.budget.depth)
