"""Keys of a document's steps: numbers that stay with them, wherever an edit puts them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from halflap.lowcode.rewrite.edits import ReplaceText, step_paths
from halflap.lowcode.rewrite.merge import together
from halflap.lowcode.source import Path, SourceText, mapping_of, value_at

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

    Steps are matched by ever less that they have in common; what is left after that in its order, where
    as many steps are new as are gone.
    """
    left, new = dict(keys), dict.fromkeys(step_paths(after.data))
    stood = _stood(before, keys, after, patches)
    found: dict[Path, int] = {}
    for by_place, shared in SHARED:
        alike: dict[Hashable, list[Path]] = {}
        for path in reversed(left):
            alike.setdefault(shared(path, value_at(before.data, path)), []).append(path)
        for path in [*new]:
            was = stood.get(path) if by_place else path
            if was and (same := alike.get(shared(was, value_at(after.data, path)))):
                found[path] = left.pop(same.pop())
                del new[path]
    if len(left) == len(new):
        found |= zip(new, left.values(), strict=True)
    return found


def _stood(
    before: SourceText, keys: Keys, after: SourceText, patches: Iterable[ReplaceText]
) -> dict[Path, Path]:
    """Return the former addresses of steps by those of what stands now where patches left them.

    A text that is inserted where a step begins moves it on, unless no step begins there then.
    """
    made = together(before.text, patches)
    there = {at: path for path, at in _offsets(after, step_paths(after.data)).items()}
    found: dict[Path, Path] = {}
    for path, at in _offsets(before, keys).items():
        if not any(each.start < at < each.end for each in made):
            low = at + sum(each.by for each in made if each.end <= at and each.start < at)
            high = low + sum(each.by for each in made if each.start == at == each.end)
            if now := there.get(high) or there.get(low):
                found[now] = path  # of two that are left at one place, the first was taken out
    return found


def _offsets(source: SourceText, paths: Iterable[Path]) -> dict[Path, int]:
    """Return where the values of paths begin in the text."""
    starts = [0, *accumulate(len(each) + 1 for each in source.text.split("\n"))]
    places = {path: source.values.get(path) for path in paths}
    return {
        path: starts[place.line - 1] + place.column - 1
        for path, place in places.items()
        if place is not None and place.line < len(starts)
    }


def _plain(step: Any) -> str:
    """Return what a step says by itself, without what is in it."""
    if not isinstance(step, dict):
        return repr(step)
    members = mapping_of(step).items()
    return repr({key: each for key, each in members if not isinstance(each, list | dict)})


SHARED: Sequence[tuple[bool, Callable[[Path, Any], Hashable]]] = [
    (True, lambda path, step: (path, repr(step))),
    (False, lambda path, step: (path[:-1], repr(step))),
    (False, lambda path, step: repr(step)),
    (False, lambda path, step: _plain(step)),
    (True, lambda path, step: path),
    (False, lambda path, step: path),
]
"""The parts that steps share, and whether the address is the one from which the patches moved a step:
first their place in the text and all that they say, last their address alone.
"""
