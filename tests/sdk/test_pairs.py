"""Pairs as an author declares them, and how records are told from events, inputs and results."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import Field, RootModel, SecretStr, model_serializer

from halflap import (
    UNSET,
    Component,
    Config,
    Connection,
    Context,
    DefinitionError,
    Ignore,
    Integration,
    Json,
    Model,
    Reads,
    Request,
    Writes,
    pointer,
)
from halflap.sdk.pairs import read_of, same, saved_as, with_current, without, written_by
from tests.cases import for_each


class Left(Connection):
    """One app."""


class Right(Connection):
    """The other."""


class Settings(Config):
    left: Left
    right: Right


left, right = Component("left", connection=Left), Component("right", connection=Right)


@left.trigger(key=pointer("/id"), reads=Reads("thing"))
async def told(request: Request) -> Json:
    """A thing changed."""
    return request.json()


@left.trigger()
async def untold(request: Request) -> Json:
    """Something changed."""
    return request.json()


def integration() -> Integration[Settings]:
    return Integration("two-ways", config=Settings)


@pytest.mark.parametrize(
    ("sides", "master", "reason"),
    [
        ({"left": "thing"}, None, "give two sides"),
        ({"left": "thing", "middle": "thing"}, None, "'middle' is no connection of the config"),
        ({"left": "thing", "right": "thing"}, "middle", "the master 'middle' is neither"),
    ],
)
def test_pairs_that_cannot_be_are_refused(
    sides: dict[str, str], master: str | None, reason: str
) -> None:
    with pytest.raises(DefinitionError, match=reason):
        integration().pairs("things", master=master, **sides)


def test_two_records_of_one_kind_cannot_be_told_apart() -> None:
    class Both(Config):
        one: Left
        two: Left

    with pytest.raises(DefinitionError, match=r"both sides are left\.thing"):
        Integration("both", config=Both).pairs("things", one="thing", two="thing")


def test_pairs_have_one_name() -> None:
    made = integration()
    made.pairs("things", left="thing", right="thing")
    with pytest.raises(DefinitionError, match="defined twice"):
        made.pairs("things", left="thing", right="thing")


def test_a_flow_with_pairs_needs_a_trigger_that_tells_of_a_record() -> None:
    made = integration()
    things = made.pairs("things", left="thing", right="thing")

    async def flow(ctx: Context[Settings], thing: Json) -> None: ...

    with pytest.raises(DefinitionError, match="declare key= and reads= on it"):
        made.flow(trigger=untold, pairs=things)(flow)
    assert made.flow(trigger=told, pairs=things)(flow).side == "left"


def test_a_flow_cannot_have_the_pairs_of_another_integration() -> None:
    async def flow(ctx: Context[Settings], thing: Json) -> None: ...

    things = integration().pairs("things", left="thing", right="thing")
    with pytest.raises(DefinitionError, match="pairs of another integration"):
        integration().flow(trigger=told, pairs=things)(flow)


def test_a_flow_that_starts_at_neither_side_is_refused() -> None:
    class Three(Config):
        left: Left
        right: Right
        third: Third

    async def flow(ctx: Context[Three], thing: Json) -> None: ...

    made = Integration("three", config=Three)
    things = made.pairs("things", right="thing", third="thing")
    with pytest.raises(DefinitionError, match="starts at left, which is neither side"):
        made.flow(trigger=told, pairs=things)(flow)


class Third(Connection):
    """A third one."""


Component("third", connection=Third)


class Thing(Model):
    id: str = Field(alias="Id")
    name: str = Field(alias="Name")
    amount: Decimal | None = Field(None, alias="Amount")


@left.trigger(reads=Reads("thing", "Id", fields=("Name", "Amount")))
async def renamed(request: Request) -> Thing | Ignore | None:
    """A thing has another name."""
    return Thing.model_validate(request.json())


def test_an_event_tells_of_a_record_by_the_apps_names() -> None:
    event = Thing.model_validate({"Id": "t1", "Name": "A", "Amount": "1.50"})
    found = read_of(Reads("thing", record="Id"), "left", event)
    assert found is not None
    assert (found.name, found.fields) == (
        "left/thing/t1",
        {"Name": "A", "Amount": Decimal("1.50")},
    )


@pytest.mark.parametrize(
    ("reads", "reason"),
    [
        (Reads("thing"), "reads= names 'id', and its event has Id, as the app calls it"),
        (
            Reads("thing", "Id", fields=("Name", "amount")),
            "names 'amount', and its event has Amount",
        ),
        (
            Reads("thing", "Id", fields=("Prise",)),
            "names 'Prise', and its event has Id, Name, Amount",
        ),
    ],
)
def test_a_field_that_no_event_has_would_be_null_for_ever(reads: Reads, reason: str) -> None:
    async def changed(request: Request) -> Thing | Ignore:
        """A thing changed."""
        return Thing.model_validate(request.json())

    with pytest.raises(DefinitionError, match=reason):
        left.trigger(key=pointer("/Id"), reads=reads)(changed)


class Free(RootModel[dict[str, str]]):
    """A thing with whatever fields."""


class Shown(Model):
    inner: dict[str, str]

    @model_serializer
    def shown(self) -> dict[str, str]:
        return self.inner


@pytest.mark.parametrize("thing", [Free({"Id": "t1"}), Shown(inner={"Id": "t1"})])
def test_an_event_that_shows_other_fields_than_its_types_is_read(thing: Any) -> None:
    async def changed(request: Request) -> Any:
        """A thing changed."""
        return thing

    changed.__annotations__["return"] = type(thing)
    component, reads = Component(f"shows_{type(thing).__name__.lower()}"), Reads("thing", "Id")
    component.trigger(key=pointer("/Id"), reads=reads)(changed)
    found = read_of(reads, component.name, thing)
    assert found is not None
    assert found.id == "t1"


@pytest.mark.parametrize(
    ("writes", "reason"),
    [
        (Writes("thing", "Id", fields=("nmae",)), "'nmae', which is no input; its inputs: name"),
        (Writes("thing", "Id", fields=("name",)), "'name', which its result has as Name"),
        (Writes("thing"), "record='id', which is neither .* as the app calls it: Id, Name, Amount"),
    ],
)
def test_what_is_written_has_the_apps_names_too(writes: Writes, reason: str) -> None:
    async def make(crm: Left, name: str) -> Thing:
        """Make a thing."""
        return Thing(Id="1", Name=name)

    with pytest.raises(DefinitionError, match=reason):
        left.action(writes=writes)(make)


def test_what_is_ignored_and_what_makes_the_kind_is_not_compared() -> None:
    reads = Reads("{type}", record="Id", ignore=("Stamp",))
    found = read_of(reads, "left", {"type": "Thing", "Id": "t1", "Stamp": "now", "Name": "A"})
    assert found is not None
    assert (found.name, found.fields) == ("left/Thing/t1", {"Name": "A"})


def test_a_record_may_lie_within_an_event_and_a_result() -> None:
    reads = Reads("{object}", within="properties", ignore=("stamp",))
    event = {"object": "contacts", "id": "7", "properties": {"email": "a@x", "stamp": "now"}}
    found = read_of(reads, "left", event)
    assert found is not None
    assert (found.name, found.fields) == ("left/contacts/7", {"email": "a@x"})
    fresh = with_current(reads, event, {"email": "b@x"})
    assert fresh == {**event, "properties": {"email": "b@x", "stamp": "now"}}
    assert with_current(Reads("thing"), {"id": 7, "name": "A"}, {"name": "B"}) == {
        "id": 7,
        "name": "B",
    }
    writes = Writes("{object}", fields=("properties",), within="properties")
    inputs = {"object": "contacts", "id": "7", "properties": {"email": "B@x"}}
    saved = saved_as(
        written_by(writes, "left", inputs), writes, b'{"id":"7","properties":{"email":"b@x"}}'
    )
    assert (saved.name, saved.fields) == ("left/contacts/7", {"email": "b@x"})
    nothing = read_of(reads, "left", {"id": "7", "object": "contacts", "properties": None})
    assert nothing is not None
    assert nothing.fields == {}


def test_a_field_that_an_event_omits_is_empty() -> None:
    found = read_of(Reads("thing", fields=("name", "amount")), "left", {"id": 7, "name": "A"})
    assert found is not None
    assert (found.id, found.fields) == ("7", {"name": "A", "amount": None})


@for_each("event", [{"name": "A"}, {"id": ""}, "a text", None])
def test_an_event_without_an_id_tells_of_no_record(event: Any) -> None:
    assert read_of(Reads("thing"), "left", event) is None


def test_inputs_say_what_is_written() -> None:
    writes = Writes("{object}", fields=("fields", "name", "key"))
    inputs = {
        "object": "Thing",
        "id": "t1",
        "fields": {"Amount": Decimal("1.50"), "Left": UNSET},
        "name": UNSET,
        "key": SecretStr("x"),
    }
    written = written_by(writes, "left", inputs)
    assert (written.name, written.fields) == ("left/Thing/t1", {"Amount": Decimal("1.50")})


def test_a_result_says_what_was_saved_and_who_it_is() -> None:
    writes = Writes("thing", fields=("name", "amount"))
    asked = written_by(writes, "left", {"name": " A ", "amount": Decimal("1.005")})
    saved = saved_as(asked, writes, b'{"id":"t9","name":"A","amount":1.01}')
    assert (saved.name, saved.fields) == (
        "left/thing/t9",
        {"name": "A", "amount": Decimal("1.01")},
    )
    assert saved_as(asked, writes, b"null") == asked


def test_what_is_to_stay_is_taken_out_of_the_arguments() -> None:
    writes = Writes("thing", fields=("fields", "name"))
    given = {"id": "t1", "fields": {"a": 1, "b": 2}, "name": "mine"}
    assert without(writes, given, {"a": 9, "name": "hers"}) == {
        "id": "t1",
        "fields": {"b": 2},
        "name": "hers",
    }


@for_each(
    ("one", "other"),
    [
        (None, ""),
        ("1.50", Decimal("1.5")),
        (True, "true"),
        (220, Decimal("220.00")),
        ("2026-01-31T10:00:00.000+0000", "2026-01-31T10:00:00Z"),
        ({"a": [1]}, {"a": [1]}),
    ],
)
def test_values_are_the_same_however_an_app_writes_them(one: Any, other: Any) -> None:
    assert same(one, other)
    assert same(other, one)


@for_each(
    ("one", "other"),
    [
        (None, 0),
        ("007", "7"),
        ("A", "a"),
        (1, "one"),
        (True, 1),
        (None, False),
        ("1.50", "1.5"),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:01Z"),
        ("2026-01-31T23:59:60Z", "2026-01-31T23:59:59Z"),
        ("2026-02-30T10:00:00Z", "2026-02-28T10:00:00Z"),
        ([1], {"a": 1}),
    ],
)
def test_values_that_differ_are_not_the_same(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same(other, one)
