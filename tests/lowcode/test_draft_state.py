"""A document that people write together: its keys stay with their steps, and edits beside each other."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from pydantic import TypeAdapter

from halflap.lowcode import Draft, DraftEdit, UnwritableEdit
from halflap.lowcode.rewrite.edits import ReplaceText, difference
from halflap.lowcode.rewrite.merge import patched, rebased, together
from halflap.lowcode.rewrite.state import REST, DraftState, changed_flows
from halflap.lowcode.source import value_at
from tests.cases import for_each, sampled
from tests.lowcode.convert.generated import drawn
from tests.lowcode.test_draft_edits import drawn_edit

EDITS: TypeAdapter[list[Any]] = TypeAdapter(list[DraftEdit])
TEXT = """\
name: tried
flows:
  one:
    trigger: webhook.request
    steps:
      - log: first
      - if: =event.x
        then:
          - log: within
      - log: last
  two:
    trigger: webhook.request
    steps:
      - log: other
preprocess:
  gate:
    trigger: webhook.request
    routes:
      - flow: one
"""
ONE, TWO = ("flows", "one", "steps"), ("flows", "two", "steps")


def opened(text: str = TEXT) -> DraftState:
    return DraftState.open(text, "tried.yaml")


def edited(state: DraftState, *edits: dict[str, Any]) -> Any:
    return state.edited(EDITS.validate_python(edits))


def said(state: DraftState) -> dict[int, Any]:
    """By key, its step without what is in it."""
    found: dict[int, Any] = {}
    for path, key in state.keys.items():
        step: Any = value_at(state.source.data, path)
        assert key not in found
        found[key] = {n: v for n, v in step.items() if not isinstance(v, list | dict)}
    return found


def text_edit(old: str, new: str, text: str) -> dict[str, Any]:
    patch, _ = difference(text, text.replace(old, new, 1))
    return patch.model_dump()


def test_keys_stay_with_their_steps_through_edits_of_either_kind() -> None:
    state = opened()
    before = said(state)
    assert before == {
        1: {"log": "first"},
        2: {"if": "=event.x"},
        3: {"log": "within"},
        4: {"log": "last"},
        5: {"log": "other"},
        6: {"flow": "one"},
    }
    moved, change = edited(
        state, {"op": "move", "path": [*ONE, 0], "to": [*ONE, 1, "then"], "at": 0}
    )
    assert said(moved) == before
    assert dict(change.moved) == {
        1: (*ONE, 0, "then", 0),
        2: (*ONE, 0),
        3: (*ONE, 0, "then", 1),
        4: (*ONE, 1),
    }
    assert change.flows == ("one",)
    new = "      - log: new\n      - log: first"
    typed, change = edited(state, text_edit("      - log: first", new, TEXT))
    assert said(typed) == {**before, 7: {"log": "new"}}
    assert change.flows == ("one",)
    swapped, _ = edited(state, text_edit("log: first\n      - if: =event.x", "if: =event.x", TEXT))
    assert said(swapped).items() <= before.items()
    undone, _ = moved.edited([difference(moved.text, TEXT)[0]])
    assert undone.text == TEXT
    assert said(undone) == before


TWINS = """\
flows:
  one:
    steps:
      - log: a
      - log: b
      - log: a
      - log: a
      - log: c
