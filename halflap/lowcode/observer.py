"""Observers of a document's steps as they run: how often each ran, and which one runs now.

Nothing is recorded for it: the paths of a journal stay what they are. What is published is compiled
without an observer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.run import Asked, PlacedStep, RunnableStep, Steps
from halflap.lowcode.source import Path
from halflap.lowcode.template import ExpressionHost, Names
from halflap.sdk.budget import EVERY, spend

Runs = dict[Path, int]

current: ContextVar[Path] = ContextVar("halflap.lowcode.step", default=())
"""The address of the step that runs in this task; of a pre-process flow, of the last route that held."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A step that counts, and stands before those of a document."""

    runs: Runs
    path: Path

    async def run(self, frame: Frame) -> None:
        """Count, and note the step that follows."""
        spend(EVERY)
        self.runs[self.path] += 1
        current.set(self.path)


@dataclass(frozen=True, slots=True)
class TracedStep:
    """A step that its tracer runs."""

    step: PlacedStep
    tracer: Tracer

    async def run(self, frame: Frame) -> None:
        """Run the step."""
        await self.tracer.run(self.step, frame)


class Tracer:
    """Counts how often each step and branch of a document runs, and notes the one that runs now.

    A branch is a list of steps (`else` and `default` also where they are not written), an item that
    a `where` leaves out, and a route of a pre-process flow. `routes` are those that held, in order,
    `failed` is the step that raised the last `failure`. `ended` counts the items of each loop that goes
    on behind those that fail: all that have ended, and of them the failed ones.
    """

    def __init__(self) -> None:
        self.runs: Runs = {}
        self.ended: dict[Path, tuple[int, int]] = {}
        self.failure: Exception | None = None
        self.failed: Path = ()
        self.routes: list[Path] = []

    def steps(self, path: Path, steps: Sequence[PlacedStep]) -> Steps:
        """Return a list of steps, with a mark before it, and one before each step."""
        marked: list[RunnableStep] = [self._mark(path)]
        for each in steps:
            marked += [self._mark(each.path), TracedStep(each, self)]
        return tuple(marked)

    async def run(self, step: PlacedStep, frame: Frame) -> None:
        """Run a step, and note its failure, where no step within it has raised that."""
        try:
            await step.run(frame)
        except Exception as error:
            if self.failure is None or self.failure not in (error, error.__cause__):
                self.failed = step.path
            self.failure = error
            raise
        if self.failed[: len(step.path)] == step.path:
            self.failed = ()  # a step within this one failed, and that was caught

    def condition(self, path: Path, condition: Asked) -> Asked:
        """Return a `where` that counts what it leaves out, or a `when` that counts what it takes."""
        counted = path[-1] == "when"
        place = path[:-1] if counted else path
        self.runs[place] = 0

        def fill(names: Names, host: ExpressionHost) -> Any:
            found = condition.fill(names, host)
            self.runs[place] += (found is True) == counted
            if counted and found is True:
                self.routes.append(place)
            return found

        return replace(condition, fill=fill)

    def items(self, path: Path) -> Callable[[bool], None]:
        """Return what counts an item of the loop at an address as it ends: whether it failed."""
        self.ended[path] = 0, 0

        def count(failed: bool) -> None:
            ended, lost = self.ended[path]
            self.ended[path] = ended + 1, lost + failed

        return count

    def _mark(self, path: Path) -> Mark:
        self.runs[path] = 0
        return Mark(self.runs, path)
