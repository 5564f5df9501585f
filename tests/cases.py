"""Many small cases in one test: each test of its own is collected by every worker, and set up.

And the seeds of tests that draw their cases: few in a commit, many in the soak.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

Test = Callable[..., Any]


def for_each(
    names: str | Sequence[str],
    values: Iterable[Any],
    ids: Callable[[Any], object] | Iterable[str] | None = None,
) -> Callable[[Test], Test]:
    """Call a test with each case, as `pytest.mark.parametrize` would make a test of each.

    All cases share the test's fixtures, so each has to leave them as it found them. Each case that
    fails is raised, with a note of it.
    """
    keys = [each.strip() for each in names.split(",")] if isinstance(names, str) else list(names)
    cases = list(values)
    assert cases, "there are no cases"
    titles = list(map(ids, cases)) if callable(ids) else list(ids or cases)

    def given(value: Any) -> dict[str, Any]:
        return dict(zip(keys, (value,) if len(keys) == 1 else value, strict=True))

    def decorate(test: Test) -> Test:
        def run(**fixtures: Any) -> None:
            failures = Failures(len(cases))
            for value, title in zip(cases, titles, strict=True):
                with failures.noted(f"case {title!r:.200}"):
                    test(**fixtures, **given(value))
            failures.tell()

        async def run_async(**fixtures: Any) -> None:
            failures = Failures(len(cases))
            for value, title in zip(cases, titles, strict=True):
                with failures.noted(f"case {title!r:.200}"):
                    await test(**fixtures, **given(value))
            failures.tell()

        made: Any = run_async if inspect.iscoroutinefunction(test) else run
        made.__name__, made.__qualname__ = test.__name__, test.__qualname__
        made.__doc__, made.__module__ = test.__doc__, test.__module__
        made.__dict__.update(vars(test))  # the marks
        taken = inspect.signature(test).parameters.values()
        made.__signature__ = inspect.Signature([each for each in taken if each.name not in keys])
        return made

    return decorate


class Failures:
    """The failures of some cases, raised once all have been tried; to skip is one of them."""

    def __init__(self, of: int) -> None:
        self.of = of
        self.found: list[BaseException] = []

    @contextmanager
    def noted(self, case: str) -> Iterator[None]:
        """Note a failure with its case, and go on."""
        try:
            yield
        except pytest.skip.Exception as error:  # it would skip the others, and hide what failed
            self._note(AssertionError(f"a case may not skip: {error}"), case)
        except (Exception, pytest.fail.Exception) as error:
            self._note(error, case)

    def _note(self, error: BaseException, case: str) -> None:
        error.add_note(case)
        self.found.append(error)

    def tell(self) -> None:
        """Raise what failed."""
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            raise BaseExceptionGroup(f"{len(self.found)} of {self.of} cases failed", self.found)


def sampled(few: int, many: int) -> pytest.MarkDecorator:
    """Give a test its `seeds`: a few in each commit, many in the soak."""
    soaked = pytest.param(range(many), marks=pytest.mark.soak)
    return pytest.mark.parametrize("seeds", [range(few), soaked], ids=["few", "many"])
