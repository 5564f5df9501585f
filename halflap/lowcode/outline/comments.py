"""The comments of a Python source, of which those on a branch or a loop are its title."""

from __future__ import annotations

import re
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass

_DIRECTIVE = re.compile(
    r"(?i)\b(noqa|type:|pyright:|mypy:|ruff:|pragma|halflap:|fmt:|pylint:|nosec)"
)
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Comments:
    """By line, the comment that stands at its end."""

    lines: dict[int, str]

    @classmethod
    def read(cls, lines: Sequence[str]) -> Comments:
        """The comments of a source."""
        found: dict[int, str] = {}
        text = iter([f"{each}\n" for each in lines])
        try:
            for token in tokenize.generate_tokens(lambda: next(text, "")):
                line, column = token.start
                if token.type == tokenize.COMMENT and lines[line - 1][:column].strip():
                    found[line] = _said(token.string)
        except (tokenize.TokenError, SyntaxError):
            pass  # what the parser took and this does not has the comments up to there
        return cls(found)

    def title(self, first: int, last: int = 0) -> str | None:
        """The comment on one of these lines, as a title."""
        found = (self.lines.get(each) for each in range(first, max(first, last) + 1))
        return next((each for each in found if each), None)


def _said(comment: str) -> str:
    """Return a comment's text for people: without what it says to tools."""
    parts = [each.strip() for each in comment.split("#")]
    return " ".join(each for each in parts if each and not _DIRECTIVE.match(each))[:LONGEST]


def first_sentence(text: str | None) -> str:
    """A docstring's first paragraph, on one line."""
    return " ".join((text or "").strip().split("\n\n")[0].split())
