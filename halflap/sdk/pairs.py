"""Two-way: which record an event tells of, which one an action writes, and which it is elsewhere.

A trigger declares `reads=Reads(…)`, an action `writes=Writes(…)`. With both, the platform tells an
event that a write of ours caused (an echo) from somebody's edit. `Pairs` says that the records of two
apps belong together: `opportunities = integration.pairs("opportunities", …)`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from pydantic import BaseModel, RootModel, SecretStr

from halflap.errors import DefinitionError
from halflap.model import Order
from halflap.sdk import codec
from halflap.sdk.compatibility import refuse
from halflap.sdk.reference import alternatives
from halflap.sdk.schema import UNSET, File


@dataclass(frozen=True, slots=True)
class Writes:
    """A declaration of the record that an action writes, and of its fields (for the echo).

    kind: of the record, as `opportunity`; `{object}` is what the input `object` says.
    record: the input that holds the record's id; where the action has no such input, the field of
    its result (the action makes the record).
    fields: the inputs that are written, by the app's names; one that is an object stands for its
    members.
    within: the field of the result that is an object with the record's fields, as `properties`;
    without it, they are the result's own.
    """

    kind: str
    record: str = "id"
    fields: tuple[str, ...] = ()
    within: str = ""


@dataclass(frozen=True, slots=True)
class Reads:
    """A declaration of the record that a trigger's event reports, and of its fields (for the echo).

    kind: of the record, as `opportunity`; `{type}` is what the event's field `type` says.
    record: the event's field that holds the record's id.
    fields: the event's fields that are compared; without them, all but `record`, the kind's and
    those to `ignore` (who changed it, and when).
    within: the field of the event that is an object with the record's fields, as `properties`;
    without it, they are the event's own.
    """

    kind: str
    record: str = "id"
    fields: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    within: str = ""


@dataclass(frozen=True, slots=True)
class RecordState:
    """A record of an app, by component, kind and id, with some of its fields.

    `id` is empty for one that is about to be made.
    """

    component: str
    kind: str
    id: str
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def name(self) -> str:
        """The record's name among all, such as `acme/opportunity/opp_1`."""
        return f"{self.component}/{self.kind}/{self.id}"

    def __str__(self) -> str:
        return f"{self.component}.{self.kind} {self.id or '(new)'}"


def check_reads(reads: Reads, event: Any, trigger: str, where: str) -> None:
    """Raise where a field of `Reads` is none that the trigger's event has: it would always be null."""
    known = app_names(event)
    names = (reads.record,) if reads.within else (reads.record, *reads.fields)
    for name in names if known else ():
        if name not in known.values():
            has = known.get(name) or ", ".join(known.values())
            refuse(
                DefinitionError(
                    f"{trigger}: its reads= names {name!r}, and its event has {has}, as the app calls "
                    "it; write that",
                    where=where,
                )
            )


def check_writes(
    writes: Writes, inputs: Collection[str], result: Any, action: str, where: str
) -> None:
    """Raise where a field of `Writes` is no input, or its result has it by another name."""
    known = app_names(result)
    called = {} if writes.within else {name: each for name, each in known.items() if name != each}
    for name in writes.fields:
        if name not in inputs:
            said = f"names {name!r}, which is no input; its inputs: {', '.join(inputs)}"
        elif name in called and name not in called.values():
            said = f"names {name!r}, which its result has as {called[name]}; name the input so, too"
        else:
            continue
        refuse(DefinitionError(f"{action}: its writes= {said}", where=where))
    if known and writes.record not in (*inputs, *known.values()):
        refuse(
            DefinitionError(
                f"{action}: its writes= has record={writes.record!r}, which is neither an input nor a "
                f"field of its result as the app calls it: {', '.join(known.values())}",
                where=where,
            )
        )


def app_names(annotation: Any) -> dict[str, str]:
    """Return how the app calls the fields of a type, by their names in Python.

    Of what is no model, or may have more fields, there is nothing to tell.
    """
    found: dict[str, str] = {}
    for each in alternatives(annotation):
        if not (isinstance(each, type) and issubclass(each, BaseModel)):
            return {}
        if not each.__pydantic_complete__ or each.model_config.get("extra") == "allow":
            return {}
        if issubclass(each, RootModel) or each.__pydantic_decorators__.model_serializers:
            return {}
        for name, known in (each.model_fields | each.model_computed_fields).items():
            found[name] = getattr(known, "serialization_alias", None) or known.alias or name
    return found


