"""The names of a flow: which variable of Python stands for each, and what is known of it where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from halflap.lowcode import steps as doc
from halflap.lowcode.convert.to_python.kind import NEVER, Kind


@dataclass(slots=True, eq=False)
class Variable:
    """A variable of the Python that is written.

    key: what tells it from others, in every pass. kind: of all that it is given, as the pass before
    found. begins: what it holds before it is given anything (`None`, an outer variable), "" where
    nothing. needs: whether it is read there.
    """

    key: tuple[str, ...]
    name: str
    kind: Kind
    begins: str = "None"
    outer: Variable | None = None
    needs: bool = False
    read: bool = False
    late: bool = False
    """Whether it is read where the error that it holds was not just caught."""
    given: Kind = NEVER

    def give(self, kind: Kind) -> None:
        """Note what it is given."""
        self.given = self.given.joined(kind)


@dataclass(slots=True, eq=False)
class Frame:
    """The names of a flow's steps, or of one item of a loop.

    apart: its items run side by side, in a function of their own.
    """

    path: str
    parent: Frame | None = None
    apart: bool = False
    variables: dict[str, Variable] = field(default_factory=dict[str, Variable])

    def find(self, name: str) -> Variable | None:
        """The variable that a name stands for."""
        found = self.variables.get(name)
        if found is None and self.parent is not None:
            return self.parent.find(name)
        return found

    def taken(self) -> Iterator[str]:
        """The Python names that are in use here."""
        yield from (each.name for each in self.variables.values())
        if self.parent is not None:
            yield from self.parent.taken()


@dataclass(slots=True)
class State:
    """What holds at a place: the variables that were given something, those that are not None."""

    given: set[Variable] = field(default_factory=set[Variable])
    sure: set[Variable] = field(default_factory=set[Variable])

    def copy(self) -> State:
        """The same, to go another way from here."""
        return State(set(self.given), set(self.sure))

    def meets(self, other: State) -> State:
        """What holds where two ways come together."""
        return State(self.given & other.given, self.sure & other.sure)


def inner_lists(step: doc.Step) -> Iterable[list[doc.AnyStep]]:
    """The lists of steps in a step, but not those of a loop."""
    match step:
        case doc.IfStep():
            return (step.then, step.otherwise)
        case doc.SwitchStep():
            return (*step.cases.values(), step.default or [])
        case doc.TryStep():
            return (step.attempt, step.catch)
        case _:
            return ()


def within(steps: Iterable[doc.Step]) -> Iterator[doc.Step]:
    """Steps, and those in their branches; loops, but not what is in them."""
    for each in steps:
        yield each
        for inner in inner_lists(each):
            yield from within(inner)


def all_within(steps: Iterable[doc.Step]) -> Iterator[doc.Step]:
    """Steps, and all that are in them."""
    for each in within(steps):
        yield each
        if isinstance(each, doc.ForStep):
            yield from all_within(each.do)
