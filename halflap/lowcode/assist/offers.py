"""Completions, help and definitions: values without a protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
