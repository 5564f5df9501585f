"""Find texts that read like expressions: a forgotten `=`, or the braces of another tool.

Such a text is sent as it stands, which nothing notices when the flow runs: `key: event.id` is one
key for all events, and any text in `if` is true.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from halflap.errors import ExpressionError
from halflap.lowcode.expressions import Expression
from halflap.lowcode.expressions.library import LIBRARY
from halflap.lowcode.lint import habits
from halflap.lowcode.lint.rules import (
    LITERAL_CONDITION,
    MOST_TRANSLATED,
    READS_LIKE_EXPRESSION,
    Findings,
)
from halflap.lowcode.lint.scope import Names
from halflap.lowcode.source import Path, value_at

CONDITIONS = frozenset(("if", "where", "filter", "in", "switch", "when"))
"""Fields of steps and flows in which a text is never meant: it is true, or one item."""
_DOTTED = r"[A-Za-z_]\w*(?:\.\w+)+"
_INNER = r"\s*(?P<{}>[^{{}}%]{{1,200}}?)\s*"
MARKS = re.compile(
    "|".join(
        (
            rf"\$?\{{\{{\{{?{_INNER.format('braces')}\}}?\}}\}}",
            rf"<%={_INNER.format('angles')}%>",
            rf"\{{%{_INNER.format('percents')}%\}}",
            rf"[$#]\{{{_INNER.format('shell')}\}}",
            rf"\{{(?P<single>{_DOTTED})\}}|%(?P<percent>{_DOTTED})%",
            r"(?<![=!<>:~])=(?P<equals>[A-Za-z_]\w*(?:\.\w+|\[[^\]\s]*\])+)",
        )
    )
)
"""Marks that other tools replace by a value, and an expression that stands in a text."""
DOUBTFUL = frozenset(("shell", "single", "percent", "equals"))
"""Marks that may be meant as a text; so only where they name what is in scope."""
PATH = re.compile(r"\s*(?P<root>[A-Za-z_]\w*)\s*(?:$|[.\[=!<>&+*?-])")
JSON_PATH = re.compile(r"\s*\$(?P<path>(?:\.[A-Za-z_]\w*)+)\s*")
FUNCTION = re.compile(r"\s*\$(?P<name>\w+)\(")
_SUFFIX = r"(?:ya?ml|json|csv|txt|xml|html?|com|io|org|net|example|local)"
SUFFIXES = re.compile(rf"[A-Za-z_]\w*\.{_SUFFIX}")


def check_literal(value: Any, path: Path, names: Names, findings: Findings) -> None:
    """Find what is wrong with a value of a template that is no expression."""
    if is_condition(path, findings.source.data):
        _condition(value, path, names, findings)
    elif isinstance(value, str) and not value.startswith("=="):
        _text(value, path, names, findings)


def is_condition(path: Path, data: Any) -> bool:
    """Return whether a place of the document decides something, so that a text there is no value."""
    *above, name = path
    if not above or not (isinstance(above[-1], int) or (name == "filter" and len(path) == 3)):
        return False
    return name in CONDITIONS or (name == "key" and "for" in value_at(data, tuple(above)))


def _condition(value: Any, path: Path, names: Names, findings: Findings) -> None:
    name, meant = str(path[-1]), None
    if isinstance(value, str):
        message = f"{name} holds the text {shown(value)}, which is never computed; "
        message += "begin an expression with ="
        if not value.strip():
            message = f"{name} is empty; write what has to hold, as in =event.total > 100"
        meant = _meant(value, names) if len(findings.found) < MOST_TRANSLATED else None
        if meant is None and value.isidentifier():
            meant = f"{_holder(path, names)}.{value}"
        if meant is not None and meant != value.strip():
            message += f": ={meant}"
        mend = findings.expression(path, (meant or value).strip() or None)
        findings.add(LITERAL_CONDITION, path, message, mend=mend)
    elif name == "in" and type(value) is int:
        message = f"a loop takes a list; to count, write =[1..{value}]"
        mend = findings.expression(path, f"[1..{value}]")
        findings.add(LITERAL_CONDITION, path, message, mend=mend)
    elif name == "in" and isinstance(value, dict):
        findings.add(
            LITERAL_CONDITION, path, "a loop takes a list; write `in: [a, b]`, or an expression"
        )
    elif isinstance(value, bool) and name not in ("in", "key"):
        message = f"{name} is always {str(value).lower()}; write a condition, which begins with =, "
        message += "or leave it out"
        findings.add(LITERAL_CONDITION, path, message)


def _holder(path: Path, names: Names) -> str:
    """Return the name of what a field is meant of: of a loop's item, or of the event."""
    loop = (*path[:-1], "for")
    return next((name for name, known in names.items() if known.path == loop), "event")


