"""`call`: starts another flow of the integration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from halflap.lowcode.frame import Frame, plain
from halflap.lowcode.kinds.role import Asks, Refers
from halflap.lowcode.kinds.run import Asked, Do
from halflap.lowcode.kinds.step import OnFailure, ResultStepModel, Template
from halflap.lowcode.source import Path

if TYPE_CHECKING:
    from halflap.lowcode.compile import FlowCompiler
    from halflap.lowcode.convert.flow import PythonSpot


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
        return DoCall(self.call, event, self.wait, self.on_failure == "ignore", self.id)

    def python(self, at: PythonSpot) -> list[str]:
        flow, event = at.module.names.flow(self.call), at.scope.value(self.event, "event")
        called = f"await ctx.{'call' if self.wait else 'start'}({flow}, {event})"
        if not self.wait and at.target(self.id) is not None:
            called = f"({called}).id"
        return at.attempted(self.id, called, f"the flow {self.call}", self.on_failure)


@dataclass(frozen=True, slots=True)
class DoCall:
    """`call`."""

    flow: str
    event: Asked
    waits: bool
    ignores: bool
    id: str | None

    async def run(self, frame: Frame) -> None:
        called = self._called(frame, self.event.value(frame))
        result = await frame.attempt(f"the flow {self.flow}", called, ignores=self.ignores)
        frame.give(self.id, result)

    async def _called(self, frame: Frame, event: Any) -> Any:
        if self.waits:
            return plain(await frame.ctx.call(self.flow, event))
        return (await frame.ctx.start(self.flow, event)).id
