"""Infer which values may be null at a place of a flow: on a path that it can take, and past no
guard.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from halflap.lowcode.expressions.tree import Node
from halflap.lowcode.layered import Layered
from halflap.lowcode.lint.conditions import NONE, Field, Fields, Holds, field_of, holds
from halflap.lowcode.lint.env import Names
from halflap.lowcode.lint.scope import Schema, choices_of, fields_of, forms_of, types_of

V = TypeVar("V")
MOST_SURE = 200
"""The most paths of one name that are stored as sure; of more, all are taken to be."""
MOST_STEPS = 50
"""The length to which a path is followed."""
MOST_FIELDS = 100
"""The most paths on which a value may rest; of more, it may rest on any."""
ANY: Fields = frozenset(((),))


@dataclass(frozen=True, slots=True)
class Null:
    """A value that may be null: which, why, and whether it is null itself or leaves nothing."""

    field: Field
    why: str
    whole: bool
    at: int = 0


@dataclass(frozen=True, slots=True)
class GivenName:
    """A name that a step has given: why it may be null (empty where it may not), whether its schema
    is one that is declared, and the paths that decide what it is."""

    why: str = ""
    declared: bool = False
    rests: Fields = NONE


@dataclass(slots=True)
class Facts:
    """The facts at a place.

    `sure` are paths that are there, by their first name; `read` those that were asked for on the
    way; `asked` such as that may have told something of, so that nothing is said of them.
    """

    given: Layered[GivenName] = field(default_factory=Layered[GivenName])
    sure: Layered[Fields] = field(default_factory=Layered[Fields])
    read: Fields = NONE
    asked: Fields = NONE

    def give(self, name: str, given: GivenName) -> None:
        """A name has a value, perhaps another one."""
        self.forget(name)
        self.given[name] = given

    def forget(self, *names: str) -> None:
        """Names may have other values from here on."""
        for name in names:
            if self.sure.get(name):
                self.sure[name] = NONE

    def where(self, told: Holds, *, true: bool) -> Facts:
        """Where a condition holds, or does not."""
        sure = self.sure.inner()
        for each in told.true if true else told.false:
            there = sure.get(each[0], NONE)
            if there is not ANY:
                there |= {each}
                sure[each[0]] = there if len(there) <= MOST_SURE else ANY
        rests = self.closure(told.read) - told.read
        read, asked = self.read | told.read | rests, self.asked | told.asked | rests
        return Facts(self.given.inner(), sure, _few(read), _few(asked))

    def unchanged(self) -> Facts:
        """The same, to be changed apart from this."""
        return Facts(self.given.inner(), self.sure.inner(), self.read, self.asked)

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
        """Return the null that an expression may give; None where it gives none."""
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
        sure = self.sure.get(read[0], NONE)
        for length in range(1, min(len(read), MOST_STEPS) + 1):
            part = read[:length]
            if sure is ANY or any(each[:length] == part for each in sure):
                continue
            why = self._why(part, None if known is None else known.schema)
            if why:
                rests = self.given[read[0]].rests if length == 1 else NONE
                if _overlap(rests, self.read) or _overlap((part,), self.asked):
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
            if schema is None or "array" in (types_of(schema) or ("array",)):
                return ""
            schema = fields_of(schema)[0].get(each)
        if schema is None or not nullable(schema):
            return ""
        return "it may be left empty" if name == "config" else "it may be null"


def joined(
    before: Facts,
    ways: Sequence[Facts],
    why: str,
    under: Fields,
    *,
    every: bool,
    base: Facts | None = None,
) -> Facts:
    """Make of `before` what is known after branches, whichever was taken, and return it.

    What some did not give may be null. under: what decides which is taken, on which then rests what
    they give. every: none has ended, so having come here says nothing. base: where the branches
    began, if not with `before`.
    """
    base = base or before
    under = before.closure(under)
    if not every:
        before.read = _shared([each.read for each in ways])
        before.asked = _shared([each.asked for each in ways])
    for name, (sure, _) in _changes([each.sure.since(base.sure) for each in ways]).items():
        if len(sure) < len(ways):
            sure = [*sure, base.sure.get(name, NONE)]
        told = [each for each in sure if each is not ANY]
        before.sure[name] = _shared(told) if told else ANY
    given: dict[str, GivenName] = {}
    changes = _changes([each.given.since(base.given) for each in ways])
    for name, (found, gap) in changes.items():
        whole = len(found) == len(ways)
        if not whole and name in base.given:
            found.insert(gap, base.given[name])
            whole = True
        absent = next((each.why for each in found if each.why), "")
        rests = under.union(*(each.rests for each in found))
        given[name] = GivenName(
            absent or ("" if whole else why),
            all(each.declared for each in found),
            _few(frozenset(each for each in rests if each[:1] != (name,))),
        )
    before.given.own.update(given)
    return before


def _changes(changed: Sequence[Mapping[str, V]]) -> dict[str, tuple[list[V], int]]:
    """Return what branches changed, by name: the values in order, and the first branch without one."""
    found: dict[str, list[V]] = {}
    gaps: dict[str, int] = {}
    for number, each in enumerate(changed):
        for name, value in each.items():
            values = found.setdefault(name, [])
            if len(values) < number:
                gaps.setdefault(name, len(values))
            values.append(value)
    return {name: (each, gaps.get(name, len(each))) for name, each in found.items()}


def nullable(schema: Schema) -> bool:
    """Return whether a schema says that a value may be null."""
    return any(each.get("type") == "null" for each in forms_of(schema, nulls=True))


def takes_null(schema: Schema) -> bool:
    """Return whether null fits, or may."""
    for each in forms_of(schema, nulls=True):
        chosen = choices_of(each)
        if None in chosen or (each.get("type") in (None, "null") and not chosen):
            return True
    return False


def covers(schema: Schema, values: Collection[Any]) -> bool:
    """Return whether these are all the values that there can be."""
    for each in forms_of(schema, nulls=True):
        chosen = choices_of(each) or ([True, False] if each.get("type") == "boolean" else [])
        if not chosen or not all(one in values for one in chosen):
            return False
    return True


def _shared(fields: Sequence[Fields]) -> Fields:
    first, *others = fields
    return first.intersection(*others)


def _few(fields: Fields) -> Fields:
    return fields if len(fields) <= MOST_FIELDS else ANY


def _overlap(some: Iterable[Field], others: Fields) -> bool:
    """Return whether one of them is the beginning of one of the others, or the other way round."""
    begun = {each[:length] for each in others for length in range(len(each) + 1)}
    return any(
        each in begun or any(each[:length] in others for length in range(len(each)))
        for each in some
    )
