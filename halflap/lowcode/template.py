"""Templates: values of a document in which a text that begins with `=` is an expression.

`==text` is the text `=text`; anything else is itself. An expression that gives nothing leaves its
member out of an object; in a list, it is null.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from halflap.errors import DefinitionError, ExpressionError
from halflap.lowcode.expressions import Expression, Scope
from halflap.lowcode.source import Path, Place, SourceText, value_at
from halflap.sdk.context import Context
from halflap.sdk.schema import UNSET

Names = dict[str, Any]


class ExpressionHost:
    """The host of an expression: the time of its execution's last record, and chance.

    Both are the same on every attempt. Without a context, there is neither.
    """

    __slots__ = ("_asked", "_ctx")

    def __init__(self, ctx: Context[Any] | None = None) -> None:
        self._ctx = ctx
        self._asked = 0

    def scope(self, names: Names) -> Scope:
        """Return the scope of one evaluation."""
        ctx = self._ctx
        if ctx is None:
            return Scope(names)
        self._asked += 1
        return Scope(names, ctx.now(), f"{ctx.execution}/{ctx.flow}/{self._asked}")


Fill = Callable[[Names, ExpressionHost], Any]
"""Gives a template's value, `UNSET` where there is none."""


def is_expression(value: Any) -> bool:
    """Return whether a value of a document is an expression."""
    return isinstance(value, str) and value.startswith("=") and not value.startswith("==")


def unquoted(value: Any) -> Any:
    """Return a constant without the first `=` of the two with which a document writes a text's own."""
    return value[1:] if isinstance(value, str) and value.startswith("==") else value


@dataclass(frozen=True, slots=True)
class Placed:
    """An expression at its place in a document; its errors name it."""

    expression: Expression
    source: SourceText
    path: Path

    def __call__(self, names: Names, host: ExpressionHost) -> Any:
        try:
            return self.expression.evaluate(host.scope(names))
        except ExpressionError as error:
            raise self.located(error) from error

    def located(self, error: ExpressionError) -> ExpressionError:
        """The same error, with `file:line:column`."""
        return error.at(where_in(self.source, self.path, error.offset), self.path)


def where_in(source: SourceText, path: Path, offset: int) -> str:
    """`file:line:column` of a character of an expression."""
    place = place_in(source, path, offset)
    return f"{source.file}:{place.line}:{place.column}"


def place_in(source: SourceText, path: Path, offset: int) -> Place:
    """The place of a character of an expression; exact where it stands on one line."""
    place = source.place(path)
    if path in source.blocks:
        expression = source.lines[place.line : place.line + 1]
        text = str(value_at(source.data, path))[: offset + 1]
        line = place.line + 1 + text.count("\n")
        indent = len(expression[0]) - len(expression[0].lstrip()) if expression else 0
        return Place(line, indent + len(text) - text.rfind("\n"))
    quoted = path not in source.plain
    return Place(place.line, place.column + 1 + offset + quoted)


def parsed(text: str, source: SourceText) -> Expression:
    """The expression of a text that begins with `=`; the same text of a document is read once."""
    found: Expression | None = source.parsed.get(text)
    if found is None:
        found = source.parsed[text] = Expression.parse(text[1:].strip("\n"))
    return found


def expression_at(text: str, source: SourceText, path: Path) -> Placed:
    """Parse one expression; what is wrong with it is an `ExpressionError` with its place."""
    try:
        return Placed(parsed(text, source).named(), source, path)
    except ExpressionError as error:
        raise error.at(where_in(source, path, error.offset)) from error


def template(value: Any, source: SourceText, path: Path, used: set[str]) -> Fill:
    """Compile a template; the names that its expressions read are added to `used`."""
    match value:
        case str() if is_expression(value):
            placed = expression_at(value, source, path)
            used.update(each.path[0] for each in placed.expression.names())
            return placed
        case dict():
            return _members(cast("dict[Any, Any]", value), source, path, used)
        case list():
            return _items(cast("list[Any]", value), source, path, used)
        case _:
            return Constant(unquoted(value))


@dataclass(frozen=True, slots=True)
class Constant:
    """A template that holds no expression. Gives a copy: it serves all executions of a version."""

    value: Any

    def __call__(self, names: Names, host: ExpressionHost) -> Any:
        return _copied(self.value)


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {name: _copied(each) for name, each in cast("dict[str, Any]", value).items()}
    return [_copied(each) for each in cast("list[Any]", value)] if type(value) is list else value


def _members(value: dict[Any, Any], source: SourceText, path: Path, used: set[str]) -> Fill:
    members: list[tuple[str, Fill]] = []
    for name, each in value.items():
        if not isinstance(name, str):
            raise DefinitionError(
                f'a key is a text here; quote it: "{name}"', where=source.where((*path, name))
            )
        members.append((name, template(each, source, (*path, name), used)))
    if all(isinstance(fill, Constant) for _, fill in members):
        return Constant({name: fill({}, NO_HOST) for name, fill in members})

    def fill(names: Names, host: ExpressionHost) -> dict[str, Any]:
        return {name: found for name, each in members if (found := each(names, host)) is not UNSET}

    return fill


def _items(value: list[Any], source: SourceText, path: Path, used: set[str]) -> Fill:
    items = [template(each, source, (*path, at), used) for at, each in enumerate(value)]
    if all(isinstance(fill, Constant) for fill in items):
        return Constant([fill({}, NO_HOST) for fill in items])

    def fill(names: Names, host: ExpressionHost) -> list[Any]:
        found = [each(names, host) for each in items]
        return [None if each is UNSET else each for each in found]

    return fill


NO_HOST = ExpressionHost()
