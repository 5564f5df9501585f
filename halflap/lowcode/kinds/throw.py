"""`throw`: fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from halflap.errors import Thrown
from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Asked, Do
from halflap.lowcode.kinds.step import Step, Template
from halflap.lowcode.source import Path

if TYPE_CHECKING:
    from halflap.lowcode.compile import Compiler


class ThrowStep(Step):
    """Fail: the execution ends as failed, unless a `try` catches it."""

    kind: ClassVar[str] = "throw"
    ends: ClassVar[str] = "fails"

    throw: Annotated[Template, Asks("text")]
    """The message, for people."""

    def compile(self, compiler: Compiler, path: Path) -> Do:
        return DoThrow(compiler.asked(self.throw, path, "throw"), self.title or "throw")


@dataclass(frozen=True, slots=True)
class DoThrow:
    """`throw`."""

    message: Asked
    title: str

    async def run(self, frame: Frame) -> None:
        raise Thrown(self.message.text(frame), step=self.title)
