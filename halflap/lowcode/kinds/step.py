"""What all kinds of steps have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from halflap.lowcode.kinds.role import Gives
from halflap.lowcode.source import Path
from halflap.sdk.integration import LONGEST_NAME, NAME

if TYPE_CHECKING:
    from halflap.lowcode.compile import Compiler
    from halflap.lowcode.kinds.run import Do

Name = Annotated[str, Field(pattern=NAME, max_length=LONGEST_NAME)]
"""A name in scope: of a step's result, a variable, a loop's item."""

Template = Any
"""A value in which a text that begins with `=` is a JSONata expression, at any depth."""


class Part(BaseModel):
    """A part of a document; a key that it does not know is an error.

    Steps hold each other, so none is completed before a document is read.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, defer_build=True
    )


OnFailure = Literal["fail", "ignore"]


class Step(Part):
    """What all steps may have."""

    kind: ClassVar[str]
    """The key that names the kind."""
    ends: ClassVar[str] = ""
    """What it does, where nothing after it in its list is reached: `ends the flow`."""

    title: str | None = Field(None, max_length=200)
    """What people read, in the console and the diagram."""
    note: str | None = None
    """A remark for whoever reads the document."""

    def compile(self, compiler: Compiler, path: Path) -> Do:
        """Return what runs the step, which stands at `path`."""
        raise NotImplementedError


class Result(Step):
    """What all steps with a result may have."""

    id: Annotated[Name | None, Gives("result")] = None
    """The name under which later steps find the result; null where the step did not run."""
