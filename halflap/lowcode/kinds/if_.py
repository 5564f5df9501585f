"""`if`: does one thing or another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks, Block
from halflap.lowcode.kinds.run import Do, run_all
from halflap.lowcode.kinds.step import FlowCompiler, PythonScope, StepModel, Template
from halflap.lowcode.source import Path

if TYPE_CHECKING:
    from halflap.lowcode.kinds import AnyStep


class IfStep(StepModel):
    """Do one thing or another."""

    kind: ClassVar[str] = "if"

    condition: Annotated[Template, Asks()] = Field(alias="if")
    """The condition: an expression that gives true or false."""
    then: Annotated[list[AnyStep], Block()]
    """The steps where it is true."""
    otherwise: Annotated[list[AnyStep], Block()] = Field(
        default_factory=list["AnyStep"], alias="else"
    )
    """The steps where it is false or null."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        condition = compiler.asked(self.condition, path, "if")
        then = compiler.steps(self.then, (*path, "then"))
        otherwise = compiler.steps(self.otherwise, (*path, "else"))

        async def run(frame: Frame) -> None:
            await run_all(then if condition.truth(frame) else otherwise, frame)

        return run

    def python(self, at: PythonScope) -> list[str]:
        made = [f"if {at.truth(self.condition, 'if')}:", *at.block(self.then, "then")]
        if not self.otherwise:
            return made
        other = at.block(self.otherwise, "else")
        if len(self.otherwise) == 1 and other[0].startswith("    if "):
            return [*made, f"el{other[0][4:]}", *(each[4:] for each in other[1:])]
        return [*made, "else:", *other]
