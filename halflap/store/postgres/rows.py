"""Values as the journal's rows keep them, and back: bytes for what is not searched in."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from halflap.model import ONCE, Event, Execution, FlowKey, LogLine, Order, Record
from halflap.store import reading
from halflap.store.protocol import Attempt
from halflap.store.recording import encode_failure, text
from halflap.store.rules.order import order_of

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_raws = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_lines = msgspec.msgpack.Decoder(list[tuple[int, msgspec.Raw]]).decode

EXECUTION = (
    "id, customer, instance, integration, flow, version, revision, state, attempt, root,"
    " replay_of, record_key, accepted_at, started_at, failure, duplicates, order_scope, order_key,"
    " order_rule, parent, replay, chain, link"
)
LIVE = (
    f"{EXECUTION}, due_at, waiting_for, NULL::bigint, ''::bytea, NULL::bytea, false, false,"
    " NULL::text, ran, held"
)
_ENDED = f"{EXECUTION}, NULL::bigint, ''::bytea, ended_at, reason, result"
LETTER = f"{_ENDED}, false, false, cause, ran, 0::bigint"
HISTORY = f"{_ENDED}, state = 'failed', body IS NULL, cause, ran, 0::bigint"


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
    return Execution(
        id=row[0],
        flow=FlowKey(*row[1:7]),
        state=row[7],
        attempt=row[8],
        root=row[9],
        replay_of=row[10],
        key=plain(row[11]),
        accepted_at=row[12],
        started_at=row[13],
        failure=reading.failure(row[14]),
        duplicates=row[15],
        order=order(row[16], row[17], row[18]),
        parent=row[19],
        replay=reading.replay(row[20]),
        chain=row[21],
        link=row[22],
        due_at=row[23],
        waiting_for=row[24].decode().removesuffix(ONCE),
        ended_at=row[25],
        reason=row[26].decode(),
        result=row[27],
        dismissed=row[28],
        payload_removed=row[29],
        cause=row[30],
        ran=row[31],
        held=row[32],
    )


def order(scope: bytes | None, key: bytes | None, rule: str | None) -> Order | None:
    """The order that an execution was started in, where it has one."""
    return order_of(plain(scope), plain(key), rule)


def plain(data: bytes | None) -> str | None:
    """A text that was kept as bytes."""
    return None if data is None else data.decode()


def kept(value: str | None) -> bytes | None:
    """A text as the bytes that are kept of it."""
    return None if value is None else value.encode()
