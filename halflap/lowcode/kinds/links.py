"""`links`: makes links that answer a later `wait`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Asked, Do
from halflap.lowcode.kinds.step import ResultStepModel, Template, Time
from halflap.lowcode.python import call, text
from halflap.lowcode.source import Path

if TYPE_CHECKING:
    from halflap.lowcode.compile import FlowCompiler
    from halflap.lowcode.convert.flow import PythonSpot


class LinksStep(ResultStepModel):
    """Make links that answer a later `wait`, for a mail or a chat; the result has one a choice."""

    kind: ClassVar[str] = "links"

    links: str
    """The signal's name."""
    choices: Annotated[list[str], Field(min_length=1, max_length=20)]
    """The possible answers: `choices: [approve, reject]`."""
    text: Annotated[Template, Asks("text")] = ""
    """The question of the page."""
    within: Annotated[Time, Asks("time")] = "7 days"
    """The time for which the links work, or an expression that gives it."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        text = compiler.asked(self.text, path, "text")
        within = compiler.asked(self.within, path, "within")
        return DoLinks(self.links, tuple(self.choices), text, within, self.id)

    def python(self, at: PythonSpot) -> list[str]:
        shown, within = at.scope.text(self.text, "text"), at.scope.time(self.within, "within")
        named = [("text", shown), ("within", within)]
        url = call("ctx.signal_url", [text(self.links), "choice"], named)
        choices = at.scope.constant(tuple(self.choices))
        return at.assigned(self.id, f"{{choice: {url} for choice in {choices}}}")


@dataclass(frozen=True, slots=True)
class DoLinks:
    """`links`."""

    name: str
    choices: tuple[str, ...]
    text: Asked
    within: Asked
    id: str | None

    async def run(self, frame: Frame) -> None:
        text, within = self.text.text(frame), self.within.duration(frame)
        made = {
            each: frame.ctx.signal_url(self.name, each, text=text, within=within)
            for each in self.choices
        }
        frame.give(self.id, made)
