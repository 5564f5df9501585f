"""Find the names of its scope that an expression reads, for lint: `known.id`, with the place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from halflap.errors import place_of
from halflap.lowcode.expressions.library import LIBRARY
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


def names_read(tree: Node, text: str) -> tuple[Name, ...]:
    """Every path from the scope, in the order of the text, each place once.

    What reads the scope itself, and by no name, has the path `*`.
    """
    return tuple(Name(path, at, *place_of(text, at)) for at, path in sorted(_read(tree)))


def paths_read(node: Node) -> frozenset[tuple[str, ...]]:
    """Return the paths that a part reads from the scope, as far as they are named; the empty path is
    the scope itself.
    """
    return frozenset(path[: (*path, "*").index("*")] for _, path in _read(node))


def _read(node: Node) -> set[tuple[int, tuple[str, ...]]]:
    reader = _NameReader()
    reader.read(node, frozenset(), root=True)
    return reader.found


class _NameReader:
    """Walks the tree, with the names that are bound so far, and whether `x` is a name of the scope."""

    def __init__(self) -> None:
        self.found: set[tuple[int, tuple[str, ...]]] = set()

    def read(self, node: Node, bound: frozenset[str], *, root: bool) -> frozenset[str]:
        match node.kind:
            case "path":
                return self._path(node, bound, root=root)
            case "variable":
                self._variable(node, (), bound, root=root)
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
            case "apply":
                bound = self.read(cast(Node, node.left), bound, root=root)
                right = cast(Node, node.right)
                if right.kind == "call":
                    bound = self._call(right, bound, len(right.items) + 1, root=root)
                else:
                    bound = self.read(right, bound, root=root)
            case "call":
                bound = self._call(node, bound, len(node.items), root=root)
            case _:
                bound = self._parts(node, bound, root=root)
        self._filters(node, bound)
        return bound

    def _parts(self, node: Node, bound: frozenset[str], *, root: bool) -> frozenset[str]:
        for part in (node.left, node.right, node.other, *node.items):
            if part:
                bound = self.read(part, bound, root=root)
        for name, value in node.pairs:
            self.read(name, bound, root=root)
            self.read(value, bound, root=root)
        return bound

    def _call(self, node: Node, bound: frozenset[str], given: int, *, root: bool) -> frozenset[str]:
        """A call; one with too few arguments takes the context for the first: `$keys()`."""
        callee = cast(Node, node.left)
        if root and callee.kind == "variable" and callee.value not in bound:
            function = LIBRARY.get(cast(str, callee.value))
            if function and function.signature and function.signature.takes_context(given):
                self._add(node.at, ("*",))
        return self._parts(node, bound, root=root)

    def _path(self, node: Node, bound: frozenset[str], *, root: bool) -> frozenset[str]:
        inner = bound
        for at, step in enumerate(node.items):
            stays = root and (bool(step.focus) or step.kind == "sort")  # the context is what it was
            if step.kind == "name":
                if root:
                    self._add(step.at, (cast(str, step.value), *fields_at(node.items[at:])))
                if root and step.slot:  # what stands after it looks for its parent
                    self._add(step.at, ("*",))
            elif step.kind == "variable":
                fields = () if step.predicates or step.stages else fields_at(node.items[at:])
                self._variable(step, fields, inner, root=root)
            elif step.kind not in ("parent", "sort"):
                self.read(step, inner, root=root)
            self._filters(step, inner, root=stays)
            inner |= {name for name in (step.focus, step.index) if name}
            root = stays
        self._filters(node, inner, root=root)
        return bound

    def _filters(self, node: Node, bound: frozenset[str], *, root: bool = False) -> None:
        bound |= {stage.index for stage in node.stages if stage.index}
        for stage in (*node.predicates, *node.stages):
            if stage.node:
                self.read(stage.node, bound, root=root)
        for term, _ in node.terms:
            self.read(term, bound, root=root)
        if node.group:
            for name, value in node.group.pairs:
                self.read(name, bound, root=root)
                self.read(value, bound, root=root)

    def _variable(
        self, node: Node, fields: tuple[str, ...], bound: frozenset[str], *, root: bool
    ) -> None:
        name = cast(str, node.value)
        if name == "$" or not name:
            if name or root:
                self._add(node.at, fields if fields and fields[0] != "*" else ("*",))
        elif name not in bound and name not in LIBRARY:
            self._add(node.at, (name, *fields))

    def _add(self, at: int, path: tuple[str, ...]) -> None:
        self.found.add((at, path))


def fields_at(steps: Sequence[Node]) -> tuple[str, ...]:
    """The fields that are read of a path's first step; `*` stands for all."""
    fields: list[str] = []
    before = steps[0]
    for step in steps[1:]:
        if before.focus or step.kind not in ("name", "wildcard"):
            break
        fields.append(cast(str, step.value) if step.kind == "name" else "*")
        before = step
    return tuple(fields)
