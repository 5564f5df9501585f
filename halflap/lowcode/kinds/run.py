"""Running steps: what a step of a document becomes, compiled once per version."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from halflap.errors import ExpressionError, note_place
from halflap.lowcode.asked import as_duration, as_items, as_scalar, as_status, as_text, as_truth
from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.step import StepModel
from halflap.lowcode.source import Path, SourceText
from halflap.lowcode.template import NO_HOST, ExpressionHost, Fill, Names, template
from halflap.sdk.schema import UNSET

T = TypeVar("T")


Do = Callable[[Frame], Awaitable[None]]
"""Runs a step; its result is a name of the frame afterwards."""


class RunnableStep(Protocol):
    """A step that can be run."""

    async def run(self, frame: Frame) -> None:
        """Run it."""
        ...


@dataclass(frozen=True, slots=True)
class PlacedStep:
    """A step of a document, which notes its name and its place there on what it raises."""

    model: StepModel
    do: Do
    where: str
    name: str
    path: Path

    async def run(self, frame: Frame) -> None:
        """Run the step."""
        try:
            await self.do(frame)
        except Exception as error:
            note_place(error, self.where)
            if isinstance(error, ExpressionError):
                error.note_step(self.name, len(self.path))
            raise


Steps = Sequence[RunnableStep]


async def run_all(steps: Steps, frame: Frame) -> None:
    """Run steps one after another."""
    for each in steps:
        await each.run(frame)


class Outside(NamedTuple):
    """The names of an expression that no execution reads: it has no time and no chance."""

    names: Names
    host: ExpressionHost = NO_HOST


def _read(read: Callable[[Any, str], T]) -> Callable[[Asked, Frame | Outside], T]:
    def placed(asked: Asked, frame: Frame | Outside) -> T:
        found = asked.value(frame)
        try:
            return read(found, asked.what)
        except ExpressionError as error:
            raise error.at(asked.where) from error.__cause__

    return placed


@dataclass(frozen=True, slots=True)
class Asked:
    """A check of a step's expressions: a value of some kind, or an error at its place."""

    fill: Fill
    where: str
    what: str

    @classmethod
    def of(cls, value: Any, source: SourceText, path: Path, used: set[str]) -> Asked:
        """Compile a template; the names that its expressions read are added to `used`."""
        return cls(template(value, source, path, used), source.at(path), f"`{path[-1]}`")

    def value(self, frame: Frame | Outside) -> Any:
        """Its value; null where there is none."""
        found = self.fill(frame.names, frame.host)
        return None if found is UNSET else found

    truth = _read(as_truth)
    text = _read(as_text)
    items = _read(as_items)
    scalar = _read(as_scalar)
    status = _read(as_status)
    duration = _read(as_duration)
