"""The comments of a document, which stand in the Python at the place where they stood."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from halflap.lowcode.source import Path, Source

_EXCUSE = re.compile(r"#\s*(halflap: ignore|yaml-language-server:)")
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'")


class Remarks:
    """Finds the comments before a part of a document, and those on its line; each is taken once."""

    def __init__(self, source: Source) -> None:
        self._lines = source.text.splitlines()
        self._found = dict(self._comments(source))
        self._source = source

    def _comments(self, source: Source) -> Iterator[tuple[int, str]]:
        blocks = [source.place(path).line for path in source.blocks]
        inside = 0
        for number, line in enumerate(self._lines, 1):
            indent = len(line) - len(line.lstrip())
            if inside and (not line.strip() or indent >= inside):
                continue
            inside = 0
            if number in blocks:
                inside = indent + 1
            at = _comment(line)
            if at is not None and not _EXCUSE.match(line[at:]):
                yield number, line[at:].lstrip("#").strip()

    @contextmanager
    def again(self) -> Generator[None]:
        """Give what was taken back afterwards: the same part is written once more."""
        kept = dict(self._found)
        yield
        self._found = kept

    def first(self) -> list[str]:
        """The comments at the beginning, before the document."""
        return self._take(range(1, min(self._key_lines(), default=1)))

    def _key_lines(self) -> list[int]:
        return [each.line for each in self._source.keys.values()]

    def before(self, path: Path) -> list[str]:
        """The comments right above a part."""
        line = self._line(path) - 1
        found: list[int] = []
        while line > 0 and self._lines[line - 1].strip().startswith("#"):
            found.append(line)
            line -= 1
        return self._take(reversed(found))

    def beside(self, path: Path, end: int | None = None) -> list[str]:
        """The comments on the lines of a part, up to a line."""
        start = self._line(path)
        return self._take(range(start, (start if end is None else end) + 1))

    def left(self, first: int, last: int) -> list[str]:
        """The comments between two lines that nobody has taken."""
        return self._take(range(first, last + 1))

    def _line(self, path: Path) -> int:
        place = self._source.keys.get(path) or self._source.place(path)
        return place.line

    def _take(self, numbers: Iterator[int] | range) -> list[str]:
        return [text for each in numbers if (text := self._found.pop(each, None))]


def _comment(line: str) -> int | None:
    """Where a line's comment begins."""
    bare = _QUOTED.sub(lambda found: "x" * len(found[0]), line)
    found = re.search(r"(?:^|(?<=\s))#", bare)
    return found.start() if found else None