def _text(text: str, path: Path, names: Names, findings: Findings) -> None:
    if len(findings.found) >= MOST_TRANSLATED and reads_like(text, names) is None:
        return
    found = _marked(text, names)
    if found is not None:
        parts, first = found
        why = "braces mean nothing here"
        if first.lastgroup == "equals":
            why = "= begins an expression only at the text's beginning"
        what = shown(text if first.lastgroup == "equals" else first[0])
        message, meant = _composed(f"{what} is sent as it stands: {why}", parts, path, names)
    elif (meant := reads_like(text, names)) is not None:
        message = f"{shown(text)} is a text, sent as it stands; for the value, write ={meant}"
    else:
        return
    mend = findings.expression(path, meant and meant.strip())
    findings.add(READS_LIKE_EXPRESSION, path, message, mend=mend)


def _composed(
    what: str, parts: list[str], path: Path, names: Collection[str]
) -> tuple[str, str | None]:
    """Return what is wrong with a text of parts, texts and expressions in turn, and what is meant."""
    meant = _parsed(habits.joined(parts))
    if meant is not None and habits.find(meant, names) is not None:
        meant = None  # something of another tool is left in it
    if any(each.startswith("secrets.") for each in parts[1::2]):
        return f"{what}; a secret belongs into a connection, which the customer fills in", None
    if path[-1:] == ("path",) and "with" in path and parts[0].startswith("/"):
        place = "a path has places: /customers/{id}, with `values: {id: =event.id}`"
        return f"{what}; {place}", None
    if meant is None:
        instead = "write an expression, which begins with =, in the place of the whole text"
        return f"{what}; {instead}", None
    return f"{what}; write ={meant}", meant


def _marked(text: str, names: Collection[str]) -> tuple[list[str], re.Match[str]] | None:
    """Return a text's parts, texts and expressions in turn, and the first mark; None without one."""
    parts, at, first = list[str](), 0, None
    for each in MARKS.finditer(text):
        kind = str(each.lastgroup)
        inner = each[kind].strip()
        root = re.match(r"\w+", inner)
        if kind in DOUBTFUL and (
            root is None or root[0] not in names or SUFFIXES.fullmatch(inner) is not None
        ):
            continue
        kept = (
            kind == "equals" and each.start() and text[each.start() - 1].isalnum()
        )  # `?id=event.id`
        parts += [text[at : each.start() + bool(kept)], habits.meant(inner, names) or inner]
        at, first = each.end(), first or each
    return None if first is None else ([*parts, text[at:]], first)


def _meant(text: str, names: Collection[str]) -> str | None:
    if (found := _marked(text, names)) is not None:
        return _parsed(habits.joined(found[0]))
    return habits.meant(text.strip(), names)


def _parsed(text: str) -> str | None:
    try:
        Expression.parse(text)
    except ExpressionError:
        return None
    return text


def reads_like(text: str, names: Collection[str]) -> str | None:
    """Return the expression that a whole text reads like, of a name in scope or a function.

    A bare name is a word, unless a step gives it; the name of a file or a host is none.
    """
    if (found := JSON_PATH.fullmatch(text)) is not None and "event" in names:
        return f"event{found['path']}"
    if (found := FUNCTION.match(text)) is not None and found["name"] in LIBRARY:
        return text.strip() if habits.reads(text, names) else None
    found = PATH.match(text)
    if found is None or found["root"] not in names or SUFFIXES.fullmatch(text.strip()):
        return None
    if text.strip() == found["root"]:
        return None
    try:
        tree = Expression.parse(text)
    except ExpressionError:
        return None
    return text.strip() if any(each.path[0] == found["root"] for each in tree.names()) else None


def say_bare(name: str, path: Path, findings: Findings, code: str = READS_LIKE_EXPRESSION) -> None:
    """Report a text that is the name of a value, and meant for it."""
    message = f"{shown(name)} is a text, sent as it stands; for the value, write ={name}"
    findings.add(code, path, message, mend=findings.expression(path, name))


def shown(text: str) -> str:
    """Return a text in quotes, cut where it is long."""
    return f"“{text if len(text) <= 60 else text[:57] + '…'}”"
