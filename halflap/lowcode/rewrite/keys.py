"""Keys of a document's steps: numbers that stay with them, wherever an edit puts them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any, cast

from halflap.lowcode.rewrite.edits import ReplaceText, step_paths
from halflap.lowcode.rewrite.merge import offsets
from halflap.lowcode.source import Path, SourceText, value_at

Keys = Mapping[Path, int]
"""The keys of steps, by their addresses, in the order of the document."""


def numbered(source: SourceText, keys: Keys, next: int) -> tuple[dict[Path, int], int]:
    """Return the keys of the steps of a document, of which these have theirs, and the next key."""
    made: dict[Path, int] = {}
    for path in step_paths(source.data):
        made[path] = keys.get(path) or next
        next += made[path] == next
    return made, next


def kept_keys(
    before: SourceText, keys: Keys, after: SourceText, patches: Iterable[ReplaceText]
) -> dict[Path, int]:
    """Return the keys of the steps that patches of the text have left, by their addresses now.

    A step is the one that says the same at the same place of the text; else one that says the same
    elsewhere; else the one at the same place, or at the same address.
    """
    begins = _offsets(before, keys)
    # By what stands before it, and by what is inserted where it begins.
    places = {path: (at, at) for path, at in begins.items()}
    text = before.text
    for each in patches:
        start, end = offsets(text, each)
        by = len(each.text) - (end - start)
        places = {
            path: (
                low if low <= start else low + by,
                high if high < end else high + by,
            )
            for path, (low, high) in places.items()
            if not (start < low < end or start < high < end)
        }
        text = text[:start] + each.text + text[end:]
    there = {at: path for path, at in _offsets(after, step_paths(after.data)).items()}
    matched = _Matched(before, after, dict(keys))
    at_place = [(path, there.get(place[side])) for side in (1, 0) for path, place in places.items()]
    for old, new in at_place:
        if new is not None and value_at(before.data, old) == value_at(after.data, new):
            matched.match(old, new)
    matched.match_alike(whole=True)
    matched.match_alike(whole=False)
    for old, new in at_place:
        matched.match(old, new)
    for path in keys:
        matched.match(path, path)
    matched.match_rest()
    return matched.found


class _Matched:
    """Matches steps of a document with those of the next one."""

    def __init__(self, before: SourceText, after: SourceText, left: dict[Path, int]) -> None:
        self._before = before
        self._after = after
        self._left = left
        self._new = dict.fromkeys(step_paths(after.data))
        self.found: dict[Path, int] = {}

    def match(self, old: Path, new: Path | None) -> None:
        """Give a step the key of a former one, if neither has been matched."""
        if new in self._new and old in self._left:
            del self._new[new]
            self.found[new] = self._left.pop(old)

    def match_rest(self) -> None:
        """Match what is left in its order, where as many steps are new as are gone."""
        if len(self._left) == len(self._new):
            for old, new in zip(list(self._left), list(self._new), strict=True):
                self.match(old, new)

    def match_alike(self, *, whole: bool) -> None:
        """Match steps that say the same, each with the first that does; without what is in them
        where that is not to be looked at.
        """
        if not self._left or not self._new:
            return
        alike: dict[str, Path] = {}
        for path in self._left:
            alike.setdefault(_words(value_at(self._before.data, path), whole), path)
        for path in list(self._new):
            old = alike.get(_words(value_at(self._after.data, path), whole))
            if old is not None:
                self.match(old, path)


def _words(step: Any, whole: bool) -> str:
    if not whole and isinstance(step, dict):
        members = cast("dict[Any, Any]", step).items()
        return repr({key: each for key, each in members if not isinstance(each, list | dict)})
    return repr(step)


def _offsets(source: SourceText, paths: Iterable[Path]) -> dict[Path, int]:
    """Return where the values of paths begin in the text."""
    lines = source.text.split("\n")
    starts = [0, *accumulate(len(each) + 1 for each in lines)]
    found: dict[Path, int] = {}
    for path in paths:
        place = source.values.get(path)
        if place is not None and place.line <= len(lines):
            found[path] = starts[place.line - 1] + place.column - 1
    return found
