"""The shared keys of all kinds of steps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from halflap.lowcode.kinds.role import Gives
from halflap.lowcode.source import Path
from halflap.lowcode.template import is_expression
from halflap.sdk.duration import PATTERN, duration, meant_by, refused
from halflap.sdk.integration import LONGEST_NAME, NAME

if TYPE_CHECKING:
    from halflap.lowcode.builder import FlowCompiler as FlowCompiler
    from halflap.lowcode.convert.flow import PythonScope as PythonScope
    from halflap.lowcode.kinds.run import Do
else:
    FlowCompiler = PythonScope = Any  # which import the kinds that name them

Name = Annotated[str, Field(pattern=NAME, max_length=LONGEST_NAME)]
"""A name in scope: of a step's result, a variable, a loop's item."""

Template = Any
"""A value in which a text that begins with `=` is a JSONata expression, at any depth."""


_READS = re.compile(r"\s*[A-Za-z_]\w*(?:\.\w+)+\s*")


def _time(value: Any) -> Any:
    if is_expression(value):
        return value
    if isinstance(value, str) and _READS.fullmatch(value):
        meant = f"={value.strip()}"
        raise refused(f"{value!r} is no duration; for the value, write {meant}", meant)
    try:
        duration(value)
    except ValueError as error:
        raise refused(str(error), meant_by(value)) from None
    return value


_EXPRESSION = {"type": "string", "pattern": "^="}
Time = Annotated[
    Any,
    BeforeValidator(_time),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"{PATTERN}|^="},
                {"type": "number", "minimum": 0},
            ],
            "description": "A duration (30s, 5 min, 2 h, 3 days, or seconds), or an expression.",
        }
    ),
]
"""A time: a duration, or an expression that gives one."""


def _status(value: Any) -> Any:
    if is_expression(value) or (type(value) is int and 200 <= value <= 599):
        return value
    meant = str(value) if isinstance(value, str) and re.fullmatch("[2-5][0-9]{2}", value) else None
    if isinstance(value, str) and _READS.fullmatch(value):
        meant = f"={value.strip()}"
    said = "`status` is a whole number from 200 to 599"
    raise refused(f"{said}; write {meant}" if meant else said, meant)


Status = Annotated[
    Any,
    BeforeValidator(_status),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 200, "maximum": 599}, _EXPRESSION]}),
]
"""The status of an HTTP answer, or an expression that gives one."""


class Part(BaseModel):
    """A part of a document; a key that it does not know is an error.

    Steps hold each other, so none is completed before a document is read.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, defer_build=True
    )


OnFailure = Literal["fail", "ignore"]


class StepModel(Part):
    """The keys that all steps may have."""

    kind: ClassVar[str]
    """The key that names the kind."""
    ends: ClassVar[str] = ""
    """Its effect, where nothing after it in its list is reached: `ends the flow`."""

    title: str | None = Field(None, max_length=200)
    """The title that people read, in the console and the diagram."""
    note: str | None = None
    """A remark for whoever reads the document."""

    @property
    def side_by_side(self) -> bool:
        """True of a loop whose items run at once, each with copies of the variables of outside."""
        return False

    def misplaced(self, loops: Sequence[bool]) -> str:
        """Return why the step cannot stand in loops, of which each may run its items side by side."""
        return ""

    def known_as(self, compiler: FlowCompiler) -> str:
        """Return what people know it by."""
        return self.title or self.kind

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        """Return what runs the step, which stands at `path`."""
        raise NotImplementedError

    def python(self, at: PythonScope) -> list[str]:
        """Return the step as statements of Python."""
        raise NotImplementedError


class ResultStepModel(StepModel):
    """The keys that all steps with a result may have."""

    id: Annotated[Name | None, Gives("result")] = None
    """The name under which later steps find the result; null where the step did not run."""
