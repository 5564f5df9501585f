"""Edits that mend a finding, where it is a matter of one word or of quotes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice

from halflap.errors import ExpressionError
from halflap.lowcode.expressions import Expression
from halflap.lowcode.foreign import SYNONYMS
from halflap.lowcode.scalar import scalar
from halflap.lowcode.source import Path, SourceText, is_plain, value_at
from halflap.sdk.lint import Fix

_TOKEN = re.compile(r"[^\s,\[\]{}]+")
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*["]""")
_OPENING, _CLOSING = "([{", ")]}"


Mend = Callable[[Sequence[str], int, int], Fix | None]
"""Finds what would mend a finding, by the text's lines and its place."""


MOST_COMPARED = 200
"""The number of known names that a wrong one is compared with."""

MOST_CHARACTERS = 10_000
"""The length of a line up to which a mend is looked for."""


def closest(wrong: str, known: Iterable[str]) -> str | None:
    """Return the known name that a wrong one means: in other letters, another word, or misspelt."""
    return _closest(wrong, tuple(islice(known, MOST_COMPARED)))


@lru_cache(1_024)
def _closest(wrong: str, known: tuple[str, ...]) -> str | None:
    plain = _folded(wrong)
    for each in known:
        if _folded(each) == plain:
            return each
    for meant in SYNONYMS.get(wrong.lower(), ()):
        if meant in known:
            return meant
    return next(iter(get_close_matches(wrong, known, 1)), None)


def _folded(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def instead_of(wrong: str, known: Iterable[str]) -> Mend:
    """Write the closest known name for one that there is not, at its place or behind it."""
    return replaced(wrong, closest(wrong, known))


def replaced(wrong: str, meant: str | None, at_line: int = 0, at_column: int = 0) -> Mend:
    """Write a known name for a wrong one, at the finding's place (or another) or behind it."""

    def mend(lines: Sequence[str], line: int, column: int) -> Fix | None:
        line, column = at_line or line, at_column or column
        text = _line(lines, line)
        at = text.find(wrong, column - 1)
        if meant is None or at < 0:
            return None
        return Fix(f"write {meant}", line, at + 1, len(wrong), meant)

    return mend


def rewritten(
    source: SourceText, path: Path, new: str, *, raw: bool = False, choice: str = ""
) -> Mend:
    """Write another text for a scalar of one line, quoted as it is, or as it has to be.

    raw: it is no text but YAML, and stands as it is; so does a number. choice: what the title says of
    a mend that is one of several.
    """

    def mend(lines: Sequence[str], line: int, column: int) -> Fix | None:
        place = source.place(path)
        text, at = _line(lines, place.line), place.column - 1
        quoted = _QUOTED.match(text, at)
        written = quoted[0] if quoted else str(value_at(source.data, path))
        if not text.startswith(written, at) or path in source.blocks or "\n" in new:
            return None
        style = written[0] if quoted else None
        inside = _depth(text[:at]) > 0
        made = new if raw or not is_plain(new) else scalar(new, flow=inside, style=style)
        title = f"write {new} ({choice})" if choice else f"write {new}"
        return Fix(title, place.line, place.column, len(written), made, choice=choice != "")

    return mend


def member(source: SourceText, path: Path, write: Callable[[str], str | None]) -> Mend:
    """Write a member of a mapping anew, key and value, where both stand on one line."""

    def mend(lines: Sequence[str], line: int, column: int) -> Fix | None:
        if path not in source.keys:
            return None
        place = source.keys[path]
        text = _line(lines, place.line)
        start = place.column - 1
        end = (
            _end(text, start) if _depth(text[:start]) > 0 else len(text.partition(" #")[0].rstrip())
        )
        old = text[start:end].rstrip()
        found = re.fullmatch(r"[^:]+:\s+(\S.*)", old)
        new = None if found is None or found[1][0] in "|>&" else write(found[1])
        if new is None or _depth(old) != 0:
            return None
        return Fix(f"write {new}", place.line, place.column, len(old), new)

    return mend


def above(source: SourceText, path: Path, written: str) -> Mend:
    """Write lines above the one that a key begins, indented like it."""

    def mend(lines: Sequence[str], line: int, column: int) -> Fix | None:
        place = source.key(path)
        before = _line(lines, place.line)[: place.column - 1]
        if path not in source.keys or before.strip():
            return None
        text = "".join(f"{each}\n{before}" for each in written.split("\n"))
        title = f"add {written.rpartition(chr(10))[2].strip()}"
        return Fix(title, place.line, place.column, 0, text)

    return mend


def quoted_value(lines: Sequence[str], line: int, column: int) -> Fix | None:
    """Quote a plain value, such as a number that is given for a text."""
    text = _line(lines, line)
    found = _TOKEN.match(text, column - 1)
    if found is None or '"' in found[0] or "\\" in found[0]:
        return None
    return Fix("quote it", line, column, len(found[0]), f'"{found[0]}"')


def quoted_expression(lines: Sequence[str], line: int, column: int) -> Fix | None:
    """Quote an expression that YAML has cut: up to where its line, or the brackets round it, end."""
    text = _line(lines, line)
    inside = _depth(text[: column - 1]) > 0
    end = _end(text, column - 1) if inside else len(text)
    expression = text[column - 1 : end].rstrip()
    if not expression.startswith("="):
        return None
    try:
        Expression.parse(expression[1:])
    except ExpressionError:
        return None
    quoted = scalar(expression, style="'" if '"' in expression or "\\" in expression else '"')
    return Fix("quote the whole expression", line, column, len(expression), quoted)


def _line(lines: Sequence[str], line: int) -> str:
    text = lines[line - 1] if line <= len(lines) else ""
    return text if len(text) <= MOST_CHARACTERS else ""


def unquoted_signs(text: str, start: int = 0, quotes: str = "\"'") -> Iterator[tuple[int, str]]:
    """Yield the characters of a text that stand in no quotes, from a place on, each with its own."""
    quote = ""
    for at in range(start, len(text)):
        char = text[at]
        if quote:
            quote = "" if char == quote else quote
        elif char in quotes:
            quote = char
        else:
            yield at, char


def _depth(text: str) -> int:
    """Return the number of brackets that are open at the end of a text."""
    return sum((char in "[{") - (char in "]}") for _, char in unquoted_signs(text))


def _end(text: str, start: int) -> int:
    """Where an expression within YAML's brackets ends: at a comma or a bracket that is not its own."""
    depth = 0
    for at, char in unquoted_signs(text, start):
        if depth == 0 and (char == "," or char in _CLOSING):
            return at
        depth += (char in _OPENING) - (char in _CLOSING)
    return len(text)
