"""A call of a code step to its host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halflap.sdk.context import Settled

Json = Any
"""None, bool, int, float, Decimal, str, lists and dicts with text keys."""


@dataclass(frozen=True, slots=True)
class CodeCall:
    """An action that the code calls: `await component.action(…)`.

    `index` counts the calls of the run from 0. It is the same whenever the same code runs on the
    same inputs and gets the same answers, so it can name the step. `line` and `column` are places
    in the file.
    """

    component: str
    action: str
    args: tuple[Json, ...]
    kwargs: Mapping[str, Json]
    index: int
    line: int
    column: int

    @property
    def name(self) -> str:
        """As a step calls it: `component.action`."""
        return f"{self.component}.{self.action}"


Do = Callable[[CodeCall], Awaitable[Json]]
"""Runs one action as a step, and returns its result."""

Together = Callable[[Sequence[CodeCall]], Awaitable[Sequence[Settled[Json]]]]
"""Runs actions that the code asked for at once (`asyncio.gather`); answers in their order."""

Print = Callable[[str, int], None]
"""Takes a printed text, and the line of the file that printed it."""
