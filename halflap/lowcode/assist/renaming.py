"""A name of a document, everywhere it stands: an `id`, a variable, a loop's item, a flow."""

from __future__ import annotations

from dataclasses import dataclass

from halflap.errors import DefinitionError
from halflap.lowcode.assist.analysis import Analysis
from halflap.lowcode.assist.loose import lines_of
from halflap.lowcode.assist.pointing import given_at
from halflap.lowcode.kinds.raw import gives_at
from halflap.lowcode.rewrite import Draft
from halflap.lowcode.source import Path, Unreadable, value_at


@dataclass(frozen=True, slots=True)
class Named:
    """A name: of a flow, or given by the steps of one."""

    name: str
    flow: str | None = None


@dataclass(frozen=True, slots=True)
class LineEdit:
    """An edit of a part of a line: line and columns from 0."""

    line: int
    start: int
    end: int
    text: str


def named_at(analysis: Analysis, line: int, column: int) -> Named | None:
    """Return the name at a place, where that can be renamed."""
    path = given_at(analysis, line, column)
    return None if path is None else _named(analysis, path)


def _named(analysis: Analysis, path: Path) -> Named | None:
    data = analysis.source.data
    match path:
        case ("flows" | "preprocess", str(name)):
            return Named(name)
        case ("flows", str(flow), *_, "set", str(name)):
            return Named(name, flow)
        case ("flows", str(flow), *_, str(key)) if key != "set" and gives_at(data, path):
            return Named(str(value_at(data, path)), flow)
        case _:
            return None


def renaming(analysis: Analysis, named: Named, new: str) -> list[LineEdit]:
    """Return the edits of a renaming; raise `DefinitionError` where it is not possible."""
    try:
        draft = Draft.read(analysis.text, analysis.source.file)
    except Unreadable as error:
        raise DefinitionError(f"the document cannot be read yet: {error.said}") from error
    if named.flow is None:
        draft.rename_flow(named.name, new)
    else:
        draft.rename(named.flow, named.name, new)
    before, after = lines_of(analysis.text), lines_of(draft.source.text)
    found: list[LineEdit] = []
    for line, (one, other) in enumerate(zip(before, after, strict=True)):
        if one != other:
            found += _edits(line, one, other, named.name, new)
    return found


def places(analysis: Analysis, named: Named) -> list[LineEdit]:
    """Where a name stands."""
    other = "a_name_that_no_document_has"
    try:
        return renaming(analysis, named, other)
    except DefinitionError:
        return []


def _edits(line: int, before: str, after: str, old: str, new: str) -> list[LineEdit]:
    """The places of a line where a name was put for another; the whole line where more has changed."""
    found: list[LineEdit] = []
    one = other = 0
    while one < len(before) or other < len(after):
        changed = before.startswith(old, one) and after.startswith(new, other)
        if changed and before[one + len(old) :][:1] == after[other + len(new) :][:1]:
            found.append(LineEdit(line, one, one + len(old), new))
            one, other = one + len(old), other + len(new)
        elif before[one : one + 1] == after[other : other + 1]:
            one, other = one + 1, other + 1
        else:
            return [LineEdit(line, 0, len(before), after)]
    return found
