"""`try`: does something else where a step fails for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from halflap.errors import FAILURES, ExpressionError
from halflap.lowcode.frame import Frame, error_of
from halflap.lowcode.kinds.role import Block, Gives
from halflap.lowcode.kinds.run import Do, run_all
from halflap.lowcode.kinds.step import FlowCompiler, Name, PythonScope, StepModel
from halflap.lowcode.source import Path

if TYPE_CHECKING:
    from halflap.lowcode.kinds import AnyStep


class TryStep(StepModel):
    """Do something, and something else where a step of it fails for good."""

    kind: ClassVar[str] = "try"

    attempt: Annotated[list[AnyStep], Block()] = Field(alias="try")
    """The steps to try."""
    catch: Annotated[list[AnyStep], Block()]
    """The steps where one of it fails for good."""
    error: Annotated[Name, Gives("error")] = "error"
    """The name of the error in `catch`: its `message`, `step`, `kind`, and the app's `status`."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        attempt = compiler.steps(self.attempt, (*path, "try"))
        catch = compiler.steps(self.catch, (*path, "catch"))

        async def run(frame: Frame) -> None:
            try:
                await run_all(attempt, frame)
            except (*FAILURES, ExpressionError) as error:
                frame.names[self.error] = error_of(error)
                await run_all(catch, frame)

        return run

    def python(self, at: PythonScope) -> list[str]:
        target, body = at.target(self.error), at.block(self.attempt, "try")
        made = ["try:", *body, f"except {at.failures()}{' as failure' if target else ''}:"]
        if target is not None:
            made.append(f'    {target} = {at.use("expr")}("failure", failure=failure)')
        return made + at.block(self.catch, "catch", empty=target is None)
