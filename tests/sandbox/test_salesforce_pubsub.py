"""The sandbox's Pub/Sub API, as a client finds it that is made from Salesforce's own description."""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import grpc
import grpc.aio
import grpc_tools
import pytest
from grpc_tools import protoc

from halflap_sandbox.salesforce import Settings, pubsub
from halflap_sandbox.salesforce.model import Org
from tests.cases import for_each
from tests.polling import DEADLINE, until
from tests.sandbox.orgs import Salesforce, salesforce

PROTO = Path(__file__).parent / "strangers" / "pubsub_api.proto"
ORDERS = "/event/Order_Shipped__e"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The modules that Salesforce's own description gives."""
    folder = tmp_path_factory.mktemp("generated")
    flags = [f"-I{PROTO.parent}", f"-I{Path(grpc_tools.__file__).parent / '_proto'}"]
    done = protoc.main(
        ["protoc", *flags, f"--python_out={folder}", f"--grpc_python_out={folder}", str(PROTO)]
    )
    assert done == 0
    sys.path.insert(0, str(folder))
    try:
        messages = importlib.import_module("pubsub_api_pb2")
        return messages, importlib.import_module("pubsub_api_pb2_grpc")
    finally:
        sys.path.remove(str(folder))


@dataclass
class Stranger:
    """A client of the API."""

    api: Salesforce
    org: Org
    pb: Any
    stub: Any

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        token = self.api.session()
        return (
            ("accesstoken", token),
            ("instanceurl", self.api.base),
            ("tenantid", self.org.id),
        )

    def publish(self, topic: str, **values: Any) -> Any:
        from halflap_sandbox.salesforce.event_bus import publish_platform_event

        return publish_platform_event(self.org, topic, values)

    def fetch(self, topic: str, number: int, **more: Any) -> Any:
        return self.pb.FetchRequest(topic_name=topic, num_requested=number, **more)

    async def decoded(self, event: Any) -> dict[str, Any]:
        """Decode an event by the schema that the API tells."""
        asked = self.pb.SchemaRequest(schema_id=event.event.schema_id)
        info = await self.stub.GetSchema(asked, metadata=self.metadata)
        schema = fastavro.parse_schema(json.loads(info.schema_json))
        found: Any = fastavro.schemaless_reader(io.BytesIO(event.event.payload), schema, None)
        return found | {"fields": [each["name"] for each in json.loads(info.schema_json)["fields"]]}


@asynccontextmanager
async def stranger(generated: Any, **settings: Any) -> AsyncIterator[Stranger]:
    async with salesforce(settings=Settings(pubsub_port=0, **settings)) as api:
        async with api.http.get(f"{api.base}/sandbox/pubsub") as told:
            address = (await told.json())["url"].removeprefix("http://")
        async with grpc.aio.insecure_channel(address) as channel:
            pb, services = generated
            yield Stranger(api, api.org(), pb, services.PubSubStub(channel))


def test_the_sandbox_says_all_that_the_description_says(generated: Any) -> None:
    pb, _ = generated
    for name, own in vars(pubsub.messages()).items():
        theirs = getattr(pb, name).DESCRIPTOR.fields_by_name
        for field in own.DESCRIPTOR.fields:
            other = theirs[field.name]
            assert (field.number, field.is_repeated) == (other.number, other.is_repeated), field
            enum = field.name == "replay_preset"  # an enum is an int32 on the wire
            assert enum or field.type == other.type, field.full_name


async def test_no_more_comes_than_was_asked_for(generated: Any) -> None:
    async with stranger(generated) as one:
        one.publish(ORDERS, Number__c="0")
        call = one.stub.Subscribe(metadata=one.metadata)
        await call.write(one.fetch(ORDERS, 2))
        await until(lambda: one.org.bus.subscribers)  # from now on: LATEST
        for number in range(1, 6):
            one.publish(ORDERS, Number__c=str(number))
        found: list[str] = []
        while len(found) < 2:
            answer = await call.read()
            found += [(await one.decoded(each))["Number__c"] for each in answer.events]
        assert (found, answer.pending_num_requested) == (["1", "2"], 0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call.read(), 0.3)


