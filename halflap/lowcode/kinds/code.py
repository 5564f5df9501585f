"""`code`: runs Python in the sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from halflap.lowcode.code import Code, CodePlace, components_of
from halflap.lowcode.coding import Coded, code
from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Asked, Do
from halflap.lowcode.kinds.step import OnFailure, ResultStepModel, Template
from halflap.lowcode.source import Path, SourceText

if TYPE_CHECKING:
    from halflap.lowcode.compile import FlowCompiler


class CodeStepModel(ResultStepModel):
    """Run Python in the sandbox; its result is what it returns."""

    kind: ClassVar[str] = "code"

    code: str
    """The code; what it returns is the result."""
    inputs: Annotated[dict[str, Template], Asks(recorded=True)] = Field(
        default_factory=dict[str, Any], alias="with"
    )
    """The values that the code gets, by name."""
    on_failure: OnFailure = "fail"
    """`ignore`: where it fails for good, its result is null, and the flow goes on."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        inputs = compiler.named(self.inputs, path, "with")
        place = code_place(compiler.source, (*path, "code"))
        components = components_of(self.code, self.inputs)
        read = Code.parse(self.code, self.inputs.keys(), components, place)
        recorded = code if self.title is None else code.titled(self.title)
        calls = {each.name: compiler.callee(each, path) for each in read.uses}
        coded = Coded(read, calls, recorded)
        return DoCode(coded, inputs, self.id, self.on_failure == "ignore")


@dataclass(frozen=True, slots=True)
class DoCode:
    """`code`."""

    coded: Coded
    inputs: tuple[tuple[str, Asked], ...]
    id: str | None
    ignores: bool

    async def run(self, frame: Frame) -> None:
        inputs = {name: each.value(frame) for name, each in self.inputs}
        ran = self.coded.run(frame.ctx, inputs)
        title = self.coded.recorded.title
        frame.give(self.id, await frame.attempt(title, ran, ignores=self.ignores))


def code_place(source: SourceText, path: Path) -> CodePlace:
    """Return where a step's code stands: of a block, where its first line does."""
    place = source.place(path)
    if path not in source.blocks:
        return CodePlace(source.file, place.line, place.column - (path in source.plain))
    first = source.line_from(place.line)
    return CodePlace(source.file, place.line + 1, len(first) - len(first.lstrip()))
