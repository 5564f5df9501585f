"""The conditions that start automation: a small part of Salesforce's formulas, read and evaluated.

`ISCHANGED(field)`, `ISNEW()`, `TRUE`, `FALSE`, joined by `AND()`, `OR()`, `NOT()`, `&&`, `||`, `!`;
a flow writes a field as `{!$Record.Amount}`, a workflow rule as `Amount`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from halflap_sandbox.salesforce.model import Value

TOKEN = re.compile(
    r"\s*(?:(?P<field>\{!\s*\$Record\.(?P<name>\w+)\s*\}|\$Record\.(?P<bare>\w+))"
    r"|(?P<word>\w+)|(?P<mark>&&|\|\||[(),!]))"
)
Kind = Literal["changed", "new", "constant", "and", "or", "not"]
CONSTANTS = {"TRUE": True, "FALSE": False}
JOINS: dict[str, Kind] = {"AND": "and", "OR": "or", "NOT": "not"}


class WrongFormula(Exception):
    """The formula cannot be read: the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A condition: what it asks, of which field or of which parts."""

    kind: Kind
    field: str = ""
    constant: bool = True
    parts: tuple[Formula, ...] = ()

    def __call__(self, before: Mapping[str, Value] | None, after: Mapping[str, Value]) -> bool:
        """Evaluate it for a saved record; `before` is None where the record is new."""
        match self.kind:
            case "changed":
                return before is not None and before.get(self.field) != after.get(self.field)
            case "new":
                return before is None
            case "constant":
                return self.constant
            case "and":
                return all(part(before, after) for part in self.parts)
            case "or":
                return any(part(before, after) for part in self.parts)
            case "not":
                return not self.parts[0](before, after)

    def changed_fields(self) -> set[str]:
        """Tell which fields it asks about whether they changed."""
        own = {self.field} if self.kind == "changed" else set[str]()
        return own.union(*(part.changed_fields() for part in self.parts))


def parse(text: str) -> Formula:
    """Read a formula: called with a record before and after, it says whether it holds.

    Raises WrongFormula.
    """
    reader = _Reader(list(_tokens(text)))
    formula = reader.any_of()
    if (left := reader.peek()) is not None:
        raise WrongFormula(f"Syntax error. Extra {left}")
    return formula


def _tokens(text: str) -> Iterator[str]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None:
            raise WrongFormula(f"Syntax error at {text[at : at + 20]!r}")
        name = found["name"] or found["bare"]
        yield f"${name}" if name else found[0].strip()
        at = found.end()


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self, wanted: str | None = None) -> str:
        token = self.peek()
        if token is None:
            raise WrongFormula(f"Syntax error. Missing {wanted or 'an expression'}")
        if wanted is not None and token != wanted:
            raise WrongFormula(f"Syntax error. Missing {wanted!r} before {token!r}")
        self._at += 1
        return token

    def any_of(self) -> Formula:
        parts = [self._all_of()]
        while self.peek() == "||":
            self._take()
            parts.append(self._all_of())
        return parts[0] if len(parts) == 1 else Formula("or", parts=tuple(parts))

    def _all_of(self) -> Formula:
        parts = [self._one()]
        while self.peek() == "&&":
            self._take()
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else Formula("and", parts=tuple(parts))

    def _one(self) -> Formula:
        self._depth += 1
        if self._depth > 50:
            raise WrongFormula("The formula is nested too deeply")
        try:
            return self._read(self._take())
        finally:
            self._depth -= 1

    def _read(self, part: str) -> Formula:
        if part == "!":
            return Formula("not", parts=(self._one(),))
        if part == "(":
            inner = self.any_of()
            self._take(")")
            return inner
        word = part.upper()
        if word in CONSTANTS:
            return Formula("constant", constant=CONSTANTS[word])
        if word not in {"ISCHANGED", "ISNEW", *JOINS}:
            known = "ISCHANGED, ISNEW, TRUE, FALSE, AND, OR and NOT"
            raise WrongFormula(f"Unknown function or value {part}; this sandbox knows {known}")
        self._take("(")
        if word == "ISNEW":
            self._take(")")
            return Formula("new")
        if word == "ISCHANGED":
            field = self._take().removeprefix("$")
            if not field.isidentifier():
                raise WrongFormula(f"Syntax error. ISCHANGED takes a field, not {field!r}")
            self._take(")")
            return Formula("changed", field=field)
        parts = [self.any_of()]
        while self.peek() == ",":
            self._take()
            parts.append(self.any_of())
        self._take(")")
        if word == "NOT" and len(parts) > 1:
            raise WrongFormula("Incorrect number of parameters for function 'NOT()'. Expected 1")
        return Formula(JOINS[word], parts=tuple(parts))