async def test_what_comes_as_a_keepalive_is_due_is_sent(
    generated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for, left = asyncio.wait_for, ["3", "2", "1"]

    async def late(waiting: Any, timeout: float | None) -> Any:
        try:
            return await wait_for(waiting, timeout)
        except TimeoutError:
            if left:
                one.publish(ORDERS, Number__c=left.pop())
            raise

    async with stranger(generated, pubsub_keepalive=0.05) as one:
        one.publish(ORDERS, Number__c="0")
        monkeypatch.setattr(asyncio, "wait_for", late)
        call = one.stub.Subscribe(metadata=one.metadata)
        await call.write(one.fetch(ORDERS, 9))
        found: list[str] = []
        async with asyncio.timeout(DEADLINE):
            while len(found) < 3:
                answer = await call.read()
                found += [(await one.decoded(each))["Number__c"] for each in answer.events]
        assert found == ["1", "2", "3"]


async def test_a_stream_on_which_nothing_comes_says_that_it_is_alive(generated: Any) -> None:
    async with stranger(generated, pubsub_keepalive=0.1) as one:
        call = one.stub.Subscribe(metadata=one.metadata)
        await call.write(one.fetch("/data/AccountChangeEvent", 1))
        answer = await call.read()
        assert (list(answer.events), answer.pending_num_requested) == ([], 1)
        place = answer.latest_replay_id
        call.cancel()
        again = one.stub.Subscribe(metadata=one.metadata)
        custom = {"replay_preset": one.pb.CUSTOM, "replay_id": place}
        await again.write(one.fetch("/data/AccountChangeEvent", 1, **custom))
        assert (await again.read()).latest_replay_id >= place


async def test_records_that_a_transaction_changes_alike_are_one_event(generated: Any) -> None:
    async with stranger(generated) as one:
        one.org.bus.members["ChangeEvents_ContactChangeEvent"] = (
            "ChangeEvents",
            "ContactChangeEvent",
        )
        records = [{"attributes": {"type": "Contact"}, "LastName": "Bob"} for _ in range(3)]
        path, token = "/services/data/v63.0/composite/sobjects", one.api.session()
        await one.api.ask("POST", path, {"records": records}, token=token)
        call = one.stub.Subscribe(metadata=one.metadata)
        await call.write(one.fetch("/data/ContactChangeEvent", 9, replay_preset=one.pb.EARLIEST))
        (event,) = (await call.read()).events
        assert len((await one.decoded(event))["ChangeEventHeader"]["recordIds"]) == 3


@for_each(
    ("what", "code", "own"),
    [
        ("token", grpc.StatusCode.UNAUTHENTICATED, "service.auth.error"),
        ("tenant", grpc.StatusCode.UNAUTHENTICATED, "service.auth.error"),
        ("replay", grpc.StatusCode.INVALID_ARGUMENT, "subscription.fetch.replayid.corrupted"),
        ("expired", grpc.StatusCode.INVALID_ARGUMENT, "subscription.fetch.replayid.corrupted"),
        ("none", grpc.StatusCode.INVALID_ARGUMENT, "fetch.requested.events.invalid"),
        ("topic", grpc.StatusCode.NOT_FOUND, "topic.get.error"),
    ],
)
async def test_what_is_refused_says_why_in_its_trailers(
    generated: Any, what: str, code: grpc.StatusCode, own: str
) -> None:
    async with stranger(generated) as one:
        place = pubsub.replay_of(one.publish(ORDERS, Number__c="1").number)
        metadata, topic, number = dict(one.metadata), ORDERS, 1
        more: dict[str, Any] = {"replay_preset": one.pb.CUSTOM, "replay_id": place}
        match what:
            case "token":
                metadata["accesstoken"] = "00D!no"
            case "tenant":
                metadata["tenantid"] = "00D000000000001AAA"
            case "replay":
                more["replay_id"] = b"no"
            case "expired":
                one.org.bus.expire()
            case "none":
                number = 0
            case _:
                topic = "/event/Nothing__e"
        call = one.stub.Subscribe(metadata=tuple(metadata.items()))

        async def ask() -> None:
            if code is not grpc.StatusCode.UNAUTHENTICATED:
                # Written to a call that is over by then, it may end as INTERNAL, by the client itself.
                await call.write(one.fetch(topic, number, **more))
            await call.read()

        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask()
        trailers = dict(refused.value.trailing_metadata() or ())
        assert refused.value.code() is code
        assert str(trailers["error-code"]).endswith(own)


async def test_a_client_publishes_what_it_encodes(generated: Any) -> None:
    async with stranger(generated) as one:
        one.publish(ORDERS, Number__c="1")
        info = await one.stub.GetTopic(
            one.pb.TopicRequest(topic_name=ORDERS), metadata=one.metadata
        )
        asked = one.pb.SchemaRequest(schema_id=info.schema_id)
        told = await one.stub.GetSchema(asked, metadata=one.metadata)
        schema = fastavro.parse_schema(json.loads(told.schema_json))
        out = io.BytesIO()
        record = {"CreatedDate": 1, "CreatedById": "005", "Number__c": "2"}
        fastavro.schemaless_writer(out, schema, record)
        event = one.pb.ProducerEvent(id="a", schema_id=info.schema_id, payload=out.getvalue())
        request = one.pb.PublishRequest(topic_name=ORDERS, events=[event])
        (result,) = (await one.stub.Publish(request, metadata=one.metadata)).results
        call = one.stub.Subscribe(metadata=one.metadata)
        await call.write(one.fetch(ORDERS, 9, replay_preset=one.pb.EARLIEST))
        *_, last = (await call.read()).events
        assert (last.replay_id, last.event.id) == (result.replay_id, "a")
        assert (await one.decoded(last))["Number__c"] == "2"
