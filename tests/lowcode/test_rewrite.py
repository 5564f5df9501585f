"""Edits of a document's text: they say what was asked for, and lose nothing that they did not touch."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from halflap.errors import DefinitionError
from halflap.lowcode import Draft, SourceText, UnwritableEdit, read
from halflap.lowcode.source import held
from tests.cases import for_each
from tests.lowcode.documents import DOCUMENTS

Path = tuple[Any, ...]

RICH = """\
# c1: an integration, 名前, with all that people write
name: rich   # c2
title: 'It''s "rich"'

# c3: what the customer fills in
config:
  # c4
  Options:
    limit: {type: integer, default: 3}   # c5
    region: {choices: {eu: Europe,   us: "United\\tStates"}, # c6
             default: eu}

flows:
  main:
    trigger: webhook.request
    steps: # c7

      # c8: first of all
      - log: hello # c9

      - id: found
        # c10: about the action
        action: acme.find
        with:
          # c11
          text: |  # c12
            several lines
              # no comment
            end
          folded: >-
            a long
            text

          plain: this goes on
            below
          list: [1, 2.50, "3",   # c13
                 four]
          # c14: after the last input
      - if: =found = null # c15
        then: [{log: none}, {stop: true}] # c16
        else:
          - {log: "some: =found", level: info}
          # c17: below the last
      - for: item
        in: =event.items
        do:
        - set: {last: =item}   # c18
        - if: =item.id = 1
          then:
          - break: true
          # c19
      # c20: the end of main
  # c21: another flow
  other:
    trigger: webhook.request
    note:
    steps: [{log: x}]

tests:
  # c22
  - name: first
    flow: main
    event: {items: [{id: 1}]}

  # c23: the second

  - name: second # c24
    flow: other
