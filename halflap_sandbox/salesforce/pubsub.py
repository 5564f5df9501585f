"""The Pub/Sub API: the event bus by gRPC, at a port of its own.

Its messages are from `pubsub_api.proto` (https://github.com/forcedotcom/pub-sub-api, CC0 1.0), made of
the table below. Needs grpcio and protobuf.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from halflap_sandbox.faults import FaultBoard, Injected
from halflap_sandbox.salesforce.event_bus import BusEvent, EventBus, replay_of
from halflap_sandbox.salesforce.model import Org, World
from halflap_sandbox.salesforce.settings import Settings

PACKAGE = "eventbus.v1"
TABLE = """
TopicRequest topic_name:string
TopicInfo topic_name:string tenant_guid:string can_publish:bool can_subscribe:bool schema_id:string
SchemaRequest schema_id:string
SchemaInfo schema_json:string schema_id:string
ProducerEvent id:string schema_id:string payload:bytes
ConsumerEvent event:ProducerEvent replay_id:bytes
FetchRequest topic_name:string replay_preset:int32 replay_id:bytes num_requested:int32
FetchResponse events:*ConsumerEvent latest_replay_id:bytes rpc_id:string pending_num_requested:int32
PublishRequest topic_name:string events:*ProducerEvent
PublishResult replay_id:bytes
PublishResponse results:*PublishResult schema_id:string
"""
"""Each message with its fields, numbered from 1; `*` for many."""
LATEST, EARLIEST, CUSTOM = 0, 1, 2
ERROR = "sfdc.platform.eventbus.grpc."
MOST_AT_ONCE = 25
"""The most events of one answer."""
MOST_REQUESTED = 100


@lru_cache(maxsize=1)
def messages() -> Any:
    """Return the classes of the messages, by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    types: Any = descriptor_pb2.FieldDescriptorProto
    scalars = {"string": types.TYPE_STRING, "bool": types.TYPE_BOOL}
    scalars |= {"bytes": types.TYPE_BYTES, "int32": types.TYPE_INT32}
    file = descriptor_pb2.FileDescriptorProto(name="sandbox", package=PACKAGE, syntax="proto3")
    for line in TABLE.strip().splitlines():
        name, *fields = line.split()
        message = file.message_type.add(name=name)
        for number, each in enumerate(fields, 1):
            field, _, kind = each.partition(":")
            made = message.field.add(name=field, number=number)
            made.label = types.LABEL_REPEATED if kind[0] == "*" else types.LABEL_OPTIONAL
            kind = kind.removeprefix("*")
            made.type = scalars.get(kind, types.TYPE_MESSAGE)
            if kind not in scalars:
                made.type_name = f".{PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {each.name: f"{PACKAGE}.{each.name}" for each in file.message_type}
    classes = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(full))
        for name, full in found.items()
    }
    return SimpleNamespace(**classes)


