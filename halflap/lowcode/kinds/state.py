"""`state`: reads, writes or deletes a value that outlives the execution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Asked, Do
from halflap.lowcode.kinds.step import ResultStepModel, Template
from halflap.lowcode.python import call
from halflap.lowcode.source import Path
from halflap.sdk.context import ANY, State

if TYPE_CHECKING:
    from halflap.lowcode.compile import FlowCompiler
    from halflap.lowcode.convert.flow import PythonSpot


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
        compares = "expect" in self.model_fields_set
        return DoState(
            self.state,
            self.scope,
            compiler.asked(self.key, path, "key"),
            compiler.asked(self.value, path, "value"),
            compiler.asked(self.default, path, "default"),
            compiler.asked(self.expect, path, "expect") if compares else None,
            self.id,
        )

    def python(self, at: PythonSpot) -> list[str]:
        state = "ctx.state" if self.scope == "flow" else f"ctx.state.{self.scope}"
        key, target = at.scope.text(self.key, "key"), at.target(self.id)
        if self.state == "get":
            args = [key]
            if self.default is not None:
                args.append(at.scope.value(self.default, "default"))
            return at.assigned(self.id, call(f"await {state}.get", args))
        if self.state == "delete":
            made = [f"await {state}.delete({key})"]
            return made if target is None else [*made, f"{target} = None"]
        value, named = at.scope.value(self.value, "value"), list[tuple[str, str]]()
        if "expect" in self.model_fields_set:
            named.append(("expect", at.scope.value(self.expect, "expect")))
        if target is None:
            return [call(f"await {state}.put", [key, value], named)]
        stored = at.free("stored")
        put = call(f"await {state}.put", [key, f"{stored} := {value}"], named)
        return [put, f"{target} = {stored}"]


@dataclass(frozen=True, slots=True)
class DoState:
    """`state`."""

    verb: str
    scope: str
    key: Asked
    value: Asked
    default: Asked
    expect: Asked | None
    id: str | None

    async def run(self, frame: Frame) -> None:
        state, key, result = self._state(frame), self.key.text(frame), None
        if self.verb == "get":
            result = await state.get(key, self.default.value(frame))
        elif self.verb == "delete":
            await state.delete(key)
        else:
            result = self.value.value(frame)
            expect = ANY if self.expect is None else self.expect.value(frame)
            await state.put(key, result, expect=expect)
        frame.give(self.id, result)

    def _state(self, frame: Frame) -> State:
        state = frame.ctx.state
        return {
            "flow": lambda: state,
            "instance": lambda: state.instance,
            "integration": lambda: state.integration,
        }[self.scope]()
