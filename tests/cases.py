"""Many small cases in one test: each test of its own is collected by every worker, and set up.

And the seeds of tests that draw their cases: few in a commit, many in the soak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

Test = Callable[..., None]


def for_each(
    names: str | Sequence[str],
    values: Iterable[Any],
    ids: Callable[[Any], object] | Sequence[str] | None = None,
) -> Callable[[Test], Test]:
    """Call a test with each case, as `pytest.mark.parametrize` would make a test of each.

    For cases that take no time and no fixture. Each that fails is raised, with a note of its case.
    """
    keys = [each.strip() for each in names.split(",")] if isinstance(names, str) else list(names)
    cases = list(values)
    assert cases, "there are no cases"

    def decorate(test: Test) -> Test:
        def run(**outer: Any) -> None:
            failed: list[BaseException] = []
            for at, value in enumerate(cases):
                given = (value,) if len(keys) == 1 else value
                try:
                    test(**outer, **dict(zip(keys, given, strict=True)))
                except (Exception, pytest.fail.Exception) as error:
                    error.add_note(f"case {at}: {name_of(at, value, ids)!r:.200}")
                    failed.append(error)
            if len(failed) == 1:
                raise failed[0]
            if failed:
                raise BaseExceptionGroup(f"{len(failed)} of {len(cases)} cases failed", failed)

        run.__name__, run.__qualname__ = test.__name__, test.__qualname__
        run.__doc__, run.__module__ = test.__doc__, test.__module__
        return run

    return decorate


def sampled(few: int, many: int) -> pytest.MarkDecorator:
    """Give a test its `seeds`: a few in each commit, many in the soak."""
    soaked = pytest.param(range(many), marks=pytest.mark.soak)
    return pytest.mark.parametrize("seeds", [range(few), soaked], ids=["few", "many"])


def name_of(at: int, value: Any, ids: Callable[[Any], object] | Sequence[str] | None) -> Any:
    """Return what a case is called by."""
    if ids is None:
        return value
    return ids(value) if callable(ids) else ids[at]
