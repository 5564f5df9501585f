"""The comments of a source, handed out to what is made of the lines that they stand at."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from halflap.lowcode.outline.comments import Comments
from halflap.sdk._survey import Module

_TOOLS = re.compile(
    r"(?i)#\s*(noqa|type:|pyright:|mypy:|ruff:|pragma|fmt:|pylint:|nosec|halflap:|!)"
)


class Remarks:
    """Hands out comments, each once, in their order."""

    def __init__(self, module: Module) -> None:
        self._titles = Comments.read(module.lines)
        self._left: dict[int, str] = {}
        self._kept: list[str] = []
        text = iter([f"{each}\n" for each in module.lines])
        for token in tokenize.generate_tokens(lambda: next(text, "")):
            if token.type == tokenize.COMMENT and not _TOOLS.match(token.string):
                self._left[token.start[0]] = token.string.lstrip("#").strip()

    @contextmanager
    def again(self) -> Generator[None]:
        """What is handed out within is handed out again afterwards."""
        left, kept = dict(self._left), list(self._kept)
        try:
            yield
        finally:
            self._left, self._kept = left, kept

    def title(self, node: ast.AST, head: ast.AST | None = None) -> str | None:
        """The comment on the lines of a branch or a loop, up to its `head`, as its title."""
        first: int = getattr(node, "lineno", 0)
        last: int = getattr(node if head is None else head, "end_lineno", None) or first
        found = self._titles.title(first, last)
        lines = range(first, max(first, last) + 1)
        taken = next((each for each in lines if self._titles.lines.get(each)), None)
        if taken is not None:
            self._left.pop(taken, None)
        return found

    def before(self, node: ast.stmt) -> list[str]:
        """What stands before a statement, and beside it where it holds no others."""
        holds_others = hasattr(node, "body") or isinstance(node, ast.Match)
        last = node.lineno - 1 if holds_others else node.end_lineno or node.lineno
        return [*self.kept(), *self.upto(last)]

    def upto(self, last: int) -> list[str]:
        """All up to a line that nobody has taken."""
        return [self._left.pop(each) for each in sorted(self._left) if each <= last]

    def leave(self, node: ast.stmt) -> None:
        """Leave out what stands in a part that keeps its comments itself."""
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
            self._left.pop(line, None)

    def keep(self, comments: Iterable[str]) -> None:
        """Keep what was not used for the next part."""
        self._kept += comments

    def kept(self) -> list[str]:
        """What was kept for the next part."""
        kept, self._kept = self._kept, []
        return kept

    def rest(self) -> list[str]:
        """What is left at the end."""
        return [*self.kept(), *self.upto(10**9)]
