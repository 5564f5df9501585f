"""The roles of steps' fields: everything that walks a flow is derived from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from operator import eq
from typing import Any

import pytest

from halflap.lowcode import Components, document_of, read
from halflap.lowcode.assist import analyse, definition, explain, symbols
from halflap.lowcode.assist.pointing import given_at
from halflap.lowcode.kinds import KINDS, raw, walk
from halflap.lowcode.kinds.role import Asks, Block, Gives, Refers
from halflap.lowcode.lint import Shapes, lint_text
from halflap.lowcode.lint.rules import UNKNOWN
from halflap.lowcode.rewrite import Draft
from halflap.lowcode.rewrite.names import flow_renamed, renamed
from halflap.lowcode.scoping import scoping_of
from halflap.lowcode.source import Path
from tests.cases import for_each
from tests.lowcode.convert.twins import python_of
from tests.lowcode.documents import own

TEXT = """\
name: whole
config:
  Connect:
    acme: {connection: acme}
    other: {connection: acme}
pairs:
  both: {sides: {acme: account, other: contact}}
flows:
  main:
    trigger: webhook.request
    steps:
      - set: {n: =event.n}
      - {id: acted, action: acme.get_account, connection: acme, with: {id: =n}}
      - {id: coded, code: return x, with: {x: =n}}
      - {id: called, call: sub, event: {n: =n}}
      - {sleep: =n}
      - {id: waited, wait: go, timeout: =n}
      - {id: linked, links: go, choices: [a], text: =n, within: =n}
      - {id: stored, state: get, key: =n, default: [=n]}
      - {state: put, key: =n, value: =n, expect: =n}
      - {id: found, paired: both, with: {acme: =n}}
      - {pair: both, with: {acme: =n, other: =n}}
      - {unpair: both, with: {acme: =n}}
      - {log: =n, fields: {x: =n}}
      - if: =n
        then: [{set: {then: =n}}]
        else: [{set: {else: =n}}]
      - switch: =n
        cases: {a: [{set: {case: =n}}]}
        default: [{set: {default: =n}}]
      - id: looped
        for: item
        in: =n
        where: =n
        parallel: 2
        key: =n
        collect: =n
        do: [{set: {inner: =item}}]
      - {for: each, in: =n, do: [{set: {own: 1}}, {if: =each, then: [{break: true}]}]}
      - try: [{set: {tried: =n}}]
        error: failed
        catch: [{throw: =failed.message & n}]
      - if: =n = 1
        then: [{stop: {ignore: =n}}]
      - if: =n = 2
        then: [{stop: {reply: {status: =n, body: =n, headers: {x: =n}}}}]
      - if: =n = 3
        then: [{continue_with: {n: =n}}]
      - stop: {answer: [=n, =acted, =coded, =called, =waited, =linked, =stored, =found, =looped]}
  sub:
    trigger: webhook.request
    steps: [{stop: true}]
