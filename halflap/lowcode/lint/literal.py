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
from halflap.lowcode.lint.scope import Names, missing
from halflap.lowcode.source import Path, value_at

CONDITIONS = frozenset(("if", "where", "filter", "in", "switch", "when"))
"""Fields of steps and flows in which a text is never meant: it is true, or one item."""
_INNER = r"(?P<inner{}>[^{{}}%]{{1,200}}?)"
BRACES = re.compile(
    "|".join(
        form.replace("INNER", _INNER.format(at))
        for at, form in enumerate(
            (
                r"\$?\{\{\{?\s*INNER\s*\}?\}\}",
                r"<%=\s*INNER\s*%>",
                r"\{%\s*INNER\s*%\}",
                r"[$#]\{INNER\}",
            )
        )
    )
)
"""Marks that other tools replace by a value."""
LOOSE = re.compile(r"\{(?P<inner0>[A-Za-z_]\w*(?:\.\w+)+)\}|%(?P<inner1>[A-Za-z_]\w*(?:\.\w+)+)%")
"""The same, where it may be meant as a text; so only where it names what is in scope."""
EMBEDDED = re.compile(r"(?<![=!<>:~])=(?P<inner>(?P<root>[A-Za-z_]\w*)(?:\.\w+|\[[^\]\s]*\])+)")
NAMED = re.compile(
    r"(?<![\w.@$\\=-])(?P<inner>(?P<root>[A-Za-z_]\w*)(?:\.[A-Za-z_]\w*)+)(?![\w(@-]|\.\w)"
)
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
        mend = findings.expression(path, (meant or value).strip())
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
    if (parts := _braces(text, names)) is not None:
        found = BRACES.search(text) or LOOSE.search(text)
        what = (
            f"{shown(found[0] if found else text)} is sent as it stands: braces mean nothing here"
        )
        message, meant = _composed(what, text, parts, path, names)
    elif (parts := _embedded(text, names)) is not None:
        what = f"{shown(text)} is sent as it stands: = begins an expression only at the text's beginning"
        message, meant = _composed(what, text, parts, path, names)
    elif (meant := reads_like(text, names)) is not None:
        message = f"{shown(text)} is a text, sent as it stands; for the value, write ={meant}"
    elif (parts := _named(text, names)) is not None:
        what = f"{shown(text)} is sent as it stands: {parts[1]} is no value there"
        message, meant = _composed(what, text, parts, path, names)
    else:
        return
    mend = findings.expression(path, meant and meant.strip())
    findings.add(READS_LIKE_EXPRESSION, path, message, mend=mend)


def _composed(
    what: str, text: str, parts: list[str], path: Path, names: Collection[str]
) -> tuple[str, str | None]:
    """Return what is wrong with a text of parts, texts and expressions in turn, and what is meant."""
    meant = _parsed(habits.joined(parts))
    if meant is not None and habits.find(meant, names) is not None:
        meant = None  # something of another tool is left in it
    if any(each.startswith("secrets.") for each in parts[1::2]):
        return f"{what}; a secret belongs into a connection, which the customer fills in", None
    if path[-1:] == ("path",) and "with" in path and text.startswith("/") and len(parts) > 1:
        return f"{what}; {_placed(parts)}", None
    if meant is None:
        return (
            f"{what}; write an expression, which begins with =, in the place of the whole text",
            None,
        )
    return f"{what}; write ={meant}", meant


def _placed(parts: list[str]) -> str:
    """Return how the path of a request is written, with places for its values."""
    values: dict[str, str] = {}
    for at, each in enumerate(parts[1::2]):
        name = next(iter(re.findall(r"[A-Za-z_]\w*", each)[::-1]), "value")
        values[f"{name}_{at + 1}" if name in values else name] = each
    places = [*(f"{{{name}}}" for name in values), ""]
    shape = "".join(text + place for text, place in zip(parts[::2], places, strict=True))
    given = ", ".join(f"{name}: {_plain(f'={each}')}" for name, each in values.items())
    return f"write {shape}, with `values: {{{given}}}`"


def _plain(text: str) -> str:
    return f"'{text}'" if re.search(r"[\[\]{},]|: ", text) else text


def _embedded(text: str, names: Collection[str]) -> list[str] | None:
    """Return a text's parts, as of one with braces; None where no expression stands in its middle."""
    parts, at = list[str](), 0
    for each in EMBEDDED.finditer(text):
        if each["root"] in names and not SUFFIXES.fullmatch(each["inner"]):
            kept = each.start() and text[each.start() - 1].isalnum()  # `?id=event.id`
            parts += [text[at : each.start() + bool(kept)], each["inner"]]
            at = each.end()
    return [*parts, text[at:]] if parts else None


def _named(text: str, names: Names) -> list[str] | None:
    """Return a text's parts, as of one with braces; None where it names no value in its middle."""
    parts, at = list[str](), 0
    for each in NAMED.finditer(text):
        root, *fields = each["inner"].split(".")
        known, before = names.get(root), text[each.start() - 1 : each.start()]
        if known is None or (before == "/" and not re.match(r"/(?!/)", text)):
            continue
        is_sentence = fields[0][0].isupper() and root != "event"  # a space is forgotten
        if is_sentence or re.fullmatch(_SUFFIX, fields[-1]) or missing(known.schema, fields):
            continue
        parts += [text[at : each.start()], each["inner"]]
        at = each.end()
    return [*parts, text[at:]] if parts else None


def _braces(text: str, names: Collection[str]) -> list[str] | None:
    """Return a text's parts, texts and expressions in turn; None where it has no braces."""
    strict = list(BRACES.finditer(text))
    found = strict or [each for each in LOOSE.finditer(text) if _inner(each).split(".")[0] in names]
    if not found:
        return None
    parts, at = list[str](), 0
    for each in found:
        inner = _inner(each)
        if each[0][0] in "$#" and each[0][1] == "{" and each[0][2] != "{":
            root = re.match(r"\w+", inner)
            if root is None or root[0] not in names:
                return None  # a shell's, of another program
        parts += [text[at : each.start()], habits.meant(inner, names) or inner]
        at = each.end()
    return [*parts, text[at:]]


def _inner(found: re.Match[str]) -> str:
    return next(each for each in found.groups() if each is not None).strip()


def _meant(text: str, names: Collection[str]) -> str | None:
    parts = _braces(text, names)
    if parts is not None:
        return _parsed(habits.joined(parts))
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
