"""Explain the word at a place of a document, and find its definition: for a pointer that rests on
it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

from halflap.lowcode import grammar
from halflap.lowcode.assist.analysis import Analysis, called_in, find
from halflap.lowcode.assist.loose import lines_of, locate
from halflap.lowcode.assist.naming import GIVEN, function_help, probed, schema_of, tail_of
from halflap.lowcode.assist.offers import Hover, TextCursor
from halflap.lowcode.expressions.library import LIBRARY
from halflap.lowcode.kinds import KINDS
from halflap.lowcode.kinds.raw import gives_at
from halflap.lowcode.lint.scope import LintLambda, Names, Schema, fields_of
from halflap.lowcode.lint.shapes import CallShape, InputShape
from halflap.lowcode.lint.words import words
from halflap.lowcode.references import FIELDS, referred_at
from halflap.lowcode.source import Path, Place, mapping_of, value_at

_WORD = re.compile(r"\$?[\w-]+")
CALLED = ("action", "trigger")
MOST_FIELDS = 40
"""The most fields that a help lists."""


@dataclass(frozen=True, slots=True)
class PointedTarget:
    """Where something is given: in this document, or in a file of the project."""

    place: Place
    length: int
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Pointed:
    """The word under the pointer: what it stands in, up to its end, and its columns (from 0)."""

    cursor: TextCursor
    line: int
    start: int
    end: int
    word: str


def pointed(analysis: Analysis, line: int, column: int) -> Pointed | None:
    """The word at a place, line and column from 0."""
    lines = lines_of(analysis.text)
    text = lines[line] if line < len(lines) else ""
    for found in _WORD.finditer(text):
        if found.start() <= column <= found.end():
            end = found.end()
            return Pointed(locate(analysis.text, line, end), line, found.start(), end, found[0])
    return None


# What it means --------------------------------------------------------------------------------


def explain(analysis: Analysis, line: int, column: int) -> Hover | None:
    """Return the meaning of the word at a place, as Markdown."""
    at = pointed(analysis, line, column)
    if at is None:
        return None
    text = _meaning(analysis, at)
    return Hover(text, line, at.start, at.end) if text else None


def _meaning(analysis: Analysis, at: Pointed) -> str:
    cursor = at.cursor
    if _reads(cursor):
        return _of_name(analysis, at)
    if cursor.part == "key" and not cursor.text.rstrip().endswith(":"):
        return _of_key(analysis, cursor.path, cursor.text.strip("\"' "))
    return _of_value(analysis, cursor.path)


def _of_name(analysis: Analysis, at: Pointed) -> str:
    found = tail_of(at.cursor.text[1:])
    if found is None:
        return ""
    path, name = found
    if name.startswith("$") and name[1:] in LIBRARY:
        said, call = function_help(name[1:])
        return f"`{call}`\n\n{said}"
    names = analysis.names_at(at.cursor.path)
    full = (*path, name)
    if name not in names or path:
        return _within(at.cursor.text[1:], full, names)
    schema = schema_of(full, names)
    return _typed(name, schema, GIVEN.get(name, ""))


def _within(text: str, full: tuple[str, ...], names: Names) -> str:
    """A field of what the expression gives before it, or a name of its own."""
    name = full[-1]
    probe = probed(text, names)
    before = text[: len(text) - len(name)].rstrip()
    if probe is not None and name.startswith("$"):
        if name[1:] not in probe.bound:
            return ""
        bound = probe.bound[name[1:]]
        return _typed(name, None if isinstance(bound, LintLambda) else bound)
    if not before.endswith("."):
        return ""
    inside = None if probe is None else probe.inside
    schema = fields_of(inside or {})[0].get(name) if inside else schema_of(full, names)
    known = len(full) > 1 and full[0] in names
    return _typed(".".join(full) if known else name, schema, _description(schema))


def _description(schema: Schema | None) -> str:
    return "" if schema is None else grammar.described(schema)


def _typed(name: str, schema: Schema | None, said: str = "") -> str:
    kind = words(schema)
    parts = [f"`{name}`: {kind}" if kind else f"`{name}`", said]
    fields = fields_of(schema or {})[0]
    listed = [f"- `{each}`: {words(one) or 'anything'}" for each, one in fields.items()]
    parts.append("\n".join(listed[:MOST_FIELDS]))
    return "\n\n".join(part for part in parts if part)


def _of_key(analysis: Analysis, path: Path, name: str) -> str:
    holder = value_at(analysis.source.data, path[:-1])
    if path and path[-1] == "with" and isinstance(holder, dict):
        called = called_in(analysis, cast("dict[Any, Any]", holder))
        for each in (called.inputs if called else None) or ():
            if each.name == name:
                schema = each.schema()
                needed = "" if each.required else " (may be left out)"
                return _typed(name, schema, _description(schema)) + needed
        return ""
    known = grammar.members(grammar.expected(path, analysis.source.data))
    if name not in known:
        return _of_value(analysis, (*path, name), named=True)
    said = grammar.described(known[name])
    if name in KINDS and grammar.is_step(grammar.expected(path, analysis.source.data)):
        said = "\n\n".join(part for part in ((KINDS[name].__doc__ or "").strip(), said) if part)
    return f"`{name}`\n\n{said}" if said else ""


def _of_value(analysis: Analysis, path: Path, *, named: bool = False) -> str:
    name = path[-1] if path else ""
    value = value_at(analysis.source.data, path)
    referred = referred_at(analysis.source.data, path) if isinstance(value, str) else None
    if referred in CALLED:
        called = find(analysis.shapes, referred, value)
        return "" if called is None else call_help(value, called)
    if referred == "flow":
        return _of_flow(analysis, value)
    if named and path[:1] == ("flows",) and len(path) == 2:
        return _of_flow(analysis, str(name))
    if name == "id" and isinstance(value, str) and isinstance(path[-2], int):
        known = analysis.names_at((*path[:-2], path[-2] + 1)).get(value)
        return "" if known is None else _typed(value, known.schema, "The step's result.")
    return ""


def _of_flow(analysis: Analysis, name: str) -> str:
    flow = value_at(analysis.source.data, ("flows", name))
    if not isinstance(flow, dict):
        return ""
    members = cast("dict[str, Any]", flow)
    said = [f"Flow `{name}`", members.get("title"), members.get("description")]
    trigger = members.get("trigger")
    return "\n\n".join([str(each) for each in said if each] + [f"Trigger: `{trigger}`"])


def call_help(name: str, called: CallShape) -> str:
    """An action or a trigger: what it does, takes and gives."""
    parts = [f"`{name}`", called.description]
    listed = [f"- {input_help(each)}" for each in called.inputs or ()]
    if listed:
        parts.append("Inputs:\n\n" + "\n".join(listed))
    given = words(called.output)
    if given:
        parts.append(f"{'Events' if called.trigger else 'Result'}: {given}")
    return "\n\n".join(part for part in parts if part)


def input_help(input: InputShape) -> str:
    """An input, with what it takes."""
    after = "" if input.required else ", may be left out"
    return f"`{input.name}`: {words(input.schema()) or 'anything'}{after}"


# Where it is given ----------------------------------------------------------------------------


def definition(analysis: Analysis, line: int, column: int) -> PointedTarget | None:
    """Where what the word at a place names is given."""
    at = pointed(analysis, line, column)
    if at is None:
        return None
    called = value_at(analysis.source.data, at.cursor.path)
    kind = referred_at(analysis.source.data, at.cursor.path)
    if not _reads(at.cursor) and kind in CALLED and isinstance(called, str):
        return _in_file(analysis, kind, called)
    path = given_at(analysis, line, column)
    if path is None:
        return None
    keyed = gives_at(analysis.source.data, path) is None
    place = analysis.source.key(path) if keyed else analysis.source.place(path)
    shown = path[-1] if keyed else value_at(analysis.source.data, path)
    return PointedTarget(place, len(str(shown)))


def given_at(analysis: Analysis, line: int, column: int) -> Path | None:
    """The path at which the document gives what the word at a place names; its own, where it does."""
    at = pointed(analysis, line, column)
    if at is None:
        return None
    cursor = at.cursor
    if _reads(cursor):
        return _given(analysis, at)
    if cursor.part == "key":
        path = (*cursor.path, cursor.text.strip("\"'").removesuffix(":"))
        return path if value_at(analysis.source.data, path) is not None else None
    if gives_at(analysis.source.data, cursor.path) is not None:
        return cursor.path
    referred = referred_at(analysis.source.data, cursor.path)
    return _named(analysis, referred, value_at(analysis.source.data, cursor.path))


def _reads(cursor: TextCursor) -> bool:
    """Return whether a place is in an expression."""
    return cursor.text.startswith("=") and (cursor.part == "value" or cursor.block)


def _given(analysis: Analysis, at: Pointed) -> Path | None:
    found = tail_of(at.cursor.text[1:])
    if found is None:
        return None
    path, name = found
    if path in (("urls",), ("secrets",)):
        return ("flows", name)
    if path == ("config",):
        return _field(analysis, name)
    known = analysis.names_at(at.cursor.path).get(name) if not path else None
    return None if known is None else known.path


def _named(analysis: Analysis, referred: str | None, value: Any) -> Path | None:
    if not isinstance(value, str):
        return None
    data = analysis.source.data
    if referred == "flow":
        return next(
            (p for p in (("flows", value), ("preprocess", value)) if value_at(data, p)), None
        )
    if referred == "pairs":
        return ("pairs", value) if value_at(data, ("pairs", value)) else None
    if referred in FIELDS:
        return _field(analysis, value)
    return None


def _field(analysis: Analysis, name: str) -> Path | None:
    pages = mapping_of(value_at(analysis.source.data, ("config",)))
    return next(
        (("config", page, name) for page, e in pages.items() if name in mapping_of(e)), None
    )


def _in_file(analysis: Analysis, kind: str, name: str) -> PointedTarget | None:
    called = find(analysis.shapes, kind, name)
    if called is None or called.line is None:
        return None
    return PointedTarget(Place(called.line, 1), len(name.partition(".")[2]), called.file)
