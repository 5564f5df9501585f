"""Values as the journal's rows keep them, and back: bytes for what is not searched in."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from halflap.model import Event, Execution, LogLine, Record
from halflap.store import reading
from halflap.store.postgres.columns import Column, Columns
from halflap.store.protocol import Attempt
from halflap.store.recording import encode_failure, text

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_raws = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_lines = msgspec.msgpack.Decoder(list[tuple[int, msgspec.Raw]]).decode

TEXTS = reading.places(reading.COLUMNS, "record_key reason waiting_for order_scope order_key")
"""The places of `reading.COLUMNS` that are text, and bytes here."""


def _columns(**others: str) -> str:
    """Return the columns of an execution, some of which its table has otherwise, or lacks."""
    return ", ".join(others.get(each, each) for each in reading.COLUMNS.split(", "))


LIVE = _columns(
    ended_at="NULL::bigint",
    reason="''::bytea",
    result="NULL::bytea",
    dismissed="false",
    removed="false",
    cause="NULL::text",
)
_ENDED = {"due_at": "NULL::bigint", "waiting_for": "''::bytea", "held": "0::bigint"}
LETTER = _columns(**_ENDED, dismissed="false", removed="false")
HISTORY = _columns(**_ENDED, dismissed="state = 'failed'", removed="body IS NULL")


STEPS = Columns("execution text, path bytea, seq bigint, status text, data bytea")


@dataclass(frozen=True, slots=True)
class StepRow:
    """A record as its row."""

    path: bytes
    seq: int
    status: str
    data: bytes

    @property
    def final(self) -> bool:
        """True if it never changes."""
        return self.status != "retrying" and self.seq >= 0


def columns_of(steps: Iterable[tuple[str, StepRow]]) -> tuple[Column, ...]:
    """Return steps, each with its execution, as the values of `STEPS`."""
    return STEPS.of((id, each.path, each.seq, each.status, each.data) for id, each in steps)


def step(record: Record) -> StepRow:
    """A record's row; raises where one cannot be made of it."""
    seq = operator.index(record.seq)
    data = _encode(
        (
            seq,
            record.path,
            record.kind,
            record.name,
            text(record.title),
            record.status,
            record.started_at,
            record.ended_at,
            record.inputs,
            record.result,
            encode_failure(record.failure),
            record.tries,
            record.pure,
        )
    )
    return StepRow(record.path.encode(), seq, record.status, data)


def record(data: bytes | msgspec.Raw) -> Record:
    """A record from its row's `data`."""
    row: list[Any] = _decode(data)
    row[10] = reading.failure(row[10])
    return Record(*row)


def line(each: LogLine) -> bytes:
    """A log line's `data`."""
    return _encode((each.at, each.level, text(each.message), each.fields, each.step))


def log_line(data: bytes | msgspec.Raw) -> LogLine:
    """A log line from its `data`."""
    return LogLine(*_decode(data))


def pack_steps(steps: Iterable[StepRow]) -> bytes:
    """All steps of an execution that ended, in their order."""
    return _encode([msgspec.Raw(each.data) for each in sorted(steps, key=lambda step: step.seq)])


def unpack_steps(data: bytes) -> list[Record]:
    return [record(each) for each in _raws(data)]


def pack_lines(lines: Sequence[tuple[int, bytes]]) -> bytes:
    """All log lines of an execution that ended, with their numbers."""
    return _encode([(number, msgspec.Raw(each)) for number, each in lines])


def unpack_lines(data: bytes) -> list[tuple[int, LogLine]]:
    return [(number, log_line(each)) for number, each in _lines(data)]


def without_payload(steps: bytes) -> bytes:
    """Return packed steps without their inputs and results."""
    found: list[list[Any]] = _decode(steps)
    return _encode([[*each[:8], None, None, *each[10:]] for each in found])


def without_fields(lines: bytes) -> bytes:
    """Return packed log lines without their fields."""
    found: list[tuple[int, list[Any]]] = _decode(lines)
    return _encode([(number, [*each[:3], b"", *each[4:]]) for number, each in found])


def pack_attempts(rows: Sequence[Sequence[Any]]) -> bytes:
    """All attempts of an execution that ended: number, started_at, ended_at, how, failure."""
    return _encode([tuple(each) for each in rows])


def unpack_attempts(data: bytes) -> list[Attempt]:
    return [attempt(each) for each in _decode(data)]


def attempt(row: Sequence[Any]) -> Attempt:
    """An attempt from number, started_at, ended_at, how, failure."""
    return Attempt(*row[:4], failure=reading.failure(row[4]))


def head(event: Event) -> bytes:
    """Return an event's data beside its body; raise `UnicodeEncodeError` where UTF-8 cannot hold
    it.
    """
    return _encode((event.method, event.path, event.query, event.url, event.headers))


def event(row: Sequence[Any]) -> Event:
    """An event from received_at, part, head, body."""
    received_at, part, data, body = row
    method, path, query, url, headers = _decode(data)
    return Event(
        method=method,
        path=path,
        query=query,
        headers=tuple((name, value) for name, value in headers),
        body=body,
        received_at=received_at,
        url=url,
        part=part,
    )


def execution(row: Sequence[Any]) -> Execution:
    """An execution from `LIVE`, `LETTER` or `HISTORY`."""
    return reading.execution(decoded(row, TEXTS))


def decoded(row: Sequence[Any], texts: Collection[int]) -> list[Any]:
    """Return a row whose texts, in these places, were kept as bytes."""
    return [plain(each) if place in texts else each for place, each in enumerate(row)]


def plain(data: bytes | None) -> str | None:
    """A text that was kept as bytes."""
    return None if data is None else data.decode()


def kept(value: str | None) -> bytes | None:
    """A text as the bytes that are kept of it."""
    return None if value is None else value.encode()
