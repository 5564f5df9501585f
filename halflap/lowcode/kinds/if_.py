"""`if`: does one thing or another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks, Block
from halflap.lowcode.kinds.run import Asked, Do, Steps, run_all
from halflap.lowcode.kinds.step import StepModel, Template
from halflap.lowcode.source import Path

if TYPE_CHECKING:
    from halflap.lowcode.compile import FlowCompiler
    from halflap.lowcode.convert.flow import PythonSpot
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
        return DoIf(
            compiler.asked(self.condition, path, "if"),
            compiler.steps(self.then, (*path, "then")),
            compiler.steps(self.otherwise, (*path, "else")),
        )

    def python(self, at: PythonSpot) -> list[str]:
        made = [f"if {at.scope.truth(self.condition, 'if')}:", *at.block(self.then, "then")]
        if not self.otherwise:
            return made
        other = at.block(self.otherwise, "else")
        if len(self.otherwise) == 1 and other[0].startswith("    if "):
            return [*made, f"el{other[0][4:]}", *(each[4:] for each in other[1:])]
        return [*made, "else:", *other]


@dataclass(frozen=True, slots=True)
class DoIf:
    """`if`."""

    condition: Asked
    then: Steps
    otherwise: Steps

    async def run(self, frame: Frame) -> None:
        await run_all(self.then if self.condition.truth(frame) else self.otherwise, frame)
