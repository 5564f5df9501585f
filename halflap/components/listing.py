"""The first items of what comes in pages, as models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)


async def first(most: int, kind: type[M], items: AsyncIterator[Any]) -> list[M]:
    """Return at most so many items; no page is asked for beyond them."""
    found: list[M] = []
    if most > 0:
        async for each in items:
            found.append(kind.model_validate(each))
            if len(found) == most:
                break
    return found
