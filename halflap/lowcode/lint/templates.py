"""Templates against what takes them: their types, and whether those can fit.

What is one value, or a list of several, by how many there happen to be, fits a loop and an input that
takes a list, and is wrong in JSON that another app reads: `event.lines.sku` is a text of one line, a
list of two, and nothing of none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from halflap.lowcode.expressions import tree
from halflap.lowcode.lint import rules
from halflap.lowcode.lint.expressions import Reads
from halflap.lowcode.lint.fitting import Misfit, beyond, misfit, others_of
from halflap.lowcode.lint.infer import Inference
from halflap.lowcode.lint.rules import Findings
from halflap.lowcode.lint.scope import (
    Names,
    Schema,
    carried,
    choices_of,
    forms_of,
    is_one_or_many,
    joined,
    listed,
    literal,
)
from halflap.lowcode.source import Path
from halflap.lowcode.template import is_expression, unquoted


@dataclass(frozen=True, slots=True)
class Wrong:
    """A value that does not fit, and where it is written: at a path, or a place of the expression
    there.
    """

    path: Path
    misfit: Misfit
    at: int | None = None


@dataclass(frozen=True, slots=True)
class TemplatePart:
    """A part of a template, and what takes it: one form of an object, of an object that fits."""

    path: Path
    value: Any
    wanted: Schema
    required: bool
    is_object: bool = False


def parts(
    value: Any, path: Path, wanted: Schema, *, required: bool = True
) -> Iterator[TemplatePart]:
    """Yield the parts of a template with what takes them, as far as that is known; an object or a
    list behind its members.
    """
    forms = forms_of(wanted)
    form: Schema = forms[0] if len(forms) == 1 else {}
    if isinstance(value, dict):
        fields = cast("Mapping[str, Schema]", form.get("properties", {}))
        for name, each in cast("dict[Any, Any]", value).items():
            takes = fields.get(name) or others_of(form)
            needed = name in form.get("required", ())
            yield from parts(each, (*path, name), carried(takes, form), required=needed)
    elif isinstance(value, list):
        inner = carried(form.get("items") or {}, form)
        for at, each in enumerate(cast("list[Any]", value)):
            yield from parts(each, (*path, at), inner)
        if form.get("type") == "array":
            return
    is_object = isinstance(value, dict) and form.get("type") == "object"
    yield TemplatePart(path, value, form if is_object else wanted, required, is_object)


def type_of(value: Any, path: Path, reads: Reads) -> Schema | None:
    """Return a template's type, where it is known."""
    if isinstance(value, dict):
        members = cast("dict[Any, Any]", value)
        fields = {
            str(name): type_of(each, (*path, name), reads) or {} for name, each in members.items()
        }
        return {"type": "object", "properties": fields}
    if isinstance(value, list):
        items = enumerate(cast("list[Any]", value))
        return listed(joined([type_of(each, (*path, at), reads) for at, each in items]))
    if is_expression(value):
        read = reads.get(path)
        return None if read is None else read.given
    return literal(unquoted(value))


def misfits(value: Any, path: Path, wanted: Schema, reads: Reads, names: Names) -> Iterator[Wrong]:
    """Yield the parts of a template that cannot fit."""
    for each in parts(value, path, wanted):
        if is_expression(each.value):
            yield from _expression(each, reads, names)
        elif each.is_object:
            yield from _lacking(each, reads)
        else:
            given = type_of(each.value, each.path, reads)
            found = misfit(given, each.wanted)
            if found is not None:
                yield Wrong(each.path, replace(found, written=True))
            elif bound := beyond(given, each.wanted):
                yield Wrong(each.path, Misfit((), given or {}, each.wanted, bound=bound))


def _lacking(part: TemplatePart, reads: Reads) -> Iterator[Wrong]:
    members: Mapping[str, Any] = part.value
    lacking = [name for name in part.wanted.get("required", ()) if name not in members]
    if lacking and members.keys() <= part.wanted.get("properties", {}).keys():
        given = type_of(members, part.path, reads) or {}
        yield Wrong(part.path, Misfit((), given, part.wanted, lacks=lacking[0]))


def _expression(part: TemplatePart, reads: Reads, names: Names) -> Iterator[Wrong]:
    read = reads.get(part.path)
    if read is None:
        return
    for each in _branches(read.expression.tree):
        whole = each is read.expression.tree
        found = misfit(read.given if whole else Inference(names).of(each), part.wanted)
        if found is not None:
            yield Wrong(part.path, found, None if whole else each.start)


def _branches(node: tree.Node) -> Iterator[tree.Node]:
    """Yield the alternatives of a condition; anything else by itself."""
    if isinstance(node, tree.Condition):
        for each, _ in node.branches:
            yield from _branches(each)
    else:
        yield node


# One or many ----------------------------------------------------------------------------------

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