# c25: the end
"""
STEP = {"id": "made", "action": "acme.make", "with": {"a": "=found, x", "b": [1, {"c": None}]}}
KEPT = re.compile(r"# c\d+\b")


def paths(data: Any) -> list[Path]:
    """The path of every value."""
    return [path for _, path in held(data) if path]


def at(data: Any, path: Path) -> Any:
    for each in path:
        data = data[each]
    return data


def of(data: Any, kind: type) -> list[Path]:
    return [each for each in paths(data) if isinstance(at(data, each), kind)]


def exact(value: Any) -> Any:
    """A value in which 1 and true are two."""
    if isinstance(value, dict):
        return {(type(name), name): exact(each) for name, each in value.items()}
    if isinstance(value, list):
        return [exact(each) for each in value]
    return (isinstance(value, bool), value)


def extent(source: SourceText, path: Path) -> range:
    """The lines of a value, of its key, and of the comments that belong to it."""
    lines = source.text.splitlines()
    mine = [
        place.line for at, place in (source.values | source.keys).items() if at[: len(path)] == path
    ]
    places = {at: place.line for at, place in source.values.items()}
    places |= {at: place.line for at, place in source.keys.items()}
    others = [line for at, line in places.items() if at[: len(path)] != path]
    key = source.key(path)
    first, last = min(key.line, *mine), max(mine)
    line = lines[first - 1]
    column = len(line) - len(line.lstrip())
    while first > 1 and re.match(rf" {{{column}}}#", lines[first - 2]):
        first -= 1
    end = min((each for each in others if each > last), default=len(lines) + 1)
    while last + 1 < end and not re.match(rf" {{0,{column}}}#", lines[last]):
        last += 1
    return range(first, last + 1)


def comments(text: str, lines: range | None = None) -> set[str]:
    held = text.splitlines()
    chosen = held if lines is None else [held[each - 1] for each in lines]
    return {found for each in chosen for found in KEPT.findall(each)}


def check(before: SourceText, after: SourceText, wanted: Any, gone: Path | None) -> None:
    """Assert that an edit is what was asked for, and that only what is gone has taken comments along."""
    assert exact(after.data) == exact(wanted)
    lost = comments(before.text) - comments(after.text)
    may = comments(before.text, extent(before, gone)) if gone is not None else set()
    assert lost <= may, f"lost {lost - may} by {gone}:\n{after.text}"
    assert ("\r\n" in before.text) == ("\r\n" in after.text)
    assert "\n" not in after.text.replace("\r\n", "") or "\r\n" not in before.text


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1000, 10**20)
    | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9)
    | st.text(max_size=20)
    | st.sampled_from(
        [
            "=a, b",
            "a: b",
            " x",
            "- a",
            "no",
            "007",
            "1e3",
            "a #b",
            "l1\nl2",
            "l\n\n",
            "=a\n& b\n",
            "é: 😀",
        ]
    ),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers() | st.booleans(), each, max_size=3)
    ),
    max_leaves=6,
)
STEPS = st.sampled_from([STEP, {"log": "=item"}, {"if": True, "then": [STEP], "else": []}])


def edit(draft: Draft, data: st.DataObject) -> None:
    """One random edit, and what it has to be."""
    before = draft.source
    wanted = deepcopy(before.data)
    gone: Path | None = None
    lists = of(wanted, list)
    match data.draw(st.sampled_from(["set", "add", "insert", "delete", "move"])):
        case "set":
            gone = data.draw(st.sampled_from(paths(wanted)))
            value = data.draw(
                VALUES | st.sampled_from([at(wanted, each) for each in paths(wanted)])
            )
            value = deepcopy(value)
            at(wanted, gone[:-1])[gone[-1]] = value
            draft.set(gone, value)
        case "add":
            holder = data.draw(st.sampled_from([(), *of(wanted, dict)]))
            name, value = data.draw(st.sampled_from(["new", 1, True, "a b"])), data.draw(VALUES)
            gone = (*holder, name) if name in at(wanted, holder) else None
            if any(each == name and type(each) is not type(name) for each in at(wanted, holder)):
                return  # to Python, 1 and true are one key
            at(wanted, holder)[name] = value
            draft.set((*holder, name), value)
        case "insert" if lists:
            holder, value = data.draw(st.sampled_from(lists)), data.draw(STEPS | VALUES)
            place = data.draw(st.integers(0, len(at(wanted, holder))))
            at(wanted, holder).insert(place, value)
            draft.insert(holder, place, value)
        case "delete":
            gone = data.draw(st.sampled_from(paths(wanted)))
            if gone[:-1] or len(wanted) > 1:
                del at(wanted, gone[:-1])[gone[-1]]
                draft.delete(gone)
        case "move":
            items = [
                each for each in paths(wanted) if isinstance(each[-1], int) and each[:-1] in lists
            ]
            item = data.draw(st.sampled_from(items or [()]))
            aims = [each for each in lists if each[: len(item)] != item]
            if not item or not aims:
                return
            to = data.draw(st.sampled_from(aims))
            place = data.draw(st.integers(0, len(at(wanted, to))))
            target, source = at(wanted, to), at(wanted, item[:-1])
            moved = source[item[-1]]
            target.insert(place, moved)
            del source[item[-1] + (source is target and place <= item[-1])]
            draft.move(item, to, place)
        case _:
            return
    check(before, draft.source, wanted, gone)


@settings(suppress_health_check=list(HealthCheck))
@given(st.data(), st.booleans())
def test_random_edits_say_what_was_asked_for_and_lose_no_comment(
    data: st.DataObject, windows: bool
) -> None:
    draft = Draft.read(RICH.replace("\n", "\r\n") if windows else RICH, "rich.yaml")
    for _ in range(data.draw(st.integers(1, 6))):
        edit(draft, data)


def naive(source: SourceText, edit: Callable[[Any], None]) -> SourceText:
    """The control: a document that is read, edited as data, and written anew."""
    data, out = deepcopy(source.data), io.StringIO()
    edit(data)
    yaml = YAML(typ="rt")
    yaml.dump(json_of(data), out)
    return read(out.getvalue(), source.file)


def json_of(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: json_of(each) for name, each in data.items()}
    if isinstance(data, list):
        return [json_of(each) for each in data]
    return float(data) if isinstance(data, Decimal) else data


def test_the_check_sees_a_lost_comment_a_wrong_value_and_another_line_end() -> None:
    before = read(RICH, "rich.yaml")
    wanted = deepcopy(before.data)
    wanted["title"] = "new"
    draft = Draft.read(RICH, "rich.yaml")
    draft.set(("title",), "new")
    check(before, draft.source, wanted, ("title",))
    with pytest.raises(AssertionError, match="lost"):
        check(before, naive(before, lambda data: data.update(title="new")), wanted, ("title",))
    with pytest.raises(AssertionError, match="c25"):
        check(before, read(draft.source.text.replace("# c25", "#"), ""), wanted, ("title",))
    for old, new in (("stop: true", "stop: 1"), ("four", "five"), ("\n", "\r\n")):
        with pytest.raises(AssertionError):
            check(before, read(draft.source.text.replace(old, new), ""), wanted, ("title",))


# Documents as people have them ----------------------------------------------------------------

SHOWN = DOCUMENTS | {"rich": RICH, "windows": RICH.replace("\n", "\r\n")}


@for_each("text", SHOWN.values(), ids=SHOWN)
def test_what_does_not_change_stays_byte_for_byte(text: str) -> None:
    content = b"\xef\xbb\xbf" + text.encode()
    draft = Draft.read(content, "x.yaml")
    assert draft.to_bytes() == content
    for path in paths(draft.source.data):
        draft.set(path, deepcopy(draft.value(path)))
    assert draft.to_bytes() == content


@for_each("text", [SHOWN[each] for each in SHOWN if each != "salesforce_acme.yaml"])
def test_what_is_inserted_and_deleted_again_leaves_no_trace(text: str) -> None:
    for path in of(read(text, "x.yaml").data, list):
        draft = Draft.read(text, "x.yaml")
        if in_brackets(draft, path):
            continue  # a step in brackets is written as a block from then on
        last = len(draft.value(path))
        for place in sorted({0, last // 2, last}):
            draft.insert(path, place, STEP)
            assert len(draft.source.text.splitlines()) > len(text.splitlines())
            draft.delete((*path, place))
            assert draft.source.text == text


def in_brackets(draft: Draft, path: Path) -> bool:
    """Return whether a list stands in brackets, or in what does."""
    places = [draft.source.place(path[:length]) for length in range(1, len(path) + 1)]
    lines = draft.source.text.splitlines()
    return any(lines[each.line - 1][each.column - 1] in "[{" for each in places)


# One by one -----------------------------------------------------------------------------------

SMALL = """\
name: small
flows:
  main:
    trigger: webhook.request
    steps:
      # look it up
      - {id: known, action: acme.find, with: {id: =event.id}}  # maybe
      - if: "=known = null ? true : $known.known = 'known'"
        then: [{log: ="a " & known.name}] # nobody
      - set: {count: "=$count(event.items[id = $known.id])"}
      - log: |
          =count & known.x
          & $uppercase($.known.y)
      - code: return known
        with: {known: =known}
  other:
    trigger: webhook.request
    steps: [{id: known, log: x}]
