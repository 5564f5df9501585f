"""Patches of a text beside other patches of it: put together, taken back, made for a later text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from halflap.lowcode.rewrite.edits import ReplaceText, offsets, position_of
from halflap.lowcode.rewrite.text import Patch, shared_ends

Piece = tuple[int, int] | str
"""A piece of a text that was patched: from where to where it stood before, or new text."""


def patched(text: str, patches: Iterable[ReplaceText]) -> str:
    """Return a text with patches, each made after the one before it.

    Raises `UnwritableEdit` where the text has no such place.
    """
    for each in patches:
        start, end = offsets(text, each)
        text = text[:start] + each.text + text[end:]
    return text


def together(text: str, patches: Iterable[ReplaceText]) -> list[Patch]:
    """Return patches that are made one after another as patches of the first text, in its order."""
    pieces: list[Piece] = [(0, len(text))]
    here = text
    for each in patches:
        start, end = offsets(here, each)
        here = here[:start] + each.text + here[end:]
        before, rest = _cut(pieces, start)
        _, after = _cut(rest, end - start)
        pieces = [*before, each.text, *after]
    found: list[Patch] = []
    at, new = 0, ""
    for each in [*pieces, (len(text), len(text))]:
        if isinstance(each, str):
            new += each
            continue
        start, end = each
        if text[at:start] != new:
            found.append(_trimmed(text, Patch(at, start, new)))
        at, new = end, ""
    return found


def _trimmed(text: str, patch: Patch) -> Patch:
    """Return a patch without what it writes as it was."""
    new = patch.text
    first, last = shared_ends(text[patch.start : patch.end], new)
    return Patch(patch.start + first, patch.end - last, new[first : len(new) - last])


def _cut(pieces: Sequence[Piece], at: int) -> tuple[list[Piece], list[Piece]]:
    """Return the pieces before a place and those after it."""
    for index, each in enumerate(pieces):
        size = len(each) if isinstance(each, str) else each[1] - each[0]
        if at < size:
            one, two = (
                (each[:at], each[at:])
                if isinstance(each, str)
                else ((each[0], each[0] + at), (each[0] + at, each[1]))
            )
            return [*pieces[:index], *([one] if at else [])], [two, *pieces[index + 1 :]]
        at -= size
    return [*pieces], []


def rebased(
    text: str, ours: Iterable[ReplaceText], theirs: Iterable[ReplaceText]
) -> list[ReplaceText] | None:
    """Return our patches of a text for the text that theirs have made of it.

    `None` where both change the same line.
    """
    mine, others = together(text, ours), together(text, theirs)
    taken = [_lines(text, each) for each in others]
    for each in mine:
        first, last = _lines(text, each)
        if any(first <= end and start <= last for start, end in taken):
            return None
    here = text
    for each in reversed(others):
        here = here[: each.start] + each.text + here[each.end :]
    made: list[ReplaceText] = []
    for each in reversed(mine):
        by = sum(other.by for other in others if other.end <= each.start)
        start, end = each.start + by, each.end + by
        place = position_of(here, start), position_of(here, end)
        made.append(ReplaceText(start=place[0], end=place[1], text=each.text))
    return made


def _lines(text: str, patch: Patch) -> tuple[int, int]:
    first = text.count("\n", 0, patch.start)
    return first, first + text.count("\n", patch.start, patch.end)
