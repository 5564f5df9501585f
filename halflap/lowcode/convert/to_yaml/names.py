"""What the names of a Python flow are in YAML, and what is known of them at a place."""

from __future__ import annotations

import ast
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from halflap.lowcode.convert.to_yaml.refusal import Refused
from halflap.lowcode.convert.to_yaml.terms import Term, name_of
from halflap.lowcode.convert.to_yaml.types import (
    CLOSED,
    INTEGER,
    JSON,
    OBJECT,
    TEXT,
    Kind,
    Types,
)
from halflap.lowcode.frame import SCOPE
from halflap.lowcode.outline.calls import Meanings, argument
from halflap.sdk._survey import Module


@dataclass(slots=True)
class Variable:
    """A name of the flow: a step's result, a variable, a loop's item, a parameter of a function."""

    name: str
    kind: Kind
    how: str
    """`step`, `set`, `item`, `error` or `lambda`."""
    depth: int = 0
    """How many loops stand around the place where it was given first."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the config: its kind, or the component that it connects."""

    kind: Kind
    connects: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What a whole integration knows: its module, config, flows and pairs, by their names."""

    module: Module
    meanings: Meanings
    types: Types
    config: Mapping[str, Field]
    flows: frozenset[str]
    shared: frozenset[str]
    pairs: Mapping[str, str]


@dataclass
class Names:
    """The names of one flow, as its statements go on."""

    integration: Known
    ctx: str
    event: str
    event_kind: Kind
    variables: dict[str, Variable] = field(default_factory=dict[str, Variable])
    maybe: set[str] = field(default_factory=set[str])
    broken: set[str] = field(default_factory=set[str])
    """Names whose statement was refused: what reads them is not refused once more."""
    aliases: dict[str, ast.expr] = field(default_factory=dict[str, ast.expr])
    """Names of connections and actions, which are no values in YAML."""
    reads: set[str] = field(default_factory=set[str])
    """Names that anything reads."""
    known: dict[str, bool] = field(default_factory=dict[str, bool])
    """Expressions of Python that are not None here."""

    @property
    def types(self) -> Types:
        """The kinds of what the sources declare."""
        return self.integration.types

    def meaning(self, node: ast.expr) -> str:
        """What a global name means, as a dotted name; empty for all else."""
        if self.is_local(node):
            return ""
        module = self.integration.module
        return self.integration.meanings.survey.canonical(module.meaning(node)) or ""

    def is_local(self, node: ast.expr) -> bool:
        """Whether a name, or what a path begins with, is of the flow and not of its module."""
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and (
            node.id == self.event
            or any(
                node.id in each for each in (self.variables, self.maybe, self.broken, self.aliases)
            )
        )

    def variable(self, node: ast.Name) -> Term:
        """The value of a name."""
        name = node.id
        if name in self.variables:
            found = self.variables[name]
            self.reads.add(name)
            return Term(f"${name}" if found.how == "lambda" else name_of(name), found.kind)
        if name == self.event:
            return Term("event", self.event_kind)
        if name in self.broken:
            raise Refused(node, None)
        if name in self.aliases:
            raise Refused(node, f"{name} is a connection or an action, which is no value in YAML")
        if name in self.maybe:
            raise Refused(
                node, f"{name} may have no value here; give it one in every case, before or in else"
            )
        made = self.integration.meanings.variables(self.integration.module).get(name)
        if isinstance(made, ast.Constant) or (
            isinstance(made, ast.Call) and self.meaning(made.func) == "decimal.Decimal"
        ):
            return self.term(made)
        raise Refused(node, f"{name} is no event, result or variable of this flow")

    def term(self, node: ast.expr) -> Term:
        """An expression in JSONata."""
        raise NotImplementedError

    def bind(self, node: ast.AST, name: str, kind: Kind, how: str, depth: int = 0) -> Variable:
        """Note that a name has a value from here on."""
        if name in SCOPE:
            raise Refused(node, f"every flow in YAML has a name {name}; call this otherwise")
        if name == self.event:
            raise Refused(
                node, f"{name} is the event, which YAML cannot change; call this otherwise"
            )
        for each in [key for key in self.known if key.split(".")[0] == name]:
            del self.known[each]
        self.maybe.discard(name)
        self.aliases.pop(name, None)
        found = self.variables[name] = Variable(name, kind, how, depth)
        return found

    # The context ------------------------------------------------------------------------------

    def path_of_context(self, node: ast.expr) -> tuple[str, ...] | None:
        """`("config", "discount")` of `ctx.config.discount`."""
        path: list[str] = []
        while isinstance(node, ast.Attribute):
            path.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id == self.ctx and node.id not in self.variables:
            return tuple(reversed(path))
        return None

    def of_context(self, node: ast.expr) -> Term | None:
        """What `ctx` has, as a value."""
        match self.path_of_context(node):
            case ("config", name):
                found = self.integration.config.get(name)
                if found is None:
                    raise Refused(node, f"the config has no field {name}")
                if found.connects is not None:
                    raise Refused(
                        node, "a connection is handed to actions, and is no value in YAML"
                    )
                return Term(f"config.{name_of(name)}", found.kind)
            case ("customer", "id" | "name" as name):
                return Term(f"customer.{name}", TEXT)
            case ("customer", "external_id"):
                return Term("customer.external_id", TEXT.nullable())
            case ("instance", "id" | "name" as name):
                return Term(f"instance.{name}", TEXT)
            case ("execution",):
                return Term("execution.id", TEXT)
            case ("attempt",):
                return Term("execution.attempt", INTEGER)
            case ("flow_urls",):
                return Term("urls", OBJECT)
            case None:
                return None
            case _:
                raise Refused(node, f"YAML has no expression for {ast.unparse(node)}")

    def of_context_call(self, node: ast.Call) -> Term | None:
        """What `ctx` gives, as a value."""
        match self.path_of_context(node.func):
            case ("url" | "secret" as verb,):
                name = self.flow_of(node)
                if name in self.integration.shared:
                    raise Refused(node, "a shared URL is no name in YAML; write it out")
                of = "urls" if verb == "url" else "secrets"
                return Term(f"{of}.{name_of(name)}", TEXT if verb == "url" else CLOSED)
            case None:
                return None
            case ("now",):
                raise Refused(node, 'in YAML the time is a text; write expr("$now()")')
            case _:
                raise Refused(
                    node,
                    "a step stands on a line of its own: name = await …; else YAML has no such call",
                )

    def flow_of(self, node: ast.Call) -> str:
        """The sibling flow that a call names first."""
        first = argument(node, 0, "flow")
        name = first.id if isinstance(first, ast.Name) else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            name = first.value
        if name is None or name not in self.integration.flows:
            raise Refused(first or node, "name a flow of this integration")
        return name

    def is_error(self, node: ast.expr) -> bool:
        """Whether this is the error that an `except` caught."""
        found = self.variables.get(node.id) if isinstance(node, ast.Name) else None
        return found is not None and found.how == "error"

    def forget(self) -> None:
        """What is known of variables may not hold any more: something may have set them."""
        for each in list(self.known):
            found = self.variables.get(each.split(".")[0])
            if found is not None and found.how == "set":
                del self.known[each]

    def is_urls(self, node: ast.expr) -> bool:
        """Whether this is `ctx.urls`."""
        return self.path_of_context(node) == ("urls",)

    def named(self, node: ast.expr) -> str | None:
        """The name in YAML of a value that is a name alone."""
        path = self.path_of_context(node)
        if path == ("flow_urls",):
            return "urls"
        if path is not None and len(path) == 1 and path[0] in ("config", "customer", "instance"):
            return path[0]
        match node:
            case ast.Name(id=name) if name in self.variables:
                return None if self.variables[name].how == "lambda" else name
            case ast.Name(id=name) if name == self.event:
                return "event"
            case ast.Dict(
                keys=[ast.Constant(value="id"), ast.Constant(value="attempt")], values=values
            ):
                paths = [self.path_of_context(each) for each in values]
                return "execution" if paths == [("execution",), ("attempt",)] else None
            case ast.Dict(values=values) if values and all(map(self._is_secret, values)):
                return "secrets"
            case _:
                return None

    def _is_secret(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Call) and self.path_of_context(node.func) == ("secret",)

    def is_named(self, name: str, node: ast.expr) -> bool:
        """Whether a value is what YAML calls so; of one that was refused, it is said to be."""
        broken = isinstance(node, ast.Name) and node.id in self.broken
        return broken or self.named(node) == name

    # What is known at a place -----------------------------------------------------------------

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
    def lambda_of(self, name: str, kind: Kind | None) -> Generator[None]:
        """The parameter of a function of JSONata."""
        before = self.variables.get(name)
        with self.narrowing():
            self.variables[name] = Variable(name, kind or JSON, "lambda")
            try:
                yield
            finally:
                del self.variables[name]
                if before is not None:
                    self.variables[name] = before

    # Branches ---------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Variable], set[str], dict[str, bool], dict[str, ast.expr]]:
        """What holds here, to come back to."""
        return dict(self.variables), set(self.maybe), dict(self.known), dict(self.aliases)

    def restore(
        self, state: tuple[dict[str, Variable], set[str], dict[str, bool], dict[str, ast.expr]]
    ) -> None:
        """Come back to what held at another place."""
        variables, maybe, known, aliases = state
        self.variables, self.maybe = dict(variables), set(maybe)
        self.known, self.aliases = dict(known), dict(aliases)

    def meet(
        self,
        states: list[tuple[dict[str, Variable], set[str], dict[str, bool], dict[str, ast.expr]]],
    ) -> None:
        """What holds after branches that come together again."""
        if not states:
            return
        self.restore(states[0])
        for variables, maybe, known, aliases in states[1:]:
            every = self.variables.keys() | variables.keys()
            both = self.variables.keys() & variables.keys()
            self.maybe |= maybe | (every - both)
            self.variables = {n: _joined(self.variables[n], variables[n]) for n in both}
            self.known = {each: True for each in self.known if each in known}
            self.aliases = {n: e for n, e in self.aliases.items() if aliases.get(n) is e}


def _joined(one: Variable, other: Variable) -> Variable:
    if one is other:
        return one
    null = one.kind.null or other.kind.null
    if one.kind.base == "null" or other.kind.base == "null":
        base = other.kind if one.kind.base == "null" else one.kind
        made = replace(base, null=True)
    elif (one.kind.base, one.kind.of) == (other.kind.base, other.kind.of):
        made = replace(one.kind, null=null)
    else:
        made = replace(CLOSED, null=null)
    one.kind = other.kind = made
    return one if one.how == "step" else other
