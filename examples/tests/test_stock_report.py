from datetime import UTC, datetime

import acme
import stock_report

from halflap import http
from halflap.testing import Run

STOCK = [acme.Stock(item="saw", quantity=3), acme.Stock(item="plane", quantity=30)]
NIGHT = datetime(2026, 7, 1, 1, tzinfo=UTC)


async def test_what_is_low_is_reported_by_the_date_of_the_place(run: Run):
    result = await run(
        stock_report.report, stubs={acme.list_stock: STOCK, http.post: None}, now=NIGHT
    )
    message = {"date": "2026-07-01", "low": [{"item": "saw", "quantity": 3}]}
    assert result.steps == [
        acme.list_stock.call(),
        http.post.call(path="/low-stock", json=message),
    ]


async def test_what_was_told_is_not_told_again_until_there_is_enough(run: Run):
    stubs = {acme.list_stock: STOCK, http.post: None}
    first = await run(stock_report.report, stubs=stubs)
    assert (first.ran(http.post), first.stored) == (1, {"told": ["saw"]})

    again = await run(stock_report.report, stubs=stubs, state=first.stored)
    assert (again.state, again.ran(http.post)) == ("ignored", 0)

    enough = {acme.list_stock: [acme.Stock(item="saw", quantity=99)]}
    filled = await run(stock_report.report, stubs=enough, state=again.stored)
    assert filled.stored == {"told": []}

    low = await run(stock_report.report, stubs=stubs, state=filled.stored)
    assert low.ran(http.post) == 1


async def test_the_customer_says_what_is_low(run: Run):
    stubs = {acme.list_stock: STOCK, http.post: None}
    result = await run(stock_report.report, config={"low": 30}, stubs=stubs)
    assert result.stored == {"told": ["saw", "plane"]}


async def test_what_could_not_be_told_is_told_the_next_night(run: Run):
    stubs = {acme.list_stock: STOCK, http.post: ConnectionError("refused")}
    result = await run(stock_report.report, stubs=stubs)
    assert (result.state, result.stored) == ("failed", {})
