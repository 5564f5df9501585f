"""Components as they are described for lint: stored with a version, or made by a child process."""

from __future__ import annotations

from pathlib import Path
from random import Random
from textwrap import indent

import pytest

from halflap.lowcode import Components, read
from halflap.lowcode.assist import analyse, complete, definition, explain
from halflap.lowcode.lint import Shapes, lint_text
from halflap.lowcode.lint.describing import (
    component_modules,
    describe_components,
    store_components,
    stored_components,
)
from halflap.lowcode.lint.shapes import dump_shapes, read_shapes
from halflap.lowcode.lint.words import words
from halflap.lowcode.rewrite.write import inline
from tests.cases import for_each, sampled
from tests.lowcode.convert.generated import drawn
from tests.lowcode.documents import EXAMPLES, described, own
from tests.lowcode.test_lint import CASES, documents
from tests.lowcode.test_lint import HEAD as LINTED
from tests.lowcode.test_outline import spoil

pytestmark = pytest.mark.usefixtures("forked")

SHOP = """\
from halflap import Component, Connection, Model


class Shop(Connection):
    key: str = ""


class Line(Model):
    sku: str
    count: int = 1


component = Component("shop", connection=Shop)
print("the shop is imported")


@component.action
async def act(shop: Shop, given: Line, note: str | None = None) -> Line | None:
    '''Act.

    More of it.
    '''


@component.action
def free(given: int) -> int:
    '''Take no connection.'''
"""
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
PACKAGE = {
    "shop/__init__.py": "from shop.base import component\nfrom . import actions\n",
    "shop/base.py": "from halflap import Component, Connection\n"
    "class Shop(Connection): ...\ncomponent = Component('shop', connection=Shop)\n",
    "shop/actions.py": "from .base import Shop, component\n\n\n@component.action\n"
    "async def act(shop: Shop, given: str) -> str | None:\n    'Act.'\n",
}


def written(folder: Path, files: dict[str, str]) -> dict[str, str]:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return files


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    folder = tmp_path_factory.mktemp("shop")
    return Shapes(own=describe_components(folder, written(folder, {"shop.py": SHOP})))


def wrong_documents(seeds: range) -> list[str]:
    """Documents with mistakes: those of each rule, and generated ones that were spoilt."""
    found = [LINTED + indent(case[1].replace("«", ""), "      ") + "\n" for case in CASES.values()]
    chance = Random(11)
    for seed in seeds:
        text = drawn(Random(seed)).text
        data = read(text, "drawn.yaml").data
        for _ in range(3):
            spoil(data["flows"], chance)
        found += [text, inline(data)]
    return [*found, *documents().values()]


@sampled(5, 60)
def test_a_described_component_gives_the_findings_of_a_loaded_one(seeds: range) -> None:
    count, loaded, stored = 0, Shapes(Components(own)), Shapes(own=described())
    for text in wrong_documents(seeds):
        one, other = (
            {(each.line, each.column, each.code) for each in lint_text(text, "f.yaml", shapes)}
            for shapes in (loaded, stored)
        )
        # A Python type takes less than its JSON schema says: true is no decimal.
        assert other <= one, text
        assert {code for *_, code in one - other} <= {"HF104"}, text
        count += len(one)
    assert count > 100


def test_what_is_stored_is_read_as_it_was() -> None:
    assert read_shapes(dump_shapes(described())) == described()
    loaded = Shapes(Components(own)).component("acme")
    assert loaded is not None
    for name, each in described()["acme"].actions.items():
        other = loaded.actions[name]
        assert (each.output, each.connection) == (other.output, other.connection)
        assert [one.schema() for one in each.inputs or ()] == [
            one.schema() for one in other.inputs or ()
        ]


def test_a_projects_component_is_described_by_a_child_process(shop: Shapes) -> None:
    found = shop.component("shop")
    assert found is not None
    act, free = found.actions["act"], found.actions["free"]
    given, note = act.inputs or ()
    assert (words(given.schema()), words(note.schema())) == (
        "an object with sku, count",
        "a text or null",
    )
    assert words(act.output) == "an object with sku, count or null"
    assert (act.title, act.description, act.file, act.line) == ("Act", "Act.", "shop.py", 18)
    assert free.connection is False
    text = f"{HEAD}      - {{action: shop.act, with: {{given: {{sku: 6}}}}}}\n"
    (wrong,) = lint_text(text, "f.yaml", shop)
    assert "the input given.sku is a text, and this gives 6; quote it" in wrong.message


