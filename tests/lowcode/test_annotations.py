"""The types of a project's own components, by their text: what is certain, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halflap.lowcode import Components
from halflap.lowcode.assist import analyse, complete, explain
from halflap.lowcode.lint import Shapes, lint_text, read_components
from halflap.lowcode.lint.words import words
from tests.lowcode.documents import EXAMPLES, own

SHARED = """\
from decimal import Decimal
from halflap import Model
from pydantic import Field

class Money(Model):
    amount: Decimal
    currency: str = "EUR"
"""
SHOP = """\
import datetime
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, ClassVar, Literal, Optional, TypeVar, Union

import halflap
from halflap import UNSET, Component, Connection, Json, Model, Unset
from pydantic import BaseModel, BeforeValidator, Field, field_validator

import shared
from shared import Money

class Shop(Connection): pass

component = shop = Component("shop", connection=Shop)
Kind = Literal["a", "b"]
Many = list["Line"]
T = TypeVar("T")

class Line(Model):
    '''A line.'''
    sku: str
    count: Annotated[int, Field(ge=1)] = 1
    price: Money | None = None
    kind: Kind = Field("a", alias="Kind")
    parts: list["Line"] = []
    SIZE: ClassVar[int] = 3
    def total(self): ...

class More(Line):
    note: str

class Checked(Model):
    sku: str
    @field_validator("sku", mode="before")
    def _(cls, value): return str(value)

class Configured(Model):
    model_config = {"alias_generator": str.upper}
    sku: str

class Plain(BaseModel):
    sku: str

class Colour(Enum):
    RED = "red"

class int2(int): pass

@component.action
async def act(shop: Shop, given: GIVEN) -> GIVEN:
    '''Act.

    More of it.
    '''
"""


def shapes(given: str) -> Shapes:
    files = {"shop.py": SHOP.replace("GIVEN", given), "shared.py": SHARED}
    return Shapes(own=read_components(files))


def action(given: str) -> Any:
    found = shapes(given).component("shop")
    assert found is not None
    return found.actions["act"]


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        ("str", "a text"),
        ("int", "a whole number"),
        ("bool", "true or false"),
        ("float", "a number"),
        ("Decimal", "a number"),
        ("date", "a date"),
        ("datetime.datetime", "a time"),
        ("None", "null"),
        ("str | None", "a text or null"),
        ("Optional[int]", "a whole number or null"),
        ("Union[str, int]", "a text or a whole number"),
        ("str | Unset", "a text"),
        ("list[str]", "a list of texts"),
        ("list", "a list"),
        ("list[Any]", "a list"),
        ("dict[str, int]", "an object"),
        ("Kind", 'one of "a", "b"'),
        ("Literal['x']", '"x"'),
        ("Annotated[str, Field(min_length=1)]", "a text"),
        ("'str'", "a text"),
        ("Money", "an object with amount, currency"),
        ("shared.Money", "an object with amount, currency"),
        ("Line", "an object with sku, count, price, Kind, parts"),
        ("More", "an object with sku, count, price, Kind, parts, note"),
        ("Many", "a list of objects with sku, count, price, Kind, parts"),
        # What the text alone does not say for certain.
        ("Any", ""),
        ("Json", ""),
        ("object", ""),
        ("T", ""),
        ("Checked", ""),
        ("Configured", ""),
        ("Plain", ""),
        ("Colour", ""),
        ("int2", ""),
        ("tuple[int, int]", ""),
        ("set[str]", ""),
        ("str | Checked", ""),
        ("Annotated[str, BeforeValidator(str)]", ""),
        ("Annotated[str, Field(validation_alias='x')]", ""),
        ("halflap.Pairs", ""),
        ("Missing", ""),
        ("list[", ""),
    ],
)
def test_a_type_is_read_from_its_annotation(annotation: str, said: str) -> None:
    if annotation == "list[":
        assert shapes(annotation).component("shop").open  # type: ignore[union-attr]
        return
    found = action(annotation)
    (input,) = found.inputs
    assert (words(input.schema()), words(found.output)) == (said, said)


def test_what_is_read_is_what_the_loaded_component_says() -> None:
    files = {path.name: path.read_text() for path in EXAMPLES.glob("*.py")}
    read, loaded = read_components(files)["acme"], Shapes(Components(own)).component("acme")
    assert loaded is not None
    known = 0
    for name, each in {**read.actions, **read.triggers}.items():
        other = {**loaded.actions, **loaded.triggers}[name]
        assert words(each.output) == words(other.output), name
        types = {one.name: one.schema() for one in other.inputs or ()}
        for one in each.inputs or ():
            said, told = words(one.schema()), words(types[one.name])
            assert not said or not told or said == told, (name, one.name)
            known += bool(said)
    assert known > 30


HEAD = """\
name: tried
config:
  Connect:
    shop: {connection: shop}
