"""Finds what the variables of a flow need in Python, in one walk over its steps.

A document's names are null until a step gives them something; a variable of Python does not exist
before. A frame is the flow's own steps, or those of a loop for each item (`halflap.lowcode.scoping`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from halflap.lowcode import kinds as doc
from halflap.lowcode.convert.context import WrittenModule
from halflap.lowcode.convert.values import names_read
from halflap.lowcode.kinds.walk import blocks, names_given, templates
from halflap.lowcode.scoping import Scoping, scoping_of
from halflap.lowcode.source import Path

Key = tuple[Path, str]
"""A name of a frame: the frame's path and the name."""


@dataclass(slots=True)
class NamePlan:
    """The names of a flow.

    read: those that an expression reads. begins: those that are read where no step may have given them
    anything, which begin as None. given: how many steps give each.
    """

    scoping: Scoping
    read: set[str] = field(default_factory=set[str])
    begins: set[Key] = field(default_factory=set[Key])
    given: Counter[Key] = field(default_factory=Counter[Key])


def plan_of(module: WrittenModule, steps: Sequence[doc.StepModel], path: Path) -> NamePlan:
    """Walk the steps of a flow, which stand at `path`."""
    plan = NamePlan(scoping_of(steps, path, module.source))
    walk = _NameWalk(module, plan)
    walk.steps(steps, path, [(path, set(plan.scoping.names))], set())
    return plan


Frames = list[tuple[Path, set[str]]]
"""The frames around a step, from the outermost, each with its names."""


@dataclass(slots=True)
class _NameWalk:
    module: WrittenModule
    plan: NamePlan

    def steps(
        self, steps: Iterable[doc.StepModel], path: Path, frames: Frames, sure: set[Key]
    ) -> None:
        """Walk a list of steps; `sure` gets what they give in any case."""
        for at, each in enumerate(steps):
            self._step(each, (*path, at), frames, sure)

    def _step(self, step: doc.StepModel, path: Path, frames: Frames, sure: set[Key]) -> None:
        inner = frames
        if isinstance(step, doc.ForStep):
            own, copied = self.plan.scoping.own[path], self.plan.scoping.copied[path]
            inner = [*frames, (path, {*own, *copied, step.item})]
            for name in copied:  # each item begins with the value of outside
                self._needs(name, frames, sure)
            sure |= {(path, name) for name in (*copied, step.item)}
        for place, each, _ in templates(step):
            if isinstance(step, doc.ForStep) and place == ("collect",):
                continue  # it is read after the items' steps
            in_item = isinstance(step, doc.ForStep) and place != ("in",)
            self._reads(each, (*path, *place), inner if in_item else frames, sure)
        for place, steps, _ in blocks(step):
            within = set(sure)
            if isinstance(step, doc.TryStep) and place == ("catch",):
                within.add((frames[-1][0], step.error))
            self.steps(steps, (*path, *place), inner, within)
            if isinstance(step, doc.ForStep) and step.collect is not None:
                self._reads(step.collect, (*path, "collect"), inner, within)
        for _, name, gives in names_given(step):
            if gives.what in ("result", "variable"):
                self._gives(name, frames, sure)

    def _reads(self, value: object, path: Path, frames: Frames, sure: set[Key]) -> None:
        for name in names_read(value, self.module, path):
            self.plan.read.add(name)
            self._needs(name, frames, sure)

    def _needs(self, name: str, frames: Frames, sure: set[Key]) -> None:
        key = _key(name, frames)
        if key is not None and key not in sure:
            self.plan.begins.add(key)

    def _gives(self, name: str, frames: Frames, sure: set[Key]) -> None:
        key = _key(name, frames)
        if key is not None:
            self.plan.given[key] += 1
            sure.add(key)


def _key(name: str, frames: Frames) -> Key | None:
    return next(((path, name) for path, names in reversed(frames) if name in names), None)
