"""One or many: what is one value, or a list of several, by how many there happen to be.

`event.lines.sku` is a text of one line, a list of two, and nothing of none. That is right for a loop
and for an input that takes a list, and wrong in JSON that another app reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from halflap.lowcode.expressions import tree
from halflap.lowcode.lint import rules
from halflap.lowcode.lint.expressions import Reads
from halflap.lowcode.lint.rules import Findings
from halflap.lowcode.lint.scope import Schema, choices_of, forms_of, is_one_or_many
from halflap.lowcode.lint.templates import parts
from halflap.lowcode.source import Path

ANYTHING: Schema = {}


def check_many(
    value: Any,
    path: Path,
    reads: Reads,
    findings: Findings,
    wanted: Schema = ANYTHING,
    *,
    nested: bool = False,
) -> None:
    """Find what of a template is one or many where JSON of any type goes.

    nested: the template itself may be; what stands in its members and items may not.
    """
    for part in parts(value, path, wanted):
        place, read = part.path, reads.get(part.path)
        if read is None or (nested and place == path) or not _is_open(part.wanted):
            continue
        for node, whole in _parts(read.expression.tree, read.given):
            text = read.expression.text.strip()
            named = whole and len(text) <= 60
            message = (
                f"{text if named else 'this'} is one value by itself, a list of several, and left out "
                f"of none; $list({text if named else '…'}) is a list always, [0] takes one of them"
            )
            mend = findings.expression(place, f"$list({text})") if whole else None
            findings.add(rules.ONE_OR_MANY, place, message, at=node.start, mend=mend)


def _is_open(wanted: Schema) -> bool:
    """Return whether nothing declares a type for a value."""
    return all(each.get("type") is None and not choices_of(each) for each in forms_of(wanted))


def _parts(node: tree.Node, given: Schema | None) -> Iterator[tuple[tree.Node, bool]]:
    """Yield the parts of an expression that are one or many; true of what is the whole of it."""
    if given is None:
        return
    if is_one_or_many(given):
        yield node, True
    elif isinstance(node, tree.ObjectConstructor) and node.bare:
        fields = cast("Mapping[str, Schema]", given.get("properties", {}))
        for name, value in node.pairs:
            if isinstance(name, tree.Literal):
                for part, _ in _parts(value, fields.get(str(name.value))):
                    yield part, False
