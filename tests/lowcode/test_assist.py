"""Reading half a document: as far as it can be read, and whatever it is, without a failure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from halflap.lowcode import Components
from halflap.lowcode.assist import analyse, complete, definition, explain, symbols
from halflap.lowcode.assist.loose import locate, read_loosely
from halflap.lowcode.lint import Shapes
from halflap.lowcode.outline import within
from halflap.lowcode.source import read
from tests.lowcode.documents import own
from tests.lowcode.test_lint import HEAD
from tests.lowcode.test_lint_fuzz import TEXTS, broken

SHAPES = Shapes(Components(own))


def test_a_line_that_cannot_be_read_costs_no_other_its_value_or_place() -> None:
    for name, text in TEXTS:
        lines, exact = text.split("\n"), read(text, name)
        at = len(lines) - 1
        for typed in ("oops", "  - oops: [", "@", 'x: "', "a: b: c", "a: {\x85\u2028", "\x85'"):
            loose = read_loosely("\n".join([*lines[:at], typed]), name)
            above = {path for path, place in exact.keys.items() if place.line < at}
            assert {path: loose.keys.get(path) for path in above} == {
                path: exact.keys[path] for path in above
            }, (name, typed)


@given(broken(), st.floats(0, 1), st.floats(0, 1))
def test_no_text_and_no_place_is_too_broken_to_ask(text: str, part: float, after: float) -> None:
    analysis = analyse(text, "f.yaml", SHAPES)
    lines = text.split("\n")
    line = int(part * len(lines))
    column = int(after * (len(lines[line]) + 1)) if line < len(lines) else 0

    complete(analysis, line, column)
    explain(analysis, line, column)
    definition(analysis, line, column)
    for flow in analysis.outline().flows:
        assert all(node.path[: len(flow.path)] == flow.path for node in within(flow.steps))
    for each in symbols(analysis):
        assert each.place.line <= each.end <= len(lines) + text.count("\r")


def test_a_step_that_is_none_yet_hides_no_name_from_the_others() -> None:
    steps = "      - {id: one, action: acme.get_account, with: {id: a}}\n"
    steps += "      - acti\n      - {id: two, stae: get}\n      - log: =[\n"
    text = f"{HEAD}{steps}      - log: ="

    names = analyse(text, "f.yaml", SHAPES).names_at(("flows", "main", "steps", 5, "log"))

    assert {"one", "event"} <= names.keys()


def test_the_place_of_a_cursor_is_told_by_its_column() -> None:
    text = f"{HEAD}      - if: =a\n        then:\n          - log: x\n"
    last = text.count("\n")

    def at(column: int) -> tuple[str | int, ...]:
        return locate(text + " " * 20, last, column).path

    step = ("flows", "main", "steps", 1)
    assert at(12) == (*step, "then", 0)
    assert at(8) == step
    assert at(4) == ("flows", "main")
    assert at(0) == ()


def test_what_a_test_can_say_is_offered() -> None:
    text = f"{HEAD}      - log: x\ntests:\n  - name: t\n    flow: main\n"
    line = text.count("\n")

    def offered(more: str) -> set[str]:
        whole = text + more
        last = whole.split("\n")[-1]
        found = complete(analyse(whole, "f.yaml", SHAPES), line + more.count("\n"), len(last))
        return {each.label for each in found.offers}

    assert {"method", "query", "body", "shared", "now", "after", "logs"} <= offered("    ")
    assert {"state", "shared", "paired"} == offered("    after:\n      ")
    assert {"instance", "integration"} == offered("    after:\n      shared:\n        ")
    assert {"id", "name", "external_id"} == offered("    customer:\n      ")
    assert {"base64", "file"} == offered("    body:\n      ")
    assert "GET" in offered("    method: ")
    assert "main" in offered("    secrets:\n      ")
    assert "main" in offered("    urls:\n      ")
    assert not offered("    event:\n      action: ")  # whose fields may have any name


def test_a_text_that_is_not_yaml_has_an_outline_as_far_as_it_can_be_read() -> None:
    text = (
        HEAD + '      - {log: one}\n      - if: =event.\n        then: [{log: "two\n      - wai\n'
    )
    flow = analyse(text, "half.yaml", SHAPES).outline().flows[0]
    (branch,) = [each for each in flow.steps if each.kind == "if"]
    assert branch.fields == {"if": "=event."}
    assert [each.kind for each in branch.blocks[0].nodes][:1] == ["log"]
