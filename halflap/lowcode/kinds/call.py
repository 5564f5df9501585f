"""`call`: starts another flow of the integration."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from halflap.lowcode.frame import Frame, plain
from halflap.lowcode.kinds.role import Asks, Refers
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import (
    FlowCompiler,
    OnFailure,
    PythonScope,
    ResultStepModel,
    Template,
)
from halflap.lowcode.source import Path


class CallStep(ResultStepModel):
    """Start another flow of the integration, and wait for its result."""

    kind: ClassVar[str] = "call"

    call: Annotated[str, Refers("flow")]
    """The flow's name."""
    event: Annotated[Template, Asks("event", recorded=True, json=True)] = None
    """The event that it gets."""
    wait: bool = True
    """false: go on at once; the result is the execution's id."""
    on_failure: OnFailure = "fail"
    """`ignore`: where it fails for good, its result is null, and the flow goes on."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        event = compiler.asked(self.event, path, "event")

        async def called(frame: Frame, event: Any) -> Any:
            if self.wait:
                return plain(await frame.ctx.call(self.call, event))
            return (await frame.ctx.start(self.call, event)).id

        async def run(frame: Frame) -> None:
            done = called(frame, event.value(frame))
            await frame.attempt(self.id, f"the flow {self.call}", done, self.on_failure)

        return run

    def python(self, at: PythonScope) -> list[str]:
        flow, event = at.module.names.flow(self.call), at.value(self.event, "event")
        called = f"await ctx.{'call' if self.wait else 'start'}({flow}, {event})"
        if not self.wait and at.target(self.id) is not None:
            called = f"({called}).id"
        return at.attempted(self.id, called, f"the flow {self.call}", self.on_failure)
