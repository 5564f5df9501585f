"""Templates against what takes them: their types, and whether those can fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from halflap.lowcode.expressions.tree import Node
from halflap.lowcode.lint.env import Names
from halflap.lowcode.lint.expressions import Read
from halflap.lowcode.lint.fitting import Misfit, misfit, others_of
from halflap.lowcode.lint.infer import Inference
from halflap.lowcode.lint.scope import Schema, carried, forms_of, joined, listed, literal
from halflap.lowcode.source import Path
from halflap.lowcode.template import is_expression


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


class Templates:
    """The types of one template's parts, by the expressions that were read of it."""

    def __init__(self, reads: Sequence[Read], names: Names) -> None:
        self._reads = {each.path: each for each in reads}
        self._names = names

    def schema(self, value: Any, path: Path) -> Schema | None:
        """Return a template's type, where it is known."""
        if isinstance(value, dict):
            members = cast("dict[Any, Any]", value)
            fields = {
                str(name): self.schema(each, (*path, name)) or {} for name, each in members.items()
            }
            return {"type": "object", "properties": fields}
        if isinstance(value, list):
            items = enumerate(cast("list[Any]", value))
            return listed(joined([self.schema(each, (*path, at)) for at, each in items]))
        if is_expression(value):
            read = self._reads.get(path)
            return None if read is None else read.given
        return literal(value[1:] if isinstance(value, str) and value.startswith("==") else value)

    def wrong(self, value: Any, path: Path, wanted: Schema) -> Iterator[Wrong]:
        """Yield the parts of a template that cannot fit."""
        for each in parts(value, path, wanted):
            if is_expression(each.value):
                yield from self._expression(each.path, each.wanted)
            elif each.is_object:
                yield from self._lacking(each)
            else:
                given = self.schema(each.value, each.path)
                found = None if given is None else misfit(given, each.wanted)
                if found is not None:
                    yield Wrong(each.path, replace(found, written=True))

    def _lacking(self, part: TemplatePart) -> Iterator[Wrong]:
        members: Mapping[str, Any] = part.value
        lacking = [name for name in part.wanted.get("required", ()) if name not in members]
        if lacking and members.keys() <= part.wanted.get("properties", {}).keys():
            given = self.schema(members, part.path) or {}
            yield Wrong(part.path, Misfit((), given, part.wanted, lacks=lacking[0]))

    def _expression(self, path: Path, wanted: Schema) -> Iterator[Wrong]:
        read = self._reads.get(path)
        if read is None:
            return
        branches = list(_branches(read.expression.tree))
        if len(branches) == 1:
            found = None if read.given is None else misfit(read.given, wanted)
            if found is not None:
                yield Wrong(path, found)
            return
        for each in branches:
            given = Inference(self._names).of(each)
            found = None if given is None else misfit(given, wanted)
            if found is not None:
                yield Wrong(path, found, each.start)


def _branches(node: Node) -> Iterator[Node]:
    """Yield the alternatives of a condition; anything else by itself."""
    if node.kind != "condition" or node.predicates or node.group:
        yield node
        return
    for each in (node.right, node.other):
        if each is not None:
            yield from _branches(each)
