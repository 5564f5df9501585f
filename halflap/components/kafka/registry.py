"""A schema registry: the schemas by which values in Avro are read and written, each asked for once."""

from __future__ import annotations

import hashlib
import io
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from halflap import DefinitionError, encode_json
from halflap.components import avro
from halflap.components.avro import Schema, Undecodable
from halflap.components.kafka.connection import Kafka

EXTRA = "kafka"
MAGIC = 0
HEAD = 5
"""The bytes before a value: a zero, and the id of its schema."""
MOST_SCHEMAS = 1_000
MOST_REFERENCES = 100

schemas: OrderedDict[tuple[str, str, int], Schema] = OrderedDict()
"""The schemas that were asked for, by registry, credentials and id: what an id stands for never changes.

One that may not read a schema is not given what another may.
"""


def is_framed(value: bytes) -> bool:
    """Return whether a value begins with a schema's id, as a registry's clients write it."""
    return len(value) >= HEAD and value[0] == MAGIC


def schema_id(value: bytes) -> int:
    """Return the id of the schema that a value begins with."""
    return int.from_bytes(value[1:HEAD], "big")


def place_of(kafka: Kafka, id: int) -> tuple[str, str, int]:
    """Return the key of a schema: credentials are known by a digest."""
    credentials = kafka.headers().get("Authorization", "")
    return kafka.base_url, hashlib.sha256(credentials.encode()).hexdigest(), id


async def schema_of(kafka: Kafka, id: int) -> Schema:
    """Return the parsed schema of an id; `Undecodable` where the registry has none, or no Avro."""
    place = place_of(kafka, id)
    if place not in schemas:
        found = await kafka.find("/schemas/ids/{id}", values={"id": id})
        if found is None:
            raise Undecodable(f"the registry has no schema {id}")
        schemas[place] = await parsed(kafka, found)
        if len(schemas) > MOST_SCHEMAS:
            schemas.popitem(last=False)
    schemas.move_to_end(place)
    return schemas[place]


async def parsed(kafka: Kafka, found: Mapping[str, Any]) -> Schema:
    """Return a schema as the registry has it, with what it refers to, ready to read by."""
    kind = found.get("schemaType", "AVRO")
    if kind != "AVRO":
        raise Undecodable(f"its schema is {kind}, and not Avro")
    named: dict[str, Any] = {}
    await referred(kafka, found.get("references") or (), named, set())
    return parse(found["schema"], named)


async def referred(
    kafka: Kafka, references: Sequence[Mapping[str, Any]], named: dict[str, Any], seen: set[str]
) -> None:
    """Read the schemas that another refers to, those that they refer to first."""
    for each in references:
        place = f"{each['subject']}/{each['version']}"
        if place in seen:
            continue
        seen.add(place)
        if len(seen) > MOST_REFERENCES:
            raise Undecodable(f"its schema refers to more than {MOST_REFERENCES} others")
        values = {"subject": each["subject"], "version": each["version"]}
        found = await kafka.get("/subjects/{subject}/versions/{version}", values=values)
        await referred(kafka, found.get("references") or (), named, seen)
        parse(found["schema"], named)


def parse(text: str, named: dict[str, Any]) -> Schema:
    """Return a parsed schema; what it names is added to `named`."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"its schema cannot be read: {error}") from error
    return avro.parse(document, named, EXTRA)


def read_avro(value: bytes, schema: Schema) -> bytes:
    """Return a value in Avro as JSON, with every digit of its numbers; bytes are base64 there."""
    found = avro.read(value, schema, HEAD)
    try:
        return encode_json(found)
    except ValueError as error:
        raise Undecodable(f"it has no JSON: {error}") from error


async def write_avro(kafka: Kafka, subject: str, value: Any) -> bytes:
    """Return a value in Avro by the newest schema of a subject, with the schema's id."""
    found = await kafka.find("/subjects/{subject}/versions/latest", values={"subject": subject})
    if found is None:
        raise DefinitionError(f"the registry has no subject {subject}: register its schema first")
    place = place_of(kafka, int(found["id"]))
    try:
        if place not in schemas:
            schemas[place] = await parsed(kafka, found)
        stream = io.BytesIO()
        avro.library(EXTRA).schemaless_writer(stream, schemas[place].parsed, value)
    except Undecodable as error:
        raise DefinitionError(f"kafka.publish: {subject}: {error}") from error
    except Exception as error:  # a library's many kinds
        raise DefinitionError(f"the value does not fit the schema of {subject}: {error}") from error
    return bytes([MAGIC]) + place[2].to_bytes(4, "big") + stream.getvalue()
