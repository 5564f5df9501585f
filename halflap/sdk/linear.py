"""RE2: patterns that are found in time that is linear in the text. The only place that imports it."""

from __future__ import annotations

from typing import Any, Protocol, cast

import re2


class PatternMatch(Protocol):
    """Where a pattern was found."""

    def group(self) -> Any: ...
    def groups(self, default: Any = None) -> tuple[Any, ...]: ...
    def span(self) -> tuple[int, int]: ...


class Pattern(Protocol):
    """A compiled pattern; `programsize` is how much there is to do for a character, at worst."""

    programsize: int

    def search(self, text: str | bytes, pos: int | None = None) -> PatternMatch | None: ...
    def match(self, text: str | bytes) -> PatternMatch | None: ...


SLOWEST = 25e-9
"""The seconds of a step of a search at worst: an instruction of the program, for a byte of the text."""


def longest_search(pattern: Pattern, text: str) -> float:
    """Return the seconds that a search of a text may take at worst; it cannot be ended within."""
    return pattern.programsize * len(text) * (1 if text.isascii() else 4) * SLOWEST


class UnreadablePattern(ValueError):
    """RE2 does not understand the pattern, or does not take one as large; it says why."""


_re2 = cast(Any, re2)


def compiled(source: str, *, memory: int, ignore_case: bool = False) -> Pattern:
    """Compile a pattern, into at most so many bytes."""
    options = _re2.Options()
    options.max_mem = memory
    options.log_errors = False
    options.case_sensitive = not ignore_case
    try:
        return cast(Pattern, _re2.compile(source, options))
    except _re2.error as error:
        reason = error.args[0] if error.args else ""
        raise UnreadablePattern(
            reason.decode() if isinstance(reason, bytes) else str(reason)
        ) from None
