"""The expressions of a document, read for lint: each with its place, or why it cannot be read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from halflap.errors import ExpressionError
from halflap.lowcode.expressions import Expression
from halflap.lowcode.fixes import quoted_expression
from halflap.lowcode.lint.rules import CUT, SHAPE, UNPARSED, Findings
from halflap.lowcode.lint.scope import Schema
from halflap.lowcode.source import Path, SourceText, held, mapping_of
from halflap.lowcode.template import is_expression, parsed

_REST = re.compile(r"\s+#|\s*[,\]}]")
_COLON = re.compile(r"[\"']*\s*:")
_QUOTE = "quote the whole expression"


@dataclass(frozen=True, slots=True)
class Read:
    """An expression that was read, where it stands, and what it gives as far as that is known."""

    expression: Expression
    path: Path
    given: Schema | None = None


Reads = Mapping[Path, Read]
"""The expressions of a template, by their places."""


def leaves(
    value: Any, path: Path = (), findings: Findings | None = None
) -> Iterator[tuple[Any, Path]]:
    """Yield what a template holds at any depth: values that are no list and no mapping."""
    for each, place in held(value, path):
        if isinstance(each, dict):
            for name in cast("dict[Any, Any]", each):
                if findings is not None and not isinstance(name, str):
                    said = f'a key is a text here; quote it: "{name}"'
                    findings.add(SHAPE, (*place, name), said, key=True)
        elif not isinstance(each, list):
            yield each, place


def read_one(text: str, path: Path, names: Collection[str], findings: Findings) -> Read | None:
    """Return the expression of a text that begins with `=`; what cannot be read is a finding."""
    try:
        return Read(parsed(text, findings.source), path)
    except ExpressionError as error:
        _unread(error, text, path, names, findings)
        return None


def read_all(value: Any, path: Path, findings: Findings) -> Iterator[Read]:
    """Yield the expressions of a template; what cannot be read is a finding."""
    for each, place in leaves(value, path, findings):
        if is_expression(each) and (read := read_one(each, place, (), findings)) is not None:
            yield read


def _unread(
    error: ExpressionError,
    text: str,
    path: Path,
    names: Collection[str],
    findings: Findings,
) -> None:
    source = findings.source
    rest = _after(source, path, text)
    if rest.startswith((" ", "\t")):
        said = f"YAML takes what follows ` #` for a comment, so the expression is cut; {_QUOTE}"
        findings.add(CUT, path, said, mend=quoted_expression)
        return
    if rest and error.code in _ENDED:
        said = f"YAML ends the expression at `{rest.strip()[0]}`; {_QUOTE}"
        findings.add(CUT, path, said, mend=quoted_expression)
        return
    habit = findings.habit(text[1:].strip("\n"), names)
    if habit is None:
        findings.add(UNPARSED, path, f"{error.said} ({error.code})", at=error.offset)
        return
    mend = findings.expression(path, habit.meant, habit.choice)
    findings.add(UNPARSED, path, habit.message, at=habit.at, mend=mend)


_ENDED = frozenset(("S0101", "S0105", "S0203", "S0207", "S0302"))
"""Faults of an expression that goes on, but for YAML."""


def _after(source: SourceText, path: Path, text: str) -> str:
    """Return the text after a plain text on its line, where YAML has cut it there."""
    if path not in source.plain or path not in source.values:
        return ""
    place = source.values[path]
    lines = source.lines
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    if not line.startswith(text, place.column - 1):
        return ""
    found = _REST.match(line, place.column - 1 + len(text))
    return "" if found is None else found[0]


def splits(source: SourceText) -> Iterator[tuple[Path, Path]]:
    """Expressions, and the keys that YAML has made of their rest: `{a: =$round(x, 2)}` has a `2)`."""
    lines = source.lines
    for value, path in held(source.data):
        before: Path | None = None
        for name, each in mapping_of(value).items():
            here = (*path, name)
            if each is None and before is not None and (key := source.keys.get(here)) is not None:
                line = lines[key.line - 1] if key.line <= len(lines) else ""
                if not _COLON.match(line, key.column - 1 + len(str(name))):
                    yield before, here
                    continue
            before = here if is_expression(each) and here in source.plain else None
