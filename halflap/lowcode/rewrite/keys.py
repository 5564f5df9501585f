"""Keys of a document's steps: numbers that stay with them, wherever an edit puts them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from halflap.lowcode.rewrite.edits import step_paths
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


def kept_keys(before: SourceText, keys: Keys, after: SourceText) -> dict[Path, int]:
    """Return the keys of the steps that an edit has left, by their addresses now.

    Steps are matched by ever less that they have in common; what is left after that in its order, where
    as many steps are new as are gone.
    """
    left, new = dict(keys), dict.fromkeys(step_paths(after.data))
    found: dict[Path, int] = {}
    for shared in SHARED:
        alike: dict[Hashable, list[Path]] = {}
        for path in reversed(left):
            alike.setdefault(shared(path, value_at(before.data, path)), []).append(path)
        for path in [*new]:
            if same := alike.get(shared(path, value_at(after.data, path))):
                found[path] = left.pop(same.pop())
                del new[path]
    if len(left) == len(new):
        found |= zip(new, left.values(), strict=True)
    return found


def _plain(step: Any) -> str:
    """Return what a step says by itself, without what is in it."""
    members = mapping_of(step).items()
    return repr({key: each for key, each in members if not isinstance(each, list | dict)})


SHARED: Sequence[Callable[[Path, Any], Hashable]] = [
    lambda path, step: (path, repr(step)),
    lambda path, step: (path[:-1], repr(step)),
    lambda path, step: repr(step),
    lambda path, step: _plain(step),
    lambda path, step: path,
]
"""The parts that steps share: first their address and all that they say, last their address alone."""
