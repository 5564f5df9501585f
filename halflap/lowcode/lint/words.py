"""Types in the words of a document: `a text`, `a list of objects with id and name`."""

from __future__ import annotations

from typing import Any

from halflap.lowcode.lint.scope import Schema, carried, choices_of, forms_of

MOST_NAMED = 6
"""The most fields or choices that are named."""

_WORDS = {
    "string": ("a text", "texts"),
    "number": ("a number", "numbers"),
    "integer": ("a whole number", "whole numbers"),
    "boolean": ("true or false", "true or false"),
    "null": ("null", "null"),
    "array": ("a list", "lists"),
    "object": ("an object", "objects"),
    "function": ("a function", "functions"),
}
_FORMATS = {
    "date": "a date",
    "date-time": "a time",
    "uri": "a URL",
    "email": "an e-mail address",
    "password": "a secret",
}


def words(schema: Schema | None, *, many: bool = False, deep: int = 1) -> str:
    """Return a value's type in words; nothing where it is not known."""
    if schema is None:
        return ""
    said: list[str] = []
    for form in forms_of(schema, nulls=True):
        told = _said(form, many, deep)
        if not told:
            return ""
        if told not in said:
            said.append(told)
    if "null" in said and len(said) > 1:
        said.remove("null")
        said.append("null")
    if "a number" in said and "a whole number" in said:
        said.remove("a whole number")
    return " or ".join(said)


def _said(form: Schema, many: bool, deep: int) -> str:
    values = choices_of(form)
    if values:
        shown = ", ".join(_value(each) for each in values[:MOST_NAMED])
        more = ", …" if len(values) > MOST_NAMED else ""
        return f"{shown}{more}" if len(values) == 1 else f"one of {shown}{more}"
    kind = form.get("type")
    if kind not in _WORDS:
        return ""
    if form.get("format") in _FORMATS and not many:
        return _FORMATS[form["format"]]
    said = _WORDS[kind][many]
    if kind == "array" and deep >= 0:
        items: Schema | None = form.get("items")
        of = words(carried(items, form), many=True, deep=deep) if items else ""
        return f"{said} of {of}" if of else said
    if kind == "object" and deep > 0 and form.get("properties"):
        names = list(form["properties"])
        shown = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
        return f"{said} with {shown}"
    return said


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return f'"{value}"' if isinstance(value, str) else str(value)
