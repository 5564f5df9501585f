"""The corpus of wrong documents: each is reported before it runs, at its place, with the mend."""

from __future__ import annotations

import re
from time import process_time

from halflap.lowcode.lint import habits
from halflap.sdk.lint import Finding
from tests.lowcode.wrong import cases, linted

NOT_REPORTED = frozenset(("flows: a GitHub delivery without dedupe",))
"""Cases of which lint says nothing, or something else, by name."""

AFTERWARDS = {
    "equals: a step's result": {"HF141"},
    "equals: an object for a text that is a name": {"HF104"},
    "functions: a method, map": {"HF105"},
    "keys: a hyphen in the id of a step": {"HF105"},
    "keys: a list as for, with as": {"HF101"},
    "keys: a list as for, with as first and in braces": {"HF101"},
    "keys: onError of n8n": {"HF101"},
    "keys: concurrency on a flow": {"HF101"},
    "keys: two fields without a page": {"HF115"},
    "layout: an include": {"HF101"},
    "names: http.send": {"HF103"},
    "names: an action of Salesforce": {"HF103", "HF116"},
    "times: an interval as a duration": {"HF104"},
    "habits: a plus for texts after a method": {"HF105"},
    "habits: the last item by its length": {"HF144"},
}
"""Rules by which more is wrong of a case once a quick fix has mended the first mistake."""

LEAST = 0.95
"""The share of the corpus that is reported."""

FOREIGN = re.compile(
    r"json-or-python|timedelta|\bNone\b|\bTrue\b|\bFalse\b|pydantic|\bdict\b|\bstr\b|\bint\b|tuple"
    r"|[Ii]nput should|Value error|\w+Error\b|\bvalid (string|integer|number|boolean|list)\b|function-"
)
"""Words of Python and of its libraries, which a builder does not know."""


def test_wrong_documents_are_reported_before_they_run() -> None:
    wrong = [each for each in cases() if not each.valid]
    missed = {each.label for each in wrong if not any(map(each.reports, each.findings))}
    assert missed == NOT_REPORTED
    assert len(wrong) >= 300
    assert 1 - len(missed) / len(wrong) >= LEAST


def test_documents_that_are_right_have_no_findings() -> None:
    found = {each.label: each.findings for each in cases() if each.valid and each.findings}
    assert found == {}


def test_each_quick_fix_gives_the_text_that_is_meant_and_lints_clean() -> None:
    wrong: dict[str, object] = {}
    for case in (each for each in cases() if "fixed" in each.given):
        found = next((each for each in case.findings if case.reports(each) and each.fix), None)
        if found is None or found.fix is None:
            wrong[case.label] = "no fix"
            continue
        fixed, wanted = case.text, case.document(case.given["fixed"])
        for _ in range(5):  # a habit that stands there twice is two findings
            fix = next((each.fix for each in linted(fixed) if each.fix is not None), None)
            if fixed == wanted or fix is None:
                break
            fixed = "\n".join(fix.applied(fixed.split("\n")))
        left = [each for each in linted(fixed) if each.code != case.given.get("leaves")]
        if left or fixed != wanted:
            wrong[case.label] = (fixed, left)
    assert wrong == {}


def test_each_mended_expression_gives_what_its_writer_meant() -> None:
    wrong: dict[str, object] = {}
    for case in (each for each in cases() if "expression" in each.given):
        found = next((each for each in case.findings if case.reports(each)), None)
        if found is None:
            wrong[case.label] = case.findings
        elif "gives" not in case.given:
            if found.fix is not None:
                wrong[case.label] = found.fix
        elif found.fix is None or linted(case.mended):
            wrong[case.label] = (case.mended, linted(case.mended))
        elif found.fix.choice != ("choice" in case.given):
            wrong[case.label] = found.fix
        elif case.given.get("choice", "") not in found.fix.title:
            wrong[case.label] = found.fix.title
        elif (value := case.value) != case.given["gives"]:
            wrong[case.label] = (case.mended.partition("set:")[2], value)
    assert wrong == {}


def test_each_foreign_function_is_written_as_one_of_jsonata() -> None:
    for name, function in habits.DIRECT.items():
        found = habits.find(f"{name}(event.a)", {"event"})
        assert f"write ${function}" in (found.message if found else ""), name


def test_what_is_long_and_hopeless_is_given_up_soon() -> None:
    for text in (
        "a." * 190 + "b!(",
        "!" + "a.b" * 130,
        "{{" + " " * 390,
        "x => " * 79,
        "not " * 99,
    ):
        began = process_time()
        habits.find(text, {"event"})
        assert process_time() - began < 2, text[:20]


def test_each_quick_fix_mends_what_it_is_offered_for() -> None:
    wrong: dict[str, object] = {}
    for case in cases():
        there = {(each.code, each.message) for each in case.findings}
        for each in (each for each in case.findings if each.fix is not None):
            assert each.fix is not None
            left = linted("\n".join(each.fix.applied(case.text.split("\n"))))
            new = {one.code for one in left if (one.code, one.message) not in there}
            new -= AFTERWARDS.get(case.label, set()) | {
                "HF111",
                "HF114",
            }  # of what could not be read
            if new or any((each.code, each.message, each.line) == _place(one) for one in left):
                wrong[case.label] = (each, new)
    assert wrong == {}


def _place(finding: Finding) -> tuple[str, str, int]:
    return finding.code, finding.message, finding.line


def test_no_message_has_words_of_python() -> None:
    found = {
        case.label: each.message
        for case in cases()
        for each in case.findings
        if FOREIGN.search(re.sub(r"“[^”]*”|`[^`]*`|\"[^\"]*\"|'[^']*'", "", each.message))
    }
    assert found == {}
