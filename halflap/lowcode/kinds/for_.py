"""`for`: does the same for each item of a list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from halflap.errors import FAILURES, ExpressionError
from halflap.lowcode.frame import Frame, LoopLeft, error_of
from halflap.lowcode.kinds.role import Asks, Block, Gives
from halflap.lowcode.kinds.run import Asked, Do, Steps, run_all
from halflap.lowcode.kinds.step import FlowCompiler, Name, PythonScope, ResultStepModel, Template
from halflap.lowcode.python import call, indented, text
from halflap.lowcode.source import Path
from halflap.sdk.context import default_keys

if TYPE_CHECKING:
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

    @property
    def named(self) -> str:
        """Return what people know it by."""
        return self.title or f"for {self.item}"

    @property
    def goes_on(self) -> bool:
        """True if the other items go on where one fails."""
        return self.on_failure == "continue"

    @property
    def side_by_side(self) -> bool:
        return self.parallel is not None

    def known_as(self, compiler: FlowCompiler) -> str:
        return self.named

    def compile(self, compiler: FlowCompiler, path: Path) -> Do:
        items = compiler.asked(self.items, path, "in")
        compiler.loops.append(self.side_by_side)
        body = compiler.steps(self.do, (*path, "do"))
        compiler.loops.pop()
        where, key = (
            compiler.maybe(self.where, path, "where"),
            compiler.maybe(self.key, path, "key"),
        )
        if where is not None and compiler.observer is not None:
            where = compiler.observer.condition((*path, "where"), where)
        collect = compiler.maybe(self.collect, path, "collect")
        own = compiler.scoping.own[path]
        count = compiler.observer.items(path) if self.goes_on and compiler.observer else None
        return DoFor(self, items, where, body, own, key, collect, count).run

    def python(self, at: PythonScope) -> list[str]:
        scoping, turns = at.flow.scoping, not self.side_by_side
        own, copied = scoping.own[at.path], scoping.copied[at.path]
        items, kind = at.items(self.items, "in", typed=turns)
        inner, begins = at.frame(self.do, own, copied, {self.item: kind}, [self.where, self.key])
        if turns:
            return self._python_in_turn(at, inner, items, begins)
        return self._python_at_once(at, inner, items, begins)

    def _python_in_turn(
        self, at: PythonScope, inner: PythonScope, items: str, begins: list[str]
    ) -> list[str]:
        item, target = inner.names[self.item].text, at.target(self.id)
        condition = None if self.where is None else inner.truth(self.where, "where")
        give = "" if target is None else f"{target}_items.append(%s)"
        body = self._python_item(inner, give, condition)
        made = [f"for {item} in {items}:", *indented([*begins, *body])]
        if target is None:
            return made
        return [f"{target}_items = []", *made, f"{target} = {target}_items"]

    def _python_at_once(
        self, at: PythonScope, inner: PythonScope, items: str, begins: list[str]
    ) -> list[str]:
        item, before, json = inner.names[self.item].text, inner.before(at), at.use("Json")
        made: list[str] = []
        guard = None
        if self.where is not None:
            condition = before.truth(self.where, "where")
            if self.goes_on and "(" in condition:
                name, guard = at.free(f"wants_{item}"), condition
                made += ["", f"def {name}({item}: {json}) -> bool:", "    try:"]
                made += [f"        return {condition}"]
                made += [f"    except {at.use('ExpressionError')}:", "        return True"]
                condition = f"{name}({item})"
            items = f"[{item} for {item} in {items} if {condition}]"
        named = [("limit", str(self.parallel))]
        if self.key is not None:
            named.insert(0, ("key", f"lambda {item}: {before.text(self.key, 'key')}"))
        gives, function = at.target(self.id) is not None, at.free(f"do_{item}")
        body = self._python_item(inner, "return %s" if gives else "", guard=guard)
        made += ["", f"async def {function}({item}: {json}) -> {json if gives else 'None'}:"]
        made += [*indented([*begins, *body]), ""]
        return made + at.assigned(self.id, call("await ctx.gather", [items, function], named))

    def _python_item(
        self, inner: PythonScope, give: str, condition: str | None = None, guard: str | None = None
    ) -> list[str]:
        """Return the statements for one item, on a condition; `give` takes its result.

        guard: raises where the item fails before its first step.
        """
        left = any(each.ends for each in self.do)
        made = inner.statements(self.do, "do", empty=not give or left)
        if not left:
            result = "None" if self.collect is None else inner.value(self.collect, "collect")
            if give:
                made.append(give % result)
            elif "(" in result:  # which may fail, though nothing reads it
                made.append(result)
        if condition is not None:
            made = [f"if {condition}:", *indented(made)]
        if not self.goes_on:
            return made
        caught = [inner.warned(f"{self.named}: an item failed: ")]
        if give:
            shown = text('{"error": failure}')
            caught.append(give % f"{inner.use('expr')}({shown}, failure=failure)")
        made = made if guard is None else [guard, *made]
        return [
            "try:",
            *indented(made),
            f"except {inner.failures()} as failure:",
            *indented(caught),
        ]


@dataclass(frozen=True, slots=True)
class DoFor:
    """`for`: the step, with what it asks and does compiled."""

    step: ForStep
    items: Asked
    where: Asked | None
    steps: Steps
    own: tuple[str, ...]
    key: Asked | None
    collect: Asked | None
    count: Callable[[bool], None] | None
    """Gets of each item that has ended whether it failed."""

    async def run(self, frame: Frame) -> None:
        items = self.items.items(frame)
        results = await (self._at_once if self.step.side_by_side else self._in_turn)(frame, items)
        frame.give(self.step.id, results)

    def _inner(self, frame: Frame, at: int, item: Any) -> Frame:
        """The frame of an item."""
        inner = frame.inner(self.own, at)
        inner.names[self.step.item] = item
        return inner

    def _wants(self, inner: Frame) -> bool:
        """Return whether an item is wanted; one whose `where` fails is, so that it fails alone."""
        try:
            return self.where is None or self.where.truth(inner)
        except ExpressionError:
            if not self.step.goes_on:
                raise
            return True

    async def _in_turn(self, frame: Frame, items: list[Any]) -> list[Any]:
        results: list[Any] = []
        for at, each in enumerate(items):
            inner = self._inner(frame, at, each)
            if not self._wants(inner):
                continue
            try:
                results.append(await self._one(inner))
            except LoopLeft:
                break
        return results

    async def _at_once(self, frame: Frame, items: list[Any]) -> list[Any]:
        inner = (self._inner(frame, at, each) for at, each in enumerate(items))
        chosen = [each for each in inner if self._wants(each)]
        if self.key is None:
            keys = default_keys(each.names[self.step.item] for each in chosen)
        else:
            keys = [self.key.text(each) for each in chosen]
        key_of = dict(zip(map(id, chosen), keys, strict=True))
        return await frame.ctx.gather(
            chosen, self._one, key=lambda each: key_of[id(each)], limit=self.step.parallel or 1
        )

    async def _one(self, frame: Frame) -> Any:
        try:
            if self.step.goes_on and self.where is not None:
                self.where.truth(frame)  # raises what `_wants` has passed by
            await run_all(self.steps, frame)
            result = None if self.collect is None else self.collect.value(frame)
        except (*FAILURES, ExpressionError) as error:
            if not self.step.goes_on:
                raise
            if self.count is not None:
                self.count(True)
            frame.ctx.log.warning(f"{self.step.named}: an item failed: {error}")
            return {"error": error_of(error)}
        if self.count is not None:
            self.count(False)
        return result
