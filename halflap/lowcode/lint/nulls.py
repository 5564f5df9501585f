"""Which values may be null at a place of a flow: on a path that it can take, and past no guard."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from halflap.lowcode.expressions.tree import Node
from halflap.lowcode.lint.conditions import NONE, Field, Fields, Holds, field_of, holds
from halflap.lowcode.lint.fitting import others_of
from halflap.lowcode.lint.reader import Names
from halflap.lowcode.lint.scope import Schema, carried, fields_of, forms_of, types_of
from halflap.lowcode.source import Path
from halflap.lowcode.template import is_expression

MOST_FIELDS = 100
"""How many paths are kept of what a value rests on; of more, it may rest on any."""
ANY: Fields = frozenset(((),))


@dataclass(frozen=True, slots=True)
class Null:
    """A value that may be null: which, why, and whether it is null itself or leaves nothing."""

    field: Field
    why: str
    whole: bool
    at: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """A name that a step has given: why it may be null (empty where it may not), whether its schema
    is one that is declared, and the paths that decide what it is."""

    why: str = ""
    declared: bool = False
    rests: Fields = NONE


@dataclass(slots=True)
class Facts:
    """What is known at a place. `sure` are paths that are there; `read` those that were asked for on
    the way; `asked` such as that may have told something of, so that nothing is said of them."""

    given: dict[str, Given] = field(default_factory=dict[str, Given])
    sure: Fields = NONE
    read: Fields = NONE
    asked: Fields = NONE

    def give(self, name: str, given: Given) -> None:
        """A name has a value, perhaps another one."""
        self.sure = _without(self.sure, frozenset((name,)))
        self.given[name] = given

    def where(self, told: Holds, *, true: bool) -> Facts:
        """Where a condition holds, or does not."""
        sure = self.sure | (told.true if true else told.false)
        rests = self.closure(told.read) - told.read
        read, asked = self.read | told.read | rests, self.asked | told.asked | rests
        return Facts(dict(self.given), sure, _few(read), _few(asked))

    def before(self, names: frozenset[str]) -> Facts:
        """The same where these names may have been set anew since."""
        return replace(self, given=dict(self.given), sure=_without(self.sure, names))

    def closure(self, read: Fields) -> Fields:
        """The paths, and those that decide what their values are."""
        found = set(read)
        for each in read:
            known = self.given.get(each[0]) if each else None
            if known is not None:
                found |= known.rests
        return _few(frozenset(found))

    # What may be null ---------------------------------------------------------------------------

    def of(self, node: Node, names: Names) -> Null | None:
        """What an expression gives may be null, or nothing."""
        read = field_of(node)
        if read is not None:
            return self._path(read, names, node.items[0].at if node.items else node.at)
        if node.predicates or node.group:
            return None
        if node.kind == "block" and node.items:
            return self.of(node.items[-1], names)
        if node.kind == "condition" and node.left is not None:
            told = holds(node.left)
            for branch, true in ((node.right, True), (node.other, False)):
                if branch is not None:
                    found = self.where(told, true=true).of(branch, names)
                    if found is not None:
                        return found
        return None

    def _path(self, read: Field, names: Names, at: int) -> Null | None:
        known = names.get(read[0])
        for length in range(1, len(read) + 1):
            part = read[:length]
            if any(each[:length] == part for each in self.sure):
                continue
            why = self._why(part, None if known is None else known.schema)
            if why:
                rests = self.given[read[0]].rests if length == 1 else NONE
                told = any(_overlap(one, other) for one in rests for other in self.read)
                if told or any(_overlap(part, each) for each in self.asked):
                    return None
                return Null(part, why, length == len(read), at)
        return None

    def _why(self, field: Field, schema: Schema | None) -> str:
        name, *rest = field
        given = self.given.get(name)
        if not rest:
            return "" if given is None else given.why
        if given is not None and not given.declared:
            return ""
        for each in rest:
            if schema is None or (types_of(schema) or frozenset(("array",))) & {"array"}:
                return ""
            schema = fields_of(schema)[0].get(each)
        if schema is None or not nullable(schema):
            return ""
        return "it may be left empty" if name == "config" else "it may be null"


def joined(before: Facts, ways: Sequence[Facts], why: str, under: Fields, *, every: bool) -> Facts:
    """What is known after branches, whichever was taken; what some did not give may be null.

    under: what decides which is taken, on which then rests what they give. every: none has ended, so
    having come here says nothing.
    """
    made = Facts(
        {},
        _shared([each.sure for each in ways]),
        _shared([each.read for each in ways]),
        _shared([each.asked for each in ways]),
    )
    if every:
        made.read, made.asked = before.read, before.asked
    under = before.closure(under)
    for name in dict.fromkeys(name for each in ways for name in each.given):
        found = [each.given[name] for each in ways if name in each.given]
        same = before.given.get(name)
        if len(found) == len(ways) and all(each is same for each in found):
            made.given[name] = found[0]
            continue
        absent = next((each.why for each in found if each.why), "")
        rests = under.union(*(each.rests for each in found))
        made.given[name] = Given(
            absent or ("" if len(found) == len(ways) else why),
            all(each.declared for each in found),
            _few(_without(rests, frozenset((name,)))),
        )
    return made


def nullable(schema: Schema) -> bool:
    """Whether a schema says that a value may be null."""
    return any(each.get("type") == "null" for each in forms_of(schema, nulls=True))


def takes_null(schema: Schema) -> bool:
    """Whether null fits, or may."""
    for each in forms_of(schema, nulls=True):
        chosen = cast("list[Any]", each.get("enum", [each.get("const", ...)]))
        if None in chosen or (each.get("type") in (None, "null") and chosen == [...]):
            return True
    return False


def covers(schema: Schema, values: Collection[Any]) -> bool:
    """Whether these are all the values that there can be."""
    for each in forms_of(schema, nulls=True):
        chosen = [True, False] if each.get("type") == "boolean" else []
        chosen = cast(
            "list[Any]", each.get("enum") or ([each["const"]] if "const" in each else chosen)
        )
        if not chosen or not all(one in values for one in chosen):
            return False
    return True


@dataclass(frozen=True, slots=True)
class Leaf:
    """An expression in a template, what it has to fit, and whether it may give nothing."""

    path: Path
    wanted: Schema
    required: bool


def leaves(value: Any, path: Path, wanted: Schema, *, required: bool) -> Iterator[Leaf]:
    """The expressions of a template, with what takes them where that is known."""
    if is_expression(value):
        yield Leaf(path, wanted, required)
        return
    forms = forms_of(wanted)
    form: Schema = forms[0] if len(forms) == 1 else {}
    if isinstance(value, dict) and form.get("type") == "object":
        fields = cast("Mapping[str, Schema]", form.get("properties", {}))
        for name, each in cast("dict[Any, Any]", value).items():
            takes = fields.get(name) or others_of(form)
            if takes:
                needed = name in form.get("required", ())
                yield from leaves(each, (*path, name), carried(takes, form), required=needed)
    elif isinstance(value, list) and form.get("type") == "array" and form.get("items"):
        inner = carried(form["items"], form)
        for at, each in enumerate(cast("list[Any]", value)):
            yield from leaves(each, (*path, at), inner, required=True)


def _shared(fields: Sequence[Fields]) -> Fields:
    first, *others = fields
    return first.intersection(*others)


def _few(fields: Fields) -> Fields:
    return fields if len(fields) <= MOST_FIELDS else ANY


def _without(fields: Fields, names: frozenset[str]) -> Fields:
    return frozenset(each for each in fields if not each or each[0] not in names)


def _overlap(one: Field, other: Field) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]
