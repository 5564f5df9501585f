"""Where a text ends, as far as its reader has come."""

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