"""
STEPS_AT = ("flows", "main", "steps")


def edited(text: str, edit: Callable[[Draft], None]) -> list[str]:
    """The lines that an edit has made."""
    draft = Draft.read(text, "small.yaml")
    edit(draft)
    before = text.splitlines()
    return [each for each in draft.source.text.splitlines() if each not in before]


def test_a_name_changes_with_all_its_uses_and_only_in_its_flow() -> None:
    assert edited(SMALL, lambda draft: draft.rename("main", "known", "account")) == [
        "      - {id: account, action: acme.find, with: {id: =event.id}}  # maybe",
        "      - if: \"=account = null ? true : $account.known = 'known'\"",
        '        then: [{log: ="a " & account.name}] # nobody',
        '      - set: {count: "=$count(event.items[id = $account.id])"}',
        "          =count & account.x",
        "          & $uppercase($.account.y)",
        "        with: {known: =account}",
    ]
    assert edited(SMALL, lambda draft: draft.rename("main", "count", "n")) == [
        '      - set: {n: "=$count(event.items[id = $known.id])"}',
        "          =n & known.x",
    ]


FLOWS = """\
name: flows
preprocess:
  incoming:
    trigger: webhook.request
    routes:
      - {when: =event.pay, flow: pay} # pay
flows:
  pay:
    title: pay
    trigger: webhook.request
    steps:
      - stop: {answer: =urls.pay}
  main:
    trigger: webhook.request
    steps:
      - {id: paid, call: pay, event: {pay: =event.pay}}
      - {title: "= a pay (once", log: x}
      - {log: "=$string(paid) & urls.pay & $secrets.`pay` & urls.main"}
