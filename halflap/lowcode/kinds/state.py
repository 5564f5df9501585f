"""`state`: reads, writes or deletes a value that outlives the execution."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import FlowCompiler, PythonScope, ResultStepModel, Template
from halflap.lowcode.python import call
from halflap.lowcode.source import Path
from halflap.sdk.context import ANY, State

StateScope = Literal["flow", "instance", "integration"]


class StateStep(ResultStepModel):
    """Read, write or delete a value that outlives the execution."""

    kind: ClassVar[str] = "state"

    state: Literal["get", "put", "delete"]
    """The operation on the value."""
    key: Annotated[Template, Asks("text", recorded=True)]
    """The value's name, such as a record's id."""
    value: Annotated[Template, Asks(recorded=True, json=True)] = None
    """put: what to write."""
    default: Annotated[Template, Asks()] = None
    """get: the result where there is no value."""
    expect: Annotated[Template, Asks(recorded=True)] = Field(None)
    """put: write only where this is still the value (null: no value yet); else the step fails."""
    scope: StateScope = "flow"
    """The sharing of the value: this flow, the instance's flows, or all instances of the
    integration.
    """

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        key, value = (
            compiler.asked(self.key, path, "key"),
            compiler.asked(self.value, path, "value"),
        )
        default = compiler.asked(self.default, path, "default")
        compares = "expect" in self.model_fields_set
        expected = compiler.asked(self.expect, path, "expect") if compares else None

        async def run(frame: Frame) -> None:
            state: State = frame.ctx.state
            state = state if self.scope == "flow" else getattr(state, self.scope)
            name, result = key.text(frame), None
            if self.state == "get":
                result = await state.get(name, default.value(frame))
            elif self.state == "delete":
                await state.delete(name)
            else:
                result = value.value(frame)
                expect = ANY if expected is None else expected.value(frame)
                await state.put(name, result, expect=expect)
            frame.give(self.id, result)

        return run

    def python(self, at: PythonScope) -> list[str]:
        state = "ctx.state" if self.scope == "flow" else f"ctx.state.{self.scope}"
        key, target = at.text(self.key, "key"), at.target(self.id)
        if self.state == "get":
            args = [key]
            if self.default is not None:
                args.append(at.value(self.default, "default"))
            return at.assigned(self.id, call(f"await {state}.get", args))
        if self.state == "delete":
            made = [f"await {state}.delete({key})"]
            return made if target is None else [*made, f"{target} = None"]
        value, named = at.value(self.value, "value"), list[tuple[str, str]]()
        if "expect" in self.model_fields_set:
            named.append(("expect", at.value(self.expect, "expect")))
        if target is None:
            return [call(f"await {state}.put", [key, value], named)]
        stored = at.free("stored")
        put = call(f"await {state}.put", [key, f"{stored} := {value}"], named)
        return [put, f"{target} = {stored}"]
