"""Edits of a document by the addresses of its values, as a designer or another machine sends them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Discriminator, Field

from halflap.errors import Conflict
from halflap.lowcode.kinds.raw import blocks_in
from halflap.lowcode.rewrite.text import UnwritableEdit, shared_ends
from halflap.lowcode.source import Path, mapping_of

Address = tuple[str | bool | int, ...]
"""Where a value stands: a node's `path` in the outline, or that of one of its fields or blocks."""

Position = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
"""A line and a column of the text, from 1."""


class StaleDraft(Conflict):
    """Somebody edited the document meanwhile; read it again, then send the edits anew."""

    def __init__(self, revision: int, expected: int) -> None:
        super().__init__(
            f"the document is at revision {revision}, and these edits are for revision {expected}; "
            "read it again, then send them anew"
        )
        self.revision = revision


class _Op(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class SetValue(_Op):
    """Make a value another one, or add a member."""

    op: Literal["set"] = "set"
    path: Address
    value: Any
    after: str | None = None
    """The member behind which a new one is added; the last one without it."""


class InsertItem(_Op):
    """Insert a step, or another item, into a list; the list is made where there is none."""

    op: Literal["insert"] = "insert"
    path: Address
    """The list's address: a block's `path`."""
    at: int = Field(ge=0)
    value: Any


class DeleteValue(_Op):
    """Delete a member or an item."""

    op: Literal["delete"] = "delete"
    path: Address


class MoveItem(_Op):
    """Move an item into a list, before its item `at`: both as they are before the move."""

    op: Literal["move"] = "move"
    path: Address
    to: Address
    at: int = Field(ge=0)


class WrapItems(_Op):
    """Put steps that follow each other into a block of a new step."""

    op: Literal["wrap"] = "wrap"
    path: Address
    """The first of the steps."""
    count: int = Field(1, ge=1)
    value: dict[str, Any]
    """The new step, without the block: `{for: line, in: =event.lines}`."""
    into: Address
    """The block, from the new step on: `["do"]`, `["cases", "a"]`."""


class DuplicateItem(_Op):
    """Insert a copy of a step behind it, whose results have names of their own."""

    op: Literal["duplicate"] = "duplicate"
    path: Address


class PasteItems(_Op):
    """Insert steps that are given as YAML, with their comments; results get names of their own."""

    op: Literal["paste"] = "paste"
    path: Address
    """The list's address: a block's `path`."""
    at: int = Field(ge=0)
    text: str
    """A list of steps, or one of them."""


class RenameName(_Op):
    """Rename what a flow's steps give a name, with all its uses."""

    op: Literal["rename"] = "rename"
    flow: str
    name: str
    to: str


class RenameFlow(_Op):
    """Rename a flow, with all that names it."""

    op: Literal["rename_flow"] = "rename_flow"
    name: str
    to: str


class RenameField(_Op):
    """Rename a field of the config, with all that names it."""

    op: Literal["rename_field"] = "rename_field"
    name: str
    to: str


class RenamePage(_Op):
    """Rename a page of the config."""

    op: Literal["rename_page"] = "rename_page"
    name: str
    to: str


class ReorderMember(_Op):
    """Put a member of a mapping before another one: a flow, a page, a field, a case."""

    op: Literal["reorder"] = "reorder"
    path: Address
    """The member's address: `["flows", "order"]`, `["config", "Options", "limit"]`."""
    before: str | bool | int | None = None
    """The member that follows it then; without it, it is the last one."""


class ReplaceText(_Op):
    """Replace a piece of the text: an edit of its YAML, and what other edits amount to."""

    op: Literal["text"] = "text"
    start: Position
    end: Position
    text: str


DraftEdit = Annotated[
    SetValue
    | InsertItem
    | DeleteValue
    | MoveItem
    | WrapItems
    | DuplicateItem
    | PasteItems
    | RenameName
    | RenameFlow
    | RenameField
    | RenamePage
    | ReorderMember
    | ReplaceText,
    Discriminator("op"),
]


@dataclass(frozen=True, slots=True)
class DraftChange:
    """The result of a batch of edits of a document.

    patches: the text's changes, each to be made after the one before it. undo: the edits that take
    all of it back.
    """

    revision: int
    patches: tuple[ReplaceText, ...]
    undo: tuple[ReplaceText, ...]


def difference(
    before: str, after: str, begins: int | None = None
) -> tuple[ReplaceText, ReplaceText]:
    """Return the patch that makes one text the other, and its inverse.

    `begins` is where the change begins, of several places that would do: of two lines that say the
    same, either may be the new one.
    """
    first, last = shared_ends(before, after)
    if begins is not None and begins < first:
        both = last + first - begins
        if before[len(before) - both :] == after[len(after) - both :]:
            first, last = begins, both
    return _patch(before, first, last, after), _patch(after, first, last, before)


def _patch(text: str, first: int, last: int, other: str) -> ReplaceText:
    return ReplaceText(
        start=position_of(text, first),
        end=position_of(text, len(text) - last),
        text=other[first : len(other) - last],
    )


def position_of(text: str, offset: int) -> tuple[int, int]:
    """Return the line and column of a place in a text."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def offsets(text: str, patch: ReplaceText) -> tuple[int, int]:
    """Return where in a text a patch begins and ends; `UnwritableEdit` where there is no such place."""
    start, end = _offset(text, patch.start), _offset(text, patch.end)
    if start is None or end is None or end < start:
        raise UnwritableEdit(f"the text has no {patch.start} to {patch.end}")
    return start, end


def _offset(text: str, position: tuple[int, int]) -> int | None:
    line, column = position
    start = 0
    for _ in range(line - 1):
        start = text.find("\n", start) + 1
        if start == 0:
            return None
    end = text.find("\n", start)
    found = start + column - 1
    return found if found <= (len(text) if end < 0 else end) else None


def step_paths(data: Any) -> Iterator[Path]:
    """Yield the addresses of the steps and routes of a document, which may be unfinished."""
    for name, flow in mapping_of(mapping_of(data).get("flows")).items():
        yield from _steps(mapping_of(flow).get("steps"), ("flows", name, "steps"))
    for name, flow in mapping_of(mapping_of(data).get("preprocess")).items():
        routes = mapping_of(flow).get("routes")
        for at, _ in enumerate(cast("list[Any]", routes) if isinstance(routes, list) else ()):
            yield ("preprocess", name, "routes", at)


def _steps(steps: Any, path: Path) -> Iterator[Path]:
    for at, step in enumerate(cast("list[Any]", steps) if isinstance(steps, list) else ()):
        yield (*path, at)
        for inner, each in blocks_in(mapping_of(step)):
            yield from _steps(each, (*path, at, *inner))
