"""A schema registry: the schemas by which values in Avro are read and written, each asked for once."""

from __future__ import annotations

import base64
import io
import json
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, cast

from halflap import DefinitionError, encode_json
from halflap.components.kafka.connection import Kafka

MAGIC = 0
HEAD = 5
"""The bytes before a value: a zero, and the id of its schema."""
MOST_SCHEMAS = 1_000
MOST_REFERENCES = 100

schemas: OrderedDict[tuple[str, int], Any] = OrderedDict()
"""The schemas that were asked for, by registry and id: what an id stands for never changes."""


class Undecodable(Exception):
    """Raised for a value that is no Avro of a schema that the registry has."""


def library() -> Any:
    """Return the package that reads and writes Avro."""
    try:
        import fastavro
    except ImportError as error:
        raise DefinitionError(
            f"Avro needs fastavro ({error}); install it with: pip install 'halflap[kafka]'"
        ) from None
    return cast(Any, fastavro)


def is_framed(value: bytes) -> bool:
    """Return whether a value begins with a schema's id, as a registry's clients write it."""
    return len(value) >= HEAD and value[0] == MAGIC


def schema_id(value: bytes) -> int:
    """Return the id of the schema that a value begins with."""
    return int.from_bytes(value[1:HEAD], "big")


async def schema_of(kafka: Kafka, id: int) -> Any:
    """Return the parsed schema of an id; `Undecodable` where the registry has none, or no Avro."""
    place = kafka.base_url, id
    if place not in schemas:
        found = await kafka.find("/schemas/ids/{id}", values={"id": id})
        if found is None:
            raise Undecodable(f"the registry has no schema {id}")
        schemas[place] = await parsed(kafka, found)
        if len(schemas) > MOST_SCHEMAS:
            schemas.popitem(last=False)
    schemas.move_to_end(place)
    return schemas[place]


async def parsed(kafka: Kafka, found: Mapping[str, Any]) -> Any:
    """Return a schema as the registry has it, with what it refers to, ready to read by."""
    kind = found.get("schemaType", "AVRO")
    if kind != "AVRO":
        raise Undecodable(f"its schema is {kind}, and not Avro")
    named: dict[str, Any] = {}
    await referred(kafka, found.get("references") or (), named, set())
    try:
        return parse(found["schema"], named)
    except Exception as error:  # a library's many kinds
        raise Undecodable(f"its schema cannot be read: {error}") from error


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


def parse(text: str, named: dict[str, Any]) -> Any:
    """Return a parsed schema; what it names is added to `named`."""
    return library().parse_schema(json.loads(text), named_schemas=named)


def read_avro(value: bytes, schema: Any) -> bytes:
    """Return a value in Avro as JSON, with every digit of its numbers; bytes are base64 there."""
    stream = io.BytesIO(value)
    stream.seek(HEAD)
    try:
        found = library().schemaless_reader(stream, schema, None)
        rest = len(value) - stream.tell()
    except Exception as error:  # a library's many kinds, and none of ours
        raise Undecodable(f"it does not fit its schema: {error or type(error).__name__}") from error
    if rest:
        raise Undecodable(f"{rest} bytes follow what its schema says")
    try:
        return encode_json(plain(found))
    except ValueError as error:
        raise Undecodable(f"it has no JSON: {error}") from error


def plain(value: Any) -> Any:
    """Return what Avro's library reads as JSON has it."""
    match value:
        case dict():
            fields = cast("dict[str, Any]", value)
            return {name: plain(each) for name, each in fields.items()}
        case list():
            return [plain(each) for each in cast("list[Any]", value)]
        case bytes():
            return base64.b64encode(value).decode()
        case datetime() | date() | time():
            return value.isoformat().replace("+00:00", "Z")
        case uuid.UUID():
            return str(value)
        case Decimal() | float() | int() | str() | None:
            return value
        case _:  # a duration, say
            return str(value)


async def write_avro(kafka: Kafka, subject: str, value: Any) -> bytes:
    """Return a value in Avro by the newest schema of a subject, with the schema's id."""
    found = await kafka.find("/subjects/{subject}/versions/latest", values={"subject": subject})
    if found is None:
        raise DefinitionError(f"the registry has no subject {subject}: register its schema first")
    place = kafka.base_url, int(found["id"])
    try:
        if place not in schemas:
            schemas[place] = await parsed(kafka, found)
        stream = io.BytesIO()
        library().schemaless_writer(stream, schemas[place], value)
    except Undecodable as error:
        raise DefinitionError(f"kafka.publish: {subject}: {error}") from error
    except Exception as error:  # a library's many kinds
        raise DefinitionError(f"the value does not fit the schema of {subject}: {error}") from error
    return bytes([MAGIC]) + place[1].to_bytes(4, "big") + stream.getvalue()