flows:
  main:
    trigger: webhook.request
    with: {signature: github}
    steps:
"""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "=1 + 1",
            "the input given is an object with sku, count, price, Kind, parts, and this gives",
        ),
        ("{sku: 6}", "the input given.sku is a text, and this gives 6; quote it"),
        ("{sku: =event.x, count: a}", 'given.count is a whole number, and this gives "a"'),
        ("{sku: a, price: {amount: x}}", "given.price.amount is a number"),
        ("{sku: a, Kind: c}", 'given.Kind is one of "a", "b", and this gives "c"'),
        ("{count: 1}", "needs the field 'sku'"),
        ('{sku: "6", count: =event.n, parts: {sku: b}}', ""),
        ("{sku: a, kind: a}", ""),
        ("=event", ""),
    ],
)
def test_what_cannot_fit_is_found_without_loading(given: str, said: str) -> None:
    text = f"{HEAD}      - {{action: shop.act, with: {{given: {given}}}}}\n"
    found = lint_text(text, "f.yaml", shapes("Line"))
    assert len(found) == bool(said), found
    assert not said or said in found[0].message


def test_an_editor_knows_the_fields_and_what_an_action_does() -> None:
    text = f"{HEAD}      - {{id: line, action: shop.act, with: {{given: a}}}}\n      - log: =line."
    lines = text.split("\n")
    analysis = analyse(text, "f.yaml", shapes("Line"))

    offered = complete(analysis, len(lines) - 1, len(lines[-1])).offers
    told = explain(analysis, len(lines) - 2, lines[-2].index("act,"))

    assert [each.label for each in offered] == ["sku", "count", "price", "Kind", "parts"]
    assert told is not None
    assert "Act." in told.text
    assert "`given`: an object with sku" in told.text


PACKAGE = {
    "shop/__init__.py": "from shop.base import component\nfrom . import actions\n",
    "shop/base.py": "from halflap import Component, Connection\n"
    "class Shop(Connection): ...\ncomponent = Component('shop', connection=Shop)\n",
    "shop/models.py": "from halflap import Model\nclass Line(Model): sku: str\n",
    "shop/actions.py": "from .base import Shop, component\nfrom .models import Line\n"
    "@component.action\nasync def act(shop: Shop, given: str) -> Line | None:\n    'Act.'\n",
}


def test_a_component_of_several_modules_is_read_as_one() -> None:
    found = read_components(PACKAGE)["shop"]
    act = found.actions["act"]
    (input,) = act.inputs or ()

    assert not found.open
    assert (words(input.schema()), words(act.output)) == ("a text", "an object with sku or null")
    assert (act.file, act.line) == ("shop/actions.py", 4)
    told = lint_text(f"{HEAD}      - action: shop.akt\n", "f.yaml", Shapes(own={"shop": found}))
    assert [each.code for each in told] == ["HF102"]


def test_what_another_decorator_may_change_is_not_known() -> None:
    text = PACKAGE["shop/actions.py"].replace("@component.action", "@component.action\n@traced")
    act = read_components({**PACKAGE, "shop/actions.py": text})["shop"].actions["act"]
    assert act.output is None
    assert [(each.name, each.schema()) for each in act.inputs or ()] == [("given", None)]


def test_reading_runs_nothing_and_follows_no_circle(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    source = f"""\
from halflap import Component, Model
open({str(mark)!r}, "w")
component = Component("shop")
A = B
B = A
class One(Two): x: "One"
class Two(One): x: A
@component.action
async def act(one: One, a: A, b: "list[B]") -> Two: ...
"""
    found = read_components({"shop.py": source})["shop"].actions["act"]
    assert [words(each.schema()) for each in found.inputs or ()] == ["", "", "a list"]
    assert found.output is None
    assert not mark.exists()
