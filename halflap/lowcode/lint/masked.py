"""An expression as text, with what stands in quotes blanked: where its operands and brackets end."""

from __future__ import annotations

import re
from collections.abc import Callable

Kind = Callable[[str], str]
"""The type of an operand, by its text: array, string, date, date-time; "" where it is not known."""


def unknown(operand: str) -> str:
    """Return no type."""
    return ""


class MaskedText:
    """An expression, and the same with what stands in quotes blanked."""

    def __init__(self, raw: str, kind: Kind = unknown) -> None:
        self.raw, self.kind = raw, kind
        self.mask = _QUOTED.sub(
            lambda each: each[0][0] + "\0" * (len(each[0]) - 2) + each[0][-1], raw
        )
        self._pairs: dict[int, int] = {}
        opened: list[int] = []
        for at, char in enumerate(self.mask):
            if char in "([{":
                opened.append(at)
            elif char in ")]}" and opened:
                self._pairs[at] = start = opened.pop()
                self._pairs[start] = at

    def before(self, end: int) -> int:
        """Return where the operand begins that ends before a place."""
        at = len(self.mask[:end].rstrip())
        while at > 0:
            char = self.mask[at - 1]
            if char in ")]}":
                at = self._pairs.get(at - 1, 0)
            elif char.isalnum() or char in _OPERAND:
                at -= 1
            else:
                break
        return at

    def after(self, start: int) -> int:
        """Return where the operand ends that begins at a place."""
        at = start + len(self.mask[start:]) - len(self.mask[start:].lstrip())
        while at < len(self.mask):
            char = self.mask[at]
            if char in "([{":
                at = self.closing(at)
            elif char.isalnum() or char in _OPERAND:
                at += 1
            else:
                break
        return at

    def closing(self, at: int) -> int:
        """Return where the bracket at a place is closed, just behind it."""
        end = len(self.mask) - 1 if self.mask[at : at + 1] in ("(", "[", "{") else at
        return self._pairs.get(at, end) + 1

    def around(self, end: int) -> list[int]:
        """Return the brackets that are open at a place, the innermost last."""
        opened = (at for at, char in enumerate(self.mask[:end]) if char in "([{")
        return [at for at in opened if self._pairs.get(at, end) >= end]

    def end(self, start: int) -> int:
        """Return where the part ends that begins at a place: at a comma or a bracket not its own."""
        at = start
        while at < len(self.mask) and self.mask[at] not in ",)]};":
            at = self.closing(at) if self.mask[at] in "([{" else at + 1
        return at

    def is_relative(self, at: int) -> bool:
        """Return whether a name at a place is a field: in a filter, or in a bracket after a dot."""
        return any(
            before == "." or (self.mask[here] == "[" and (before.isalnum() or before in "_`)]"))
            for here in self.around(at)
            if (before := self.mask[here - 1 : here])
        )

    def arguments(self, opening: int) -> list[str]:
        """Return what stands between the commas of a bracket."""
        found: list[str] = []
        at = opening + 1
        while at < len(self.mask):
            end = self.end(at)
            found.append(self.raw[at:end].strip())
            if end >= len(self.mask) or self.mask[end] != ",":
                break
            at = end + 1
        return [] if found == [""] else found

    def is_call(self, at: int) -> bool:
        """Return whether the bracket at a place holds what a function is given."""
        before = self.mask[:at].rstrip()
        word = re.search(r"\w+$", before)
        called = self.mask[at] == "(" and word is not None
        return called and word is not None and word[0] not in ("and", "or", "in", "function")


_QUOTED = re.compile(
    r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`|(?:^|(?<=[(,])|(?<=[(,] ))/[^/\n]+/'
)
_OPERAND = "_$.`\0\"'"
