"""`break`: leaves a loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from halflap.lowcode.frame import Frame, Left
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import Step
from halflap.lowcode.source import Path

if TYPE_CHECKING:
    from halflap.lowcode.compile import Compiler


class BreakStep(Step):
    """Leave the loop."""

    kind: ClassVar[str] = "break"
    ends: ClassVar[str] = "leaves the loop"

    leave: Literal[True] = Field(alias="break")
    """`break: true`: the items that are left are not looked at."""

    def compile(self, compiler: Compiler, path: Path) -> Do:
        if not compiler.loops:
            raise compiler.refused("`break` leaves a loop, and there is none around it", path)
        if compiler.parallel:
            raise compiler.refused(
                "`break` cannot stop items that run side by side; leave out `parallel`", path
            )
        return DoBreak()


@dataclass(frozen=True, slots=True)
class DoBreak:
    """`break`."""

    async def run(self, frame: Frame) -> None:
        raise Left
