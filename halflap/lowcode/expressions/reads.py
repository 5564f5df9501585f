"""Find the names of its scope that an expression reads, for lint: `known.id`, with the place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from halflap.errors import place_of
from halflap.lowcode.expressions import tree
from halflap.lowcode.expressions.library import LIBRARY


@dataclass(frozen=True, slots=True)
class Name:
    """A path that is read: as far as its fields are named; `*` stands for all fields."""

    path: tuple[str, ...]
    offset: int
    line: int
    column: int

    def __str__(self) -> str:
        return ".".join(self.path)


def names_read(node: tree.Node, text: str) -> tuple[Name, ...]:
    """Every path from the scope, in the order of the text, each place once.

    What reads the scope itself, and by no name, has the path `*`.
    """
    return tuple(Name(path, at, *place_of(text, at)) for at, path in sorted(_read(node)))


def paths_read(node: tree.Node) -> frozenset[tuple[str, ...]]:
    """Return the paths that a part reads from the scope, as far as they are named; the empty path is
    the scope itself.
    """
    return frozenset(path[: (*path, "*").index("*")] for _, path in _read(node))


def _read(node: tree.Node) -> set[tuple[int, tuple[str, ...]]]:
    reader = _NameReader()
    reader.read(node, frozenset(), root=True)
    return reader.found


class _NameReader:
    """Walks the tree, with the names that are bound so far, and whether `x` is a name of the scope."""

    def __init__(self) -> None:
        self.found: set[tuple[int, tuple[str, ...]]] = set()

    def read(self, node: tree.Node, bound: frozenset[str], *, root: bool) -> frozenset[str]:
        match node:
            case tree.Path():
                return self._path(node, bound, root=root)
            case tree.Variable():
                self._variable(node, (), bound, root=root)
            case tree.Wildcard() | tree.Descendant() if root:
                self._add(node.at, ("*",))
            case tree.Parenthesized():
                self._parts(node, bound, root=root)
            case tree.Binding():
                bound |= {node.name}
                self.read(node.value, bound, root=root)
            case tree.FunctionDefinition():
                self.read(node.body, bound | {*node.parameters}, root=root)
            case tree.Transform():
                self._parts(node, bound, root=False)
            case tree.Chain(function=tree.FunctionCall(predicates=()) as call):
                bound = self.read(node.value, bound, root=root)
                bound = self._call(call, bound, len(call.arguments) + 1, root=root)
            case tree.FunctionCall():
                bound = self._call(node, bound, len(node.arguments), root=root)
            case _:
                bound = self._parts(node, bound, root=root)
        self._filters(node, bound)
        return bound

    def _parts(self, node: tree.Node, bound: frozenset[str], *, root: bool) -> frozenset[str]:
        for part in node.operands():
            bound = self.read(part, bound, root=root)
        return bound

    def _call(
        self, node: tree.FunctionCall, bound: frozenset[str], given: int, *, root: bool
    ) -> frozenset[str]:
        """A call; one with too few arguments takes the context for the first: `$keys()`."""
        callee = node.function
        if root and isinstance(callee, tree.Variable) and callee.name not in bound:
            function = LIBRARY.get(callee.name)
            if function and function.signature and function.signature.takes_context(given):
                self._add(node.at, ("*",))
        return self._parts(node, bound, root=root)

    def _path(self, node: tree.Path, bound: frozenset[str], *, root: bool) -> frozenset[str]:
        inner = bound
        for at, step in enumerate(node.steps):
            # The context is what it was behind a step that binds a name, and behind one that sorts.
            stays = root and (bool(step.focus) or isinstance(step, tree.Sort))
            match step:
                case tree.FieldName():
                    if root:
                        self._add(step.at, (step.name, *fields_at(node.steps[at:])))
                    if root and step.slot:  # what stands after it looks for its parent
                        self._add(step.at, ("*",))
                case tree.Variable():
                    fields = () if step.predicates or step.stages else fields_at(node.steps[at:])
                    self._variable(step, fields, inner, root=root)
                case tree.Sort():
                    self._parts(step, inner, root=stays)
                case _:
                    self.read(step, inner, root=root)
            self._filters(step, inner, root=stays)
            inner |= {step.focus, step.index}
            root = stays
        self._filters(node, inner, root=root)
        return bound

    def _filters(self, node: tree.Node, bound: frozenset[str], *, root: bool = False) -> None:
        bound |= {stage for stage in node.stages if isinstance(stage, str)}
        for stage in (*node.predicates, *node.stages):
            if isinstance(stage, tree.Node):
                self.read(stage, bound, root=root)
        if node.group:
            self._parts(node.group, bound, root=root)

    def _variable(
        self, node: tree.Variable, fields: tuple[str, ...], bound: frozenset[str], *, root: bool
    ) -> None:
        name = node.name
        if name == "$" or not name:
            if name or root:
                self._add(node.at, fields if fields and fields[0] != "*" else ("*",))
        elif name not in bound and name not in LIBRARY:
            self._add(node.at, (name, *fields))

    def _add(self, at: int, path: tuple[str, ...]) -> None:
        self.found.add((at, path))


def fields_at(steps: Sequence[tree.Node]) -> tuple[str, ...]:
    """The fields that are read of a path's first step; `*` stands for all."""
    fields: list[str] = []
    before = steps[0]
    for step in steps[1:]:
        if before.focus or not isinstance(step, tree.FieldName | tree.Wildcard):
            break
        fields.append(step.name if isinstance(step, tree.FieldName) else "*")
        before = step
    return tuple(fields)