tests:
  - name: pay
    flow: main
    event: {pay: 1, action: pay}
    urls: {pay: https://pay.test}
    stubs: {pay: {pay: 1}}
    expect: [{pay: {pay: 1}}]
"""


def test_a_flow_changes_its_name_with_its_calls_routes_tests_and_urls() -> None:
    assert edited(FLOWS, lambda draft: draft.rename_flow("pay", "settle")) == [
        "      - {when: =event.pay, flow: settle} # pay",
        "  settle:",
        "      - stop: {answer: =urls.settle}",
        "      - {id: paid, call: settle, event: {pay: =event.pay}}",
        '      - {log: "=$string(paid) & urls.settle & $secrets.`settle` & urls.main"}',
        "    urls: {settle: https://pay.test}",
        "    stubs: {settle: {pay: 1}}",
        "    expect: [{settle: {pay: 1}}]",
    ]
    assert edited(FLOWS, lambda draft: draft.rename_flow("incoming", "coming")) == ["  coming:"]


@for_each(
    ("old", "new", "said"),
    [
        ("pay", "main", "there is a flow 'main' already"),
        ("pay", "incoming", "there is a flow 'incoming' already"),
        ("pay", "a-b", "'a-b' cannot be a name"),
        ("pey", "x", "there is no flow 'pey'"),
    ],
)
def test_a_flow_keeps_its_name_where_another_one_would_be_wrong(
    old: str, new: str, said: str
) -> None:
    draft = Draft.read(FLOWS, "flows.yaml")
    with pytest.raises(DefinitionError, match=re.escape(said)):
        draft.rename_flow(old, new)
    assert draft.source.text == FLOWS


@for_each("text", SHOWN.values(), ids=SHOWN)
def test_a_name_that_is_changed_and_changed_back_leaves_no_trace(text: str) -> None:
    draft = Draft.read(text, "x.yaml")
    for path in paths(deepcopy(draft.value())):
        if path[0] == "flows" and path[-1] == "id" and isinstance(path[-2], int):
            old = draft.value(path)
            draft.rename(path[1], old, "some_other_name")
            assert draft.value(path) == "some_other_name"
            draft.rename(path[1], "some_other_name", old)
    assert draft.source.text == text


@for_each(
    ("flow", "old", "new", "said"),
    [
        ("main", "known", "count", "small.yaml:5:5: 'count' is a name in main already"),
        ("main", "known", "event", "'event' cannot be a name"),
        ("main", "known", "and", "'and' cannot be a name"),
        ("main", "known", "a b", "'a b' cannot be a name"),
        ("main", "event", "x", "no step of main gives the name 'event'"),
        ("mein", "known", "x", "there is no flow 'mein'"),
    ],
)
def test_a_name_that_would_mean_another_thing_is_refused(
    flow: str, old: str, new: str, said: str
) -> None:
    draft = Draft.read(SMALL, "small.yaml")
    with pytest.raises(DefinitionError, match=re.escape(said.removeprefix("small.yaml:5:5: "))):
        draft.rename(flow, old, new)
    assert draft.source.text == SMALL


@for_each(
    ("edit", "lines"),
    [
        (
            lambda draft: draft.move((*STEPS_AT, 0), (*STEPS_AT, 1, "then"), 0),
            [
                "        then: # nobody",
                "          # look it up",
                "          - {id: known, action: acme.find, with: {id: =event.id}}  # maybe",
                '          - {log: ="a " & known.name}',
            ],
        ),
        (
            lambda draft: draft.insert((*STEPS_AT, 1, "else"), 0, {"throw": "a, b: c"}),
            ["        else:", '          - throw: "a, b: c"'],
        ),
        (
            lambda draft: draft.set((*STEPS_AT, 0, "with"), {"id": "=event.id", "n": "=a, b"}),
            ['      - {id: known, action: acme.find, with: {id: =event.id, n: "=a, b"}}  # maybe'],
        ),
        (
            lambda draft: draft.set((*STEPS_AT, 0, "title"), "A title", after="id"),
            [
                "      - {id: known, title: A title, action: acme.find, "
                "with: {id: =event.id}}  # maybe"
            ],
        ),
        (
            lambda draft: draft.set((*STEPS_AT, 3, "note"), "seen"),
            ["        note: seen"],
        ),
        (
            lambda draft: draft.add_test({"name": "one", "flow": "main", "event": {"id": "007"}}),
            ["tests:", "  - name: one", "    flow: main", '    event: {id: "007"}'],
        ),
    ],
    ids=["move", "insert", "set", "add-inline", "add", "test"],
)
def test_edits_are_written_as_a_person_would(
    edit: Callable[[Draft], None], lines: list[str]
) -> None:
    assert edited(SMALL, edit) == lines


ALIASED = "name: a\nflows:\n  one: &one\n    trigger: t\n    steps: [{log: x}]\n  two: *one\n"


@for_each(
    ("edit", "said"),
    [
        (lambda draft: draft.set(("flows", "two", "title"), "x"), "written elsewhere"),
        (lambda draft: draft.set(("flows", "one", "title"), "x"), "cannot be written as it stands"),
        (lambda draft: draft.delete(("flows", "one")), "no &one stands before it"),
        (lambda draft: draft.delete(("flows", "three")), "there is no flows.three here"),
        (lambda draft: draft.insert(("flows",), 0, {}), "this is no list"),
        (lambda draft: draft.set(("name", "x"), 1), "this is no mapping"),
        (lambda draft: draft.set((), []), "the whole document cannot be replaced"),
        (lambda draft: draft.move(("flows",), ("flows", "one"), 0), "into itself"),
    ],
)
def test_what_cannot_be_written_is_refused_and_changes_nothing(
    edit: Callable[[Draft], None], said: str
) -> None:
    draft = Draft.read(ALIASED, "a.yaml")
    with pytest.raises(UnwritableEdit, match=re.escape(said)) as raised:
        edit(draft)
    assert str(raised.value).startswith("a.yaml:")
    assert draft.source.text == ALIASED


def test_an_alias_is_replaced_as_a_whole() -> None:
    draft = Draft.read(ALIASED, "a.yaml")
    draft.set(("flows", "two"), {"trigger": "t"})
    assert draft.source.text.endswith("  two: {trigger: t}\n")
