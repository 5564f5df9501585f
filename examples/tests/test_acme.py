from datetime import timedelta
from decimal import Decimal

import acme
import pytest
from pydantic import SecretStr

from halflap import Endpoint, RateLimited, Subscription, Unauthorized, UpstreamError
from halflap.testing import Fake, Receive

URL = "https://halflap.example/hooks/1"
HOOK = {"id": "wh_1", "event": "stock.changed", "url": URL}


async def test_an_unknown_account_is_none(fake: Fake):
    fake.get("/accounts", answers=[])
    assert await acme.find_account(fake.connection(acme.Acme), external_id="001") is None


async def test_an_account_is_found_by_its_external_id(fake: Fake):
    fake.get("/accounts", params={"external_id": "001"}, answers=[{"id": "a1", "name": "Initech"}])
    found = await acme.find_account(fake.connection(acme.Acme), external_id="001")
    assert found == acme.Account(id="a1", name="Initech")


async def test_requests_carry_the_api_key(fake: Fake):
    fake.get("/me", answers={})
    await fake.connection(acme.Acme, api_key=SecretStr("k-1")).test()
    assert fake.requests[0].headers["Authorization"] == "Bearer k-1"


async def test_only_what_is_given_is_changed(fake: Fake):
    changed = {"id": "o1", "name": "Initech", "stage": "Won", "seats": 1, "price": 9.90}
    fake.patch("/opportunities/o1", answers=changed)
    found = await acme.update_opportunity(fake.connection(acme.Acme), "o1", stage="Won")
    assert found.price == Decimal("9.90")
    assert fake.requests[0].json == {"stage": "Won"}


async def test_stock_is_read_page_by_page(fake: Fake):
    more = {"Link": '</v1/stock?after=saw>; rel="next"'}
    fake.get("/stock", answers=[{"item": "saw", "quantity": 1}], headers=more)
    fake.get("/stock", params={"after": "saw"}, answers=[{"item": "plane", "quantity": 2}])
    found = await acme.list_stock(fake.connection(acme.Acme))
    assert [each.item for each in found] == ["saw", "plane"]


async def test_what_acme_refuses_is_an_error_that_says_what_to_do(fake: Fake):
    limited = {"Retry-After": "7"}
    fake.get("/me", status=429, headers=limited).then(status=401).then(status=503)
    connection = fake.connection(acme.Acme)
    with pytest.raises(RateLimited) as slower:
        await connection.test()
    assert slower.value.retry_after == timedelta(seconds=7)
    with pytest.raises(Unauthorized):
        await connection.test()
    with pytest.raises(UpstreamError) as failed:
        await connection.test()
    assert failed.value.retryable


async def test_subscribing_twice_makes_one_webhook(fake: Fake):
    endpoint = Endpoint(URL, SecretStr("whsec_c2VjcmV0"), "exported")
    fake.get("/webhooks", answers=[]).then([HOOK])
    fake.post("/webhooks", answers=HOOK, status=201)
    trigger, connection = acme.stock_changed(), fake.connection(acme.Acme)
    first = await trigger.subscribe(connection, endpoint)
    assert await trigger.subscribe(connection, endpoint) == first == Subscription("wh_1")
    assert [each.method for each in fake.requests] == ["GET", "POST", "GET"]
    assert fake.requests[1].json["secret"] == "whsec_c2VjcmV0"


async def test_unsubscribing_removes_the_webhook_and_no_other(fake: Fake):
    fake.delete("/webhooks/wh_1")
    await acme.stock_changed().unsubscribe(fake.connection(acme.Acme), Subscription("wh_1"))
    assert [(each.method, each.path) for each in fake.requests] == [("DELETE", "/webhooks/wh_1")]


async def test_a_change_of_stock_arrives_typed_and_keyed_by_its_item(receive: Receive):
    body = {"type": "stock.changed", "data": {"item": "saw", "quantity": 3}}
    received = await receive(acme.stock_changed, body, id="msg_7")
    assert await received.events() == [acme.Stock(item="saw", quantity=3)]
    assert (received.keys, received.deliveries) == (["saw"], ["msg_7"])


async def test_a_change_that_acme_did_not_sign_is_rejected(receive: Receive):
    received = await receive(acme.opportunity_updated, {"data": {}}, sign=False)
    assert (received.status, received.started) == (401, [])
