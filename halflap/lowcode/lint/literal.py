"""Texts that read like expressions: a forgotten `=`, or the braces of another tool.

Such a text is sent as it stands, which nothing notices when the flow runs: `key: event.id` is one
key for all events, and any text in `if` is true.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, cast

from halflap.errors import ExpressionError
from halflap.lowcode.expressions import Expression
from halflap.lowcode.lint.rules import LITERAL_CONDITION, READS_LIKE_EXPRESSION, Findings
from halflap.lowcode.source import Path
from halflap.lowcode.template import is_expression
from halflap.sdk.lint import Fix

CONDITIONS = frozenset({"if", "where", "filter", "in"})
"""Fields of steps and flows in which a text is never meant: it is true, or one item."""
BRACES = re.compile(r"\$?\{\{\s*(?P<inner>[^{}]{1,200}?)\s*\}\}|\$\{(?P<plain>[A-Za-z_][\w.]*)\}")
EMBEDDED = re.compile(r"(?<=\s)=(?P<root>[A-Za-z_]\w*)[.\[]")
PATH = re.compile(r"\s*(?P<root>[A-Za-z_]\w*)\s*(?:$|[.\[=!<>&+*?-])")
SUFFIXES = re.compile(
    r"[A-Za-z_]\w*\.(?:ya?ml|json|csv|txt|xml|html?|com|io|org|net|example|local)"
)


def check_literals(value: Any, path: Path, names: Collection[str], findings: Findings) -> None:
    """Find the texts of a template that read like expressions of the names in scope."""
    stack: list[tuple[Any, Path]] = [(value, path)]
    while stack:
        each, place = stack.pop()
        if isinstance(each, dict):
            members = cast("dict[Any, Any]", each).items()
            stack += [(member, (*place, name)) for name, member in members]
        elif isinstance(each, list):
            items = cast("list[Any]", each)
            stack += [(item, (*place, at)) for at, item in enumerate(items)]
        elif isinstance(each, str) and not is_expression(each) and not each.startswith("=="):
            check_text(each, place, names, findings)


def check_text(text: str, path: Path, names: Collection[str], findings: Findings) -> None:
    """Find what is wrong with one text that is no expression."""
    if is_condition(path):
        message = f"{path[-1]!s} holds the text {shown(text)}, which is never computed; "
        message += "begin an expression with ="
        findings.add(LITERAL_CONDITION, path, message, mend=begin_with_equals)
        return
    if (braces := BRACES.search(text)) is not None:
        inner = braces["inner"] or braces["plain"]
        root = re.match(r"\$?\.?(\w+)", inner.strip())
        if braces["inner"] is not None or (root is not None and root[1] in names):
            message = f"{shown(braces[0])} is sent as it stands: braces mean nothing here; write "
            message += f"={inner}" if braces[0] == text.strip() else joined(text, braces, inner)
            findings.add(READS_LIKE_EXPRESSION, path, message)
        return
    embedded = EMBEDDED.search(text)
    if embedded is not None and embedded["root"] in names:
        message = f"{shown(text)} is sent as it stands: = begins an expression only at the text's "
        message += 'beginning; write ="…" & ' + embedded["root"]
        findings.add(READS_LIKE_EXPRESSION, path, message)
        return
    if reads_like(text, names):
        message = (
            f"{shown(text)} is a text, sent as it stands; for the value, write ={text.strip()}"
        )
        findings.add(READS_LIKE_EXPRESSION, path, message, mend=begin_with_equals)


def is_condition(path: Path) -> bool:
    """Return whether a place of the document decides something, so that a text there is no value."""
    return "with" not in path and path[-1] in CONDITIONS


def reads_like(text: str, names: Collection[str]) -> bool:
    """Return whether a whole text reads like an expression that begins with a name in scope.

    A bare name does not, since many texts are one word; nor does the name of a file or a host.
    """
    found = PATH.match(text)
    if found is None or found["root"] not in names or text.strip() == found["root"]:
        return False
    if SUFFIXES.fullmatch(text.strip()):
        return False
    try:
        tree = Expression.parse(text)
    except ExpressionError:
        return False
    return any(name.path[0] == found["root"] for name in tree.names())


def begin_with_equals(lines: Sequence[str], line: int, column: int) -> Fix | None:
    """Write the `=` that is missing."""
    text = lines[line - 1] if line <= len(lines) else ""
    if column > len(text):
        return None
    at = column if text[column - 1] not in "\"'" else column + 1
    return Fix("begin it with =", line, at, 0, "=")


def shown(text: str) -> str:
    """Return a text in quotes, cut where it is long."""
    return f"“{text if len(text) <= 60 else text[:57] + '…'}”"


def joined(text: str, braces: re.Match[str], inner: str) -> str:
    """Return the expression that joins a text with the value that its braces name."""
    before, after = text[: braces.start()], text[braces.end() :]
    parts = [f'"{before}"' if before else "", inner, f'"{after}"' if after else ""]
    return "=" + " & ".join(each for each in parts if each)
