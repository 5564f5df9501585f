"""Values in SOQL: quoted, so that none of them ends its place in a query."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from string import Formatter
from typing import Any, cast

from halflap import DefinitionError

ESCAPES = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\b": "\\b",
    "\f": "\\f",
}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*")


def soql(template: str, *values: Any, **named: Any) -> str:
    """A query with its values quoted: `soql("SELECT Id FROM Account WHERE Name = {}", name)`.

    Text, None, booleans, numbers, dates, date-times with a zone, and lists of these (for `IN`).
    `{:like}` escapes a text for a pattern that you quote: `LIKE '%{:like}%'`. `{:name}` takes the
    API name of an object or a field. A `DefinitionError` says what has no place in a query.
    """
    parts: list[str] = []
    place = 0
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise DefinitionError(
            f"the SOQL template is malformed: {error}; double a literal brace"
        ) from error
    for literal, field, form, conversion in pieces:
        parts.append(literal)
        if field is None:
            continue
        if conversion or not re.fullmatch(r"\w*", field):
            raise DefinitionError(f"a SOQL template holds {{}} or {{name}}, and not {{{field}}}")
        if field == "" or field.isdigit():
            number = int(field) if field else place
            place += field == ""
            if number >= len(values):
                raise DefinitionError(
                    f"the SOQL template has more places than the {len(values)} values"
                )
            value: Any = values[number]
        elif field in named:
            value = named[field]
        else:
            raise DefinitionError(
                f"the SOQL template names {{{field}}}, and no such value was given"
            )
        parts.append(formed(value, form or ""))
    if place < len(values) and place:
        raise DefinitionError(
            f"{len(values)} values were given for {place} places of the SOQL template"
        )
    return "".join(parts)


def formed(value: Any, form: str) -> str:
    """A value as its place in a template wants it."""
    match form:
        case "":
            return literal_of(value)
        case "like":
            return escaped(_text(value)).replace("%", "\\%").replace("_", "\\_")
        case "name":
            name = _text(value)
            if not NAME.fullmatch(name):
                raise DefinitionError(f"{name!r} is no API name of an object or a field")
            return name
        case _:
            raise DefinitionError(
                f"a SOQL template knows {{}}, {{:like}} and {{:name}}, not {{:{form}}}"
            )


def literal_of(value: Any) -> str:
    """A value as a literal of SOQL."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return f"'{escaped(value)}'"
        case Decimal() if value.is_finite():
            return format(value, "f")
        case float() if value == value and abs(value) != float("inf"):
            return format(Decimal(repr(value)), "f")
        case datetime():
            if value.tzinfo is None:
                raise DefinitionError("a date-time in SOQL needs a time zone; give it one")
            return (
                value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.")
                + f"{value.microsecond // 1000:03d}Z"
            )
        case date():
            return value.isoformat()
        case Sequence() | set() | frozenset() if not isinstance(value, bytes | bytearray):
            items = list(cast("Sequence[Any]", value))
            if not items:
                raise DefinitionError(
                    "SOQL has no empty list; leave the query out where there is nothing"
                )
            if any(isinstance(each, list | tuple | set | frozenset) for each in items):
                raise DefinitionError("a list in SOQL holds plain values, and no lists")
            return f"({', '.join(literal_of(each) for each in items)})"
        case _:
            raise DefinitionError(f"SOQL has no literal for {type(value).__name__}")


def escaped(text: str) -> str:
    """A text as it stands between two quotes."""
    return "".join(ESCAPES.get(each, each) for each in text)


def filled(template: str, values: Mapping[str, Any] | None) -> str:
    """The query itself, or a template with named values."""
    return template if values is None else soql(template, **values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise DefinitionError(
            f"a text is needed in this place of the SOQL, not {type(value).__name__}"
        )
    return value
