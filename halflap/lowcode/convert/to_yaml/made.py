"""Parts of the document that is made: mappings with the comments that stand before them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast


@dataclass(slots=True)
class Made:
    """A mapping, and the comments before it."""

    data: dict[str, Any]
    comments: list[str] = field(default_factory=list[str])
    after: list[str] = field(default_factory=list[str])
    """Comments at the end."""


def plain(value: Any) -> Any:
    """The same without comments, as a reader of the document has it."""
    match value:
        case Made(data=data):
            return plain(data)
        case dict():
            return {name: plain(each) for name, each in cast("dict[Any, Any]", value).items()}
        case list() | tuple():
            return [plain(each) for each in cast("list[Any]", value)]
        case _:
            return value
