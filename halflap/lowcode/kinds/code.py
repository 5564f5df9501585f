"""`code`: runs Python in the sandbox."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import Field

from halflap.lowcode.code import Code, CodePlace, components_of
from halflap.lowcode.code.literal import cleaned, quoted
from halflap.lowcode.coding import Coded, code
from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import (
    FlowCompiler,
    OnFailure,
    PythonScope,
    ResultStepModel,
    Template,
)
from halflap.lowcode.python import call, indented, text
from halflap.lowcode.source import Path, SourceText


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
        coded = Coded(
            read, {each.name: compiler.callee(each, path) for each in read.uses}, recorded
        )

        async def run(frame: Frame) -> None:
            ran = coded.run(frame.ctx, {name: each.value(frame) for name, each in inputs})
            await frame.attempt(self.id, recorded.title, ran, self.on_failure)

        return run

    def python_name(self, flow: str) -> str:
        """Return a name for the code in Python: of its title, else of its id."""
        words = "_".join(re.findall(r"[a-z0-9]+", (self.title or "").lower()))
        return words if words.isidentifier() else f"{self.id or flow}_code"

    def python(self, at: PythonScope) -> list[str]:
        name = at.flow.codes[at.path]
        at.flow.functions.append(f"{name} = {self._python_call(at)}")
        named = [(each, at.value(v, "with", each)) for each, v in self.inputs.items()]
        called = f"await {call(name, ['ctx'], named)}"
        return at.attempted(self.id, called, self.title or "Code", self.on_failure)

    def _python_call(self, at: PythonScope) -> str:
        """Return the code as `code("…")`, which runs it in the sandbox."""
        module = at.module
        named = [] if self.title is None else [f"title={text(self.title)}"]
        if self.inputs:
            named.append(f"inputs=[{', '.join(map(text, self.inputs))}]")
        read = Code.parse(self.code, self.inputs.keys(), components_of(self.code, self.inputs))
        if called := dict.fromkeys(each.name for each in read.uses):
            members = (module.member(module.components.action(each)) for each in called)
            named.append(f"actions=[{', '.join(members)}]")
        body, function = cleaned(self.code), at.use("code")
        if "\n" not in body:
            return f"{function}({', '.join([text(body), *named])})"
        options = [f"    {each}," for each in named]
        return "\n".join([f"{function}(", *indented(quoted(body)), *options, ")"])


def code_place(source: SourceText, path: Path) -> CodePlace:
    """Return where a step's code stands: of a block, where its first line does."""
    place = source.place(path)
    if path not in source.blocks:
        return CodePlace(source.file, place.line, place.column - (path in source.plain))
    first = source.line_from(place.line)
    return CodePlace(source.file, place.line + 1, len(first) - len(first.lstrip()))
