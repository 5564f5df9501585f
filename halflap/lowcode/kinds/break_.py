"""`break`: leaves a loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from halflap.lowcode.frame import Frame, LoopLeft
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import FlowCompiler, PythonScope, StepModel
from halflap.lowcode.source import Path
from halflap.sdk.duration import refused


def _leave(value: Any) -> Any:
    if value is not True:
        raise refused(
            "`break` leaves the loop: write break: true, or leave the step out", "true", raw=True
        )
    return value


class BreakStep(StepModel):
    """Leave the loop."""

    kind: ClassVar[str] = "break"
    ends: ClassVar[str] = "leaves the loop"

    leave: Annotated[Literal[True], BeforeValidator(_leave)] = Field(alias="break")
    """`break: true`: the items that are left are not looked at."""

    def misplaced(self, loops: Sequence[bool]) -> str:
        if not loops:
            return "`break` leaves a loop, and there is none around it"
        said = "`break` cannot stop items that run side by side; leave out `parallel`"
        return said if any(loops) else ""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        async def leave(frame: Frame) -> None:
            raise LoopLeft

        return leave

    def python(self, at: PythonScope) -> list[str]:
        return ["break"]
