"""`set`: sets variables."""

from __future__ import annotations

from typing import Annotated, ClassVar

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks, Gives
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import FlowCompiler, Name, PythonScope, StepModel, Template
from halflap.lowcode.source import Path


class SetStep(StepModel):
    """Set variables, for later steps."""

    kind: ClassVar[str] = "set"

    set: Annotated[dict[Name, Template], Gives("variable"), Asks()]
    """By name, the value of each variable: `set: {total: =event.seats * event.price}`."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        outward = compiler.scoping.outward
        values = [
            (name, each, outward[*path, "set", name])
            for name, each in compiler.named(self.set, path, "set")
        ]

        async def run(frame: Frame) -> None:
            for name, each, loops in values:
                frame.assign(name, each.value(frame), loops)

        return run

    def python(self, at: PythonScope) -> list[str]:
        return [
            line
            for name, given in self.set.items()
            for line in at.assigned(name, at.value(given, "set", name))
        ]
