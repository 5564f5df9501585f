"""`paired`, `pair` and `unpair`: look up, make and remove pairs of records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ClassVar

from pydantic import Field

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks, Refers
from halflap.lowcode.kinds.run import Do
from halflap.lowcode.kinds.step import (
    FlowCompiler,
    PythonScope,
    ResultStepModel,
    StepModel,
    Template,
)
from halflap.lowcode.python import call
from halflap.lowcode.source import Path


class PairedStep(ResultStepModel):
    """Look up the id of the record at the other app; null where it is paired with none."""

    kind: ClassVar[str] = "paired"

    paired: Annotated[str, Refers("pairs")]
    """The pairs' name."""
    ids: Annotated[dict[str, Template], Asks("text", recorded=True)] = Field(
        alias="with", min_length=1, max_length=1
    )
    """The known side's id: `with: {salesforce: =event.Id}`."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        return _compiled(compiler, self, self.paired, path)

    def python(self, at: PythonScope) -> list[str]:
        return _python(self, self.paired, at)


class PairStep(StepModel):
    """Say that two records belong together."""

    kind: ClassVar[str] = "pair"

    pair: Annotated[str, Refers("pairs")]
    """The pairs' name."""
    ids: Annotated[dict[str, Template], Asks("text", recorded=True)] = Field(
        alias="with", min_length=2, max_length=2
    )
    """The id of each side: `with: {salesforce: =event.Id, acme: =made.id}`."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        return _compiled(compiler, self, self.pair, path)

    def python(self, at: PythonScope) -> list[str]:
        return _python(self, self.pair, at)


class UnpairStep(StepModel):
    """Forget with which record one is paired."""

    kind: ClassVar[str] = "unpair"

    unpair: Annotated[str, Refers("pairs")]
    """The pairs' name."""
    ids: Annotated[dict[str, Template], Asks("text", recorded=True)] = Field(
        alias="with", min_length=1, max_length=2
    )
    """The id of one side, or of both."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        return _compiled(compiler, self, self.unpair, path)

    def python(self, at: PythonScope) -> list[str]:
        return _python(self, self.unpair, at)


def _compiled(
    compiler: FlowCompiler, step: PairedStep | PairStep | UnpairStep, name: str, path: Path
) -> Do:
    pairs, sides = compiler.pairs[name], compiler.named(step.ids, path, "with")

    async def run(frame: Frame) -> None:
        ids = {side: each.text(frame) for side, each in sides}
        do: Callable[..., Awaitable[Any]] = getattr(frame.ctx, step.kind)
        frame.give(step.id if isinstance(step, PairedStep) else None, await do(pairs, **ids))

    return run


def _python(step: PairedStep | PairStep | UnpairStep, name: str, at: PythonScope) -> list[str]:
    ids = [(side, at.text(given, "with", side)) for side, given in step.ids.items()]
    called = call(f"await ctx.{step.kind}", [at.module.pairs[name]], ids)
    return at.assigned(step.id if isinstance(step, PairedStep) else None, called)
