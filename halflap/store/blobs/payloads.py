"""The payloads of a journal: what is large goes to the blob store, and comes back when it is read.

A payload is noted in the store, then written to the blob store, then its row is committed with a
reference in its place; each step is durable before the next. So a crash leaves at most a noted blob
whose execution never came, and that is swept up after a day. Blobs are never shared: a replay has
copies, and so none is removed that somebody else needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Sequence,
)
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import replace
from itertools import chain, repeat
from operator import attrgetter
from typing import Any, Literal

import anyio.to_thread
import structlog

from halflap.errors import BlobLost, NotFound, Removed, StoreError
from halflap.model import (
    Blob,
    Clock,
    Continuation,
    Event,
    Execution,
    LogLine,
    Micros,
    Outcome,
    Record,
    Start,
)
from halflap.store.blobs.blob import (
    MARK,
    BlobStore,
    Checked,
    hasher,
    is_reference,
    new_key,
    reference,
    referred,
)
from halflap.store.blobs.nowhere import Nowhere
from halflap.store.blobs.register import Note, Part, Register
from halflap.store.protocol import Accepted, Claim, Lease, Release, Written
from halflap.store.retention import DAY

log = structlog.get_logger("halflap.store")

GRACE: Micros = DAY
"""The time that a blob may be there before the execution that it belongs to."""
LONG_TO_HASH = 256 * 1024
"""Payloads of more bytes are hashed in a thread, where the interpreter's lock is free."""
LONGEST_SECONDS = 3_600.0
"""Seconds that writing the blobs of one write may take: far less than `GRACE`."""
LATER: Micros = 30_000_000
WHOLE = 8 * 1024 * 1024
"""The largest body that is held in memory."""
SWEPT_AT_ONCE = 100
LOOKED_AT = 1_000
"""The number of blobs that each sweep inspects."""


Releasing = Callable[[Lease, Sequence[Record], Sequence[LogLine], Release], Awaitable[Written]]
"""Releases an execution, as the journal does."""


