"""`log`: writes a line to the execution's log."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import FlowCompiler, PythonScope, StepModel, Template
from halflap.lowcode.python import call
from halflap.lowcode.source import Path
from halflap.model import LogLevel


class LogStep(StepModel):
    """Write a line to the execution's log."""

    kind: ClassVar[str] = "log"

    log: Annotated[Template, Asks("text")]
    """The message."""
    level: LogLevel = "info"
    """The level of the line."""
    fields: Annotated[dict[str, Template], Asks()] = Field(default_factory=dict[str, Any])
    """Values that go with it, by name."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        message = compiler.asked(self.log, path, "log")
        fields = compiler.named(self.fields, path, "fields")

        async def run(frame: Frame) -> None:
            text = message.text(frame)  # first, as in the Python call that a document becomes
            named = {name: each.value(frame) for name, each in fields}
            getattr(frame.ctx.log, self.level)(text, **named)

        return run

    def python(self, at: PythonScope) -> list[str]:
        fields = [(name, at.value(v, "fields", name)) for name, v in self.fields.items()]
        return [call(f"ctx.log.{self.level}", [at.text(self.log, "log")], fields)]
