"""`sleep`: waits for a time."""

from __future__ import annotations

from typing import Annotated, ClassVar

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import FlowCompiler, PythonScope, StepModel, Time
from halflap.lowcode.source import Path


class SleepStep(StepModel):
    """Wait for a time; the execution leaves memory meanwhile."""

    kind: ClassVar[str] = "sleep"

    sleep: Annotated[Time, Asks("time")]
    """The time: `30s`, `2 h`, `3 days`, a number of seconds, or an expression that gives one."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        time = compiler.asked(self.sleep, path, "sleep")

        async def run(frame: Frame) -> None:
            await frame.ctx.sleep(time.duration(frame))

        return run

    def python(self, at: PythonScope) -> list[str]:
        return [f"await ctx.sleep({at.time(self.sleep, 'sleep')})"]
