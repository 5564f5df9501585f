"""Config fields of documents that are shown on a condition: in the model, lint, prompts, Python."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from halflap import DefinitionError
from halflap.cli.answers import answered
from halflap.cli.ask import SchemaForm
from halflap.errors import ConfigError
from halflap.lowcode import Components, Draft, DraftEdit
from halflap.lowcode.lint import Shapes, lint_text
from tests.cases import for_each
from tests.lowcode.convert.twins import imported, python_of
from tests.lowcode.documents import built, own

EDITS: TypeAdapter[list[Any]] = TypeAdapter(list[DraftEdit])

TEXT = """\
name: syncing
config:
  Choose:
    mode: {choices: [all, some], default: all}
    dry: {type: boolean, default: false}
    kinds: {choices: [a, b], multiple: true, default: [a]}
  More:
    tag: {when: {mode: some}}
    limit: {type: integer, default: 5, when: {mode: [some], dry: true}}
    why: {when: {kinds: b}, required: false}
flows:
  main:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - log: ="tag " & config.tag & " of " & config.mode & ", at most " & config.limit & ", " & config.why
"""


def findings(text: str) -> list[tuple[str, int, str]]:
    found = lint_text(text, "tried.yaml", Shapes(Components(own)))
    return [(each.code, each.line, each.message) for each in found]


def test_a_hidden_field_of_a_document_is_null() -> None:
    config = built(TEXT).config
    values = config.model_validate({"tag": "vip", "limit": 1, "why": "so"})
    assert {**vars(values)} == {
        "mode": "all", "dry": False, "kinds": ["a"], "tag": None, "limit": None, "why": None,
    }  # fmt: skip
    shown = {"mode": "some", "dry": True, "kinds": ["b"], "tag": "vip"}
    assert {**vars(config.model_validate(shown))} == {**shown, "limit": 5, "why": None}
    assert config.model_json_schema()["properties"]["limit"]["x-when"] == {
        "mode": ["some"], "dry": [True],
    }  # fmt: skip


def test_lint_is_content_with_conditions_that_can_hold() -> None:
    assert findings(TEXT) == []


@for_each(
    ("code", "line", "said", "old", "new"),
    (
        ("HF115", 8, "mode", "{when: {mode: some}}", "{when: {mod: some}}"),
        ("HF104", 8, "mode: ", "{when: {mode: some}}", "{when: {mode: sum}}"),
        ("HF104", 9, "dry: ", "dry: true}}", "dry: perhaps}}"),
        ("HF104", 10, "kinds: ", "{kinds: b}", "{kinds: [a, c]}"),
        ("HF118", 8, "tag is shown by limit", "{when: {mode: some}}", "{when: {limit: 5}}"),
    ),
)
def test_lint_finds_a_condition_that_never_holds(
    code: str, line: int, said: str, old: str, new: str
) -> None:
    text = TEXT.replace(old, new)
    if code == "HF118":
        text = text.replace("{mode: [some], dry: true}", "{tag: x}")
    found = [each for each in findings(text) if each[0] == code]
    assert found, findings(text)
    assert found[0][1] == line
    assert said in found[0][2]


def test_a_circle_is_refused_at_its_place() -> None:
    text = TEXT.replace("{when: {mode: some}}", "{when: {limit: 5}}")
    with pytest.raises(
        DefinitionError, match=r"tried.yaml:9:.*limit is shown by tag|tried.yaml:8:"
    ):
        built(text.replace("{mode: [some], dry: true}", "{tag: x}"))


def test_a_renamed_field_is_renamed_in_conditions() -> None:
    draft = Draft.read(TEXT, "tried.yaml")
    draft.apply(EDITS.validate_python([{"op": "rename_field", "name": "mode", "to": "which"}]))
    text = draft.source.text
    assert "tag: {when: {which: some}}" in text
    assert "when: {which: [some], dry: true}" in text
    assert findings(text) == []


def test_the_command_line_asks_for_what_is_shown() -> None:
    config = built(TEXT).config
    form = SchemaForm(config.model_json_schema())
    assert form.fill({}, ask=False) == {}
    assert form.fill({"mode": "some", "tag": "vip"}, ask=False) == {"mode": "some", "tag": "vip"}
    with pytest.raises(ConfigError, match="tag"):
        form.fill({"mode": "some"}, ask=False)


def test_an_environment_lacks_what_is_shown() -> None:
    integration = built(TEXT)

    def lacks(environment: dict[str, Any]) -> list[str]:
        return [*answered(integration, environment).lacking]

    assert lacks({}) == []
    assert lacks({"MODE": "some"}) == ["tag"]
    assert answered(integration, {"TAG": "vip", "LIMIT": "3"}).config == {}


def test_the_python_of_a_document_has_its_conditions() -> None:
    python = python_of(TEXT)
    assert "When(mode='some', dry=True)" in python or 'When(mode="some", dry=True)' in python
    made = imported(python).config
    assert made.model_json_schema() == built(TEXT).config.model_json_schema() | {
        "title": made.__name__, "description": made.__doc__,
    }  # fmt: skip
