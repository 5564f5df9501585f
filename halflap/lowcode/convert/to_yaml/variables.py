"""The variables of a Python flow: what each is called in YAML, and what is known of it at a place.

A variable of Python belongs to the loop in which it is given first, as a name of YAML does. One that
is given more than a step's result once is a variable in YAML; all that it is given, it is `set`.
"""

from __future__ import annotations

import ast
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace

from halflap.lowcode.convert.to_yaml.refusal import Refused
from halflap.lowcode.convert.to_yaml.types import CLOSED, JSON, Kind
from halflap.lowcode.frame import SCOPE

_PLAIN = frozenset({"text", "integer", "boolean", "json"})


@dataclass(slots=True)
class Variable:
    """A name of the flow: a step's result, a variable, a loop's item, a parameter of a function."""

    name: str
    """What it is called in YAML."""
    kind: Kind
    how: str
    """`step`, `set`, `item`, `error` or `lambda`."""
    depth: int = 0
    """How many loops stand around the place where it was given first."""


@dataclass(frozen=True, slots=True)
class State:
    """What holds at a place, to come back to."""

    variables: dict[str, Variable]
    maybe: set[str]
    known: dict[str, bool]
    aliases: dict[str, ast.expr]


@dataclass
class Variables:
    """The variables of one flow, as its statements go on."""

    event: str
    spoken: frozenset[str] = frozenset()
    """All names that the flow's function uses."""
    variables: dict[str, Variable] = field(default_factory=dict[str, Variable], init=False)
    maybe: set[str] = field(default_factory=set[str], init=False)
    broken: set[str] = field(default_factory=set[str], init=False)
    """Names whose statement was refused: what reads them is not refused once more."""
    aliases: dict[str, ast.expr] = field(default_factory=dict[str, ast.expr], init=False)
    """Names of connections and actions, which are no values in YAML."""
    reads: set[str] = field(default_factory=set[str], init=False)
    """Names of YAML that anything reads."""
    known: dict[str, bool] = field(default_factory=dict[str, bool], init=False)
    """Expressions of Python that are not None here."""
    absent: list[tuple[ast.expr, str, tuple[int, ...]]] = field(
        default_factory=list[tuple[ast.expr, str, tuple[int, ...]]], init=False
    )
    """Names that expressions read and are not given, with the loops around."""
    loops: list[int] = field(default_factory=lambda: [0], init=False)
    """The flow, and the loops around, by numbers of their own."""
    null: set[str] = field(default_factory=set[str], init=False)
    """Names that are null in YAML until something is given to them, in this loop or the flow."""
    given_kinds: list[tuple[str, Kind]] = field(default_factory=list[tuple[str, Kind]], init=False)
    """What variables were given so far, one after another."""
    called_so: dict[tuple[str, int], str] = field(
        default_factory=dict[tuple[str, int], str], init=False
    )
    """What variables are called in YAML, by their name and the loop that gives them first."""
    mixed: set[str] = field(default_factory=set[str], init=False)
    """Names that are given more than a step's result once."""
    taken: set[str] = field(default_factory=set[str], init=False)
    """The names of YAML that were given so far."""
    _number: int = field(default=0, init=False)

    @property
    def depth(self) -> int:
        """How many loops stand around."""
        return len(self.loops) - 1

    @contextmanager
    def looping(self, null: set[str]) -> Generator[None]:
        """In the body of a loop, in which these names are null at first."""
        self._number += 1
        self.loops.append(self._number)
        outside, self.null = self.null, null
        try:
            yield
        finally:
            self.loops.pop()
            self.null = outside

    # What they are called -----------------------------------------------------------------------

    def fresh(self, name: str) -> str:
        """A name that nothing else has."""
        made, number = name, 2
        while made in self.taken or made in self.spoken or made in SCOPE:
            made, number = f"{name}_{number}", number + 1
        self.taken.add(made)
        return made

    def called_here(self, name: str, wanted: str | None = None) -> str:
        """What a variable is called in YAML that this loop, or the flow, gives first."""
        key = name, self.loops[-1]
        if key not in self.called_so:
            bare = name.lstrip("_")
            if wanted is not None and (wanted == name or wanted not in self.spoken):
                said = wanted
            else:
                said = bare if bare.isidentifier() and bare not in self.spoken else name
            seen = {made for (_, loop), made in self.called_so.items() if loop in self.loops}
            self.called_so[key] = self.fresh(said) if said in seen or said in SCOPE else said
            self.taken.add(self.called_so[key])
        return self.called_so[key]

    def bind(
        self, node: ast.AST, name: str, kind: Kind, how: str, called: str | None = None
    ) -> Variable:
        """Note that a name has a value from here on."""
        if name == self.event:
            raise Refused(
                node, f"{name} is the event, which YAML cannot change; call this otherwise"
            )
        self.unlearn(name)
        self.maybe.discard(name)
        self.aliases.pop(name, None)
        self.given_kinds.append((name, kind))
        there = self.variables.get(name)
        depth, said = self.depth, called
        if there is not None and there.how != "lambda" and called is None:
            depth, said = there.depth, there.name
        made = Variable(said or self.called_here(name), kind, how, depth)
        self.variables[name] = made
        return made

    def drop(self, name: str) -> None:
        """Note that a name may have no value from here on, or another one than YAML has."""
        self.unlearn(name)
        self.variables.pop(name, None)
        self.maybe.add(name)

    # What is known at a place -------------------------------------------------------------------

    def unlearn(self, *names: str) -> None:
        """What is known of variables may not hold any more."""
        for each in [key for key in self.known if key.split(".")[0] in names]:
            del self.known[each]

    @contextmanager
    def narrowing(self) -> Generator[None]:
        """What is learnt within holds within."""
        before = dict(self.known)
        try:
            yield
        finally:
            self.known = before

    def learn(self, node: ast.expr, holds: bool) -> None:
        """Note what a condition says about None, where it holds or does not."""
        match node:
            case ast.Compare(left=left, ops=[ast.Is()], comparators=[ast.Constant(value=None)]):
                if not holds:
                    self.known[ast.unparse(left)] = True
            case ast.Compare(left=left, ops=[ast.IsNot()], comparators=[ast.Constant(value=None)]):
                if holds:
                    self.known[ast.unparse(left)] = True
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self.learn(operand, not holds)
            case ast.BoolOp(op=op, values=values) if isinstance(op, ast.And) == holds:
                for each in values:
                    self.learn(each, holds)
            case ast.Name() | ast.Attribute() if holds:
                self.known[ast.unparse(node)] = True
            case _:
                pass

    @contextmanager
    def standing_for(self, name: str, variable: Variable) -> Generator[None]:
        """A name that is another variable within."""
        before = self.variables.get(name)
        with self.narrowing():
            self.unlearn(name)
            self.variables[name] = variable
            try:
                yield
            finally:
                del self.variables[name]
                if before is not None:
                    self.variables[name] = before

    def lambda_of(self, name: str, kind: Kind | None) -> AbstractContextManager[None]:
        """The parameter of a function of JSONata."""
        return self.standing_for(name, Variable(name, kind or JSON, "lambda"))

    # Branches -----------------------------------------------------------------------------------

    def state(self) -> State:
        """What holds here, to come back to."""
        return State(dict(self.variables), set(self.maybe), dict(self.known), dict(self.aliases))

    def restore(self, state: State) -> None:
        """Come back to what held at another place."""
        self.variables, self.maybe = dict(state.variables), set(state.maybe)
        self.known, self.aliases = dict(state.known), dict(state.aliases)

    def meet(self, states: list[State]) -> None:
        """What holds after branches that come together again."""
        if not states:
            return
        self.restore(states[0])
        for each in states[1:]:
            every = self.variables.keys() | each.variables.keys()
            both = self.variables.keys() & each.variables.keys()
            self.maybe |= each.maybe | (every - both)
            self.variables = {
                n: _joined(self.variables[n], each.variables[n]) for n in both - self.maybe
            }
            self.known = {name: True for name in self.known if name in each.known}
            self.aliases = {n: e for n, e in self.aliases.items() if each.aliases.get(n) is e}

    def widen(self, since: int) -> dict[str, Kind]:
        """What variables may be that anything was given since then, at any place between."""
        found: dict[str, Kind] = {}
        for name, kind in self.given_kinds[since:]:
            there = self.variables.get(name)
            if there is not None:
                self.unlearn(name)
                found[name] = joined(found.get(name, there.kind), kind)
                self.variables[name] = replace(there, kind=found[name])
        return found


def _joined(one: Variable, other: Variable) -> Variable:
    if one == other:
        return one
    how = one.how if one.how == other.how else "step"
    return replace(one, kind=joined(one.kind, other.kind), how=how)


def joined(one: Kind, other: Kind) -> Kind:
    """What a value is that is of one kind or the other."""
    null = one.null or other.null
    missing = one.missing or other.missing
    if one.base == "null" or other.base == "null":
        return replace(other if one.base == "null" else one, null=True, missing=missing)
    if (one.base, one.of, one.default) == (other.base, other.of, other.default):
        return replace(one, null=null, missing=missing, promised=one.promised or other.promised)
    if {one.base, other.base} <= _PLAIN and not missing:
        return JSON
    return replace(CLOSED, null=null)