def test_an_editor_knows_the_fields_and_where_an_action_stands(shop: Shapes) -> None:
    step = "      - {id: line, action: shop.act, with: {given: a}}\n"
    text = f"{HEAD}{step}      - log: =line."
    lines = text.split("\n")
    analysis = analyse(text, "f.yaml", shop)
    at = len(lines) - 2, lines[-2].index("act,")
    offered = complete(analysis, len(lines) - 1, len(lines[-1])).offers
    assert [each.label for each in offered] == ["sku", "count"]
    told, there = explain(analysis, *at), definition(analysis, *at)
    assert told is not None
    assert "Act." in told.text
    assert there is not None
    assert (there.file, there.place.line) == ("shop.py", 18)


def test_a_component_of_several_modules_is_one(tmp_path: Path) -> None:
    found = describe_components(tmp_path, written(tmp_path, PACKAGE))
    assert list(found) == ["shop"]
    act = found["shop"].actions["act"]
    assert (act.file, act.line) == ("shop/actions.py", 5)


def test_what_does_not_import_may_have_any_action(tmp_path: Path) -> None:
    files = {"shop.py": SHOP, "broken.py": "def (", "raises.py": "component = 1 / 0\n"}
    files |= {"other.py": "raise SystemExit('this is never imported')\n"}
    found = describe_components(tmp_path, written(tmp_path, files))
    assert {name: each.open for name, each in found.items()} == {
        "shop": False,
        "broken": True,
        "raises": True,
    }
    assert list(component_modules({"other.py": files["other.py"]})) == []
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_project_without_components_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.run", None)
    assert describe_components(EXAMPLES, {"plain.py": "x = 1\n"}) == {}


def test_editors_read_what_was_stored_and_know_when_it_is_old(tmp_path: Path, shop: Shapes) -> None:
    found, place = shop.component("shop"), tmp_path / ".halflap" / "components.json"
    assert found is not None
    assert stored_components(place, {"shop.py": SHOP})["shop"].open
    store_components(place, {"shop.py": SHOP}, {"shop": found})
    assert stored_components(place, {"shop.py": SHOP}) == {"shop": found}
    changed = stored_components(place, {"shop.py": f"{SHOP}\n# changed"})["shop"]
    assert (changed.open, changed.actions) == (True, found.actions)
    place.write_bytes(b"{")
    assert stored_components(place, {"shop.py": SHOP})["shop"].open


BOUNDED = '''
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from halflap import Component

component = Component("shop")


@component.action
def act(
    count: Annotated[int, Field(ge=1, le=9)] = 1,
    price: Annotated[Decimal | None, Field(gt=Decimal("0.5"), multiple_of=Decimal("0.05"))] = None,
    sku: Annotated[str, Field(min_length=2, max_length=4)] | int = "ab",
    lines: list[Annotated[str, Field(max_length=1)]] = [],
) -> None:
    """Act."""
'''


@for_each(
    ("given", "said"),
    [
        ("count: 0", "the input count does not fit: has to be at least 1"),
        ("count: 10", "has to be at most 9"),
        ("price: 0.5", "has to be greater than 0.5"),
        ("price: 1.51", "has to be a multiple of 0.05"),
        ("sku: abcde", "has to have at most 4 characters"),
        ("sku: a", "has to have at least 2 characters"),
        ("lines: [a, ab]", "the input lines.1 does not fit: has to have at most 1 characters"),
        ("{count: 9, price: 1.55, sku: 5, lines: [a]}", ""),
        ("{price: null, sku: abcd, count: =config.x}", ""),
    ],
)
def test_bounds_of_inputs_are_held_without_the_component(
    tmp_path: Path, given: str, said: str
) -> None:
    shapes = Shapes(own=describe_components(tmp_path, written(tmp_path, {"shop.py": BOUNDED})))
    given = given if given.startswith("{") else f"{{{given}}}"
    text = HEAD.replace("shop: {connection: shop}", "x: {type: integer}")
    text += f"      - {{action: shop.act, with: {given}}}\n      - log: =config.x\n"
    found = [each.message for each in lint_text(text, "f.yaml", shapes)]
    assert len(found) == bool(said)
    assert said in "".join(found)
