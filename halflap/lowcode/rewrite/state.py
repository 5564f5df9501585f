"""A document that people are writing, at one revision: its text, which may be of no use yet.

Its steps have keys: numbers that stay with them, wherever an edit puts them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from halflap.lowcode.rewrite.draft import Draft
from halflap.lowcode.rewrite.edits import (
    DraftEdit,
    RenameField,
    RenameFlow,
    RenameName,
    RenamePage,
    ReplaceText,
    difference,
    offsets,
    step_paths,
)
from halflap.lowcode.rewrite.merge import patched, together
from halflap.lowcode.rewrite.text import UnwritableEdit
from halflap.lowcode.source import (
    MOST_BYTES,
    Path,
    Place,
    SourceText,
    Unreadable,
    mapping_of,
    read,
    value_at,
)

DraftReading = tuple[SourceText, Draft | None, Unreadable | None]
"""The outcome of reading a text: as far as it can be read, and why it cannot be exactly."""
REST = ""
"""Stands for all of a document that is in no flow."""
EVERYTHING = "*"
"""Stands for all flows."""


@dataclass(frozen=True, slots=True)
class StateChange:
    """The result of edits of a document.

    patches: of its text, each to be made after the one before it. undo: those that take them back.
    moved: the keys of the steps that have another address now, which is `None` where they are gone.
    flows: those whose text is another, `REST` for what is in none. renamed: those in which a name is
    another one, `EVERYTHING` where that may be anywhere.
    """

    patches: tuple[ReplaceText, ...]
    undo: tuple[ReplaceText, ...]
    moved: tuple[tuple[int, Path | None], ...]
    flows: tuple[str, ...]
    renamed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DraftState:
    """A document's text, its values as far as they can be read, and the keys of its steps."""

    text: str
    source: SourceText = field(repr=False)
    unreadable: Unreadable | None
    keys: dict[Path, int] = field(repr=False)
    next_key: int
    draft: Draft | None = field(repr=False)

    @classmethod
    def open(cls, text: str, file: str, keys: Sequence[int] = (), next_key: int = 1) -> DraftState:
        """Read a text, whatever it is. `keys` are those of its steps in order, where they are known."""
        source, draft, unreadable = _read(text, file)
        known = dict(zip(step_paths(source.data), keys, strict=False))
        made, next_key = numbered(source, known, next_key)
        return cls(text, source, unreadable, made, next_key, draft)

    def edited(self, edits: Sequence[DraftEdit]) -> tuple[DraftState, StateChange]:
        """Make edits one after another, all of them or none, and return what they make of it.

        An edit of the text is made whatever comes of it; others need a document that can be read.
        Raises `UnwritableEdit`, and `DefinitionError` for a name that cannot be given.
        """
        texts = [each for each in edits if isinstance(each, ReplaceText)]
        if len(texts) == len(edits):
            return self._retyped(texts)
        if self.draft is None or self.unreadable is not None:
            error = self.unreadable
            said = "it is empty" if error is None else error.said
            raise UnwritableEdit(
                f"the text cannot be read ({said}); mend it by hand first",
                where=None if error is None else error.where,
            )
        draft = self.draft.copy()
        change = draft.apply(edits)
        check_text(draft.source.text)
        kept = kept_keys(self.source, self.keys, draft.source, change.patches)
        found = draft.source, draft, None
        return self._next(found, kept, change.patches, change.undo, renames(edits))

    def _retyped(self, edits: Sequence[ReplaceText]) -> tuple[DraftState, StateChange]:
        text = self.text
        undo: list[ReplaceText] = []
        for each in edits:
            new = patched(text, [each])
            undo.insert(0, difference(text, new, offsets(text, each)[0])[1])
            text = new
        check_text(text)
        found = _read(text, self.source.file)
        keys = kept_keys(self.source, self.keys, found[0], edits)
        return self._next(found, keys, edits, undo, ())

    def _next(
        self,
        found: DraftReading,
        kept: dict[Path, int],
        patches: Iterable[ReplaceText],
        undo: Iterable[ReplaceText],
        renamed: tuple[str, ...],
    ) -> tuple[DraftState, StateChange]:
        source, draft, unreadable = found
        keys, next_key = numbered(source, kept, self.next_key)
        former = {key: path for path, key in self.keys.items()}
        there = {key: path for path, key in keys.items()}
        moved = [(key, there.get(key)) for key, path in former.items() if there.get(key) != path]
        made = DraftState(source.text, source, unreadable, keys, next_key, draft)
        flows = changed_flows(self.source, source)
        return made, StateChange(tuple(patches), tuple(undo), tuple(moved), flows, renamed)