IN_BRACES = re.compile(r"\{(\w+)\}")


def read_of(reads: Reads, component: str, event: Any) -> RecordState | None:
    """The record that an event tells of; None where the event has no such record."""
    told = plain_fields(event)
    id = told.get(reads.record)
    if id is None or id == "":
        return None
    own = fields_within(told, reads)
    names = reads.fields
    if not names:
        besides = {*reads.ignore, *beside_fields(reads)}
        names = tuple(name for name in own if name not in besides)
    fields = {name: own.get(name) for name in names}
    return RecordState(component, kind_of(reads.kind, told), str(id), fields)


def with_current(reads: Reads, event: Any, current: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event whose record has the values that its app has now."""
    told = plain_fields(event)
    fresh = {**fields_within(told, reads), **current}
    return {**told, reads.within: fresh} if reads.within else fresh


def fields_within(told: Mapping[str, Any], declared: Reads | Writes) -> dict[str, Any]:
    """Return the fields of a record, where they lie in an event or in a result."""
    return plain_fields(told.get(declared.within) if declared.within else told)


def beside_fields(declared: Reads | Writes) -> set[str]:
    """Return the names beside a record's fields that are none of them: its id's, its kind's."""
    if declared.within:
        return set()
    return {declared.record, *IN_BRACES.findall(declared.kind)}


def written_by(writes: Writes, component: str, inputs: Mapping[str, Any]) -> RecordState:
    """The record and the fields that an action's inputs write."""
    fields: dict[str, Any] = {}
    for name in writes.fields:
        value = inputs.get(name, UNSET)
        if isinstance(value, Mapping | BaseModel):
            fields.update(plain_fields(value))
        elif value is not UNSET and not isinstance(value, SecretStr | File):
            fields[name] = plain(value)
    id = inputs.get(writes.record)
    return RecordState(
        component, kind_of(writes.kind, inputs), "" if id is None else str(id), fields
    )


def saved_as(asked: RecordState, writes: Writes, result: bytes | None) -> RecordState:
    """Return what was written, as the app returns it; what it does not return is as it was sent."""
    told = codec.decode(result) if result else None
    if not isinstance(told, dict):
        return asked
    said = cast(dict[str, Any], told)
    id = asked.id or str(said.get(writes.record) or "")
    besides = beside_fields(writes)
    own = fields_within(said, writes)
    fields = {name: value for name, value in own.items() if name not in besides}
    return RecordState(asked.component, asked.kind, id, {**asked.fields, **fields})


def without(
    writes: Writes, arguments: Mapping[str, Any], standing: Mapping[str, Any]
) -> dict[str, Any]:
    """An action's arguments with the fields that are to stay as they are taken out.

    A field that is an input of its own is given as it is at the app now.
    """
    given = dict(arguments)
    for name in writes.fields:
        value = given.get(name)
        if isinstance(value, Mapping):
            held = cast(Mapping[str, Any], value)
            given[name] = {field: held[field] for field in held if field not in standing}
        elif name in standing:
            given[name] = standing[name]
    return given


def kind_of(kind: str, told: Mapping[str, Any]) -> str:
    """A kind with what stands in braces filled in."""
    return IN_BRACES.sub(lambda found: str(told.get(found[1], "")), kind)


def plain_fields(value: Any) -> dict[str, Any]:
    """The fields of an event or a record by the app's names, as plain data."""
    shown = plain(value)
    return cast(dict[str, Any], shown) if isinstance(shown, dict) else {}


def plain(value: Any) -> Any:
    """A value as plain data, as it would come back from the journal."""
    if isinstance(value, BaseModel):
        value = value.model_dump(by_alias=True, exclude_unset=False)
    if isinstance(value, Mapping):
        held = cast(Mapping[str, Any], value)
        return {str(name): plain(each) for name, each in held.items() if each is not UNSET}
    if isinstance(value, str | bool | int | Decimal | type(None)):
        return value
    if isinstance(value, SecretStr | File):
        return None
    return codec.decode(codec.encode(value))


MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)")


