"""`set`: sets variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks, Gives
from halflap.lowcode.kinds.run import Asked, Do
from halflap.lowcode.kinds.step import Name, StepModel, Template
from halflap.lowcode.source import Path

if TYPE_CHECKING:
    from halflap.lowcode.compile import FlowCompiler
    from halflap.lowcode.convert.flow import PythonSpot


class SetStep(StepModel):
    """Set variables, for later steps."""

    kind: ClassVar[str] = "set"

    set: Annotated[dict[Name, Template], Gives("variable"), Asks()]
    """By name, the value of each variable: `set: {total: =event.seats * event.price}`."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        outward = compiler.scoping.outward
        return DoSet(
            tuple(
                (name, each, outward[*path, "set", name])
                for name, each in compiler.named(self.set, path, "set")
            )
        )

    def python(self, at: PythonSpot) -> list[str]:
        return [
            line
            for name, given in self.set.items()
            for line in at.assigned(name, at.scope.value(given, "set", name))
        ]


@dataclass(frozen=True, slots=True)
class DoSet:
    """`set`: by name, the value, and how many loops out of here the variable belongs."""

    values: tuple[tuple[str, Asked, int], ...]

    async def run(self, frame: Frame) -> None:
        for name, each, outward in self.values:
            frame.assign(name, each.value(frame), outward)
