"""The state at a place of a flow: the names in scope, and which of their values may be null there.

What a branch, a loop, a `try` and an end do to it is decided here alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from halflap.lowcode.expressions import tree
from halflap.lowcode.lint.conditions import NONE, Field, Fields, Holds, holds
from halflap.lowcode.lint.scope import Schema, ScopedName, fields_of, nullable, types_of
from halflap.lowcode.scoping import Layered
from halflap.lowcode.source import Path

V = TypeVar("V")
MOST_SURE = 200
"""The most paths of one name that are stored as sure; of more, all are taken to be."""
MOST_STEPS = 50
"""The length to which a path is followed."""
MOST_FIELDS = 100
"""The most paths on which a value may rest; of more, it may rest on any."""
ANY: Fields = frozenset(((),))
BRANCH = "its step is in a branch that may not be taken"


@dataclass(frozen=True, slots=True)
class Null:
    """A value that may be null: which, why, and whether it is null itself or leaves nothing."""

    field: Field
    why: str
    whole: bool
    at: int = 0


@dataclass(slots=True)
class FlowState:
    """The names in scope at a place, and what is known of their values.

    `sure` are paths that are there, by their first name; `read` those that conditions on the way
    have read; `asked` such as a condition may have told something of, so that nothing is said of
    them. `ends`: why nothing comes after, "" where it goes on. tried: a `try` catches a failure here.
    """

    names: Layered[ScopedName]
    sure: Layered[Fields] = field(default_factory=Layered[Fields])
    read: Fields = NONE
    asked: Fields = NONE
    ends: str = ""
    tried: bool = False

    def inner(self, own: Mapping[str, ScopedName] | None = None) -> FlowState:
        """Return the state where a block begins, with names of its own, to be changed apart."""
        return replace(self, names=self.names.inner(own), sure=self.sure.inner(), ends="")

    def give(self, name: str, known: ScopedName) -> None:
        """Give a name a value; a variable that is set again stays where it was given first."""
        there = self.names.get(name)
        if known.variable and there is not None and there.path is not None:
            known = replace(known, path=there.path, schema=None)
        self.names[name] = known
        self.forget((name,))

    def forget(self, names: Iterable[str]) -> None:
        """Names may have other values from here on."""
        for name in names:
            if self.sure.get(name):
                self.sure[name] = NONE

    def where(self, told: Holds, *, true: bool) -> FlowState:
        """Return the state where a condition holds, or does not."""
        made = self.inner()
        for each in told.true if true else told.false:
            there = made.sure.get(each[0], NONE)
            if there is not ANY:
                there |= {each}
                made.sure[each[0]] = there if len(there) <= MOST_SURE else ANY
        rests = self.closure(told.read) - told.read
        made.read, made.asked = (
            _few(self.read | told.read | rests),
            _few(self.asked | told.asked | rests),
        )
        return made

    def join(self, ways: Sequence[FlowState], under: Fields, why: str = BRANCH) -> list[Path]:
        """Go on after branches that began here, whichever was taken; those that have ended leave
        names, and no values.

        What some did not give may be null, for the reason `why`. under: what decides which is taken,
        on which then rests what they give. Return the places that give a name of another place, too.
        """
        going = {at for at, each in enumerate(ways) if not each.ends} or {*range(len(ways))}
        given = _changes(each.names.since(self.names) for each in ways)
        under = self.closure(under | {(name,) for name in given})
        if any(each.ends for each in ways):  # else having come here says nothing
            self.read = _shared([ways[at].read for at in going])
            self.asked = _shared([ways[at].asked for at in going])
        for name, sure in _changes(ways[at].sure.since(self.sure) for at in going).items():
            fields = [each for _, each in sure]
            if len(fields) < len(going):
                fields.append(self.sure.get(name, NONE))
            told = [each for each in fields if each is not ANY]
            self.sure[name] = _shared(told) if told else ANY
        others: list[Path] = []
        for name, found in given.items():
            before = self.names.get(name)
            first = before or found[0][1]
            others += [each.path for _, each in found if each.path and each.path != first.path]
            same = all((each.path, each.schema) == (first.path, first.schema) for _, each in found)
            left = [each for at, each in found if at in going]
            whole = before is not None or len(left) == len(going)
            if before is not None and len(left) < len(going):
                left.append(before)
            rests = under.union(*(each.rests for each in left)) if left else NONE
            self.names[name] = ScopedName(
                first.path,
                first.schema if same else None,
                first.variable,
                next((each.absent for each in left if each.absent), "" if whole else why),
                all(each.declared for each in left),
                _few(frozenset([each for each in rests if each[:1] != (name,)])),
            )
        return others

    def leave(self, body: FlowState, under: Fields) -> None:
        """Go on after a loop, whose body was gone through once or never; its own names stay in it."""
        again = {
            name: each for name, each in body.names.since(self.names).items() if name in self.names
        }
        self.join([replace(body, names=self.names.inner(again), ends=""), self.inner()], under)

    def closure(self, read: Fields) -> Fields:
        """The paths, and those that decide what their values are."""
        found = set(read)
        for each in read:
            known = self.names.get(each[0]) if each else None
            if known is not None:
                found |= known.rests
        return _few(frozenset(found))

    def null_of(self, node: tree.Node) -> Null | None:
        """Return the null that an expression may give; None where it gives none."""
        read = tree.field_of(node)
        if read is not None:
            return self._path(read, node.operands()[0].at)
        match node:
            case tree.Parenthesized(expressions=[*_, last]) if node.bare:
                return self.null_of(last)
            case tree.Condition():
                told = holds(node.condition)
                nulls = (self.where(told, true=true).null_of(each) for each, true in node.branches)
                return next((each for each in nulls if each is not None), None)
            case _:
                return None

    def _path(self, read: Field, at: int) -> Null | None:
        known = self.names.get(read[0])
        if known is None:
            return None
        sure = self.sure.get(read[0], NONE)
        for length in range(1, min(len(read), MOST_STEPS) + 1):
            part = read[:length]
            if sure is ANY or any(each[:length] == part for each in sure):
                continue
            why = known.absent if length == 1 else _why(part, known)
            if why:
                rests = known.rests if length == 1 else NONE
                if _overlap(rests, self.read) or _overlap((part,), self.asked):
                    return None
                return Null(part, why, length == len(read), at)
        return None


def _why(field: Field, known: ScopedName) -> str:
    """Return why a field of a name may be null, by a schema that is declared."""
    schema: Schema | None = known.schema if known.declared else None
    for each in field[1:]:
        if schema is None or "array" in (types_of(schema) or ("array",)):
            return ""
        schema = fields_of(schema)[0].get(each)
    if schema is None or not nullable(schema):
        return ""
    return "it may be left empty" if field[0] == "config" else "it may be null"


def _changes(changed: Iterable[Mapping[str, V]]) -> dict[str, list[tuple[int, V]]]:
    """Return what branches changed, by name, each with the branch's number."""
    found: dict[str, list[tuple[int, V]]] = {}
    for number, each in enumerate(changed):
        for name, value in each.items():
            found.setdefault(name, []).append((number, value))
    return found


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
