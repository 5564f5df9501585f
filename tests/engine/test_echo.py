"""Values of a record as they are kept for comparison, and as an app writes them later."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from halflap.engine.echo import alike, short
from tests.cases import for_each

LONG: dict[str, Any] = {"text": "x" * 5_000, "amounts": [Decimal("1.50"), 100, True, None]}


def test_a_long_value_is_the_known_one_however_its_numbers_are_written() -> None:
    written = {"amounts": [Decimal("1.5"), Decimal("1E+2"), True, None], "text": "x" * 5_000}
    assert str(short(LONG)).startswith("sha256:")
    assert alike(short(LONG), written)
    assert alike(LONG, written)  # as it was kept before long ones had digests


@for_each("amounts", [[Decimal("1.51"), 100, True, None], [1, 100, True, None], ["1.50", 100, 1]])
def test_a_long_value_that_differs_is_another(amounts: list[Any]) -> None:
    assert not alike(short(LONG), {**LONG, "amounts": amounts})
