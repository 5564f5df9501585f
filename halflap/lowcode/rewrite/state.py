"""A document that people are writing, at one revision: its text, which may be of no use yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

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
from halflap.lowcode.rewrite.keys import kept_keys, numbered
from halflap.lowcode.rewrite.merge import patched
from halflap.lowcode.rewrite.text import UnwritableEdit
from halflap.lowcode.source import (
    MOST_BYTES,
    Path,
    Place,
    SourceText,
    Unreadable,
    mapping_of,
    read,
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
    starts = [0]
    for line in source.text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    begins = sorted(
        (starts[min(place.line, len(starts)) - 1] + place.column - 1, name)
        for path, name in marks.items()
        if (place := source.keys.get(path)) is not None
    )
    found: dict[str, str] = {REST: source.text[: begins[0][0]] if begins else source.text}
    for at, (start, name) in enumerate(begins):
        end = begins[at + 1][0] if at + 1 < len(begins) else len(source.text)
        found[name] = found.get(name, "") + source.text[start:end]
    return found
