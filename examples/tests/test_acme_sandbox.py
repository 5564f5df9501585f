"""The component at the sandbox's Acme: each is right about the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import get_args

import acme
import pytest
from pydantic import SecretStr

from halflap.sdk.connection import Link
from halflap.sdk.egress import Egress, Policy
from halflap.sdk.pairs import same
from tests.world import acme_app


@pytest.fixture
async def connection() -> AsyncIterator[acme.Acme]:
    async with acme_app() as app:
        key = await app.workspace("Globex")
        made = acme.Acme(base_url=f"{app.url}/v1", api_key=SecretStr(key))
        egress = Egress(Policy(allow=("127.0.0.1",)))
        made._link = Link("acme", egress=egress)
        await made.test()
        yield made
        await egress.close()


async def test_what_acme_tidies_comes_back_from_a_write_and_from_a_look(
    connection: acme.Acme,
) -> None:
    account = await acme.create_account(connection, "001", "Stark")
    assert await acme.get_account(connection, account.id) == account
    made = await acme.create_contact(
        connection, "003", " Ada  King ", "Ada@Example.COM", account_id=account.id
    )
    assert (made.name, made.email, made.account_id) == ("Ada King", "ada@example.com", account.id)
    changed = await acme.update_contact(connection, made.id, email=" ADA@new.example ")
    assert (changed.name, changed.email) == ("Ada King", "ada@new.example")
    assert await acme.get_contact(connection, made.id) == changed
    assert await acme.find_contact(connection, external_id="003") == changed
    assert await connection.current("contact", made.id, ("email",)) == changed.model_dump()

    sale = await acme.create_opportunity(connection, "006", "Suit", "new")
    sold = await acme.update_opportunity(connection, sale.id, price=Decimal("2.675"))
    assert sold.price == Decimal("2.68")
    now = await connection.current("opportunity", sale.id, ("price",))
    assert now is not None
    assert same(now["price"], sold.price)


async def test_a_record_that_is_gone_is_none(connection: acme.Acme) -> None:
    account = await acme.create_account(connection, "001", "Stark")
    await connection.delete(f"/accounts/{account.id}")
    assert await acme.get_account(connection, account.id) is None
    for kind in acme.KINDS:
        assert await connection.current(kind, account.id, ("name",)) is None


async def test_each_of_its_events_can_be_asked_for(connection: acme.Acme) -> None:
    for event in get_args(acme.EventName):
        secret = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        made = await acme.ensure_webhook(connection, event, "http://127.0.0.1:9/", secret)
        assert made.event == event
    assert len(await acme.list_webhooks(connection)) == len(get_args(acme.EventName))
