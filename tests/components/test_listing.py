"""The first items of what comes in pages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import BaseModel

from halflap.components.listing import first
from tests.cases import for_each


class Item(BaseModel):
    """One of many."""

    number: int


async def pages_of(size: int, pages: int) -> AsyncIterator[dict[str, int]]:
    """Give some pages; to ask for the one behind them fails."""
    for number in range(size * pages):
        yield {"number": number}
    raise EOFError("a page too many is asked for")


@for_each(("most", "pages"), [(0, 0), (1, 1), (3, 1), (4, 2), (6, 2)])
async def test_no_page_is_asked_for_beyond_the_items_that_are_wanted(most: int, pages: int):
    found = await first(most, Item, pages_of(3, pages))
    assert found == [Item(number=number) for number in range(most)]


async def test_control_a_page_too_many_is_seen():
    with pytest.raises(EOFError):
        await first(4, Item, pages_of(3, 1))


async def test_all_are_returned_where_there_are_fewer():
    async def few() -> AsyncIterator[dict[str, int]]:
        yield {"number": 0}

    assert await first(5, Item, few()) == [Item(number=0)]
