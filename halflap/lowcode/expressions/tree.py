"""The tree that an expression is read into: paths are flat lists of steps, as they are walked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from halflap.lowcode.expressions.signature import FunctionSignature

Kind = Literal[
    "path",
    "name",
    "literal",
    "regex",
    "variable",
    "wildcard",
    "descendant",
    "parent",
    "array",
    "object",
    "negation",
    "binary",
    "bind",
    "block",
    "condition",
    "call",
    "partial",
    "placeholder",
    "lambda",
    "apply",
    "transform",
    "sort",
    "end",
]


@dataclass(slots=True, eq=False)
class Slot:
    """Where the parent operator `%` finds what it stands for: a label, and how many levels up."""

    label: str
    level: int = 1


@dataclass(slots=True, eq=False)
class StepStage:
    """A stage of a step's values: a filter (`node`) or a position that is bound to a name."""

    at: int
    node: Node | None = None
    index: str = ""


@dataclass(slots=True, eq=False)
class Node:
    """One operation. `value` is its name, operator or literal; `at` its place in the text."""

    kind: Kind
    at: int
    value: Any = None
    left: Node | None = None
    right: Node | None = None
    other: Node | None = None
    items: list[Node] = field(default_factory=list["Node"])
    """The steps of a path, elements of an array, arguments of a call, parts of a block."""
    pairs: list[tuple[Node, Node]] = field(default_factory=list[tuple["Node", "Node"]])
    terms: list[tuple[Node, bool]] = field(default_factory=list[tuple["Node", bool]])
    """The terms of the order, each ascending or descending."""
    predicates: list[StepStage] = field(default_factory=list[StepStage])
    stages: list[StepStage] = field(default_factory=list[StepStage])
    group: Node | None = None
    signature: FunctionSignature | None = None
    focus: str = ""
    index: str = ""
    slot: Slot | None = None
    seeking: list[Slot] = field(default_factory=list[Slot])
    tuples: bool = False
    """Its values carry what was bound on the way: names, positions, parents."""
    keep: bool = False
    """`[]` was written after it: one value stays a list."""
    keep_one: bool = False
    whole: bool = False
    """An array that is written at the beginning or the end of a path is not flattened."""

    @property
    def start(self) -> int:
        """The place in the text where it begins; `at` is that of its operator."""
        inner = [each for each in (self.left, *self.items[:1]) if each is not None]
        return min([self.at, *(each.start for each in inner)])

    def children(self) -> Iterator[Node]:
        """Yield the nodes directly below."""
        yield from (each for each in (self.left, self.right, self.other, self.group) if each)
        yield from self.items
        for name, value in self.pairs:
            yield from (name, value)
        yield from (term for term, _ in self.terms)
        yield from (stage.node for stage in (*self.predicates, *self.stages) if stage.node)
