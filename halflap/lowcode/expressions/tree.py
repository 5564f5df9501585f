"""The tree that an expression is read into: paths are flat lists of steps, as they are walked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from halflap.lowcode.expressions.signature import FunctionSignature


@dataclass(slots=True, eq=False)
class Slot:
    """Where the parent operator `%` finds what it stands for: a label, and how many levels up."""

    label: str
    level: int = 1


@dataclass(slots=True, eq=False)
class Node:
    """One operation, at the place of its operator; what may follow any of them is by keyword."""

    _holding: ClassVar[tuple[str, ...]] = ()
    at: int
    _: KW_ONLY
    predicates: tuple[Node, ...] = ()
    """The filters of its value."""
    stages: tuple[Node | str, ...] = ()
    """Of a step of a path: the filters, and the names of positions, of its values."""
    group: ObjectConstructor | None = None
    focus: str = ""
    index: str = ""
    seeking: tuple[Slot, ...] = ()
    tuples: bool = False
    """Its values carry what was bound on the way: names, positions, parents."""
    keep: bool = False
    """`[]` was written after it: one value stays a list."""

    def __init_subclass__(cls) -> None:
        cls._holding = tuple(name for name, kind in cls.__annotations__.items() if "Node" in kind)

    @property
    def start(self) -> int:
        """The place in the text where it begins."""
        return min([self.at, *(each.start for each in self.children())])

    @property
    def bare(self) -> bool:
        """Return whether it has no filter, group or binding."""
        return not (self.predicates or self.stages or self.group or self.tuples)

    def operands(self) -> list[Node]:
        """Return the nodes in the fields of its kind."""
        return _nodes([getattr(self, name) for name in self._holding])

    def children(self) -> list[Node]:
        """Return the nodes directly below: operands, filters and group."""
        return _nodes([*self.operands(), self.predicates, self.stages, self.group])


def _nodes(values: Sequence[Any]) -> list[Node]:
    found: list[Node] = []
    for each in values:
        if isinstance(each, Node):
            found.append(each)
        elif type(each) in (list, tuple):
            found += _nodes(each)
    return found


@dataclass(slots=True, eq=False)
class Literal(Node):
    value: str | int | Decimal | bool | None


@dataclass(slots=True, eq=False)
class RegexLiteral(Node):  # /pattern/flags
    pattern: str
    flags: str


@dataclass(slots=True, eq=False)
class Variable(Node):  # $name; the context has the name "", the root "$"
    name: str


@dataclass(slots=True, eq=False)
class FieldName(Node):  # a step of a path; the slot is of the object that has the field
    name: str
    slot: Slot | None = field(default=None, kw_only=True)


@dataclass(slots=True, eq=False)
class Wildcard(Node):  # *
    slot: Slot | None = field(default=None, kw_only=True)


@dataclass(slots=True, eq=False)
class Descendant(Node):
    """`**`."""


@dataclass(slots=True, eq=False)
class Parent(Node):  # %
    slot: Slot


@dataclass(slots=True, eq=False)
class Path(Node):  # step.step
    steps: list[Node]
    keep_one: bool = field(default=False, kw_only=True)


@dataclass(slots=True, eq=False)
class Sort(Node):  # ^(term, >term), a step of a path; true of the terms that descend
    terms: list[tuple[Node, bool]]


@dataclass(slots=True, eq=False)
class ArrayConstructor(Node):  # [item, item]
    items: list[Node]
    whole: bool = field(default=False, kw_only=True)
    """One that is written at the beginning or the end of a path is not flattened."""


@dataclass(slots=True, eq=False)
class ObjectConstructor(Node):  # {name: value, name: value}
    pairs: list[tuple[Node, Node]]


@dataclass(slots=True, eq=False)
class Parenthesized(Node):  # (expression; expression)
    expressions: list[Node]


@dataclass(slots=True, eq=False)
class Negation(Node):  # -operand
    operand: Node


@dataclass(slots=True, eq=False)
class Binary(Node):  # left operator right
    operator: str
    left: Node
    right: Node


@dataclass(slots=True, eq=False)
class Condition(Node):  # condition ? then : otherwise
    condition: Node
    then: Node
    otherwise: Node | None

    @property
    def branches(self) -> list[tuple[Node, bool]]:
        """The branches, each with what the condition is there."""
        pairs = ((self.then, True), (self.otherwise, False))
        return [(each, true) for each, true in pairs if each is not None]


@dataclass(slots=True, eq=False)
class Binding(Node):  # $name := value
    name: str
    value: Node


@dataclass(slots=True, eq=False)
class FunctionCall(Node):  # function(argument, argument)
    function: Node
    arguments: list[Node]


@dataclass(slots=True, eq=False)
class PartialCall(Node):  # function(argument, ?), a function of what is left open
    function: Node
    arguments: list[Node]


@dataclass(slots=True, eq=False)
class Placeholder(Node):
    """`?`, an argument that is left open."""


@dataclass(slots=True, eq=False)
class FunctionDefinition(Node):  # function($parameter)<signature>{body}
    parameters: tuple[str, ...]
    signature: FunctionSignature | None
    body: Node


@dataclass(slots=True, eq=False)
class Chain(Node):  # value ~> function
    value: Node
    function: Node


@dataclass(slots=True, eq=False)
class Transform(Node):  # |pattern|update, delete|
    pattern: Node
    update: Node
    delete: Node | None


def name_of(node: Node) -> str:
    """Return the name that a variable has or a path begins with; "" of any other node."""
    match node:
        case Variable(name=name) | Path(steps=[FieldName(name=name) | Variable(name=name), *_]):
            return name
        case _:
            return ""


def field_of(node: Node) -> tuple[str, ...] | None:
    """Return the path that an expression is, where it is nothing but names."""
    match node:
        case Parenthesized(expressions=[only]) if node.bare:
            return field_of(only)
        case Path(keep=False) if node.bare:
            names = [each.name for each in node.steps if isinstance(each, FieldName) and each.bare]
            return tuple(names) if len(names) == len(node.steps) else None
        case _:
            return None
