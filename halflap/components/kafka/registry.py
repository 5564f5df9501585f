"""A schema registry: the schemas by which values in Avro are read and written, each asked for once."""

from __future__ import annotations

import hashlib
import io
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import anyio.to_thread

from halflap import DefinitionError, encode_json
from halflap.components import avro
from halflap.components.avro import Schema, Undecodable
from halflap.components.kafka.connection import Kafka

EXTRA = "kafka"
MAGIC = 0
HEAD = 5
"""The bytes before a value: a zero, and the id of its schema."""
MOST_REFERENCES = 100
MOST_TEXT = 1_000_000
"""The most characters of a schema and those that it refers to; parsed, it has ten times as many bytes."""
AT_ONCE = 16_384
"""The most characters of a schema that is parsed without a thread of its own."""

Owner = tuple[str, str]
"""A registry's address and a digest of credentials: what one may read, another may not."""


class SchemaCache:
    """Schemas that were read, by owner and id (what it stands for never changes), bounded by their text.

    Where all of them have too much, the owner of the most loses its oldest: none pushes out the others'.
    """

    OVERHEAD = 1_000
    MOST_OF_ONE, MOST = 4_000_000, 16_000_000

    def __init__(self) -> None:
        self._owners: dict[Owner, OrderedDict[int, Schema]] = {}
        self._sizes: dict[Owner, int] = {}

    def get(self, owner: Owner, id: int) -> Schema | None:
        """Return a schema that was read before, or None."""
        own = self._owners.get(owner)
        if own is None or id not in own:
            return None
        own.move_to_end(id)
        return own[id]

    def add(self, owner: Owner, id: int, schema: Schema) -> None:
        """Store a schema, and remove what is too much by it."""
        self._remove(owner, id)
        self._owners.setdefault(owner, OrderedDict())[id] = schema
        self._sizes[owner] = self._sizes.get(owner, 0) + schema.size + self.OVERHEAD
        while self._sizes[owner] > self.MOST_OF_ONE:
            self._remove(owner, next(iter(self._owners[owner])))
        while self.size > self.MOST:
            largest = max(self._sizes, key=self._sizes.__getitem__)
            self._remove(largest, next(iter(self._owners[largest])))

    @property
    def size(self) -> int:
        """The characters of all schemas, and what each takes beside them."""
        return sum(self._sizes.values())

    def clear(self) -> None:
        """Remove all."""
        self._owners.clear()
        self._sizes.clear()

    def _remove(self, owner: Owner, id: int) -> None:
        own = self._owners.get(owner)
        if own is None or id not in own:
            return
        self._sizes[owner] -= own.pop(id).size + self.OVERHEAD
        if not own:
            del self._owners[owner], self._sizes[owner]


schemas = SchemaCache()


def is_framed(value: bytes) -> bool:
    """Return whether a value begins with a schema's id, as a registry's clients write it."""
    return len(value) >= HEAD and value[0] == MAGIC


def schema_id(value: bytes) -> int:
    """Return the id of the schema that a value begins with."""
    return int.from_bytes(value[1:HEAD], "big")


def owner_of(kafka: Kafka) -> Owner:
    """Return whose schemas a connection reads: credentials are known by a digest."""
    credentials = kafka.headers().get("Authorization", "")
    return kafka.base_url, hashlib.sha256(credentials.encode()).hexdigest()


async def schema_of(kafka: Kafka, id: int) -> Schema:
    """Return the parsed schema of an id; `Undecodable` where the registry has none, or no Avro."""
    known = schemas.get(owner_of(kafka), id)
    if known is not None:
        return known
    found = await kafka.find("/schemas/ids/{id}", values={"id": id})
    if found is None:
        raise Undecodable(f"the registry has no schema {id}")
    return await parsed(kafka, id, found)


async def parsed(kafka: Kafka, id: int, found: Mapping[str, Any]) -> Schema:
    """Return a schema as the registry has it, with what it refers to, ready to read by; it is stored."""
    kind = found.get("schemaType", "AVRO")
    if kind != "AVRO":
        raise Undecodable(f"its schema is {kind}, and not Avro")
    texts: list[str] = []
    await referred(kafka, found, texts, set())
    parse_all = partial(parse, texts)
    is_large = sum(map(len, texts)) > AT_ONCE
    schema = await anyio.to_thread.run_sync(parse_all) if is_large else parse_all()
    schemas.add(owner_of(kafka), id, schema)
    return schema


async def referred(
    kafka: Kafka, found: Mapping[str, Any], texts: list[str], seen: set[str]
) -> None:
    """Add the texts of a schema and of those that it refers to, those that it needs first."""
    for each in cast("Sequence[Mapping[str, Any]]", found.get("references") or ()):
        place = f"{each['subject']}/{each['version']}"
        if place in seen:
            continue
        seen.add(place)
        if len(seen) > MOST_REFERENCES:
            raise Undecodable(f"its schema refers to more than {MOST_REFERENCES} others")
        values = {"subject": each["subject"], "version": each["version"]}
        other = await kafka.get("/subjects/{subject}/versions/{version}", values=values)
        await referred(kafka, other, texts, seen)
    texts.append(str(found["schema"]))
    if sum(map(len, texts)) > MOST_TEXT:
        raise Undecodable(f"its schema has more than {MOST_TEXT:,} characters")


def parse(texts: Sequence[str]) -> Schema:
    """Return the schema of the last text, parsed; those before it are what it refers to."""
    named: dict[str, Any] = {}
    try:
        found = [avro.parse(json.loads(each), named, EXTRA) for each in texts]
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"its schema cannot be read: {error}") from error
    found[-1].size = sum(map(len, texts))
    return found[-1]


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
    id = int(found["id"])
    try:
        schema = schemas.get(owner_of(kafka), id) or await parsed(kafka, id, found)
        stream = io.BytesIO()
        avro.library(EXTRA).schemaless_writer(stream, schema.parsed, value)
    except Undecodable as error:
        raise DefinitionError(f"kafka.publish: {subject}: {error}") from error
    except Exception as error:  # a library's many kinds
        raise DefinitionError(f"the value does not fit the schema of {subject}: {error}") from error
    return bytes([MAGIC]) + id.to_bytes(4, "big") + stream.getvalue()