"""
SHAPES = Shapes(Components(own))
NAMES = ("n", "acted", "coded", "called", "waited", "linked", "stored", "found", "looped", "item")
NAMES += ("then", "else", "case", "default", "inner", "each", "own", "tried", "failed")
REFERENCES = ("acme, with", "acme.get_account", "sub, event", "both, with")


def facts() -> Iterator[Any]:
    """Yield what one walk after another finds out of the document."""
    source = read(TEXT, "whole.yaml")
    document = document_of(source)
    steps, path = document.flows["main"].steps, ("flows", "main", "steps")
    scoping = scoping_of(steps, path, source)
    yield [place for place, _ in walk.every(steps, path)]
    yield [
        (place, *each) for place, step in walk.every(steps, path) for each in walk.templates(step)
    ]
    yield (scoping.names, scoping.own, scoping.copied, scoping.outward)
    yield [str(each) for each in lint_text(TEXT, "whole.yaml", SHAPES)]
    yield [_changes(source, name) for name in NAMES]
    yield flow_renamed(source, "sub", "zz")
    yield python_of(TEXT)
    yield _written()
    analysis = analyse(TEXT, "whole.yaml", SHAPES)
    yield symbols(analysis)
    yield list(_references(analysis))


def _changes(source: Any, name: str) -> Any:
    try:
        return renamed(source, "main", name, "zz")
    except Exception as error:
        return str(error)


def _references(analysis: Any) -> Iterator[Any]:
    for line, text in enumerate(TEXT.splitlines()):
        for each in REFERENCES:
            if each in text and "steps" not in text:
                column = text.index(each) + 1
                at = analysis, line, column
                yield given_at(*at), definition(*at), explain(*at)


def _written() -> str:
    """The document with a step of each kind written anew."""
    draft = Draft.read(TEXT, "whole.yaml")
    for kind in ("if", "switch", "for", "try"):
        at = next(i for i, each in enumerate(STEPS) if kind in each)
        draft.set(("flows", "main", "steps", at, "title"), "A title")
        draft.insert(("flows", "main", "steps"), 0, {"then": 1, **STEPS[at]})
    return draft.source.text


STEPS: Any = read(TEXT, "whole.yaml").data["flows"]["main"]["steps"]
ROLES = [
    (kind, field.attribute, role)
    for kind, model in KINDS.items()
    for field in walk.fields_of(model)
    for role in field.roles
    if isinstance(role, Asks | Block | Gives | Refers)
]


@pytest.fixture(scope="module")
def whole() -> list[Any]:
    return list(facts())


@for_each(("kind", "attribute", "role"), ROLES, ids=str)
def test_a_role_that_is_dropped_is_missed(
    kind: str, attribute: str, role: object, whole: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    field = KINDS[kind].model_fields[attribute]
    monkeypatch.setattr(field, "metadata", [each for each in field.metadata if each is not role])
    caches = (walk.fields_of, raw._fields, raw._block_keys, raw.needed_blocks)
    for each in caches:
        each.cache_clear()
    try:
        missed = not all(map(eq, facts(), whole))
    except Exception:
        missed = True
    finally:
        monkeypatch.undo()
        for each in caches:
            each.cache_clear()
    assert missed


def test_every_kind_stands_in_the_document() -> None:
    document = document_of(read(TEXT, "whole.yaml"))
    found = {type(each) for flow in document.flows.values() for _, each in walk.every(flow.steps)}
    assert found == set(KINDS.values())


def test_lint_walks_each_block_and_knows_each_name() -> None:
    path: Path = ("flows", "main", "steps")
    steps = document_of(read(TEXT, "whole.yaml")).flows["main"].steps
    inside = [
        (*at, *key) for at, each in walk.every(steps, path) for key, _, _ in walk.blocks(each)
    ]
    for block in inside:
        draft = Draft.read(TEXT, "whole.yaml")
        draft.insert(block, 0, {"log": "=nowhere"})
        found = lint_text(draft.source.text, "whole.yaml", SHAPES)
        assert [each for each in found if "nowhere" in each.message], block
    assert not [each for each in lint_text(TEXT, "whole.yaml", SHAPES) if each.code == UNKNOWN]


def test_a_template_is_renamed_under_a_key_that_holds_steps_elsewhere() -> None:
    changes = renamed(read(TEXT, "whole.yaml"), "main", "n", "zz")
    assert (("flows", "main", "steps", 7, "default", 0), "=zz", False) in changes


ASKED = [
    (kind, field.attribute, weaker, n)
    for kind, model in KINDS.items()
    for field in walk.fields_of(model)
    if (asks := field.role(Asks)) is not None
    for weaker, n, strong in (
        (replace(asks, recorded=False), "=execution.attempt", asks.recorded),
        (replace(asks, sort="value"), "null", asks.sort == "text"),
    )
    if strong
]


@for_each(("kind", "attribute", "weaker", "n"), ASKED, ids=str)
def test_what_a_field_asks_is_linted_by_its_role_alone(
    kind: str, attribute: str, weaker: Asks, n: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TEXT.replace("{n: =event.n}", f"{{n: {n}}}").replace("=failed.message & n", "=n")
    whole = lint_text(text, "whole.yaml", SHAPES)
    field = KINDS[kind].model_fields[attribute]
    others = [each for each in field.metadata if not isinstance(each, Asks)]
    monkeypatch.setattr(field, "metadata", [*others, weaker])
    walk.fields_of.cache_clear()
    found = lint_text(text, "whole.yaml", SHAPES)
    monkeypatch.undo()
    walk.fields_of.cache_clear()
    assert {each.code for each in whole if each not in found} <= {"HF120", "HF121"}
    assert len(found) < len(whole)
