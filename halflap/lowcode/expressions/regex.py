"""Regular expressions in time that is linear in the text, by RE2: none is catastrophic.

RE2 has no look-around and no references back to a group; JSONata's others are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from halflap.lowcode.expressions.error import fail
from halflap.lowcode.expressions.frame import VariableFrame
from halflap.lowcode.expressions.value import UNDEFINED, Function, Native
from halflap.sdk.linear import UnreadablePattern, compiled

_UNICODE = re.compile(r"\\u([0-9a-fA-F]{4})")
_MEMORY = 2 * 1024 * 1024
"""The most bytes of a compiled pattern; what needs more is refused."""


@dataclass(frozen=True, slots=True)
class Match:
    """A place where a pattern was found."""

    text: str
    start: int
    end: int
    groups: tuple[str | None, ...]


class Regex(Native):
    """A pattern; called with a text, it gives its first match, as every matching function does."""

    __slots__ = ("_at", "_pattern", "source")

    def __init__(self, source: str, flags: str, at: int) -> None:
        super().__init__("regex", 1, self._called)
        self.source = source
        self._at = at
        # As in JavaScript: `$` is the end, and of each line with the flag m.
        prefix = "(?m)" if "m" in flags else ""
        if not source.isascii() and any("\ud800" <= each <= "\udfff" for each in source):
            fail("S0303", at, value="it holds half a surrogate pair")
        try:
            self._pattern = compiled(
                prefix + _translated(source), memory=_MEMORY, ignore_case="i" in flags
            )
        except UnreadablePattern as error:
            reason = str(error)
            if "too large" in reason:
                fail("H0111", at)
            if "perl operator" in reason or "escape sequence" in reason:
                reason += " (there is no look-around and no reference to a group)"
            fail("S0303", at, value=reason)

    def matches(self, text: str, frame: VariableFrame) -> Iterator[Match]:
        """Every match in turn; raises for a second one without characters, which would not end."""
        meter = frame.evaluation.meter
        data = text if text.isascii() else None
        at, first = 0, True
        encoded = text.encode("utf-8", "surrogatepass")
        while at <= len(encoded):
            meter.take(1 + (len(encoded) - at) // 1024)
            found = self._pattern.search(encoded, at)
            if found is None:
                return
            start, end = found.span()
            if start == end and not first:
                fail("D1004", self._at)
            first = False
            meter.bytes(200 + end - start)
            place = start if data is not None else len(encoded[:start].decode("utf-8", "replace"))
            matched = _text(found.group())
            groups = tuple(None if each is None else _text(each) for each in found.groups())
            yield Match(matched, place, place + len(matched), groups)
            at = end
            if at >= len(encoded):
                return

    def _called(self, frame: VariableFrame, text: Any = UNDEFINED, *_: Any) -> Any:
        if type(text) is not str:
            return UNDEFINED
        return _given(self.matches(text, frame))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _translated(source: str) -> str:
    return _UNICODE.sub(r"\\x{\1}", source)


def _given(matches: Iterator[Match]) -> Any:
    """A match as a function of the expression sees it: with a function for the next one."""
    match = next(matches, None)
    if match is None:
        return UNDEFINED

    def following(_: VariableFrame, *__: Any) -> Any:
        return _given(matches)

    return {
        "match": match.text,
        "start": match.start,
        "end": match.end,
        "groups": [UNDEFINED if each is None else each for each in match.groups],
        "next": Native("next", 0, following),
    }


def matches_of(
    matcher: Any,
    text: str,
    frame: VariableFrame,
    call: Callable[[Function, list[Any], VariableFrame], Any],
) -> Iterator[Match]:
    """The matches of a pattern, or of a function that matches as patterns do."""
    if isinstance(matcher, Regex):
        yield from matcher.matches(text, frame)
        return
    found = call(matcher, [text], frame)
    while found is not UNDEFINED and found is not None:
        if not isinstance(found, dict):
            fail("T1010")
        fields = cast(dict[str, Any], found)
        start, end, groups = fields.get("start"), fields.get("end"), fields.get("groups", [])
        matched, following = fields.get("match"), fields.get("next")
        if (
            type(start) is not int
            or type(end) is not int
            or type(matched) is not str
            or not isinstance(groups, list)
        ):
            fail("T1010")
        texts = tuple(each if type(each) is str else None for each in cast(list[Any], groups))
        yield Match(matched, start, end, texts)
        if not isinstance(following, Function):
            return
        found = call(following, [], frame)
