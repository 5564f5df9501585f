"""Values cross into the sandbox and back without losing a digit, or not at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from halflap.errors import CodeFailed
from halflap.lowcode.code import CodeRunner
from halflap.sdk import codec
from tests.cases import for_each
from tests.coding import no_calls, run, unchecked

numbers = (
    st.integers()
    | st.integers(-(10**400), 10**400)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def exact(value: Any) -> Any:
    """The value with its types and its digits, so that 1, 1.0, True and Decimal('1.0') differ."""
    match value:
        case list():
            return [exact(each) for each in value]
        case dict():
            return {key: exact(each) for key, each in value.items()}
        case _:
            return type(value), repr(value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(values, max_size=5))
async def test_what_goes_in_comes_out(runner: CodeRunner, sent: list[Any]) -> None:
    code = unchecked("return [x, await acme.echo(x, named=x)]", {"x": None}, "acme")

    async def echo(call: Any) -> Any:
        assert exact(list(call.args)) == exact([sent])
        assert exact(call.kwargs) == exact({"named": sent})
        return call.args[0]

    assert exact(await runner.run(code, {"x": sent}, echo)) == exact([sent, sent])


AMOUNTS = ["0.1", "1.10", "9007199254740993", "-0.00", "1E+20", "12345678901234567890.123456789"]


async def test_amounts_are_counted_as_python_counts_them(runner: CodeRunner) -> None:
    text = "return [x + y, x * y, x - y, -x, abs(x), round(x, 2), x == y, str(x), f'{x:.2f}']"
    for first in AMOUNTS:
        for second in AMOUNTS:
            x, y = Decimal(first), Decimal(second)
            expected = [x + y, x * y, x - y, -x, abs(x), round(x, 2), x == y, str(x), f"{x:.2f}"]
            assert exact(await run(runner, text, x=x, y=y)) == exact(expected)


async def test_a_decimal_and_a_float_do_not_mix(runner: CodeRunner) -> None:
    with pytest.raises(CodeFailed, match="unsupported operand"):
        await run(runner, "return x * 1.1", x=Decimal("1.10"))


async def test_an_amount_of_a_journal_is_an_amount_of_the_code(runner: CodeRunner) -> None:
    event = codec.decode(b'{"id": 9007199254740993, "amount": 1.10, "huge": 1e400}')
    result = await run(runner, "return [event['id'], event['amount'], event['huge']]", event=event)
    assert codec.encode(result) == b"[9007199254740993,1.10,1E+400]"


async def test_dates_become_their_text(runner: CodeRunner) -> None:
    text = (
        "from datetime import date, datetime, timezone\n"
        "return [date(2026, 1, 2), datetime(2026, 1, 2, 3, tzinfo=timezone.utc), (1, 2)]"
    )
    assert await run(runner, text) == ["2026-01-02", "2026-01-02T03:00:00Z", [1, 2]]


NO_DATA = {
    "return {1} | {2}": "the result: a set has no order",
    "return b'a' + b'b'": "the result: bytes have no JSON: write `.decode()`",
    "return {'a': [{1: 2}]}": "the result: at `a[0]`: a key is a int; write `str(key)`",
    "return {'a': float('nan')}": "the result: at `a`: nan has no JSON",
    "from decimal import Decimal\nreturn Decimal('Infinity')": "the result: Infinity has no JSON",
    "return 10 ** 5000": "the result: a number of more than 500 digits",
    "return 1e400": "the result: inf has no JSON",
    "return 1j": "the result: a complex is no data",
    "return len": "the result: `len` is no data",
    "return int": "the result: a type is no data",
    "class A: pass\nreturn [A()]": "the result: at `[0]`: `A` is no data",
    "return ValueError('x')": "the result: an exception is no data: write `str(error)`",
    "from collections import namedtuple\nA = namedtuple('A', 'b')\nreturn A(1)": "write `x._asdict()`",
    "from dataclasses import dataclass\n@dataclass\nclass A:\n  x: int\nreturn A(1)": "asdict(x)",
    "from datetime import timedelta\nreturn timedelta(1)": "write `.total_seconds()`",
    "x = []\nfor n in range(300): x = [x]\nreturn x": "the result: nested deeper than 256 levels",
    "return ...": "the result: a ellipsis is no data",
}


@for_each("text", NO_DATA)
async def test_what_is_no_data_is_refused_with_what_to_write(runner: CodeRunner, text: str) -> None:
    with pytest.raises(CodeFailed) as caught:
        await runner.run(unchecked(text), {}, no_calls)
    assert NO_DATA[text] in str(caught.value)
