"""Which names of its scope an expression reads, for lint: `known.id`, with the place."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import cast

from halflap.errors import place_of
from halflap.lowcode.expressions.tree import Node


@dataclass(frozen=True, slots=True)
class Name:
    """A path that is read: as far as its fields are named; `*` stands for all fields."""

    path: tuple[str, ...]
    offset: int
    line: int
    column: int

    def __str__(self) -> str:
        return ".".join(self.path)


def names_read(tree: Node, text: str, library: Container[str]) -> tuple[Name, ...]:
    """Every path from the scope, in the order of the text, each place once."""
    reader = _Reader(library)
    reader.read(tree, frozenset(), root=True)
    names = sorted(reader.found.items(), key=lambda item: (item[0][0], item[0][1]))
    return tuple(Name(path, at, *place_of(text, at)) for (at, path), _ in names)


class _Reader:
    """Walks the tree, with the names that are bound so far, and whether `x` is a name of the scope."""

    def __init__(self, library: Container[str]) -> None:
        self._library = library
        self.found: dict[tuple[int, tuple[str, ...]], None] = {}

    def read(self, node: Node, bound: frozenset[str], *, root: bool) -> frozenset[str]:
        match node.kind:
            case "path":
                return self._path(node, bound, root=root)
            case "variable":
                self._variable(node, (), bound)
            case "wildcard" | "descendant" if root:
                self._add(node.at, ("*",))
            case "block":
                inner = bound
                for part in node.items:
                    inner = self.read(part, inner, root=root)
            case "bind":
                self.read(cast(Node, node.right), bound | {node.value}, root=root)
                return bound | {cast(str, node.value)}
            case "lambda":
                inner = bound | {cast(str, item.value) for item in node.items}
                self.read(cast(Node, node.right), inner, root=root)
            case "transform":
                for part in (node.left, node.right, node.other):
                    if part:
                        self.read(part, bound, root=False)
            case _:
                for part in (node.left, node.right, node.other):
                    if part:
                        bound = self.read(part, bound, root=root)
                for part in node.items:
                    bound = self.read(part, bound, root=root)
                for name, value in node.pairs:
                    self.read(name, bound, root=root)
                    self.read(value, bound, root=root)
        self._filters(node, bound)
        return bound

    def _path(self, node: Node, bound: frozenset[str], *, root: bool) -> frozenset[str]:
        first, *rest = node.items
        fields: list[str] = []
        named = True
        for step in rest:
            named = named and step.kind in ("name", "wildcard")
            if named:
                fields.append(cast(str, step.value) if step.kind == "name" else "*")
        match first.kind:
            case "name" if root:
                self._add(first.at, (cast(str, first.value), *fields))
            case "variable":
                self._variable(first, tuple(fields), bound)
            case "name" | "parent":
                pass
            case _:
                self.read(first, bound, root=root)
        self._filters(first, bound)
        inner = bound
        for step in node.items:
            inner |= {name for name in (step.focus, step.index) if name}
        for step in rest:
            if step.kind not in ("name", "wildcard", "parent"):
                self.read(step, inner, root=False)
            else:
                self._filters(step, inner)
        self._filters(node, inner)
        return bound

    def _filters(self, node: Node, bound: frozenset[str]) -> None:
        bound |= {stage.index for stage in node.stages if stage.index}
        for stage in (*node.predicates, *node.stages):
            if stage.node:
                self.read(stage.node, bound, root=False)
        for term, _ in node.terms:
            self.read(term, bound, root=False)
        if node.group:
            for name, value in node.group.pairs:
                self.read(name, bound, root=False)
                self.read(value, bound, root=False)

    def _variable(self, node: Node, fields: tuple[str, ...], bound: frozenset[str]) -> None:
        name = cast(str, node.value)
        if name == "$":
            self._add(node.at, fields or ("*",))
        elif name and name not in bound and name not in self._library:
            self._add(node.at, (name, *fields))

    def _add(self, at: int, path: tuple[str, ...]) -> None:
        self.found[at, path] = None
