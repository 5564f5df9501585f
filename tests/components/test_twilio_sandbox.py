"""Twilio against the sandbox that is made of its documents, and Twilio's own SDK against the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from halflap import Unauthorized, UpstreamError
from halflap.components import twilio
from halflap.sdk.conformity import DEVIATIONS
from halflap_sandbox.specified import TWILIO
from tests.vendor_app import VendorApp, vendor_app


@pytest.fixture
async def app() -> AsyncIterator[VendorApp]:
    async with vendor_app(TWILIO) as found:
        yield found


def connected(app: VendorApp, token: str = TWILIO.token) -> twilio.Twilio:
    return app.connection(
        twilio.Twilio,
        base_url=f"{app.url}/2010-04-01",
        lookups_url=app.url,
        account_sid=TWILIO.sid,
        auth_token=token,
    )


async def test_messages_are_sent_listed_and_deleted_and_calls_made(app: VendorApp) -> None:
    connection, before = connected(app), DEVIATIONS.total()
    sent = await twilio.send_message(
        connection,
        to="+15005550006",
        sender="+15005550001",
        body="Grüße",
        media_url=["https://a.example", "https://b.example"],
    )
    assert (sent.get("status"), sent.get("body"), sent.get("from")) == (
        "queued",
        "Grüße",
        "+15005550001",
    )
    [request] = await app.requests()
    assert request["fields"]["MediaUrl"] == ["https://a.example", "https://b.example"]
    sid = sent.get("sid")
    assert isinstance(sid, str)
    for number in range(5):
        await twilio.send_message(
            connection, to="+15005550007", sender="+15005550001", body=str(number)
        )
    found = await twilio.list_messages(connection, to="+15005550007")
    assert [each.get("body") for each in found] == list("43210")
    assert len(await twilio.list_messages(connection, most=2)) == 2
    assert await twilio.get_message(connection, sid) is not None
    await twilio.delete_message(connection, sid)
    assert await twilio.get_message(connection, sid) is None
    call = await twilio.make_call(
        connection, to="+15005550006", sender="+15005550001", twiml="<Response/>"
    )
    sid = call.get("sid")
    assert isinstance(sid, str)
    ended = await twilio.update_call(connection, sid, status="completed")
    assert ended.get("status") == "completed"
    looked_up = await twilio.look_up_number(connection, "+15005550006")
    assert looked_up.get("valid") is True
    assert DEVIATIONS.total() == before


async def test_what_twilio_refuses_is_the_error_that_it_means(app: VendorApp) -> None:
    with pytest.raises(Unauthorized):
        await twilio.list_calls(connected(app, "wrong"))
    with pytest.raises(UpstreamError, match="answered 400"):
        await connected(app).post(
            "/Accounts/{sid}/Messages.json",
            values={"sid": TWILIO.sid},
            form={"Too": "+15005550006"},
        )


async def test_a_lost_answer_is_in_doubt_and_not_sent_twice(app: VendorApp) -> None:
    connection = connected(app)
    await app.faults(lose_answer_next=1)
    with pytest.raises(UpstreamError) as raised:
        await twilio.send_message(connection, to="+15005550006", sender="+15005550001", body="once")
    assert raised.value.in_doubt
    assert len(await twilio.list_messages(connection)) == 1


async def test_twilios_own_sdk_takes_the_sandbox_for_twilio(app: VendorApp) -> None:
    def work() -> None:
        client = Client(TWILIO.sid, TWILIO.token)
        client.api.base_url = client.lookups.base_url = app.url
        made = client.messages.create(to="+15005550006", from_="+15005550001", body="hi")
        assert client.messages(made.sid or "").fetch().body == "hi"
        for number in range(6):
            client.messages.create(to="+15005550008", from_="+15005550001", body=str(number))
        listed = client.messages.list(to="+15005550008", page_size=2)
        assert [each.body for each in listed] == list("543210")
        assert client.messages(made.sid or "").delete()
        call = client.calls.create(to="+15005550006", from_="+15005550001", url="https://x.example")
        assert client.calls(call.sid or "").update(status="completed").status == "completed"
        assert client.lookups.v2.phone_numbers("+15005550006").fetch().valid
        with pytest.raises(TwilioRestException) as raised:
            client.messages("SM" + "0" * 32).fetch()
        assert (raised.value.status, raised.value.code) == (404, 20404)

    await asyncio.to_thread(work)
