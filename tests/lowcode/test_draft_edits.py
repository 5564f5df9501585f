"""Batches of edits by address: all or none, for a revision, and undone to the byte."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import pytest
from pydantic import TypeAdapter

from halflap.errors import DefinitionError
from halflap.lowcode import Draft, DraftEdit, StaleDraft, UnwritableEdit
from halflap.lowcode.rewrite.edits import DraftChange, ReplaceText, difference, step_paths
from halflap.lowcode.rewrite.state import kept_keys
from halflap.lowcode.source import Path, SourceText
from tests.cases import for_each, sampled
from tests.lowcode.convert.generated import drawn

EDITS: TypeAdapter[list[Any]] = TypeAdapter(list[DraftEdit])
STEPS = ("flows", "main", "steps")
TEXT = """\
name: tried
flows:
  main:
    trigger: webhook.request
    steps:
      # the first
      - {id: one, action: acme.list_stock}   # beside it
      - if: =one
        then:
          # in a branch
          - id: two
            code: return one
            with: {one: =one}
          - log: =two
      - log: last
"""


def edited(draft: Draft, *edits: dict[str, Any], revision: int | None = None) -> Any:
    return draft.apply(EDITS.validate_python(edits), revision)


def patched(text: str, patches: Iterable[ReplaceText]) -> str:
    """A text with patches, one after another, by its lines."""
    for each in patches:
        lines, (first, start), (last, end) = text.split("\n"), each.start, each.end
        assert 0 < start <= len(lines[first - 1]) + 1
        assert 0 < end <= len(lines[last - 1]) + 1
        new = lines[first - 1][: start - 1] + each.text + lines[last - 1][end - 1 :]
        text = "\n".join([*lines[: first - 1], new, *lines[last:]])
    return text


def drawn_edit(chance: Random, draft: Draft) -> dict[str, Any]:
    """An edit by chance of a document as it stands."""
    paths = [each for each in step_paths(draft.source.data) if each[0] == "flows"]
    path, other = chance.choice(paths), chance.choice(paths)
    wraps: dict[str, Any] = {"value": {"if": "=event"}, "into": ["then"]}
    return chance.choice(
        [
            {"op": "insert", "path": path[:-1], "at": path[-1], "value": {"log": "new"}},
            {"op": "insert", "path": path[:-1], "at": 99, "value": {"if": 1, "then": []}},
            {"op": "delete", "path": path},
            {"op": "move", "path": path, "to": other[:-1], "at": other[-1]},
            {"op": "wrap", "path": path, **wraps},
            {"op": "wrap", "path": path, "count": 2, **wraps},
            {"op": "duplicate", "path": path},
            {"op": "paste", "path": path[:-1], "at": path[-1], "text": "# new\n- log: new\n"},
            {"op": "set", "path": (*path, "note"), "value": "=x: y # z"},
            {"op": "reorder", "path": ("flows", chance.choice([*draft.source.data["flows"]]))},
        ]
    )


def value_at(data: Any, path: Path) -> Any:
    for each in path:
        data = data[each]
    return data


def plain(step: Any) -> Any:
    """A step without what stands in it: its kind and its own fields are what an address leads to."""
    return {key: each for key, each in step.items() if not isinstance(each, dict | list)}


def moved(before: SourceText, draft: Draft, change: DraftChange) -> dict[Path, Path]:
    """Return where each step of a document stands after a change, by where it stood."""
    keys = {path: number for number, path in enumerate(step_paths(before.data), 1)}
    found = kept_keys(before, keys, draft.source, change.patches)
    there = {number: path for path, number in found.items()}
    return {path: there[number] for path, number in keys.items() if number in there}


@sampled(16, 80)
def test_any_batch_is_its_patches_and_its_undo_leaves_no_trace(seeds: range) -> None:
    made = refused = 0
    for seed in seeds:
        chance = Random(seed)
        draft = Draft.read(drawn(chance).text, "drawn.yaml")
        for _ in range(4):
            source, before, was = draft.source, draft.source.text, draft.revision
            try:
                edits = [drawn_edit(chance, draft)]
                change = edited(draft, *edits, revision=was)
            except UnwritableEdit:
                refused += 1
                assert (draft.source.text, draft.revision) == (before, was)
                continue
            made += 1
            assert patched(before, change.patches) == draft.source.text
            assert change.revision == draft.revision == was + 1
            if edits[0]["op"] in ("insert", "duplicate", "move"):
                now = moved(source, draft, change)
                assert set(now) == set(step_paths(source.data)), edits
                for path, there in now.items():
                    one, other = value_at(source.data, path), value_at(draft.source.data, there)
                    assert plain(one) == plain(other), (edits, path, there)
            again = draft.apply(change.undo, change.revision)
            assert draft.source.text == before
            draft.apply(again.undo)
            assert patched(before, change.patches) == draft.source.text
    assert made > 1.8 * len(seeds)
    assert refused < made / 4


def test_a_batch_of_which_one_edit_cannot_be_made_changes_nothing() -> None:
    draft = Draft.read(TEXT, "tried.yaml")
    wrong = {"op": "delete", "path": [*STEPS, 9]}
    with pytest.raises(UnwritableEdit, match="there is no"):
        edited(draft, {"op": "delete", "path": [*STEPS, 0]}, wrong)
    assert (draft.source.text, draft.revision) == (TEXT, 0)


def test_edits_for_another_revision_are_refused() -> None:
    draft = Draft.read(TEXT, "tried.yaml")
    edited(draft, {"op": "delete", "path": [*STEPS, 2]}, revision=0)
    with pytest.raises(StaleDraft, match="revision 1") as told:
        edited(draft, {"op": "delete", "path": [*STEPS, 1]}, revision=0)
    assert told.value.revision == draft.revision == 1
    draft.set((*STEPS, 0, "note"), "by hand")
    assert draft.revision == 2


def test_a_copy_of_a_step_has_names_of_its_own_and_reads_them() -> None:
    draft = Draft.read(TEXT, "tried.yaml")
    edited(
        draft, {"op": "duplicate", "path": [*STEPS, 1]}, {"op": "duplicate", "path": [*STEPS, 1]}
    )
    copies = [draft.value((*STEPS, at, "then")) for at in (1, 2, 3)]
    assert [each[0]["id"] for each in copies] == ["two", "two_3", "two_2"]
    assert [each[1]["log"] for each in copies] == ["=two", "=two_3", "=two_2"]
    assert draft.value((*STEPS, 2, "if")) == "=one"


def test_steps_are_wrapped_with_their_comments() -> None:
    draft = Draft.read(TEXT, "tried.yaml")
    before = draft.source
    wrap = {"op": "wrap", "path": [*STEPS, 0], "count": 2, "into": ["cases", "a"]}
    change = edited(draft, {**wrap, "value": {"switch": "=event.kind"}})
    assert draft.source.text.split("steps:\n")[1].startswith(
        "      - switch: =event.kind\n"
        "        cases:\n"
        "          a:\n"
        "            # the first\n"
        "            - {id: one, action: acme.list_stock}   # beside it\n"
    )
    inside = (*STEPS, 0, "cases", "a")
    now = moved(before, draft, change)
    assert now[(*STEPS, 1, "then", 0)] == (*inside, 1, "then", 0)
    assert now[(*STEPS, 2)] == (*STEPS, 1)


def test_steps_are_pasted_with_their_comments_and_names_of_their_own() -> None:
    draft = Draft.read(TEXT, "tried.yaml")
    copied = """\
        # the first
        - {id: one, action: acme.list_stock}   # beside it
        - if: =one.open
          then:
            # within
            - log: "two words"
    """
    inside, before = [*STEPS, 1, "then"], draft.source
    change = edited(draft, {"op": "paste", "path": inside, "at": 1, "text": copied})
    assert (
        """\
            with: {one: =one}
          # the first
          - {id: one_2, action: acme.list_stock}   # beside it
          - if: =one_2.open
            then:
              # within
              - log: "two words"
          - log: =two
