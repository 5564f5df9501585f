"""The shape of a document: what is wrong is said at its place, with what to write."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from halflap.lowcode.document import editor_schema, json_schema
from halflap.lowcode.kinds import KINDS
from halflap.lowcode.shape import NotADocument, document_of
from halflap.lowcode.source import read
from halflap.sdk.duration import duration, written
from tests.cases import for_each

HEAD = "name: x\nflows:\n  a:\n    trigger: webhook.request\n    steps:\n"
STEP = {
    "an unknown key": (
        "- {action: x.y, wth: {}}",
        "6:23",
        "an action step has no `wth`; did you mean `with`?",
    ),
    "no kind": ("- {acton: x.y}", "6:9", "did you mean `action`?"),
    "a text for a step": ("- stop", "6:9", "a step is a mapping"),
    "two kinds": ("- {action: x.y, sleep: 3}", "6:23", "has `action` and `sleep`; write two steps"),
    "a number for a text": ("- {action: 6}", "6:18", 'quote it: "6"'),
    "a number out of range": ("- {action: x.y, retry: 0}", "6:30", "1 to 100"),
    "a time-out of nothing": (
        "- {action: x.y, timeout: 0s}",
        "6:32",
        "a time-out is longer than nothing",
    ),
    "a status in both lists": (
        "- {action: x.y, retry: {on: [409], not_on: [409]}}",
        "6:30",
        "stands in `on` and in `not_on`",
    ),
    "in a part of it": ("- {action: x.y, retry: {time: 1}}", "6:31", "`retry` has no `time`"),
    "a mapping for a list": ("- {if: true, then: {stop: true}}", "6:26", "`then` is a list"),
    "what is missing": ("- {for: x, do: [{stop: true}]}", "6:9", "`in` is missing here"),
    "a time": ("- {wait: x, timeout: soon}", "6:28", "write 30s, 5 min, 2 h, 3 days"),
    "a name": ("- {id: a-b, action: x.y}", "6:14", "is no name"),
    "deep inside": (
        "- {if: true, then: [{for: x, in: y, do: [{wait: x, tmeout: 1}]}]}",
        "6:58",
        "did you mean `timeout`?",
    ),
}


@for_each(("step", "where", "said"), STEP.values(), ids=STEP)
def test_a_wrong_step_is_said(step: str, where: str, said: str) -> None:
    with pytest.raises(NotADocument) as raised:
        document_of(read(HEAD + "      " + step, "f.yaml"))
    (finding,) = raised.value.findings
    assert f"{finding.line}:{finding.column}" == where
    assert said in finding.message


@for_each("name", ["class", "_secret", "model_config", "None"])
def test_a_field_of_the_config_is_named_as_one_of_a_class(name: str) -> None:
    text = f"{HEAD}      - stop: true\nconfig: {{Page: {{{name}: {{}}}}}}\n"
    with pytest.raises(NotADocument, match=f"'{name}' cannot be a field's name"):
        document_of(read(text, "f.yaml"))


def test_pairs_have_no_side_that_is_called_as_an_option() -> None:
    text = f"{HEAD}      - stop: true\npairs: {{p: {{sides: {{master: a, b: b}}}}}}\n"
    with pytest.raises(NotADocument, match="`master` says which side wins"):
        document_of(read(text, "f.yaml"))


def test_everything_that_is_wrong_is_said_at_once() -> None:
    text = "name: X Y\ntitel: x\nflows:\n  a: {trigger: 5, stepz: []}\n"
    with pytest.raises(NotADocument) as raised:
        document_of(read(text, "f.yaml"))
    said = [(each.line, each.message.partition(";")[0]) for each in raised.value.findings]
    assert said == [
        (1, "'X Y' is no name, which has a-z, 0-9 and -"),
        (2, "a document has no `titel`"),
        (4, "`steps` is missing here"),
        (4, "`trigger` is a text"),
        (4, "a flow has no `stepz`"),
    ]


@pytest.mark.parametrize("text", ["", "[]", "hello"])
def test_what_is_no_mapping_is_no_document(text: str) -> None:
    with pytest.raises(NotADocument, match="begins with `name:`"):
        document_of(read(text, "f.yaml"))


def test_the_schema_names_each_kind_of_step_and_says_what_it_does() -> None:
    schema = json_schema()
    steps = schema["$defs"]["FlowPart"]["properties"]["steps"]["items"]
    kinds = {each["$ref"].rpartition("/")[2] for each in steps["oneOf"]}
    assert {"ActionStep", "ForStep", "TryStep", "CodeStepModel"} <= kinds
    assert schema["$defs"]["ActionStep"]["properties"]["with"]["description"].startswith(
        "The action"
    )
    assert schema["$defs"]["IfStep"]["required"] == ["if", "then"]


def test_an_editor_with_the_schema_alone_names_the_key_that_is_wrong() -> None:
    schema = editor_schema()
    steps: Any = schema["$defs"]["FlowPart"]["properties"]["steps"]["items"]
    chosen: dict[str, str] = {}
    while "if" in steps:
        (key,) = steps["if"]["required"]
        chosen[key] = steps["then"]["$ref"].rpartition("/")[2]
        steps = steps["else"]
    assert chosen == {kind: each.__name__ for kind, each in KINDS.items()}
    assert "oneOf" not in repr(schema)


@for_each(
    ("text", "seconds"),
    [("30s", 30), ("5 min", 300), ("2 h", 7200), ("3 days", 259200), ("1h 30m", 5400), (2.5, 2.5)],
)
def test_durations_are_written_as_people_do(text: str | float, seconds: float) -> None:
    assert duration(text).total_seconds() == seconds
    assert duration(written(duration(text))) == duration(text)


@for_each("text", ["", "soon", "5 parsecs", "-3s", "3", True, None, "5000 weeks", -1])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="no duration"):
        duration(text)


def test_the_schema_says_of_every_key_what_it_is() -> None:
    assert [path for path, key in _keys(json_schema()) if not key.get("description")] == []


def _keys(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        for name, each in cast("dict[str, Any]", schema.get("properties", {})).items():
            yield f"{path} {name}", each
        for name, each in cast("dict[str, Any]", schema).items():
            yield from _keys(each, f"{path}/{name}")
