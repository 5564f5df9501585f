"""Avro as brokers carry it: values of a schema as JSON, within bounds that no value passes."""

from __future__ import annotations

import base64
import io
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from importlib import import_module
from typing import Any, cast

from halflap import DefinitionError

MOST_TEXT = 16 * 1024 * 1024
"""About the most characters that a value may have as JSON."""
MOST_NAMESPACE = 1_000
"""The most characters of a namespace, which is repeated for each name in it."""
MOST_LEVELS = 100
"""The most levels of a schema for which the reader in C is used: it has no bound of its own."""
LEAST = {"null": 0, "float": 4, "double": 8}
"""The bytes that a value of a type has at least, where it is not one."""


class Undecodable(Exception):
    """Raised for a schema that cannot be used, and for a value that is not of its schema."""


@dataclass(slots=True)
class Schema:
    """A schema that a library has parsed, and its length as text; deep where values nest without end."""

    parsed: Any
    is_deep: bool = False
    size: int = 0


def library(extra: str) -> Any:
    """Return the package that reads and writes Avro; `extra` is what to install for it."""
    try:
        return import_module("fastavro")
    except ImportError as error:
        raise DefinitionError(
            f"Avro needs fastavro ({error}); install it with: pip install 'halflap[{extra}]'"
        ) from None


def parse(document: Any, named: dict[str, Any], extra: str) -> Schema:
    """Return a schema, given as JSON; what it names is added to `named`.

    `Undecodable` where it is none, or where a value of few bytes could hold any number of others.
    """
    library(extra)
    refuse_long_namespaces(document)
    try:
        # Not the one in C: from a thread, that would hold up all others.
        parsed = import_module("fastavro._schema_py").parse_schema(document, named_schemas=named)
        survey = _Survey(named)
        survey.least(parsed, 0)
    except DefinitionError:
        raise
    except RecursionError:
        raise Undecodable("its schema has too many levels") from None
    except Exception as error:  # a library's many kinds
        raise Undecodable(f"its schema cannot be read: {str(error)[:300]}") from error
    return Schema(parsed, survey.is_deep)


def refuse_long_namespaces(document: Any) -> None:
    """Raise `Undecodable` for a schema whose namespace makes names many times as long as its text."""
    rest: list[Any] = [document]
    while rest:
        each = rest.pop()
        if isinstance(each, list):
            rest += cast("list[Any]", each)
        elif isinstance(each, dict):
            members = cast("dict[str, Any]", each)
            own = str(members.get("name", "")).rpartition(".")[0]
            if max(len(own), len(str(members.get("namespace", "")))) > MOST_NAMESPACE:
                raise Undecodable(
                    f"its schema has a namespace of more than {MOST_NAMESPACE:,} characters"
                )
            rest += members.values()


@dataclass(slots=True)
class _Survey:
    """A walk over a schema: how few bytes its values may have, and how deep they are."""

    named: Mapping[str, Any]
    is_deep: bool = False
    known: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    within: set[str] = field(default_factory=set[str])

    def least(self, kind: Any, level: int) -> tuple[int, int]:
        """Return the least bytes of a value, and how many values there are in it for none."""
        self.is_deep |= level > MOST_LEVELS
        if isinstance(kind, list):
            found = [self.least(each, level + 1) for each in cast("list[Any]", kind)]
            return 1, max((free for _, free in found), default=0)
        if isinstance(kind, dict):
            document = cast("dict[str, Any]", kind)
            type, name = document["type"], document.get("name")
            if type in ("array", "map"):
                return self._many(document["items" if type == "array" else "values"], type, level)
            if type == "fixed":
                return int(document["size"]), 1
            if type in ("record", "error", "request"):
                return self._record(str(name), document["fields"], level)
            return (1, 0) if type == "enum" else self.least(type, level + 1)
        if kind in self.named:
            self.is_deep |= kind in self.within
            if kind not in self.known:
                return self.least(self.named[kind], level + 1)
            return self.known[kind]
        least = LEAST.get(str(kind), 1)
        return least, int(not least)

    def _many(self, items: Any, type: str, level: int) -> tuple[int, int]:
        least, free = self.least(items, level + 1)
        least += type == "map"
        if not least or free > 2 * least + 8:
            raise Undecodable(f"its schema has an {type} of what has no bytes")
        return 1, 0

    def _record(self, name: str, fields: list[Any], level: int) -> tuple[int, int]:
        if name in self.known:
            return self.known[name]
        self.known[name] = 1, 0  # as far as itself is concerned, where it is met within
        self.within.add(name)
        found = [self.least(each["type"], level + 1) for each in fields]
        self.within.discard(name)
        self.known[name] = sum(each for each, _ in found), 1 + sum(free for _, free in found)
        if self.known[name][1] > 2 * self.known[name][0] + 1_000:
            raise Undecodable("its schema has a record of too many fields that have no bytes")
        return self.known[name]


def read(value: bytes, schema: Schema, start: int = 0) -> Any:
    """Return a value as JSON has it, from a place on to the end; bytes are in base64 there.

    `Undecodable` where it is not of its schema, or too much.
    """
    name = "fastavro._read_py" if schema.is_deep else "fastavro"
    stream = io.BytesIO(value)
    stream.seek(start)
    try:
        found = import_module(name).schemaless_reader(stream, schema.parsed, None)
        left = len(value) - stream.tell()
        plain = _Plain().of(found)
    except (Undecodable, MemoryError):
        raise
    except Exception as error:  # a library's many kinds, and none of ours
        why = str(error)[:300] or type(error).__name__
        raise Undecodable(f"it does not fit its schema: {why}") from error
    if left:
        raise Undecodable(f"{left} bytes follow what its schema says")
    return plain


@dataclass(slots=True)
class _Plain:
    """A walk over what was read, which ends where it is too long as JSON."""

    left: int = MOST_TEXT

    def of(self, value: Any) -> Any:
        """Return a value as JSON has it."""
        match value:
            case dict():
                fields = cast("dict[str, Any]", value)
                self._take(sum(map(len, fields)) + 4 * len(fields))
                return {name: self.of(each) for name, each in fields.items()}
            case list():
                self._take(2)
                return [self.of(each) for each in cast("list[Any]", value)]
            case bytes():
                self._take(len(value) * 4 // 3)
                return base64.b64encode(value).decode()
            case str():
                self._take(len(value))
                return value
            case datetime() | date() | time():
                return value.isoformat().replace("+00:00", "Z")
            case uuid.UUID():
                return str(value)
            case Decimal() | float() | int() | None:
                self._take(4)
                return value
            case _:  # a duration, say
                return str(value)

    def _take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise Undecodable(f"it has more than {MOST_TEXT:,} characters as JSON")
