"""`for_each` runs every case, and says which of them failed."""

from __future__ import annotations

import pytest

from tests.cases import for_each


def test_every_case_runs_and_each_that_fails_is_named() -> None:
    seen: list[tuple[int, str]] = []

    @for_each("n", [1, 2, 3])
    @for_each(("text", "right"), [("a", True), ("b", False)], ids=["first", "second"])
    def check(n: int, text: str, right: bool) -> None:
        seen.append((n, text))
        assert right or n == 1, text

    with pytest.raises(BaseExceptionGroup, match="2 of 3 cases failed") as caught:
        check()
    assert seen == [(n, text) for n in (1, 2, 3) for text in "ab"]
    assert [each.__notes__ for each in caught.value.exceptions] == [
        ["case 'second'", f"case {n}"] for n in (2, 3)
    ]


def test_a_case_that_fails_by_itself_is_noted() -> None:
    @for_each("n", {"one": 1, "two": 2})
    def check(n: str) -> None:
        if n == "two":
            pytest.fail("not this one")

    with pytest.raises(pytest.fail.Exception, match="not this one") as caught:
        check()
    assert caught.value.__notes__ == ["case 'two'"]


def test_a_case_that_skips_fails_and_the_others_run() -> None:
    seen: list[int] = []

    @for_each("n", [1, 2, 3])
    def check(n: int) -> None:
        seen.append(n)
        if n == 2:
            pytest.skip("not here")

    with pytest.raises(AssertionError, match="a case may not skip: not here") as caught:
        check()
    assert (seen, caught.value.__notes__) == ([1, 2, 3], ["case 2"])