@dataclass
class PubSubService:
    """The methods of the API."""

    world: World
    faults: FaultBoard
    settings: Settings

    async def _org(self, context: Any) -> Org:
        """Return the org whose session a call names."""
        import grpc

        sent = dict(context.invocation_metadata())
        session = self.world.session(sent.get("accesstoken", ""))
        tenant = sent.get("tenantid", "")
        known = session is not None and tenant[:15] == session.org.id[:15]
        if session is None or not known or not sent.get("instanceurl"):
            await refuse(
                context, grpc.StatusCode.UNAUTHENTICATED, "service.auth.error", "Invalid session."
            )
        try:
            self.faults.of(session.org.id).fail()
        except Injected as injected:
            code, own = grpc.StatusCode.UNAVAILABLE, "service.unavailable"
            if injected.status == 401:
                code, own = grpc.StatusCode.UNAUTHENTICATED, "service.auth.error"
            await refuse(context, code, own, str(injected))
        return session.org

    async def get_topic(self, request: Any, context: Any) -> Any:
        """Tell of a topic."""
        org = await self._org(context)
        schema = await self._schema(org, request.topic_name, context)
        return messages().TopicInfo(
            topic_name=request.topic_name,
            tenant_guid=org.id,
            can_publish=request.topic_name.startswith("/event/"),
            can_subscribe=True,
            schema_id=schema,
        )

    async def _schema(self, org: Org, topic: str, context: Any) -> str:
        import grpc

        org.declare_topics()
        if topic not in org.bus.topics:
            message = f"The topic {topic} was not found."
            await refuse(context, grpc.StatusCode.NOT_FOUND, "topic.get.error", message)
        return org.bus.topics[topic]

    async def get_schema(self, request: Any, context: Any) -> Any:
        """Tell a schema."""
        import grpc

        org = await self._org(context)
        if request.schema_id not in org.bus.schemas:
            code = grpc.StatusCode.NOT_FOUND
            await refuse(context, code, "schema.get.error", "The schema was not found.")
        text = org.bus.schemas[request.schema_id]
        return messages().SchemaInfo(schema_json=text, schema_id=request.schema_id)

    async def publish(self, request: Any, context: Any) -> Any:
        """Publish events that the client has encoded."""
        org = await self._org(context)
        schema = await self._schema(org, request.topic_name, context)
        made = [
            org.bus.publish(request.topic_name, each.payload, each.schema_id, each.id)
            for each in request.events
        ]
        results = [messages().PublishResult(replay_id=replay_of(each.number)) for each in made]
        return messages().PublishResponse(results=results, schema_id=schema)

    async def subscribe(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """Deliver what was asked for, as it comes."""
        import grpc

        org = await self._org(context)
        first = await anext(aiter(requests), None)
        if first is None:
            return
        bus, topic = org.bus, first.topic_name
        await self._schema(org, topic, context)
        at = await self._begin(bus, first, context)
        stream = Stream(bus, topic, at, wanted=await checked(first, context))
        reading = asyncio.create_task(stream.read(requests, context))
        token = dict(context.invocation_metadata())["accesstoken"]
        cuts, seconds = bus.cuts, self.settings.pubsub_keepalive
        try:
            while not reading.done() or stream.wanted:
                if found := stream.next():
                    yield stream.answer(found)
                    continue
                stream.woken.clear()
                try:
                    await asyncio.wait_for(stream.woken.wait(), seconds)
                except TimeoutError:
                    if not stream.wanted:
                        return  # who asks for nothing more is let go
                    if not (found := stream.next()):  # one may have come as the time was over
                        stream.at = max(stream.at, bus.number)
                    yield stream.answer(found)
                if bus.cuts != cuts:
                    message = "RST_STREAM closed stream"
                    await refuse(context, grpc.StatusCode.UNAVAILABLE, "", message)
                if self.world.session(token) is None:
                    code = grpc.StatusCode.UNAUTHENTICATED
                    await refuse(context, code, "service.auth.error", "The session ended.")
        finally:
            reading.cancel()
            bus.subscribers.discard(stream.woken)

    async def _begin(self, bus: EventBus, first: Any, context: Any) -> int:
        import grpc

        if first.replay_preset == LATEST:
            return bus.number
        if first.replay_preset == EARLIEST:
            return bus.forgotten
        place = bus.place(first.replay_id)
        if place is None:
            code, own = grpc.StatusCode.INVALID_ARGUMENT, "subscription.fetch.replayid.corrupted"
            message = (
                "The Replay ID validation failed. Ensure that the Replay ID is valid and refers to an "
                "event that is within the retention window."
            )
            await refuse(context, code, own, message)
        return place


class Stream:
    """One subscription: its place, and how many events it may be sent."""

    def __init__(self, bus: EventBus, topic: str, at: int, *, wanted: int) -> None:
        self.bus, self.topic, self.at, self.wanted = bus, topic, at, wanted
        self.woken = asyncio.Event()
        bus.subscribers.add(self.woken)

    async def read(self, requests: AsyncIterator[Any], context: Any) -> None:
        """Take more credit as it comes."""
        async for each in requests:
            self.wanted += await checked(each, context)
            self.woken.set()
        self.woken.set()

    def next(self) -> list[BusEvent]:
        """Return what may be sent now."""
        most = min(self.wanted, MOST_AT_ONCE)
        found: list[BusEvent] = []
        for each in self.bus.kept(self.topic, self.at):
            if len(found) >= most:
                break
            found.append(each)
        return found

    def answer(self, events: list[BusEvent]) -> Any:
        """Return an answer, and stand behind it."""
        if events:
            self.at = events[-1].number
        self.wanted -= len(events)
        told = [
            messages().ConsumerEvent(
                event=messages().ProducerEvent(
                    id=each.id, schema_id=each.schema, payload=each.payload
                ),
                replay_id=replay_of(each.number),
            )
            for each in events
        ]
        return messages().FetchResponse(
            events=told, latest_replay_id=replay_of(self.at), pending_num_requested=self.wanted
        )


async def checked(request: Any, context: Any) -> int:
    """Return how many events a request asks for; refuse one that asks for none."""
    import grpc

    if request.num_requested <= 0:
        code, own = grpc.StatusCode.INVALID_ARGUMENT, "subscription.fetch.requested.events.invalid"
        await refuse(context, code, own, "num_requested is a positive number.")
    return min(request.num_requested, MOST_REQUESTED)


async def refuse(context: Any, code: Any, own: str, message: str) -> NoReturn:
    """End a call with Salesforce's own error code in its trailers."""
    trailers = (("error-code", f"{ERROR}{own}"),) if own else ()
    await context.abort(code, message, trailing_metadata=trailers)
    raise AssertionError("unreachable")


async def start(
    world: World,
    faults: FaultBoard,
    settings: Settings,
    certificate: Path | None = None,
    private_key: Path | None = None,
) -> tuple[Any, int]:
    """Start the server; returns it with its port. OSError where the port is taken."""
    import grpc
    import grpc.aio

    service = PubSubService(world, faults, settings)

    def handler(kind: str, method: Any, request: str) -> Any:
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(method, getattr(messages(), request).FromString, serialize)

    handlers = {
        "GetTopic": handler("unary_unary", service.get_topic, "TopicRequest"),
        "GetSchema": handler("unary_unary", service.get_schema, "SchemaRequest"),
        "Publish": handler("unary_unary", service.publish, "PublishRequest"),
        "Subscribe": handler("stream_stream", service.subscribe, "FetchRequest"),
    }
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(f"{PACKAGE}.PubSub", handlers),)
    )
    address = f"127.0.0.1:{settings.pubsub_port or 0}"
    try:
        if certificate is None:
            port = server.add_insecure_port(address)
        else:
            key = (private_key or certificate).read_bytes()
            pair = [(key, certificate.read_bytes())]
            port = server.add_secure_port(address, grpc.ssl_server_credentials(pair))
    except RuntimeError as error:
        raise OSError(f"port {settings.pubsub_port} cannot be listened on") from error
    await server.start()
    return server, port


def serialize(message: Any) -> bytes:
    """Return a message's bytes."""
    return message.SerializeToString()
