"""`wait`: waits for a signal."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from halflap.errors import TimedOut
from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import FlowCompiler, PythonScope, ResultStepModel, Time
from halflap.lowcode.python import call, indented, text
from halflap.lowcode.source import Path


class WaitStep(ResultStepModel):
    """Wait for a signal; the result is its payload."""

    kind: ClassVar[str] = "wait"

    wait: str
    """The signal's name."""
    timeout: Annotated[Time | None, Asks("time")] = None
    """The longest wait, or an expression that gives it; without it, until the flow's maximum age."""
    on_timeout: Literal["fail", "continue"] = "fail"
    """`continue`: where none comes in time, the result is null."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        within = compiler.maybe(self.timeout, path, "timeout")

        async def run(frame: Frame) -> None:
            timeout = None if within is None else within.duration(frame)
            try:
                result = await frame.ctx.wait_for(self.wait, timeout=timeout)
            except TimedOut:
                if self.on_timeout == "fail":
                    raise
                result = None
            frame.give(self.id, result)

        return run

    def python(self, at: PythonScope) -> list[str]:
        named = [] if self.timeout is None else [("timeout", at.time(self.timeout, "timeout"))]
        made = at.assigned(self.id, call("await ctx.wait_for", [text(self.wait)], named))
        if self.on_timeout == "fail":
            return made
        target = at.target(self.id)
        caught = "pass" if target is None else f"{target} = None"
        return ["try:", *indented(made), f"except {at.use('TimedOut')}:", f"    {caught}"]
