"""`paired`, `pair` and `unpair`: look up, make and remove pairs of records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from halflap.lowcode.frame import Frame
from halflap.lowcode.kinds.role import Asks, Refers
from halflap.lowcode.kinds.run import Asked, Do
from halflap.lowcode.kinds.step import ResultStepModel, StepModel, Template
from halflap.lowcode.python import call
from halflap.lowcode.source import Path
from halflap.sdk.pairs import Pairs

if TYPE_CHECKING:
    from halflap.lowcode.compile import FlowCompiler
    from halflap.lowcode.convert.flow import PythonSpot


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

    def python(self, at: PythonSpot) -> list[str]:
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

    def python(self, at: PythonSpot) -> list[str]:
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

    def python(self, at: PythonSpot) -> list[str]:
        return _python(self, self.unpair, at)


def _compiled(
    compiler: FlowCompiler, step: PairedStep | PairStep | UnpairStep, name: str, path: Path
) -> Do:
    id = step.id if isinstance(step, PairedStep) else None
    return DoPairs(step.kind, compiler.pairs[name], compiler.named(step.ids, path, "with"), id)


def _python(step: PairedStep | PairStep | UnpairStep, name: str, at: PythonSpot) -> list[str]:
    ids = [(side, at.scope.text(given, "with", side)) for side, given in step.ids.items()]
    called = call(f"await ctx.{step.kind}", [at.module.pairs[name]], ids)
    return at.assigned(step.id if isinstance(step, PairedStep) else None, called)


@dataclass(frozen=True, slots=True)
class DoPairs:
    """`paired`, `pair` and `unpair`."""

    verb: str
    pairs: Pairs
    ids: tuple[tuple[str, Asked], ...]
    id: str | None

    async def run(self, frame: Frame) -> None:
        ids = {side: each.text(frame) for side, each in self.ids}
        verbs: dict[str, Callable[..., Awaitable[Any]]] = {
            "paired": frame.ctx.paired,
            "pair": frame.ctx.pair,
            "unpair": frame.ctx.unpair,
        }
        result = await verbs[self.verb](self.pairs, **ids)
        frame.give(self.id, result)