"""
        in draft.source.text
    )
    assert moved(before, draft, change)[(*inside, 1)] == (*inside, 3)
    draft.apply(change.undo)
    assert draft.source.text == TEXT
    # A single step, one as JSON, and into a list that is not written yet.
    edited(
        draft,
        {"op": "paste", "path": [*STEPS, 1, "else"], "at": 0, "text": "log: one"},
        {"op": "paste", "path": [*STEPS, 1, "else"], "at": 9, "text": '[{"id": "new", "log": 1}]'},
    )
    assert "        else:\n          - log: one\n          - id: new\n" in draft.source.text


@for_each(
    ("edit", "wrong"),
    [
        ({"op": "move", "path": [*STEPS, 0, "id"], "to": list(STEPS), "at": 0}, "no step"),
        ({"op": "insert", "path": [*STEPS, 0], "at": 0, "value": 1}, "no list"),
        ({"op": "duplicate", "path": ["name"]}, "no step"),
        ({"op": "paste", "path": list(STEPS), "at": 0, "text": "a: b"}, "no step"),
        ({"op": "paste", "path": list(STEPS), "at": 0, "text": "- [x"}, "no YAML"),
        (
            {"op": "wrap", "path": [*STEPS, 2], "count": 2, "value": {}, "into": ["do"]},
            "no 2 items",
        ),
        ({"op": "wrap", "path": [*STEPS, 2], "value": {}, "into": []}, "names the block"),
        ({"op": "move", "path": [*STEPS, 1], "to": [*STEPS, 1, "then"], "at": 0}, "into itself"),
        ({"op": "text", "start": [1, 1], "end": [1, 99], "text": ""}, "the text has no"),
        ({"op": "text", "start": [1, 1], "end": [1, 1], "text": "["}, "not YAML"),
        ({"op": "delete", "path": []}, "whole document|there is no"),
    ],
)
def test_an_edit_that_cannot_be_made_says_why(edit: dict[str, Any], wrong: str) -> None:
    draft = Draft.read(TEXT, "tried.yaml")
    with pytest.raises(UnwritableEdit, match=wrong):
        edited(draft, edit)
    assert draft.source.text == TEXT


def test_a_document_that_is_not_finished_is_edited_too() -> None:
    text = TEXT.replace("code: return one", "cod: =one +").replace("- log: last", "-")
    draft = Draft.read(text, "tried.yaml")
    edited(draft, {"op": "set", "path": [*STEPS, 2], "value": {"log": "=event."}})
    edited(draft, {"op": "move", "path": [*STEPS, 1, "then", 0], "to": list(STEPS), "at": 0})
    assert draft.value((*STEPS, 0))["cod"] == "=one +"
    typed = {"op": "text", "start": [1, 7], "end": [1, 12], "text": "typed"}
    edited(draft, typed)
    assert draft.value(("name",)) == "typed"


@for_each(
    ("one", "other"), [("", "a\nb"), ("aa", "a"), ("a\r\nb", "a\nb"), ("é\n\n", "\n"), ("x", "x")]
)
def test_a_patch_and_its_inverse_make_one_text_of_the_other(one: str, other: str) -> None:
    patch, inverse = difference(one, other)
    assert (patched(one, [patch]), patched(other, [inverse])) == (other, one)


def test_the_only_step_of_a_branch_goes_with_its_comment() -> None:
    draft = Draft.read(
        TEXT.replace("          - log: =two\n", "          # behind\n"), "tried.yaml"
    )
    edited(draft, {"op": "delete", "path": [*STEPS, 1, "then", 0]})
    assert "then: []\n          # behind\n      - log: last" in draft.source.text
    assert "# in a branch" not in draft.source.text


FIELDS = """\
name: tried
config:
  # the accounts
  Connect:
    crm: {connection: salesforce}

    # ours
    acme: {connection: acme}
  Options:
    project: {source: acme.list_projects}
    # chosen
    board:
      source: {action: acme.list_boards, with: {project: =project}, connection: acme}
      depends: [project]
