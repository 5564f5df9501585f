"""`wait`: waits for a signal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from halflap.errors import TimedOut
from halflap.lowcode.duration import Duration
from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import Result
from halflap.lowcode.source import Path

if TYPE_CHECKING:
    from halflap.lowcode.compile import Compiler


class WaitStep(Result):
    """Wait for a signal; the result is its payload."""

    kind: ClassVar[str] = "wait"

    wait: str
    """The signal's name."""
    timeout: Duration | None = None
    """How long; without it, until the flow's maximum age."""
    on_timeout: Literal["fail", "continue"] = "fail"
    """`continue`: where none comes in time, the result is null."""

    def compile(self, compiler: Compiler, path: Path) -> Do:
        return DoWait(self.wait, self.timeout, self.on_timeout == "continue", self.id)


@dataclass(frozen=True, slots=True)
class DoWait:
    """`wait`."""

    name: str
    timeout: timedelta | None
    goes_on: bool
    id: str | None

    async def run(self, frame: Frame) -> None:
        try:
            result = await frame.ctx.wait_for(self.name, timeout=self.timeout)
        except TimedOut:
            if not self.goes_on:
                raise
            result = None
        frame.give(self.id, result)
