"""The messages of Salesforce's Pub/Sub API, as far as subscribers need them.

From `pubsub_api.proto` (https://github.com/forcedotcom/pub-sub-api, CC0 1.0). They are made from this
table as they are used first: generated code would tie the reader's protobuf to ours.
"""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

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
"""Each message with its fields, numbered from 1; `*` for many."""


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
