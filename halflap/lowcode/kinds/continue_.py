"""`continue_with`: ends the flow, and goes on in a new execution of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import FlowCompiler, PythonScope, StepModel, Template
from halflap.lowcode.source import Path


class ContinueStep(StepModel):
    """End the flow, and go on as a new execution of it with another event."""

    kind: ClassVar[str] = "continue_with"
    ends: ClassVar[str] = "ends the flow"

    continue_with: Annotated[Template, Asks("event", recorded=True, json=True)]
    """The event that the new execution gets."""

    def misplaced(self, loops: Sequence[bool]) -> str:
        said = (
            "`continue_with` cannot end the flow while other items run beside this one; leave out "
            "`parallel`, or continue after the loop"
        )
        return said if any(loops) else ""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        event = compiler.asked(self.continue_with, path, "continue_with")

        async def run(frame: Frame) -> None:
            await frame.ctx.continue_with(event.value(frame))

        return run

    def python(self, at: PythonScope) -> list[str]:
        return [f"await ctx.continue_with({at.value(self.continue_with, 'continue_with')})"]