"""
LINES = {1: "a", 2: "b", 3: "a", 4: "a", 5: "c"}


def after(*edits: tuple[int, int, int, int, str]) -> dict[int, str]:
    """By key, the texts of the lines of `TWINS` after edits of it as an editor sends them."""
    state, _ = edited(
        opened(TWINS),
        *(
            {"op": "text", "start": [line, column], "end": [to, end], "text": text}
            for line, column, to, end, text in edits
        ),
    )
    return {key: each["log"] for key, each in said(state).items()}


def test_keys_stay_with_their_steps_among_steps_that_say_the_same() -> None:
    assert after() == LINES
    gone = {number: {k: v for k, v in LINES.items() if k != number} for number in LINES}
    for number in LINES:
        line = 3 + number
        assert [*after((line, 1, line + 1, 1, "")).items()] == [*gone[number].items()]
        assert [*after((line - 1, 15 if number > 1 else 11, line, 15, "")).items()] == [
            *gone[number].items()
        ]
        if number < 5:
            assert [*after((line, 9, line + 1, 9, "")).items()] == [*gone[number].items()]
        order = [*LINES.items()]
        order.insert(number - 1, (6, LINES[number]))
        one = f"      - log: {LINES[number]}\n"
        assert [*after((line, 1, line, 1, one)).items()] == order
        assert [*after((line, 9, line, 9, f"log: {LINES[number]}\n      - ")).items()] == order
        order = [*LINES.items()]
        order.insert(number, (6, LINES[number]))
        assert [*after((line + 1, 1, line + 1, 1, one)).items()] == order
    # The second is moved to the top; another one is typed above, and then a copy is below it.
    top = [(2, "b"), (1, "a"), (3, "a"), (4, "a"), (5, "c")]
    assert [*after((5, 1, 6, 1, ""), (4, 1, 4, 1, "      - log: b\n")).items()] == top
    typed = after((4, 1, 4, 1, "      - log: new\n"), (7, 1, 7, 1, "      - log: a\n"))
    assert typed.pop(6) == "new"
    assert typed.pop(7) == "a"
    assert [*typed.items()] == [*LINES.items()]
    assert [*after((6, 14, 6, 15, "x")).items()] == [*{**LINES, 3: "x"}.items()]


def test_keys_stay_among_twins_through_edits_by_address_and_their_undo() -> None:
    steps = ("flows", "one", "steps")
    state = opened(TWINS)
    for at, (number, said_there) in enumerate(LINES.items()):
        gone, _ = edited(state, {"op": "delete", "path": [*steps, at]})
        assert [*gone.keys.values()] == [each for each in LINES if each != number]
        copied, _ = edited(state, {"op": "duplicate", "path": [*steps, at]})
        assert [*copied.keys.values()] == [*[*LINES][: at + 1], 6, *[*LINES][at + 1 :]]
        value = {"log": said_there}
        more, change = edited(state, {"op": "insert", "path": steps, "at": at, "value": value})
        assert [*more.keys.values()] == [*[*LINES][:at], 6, *[*LINES][at:]]
        back, _ = more.edited(change.undo)
        assert [*back.keys.items()] == [*state.keys.items()]
        line = 4 + at
        cut = {"op": "text", "start": [line, 1], "end": [line + 1, 1], "text": ""}
        less, change = edited(state, cut)
        back, _ = less.edited(change.undo)
        assert back.text == TWINS
        assert [*back.keys.values()] == [each if each != number else 6 for each in LINES]


def test_half_written_steps_are_no_twins() -> None:
    state = opened("flows:\n  one:\n    steps:\n      - lo\n      - se\n")
    first = {"op": "text", "start": [4, 1], "end": [5, 1], "text": ""}
    more = {"op": "text", "start": [4, 11], "end": [4, 11], "text": "t"}
    new, change = edited(state, first, more)
    assert dict(new.keys) == {("flows", "one", "steps", 0): 2}
    assert dict(change.moved)[1] is None


def test_half_a_text_keeps_the_rest_and_takes_edits_of_the_text_alone() -> None:
    state = opened()
    half, change = edited(state, text_edit("log: first", "log: [first", TEXT))
    assert half.unreadable is not None
    assert {"two", "one"} <= {*half.source.data["flows"]}
    assert set(said(state)) - {1} <= set(half.keys.values())
    with pytest.raises(UnwritableEdit, match="cannot be read"):
        edited(half, {"op": "delete", "path": [*TWO, 0]})
    again, _ = half.edited(change.undo)
    assert again.unreadable is None
    assert again.text == TEXT
    assert said(again) == said(state)


@for_each("text", ["", "a", "- 1", "\t", "{", "flows: 3", "flows: {~: 1, 1.5: {steps: [2]}}"])
def test_any_text_is_a_state(text: str) -> None:
    state = opened(text)
    changed, _ = edited(state, {"op": "text", "start": [1, 1], "end": [1, 1], "text": "x: 1\n"})
    assert changed.text == "x: 1\n" + text


def test_texts_that_no_document_has_are_refused() -> None:
    for wrong in ("\0", "\ud800", "x" * 1_100_000):
        with pytest.raises(UnwritableEdit):
            edited(opened(), {"op": "text", "start": [1, 1], "end": [1, 1], "text": wrong})
    with pytest.raises(UnwritableEdit, match="has no"):
        edited(opened(), {"op": "text", "start": [99, 1], "end": [99, 1], "text": ""})


@sampled(8, 100)
def test_random_edits_keep_keys_with_their_steps(seeds: range) -> None:
    made = 0
    for seed in seeds:
        chance = Random(seed)
        state = opened(drawn(chance).text)
        for _ in range(4):
            before = said(state)
            assert state.draft is not None
            edit = drawn_edit(chance, state.draft)
            try:
                new, change = edited(state, edit)
            except UnwritableEdit:
                continue
            made += 1
            if edit["op"] != "set":
                for key, each in said(new).items():
                    assert key not in before or before[key] == each, (seed, edit)
            assert set(new.keys.values()) >= set(before) - {k for k, p in change.moved if p is None}
            back, _ = new.edited(change.undo)
            assert back.text == state.text
            state = new
    assert made > 2 * len(seeds)


# Edits that were made for the same revision ------------------------------------------------------


def merged(text: str, one: Any, other: Any) -> Any:
    """Both edits of a text; None where they are not apart."""
    state = opened(text)
    first, theirs = edited(state, one)
    _, ours = edited(state, other)
    patches = rebased(text, ours.patches, theirs.patches)
    if patches is None:
        return None
    return first.edited(patches)[0]


def test_edits_of_two_flows_are_put_together() -> None:
    one = {"op": "insert", "path": ONE, "at": 3, "value": {"log": "a"}}
    other = {"op": "set", "path": [*TWO, 0, "log"], "value": "b"}
    both = merged(TEXT, one, other)
    assert both.source.data["flows"]["one"]["steps"][-1] == {"log": "a"}
    assert both.source.data["flows"]["two"]["steps"] == [{"log": "b"}]
    assert both.text == merged(TEXT, other, one).text


def test_edits_of_one_place_are_not() -> None:
    one = {"op": "set", "path": [*TWO, 0, "log"], "value": "a"}
    for other in (
        {"op": "set", "path": [*TWO, 0, "log"], "value": "b"},
        {"op": "delete", "path": [*TWO, 0]},
        {"op": "insert", "path": TWO, "at": 0, "value": {"log": "b"}},
    ):
        assert merged(TEXT, one, other) is None
        assert merged(TEXT, other, one) is None


def in_lines(text: str) -> str:
    """The same document, a value a line."""
    draft = Draft.read("name: made\n", "drawn.yaml")
    for name, each in opened(text).source.data.items():
        draft.set((name,), each)
    return draft.source.text


@sampled(15, 100)
def test_random_edits_beside_each_other_are_both_made_or_refused(seeds: range) -> None:
    """The result does not depend on which of the two came first."""
    apart = 0
    for seed in seeds:
        chance = Random(seed)
        text = in_lines(drawn(chance).text)
        state = opened(text)
        assert state.draft is not None
        edits = [drawn_edit(chance, state.draft) for _ in range(2)]
        try:
            one = merged(text, *edits)
            other = merged(text, *reversed(edits))
        except UnwritableEdit:
            continue
        assert (one is None) == (other is None)
        if one is None:
            continue
        apart += 1
        assert one.text == other.text
        assert one.unreadable is None, (seed, edits)
    assert apart > len(seeds) / 6


def test_patches_one_after_another_are_patches_of_the_first_text() -> None:
    for seed in range(200):
        chance = Random(seed)
        text = here = "".join(chance.choice("ab\n") for _ in range(30))
        patches: list[ReplaceText] = []
        for _ in range(4):
            start = chance.randrange(len(here) + 1)
            end = chance.randrange(start, min(len(here), start + 6) + 1)
            new = here[:start] + chance.choice(["", "x\n", "yy"]) + here[end:]
            patches.append(difference(here, new)[0])
            here = new
        made = text
        for each in reversed(together(text, patches)):
            made = made[: each.start] + each.text + made[each.end :]
        assert made == here == patched(text, patches)


def test_changed_flows_are_those_whose_text_is_another() -> None:
    state = opened()
    for old, new, flows in (
        ("other", "another", ("two",)),
        ("      - log: last\n", "      - log: last # so\n", ("one",)),
        ("name: tried", "name: tired", (REST,)),
        ("  two:", "  three:", ("two", "three")),
        ("flow: one", "flow: two", ("gate",)),
    ):
        assert set(changed_flows(state.source, opened(TEXT.replace(old, new)).source)) == set(flows)
