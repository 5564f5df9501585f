"""Resolve the names of a flow by where they stand in the document; nothing that runs decides it.

The steps of a flow, and those of a loop for each of its items, have names of their own. A `set` in a
loop sets the variable of outside, where one of that name is set above the loop, in whichever branch
of the steps around it; else the variable is the item's own. Items that run side by side have a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from halflap.errors import DefinitionError
from halflap.lowcode import kinds as doc
from halflap.lowcode.frame import SCOPE
from halflap.lowcode.kinds.walk import blocks, names_given
from halflap.lowcode.source import Path, SourceText

V = TypeVar("V")


class Layered(Mapping[str, V]):
    """Names with their values; those of the layers below show through.

    A branch is walked on a layer of its own, so that neither entering it nor comparing what it gave
    takes time in proportion to all names of a flow.
    """

    __slots__ = ("_below", "own")

    def __init__(self, own: Mapping[str, V] | None = None, below: Layered[V] | None = None) -> None:
        self.own: dict[str, V] = dict(own or {})
        self._below = below

    def inner(self, own: Mapping[str, V] | None = None) -> Layered[V]:
        """Return a layer above this one, which is not to be changed meanwhile."""
        return Layered(own, self)

    def since(self, base: Layered[V]) -> dict[str, V]:
        """Return what the layers above `base` hold."""
        layers: list[dict[str, V]] = []
        layer: Layered[V] | None = self
        while layer is not None and layer is not base:
            layers.append(layer.own)
            layer = layer._below
        return {name: each for own in reversed(layers) for name, each in own.items()}

    def __getitem__(self, name: str) -> V:
        layer: Layered[V] | None = self
        while layer is not None:
            if name in layer.own:
                return layer.own[name]
            layer = layer._below
        raise KeyError(name)

    def __setitem__(self, name: str, value: V) -> None:
        self.own[name] = value

    def __contains__(self, name: object) -> bool:
        layer: Layered[V] | None = self
        while layer is not None:
            if name in layer.own:
                return True
            layer = layer._below
        return False

    def __iter__(self) -> Iterator[str]:
        below = () if self._below is None else tuple(self._below)
        yield from dict.fromkeys((*below, *self.own))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True, slots=True)
class Clash:
    """A name for two things, at the value or the key that gives it the second time."""

    path: Path
    said: str
    key: bool = False


@dataclass(slots=True)
class Scoping:
    """The owners of the names of one flow.

    names: those of the flow's own steps. own: by the path of a loop, those of each item. Both are null
    at first. copied: by the path of a loop, the variables of outside of which each item has a copy.
    outward: by the path of a variable that is set, how many loops out of there it belongs.
    """

    names: tuple[str, ...] = ()
    own: dict[Path, tuple[str, ...]] = field(default_factory=dict[Path, tuple[str, ...]])
    copied: dict[Path, tuple[str, ...]] = field(default_factory=dict[Path, tuple[str, ...]])
    outward: dict[Path, int] = field(default_factory=dict[Path, int])
    clashes: list[Clash] = field(default_factory=list[Clash])

    def checked(self, source: SourceText) -> Scoping:
        """The same; `DefinitionError` where one name stands for two things."""
        if self.clashes:
            first = self.clashes[0]
            place = source.key(first.path) if first.key else source.place(first.path)
            where = f"{source.file}:{place.line}:{place.column}"
            raise DefinitionError(first.said, where=where)
        return self


def scoping_of(steps: Sequence[doc.StepModel], path: Path, source: SourceText) -> Scoping:
    """Return the owners of the names that the steps of a flow give."""
    walk = _ScopeWalk(source)
    walk.steps(steps, path, Layered())
    walk.made.names = tuple(walk.loops[0].names)
    return walk.made


@dataclass(frozen=True, slots=True)
class _Seen:
    """A name that is seen at a place: where it was given, and in how many loops."""

    path: Path
    depth: int
    kind: str = "result"
    """`result`, `variable`, `item` or `error`."""


_Names = Layered[_Seen]


@dataclass(slots=True)
class _Loop:
    """The names of an item; the first one stands for the flow itself."""

    apart: bool = False
    names: dict[str, None] = field(default_factory=dict[str, None])
    copies: dict[str, None] = field(default_factory=dict[str, None])


class _ScopeWalk:
    def __init__(self, source: SourceText) -> None:
        self._source = source
        self.made = Scoping()
        self.loops = [_Loop()]

    def steps(self, steps: Iterable[doc.StepModel], path: Path, seen: _Names) -> _Names:
        """Return the names after a list of steps; `seen` is not changed."""
        seen = seen.inner()
        for at, step in enumerate(steps):
            self._step(step, (*path, at), seen)
        return seen

    def _step(self, step: doc.StepModel, path: Path, seen: _Names) -> None:
        match step:
            case doc.TryStep():
                self._try(step, path, seen)
            case _:
                walks: list[_Names] = []
                for at, each, block in blocks(step):
                    if block.each:
                        self._loop(step, path, each, (*path, *at), seen)
                    else:
                        walks.append(self.steps(each, (*path, *at), seen))
                self._meet(seen, *walks)
        for at, name, gives in names_given(step):
            place = (*path, *at)
            if gives.what == "variable":
                self._set(name, place, seen)
            elif gives.what == "result":
                said = f"{name!r} is in use already (%s); choose another name"
                self._free(name, place, seen, said)
                self._give(name, _Seen(place, self._depth), seen)

    def _meet(self, seen: _Names, *walks: _Names) -> None:
        """Join the names after branches: what any of them has given."""
        for walk in walks:
            for name, each in walk.since(seen).items():
                if name not in seen or each.kind == "variable":
                    seen[name] = each

    def _try(self, step: doc.TryStep, path: Path, seen: _Names) -> None:
        tried = self.steps(step.attempt, (*path, "try"), seen)
        there, place = tried.get(step.error), (*path, "error")
        if there is None or there.kind != "error":  # that of a `catch` around this one is hidden
            said = (
                f"the error {step.error!r} takes a name in use (%s); choose another with `error:`"
            )
            self._free(step.error, place, tried, said)
        given = tried.since(seen)
        caught = seen.inner(
            {  # seen by `catch`, which may set them again
                name: replace(each, kind="variable")
                for name, each in given.items()
                if name not in seen
            }
        )
        self._give(step.error, _Seen(place, self._depth, "error"), caught)
        walk = self.steps(step.catch, (*path, "catch"), caught)
        left = walk.since(seen)
        for name, each in given.items():
            if name == step.error or (name in left and left[name].path == each.path):
                left[name] = each
        if there is None:
            del left[step.error]
        self._meet(seen, tried, seen.inner(left))

    def _loop(
        self,
        step: doc.StepModel,
        path: Path,
        steps: Iterable[doc.StepModel],
        inside: Path,
        seen: _Names,
    ) -> None:
        items = [(at, name) for at, name, gives in names_given(step) if gives.what == "item"]
        for at, name in items:
            said = f"the item {name!r} takes a name in use (%s); choose another"
            self._free(name, (*path, *at), seen, said)
        self.loops.append(_Loop(step.side_by_side))
        own = {name: _Seen((*path, *at), self._depth, "item") for at, name in items}
        self.steps(steps, inside, seen.inner(own))
        loop = self.loops.pop()
        self.made.own[path], self.made.copied[path] = tuple(loop.names), tuple(loop.copies)

    def _set(self, name: str, path: Path, seen: _Names) -> None:
        there = seen.get(name)
        if there is None or there.kind != "variable":
            said = f"{name!r} is in use already (%s); choose another name"
            self._free(name, path, seen, said, key=True)
        apart = max(depth for depth, each in enumerate(self.loops) if each.apart or not depth)
        if there is not None and there.depth >= apart:
            self.made.outward[path] = self._depth - there.depth
            return
        self.made.outward[path] = 0
        made = _Seen(path, self._depth, "variable")
        if there is None:
            self._give(name, made, seen)
        else:
            self.loops[-1].copies[name] = None
            seen[name] = made

    def _give(self, name: str, given: _Seen, seen: _Names) -> None:
        self.loops[-1].names[name] = None
        seen[name] = given

    def _free(self, name: str, path: Path, seen: _Names, said: str, *, key: bool = False) -> None:
        """Note where a name is taken already."""
        if name in SCOPE:
            clash = Clash(path, f"{name!r} is a name that every flow has; choose another", key)
            self.made.clashes.append(clash)
        elif (there := seen.get(name)) is not None:
            line = self._source.key(there.path).line
            self.made.clashes.append(Clash(path, said % f"line {line}", key))

    @property
    def _depth(self) -> int:
        return len(self.loops) - 1
