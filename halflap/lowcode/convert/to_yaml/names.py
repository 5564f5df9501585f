"""What the names of a Python flow are in YAML, and what is known of them at a place."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from halflap.lowcode.convert.to_yaml.refusal import Refused
from halflap.lowcode.convert.to_yaml.terms import Term, name_of
from halflap.lowcode.convert.to_yaml.types import (
    CLOSED,
    INTEGER,
    OBJECT,
    TEXT,
    Kind,
    Types,
)
from halflap.lowcode.convert.to_yaml.variables import Variables
from halflap.lowcode.outline.calls import Meanings, argument
from halflap.sdk._survey import Module


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
    flows: Mapping[str, str]
    """By the flow's function, what the flow is called."""
    shared: frozenset[str]
    pairs: Mapping[str, str]


@dataclass
class Names(Variables):
    """The names of one flow, as its statements go on."""

    integration: Known = field(kw_only=True)
    ctx: str = field(kw_only=True)
    event_kind: Kind = field(kw_only=True)

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
            if found.how == "lambda":
                return Term(f"${found.name}", found.kind)
            self.reads.add(found.name)
            return Term(name_of(found.name), found.kind)
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
        if (made := self.constant_of(node)) is not node:
            return self.term(made)
        raise Refused(node, f"{name} is no event, result or variable of this flow")

    def constant_of(self, node: ast.expr) -> ast.expr:
        """The constant of the module that a name stands for; else the value itself."""
        raise NotImplementedError

    def term(self, node: ast.expr) -> Term:
        """An expression in JSONata."""
        raise NotImplementedError

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
            case ("customer" | "instance", "id" | "name", _) | ("execution", _):
                return None  # a method of a text
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
        flows = self.integration.flows
        name = flows.get(first.id) if isinstance(first, ast.Name) else None
        if isinstance(first, ast.Constant) and first.value in flows.values():
            name = str(first.value)
        if name is None:
            raise Refused(first or node, "name a flow of this integration")
        return name

    def is_error(self, node: ast.expr) -> bool:
        """Whether this is the error that an `except` caught."""
        found = self.variables.get(node.id) if isinstance(node, ast.Name) else None
        return found is not None and found.how == "error"

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
                found = self.variables[name]
                return None if found.how == "lambda" else found.name
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


def is_constant(node: ast.expr, meaning: Callable[[ast.expr], str]) -> bool:
    """Whether a value is written out: texts, numbers, times, and lists and objects of them."""
    match node:
        case ast.Constant():
            return True
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
            return True
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return all(is_constant(each, meaning) for each in items)
        case ast.Dict(keys=keys, values=values):
            every = [*keys, *values]
            return all(each is not None and is_constant(each, meaning) for each in every)
        case ast.Call(func=function):
            return meaning(function) in ("decimal.Decimal", "datetime.timedelta")
        case _:
            return False
