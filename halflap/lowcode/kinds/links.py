"""`links`: makes links that answer a later `wait`."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar

from pydantic import Field

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import FlowCompiler, PythonScope, ResultStepModel, Template, Time
from halflap.lowcode.python import call, text
from halflap.lowcode.source import Path


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

        async def run(frame: Frame) -> None:
            given = {"text": text.text(frame), "within": within.duration(frame)}
            url = partial(frame.ctx.signal_url, self.links, **given)
            frame.give(self.id, {each: url(each) for each in self.choices})

        return run

    def python(self, at: PythonScope) -> list[str]:
        shown, within = at.text(self.text, "text"), at.time(self.within, "within")
        named = [("text", shown), ("within", within)]
        url = call("ctx.signal_url", [text(self.links), "choice"], named)
        choices = at.constant(tuple(self.choices))
        return at.assigned(self.id, f"{{choice: {url} for choice in {choices}}}")
