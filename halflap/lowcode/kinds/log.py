"""`log`: writes a line to the execution's log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Asked, Do
from halflap.lowcode.kinds.step import StepModel, Template
from halflap.lowcode.python import call
from halflap.lowcode.source import Path

if TYPE_CHECKING:
    from halflap.lowcode.compile import FlowCompiler
    from halflap.lowcode.convert.flow import PythonSpot


class LogStep(StepModel):
    """Write a line to the execution's log."""

    kind: ClassVar[str] = "log"

    log: Annotated[Template, Asks("text")]
    """The message."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The level of the line."""
    fields: Annotated[dict[str, Template], Asks()] = Field(default_factory=dict[str, Any])
    """Values that go with it, by name."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        fields = compiler.named(self.fields, path, "fields")
        return DoLog(compiler.asked(self.log, path, "log"), self.level, fields)

    def python(self, at: PythonSpot) -> list[str]:
        fields = [(name, at.scope.value(v, "fields", name)) for name, v in self.fields.items()]
        return [call(f"ctx.log.{self.level}", [at.scope.text(self.log, "log")], fields)]


@dataclass(frozen=True, slots=True)
class DoLog:
    """`log`."""

    message: Asked
    level: str
    fields: tuple[tuple[str, Asked], ...]

    async def run(self, frame: Frame) -> None:
        message = self.message.text(frame)  # first, as in the Python call that a document becomes
        fields = {name: each.value(frame) for name, each in self.fields}
        getattr(frame.ctx.log, self.level)(message, **fields)
