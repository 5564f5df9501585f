"""`switch`: does what belongs to a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks, Block
from halflap.lowcode.kinds.run import Do, run_all
from halflap.lowcode.kinds.step import FlowCompiler, PythonScope, StepModel, Template
from halflap.lowcode.python import indented, text
from halflap.lowcode.source import Path

if TYPE_CHECKING:
    from halflap.lowcode.kinds import AnyStep


class SwitchStep(StepModel):
    """Do what belongs to a value."""

    kind: ClassVar[str] = "switch"

    switch: Annotated[Template, Asks()]
    """The value to compare."""
    cases: Annotated[dict[str | int | bool, list[AnyStep]], Block()]
    """By value, what to do: `cases: {add: […], remove: […]}`."""
    default: Annotated[list[AnyStep] | None, Block()] = None
    """The steps for any other value; without it, nothing."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        cases = {
            case_of(value): compiler.steps(steps, (*path, "cases", value))
            for value, steps in self.cases.items()
        }
        default = compiler.steps(self.default or (), (*path, "default"))
        value = compiler.asked(self.switch, path, "switch")

        async def run(frame: Frame) -> None:
            await run_all(cases.get(case_of(value.scalar(frame)), default), frame)

        return run

    def python(self, at: PythonScope) -> list[str]:
        made: list[str] = []
        for case, steps in self.cases.items():
            pattern = text(case) if isinstance(case, str) else str(case)
            if type(case) is int and case in (0, 1):  # which are True and False to Python
                pattern = f"{case} as found if found is not {bool(case)}"
            made += [f"case {pattern}:", *at.block(steps, "cases", case)]
        if self.default or not made:
            made += ["case _:", *at.block(self.default or (), "default")]
        return [f"match {at.scalar(self.switch, 'switch')}:", *indented(made)]


def case_of(value: Any) -> tuple[type, Any]:
    """Return the key of a case: 1 and "1" and true are three."""
    if isinstance(value, bool | str) or value is None:
        return type(value), value
    return int, value
