"""`for`: does the same for each item of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from halflap.errors import FAILURES, ExpressionError
from halflap.lowcode.frame import Frame, LoopLeft, error_of
from halflap.lowcode.kinds.role import Asks, Block, Gives
from halflap.lowcode.kinds.run import Asked, Do, Steps, run_all
from halflap.lowcode.kinds.step import Name, ResultStepModel, Template
from halflap.lowcode.source import Path
from halflap.sdk.context import default_keys

if TYPE_CHECKING:
    from halflap.lowcode.compile import FlowCompiler
    from halflap.lowcode.kinds import AnyStep


class ForStep(ResultStepModel):
    """Do the same for each item of a list."""

    kind: ClassVar[str] = "for"

    item: Annotated[Name, Gives("item")] = Field(alias="for")
    """The name of the item."""
    items: Annotated[Template, Asks()] = Field(alias="in")
    """The list; null is none."""
    where: Annotated[Template, Asks()] = None
    """Only items for which this is true."""
    do: Annotated[list[AnyStep], Block(each=True)]
    """The steps for each item."""
    parallel: Annotated[int, Field(strict=True, ge=1, le=1000)] | None = None
    """The number of items at once; one after another without it."""
    key: Annotated[Template, Asks()] = None
    """The key of parallel items; the item itself, its `id`, or its place otherwise."""
    on_failure: Literal["fail", "continue"] = "fail"
    """`continue`: where a step fails for good, the other items go on all the same."""
    collect: Annotated[Template, Asks()] = None
    """The value that each item adds to the result, a list under the loop's `id`."""

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        items = compiler.asked(self.items, path, "in")
        compiler.loops.append(self.parallel is not None)
        body = compiler.steps(self.do, (*path, "do"))
        compiler.loops.pop()
        where, key = (
            compiler.maybe(self.where, path, "where"),
            compiler.maybe(self.key, path, "key"),
        )
        if where is not None and compiler.observer is not None:
            where = compiler.observer.condition((*path, "where"), where)
        collect = compiler.maybe(self.collect, path, "collect")
        return DoFor(
            self.item,
            items,
            where,
            body,
            compiler.scoping.own[path],
            self.parallel,
            key,
            self.on_failure == "continue",
            collect,
            self.id,
            self.title or f"for {self.item}",
        )


@dataclass(frozen=True, slots=True)
class DoFor:
    """`for`."""

    item: str
    items: Asked
    where: Asked | None
    steps: Steps
    own: tuple[str, ...]
    parallel: int | None
    key: Asked | None
    goes_on: bool
    collect: Asked | None
    id: str | None
    title: str

    async def run(self, frame: Frame) -> None:
        items = self.items.items(frame)
        results = await (self._in_turn if self.parallel is None else self._at_once)(frame, items)
        frame.give(self.id, results)

    def _inner(self, frame: Frame, item: Any) -> Frame:
        """The frame of an item."""
        inner = frame.inner(self.own)
        inner.names[self.item] = item
        return inner

    def _wants(self, inner: Frame) -> bool:
        """Return whether an item is wanted; one whose `where` fails is, so that it fails alone."""
        try:
            return self.where is None or self.where.truth(inner)
        except ExpressionError:
            if not self.goes_on:
                raise
            return True

    async def _in_turn(self, frame: Frame, items: list[Any]) -> list[Any]:
        results: list[Any] = []
        for each in items:
            inner = self._inner(frame, each)
            if not self._wants(inner):
                continue
            try:
                results.append(await self._one(inner))
            except LoopLeft:
                break
        return results

    async def _at_once(self, frame: Frame, items: list[Any]) -> list[Any]:
        inner = (self._inner(frame, each) for each in items)
        chosen = [each for each in inner if self._wants(each)]
        if self.key is None:
            keys = default_keys(each.names[self.item] for each in chosen)
        else:
            keys = [self.key.text(each) for each in chosen]
        key_of = dict(zip(map(id, chosen), keys, strict=True))
        return await frame.ctx.gather(
            chosen, self._one, key=lambda each: key_of[id(each)], limit=self.parallel or 1
        )

    async def _one(self, frame: Frame) -> Any:
        try:
            if self.goes_on and self.where is not None:
                self.where.truth(frame)  # raises what `_wants` has passed by
            await run_all(self.steps, frame)
            return None if self.collect is None else self.collect.value(frame)
        except (*FAILURES, ExpressionError) as error:
            if not self.goes_on:
                raise
            frame.ctx.log.warning(f"{self.title}: an item failed: {error}")
            return {"error": error_of(error)}
