from datetime import timedelta
from decimal import Decimal
from typing import Any

import acme
import pytest
from pydantic import SecretStr

from halflap import Endpoint, Model, RateLimited, Subscription, Unauthorized, UpstreamError
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


async def test_a_contacts_email_is_cleared_and_its_name_left_alone(fake: Fake):
    fake.patch("/contacts/c1", answers={"id": "c1", "name": "Pepper", "email": None})
    changed = await acme.update_contact(fake.connection(acme.Acme), "c1", email=None)
    assert changed == acme.Contact(id="c1", name="Pepper")
    assert fake.requests[0].json == {"email": None}


async def test_a_contact_is_created_and_found_by_its_external_id(fake: Fake):
    told = {"id": "c1", "external_id": "003", "name": "Pepper", "email": "p@stark.example"}
    fake.post("/contacts", answers=told, status=201)
    fake.get("/contacts", params={"external_id": "003"}, answers=[told])
    connection = fake.connection(acme.Acme)
    made = await acme.create_contact(connection, "003", "Pepper", "P@Stark.example")
    assert made.email == "p@stark.example"
    assert await acme.find_contact(connection, external_id="003") == made


@pytest.mark.parametrize(
    ("get", "path", "record"),
    [
        (acme.get_account, "/accounts/1", acme.Account(id="1", name="Stark")),
        (acme.get_contact, "/contacts/1", acme.Contact(id="1", name="Pepper", account_id="2")),
        (
            acme.get_opportunity,
            "/opportunities/1",
            acme.Opportunity(id="1", name="Suit", stage="new", seats=1, price=Decimal("9.90")),
        ),
    ],
)
async def test_a_record_is_got_by_its_id_and_none_where_it_is_gone(
    fake: Fake, get: Any, path: str, record: Model
):
    fake.get(path, answers=record.model_dump()).then(status=404).then(status=403)
    connection = fake.connection(acme.Acme)
    assert await get(connection, "1") == record
    assert await get(connection, "1") is None
    with pytest.raises(UpstreamError):
        await get(connection, "1")


async def test_the_platform_may_ask_for_a_record_as_it_is_now(fake: Fake):
    told = {"id": "o1", "name": "Suit", "stage": "Won", "seats": 1, "price": "9.90"}
    fake.get("/opportunities/o1", answers=told).then(status=404)
    connection = fake.connection(acme.Acme)
    now = await connection.current("opportunity", "o1", ("stage", "price"))
    assert now is not None
    assert (now["stage"], now["price"]) == ("Won", Decimal("9.90"))
    assert await connection.current("opportunity", "o1", ("stage",)) is None
    with pytest.raises(NotImplementedError):
        await connection.current("stock", "saw", ("quantity",))


def test_every_action_that_makes_or_changes_a_record_says_what_it_writes():
    told = {name: each.writes for name, each in acme.component.actions.items()}
    kinds = {name: writes.kind for name, writes in told.items() if writes is not None}
    assert kinds == {f"{verb}_{kind}": kind for verb in ("create", "update") for kind in acme.KINDS}
    for name, writes in told.items():
        inputs = {each.name for each in acme.component.actions[name].shape.inputs}
        assert writes is None or set(writes.fields) == inputs - {"id"}


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


async def test_a_webhook_that_is_gone_already_is_deleted(fake: Fake):
    fake.delete("/webhooks/wh_1", status=404).then(status=403)
    await acme.delete_webhook(fake.connection(acme.Acme), "wh_1")
    with pytest.raises(UpstreamError):
        await acme.delete_webhook(fake.connection(acme.Acme), "wh_1")


async def test_a_change_of_stock_arrives_typed_and_keyed_by_its_item(receive: Receive):
    body = {"type": "stock.changed", "data": {"item": "saw", "quantity": 3}}
    received = await receive(acme.stock_changed, body, id="msg_7")
    assert await received.events() == [acme.Stock(item="saw", quantity=3)]
    assert (received.keys, received.deliveries) == (["saw"], ["msg_7"])


async def test_a_change_of_a_contact_arrives_typed_and_tells_which_fields_it_reads(
    receive: Receive,
):
    contact = acme.Contact(id="c1", name="Pepper", email="p@stark.example")
    body = {"type": "contact.changed", "data": contact.model_dump()}
    received = await receive(acme.contact_changed, body, id="msg_8")
    assert await received.events() == [contact]
    assert (received.keys, received.deliveries) == (["c1"], ["msg_8"])
    for trigger in (acme.contact_changed(), acme.opportunity_updated()):
        reads = trigger.declaration.reads
        assert reads is not None
        _, model = acme.KINDS[reads.kind]
        assert set(reads.fields) <= set(model.model_fields)


async def test_a_contacts_trigger_subscribes_itself(fake: Fake):
    hook = {"id": "wh_2", "event": "contact.changed", "url": URL}
    fake.get("/webhooks", answers=[])
    fake.post("/webhooks", answers=hook, status=201)
    fake.delete("/webhooks/wh_2")
    endpoint = Endpoint(URL, SecretStr("whsec_c2VjcmV0"), "exported")
    trigger, connection = acme.contact_changed(), fake.connection(acme.Acme)
    made = await trigger.subscribe(connection, endpoint)
    assert fake.requests[1].json["event"] == "contact.changed"
    await trigger.unsubscribe(connection, made)
    assert fake.requests[-1].path == "/webhooks/wh_2"


async def test_a_change_that_acme_did_not_sign_is_rejected(receive: Receive):
    received = await receive(acme.opportunity_updated, {"data": {}}, sign=False)
    assert (received.status, received.started) == (401, [])