pairs:
  accounts: {sides: {crm: Account, acme: account}, master: acme}
flows:
  one:
    trigger: webhook.request
    filter: =event.project = config.project
    steps:
      - {id: other, paired: accounts, with: {acme: =event.acme}}
      - action: acme.make
        connection: acme
        with: {project: '=config.project & " of " & event.project', acme: =config.acme}
  # the second
  two:
    trigger: webhook.request
    steps:
      - switch: =event.kind
        cases:
          # add it
          add: [{log: added}]
          remove:
            - log: removed
tests:
  - {name: a, flow: one, config: {project: p}, paired: {accounts: [{crm: "1", acme: a}]}}
"""


def test_a_field_is_renamed_with_all_that_names_it() -> None:
    draft = Draft.read(FIELDS, "tried.yaml")
    edited(draft, {"op": "rename_field", "name": "project", "to": "plan"})
    edited(draft, {"op": "rename_field", "name": "acme", "to": "shop"})
    assert draft.source.text == (
        FIELDS.replace("    project:", "    plan:")
        .replace("{project: =project}", "{project: =plan}")
        .replace("depends: [project]", "depends: [plan]")
        .replace("config.project", "config.plan")
        .replace("config: {project: p}", "config: {plan: p}")
        .replace("    acme: {conn", "    shop: {conn")
        .replace("=plan}, connection: acme}", "=plan}, connection: shop}")
        .replace("acme: account}, master: acme", "shop: account}, master: shop")
        .replace("{acme: =event.acme}", "{shop: =event.acme}")
        .replace("        connection: acme", "        connection: shop")
        .replace("acme: =config.acme", "acme: =config.shop")
        .replace(', acme: a}', ', shop: a}')
    )  # fmt: skip
    for name, to in (("none", "x"), ("plan", "board"), ("plan", "class"), ("plan", "a b")):
        with pytest.raises(DefinitionError):
            edited(draft, {"op": "rename_field", "name": name, "to": to})


def test_a_page_of_the_config_is_renamed_in_its_place() -> None:
    draft = Draft.read(FIELDS, "tried.yaml")
    edited(draft, {"op": "rename_page", "name": "Options", "to": "Yes: the options"})
    assert draft.source.text == FIELDS.replace("  Options:", '  "Yes: the options":')
    assert [*draft.source.data["config"]] == ["Connect", "Yes: the options"]
    for name, to in (("none", "x"), ("Connect", "Yes: the options"), ("Connect", " ")):
        with pytest.raises(DefinitionError):
            edited(draft, {"op": "rename_page", "name": name, "to": to})


@for_each(
    ("path", "before", "keys"),
    [
        (("flows", "two"), "one", ["two", "one"]),
        (("flows", "one"), None, ["two", "one"]),
        (("config", "Options"), "Connect", ["Options", "Connect"]),
        (("config", "Connect", "acme"), "crm", ["acme", "crm"]),
        (("flows", "two", "steps", 0, "cases", "add"), None, ["remove", "add"]),
        (("pairs", "accounts", "sides", "acme"), "crm", ["acme", "crm"]),
        (("flows", "one"), "one", ["one", "two"]),
    ],
)
def test_a_member_is_put_before_another_with_its_comments(
    path: Path, before: Any, keys: list[str]
) -> None:
    draft = Draft.read(FIELDS, "tried.yaml")
    change = edited(draft, {"op": "reorder", "path": path, "before": before})
    assert [*draft.value(path[:-1])] == keys
    lines = [each for each in draft.source.text.splitlines() if each.strip()]
    if path[0] != "pairs":
        assert sorted(lines) == sorted(each for each in FIELDS.splitlines() if each.strip())
    held = {"two": "# the second", "Connect": "# the accounts", "acme": "# ours", "add": "# add it"}
    for name, comment in held.items():
        at = next(n for n, each in enumerate(lines) if each.strip() == comment)
        assert lines[at + 1].strip().startswith(f"{name}:")
    assert patched(draft.source.text, change.undo) == FIELDS


def test_what_is_no_member_of_a_block_is_not_reordered() -> None:
    draft = Draft.read(FIELDS, "tried.yaml")
    for path, before in (
        (("flows", "one", "steps", 0), 1),
        (("flows", "none"), None),
        (("flows", "one"), "none"),
        (("flows", "two", "steps", 0, "switch"), "cases"),
    ):
        with pytest.raises(UnwritableEdit):
            edited(draft, {"op": "reorder", "path": path, "before": before})
    assert draft.source.text == FIELDS
