"""Compare the work of the PostgreSQL drivers asyncpg and psycopg for the journal's batches.

    python -m bench.experiments.postgres_driver postgresql:///test?host=/run/postgresql&user=postgres

Both write the same: in one transaction, 100 executions of ten columns with an event of 900 bytes
each (two `INSERT … SELECT FROM unnest(…)`) and a fenced update that answers a row for each. asyncpg
sends them one after the other; psycopg in a pipeline, its arrays in binary. Each runs alone, three
times in turn, two connections at a time. Printed: rows a second, and the client's CPU a row.
"""

from __future__ import annotations

import asyncio
import statistics
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import asyncpg
import psycopg
from psycopg.adapt import Buffer, Dumper

ROWS = 100
BATCHES = 150
WRITERS = 2
BODY = b"x" * 900
NUMBERS = count()

SCHEMA = """
DROP TABLE IF EXISTS bench_executions, bench_events;
CREATE TABLE bench_executions (id text COLLATE "C" PRIMARY KEY, customer text, instance text,
    integration text, flow text, version text, state text, revision int8, accepted_at int8,
    fence int8);
CREATE TABLE bench_events (execution text COLLATE "C" PRIMARY KEY, head bytea, body bytea,
    received_at int8);
"""
TEXTS = "id, customer, instance, integration, flow, version, state"
INSERT_EXECUTIONS = (
    f"INSERT INTO bench_executions ({TEXTS}, revision, accepted_at, fence) SELECT * FROM unnest("
    "{0}::text[], {1}::text[], {2}::text[], {3}::text[], {4}::text[], {5}::text[], {6}::text[],"
    " {7}::int8[], {8}::int8[], {9}::int8[]) ON CONFLICT DO NOTHING RETURNING id"
)
INSERT_EVENTS = (
    "INSERT INTO bench_events SELECT * FROM unnest("
    "{0}::text[], {1}::bytea[], {2}::bytea[], {3}::int8[])"
)
UPDATE = (
    "UPDATE bench_executions AS e SET fence = e.fence + 1 FROM unnest({0}::text[], {1}::int8[])"
    " AS w (id, fence) WHERE e.id = w.id AND e.fence = w.fence RETURNING e.id"
)
STATEMENTS = (INSERT_EXECUTIONS, INSERT_EVENTS, UPDATE)
DOLLARS = [s.format(*(f"${n}" for n in range(1, 11))) for s in STATEMENTS]
PERCENTS = [s.format(*["%b"] * 10) for s in STATEMENTS]


def batch() -> list[list[list[Any]]]:
    """The columns of the three statements."""
    first = next(NUMBERS) * ROWS
    ids = [f"exe_{number:026d}" for number in range(first, first + ROWS)]
    texts = [[word] * ROWS for word in ("cus_a", "ins_a", "shop", "orders", "v" * 64, "queued")]
    zeros = [0] * ROWS
    return [
        [ids, *texts, [3] * ROWS, [4_000_000_000_000_000] * ROWS, zeros],
        [ids, [b"{}"] * ROWS, [BODY] * ROWS, [1] * ROWS],
        [ids, zeros],
    ]


async def with_asyncpg(url: str) -> Callable[[], Awaitable[None]]:
    connection: Any = await asyncpg.connect(url)
    first, second, third = [await connection.prepare(each) for each in DOLLARS]

    async def write() -> None:
        one, two, three = batch()
        async with connection.transaction():
            inserted = await first.fetch(*one)
            await second.fetch(*two)
            updated = await third.fetch(*three)
        assert len(inserted) == len(updated) == ROWS

    return write


class _Array:
    """A column whose binary form is put together here, not by psycopg's own dumper."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values


class _Texts(_Array):
    pass


class _Blobs(_Array):
    pass


class _Numbers(_Array):
    pass


def _head(size: int, oid: int) -> bytes:
    return struct.pack("!iiIii", 1, 0, oid, size, 1)


class _TextsDumper(Dumper):
    format = psycopg.pq.Format.BINARY
    oid = 1009

    def dump(self, obj: _Texts) -> Buffer:
        pack = struct.Struct("!i").pack
        data = [each.encode() for each in obj.values]
        parts = [part for each in data for part in (pack(len(each)), each)]
        return _head(len(data), 25) + b"".join(parts)


class _BlobsDumper(Dumper):
    format = psycopg.pq.Format.BINARY
    oid = 1001

    def dump(self, obj: _Blobs) -> Buffer:
        pack = struct.Struct("!i").pack
        parts = [part for each in obj.values for part in (pack(len(each)), each)]
        return _head(len(obj.values), 17) + b"".join(parts)


class _NumbersDumper(Dumper):
    format = psycopg.pq.Format.BINARY
    oid = 1016

    def dump(self, obj: _Numbers) -> Buffer:
        size = len(obj.values)
        flat = [part for each in obj.values for part in (8, each)]
        return _head(size, 20) + struct.pack("!" + "iq" * size, *flat)


def wrapped(columns: list[list[Any]]) -> list[_Array]:
    kinds = {str: _Texts, bytes: _Blobs, int: _Numbers}
    return [kinds[type(each[0])](each) for each in columns]


def with_psycopg(own: bool) -> Callable[[str], Awaitable[Callable[[], Awaitable[None]]]]:
    async def connect(url: str) -> Callable[[], Awaitable[None]]:
        connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
        connection.adapters.register_dumper(_Texts, _TextsDumper)
        connection.adapters.register_dumper(_Blobs, _BlobsDumper)
        connection.adapters.register_dumper(_Numbers, _NumbersDumper)

        async def write() -> None:
            columns: list[Any] = batch()
            if own:
                columns = [wrapped(each) for each in columns]
            async with connection.pipeline():
                await connection.execute("BEGIN")
                cursors = [
                    await connection.execute(sql, values, prepare=True, binary=True)
                    for sql, values in zip(PERCENTS, columns, strict=True)
                ]
                await connection.execute("COMMIT")
            assert len(await cursors[0].fetchall()) == len(await cursors[2].fetchall()) == ROWS

        return write

    return connect


async def measure(url: str, connect: Callable[[str], Awaitable[Callable[[], Awaitable[None]]]]):
    writers = [await connect(url) for _ in range(WRITERS)]

    async def work(write: Callable[[], Awaitable[None]]) -> None:
        for _ in range(BATCHES // WRITERS):
            await write()

    for write in writers:
        await write()
    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work(write) for write in writers))
    rows = BATCHES // WRITERS * WRITERS * ROWS
    return rows / (time.perf_counter() - begun), (time.process_time() - cpu) / rows * 1e6


async def main(url: str) -> None:
    admin: Any = await asyncpg.connect(url)
    await admin.execute(SCHEMA)
    drivers: dict[str, Any] = {
        "asyncpg": with_asyncpg,
        "psycopg, pipeline": with_psycopg(own=False),
        "psycopg, pipeline, own arrays": with_psycopg(own=True),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in drivers}
    for _ in range(3):
        for name, connect in drivers.items():
            found[name].append(await measure(url, connect))
    for name, results in found.items():
        rate = statistics.median(each[0] for each in results)
        cpu = statistics.median(each[1] for each in results)
        print(f"{name:32} {rate:8,.0f} rows/s {cpu:6.1f} µs of the client's CPU a row")
    await admin.execute("DROP TABLE bench_executions, bench_events")


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(sys.argv[1]))
