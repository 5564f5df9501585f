"""Columns of many rows, as one parameter each: `… FROM unnest(%s, %s, …)`.

Each has one type, whatever is in it, so that a statement is prepared once. A statement that takes several
names them in `Columns`, once for its SQL and for its values.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format
from psycopg.types.numeric import Int8, Int8BinaryDumper

_SIZE = struct.Struct("!i").pack
_NULL = _SIZE(-1)
_TEXT, _TEXTS = 25, 1009
_BYTEA, _BYTEAS = 17, 1001
_INT8, _INT8S = 20, 1016


class Texts:
    """A column of texts that hold no NUL: ids, names, states; as `text[]`."""

    __slots__ = ("values",)

    def __init__(self, values: Iterable[str | None]) -> None:
        self.values = list(values)


class Blobs:
    """A column of bytes, as `bytea[]`."""

    __slots__ = ("values",)

    def __init__(self, values: Iterable[bytes | None]) -> None:
        self.values = list(values)


class Numbers:
    """A column of whole numbers, as `bigint[]`."""

    __slots__ = ("values",)

    def __init__(self, values: Iterable[int | None]) -> None:
        self.values = list(values)


Column = Texts | Blobs | Numbers
_KINDS: dict[str, type[Column]] = {"text": Texts, "bytea": Blobs, "bigint": Numbers}


class Columns:
    """Columns that a statement takes of many rows: `Columns("id text, failure bytea, at bigint")`."""

    def __init__(self, spec: str) -> None:
        columns = [each.split() for each in spec.split(", ")]
        self._kinds = [_KINDS[kind] for _, kind in columns]
        self.names = ", ".join(name for name, _ in columns)
        """The names, as in `INSERT INTO t (…)`."""
        self.unnest = f"unnest({', '.join(f'%s::{kind}[]' for _, kind in columns)})"
        """The rows as a function; with its names, see `rows`."""
        self.rows = f"{self.unnest} AS w ({self.names})"
        """The rows as a table `w`, as in `… FROM …`."""

    def of(self, rows: Iterable[Sequence[Any]]) -> tuple[Column, ...]:
        """Return rows as the parameters of a statement."""
        values = list(zip(*rows, strict=True)) or [()] * len(self._kinds)
        return tuple([kind(each) for kind, each in zip(self._kinds, values, strict=True)])


class _TextsDumper(Dumper):
    format = Format.BINARY
    oid = _TEXTS

    def dump(self, obj: Any) -> Buffer | None:
        return _array([None if v is None else v.encode() for v in obj.values], _TEXT)


class _BlobsDumper(Dumper):
    format = Format.BINARY
    oid = _BYTEAS

    def dump(self, obj: Any) -> Buffer | None:
        return _array(obj.values, _BYTEA)


class _NumbersDumper(Dumper):
    format = Format.BINARY
    oid = _INT8S

    def dump(self, obj: Any) -> Buffer | None:
        values: list[int | None] = obj.values
        if None in values:
            packed = [None if v is None else struct.pack("!q", v) for v in values]
            return _array(packed, _INT8)
        size = len(values)
        flat = [part for value in values for part in (8, value)]
        return _head(size, _INT8) + struct.pack("!" + "iq" * size, *flat)


class _IntDumper(Int8BinaryDumper):
    def dump(self, obj: Any) -> Buffer | None:
        return super().dump(Int8(obj))


def register(connection: psycopg.AsyncConnection[Any] | psycopg.Connection[Any]) -> None:
    """Let a connection take columns, and take every whole number as a `bigint`."""
    adapters = connection.adapters
    adapters.register_dumper(Texts, _TextsDumper)
    adapters.register_dumper(Blobs, _BlobsDumper)
    adapters.register_dumper(Numbers, _NumbersDumper)
    adapters.register_dumper(int, _IntDumper)


def _head(size: int, oid: int) -> bytes:
    if size == 0:
        return struct.pack("!iiI", 0, 0, oid)
    return struct.pack("!iiIii", 1, 1, oid, size, 1)


def _array(values: list[bytes | None], oid: int) -> bytes:
    parts = [_head(len(values), oid)]
    for each in values:
        if each is None:
            parts.append(_NULL)
        else:
            parts += (_SIZE(len(each)), each)
    return b"".join(parts)
