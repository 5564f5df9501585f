"""`throw`: fails."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator

from halflap.errors import Thrown
from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import FlowCompiler, PythonScope, StepModel, Template
from halflap.lowcode.python import call, text
from halflap.lowcode.source import Path
from halflap.sdk.duration import refused


def _message(value: Any) -> Any:
    if value is None or (isinstance(value, str) and not value.strip("= ")):
        raise refused("`throw` says why the flow fails: write a text, such as no such account")
    return value


class ThrowStep(StepModel):
    """Fail: the execution ends as failed, unless a `try` catches it."""

    kind: ClassVar[str] = "throw"
    ends: ClassVar[str] = "fails"

    throw: Annotated[Template, BeforeValidator(_message), Asks("text")]
    """The message, for people."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        message = compiler.asked(self.throw, path, "throw")

        async def run(frame: Frame) -> None:
            raise Thrown(message.text(frame), step=self.title or "throw")

        return run

    def python(self, at: PythonScope) -> list[str]:
        named = [] if self.title is None else [("step", text(self.title))]
        return [f"raise {call(at.use('Thrown'), [at.text(self.throw, 'throw')], named)}"]