def _read(text: str, file: str) -> DraftReading:
    """Read a text exactly, where that can be, and as far as it can be read otherwise."""
    try:
        source = read(text, file)
    except Unreadable as error:
        from halflap.lowcode.assist.loose import read_loosely

        return read_loosely(text, file), None, error
    if not isinstance(source.data, dict | None):
        said = "a document is a mapping, such as `name: orders`"
        return source, None, Unreadable(said, file, Place())
    return source, Draft(source), None


def check_text(text: str) -> None:
    """Raise `UnwritableEdit` where a text cannot be stored as a document, whatever it says."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise UnwritableEdit("the text has half a character (a lone surrogate)") from error
    if size > MOST_BYTES:
        raise UnwritableEdit(f"a document has at most {MOST_BYTES:,} bytes, and this {size:,}")
    if "\0" in text:
        raise UnwritableEdit("a document has no NUL")


def renames(edits: Iterable[DraftEdit]) -> tuple[str, ...]:
    """Return the flows in which edits give something another name."""
    found: set[str] = set()
    for each in edits:
        match each:
            case RenameName(flow=flow):
                found.add(flow)
            case RenameFlow() | RenameField() | RenamePage():
                found.add(EVERYTHING)
            case _:
                pass
    return tuple(sorted(found))


def changed_flows(before: SourceText, after: SourceText) -> tuple[str, ...]:
    """Return the flows whose text is another, or that are new or gone; `REST` for what is in none."""
    one, two = flow_texts(before), flow_texts(after)
    return tuple(name for name in {**one, **two} if one.get(name) != two.get(name))


def flow_texts(source: SourceText) -> dict[str, str]:
    """Return the text of each flow, up to where the next one begins, and of all else (`REST`)."""
    data = mapping_of(source.data)
    marks: dict[Path, str] = {(name,): REST for name in data}
    for part in ("flows", "preprocess"):
        marks |= {(part, name): str(name) for name in mapping_of(data.get(part))}
    begins = sorted((at, marks[path]) for path, at in _offsets(source, source.keys, marks).items())
    found: dict[str, str] = {REST: source.text[: begins[0][0]] if begins else source.text}
    for at, (start, name) in enumerate(begins):
        end = begins[at + 1][0] if at + 1 < len(begins) else len(source.text)
        found[name] = found.get(name, "") + source.text[start:end]
    return found


# Keys of steps --------------------------------------------------------------------------------

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
    there = {at: path for path, at in _offsets(after, after.values, step_paths(after.data)).items()}
    found: dict[Path, Path] = {}
    for path, at in _offsets(before, before.values, keys).items():
        if not any(each.start < at < each.end for each in made):
            low = at + sum(each.by for each in made if each.end <= at and each.start < at)
            high = low + sum(each.by for each in made if each.start == at == each.end)
            if now := there.get(high) or there.get(low):
                found[now] = path  # of two that are left at one place, the first was taken out
    return found


def _offsets(
    source: SourceText, places: Mapping[Path, Place], paths: Iterable[Path]
) -> dict[Path, int]:
    """Return where in the text the places of paths are, of those that it has."""
    starts = [0, *accumulate(len(each) + 1 for each in source.text.split("\n"))]
    return {
        path: starts[place.line - 1] + place.column - 1
        for path in paths
        if (place := places.get(path)) is not None and place.line < len(starts)
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
