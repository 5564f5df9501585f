"""Running steps: what a step of a document becomes, compiled once per version."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from halflap.errors import ExpressionError, note_place
from halflap.lowcode.asked import as_items, as_scalar, as_status, as_text, as_truth
from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.step import StepModel
from halflap.lowcode.source import Path
from halflap.lowcode.template import ExpressionHost, Fill, Names
from halflap.sdk.duration import duration
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


@dataclass(frozen=True, slots=True)
class Asked:
    """A check of a step's expressions: a value of some kind, or an error at its place."""

    fill: Fill
    where: str
    what: str

    def value(self, frame: Frame) -> Any:
        """Its value; null where there is none."""
        found = self.fill(frame.names, frame.host)
        return None if found is UNSET else found

    def truth(self, frame: Frame) -> bool:
        """A condition; null counts as false, anything but true and false is an error."""
        return self.truth_of(frame.names, frame.host)

    def truth_of(self, names: Names, host: ExpressionHost) -> bool:
        """The same outside of a flow."""
        return self._placed(as_truth, self.fill(names, host))

    def text(self, frame: Frame) -> str:
        """A text, or a number as one."""
        return self._placed(as_text, self.value(frame))

    def items(self, frame: Frame) -> list[Any]:
        """A list; null is none, and one value is a list of it."""
        return as_items(self.value(frame))

    def scalar(self, frame: Frame) -> Any:
        """Return a value that selects a case."""
        return self._placed(as_scalar, self.value(frame))

    def status(self, frame: Frame) -> int:
        """The status of an HTTP answer."""
        return self._placed(as_status, self.value(frame))

    def duration(self, frame: Frame) -> timedelta:
        """Return a time, of a text such as `2 h` or of seconds."""
        try:
            return duration(self.value(frame))
        except ValueError as error:
            raise ExpressionError(str(error)).at(self.where) from error

    def _placed(self, read: Callable[[Any, str], T], found: Any) -> T:
        try:
            return read(found, self.what)
        except ExpressionError as error:
            raise error.at(self.where) from None