class Payloads:
    """The payloads of a journal, of which those of more than `over` bytes are in the blob store."""

    def __init__(
        self,
        blobs: BlobStore,
        register: Register,
        clock: Clock,
        *,
        over: int = sys.maxsize,
        whole: int = WHOLE,
    ) -> None:
        """Bodies of more than `whole` bytes are never loaded: an event has them as `large`."""
        self.blobs = blobs
        self._register = register
        self._clock = clock
        self._over = over
        self._whole = whole
        self._loads = True
        self._fresh: set[str] = set()
        self._swept_to = ""

    @property
    def is_apart(self) -> bool:
        """True if there is a blob store."""
        return not isinstance(self.blobs, Nowhere)

    def unloaded(self) -> Payloads:
        """Return these payloads, which stay references where they are large."""
        found = copy(self)
        found._loads = False
        return found

    # -- in -------------------------------------------------------------------------------------

    async def keep_starts(self, starts: Sequence[Start]) -> tuple[Sequence[Start], Sequence[Start]]:
        """Keep the payloads of starts; return these, and the same with references to what is large.

        A large body that a start has is its own: that of a replay is copied.
        """
        for each in starts:
            if self.is_large(each.event.body) or each.copied or each.event.large:
                break
        else:
            return starts, starts
        starts = [await self._own(each) for each in starts]
        outgoing = _Outgoing(self)
        await outgoing.hash([(each.flow.customer, each.event.body) for each in starts])
        kept = [self._start(each, outgoing) for each in starts]
        await outgoing.write()
        return starts, kept

    @asynccontextmanager
    async def withdrawn(self, kept: Sequence[Start]) -> AsyncGenerator[None]:
        """Remove the bodies of starts where they are refused, as their customer was erased meanwhile."""
        try:
            yield
        except NotFound:
            for each in kept:
                if is_reference(each.event.body):
                    await self.discard(referred(each.event.body))
            raise

    def accepted(
        self, starts: Sequence[Start], kept: Sequence[Start], answers: list[Accepted]
    ) -> list[Accepted]:
        """Return the answers to starts, whose claims have the payloads that were given."""
        if kept is starts:
            return answers
        self._fresh -= {
            referred(each.event.body).key for each in kept if is_reference(each.event.body)
        }
        whole = {each.execution: each for each in starts}
        return [
            each
            if each.claim is None
            else replace(each, claim=_as_it_came(each.claim, whole[each.execution]))
            for each in answers
        ]

    async def keep(
        self, lease: Lease, records: Sequence[Record], logs: Sequence[LogLine]
    ) -> tuple[Sequence[Record], Sequence[LogLine]]:
        """Keep what is large of records and log lines; return these with references to it."""
        if self.is_large(*_payloads(records, logs)):
            records, logs, _ = await self._kept(lease, records, logs, None)
        return records, logs

    async def keep_end(
        self,
        lease: Lease,
        records: Sequence[Record],
        logs: Sequence[LogLine],
        outcome: Outcome,
        next: Continuation | None,
    ) -> tuple[Sequence[Record], Sequence[LogLine], Outcome, Continuation | None]:
        """Keep what is large of an end; return it with references."""
        if next is not None and self.is_large(next.start.event.body):
            outgoing = _Outgoing(self)
            next = replace(next, start=self._start(next.start, outgoing))
            await outgoing.write()
        if self.is_large(outcome.result, *_payloads(records, logs)):
            records, logs, result = await self._kept(lease, records, logs, outcome.result)
            outcome = replace(outcome, result=result)
        return records, logs, outcome, next

    async def receive(
        self, customer: str, execution: str, chunks: AsyncIterable[bytes], size: int = 0
    ) -> Blob:
        """Write a body as it comes, for an execution that is about to be accepted with it.

        What is raised while it comes leaves nothing. `size` is what its sender says of it.
        """
        key = new_key(customer)
        await self._register.note([Note(key, execution, "event", size)])
        digest, total = hasher(key), 0

        async def passed() -> AsyncIterator[bytes]:
            nonlocal total
            async for chunk in chunks:
                digest.update(chunk)
                total += len(chunk)
                yield chunk

        try:
            await self.blobs.write(key, passed())
        except BaseException:
            await asyncio.shield(self._drop(key))
            raise
        self._fresh.add(key)
        return Blob(key, total, digest.digest())

    async def discard(self, blob: Blob) -> None:
        """Remove a body that was received, and is not accepted."""
        self._fresh.discard(blob.key)
        await self._drop(blob.key)

    # -- out ------------------------------------------------------------------------------------

    async def load_claims(self, claims: list[Claim], release: Releasing) -> list[Claim]:
        """Return claims with their payloads; release those whose payloads cannot be read for now."""
        if not any(_refers(each.start.event, each.history) for each in claims):
            return claims
        found = await asyncio.gather(*[self._handed_out(each, release) for each in claims])
        return [each for each in found if each is not None]

    async def load_result(self, execution: Execution) -> Execution:
        """Return an execution with its result."""
        if not self._is_apart(execution.result):
            return execution
        return replace(
            execution, result=await self._value(execution.result, execution.id, "result")
        )

    def without_large(self, executions: list[Execution]) -> list[Execution]:
        """Return executions without results that are large: ask for the execution itself."""
        return [replace(e, result=None) if self._is_apart(e.result) else e for e in executions]

    async def load_event(self, event: Event, execution: str) -> Event:
        """Return an event with its body, unless that is too large for memory."""
        if not self._is_apart(event.body):
            return event
        blob = referred(event.body)
        if blob.size > self._whole:
            return replace(event, body=b"", large=blob)
        return replace(event, body=await self._value(event.body, execution, "event"))

    async def load_steps(self, records: Iterable[Record], execution: str) -> list[Record]:
        """Return steps with their inputs and results."""
        return [await self._record(each, execution) for each in records]

    async def load_lines(
        self, lines: Iterable[tuple[int, LogLine]], execution: str
    ) -> list[tuple[int, LogLine]]:
        """Return log lines with their fields."""
        return [(number, await self._line(line, execution)) for number, line in lines]

    async def read(
        self, blob: Blob, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """A payload in chunks. Whole, it is checked: what is not as it was kept is `BlobLost`."""
        async for chunk in Checked(self.blobs).read(blob, start, end):
            yield chunk

    # -- away -----------------------------------------------------------------------------------

    async def sweep(self) -> int:
        """Remove blobs whose payload was removed, or whose execution was or never came.

        Looks at some of them, and the next time at the next ones; returns how many went.
        """
        if not self.is_apart:
            return 0
        page = await self._register.page(self._swept_to, LOOKED_AT)
        self._swept_to = page[-1].key if len(page) == LOOKED_AT else ""
        young = self._clock() - GRACE
        keys = [
            each.key
            for each in page
            if each.needed is False or (each.needed is None and each.at < young)
        ]
        for at in range(0, len(keys), SWEPT_AT_ONCE):
            some = keys[at : at + SWEPT_AT_ONCE]
            await self.blobs.delete(some)
            await self._register.forget(some)
        return len(keys)

    async def blobs_of(self, customer: str) -> int:
        """Return the number of a customer's blobs."""
        return await self._register.count(customer)

    async def erase_blobs(self, customer: str, limit: int) -> int:
        """Remove up to `limit` blobs of a customer, known or not; returns how many."""
        if keys := await self._register.of_customer(customer, limit):
            await self.blobs.delete(keys)
            await self._register.forget(keys)
            return len(keys)
        unknown: list[str] = []
        async for each in self.blobs.keys(customer):
            unknown.append(each)
            if len(unknown) == limit:
                break
        if unknown:
            await self.blobs.delete(unknown)
        return len(unknown)

    # -- how ------------------------------------------------------------------------------------

    def is_large(self, *payloads: bytes | None) -> bool:
        """Return whether a payload, or any of several, belongs in the blob store."""
        found = [*filter(None, payloads)]
        return max(map(len, found), default=0) > self._over or any(
            map(bytes.startswith, found, repeat(MARK))
        )

    def _start(self, start: Start, outgoing: _Outgoing) -> Start:
        event, customer = start.event, start.flow.customer

        def keep(data: bytes | None, part: Part) -> Any:
            return outgoing.keep(customer, start.execution, data, part)

        body = keep(event.body, "event") if event.large is None else reference(event.large)
        return replace(
            start,
            event=replace(event, body=body, large=None),
            copied=tuple(_each(record, keep) for record in start.copied),
        )

    async def _own(self, start: Start) -> Start:
        """A start whose large body is its own: that of a replay is a copy."""
        large = start.event.large
        if large is None or large.key in self._fresh:
            return start
        copy = await self.receive(
            start.flow.customer, start.execution, self.read(large), large.size
        )
        return replace(start, event=replace(start.event, large=copy))

    async def _drop(self, key: str) -> None:
        with contextlib.suppress(StoreError):  # what stays is swept up
            await self.blobs.delete([key])
            await self._register.forget([key])

    async def _kept(
        self,
        lease: Lease,
        records: Sequence[Record],
        logs: Sequence[LogLine],
        result: bytes | None,
    ) -> tuple[list[Record], list[LogLine], bytes | None]:
        customer = await self._register.customer(lease.execution)
        if customer is None:  # gone: its journal says the same, as a lost fence
            return list(records), list(logs), result
        outgoing = _Outgoing(self)

        def keep(data: bytes | None, part: Part) -> Any:
            return outgoing.keep(customer, lease.execution, data, part)

        payloads = (*_payloads(records, logs), result)
        await outgoing.hash([(customer, each) for each in payloads if each is not None])
        kept = [_each(record, keep) for record in records]
        lines = [replace(line, fields=keep(line.fields, "log")) for line in logs]
        outcome = keep(result, "result")
        await outgoing.write()
        return kept, lines, outcome

    async def _handed_out(self, claim: Claim, release: Releasing) -> Claim | None:
        start = claim.start
        try:
            event = await self.load_event(start.event, start.execution)
            history = await self.load_steps(claim.history, start.execution)
        except BlobLost as error:
            return replace(claim, lost=error.message)
        except StoreError as error:  # the blob store is away: it may be back soon
            log.warning("not run yet", execution=start.execution, error=error.message)
            await release(claim.lease, (), (), Release("later", self._clock() + LATER))
            return None
        return replace(claim, start=replace(start, event=event), history=tuple(history))

    def _is_apart(self, data: bytes | None) -> bool:
        return self._loads and is_reference(data)

    async def _record(self, record: Record, execution: str) -> Record:
        inputs, result = record.inputs, record.result
        if not (self._is_apart(inputs) or self._is_apart(result)):
            return record
        return replace(
            record,
            inputs=await self._value(inputs, execution, "inputs", record.path),
            result=await self._value(result, execution, "result", record.path),
        )

    async def _line(self, line: LogLine, execution: str) -> LogLine:
        if not self._is_apart(line.fields):
            return line
        return replace(line, fields=await self._value(line.fields, execution, "log"))

    async def _value(
        self,
        data: Any,
        execution: str,
        part: Literal["event", "inputs", "result", "log"],
        step: str = "",
    ) -> Any:
        if not is_reference(data):
            return data
        try:
            return b"".join([chunk async for chunk in self.read(referred(data))])
        except BlobLost as error:
            if (removed := await self.removed(execution)) is not None:
                raise removed from error
            whose = f"{execution}, step {step}" if step else execution
            raise BlobLost(what=f"the {part} of {whose}", where=error.where) from error

    async def removed(self, execution: str) -> Removed | None:
        """Return the error for a blob that is not there because its execution's payload was removed."""
        instance = await self._register.removed_of(execution)
        if instance is None:
            return None
        return Removed(
            f"the payload of {execution} was removed, as the retention of {instance} says "
            "(halflap instances retention)"
        )

    async def put(self, notes: Sequence[Note], writes: Sequence[Awaitable[None]]) -> None:
        """Note blobs, then write them."""
        began = time.monotonic()
        await self._register.note(notes)
        await asyncio.gather(*writes)
        if time.monotonic() - began > LONGEST_SECONDS:
            raise StoreError(f"{self.blobs.where}: writing a payload took too long; it is not kept")


class _Outgoing:
    """The large payloads of one write to the journal, on their way to the blob store."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads
        self._notes: list[Note] = []
        self._data: list[bytes] = []
        self._hashed: dict[int, tuple[str, bytes]] = {}

    async def hash(self, payloads: Sequence[tuple[str, bytes]]) -> None:
        """Hash customers' payloads in a thread where they are long: others go on meanwhile."""
        for customer, data in payloads:
            if len(data) > LONG_TO_HASH:
                key = new_key(customer)
                digest = await anyio.to_thread.run_sync(digest_of, key, data)
                self._hashed[id(data)] = key, digest

    def keep(self, customer: str, execution: str, data: bytes | None, part: Part) -> Any:
        """Return the row's value for a payload: itself, or a reference to it."""
        if data is None or not self._payloads.is_large(data):
            return data
        key, digest = self._hashed.pop(id(data), ("", b""))
        if not key:
            key = new_key(customer)
            digest = digest_of(key, data)
        self._notes.append(Note(key, execution, part, len(data)))
        self._data.append(data)
        return reference(Blob(key, len(data), digest))

    async def write(self) -> None:
        if self._notes:
            write = self._payloads.blobs.write
            pairs = zip(self._notes, self._data, strict=True)
            await self._payloads.put(
                self._notes, [write(note.key, _one(data)) for note, data in pairs]
            )


def _payloads(records: Sequence[Record], logs: Sequence[LogLine]) -> list[bytes | None]:
    of_records = chain.from_iterable(map(attrgetter("inputs", "result"), records))
    return [*of_records, *map(attrgetter("fields"), logs)]


def _each(record: Record, keep: Any) -> Record:
    return replace(record, inputs=keep(record.inputs, "step"), result=keep(record.result, "step"))


def _as_it_came(claim: Claim, start: Start) -> Claim:
    """A claim with the payloads that were given, not with references to them."""
    return replace(claim, start=start, history=start.copied)


def _refers(event: Event, history: Sequence[Record]) -> bool:
    return is_reference(event.body) or any(
        is_reference(each.result) or is_reference(each.inputs) for each in history
    )


def digest_of(key: str, data: bytes) -> bytes:
    """Return the digest of a payload that is stored by a key."""
    digest = hasher(key)
    digest.update(data)
    return digest.digest()


async def _one(data: bytes) -> AsyncIterator[bytes]:
    yield data
