"""Says the values of a document in Python: constants, expressions, and what they are asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from pydantic import SecretStr, ValidationError

from halflap.lowcode.convert.to_python.context import Module
from halflap.lowcode.convert.to_python.kind import (
    CLOSED,
    INTEGER,
    JSON,
    MAYBE,
    NEVER,
    NULL,
    TEXT,
    Kind,
    is_like,
    kind_of,
    takes,
)
from halflap.lowcode.convert.to_python.layout import Group, Piece, call_with, joined, text
from halflap.lowcode.convert.to_python.say import COMPARISON, NOT, Term, literal, say
from halflap.lowcode.convert.to_python.scope import Frame, State, Variable
from halflap.lowcode.source import Path
from halflap.lowcode.template import expression_at, is_expression
from halflap.sdk.fit import fit_input
from halflap.sdk.schema import Input

SECRET = Kind("closed", of=SecretStr)
_CUSTOMER = {"id": TEXT, "name": TEXT, "external_id": TEXT.nullable()}


class Speaker:
    """Says values where a flow stands: in a frame, with what holds there."""

    def __init__(self, module: Module, event: tuple[str, Kind] | None) -> None:
        self.module = module
        self.names = module.names
        self.event = event
        self.reads_event = False
        self.aside: Frame | None = None
        """The frame of items that are looked at before any of them is begun with."""
        self.caught: set[Variable] = set()
        self.deep = False
        """Whether values have to be JSON throughout, so that models will not do."""
        self.exact = False
        """Whether their numbers have to be written as YAML's are."""
        self.frame = Frame("")
        self.state = State()

    def uses(self, name: str) -> str:
        """See `say.Scope`."""
        return self.names.use(name)

    # Names ------------------------------------------------------------------------------------

    def root(self, name: str, path: tuple[str, ...]) -> tuple[Term, tuple[str, ...]] | None:
        """See `say.Scope`."""
        variable = self.frame.find(name)
        if variable is not None:
            return Term(*self._read(variable)), path
        match name, path:
            case "event", _ if self.event is not None:
                self.reads_event = True
                return Term(*self.event), path
            case "config", (field, *rest):
                return self._config(field, tuple(rest))
            case "urls", (flow,) if self.module.has_url(flow):
                return Term(f"ctx.url({self.names.flow(flow)})", TEXT), ()
            case "secrets", (flow,) if self.module.has_url(flow):
                return Term(f"ctx.secret({self.names.flow(flow)})", SECRET), ()
            case "customer", (field,) if field in _CUSTOMER:
                return Term(f"ctx.customer.{field}", _CUSTOMER[field]), ()
            case "instance", ("id" | "name" as field,):
                return Term(f"ctx.instance.{field}", TEXT), ()
            case "execution", ("id",):
                return Term("ctx.execution", TEXT), ()
            case "execution", ("attempt",):
                return Term("ctx.attempt", INTEGER), ()
            case _:
                return None

    def _config(self, name: str, rest: tuple[str, ...]) -> tuple[Term, tuple[str, ...]] | None:
        field = self.module.config.model_fields.get(name)
        if field is None or name in self.module.connections:
            return None
        return Term(f"ctx.config.{name}", kind_of(field.annotation)), rest

    def _read(self, variable: Variable) -> tuple[str, Kind]:
        """A variable as it is read here."""
        if self.aside is not None and variable.key[0] == self.aside.path and variable.begins:
            if variable.outer is not None:
                return self._read(variable.outer)
            return variable.begins, NULL
        variable.read = True
        variable.late |= variable not in self.caught
        if variable in self.state.given:
            return variable.name, (
                variable.kind.known() if variable in self.state.sure else variable.kind
            )
        variable.needs = True
        if variable.outer is not None:
            kind = self._read(variable.outer)[1]
            variable.give(kind)
            return variable.name, kind
        return variable.name, variable.kind.nullable()

    # Expressions ------------------------------------------------------------------------------

    def evaluated(self, value: str, path: Path, method: str = "") -> Piece:
        """A call of `expr`, which evaluates it exactly."""
        expression = expression_at(value, self.module.source, path).expression
        names = dict.fromkeys(each.path[0] for each in expression.names())
        named = [(name, found) for name in names if (found := self._whole(name)) is not None]
        function = self.uses("expr") + (f".{method}" if method else "")
        return call_with(function, [text(readable(expression.text))], named)

    def _whole(self, name: str) -> Piece | None:
        """All that a name stands for."""
        variable = self.frame.find(name)
        if variable is not None:
            return self._read(variable)[0]
        match name:
            case "event" if self.event is not None:
                self.reads_event = True
                return self.event[0]
            case "config":
                return "ctx.config"
            case "urls":
                return "ctx.flow_urls"
            case "secrets":
                flows = [each for each in self.module.flows if self.module.has_url(each)]
                items = (f"{text(each)}: ctx.secret({self.names.flow(each)})" for each in flows)
                return Group("{", tuple(items), "}", "display")
            case "customer" | "instance":
                return f"ctx.{name}"
            case "execution":
                items = ('"id": ctx.execution', '"attempt": ctx.attempt')
                return Group("{", items, "}", "display")
            case _:
                return None

    def term(self, value: Any, path: Path) -> Term | None:
        """A value in plain Python; None where only `expr` says the same."""
        if isinstance(value, str) and value.startswith("=="):
            return literal(value[1:], self)
        if is_expression(value):
            return say(expression_at(value, self.module.source, path).expression.tree, self)
        return literal(value, self)

    # What is asked ----------------------------------------------------------------------------

    def value(self, value: Any, path: Path) -> tuple[Piece, Kind]:
        """A value; None where there is none."""
        if isinstance(value, dict):
            return self._members(cast("dict[Any, Any]", value), path), CLOSED.known()
        if isinstance(value, list):
            items = cast("list[Any]", value)
            shown = [self.value(each, (*path, at)) for at, each in enumerate(items)]
            display = Group("[", tuple(piece for piece, _ in shown), "]", "display")
            kind = NEVER
            for _, each in shown:
                kind = kind.joined(each)
            return display, Kind("list", of=kind) if shown else CLOSED.known()
        found = self.term(value, path)
        if found is not None and self._kept_apart(found.kind) and is_expression(value):
            return self.evaluated(value, path), JSON
        if found is not None and (found.kind.base != "closed" or found.kind.of is SecretStr):
            return found.text, found.kind
        return self.evaluated(value, path), JSON

    def maybe(self, value: Any, path: Path) -> tuple[Piece, Kind]:
        """A value; `UNSET` where there is none, so that it is left out."""
        if not is_expression(value):
            return self.value(value, path)
        found = self.term(value, path)
        if found is None or (found.kind.base == "closed" and found.kind.of is not SecretStr):
            tree = expression_at(value, self.module.source, path).expression
            known = tree.kind() in ("string", "boolean", "array", "object")
            return self.evaluated(value, path, "" if known and tree.always() else "maybe"), MAYBE
        if found.kind.missing or self._kept_apart(found.kind):
            return self.evaluated(value, path, "maybe"), MAYBE
        return found.text, found.kind

    def _members(self, value: dict[Any, Any], path: Path) -> Piece:
        items: list[Piece] = []
        for name, each in value.items():
            items.append(joined(f"{text(name)}: ", self.maybe(each, (*path, name))[0]))
        return Group("{", tuple(items), "}", "display")

    def plain(self, value: Any, path: Path) -> Piece:
        """A value as JSON, where a model would not do."""
        self.deep = True
        piece, _ = self.value(value, path)
        self.deep = False
        return piece

    def stored(self, value: Any, path: Path) -> Piece:
        """A value that is compared by how it is written: `7` is not `7.0`."""
        self.exact = True
        piece = self.plain(value, path)
        self.exact = False
        return piece

    def _kept_apart(self, kind: Kind) -> bool:
        """Whether a value of this kind is left to `expr` here."""
        inexact = self.exact and kind.base in ("decimal", "list")
        return self.deep and (inexact or _holds_model(kind))

    def given(self, given: Input, value: Any, path: Path) -> tuple[Piece, bool]:
        """What an input is given, and whether that fits as it is."""
        if not is_expression(value) and not has_expression(value):
            piece, _ = self.value(value, path)
            try:
                fit_input(
                    given, value[1:] if isinstance(value, str) and value[:2] == "==" else value
                )
            except ValidationError:
                return piece, False
            return piece, is_like(given.annotation, value)
        piece, kind = self.value(value, path) if given.required else self.maybe(value, path)
        if kind.of is SecretStr:
            return piece, given.annotation is SecretStr
        if takes(given.annotation, kind):
            return piece, True
        self.deep = True
        piece, _ = self.value(value, path) if given.required else self.maybe(value, path)
        self.deep = False
        return piece, False

    def truth(self, value: Any, path: Path) -> tuple[Piece, Term | None]:
        """A condition, and its term where it has one."""
        found = self.term(value, path)
        if found is not None and found.kind.base == "boolean":
            return (f"bool({found.text})" if found.kind.null else found.text), found
        return self._asked(value, path, "truth"), None

    def text(self, value: Any, path: Path) -> Piece:
        """A text, or a number as one."""
        found = self.term(value, path)
        if found is not None and not found.kind.null and not found.kind.missing:
            if found.kind.base == "text":
                return found.text
            if found.kind.base == "integer":
                return f"str({found.text})"
        return self._asked(value, path, "text")

    def items(self, value: Any, path: Path) -> tuple[Piece, Kind]:
        """A list, and what is in it."""
        if isinstance(value, list):
            shown, kind = self.value(value, path)
            return shown, kind.of if kind.base == "list" else JSON
        found = self.term(value, path)
        if found is not None and found.kind.base == "list":
            shown = f"{found.within(COMPARISON)} or []" if found.kind.null else found.text
            return shown, cast(Kind, found.kind.of)
        return self._asked(value, path, "items"), JSON

    def scalar(self, value: Any, path: Path) -> tuple[Piece, Kind]:
        """What cases are told by."""
        found = self.term(value, path)
        if found is not None and found.kind.base in ("text", "integer", "boolean"):
            return found.text, found.kind
        return self._asked(value, path, "scalar"), JSON

    def time(self, value: Any, path: Path) -> Piece:
        """How long something takes."""
        return self._asked(value, path, "duration")

    def _asked(self, value: Any, path: Path, method: str) -> Piece:
        """What `expr` makes of a value that it is asked for."""
        if is_expression(value):
            return self.evaluated(value, path, method)
        if isinstance(value, dict | list):
            inner = self.value(value, path)[0]
            return call_with(f"{self.uses('expr')}.{method}", ['"value"'], [("value", inner)])
        shown = value[1:] if isinstance(value, str) and value.startswith("==") else value
        found = literal(shown, self)
        assert found is not None
        return call_with(f"{self.uses('expr')}.{method}", ['"value"'], [("value", found.text)])

    def span(self, value: timedelta) -> str:
        """A time that is known."""
        micros = value // timedelta(microseconds=1)
        for unit, each in _UNITS.items():
            if micros % each == 0 and (micros or unit == "seconds"):
                return f"{self.uses('timedelta')}({unit}={micros // each})"
        return f"{self.uses('timedelta')}(microseconds={micros})"

    def constant(self, value: Any) -> Piece:
        """A value of Python, as it is written."""
        match value:
            case timedelta():
                return self.span(value)
            case list() | tuple():
                items = cast("list[Any] | tuple[Any, ...]", value)
                opening, closing = ("[", "]") if isinstance(value, list) else ("(", ")")
                shown = tuple(map(self.constant, items))
                if opening == "(" and len(shown) == 1:
                    return joined("(", shown[0], ",)")
                return Group(opening, shown, closing, "display")
            case dict():
                members = cast("Mapping[Any, Any]", value).items()
                pairs = (joined(self.constant(k), ": ", self.constant(v)) for k, v in members)
                return Group("{", tuple(pairs), "}", "display")
            case _:
                found = literal(value, self)
                return repr(value) if found is None else found.text


_UNITS = {
    "days": 86_400_000_000,
    "hours": 3_600_000_000,
    "minutes": 60_000_000,
    "seconds": 1_000_000,
}


def negated(condition: Piece, term: Term | None) -> Piece:
    """The contrary of a condition."""
    shown = condition if term is None or term.level >= NOT else joined("(", condition, ")")
    return joined("not ", shown)


def has_expression(value: Any) -> bool:
    """Whether there is an expression in a value."""
    if isinstance(value, dict):
        return any(map(has_expression, cast("dict[Any, Any]", value).values()))
    if isinstance(value, list):
        return any(map(has_expression, cast("list[Any]", value)))
    return is_expression(value)


def readable(expression: str) -> str:
    """An expression in one line, where that leaves it the same."""
    if "\n" in expression and not re.search(r"[\"'`/]", expression):
        return " ".join(expression.split())
    return expression


def _holds_model(kind: Kind) -> bool:
    if kind.base == "list":
        return kind.of is not None and _holds_model(kind.of)
    return kind.base in ("model", "closed") and kind.of is not SecretStr
