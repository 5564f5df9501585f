"""Events of Salesforce's Pub/Sub API: read once, in order, by credit, whatever the stream does."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from halflap import (
    CursorExpired,
    DefinitionError,
    InvalidEvent,
    RateLimited,
    Request,
    Unauthorized,
    UpstreamError,
)
from halflap.components import avro, salesforce
from halflap.components.salesforce import pubsub
from halflap.components.salesforce.pubsub import PubSub, decode, fields_of_bitmap, target_of
from halflap.errors import EgressRefused
from halflap.sdk.connection import Link
from halflap.sdk.egress import Egress, Policy
from halflap.sdk.listener import Message, headers_of
from halflap.sdk.request import Headers
from halflap.testing.listeners import AcceptedLog, ListenerRun, check_listener
from halflap_sandbox import salesforce as sandbox
from halflap_sandbox.salesforce.event_bus import publish_platform_event
from tests.polling import DEADLINE
from tests.salesforce_app import SalesforceApp, salesforce_app

ORDERS = "/event/Order_Shipped__e"
SHIPPED = salesforce.event(topic=ORDERS)


@dataclass
class Orders:
    """A source: platform events, whose field is the body."""

    app: SalesforceApp
    org: dict[str, Any]

    async def put(self, bodies: Sequence[bytes]) -> None:
        for each in bodies:
            await self.app.publish(self.org, ORDERS, Body__c=each.decode())

    async def refuse(self, refuses: bool) -> None:
        rate = {"error_rate": 1.0 if refuses else 0.0, "status": 401}
        await self.app.post("/faults", {"org": self.org["id"], **rate})

    async def expire(self) -> None:
        await self.app.bus(self.org, "expire")


def body(event: bytes) -> bytes:
    """Return what was put into an event."""
    return json.loads(event)["Body__c"].encode()


@asynccontextmanager
async def org_with(
    **settings: Any,
) -> AsyncIterator[tuple[SalesforceApp, dict[str, Any], salesforce.Salesforce]]:
    """An org with a topic."""
    more = {"pubsub_port": 0, "pubsub_keepalive": 0.2} | settings
    async with salesforce_app(**more) as app:
        org = await app.org("initech")
        await app.publish(org, ORDERS, Body__c="from before the beginning")
        yield app, org, await app.client(org)


async def test_platform_events_are_read_once_whatever_ends() -> None:
    async with org_with() as (app, org, sf):
        log = await check_listener(SHIPPED, sf, Orders(app, org), unwrap=body, within=DEADLINE)
        assert len(log.bodies) == len(set(log.bodies)) > 20


class Reading:
    """A listener that reads, as the platform runs it."""

    def __init__(
        self, trigger: Any, sf: salesforce.Salesforce, log: AcceptedLog | None = None
    ) -> None:
        self.run = ListenerRun(trigger, sf, log or AcceptedLog())
        self.task = asyncio.create_task(self.run.go_on())

    @property
    def events(self) -> list[Any]:
        return [json.loads(each) for each in self.run.log.bodies]

    async def until(self, wanted: Any) -> None:
        """Wait until something holds, or the listener fails."""
        async with asyncio.timeout(DEADLINE):
            while not wanted():
                done, _ = await asyncio.wait([self.task], timeout=0.02)
                if done:
                    self.task.result()
                    raise AssertionError("it ended")

    async def failure(self) -> BaseException | None:
        async with asyncio.timeout(DEADLINE):
            await asyncio.wait([self.task])
        return self.task.exception()

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.run.end()

    async def __aenter__(self) -> Reading:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()


async def test_a_session_that_ends_is_renewed_and_the_stream_goes_on() -> None:
    async with org_with() as (app, org, sf), Reading(SHIPPED, sf) as reading:
        await reading.until(lambda: reading.run.log.cursors)
        await app.publish(org, ORDERS, Body__c="one")
        await reading.until(lambda: len(reading.events) == 1)
        before = app.refreshed
        await app.end_session(sf)
        await app.publish(org, ORDERS, Body__c="two")
        await reading.until(lambda: len(reading.events) == 2)
        assert [each["Body__c"] for each in reading.events] == ["one", "two"]
        assert app.refreshed == before + 1


async def test_a_stream_that_breaks_off_fails_and_goes_on_where_it_was() -> None:
    async with org_with() as (app, org, sf):
        log = AcceptedLog()
        async with Reading(SHIPPED, sf, log) as reading:
            await reading.until(lambda: log.cursors)
            await app.bus(org, "cut")
            error = await reading.failure()
            assert isinstance(error, UpstreamError)
            assert error.retryable
            assert "RST_STREAM" in str(error)
        await app.publish(org, ORDERS, Body__c="meanwhile")
        async with Reading(SHIPPED, sf, log) as reading:
            await reading.until(lambda: len(log.bodies) == 1)


async def test_nothing_is_asked_for_without_credit() -> None:
    async with org_with(pubsub_keepalive=0.3) as (app, org, sf):
        log = AcceptedLog()
        async with Reading(SHIPPED, sf, log) as reading:
            await reading.until(lambda: log.cursors)
            reading.run.listening.gate.clear()
            for number in range(120):  # more than are asked for at a time
                await app.publish(org, ORDERS, Body__c=str(number))
            await reading.until(lambda: len(log.bodies) == 100)
            await asyncio.sleep(1)  # the stream is ended meanwhile, as nothing is asked for
            assert len(log.bodies) == 100
            reading.run.listening.gate.set()
            await reading.until(lambda: len(log.bodies) == 120)
            assert [each["Body__c"] for each in reading.events] == [str(n) for n in range(120)]


async def test_a_topic_whose_fields_change_is_read_by_the_schema_of_each_event() -> None:
    async with org_with() as (app, org, sf), Reading(SHIPPED, sf) as reading:
        await reading.until(lambda: reading.run.log.cursors)
        await app.publish(org, ORDERS, Body__c="one")
        await app.publish(org, ORDERS, Body__c="two", Count__c=2.5, Is_Late__c=True)
        await reading.until(lambda: len(reading.events) == 2)
        assert "Count__c" not in reading.events[0]
        assert (reading.events[1]["Count__c"], reading.events[1]["Is_Late__c"]) == (2.5, True)


def as_request(message: Message) -> Request:
    headers, now = Headers(headers_of(message)), datetime.now(UTC)
    return Request("MESSAGE", "", "", headers, message.content, "", now)


@pytest.mark.parametrize("payload", [b"", b"\xff" * 40, b"\0" * 500])
async def test_what_cannot_be_decoded_is_accepted_as_it_came_and_fails_visibly(
    payload: bytes,
) -> None:
    async with org_with() as (app, org, sf), Reading(SHIPPED, sf) as reading:
        await reading.until(lambda: reading.run.log.cursors)
        raw = base64.b64encode(payload).decode()
        await app.bus(org, "publish", topic=ORDERS, payload=raw)
        await app.publish(org, ORDERS, Body__c="after")
        await reading.until(lambda: len(reading.run.log.bodies) == 2)
        assert reading.run.log.bodies[0] == payload
        assert json.loads(reading.run.log.bodies[1])["Body__c"] == "after"


async def test_an_event_that_was_not_decoded_says_why() -> None:
    event = pubsub.PubSubEvent(b"", "id", "schema", b"\xff", None, "EOFError: \u2028 odd")
    message = salesforce.events.message(event)
    with pytest.raises(InvalidEvent, match=r"cannot be decoded: .*EOFError"):
        await SHIPPED.parse(as_request(message))
    assert message.content == b"\xff"


async def test_change_events_name_the_fields_that_changed() -> None:
    trigger = salesforce.event(topic="/data/AccountChangeEvent")
    async with org_with() as (app, org, sf), Reading(trigger, sf) as reading:
        await select(sf, "Account")
        await reading.until(lambda: reading.run.log.cursors)
        made = await app.edit(org, "create", "Account", values={"Name": "A", "Phone": "1"})
        changed = {"Phone": None, "Industry": "Energy"}
        await app.edit(org, "update", "Account", id=made["Id"], values=changed)
        await reading.until(lambda: len(reading.events) == 2)
        header = reading.events[1]["ChangeEventHeader"]
        assert {"Phone", "Industry"} <= {*header["changedFields"]}
        assert "Name" not in header["changedFields"]
        assert (header["nulledFields"], header["recordIds"]) == (["Phone"], [made["Id"]])


async def select(sf: salesforce.Salesforce, object: str) -> None:
    """Select an object for change data capture, as an administrator does."""
    entity = f"{object}ChangeEvent"
    member = {"eventChannel": "ChangeEvents", "selectedEntity": entity}
    name = f"ChangeEvents_{entity}"
    await salesforce.soap.create_metadata(
        sf, "PlatformEventChannelMember", {"fullName": name, **member}
    )


def test_bitmaps_are_read_as_salesforce_writes_them() -> None:
    address = {"type": "record", "fields": [{"name": "Street"}, {"name": "City"}]}
    fields = [
        {"name": "ChangeEventHeader", "type": {"type": "record", "fields": []}},
        {"name": "Name", "type": ["null", "string"]},
        {"name": "BillingAddress", "type": ["null", address]},
        *({"name": f"Field{number}", "type": ["null", "string"]} for number in range(3, 40)),
    ]
    assert fields_of_bitmap(fields, ["0x2"]) == ["Name"]
    assert fields_of_bitmap(fields, ["0x8000000002", "2-0x2"]) == [
        "Name",
        "Field39",
        "BillingAddress.City",
    ]
    assert fields_of_bitmap(fields, ["2-0x3"]) == ["BillingAddress.Street", "BillingAddress.City"]
    assert fields_of_bitmap(fields, []) == []
    assert fields_of_bitmap(fields, ["Name"]) == ["Name"]
    for hostile in (["0x" + "F" * 40], ["99-0x1"], ["1-0x1"], ["0xZZ"], ["0x" + "F" * 100_000]):
        with pytest.raises((IndexError, StopIteration, ValueError, avro.Undecodable)):
            fields_of_bitmap(fields, hostile)


def test_a_payload_with_more_than_its_record_is_not_taken_for_it() -> None:
    record = {"type": "record", "name": "E", "fields": [{"name": "A", "type": "string"}]}
    schema = avro.parse(record, {}, "salesforce")
    assert decode(schema, b"\x02x") == {"A": "x"}
    for wrong in (b"\x02", b"\x02xy", b"\x03x", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"):
        with pytest.raises(avro.Undecodable):
            decode(schema, wrong)


# What is refused


async def test_credentials_that_are_refused_park_the_listener() -> None:
    async with org_with() as (app, org, sf):
        await Orders(app, org).refuse(True)
        async with Reading(SHIPPED, sf) as reading:
            assert isinstance(await reading.failure(), Unauthorized)


async def test_a_topic_that_is_not_there_is_told_by_name() -> None:
    async with org_with() as (_, _, sf):
        async with Reading(salesforce.event(topic="/event/Nothing__e"), sf) as reading:
            error = await reading.failure()
        assert isinstance(error, UpstreamError)
        assert (error.status, "/event/Nothing__e" in str(error)) == (404, True)


async def test_a_place_that_is_no_longer_kept_is_an_expired_cursor() -> None:
    async with org_with() as (app, org, sf):
        log = AcceptedLog()
        async with Reading(SHIPPED, sf, log) as reading:
            await reading.until(lambda: log.cursors)
        await app.bus(org, "expire")
        async with Reading(SHIPPED, sf, log) as reading:
            error = await reading.failure()
        assert isinstance(error, CursorExpired)
        assert "replayid.corrupted" in str(error)


def test_a_limit_is_waited_for() -> None:
    class Error(Exception):
        def code(self) -> Any:
            import grpc

            return grpc.StatusCode.RESOURCE_EXHAUSTED

        def details(self) -> str:
            return "You have exceeded the event delivery limit for your org."

        def trailing_metadata(self) -> Any:
            return (("error-code", "sfdc.platform.eventbus.grpc.subscription.limit.exceeded"),)

    with pytest.raises(RateLimited, match="delivery limit"):
        pubsub.refused(Error(), "Subscribe")


# Where it connects to


async def test_an_address_that_may_not_be_called_is_not() -> None:
    async with org_with() as (_, _, sf):
        guarded = Egress()  # public addresses only
        sf._link = Link("salesforce", None, guarded, None)
        with pytest.raises(EgressRefused, match="loopback"):
            async with PubSub(sf):
                pass
        await guarded.close()


async def test_a_name_is_resolved_once_and_only_what_was_judged_is_dialled() -> None:
    asked: list[str] = []

    async def look_up(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    async with org_with() as (_, _, sf):
        port = sf.pubsub_url.rpartition(":")[2]
        named = sf.model_copy(update={"pubsub_url": f"http://events.example:{port}"})
        allowed = Egress(Policy(allow=("127.0.0.1",)), resolver=look_up)
        named._link = Link("salesforce", None, allowed, None)
        async with PubSub(named) as api:
            assert (await api.topic(ORDERS)).can_subscribe
        assert asked == ["events.example"]
        with pytest.raises(EgressRefused, match=r"10\.0\.0\.1"):
            async with PubSub(named):
                pass
        await allowed.close()


def test_addresses_of_one_family_are_dialled() -> None:
    assert (
        target_of(["1.2.3.4", "5.6.7.8", "2001:db8::1"], 7443) == "ipv4:1.2.3.4:7443,5.6.7.8:7443"
    )
    assert target_of(["2001:db8::1"], 443) == "ipv6:[2001:db8::1]:443"


@pytest.mark.parametrize("name", ["localhost", "elsewhere.example"])
async def test_tls_is_checked_against_the_name_though_an_address_is_dialled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    authority, certificate = trustme.CA(), tmp_path / "server.pem"
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    async def look_up(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    app = sandbox.create_app(
        sandbox.Settings(pubsub_port=0), orgs=["north"], certificate=certificate
    )
    egress = Egress(Policy(allow=("127.0.0.1",)), resolver=look_up)
    async with app.router.lifespan_context(app):
        org = next(iter(app.state.world.orgs.values()))
        user = next(iter(org.users.values()))
        publish_platform_event(org, ORDERS, {"Body__c": "x"})
        sf = salesforce.Salesforce.model_validate(
            {
                "pubsub_url": app.state.pubsub_url.replace("localhost", name),
                "auth": {
                    "kind": "session_id",
                    "instance_url": "https://north.example",
                    "session_id": app.state.world.open(org, user).token,
                },
            }
        )
        sf._link = Link("salesforce", None, egress, None)
        async with PubSub(sf) as api:
            if name == "localhost":
                assert (await api.topic(ORDERS)).can_subscribe
            else:
                with pytest.raises(UpstreamError, match="GetTopic"):
                    await api.topic(ORDERS)
    await egress.close()


async def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    async with org_with(pubsub_port=None) as (_, _, sf):
        async with Reading(SHIPPED, sf) as reading:
            error = await reading.failure()
        assert isinstance(error, DefinitionError)
        assert "halflap[salesforce]" in str(error)


async def test_nothing_of_it_is_imported_before_it_is_used() -> None:
    code = (
        "import sys; from halflap import salesforce; salesforce.record_changed(object='Account');"
        " found = {'grpc', 'fastavro', 'google.protobuf'} & {*sys.modules}; assert not found, found"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0


# A hostile server


@asynccontextmanager
async def hostile(answers: Any) -> AsyncIterator[salesforce.Salesforce]:
    """A connection to a server whose streams give these raw answers."""
    import grpc
    import grpc.aio

    async def subscribe(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for each in answers(requests):
            yield each

    handler = grpc.stream_stream_rpc_method_handler(subscribe)
    handlers = {"Subscribe": handler}
    server = grpc.aio.server(options=[("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("eventbus.v1.PubSub", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    egress = Egress(Policy(allow=("127.0.0.1",)))
    auth = {"kind": "session_id", "instance_url": "https://north.example", "session_id": "00Dx!y"}
    sf = salesforce.Salesforce.model_validate(
        {"pubsub_url": f"http://127.0.0.1:{port}", "auth": auth}
    )
    sf._link = Link("salesforce", None, egress, None)
    try:
        yield sf
    finally:
        await server.stop(None)
        await egress.close()


@pytest.mark.parametrize(
    "raw", [b"\xff\xff\xff", b"\x0a\xff\xff\xff\x7f", b"x" * (17 * 1024 * 1024)]
)
async def test_answers_that_are_none_fail_and_are_not_accepted(raw: bytes) -> None:
    async def answers(_: Any) -> AsyncIterator[bytes]:
        yield raw
        await asyncio.sleep(60)

    async with hostile(answers) as sf, Reading(SHIPPED, sf) as reading:
        error = await reading.failure()
        assert isinstance(error, UpstreamError), error
        assert reading.run.log.bodies == []


async def test_a_server_that_is_silent_is_left_and_asked_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pubsub, "SILENT_SECONDS", 0.3)

    async def answers(_: Any) -> AsyncIterator[bytes]:
        await asyncio.sleep(60)
        yield b""

    async with hostile(answers) as sf, Reading(SHIPPED, sf) as reading:
        error = await reading.failure()
        assert isinstance(error, UpstreamError)
        assert "silent" in str(error)


async def test_streams_that_end_at_once_are_opened_at_leisure() -> None:
    opened: list[float] = []

    async def answers(_: Any) -> AsyncIterator[bytes]:
        opened.append(asyncio.get_running_loop().time())
        return
        yield b""

    async with hostile(answers) as sf, Reading(SHIPPED, sf) as reading:
        await reading.until(lambda: len(opened) >= 20)
        assert reading.run.listening.idle.is_set()  # it rested between them
        assert reading.run.log.cursors == {}


async def test_events_without_end_are_read_as_they_are_accepted() -> None:
    """Nothing is read before what came is accepted, however much is sent."""
    one = pubsub.messages()
    event = one.ConsumerEvent(
        event=one.ProducerEvent(id="a", schema_id="s", payload=b"\0" * 100_000), replay_id=b"1"
    )
    sent: list[int] = []

    async def answers(_: Any) -> AsyncIterator[bytes]:
        while True:
            sent.append(1)
            yield one.FetchResponse(
                events=[event] * 10, pending_num_requested=9
            ).SerializeToString()

    async with hostile(answers) as sf:
        run = ListenerRun(SHIPPED, sf, AcceptedLog())
        with pytest.raises(UpstreamError):  # the server has no such method as GetSchema
            await run.step()
        await run.end()
        assert len(sent) < 20  # some are on their way, a megabyte each
