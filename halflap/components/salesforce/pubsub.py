"""The Pub/Sub API: events of a topic, by gRPC, decoded by their Avro schemas.

Needs the extra `halflap[salesforce]`, which is imported as it is used. gRPC has sockets of its own, so it
is given the addresses that the policy for outgoing requests has judged, and dials no name.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, Self, cast
from urllib.parse import urlsplit

import anyio.to_thread

from halflap import (
    CursorExpired,
    DefinitionError,
    Listening,
    RateLimited,
    Unauthorized,
    UpstreamError,
)
from halflap.components import avro
from halflap.components.avro import Schema, Undecodable
from halflap.components.salesforce.connection import Salesforce

PACKAGE = "eventbus.v1"
SERVICE = f"{PACKAGE}.PubSub"
LATEST, EARLIEST, CUSTOM = 0, 1, 2
"""Where a subscription begins: the values of `ReplayPreset`, which is sent as an int32."""

TABLE = """
TopicRequest topic_name:string
TopicInfo topic_name:string tenant_guid:string can_publish:bool can_subscribe:bool schema_id:string
SchemaRequest schema_id:string
SchemaInfo schema_json:string schema_id:string
ProducerEvent id:string schema_id:string payload:bytes
ConsumerEvent event:ProducerEvent replay_id:bytes
FetchRequest topic_name:string replay_preset:int32 replay_id:bytes num_requested:int32
FetchResponse events:*ConsumerEvent latest_replay_id:bytes rpc_id:string pending_num_requested:int32
"""
"""Each message with its fields, numbered from 1; `*` for many. It is what subscribers need of
`pubsub_api.proto` (https://github.com/forcedotcom/pub-sub-api, CC0 1.0). They are made of it as they are
used first: generated code would tie the reader's protobuf to ours.
"""


@lru_cache(maxsize=1)
def messages() -> Any:
    """Return the classes of the messages, by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    types: Any = descriptor_pb2.FieldDescriptorProto
    scalars = {"string": types.TYPE_STRING, "bool": types.TYPE_BOOL}
    scalars |= {"bytes": types.TYPE_BYTES, "int32": types.TYPE_INT32}
    file = descriptor_pb2.FileDescriptorProto(name="halflap", package=PACKAGE, syntax="proto3")
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


MOST_REQUESTED = 100
"""The most events that may be asked for at a time."""
BUDGET = 1_000_000
"""The bytes of events that are asked for at a time, as far as their size can be guessed."""
LARGEST_RESPONSE = 16 * 1024 * 1024
SILENT_SECONDS = 285.0
"""A stream is alive while Salesforce says so, at least every 270 seconds."""
CALL_SECONDS = 30.0
PAUSE_SECONDS = 1.0
MOST_SCHEMAS = 100
MOST_BITMAP = 1_000
EXTRA = "salesforce"
BITMAPS = ("changedFields", "nulledFields", "diffFields")
HEADER = "ChangeEventHeader"
MODULES = ("grpc", "fastavro", "grpc.aio", "google.protobuf")
MISSING = (
    "the Pub/Sub API needs grpcio, protobuf and fastavro: install them with "
    "pip install 'halflap[salesforce]'"
)


@dataclass(frozen=True, slots=True)
class PubSubEvent:
    """An event as it came: decoded, or the reason why it cannot be."""

    replay: bytes
    id: str
    schema: str
    payload: bytes
    value: Mapping[str, Any] | None
    problem: str = ""

    @property
    def header(self) -> Mapping[str, Any]:
        """The header of a change event; empty where it has none."""
        found = (self.value or {}).get(HEADER)
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Fetched:
    """Events that came together; none where the stream only says that it is alive."""

    events: Sequence[PubSubEvent]
    replay: bytes
    """The place behind them."""


def libraries() -> Any:
    """Return grpc, with all that it needs beside it; `DefinitionError` where they are not installed."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # it notes each stream's end on stderr
    try:
        grpc, *_ = map(import_module, MODULES)
    except ImportError as error:
        raise DefinitionError(MISSING) from error
    return grpc


def serialized(message: Any) -> bytes:
    """Return a message's bytes."""
    return message.SerializeToString()


@dataclass
class PubSub:
    """The Pub/Sub API as an org's user; an async context."""

    sf: Salesforce
    schemas: dict[str, Schema | Undecodable] = field(
        default_factory=dict[str, "Schema | Undecodable"]
    )
    _channel: Any = None

    async def __aenter__(self) -> Self:
        grpc = libraries()
        if not self.sf.token:
            self.sf = await self.sf.refreshed()
        parts = urlsplit(self.sf.pubsub_url)
        addresses = await self.sf.addresses(self.sf.pubsub_url)
        options = [
            ("grpc.ssl_target_name_override", parts.hostname),
            ("grpc.default_authority", parts.netloc),
            ("grpc.enable_http_proxy", 0),
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", LARGEST_RESPONSE),
            ("grpc.keepalive_time_ms", 60_000),
        ]
        port = parts.port or (443 if parts.scheme == "https" else 80)
        target = target_of(addresses, port)
        if parts.scheme == "https":
            trusted = os.environ.get("SSL_CERT_FILE")
            read = Path(trusted).read_bytes if trusted else lambda: None
            roots = await anyio.to_thread.run_sync(read)
            secure = grpc.ssl_channel_credentials(root_certificates=roots)
            self._channel = grpc.aio.secure_channel(target, secure, options)
        else:
            self._channel = grpc.aio.insecure_channel(target, options)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        sf = self.sf
        return (
            ("accesstoken", sf.token),
            ("instanceurl", sf.base_url),
            ("tenantid", sf.organization_id),
        )

    async def _call(self, method: str, answer: str, request: Any) -> Any:
        """Call a method; a session that ended is renewed once."""
        grpc = libraries()
        call = self._channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=serialized,
            response_deserializer=getattr(messages(), answer).FromString,
        )
        for last in (False, True):
            try:
                found = await call(request, metadata=self._metadata(), timeout=CALL_SECONDS)
                if found is None:
                    raise unreadable(method)
                return found
            except grpc.RpcError as error:
                if last or error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                    refused(error, method)
                self.sf = await self.sf.refreshed()
        raise AssertionError("unreachable")

    async def topic(self, name: str) -> Any:
        """Return a topic: whether it `can_subscribe`, and its `schema_id`."""
        return await self._call("GetTopic", "TopicInfo", messages().TopicRequest(topic_name=name))

    async def schema(self, id: str) -> Schema | Undecodable:
        """Return an Avro schema, parsed; each is asked for once."""
        if id not in self.schemas:
            asked = messages().SchemaRequest(schema_id=id)
            info = await self._call("GetSchema", "SchemaInfo", asked)
            try:
                parsed = avro.parse(json.loads(info.schema_json), {}, EXTRA)
            except Undecodable as error:  # its events are not lost
                parsed = error
            except (ValueError, RecursionError) as error:
                parsed = Undecodable(f"its schema cannot be read: {error}"[:300])
            while len(self.schemas) >= MOST_SCHEMAS:
                self.schemas.pop(next(iter(self.schemas)))
            self.schemas[id] = parsed
        return self.schemas[id]

    async def decoded(self, one: Any) -> PubSubEvent:
        """Decode an event."""
        event = one.event
        schema = await self.schema(event.schema_id)
        value, problem = None, ""
        try:
            value = await anyio.to_thread.run_sync(decode, schema, event.payload)
        except Exception as error:  # what a payload can be is up to the sender
            problem = f"{type(error).__name__}: {error}"[:300]
        return PubSubEvent(one.replay_id, event.id, event.schema_id, event.payload, value, problem)

    async def follow(
        self, listening: Listening, topic: str, replay: bytes | None, *, start: str = "now"
    ) -> AsyncGenerator[Fetched]:
        """Yield what comes on a topic behind a place; without one, from now on or from the earliest.

        No more is asked for than there is credit for, and only once what came is taken. A stream that
        Salesforce ends is opened again. `CursorExpired` where the place is no longer kept.
        """
        is_renewed, size = False, BUDGET // MOST_REQUESTED
        grpc = libraries()
        while True:
            call = self._channel.stream_stream(
                f"/{SERVICE}/Subscribe",
                request_serializer=serialized,
                response_deserializer=messages().FetchResponse.FromString,
            )(metadata=self._metadata())
            preset = CUSTOM if replay is not None else EARLIEST if start == "earliest" else LATEST
            begin = {"topic_name": topic, "replay_preset": preset, "replay_id": replay or b""}
            pending = 0
            try:
                while True:
                    if not pending:
                        await listening.credit(BUDGET)
                        pending = max(1, min(MOST_REQUESTED, BUDGET // size))
                        await call.write(messages().FetchRequest(num_requested=pending, **begin))
                        begin = {}
                    async with asyncio.timeout(SILENT_SECONDS):
                        response = await call.read()
                    if response is grpc.aio.EOF:
                        break
                    if response is None:
                        raise unreadable(f"Subscribe to {topic}")
                    is_renewed = False
                    events = [await self.decoded(each) for each in response.events]
                    if events:
                        size = max(1, sum(len(each.payload) for each in events) // len(events))
                        size = max(size, BUDGET // MOST_REQUESTED // 10)
                    pending = response.pending_num_requested
                    replay = events[-1].replay if events else response.latest_replay_id or replay
                    yield Fetched(events, replay or b"")
                    if not events:
                        listening.beat()
            except grpc.RpcError as error:
                if not has_ended(error):
                    if is_renewed or error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                        refused(error, f"Subscribe to {topic}")
                    self.sf, is_renewed = await self.sf.refreshed(), True
                    continue
            except asyncio.InvalidStateError:
                pass  # it ended while there was no credit
            except TimeoutError as error:
                raise UpstreamError(
                    f"Salesforce's Pub/Sub API was silent on {topic} for {SILENT_SECONDS:.0f} s; the "
                    "stream is opened again"
                ) from error
            finally:
                call.cancel()
            await listening.rest(PAUSE_SECONDS)


def target_of(addresses: Sequence[str], port: int) -> str:
    """Return addresses as gRPC takes them: of one family, each with the port."""
    fours = [each for each in addresses if ":" not in each]
    if fours:
        return "ipv4:" + ",".join(f"{each}:{port}" for each in fours)
    return "ipv6:" + ",".join(f"[{each}]:{port}" for each in addresses)


def unreadable(what: str) -> UpstreamError:
    """The error of an answer that is none: gRPC gives None in its place."""
    return UpstreamError(f"Salesforce's Pub/Sub API answered {what} by what cannot be read")


def has_ended(error: Any) -> bool:
    """Return whether a request met a stream that had ended; gRPC no longer says how."""
    return error.details() == "Internal error from Core"


def refused(error: Any, what: str) -> NoReturn:
    """Raise what gRPC's error means."""
    grpc = libraries()
    code, codes = error.code(), grpc.StatusCode
    trailers = {str(key): str(value) for key, value in error.trailing_metadata() or ()}
    own = trailers.get("error-code", "")
    told = f"{what}: {own or code.name}: {' '.join(str(error.details() or '').split())[:400]}"
    message = f"Salesforce's Pub/Sub API refused {told}"
    if code is codes.UNAUTHENTICATED:
        raise Unauthorized(f"{message}; connect again") from error
    if ".replayid." in own:
        raise CursorExpired(message) from error
    if code is codes.RESOURCE_EXHAUSTED or "limit.exceeded" in own:
        raise RateLimited(message) from error
    status = {codes.PERMISSION_DENIED: 403, codes.NOT_FOUND: 404, codes.INVALID_ARGUMENT: 400}
    raise UpstreamError(message, status=status.get(code), in_doubt=False) from error


def decode(schema: Schema | Undecodable, payload: bytes) -> Mapping[str, Any]:
    """Decode a payload; of a change event, the bitmaps are the names of fields."""
    if isinstance(schema, Undecodable):
        raise schema
    value = avro.read(payload, schema)
    if not isinstance(value, dict):
        raise Undecodable("it is not the record that its schema says")
    found = cast("dict[str, Any]", value)
    if isinstance(found.get(HEADER), dict):
        header: dict[str, Any] = found[HEADER]
        for name in BITMAPS:
            if isinstance(header.get(name), list):
                header[name] = fields_of_bitmap(schema.parsed["fields"], header[name])
    return found


def fields_of_bitmap(fields: Sequence[Any], bitmaps: Sequence[str]) -> list[str]:
    """Return the names that bitmaps stand for: `0x6` the second and third field, `4-0x2` one within."""
    found: list[str] = []
    for each in bitmaps:
        outer, dash, inner = each.rpartition("-")
        if not inner.startswith("0x"):
            found.append(each)  # a name already
        elif not dash:
            found += [str(fields[at]["name"]) for at in bits(inner)]
        else:
            compound = fields[int(outer)]
            within = record_in(compound["type"])["fields"]
            found += [f"{compound['name']}.{within[at]['name']}" for at in bits(inner)]
    return found


def bits(bitmap: str) -> list[int]:
    """Return the places of the bits that are set, the lowest first."""
    if len(bitmap) > MOST_BITMAP:
        raise Undecodable(f"a bitmap has more than {MOST_BITMAP} characters")
    number = int(bitmap, 16)
    return [at for at in range(number.bit_length()) if number >> at & 1]


def record_in(kind: Any) -> Any:
    """Return the record of a type that is one, or a union with one."""
    kinds = cast("list[Any]", kind) if isinstance(kind, list) else [kind]
    return next(cast(Any, e) for e in kinds if isinstance(e, dict) and "fields" in e)
