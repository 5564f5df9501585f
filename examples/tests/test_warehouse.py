import acme
import warehouse

from halflap import UpstreamError
from halflap.testing import Fake, Receive, Run

UPDATE = {
    "event": "WAREHOUSE_UPDATE",
    "updates": [
        {"item": "saw", "action": "add", "quantity": 5},
        {"item": "plane", "action": "remove", "quantity": 2},
    ],
}
STOCK = acme.Stock(item="any", quantity=1)


async def test_what_is_added_and_removed_in_the_warehouse_is_booked_in_acme(run: Run):
    result = await run(
        warehouse.stock, UPDATE, stubs={acme.add_stock: STOCK, acme.remove_stock: STOCK}
    )
    assert result.steps == [
        acme.add_stock.call(item="saw", quantity=5),
        acme.remove_stock.call(item="plane", quantity=2),
    ]


async def test_acme_is_told_by_its_own_api(run: Run, fake: Fake):
    fake.post("/stock/saw/add", answers={"item": "saw", "quantity": 15})
    fake.post("/stock/plane/remove", answers={"item": "plane", "quantity": 0})
    result = await run(warehouse.stock, UPDATE, fake=fake)
    assert result.state == "succeeded"
    assert [(each.path, each.json) for each in fake.requests] == [
        ("/stock/saw/add", {"quantity": 5}),
        ("/stock/plane/remove", {"quantity": 2}),
    ]


async def test_what_was_booked_is_not_booked_again_when_the_next_booking_fails(run: Run):
    result = await run(
        warehouse.stock,
        UPDATE,
        stubs={acme.add_stock: STOCK, acme.remove_stock: STOCK},
        fail_once={acme.remove_stock: UpstreamError(status=503)},
    )
    assert result.attempts == 2
    assert (result.ran(acme.add_stock), result.ran(acme.remove_stock)) == (1, 2)


async def test_a_lost_answer_is_asked_for_again_with_the_same_key(run: Run, fake: Fake):
    fake.post("/stock/saw/add", error=TimeoutError()).then({"item": "saw", "quantity": 5})
    fake.post("/stock/plane/remove", answers={"item": "plane", "quantity": 0})
    await run(warehouse.stock, UPDATE, fake=fake)
    first, again, other = [each.idempotency_key for each in fake.requests]
    assert first == again != other


async def test_removing_more_than_there_is_fails_where_everybody_sees_it(run: Run, fake: Fake):
    fake.post("/stock/{item}/add", answers={"item": "saw", "quantity": 5})
    fake.post("/stock/plane/remove", status=422, json={"detail": "not enough"})
    result = await run(warehouse.stock, UPDATE, fake=fake)
    assert result.state == "failed"
    assert result.error is not None
    assert result.error.status == 422


async def test_an_event_that_is_not_known_is_ignored_and_says_so(run: Run):
    result = await run(warehouse.stock, {"event": "WAREHOUSE_CLOSED"})
    assert (result.state, result.steps) == ("ignored", [])
    assert "WAREHOUSE_CLOSED" in result.reason


async def test_a_quantity_of_zero_is_an_invalid_event(run: Run):
    update = {"item": "saw", "action": "add", "quantity": 0}
    result = await run(warehouse.stock, {"event": "WAREHOUSE_UPDATE", "updates": [update]})
    assert result.error is not None
    assert (result.state, result.error.kind) == ("failed", "InvalidEvent")


async def test_a_delivery_that_comes_twice_is_booked_once(receive: Receive):
    first = await receive(warehouse.stock, UPDATE, headers={"X-Delivery-Id": "d1"})
    again = await receive(warehouse.stock, UPDATE, headers={"X-Delivery-Id": "d1"})
    assert (first.status, again.status) == (200, 200)
    assert (len(first.started), len(again.started), again.duplicates) == (1, 0, 1)
