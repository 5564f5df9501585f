"""Lint's work grows with the document, and no faster: counted in calls, not in seconds."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from halflap.lowcode import fixes, shape
from halflap.lowcode.expressions import Expression, ExpressionError
from halflap.lowcode.expressions.parser import MAX_PARENTS
from halflap.lowcode.lint import Shapes, engine, lint_text, rules
from tests.cases import for_each
from tests.lowcode.growing import GROWING, calls, growth, memory
from tests.lowcode.test_lint import HEAD

LINEAR = 2.6
"""A bound: from 2 n to 4 n linear work grows by twice what it did from n to 2 n; quadratic, fourfold."""


@pytest.fixture(autouse=True)
def few_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong names are compared with so few that small documents have more."""
    monkeypatch.setattr(fixes, "MOST_COMPARED", 10)
    monkeypatch.setattr(rules, "MOST_COMPARED", 10)


@for_each("name", GROWING)
def test_the_work_of_lint_grows_with_the_document(name: str) -> None:
    make, size = GROWING[name]
    work, ratio = growth(make, max(1, size // 4))
    assert ratio < LINEAR, work


def test_what_compares_each_with_all_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a suggestion that looks at all names."""
    looked = fixes.closest

    def at_all(wrong: str, known: Iterable[str]) -> str | None:
        return max(known, key=lambda each: len(wrong) - len(each), default=looked(wrong, ()))

    monkeypatch.setattr(fixes, "closest", at_all)
    monkeypatch.setattr(rules, "closest", at_all)
    monkeypatch.setattr(rules, "MOST_COMPARED", 10**9)
    _, ratio = growth(*GROWING["misspelt variables"])
    assert ratio > LINEAR


@pytest.mark.parametrize("form", ["$list({})", "$append({}, 1)", '$merge([{}, {{"b": 1}}])'])
def test_calls_within_each_other_are_inferred_once_each(form: str) -> None:
    def nested(depth: int) -> str:
        text = "event.a"
        for _ in range(depth):
            text = form.format(text)
        return HEAD + f"      - log: '=$string({text})'\n"

    assert calls(nested(12)) < 3 * calls(nested(6))


def test_long_paths_take_memory_in_proportion() -> None:
    make, size = GROWING["long paths"]
    small, large = memory(make(size)), memory(make(4 * size))
    assert large < 4.5 * small


def test_a_document_has_so_many_findings_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (shape, rules, engine):
        monkeypatch.setattr(each, "MOST_FINDINGS", 100)

    def wrong(count: int) -> str:
        return HEAD + "".join(f"      - log: =evnt{at}\n" for at in range(count))

    found = lint_text(wrong(120), "many.yaml", Shapes())
    assert len(found) == 101
    assert found[-1].message == "there are more than 100 findings; mend these first"
    assert calls(wrong(120)) < 2 * calls(wrong(60))
    text = HEAD + "".join(f"      - {{log: a, x{at}: 1}}\n" for at in range(120))
    assert len(lint_text(text, "many.yaml", Shapes())) == 100


def test_parents_are_bounded() -> None:
    assert Expression.parse(f"a.b{'.%' * 2}.c")
    with pytest.raises(ExpressionError, match=f"more than {MAX_PARENTS} %") as caught:
        Expression.parse(f"a{'.%' * 4_000}")
    assert caught.value.code == "H0117"
