"""Values of an editor without a protocol: a cursor in a text, completions, help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from halflap.lowcode.source import Path

Part = Literal["key", "value"]


@dataclass(frozen=True, slots=True)
class TextCursor:
    """Where a text ends: in what, and what was typed there so far.

    path: of a value, its own; of a key, that of the mapping that it would be in. `start` is the
    column (from 0) at which what was typed begins. `item`: it begins an item of a list, which may
    become a mapping or stay a text.
    """

    path: Path
    part: Part
    text: str
    start: int
    item: bool = False
    block: bool = False


NOWHERE = TextCursor((), "key", "", 0)
"""Where an empty text ends."""


Kind = Literal["key", "step", "value", "name", "field", "function", "action", "trigger", "flow"]


@dataclass(frozen=True, slots=True)
class CompletionOffer:
    """Something that could stand at the cursor; `text` is what is written, `label` what is shown."""

    label: str
    kind: Kind
    detail: str = ""
    help: str = ""
    text: str = ""
    rank: int = 1

    @property
    def written(self) -> str:
        """The text that is put into the document."""
        return self.text or self.label


@dataclass(frozen=True, slots=True)
class CompletionList:
    """Completions at the cursor, in the place of what was typed from the column `start` on."""

    start: int
    offers: tuple[CompletionOffer, ...] = ()


@dataclass(frozen=True, slots=True)
class Hover:
    """The meaning of a word, as Markdown; from column `start` to `end` of its line (from 0)."""

    text: str
    line: int
    start: int
    end: int
