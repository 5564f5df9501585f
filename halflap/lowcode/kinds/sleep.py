"""`sleep`: waits for a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Asked, Do
from halflap.lowcode.kinds.step import StepModel, Time
from halflap.lowcode.source import Path

if TYPE_CHECKING:
    from halflap.lowcode.compile import FlowCompiler
    from halflap.lowcode.convert.flow import PythonSpot


class SleepStep(StepModel):
    """Wait for a time; the execution leaves memory meanwhile."""

    kind: ClassVar[str] = "sleep"

    sleep: Annotated[Time, Asks("time")]
    """The time: `30s`, `2 h`, `3 days`, a number of seconds, or an expression that gives one."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        return DoSleep(compiler.asked(self.sleep, path, "sleep"))

    def python(self, at: PythonSpot) -> list[str]:
        return [f"await ctx.sleep({at.scope.time(self.sleep, 'sleep')})"]


@dataclass(frozen=True, slots=True)
class DoSleep:
    """`sleep`."""

    time: Asked

    async def run(self, frame: Frame) -> None:
        await frame.ctx.sleep(self.time.duration(frame))