def same(one: Any, other: Any) -> bool:
    """Return whether two values of a field are the same, however an app writes them.

    Empty text is no value; numbers are compared as numbers, also where one is written as text (XML
    has nothing else); moments as moments.
    """
    one, other = one if one != "" else None, other if other != "" else None
    if one is None or other is None:
        return one is other
    if isinstance(one, bool) or isinstance(other, bool):
        return str(one).lower() == str(other).lower()
    if isinstance(one, str) and isinstance(other, str):
        return one == other or (moment(one) is not None and moment(one) == moment(other))
    if isinstance(one, str | int | Decimal) and isinstance(other, str | int | Decimal):
        try:
            return Decimal(one) == Decimal(other)
        except InvalidOperation:
            return False
    return one == other


def moment(text: str) -> datetime | None:
    """A date-time with its zone; None where the text is none."""
    try:
        return datetime.fromisoformat(text) if MOMENT.fullmatch(text) else None
    except ValueError:  # a leap second, the 30th of February
        return None


class Pairs:
    """Records of two apps that belong together: which one here is which one there.

    sides: the config field of each app's connection → the kind of its records. master: the config
    field of the app that wins where both were edited at once; without one, the last write wins.
    """

    def __init__(
        self, name: str, sides: Mapping[str, str], components: Mapping[str, str], master: str | None
    ) -> None:
        self.name = name
        self.sides = dict(sides)
        self.components = dict(components)
        self.master = master

    def side_of(self, component: str, kind: str) -> str | None:
        """The side that has records of this kind; None where neither has."""
        for side, its_kind in self.sides.items():
            if self.components[side] == component and its_kind == kind:
                return side
        return None

    def other(self, side: str) -> str:
        """The side that a side is paired with."""
        return next(each for each in self.sides if each != side)

    def record(self, side: str, id: str) -> RecordState:
        """A record of a side."""
        return RecordState(self.components[side], self.sides[side], id)

    def ids(self, given: Mapping[str, str | None]) -> dict[str, str]:
        """Ids by side, checked: each of a side that there is, and there."""
        for side, id in given.items():
            if side not in self.sides:
                raise DefinitionError(
                    f"the pairs {self.name} have no side {side!r}; theirs: {', '.join(self.sides)}"
                )
            if not id:
                raise DefinitionError(f"the pairs {self.name}: the id of {side!r} is empty")
        return {side: str(id) for side, id in given.items()}

    def encoded(self, ids: Mapping[str, str]) -> bytes:
        """A pair as it is kept, under both of its records: the same bytes."""
        return codec.encode({side: ids[side] for side in self.sides})

    def __repr__(self) -> str:
        return f"<pairs {self.name}: {' and '.join(self.sides)}>"


def pairs_scope(instance: str, pairs: Pairs) -> str:
    """Where in the state an instance's pairs are kept."""
    return f"pairs:{instance}:{pairs.name}"


def order_of(instance: str, pairs: Pairs, side: str, id: str) -> Order:
    """The order of what happens to a record, on either side once it is paired."""
    return Order(pairs_scope(instance, pairs), pairs.record(side, id).name)


def checked_pairs(
    name: str,
    sides: Mapping[str, str],
    connections: Mapping[str, type[Any]],
    components: Mapping[str, str],
    master: str | None,
) -> Pairs:
    """Pairs, where their sides are two connections of the config, told apart by component or kind."""
    if len(sides) != 2:
        raise DefinitionError(
            f"pairs {name!r}: give two sides, as salesforce='Account', acme='account'; "
            f"given: {', '.join(sides) or 'none'}"
        )
    for side in sides:
        if side not in connections:
            raise DefinitionError(
                f"pairs {name!r}: {side!r} is no connection of the config; "
                f"its connections: {', '.join(connections) or 'none'}"
            )
    places: Sequence[tuple[str, str]] = [(components[side], kind) for side, kind in sides.items()]
    if places[0] == places[1]:
        raise DefinitionError(
            f"pairs {name!r}: both sides are {places[0][0]}.{places[0][1]}, and nothing tells their "
            "events apart; pair records of two apps, or of two kinds"
        )
    if master is not None and master not in sides:
        raise DefinitionError(
            f"pairs {name!r}: the master {master!r} is neither of its sides: {', '.join(sides)}"
        )
    return Pairs(name, sides, components, master)
