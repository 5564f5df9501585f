"""Payloads for people to look at: the beginning of what is large, and a word for what is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from copy import copy
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from halflap.errors import BlobLost, NotFound
from halflap.model import Blob, Event, Execution, LogLine, Record
from halflap.store.blobs.blob import is_reference, referred
from halflap.store.blobs.payloads import Payloads
from halflap.store.history import missing
from halflap.store.protocol import Journal

MOST = 1024 * 1024
"""Payloads up to this size are shown as any other; of larger ones, the beginning."""
BEGINNING = 16 * 1024
BODY = 256 * 1024


@dataclass(frozen=True, slots=True)
class EventExcerpt:
    """An event with as much of its body as is shown, its body's size, and why that is not there."""

    event: Event
    size: int
    lost: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a payload, to be read in parts."""

    data: bytes
    payloads: Payloads

    @property
    def size(self) -> int:
        """The number of bytes."""
        return referred(self.data).size if is_reference(self.data) else len(self.data)

    async def read(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """From `start` to `end` (exclusive), in chunks; `BlobLost` where it is not there."""
        if not is_reference(self.data):
            yield self.data[start:end]
            return
        async for chunk in self.payloads.read(referred(self.data), start, end):
            yield chunk


def unloaded(journal: Journal) -> Journal:
    """Return a journal whose large payloads stay references."""
    found = copy(journal)
    found.payloads = journal.payloads.unloaded()
    return found


class Viewing:
    """Reads executions of a journal to be shown, without loading what is large."""

    def __init__(self, journal: Journal) -> None:
        self._payloads = journal.payloads
        self._journal = unloaded(journal)

    async def execution(self, execution: str) -> Execution | None:
        """As the journal's; a large result is a word about it."""
        found = await self._journal.execution(execution)
        if found is None or not is_reference(found.result):
            return found
        return replace(found, result=await self._value(found.result, execution))

    async def event(self, execution: str) -> EventExcerpt | None:
        """An event, with the beginning of its body where that is large."""
        event = await self._journal.event(execution)
        if event is None or not is_reference(event.body):
            return None if event is None else EventExcerpt(event, len(event.body))
        blob = referred(event.body)
        try:
            body = await self._beginning(blob, BODY + 1)
        except BlobLost as error:
            why = await self._payloads.removed(execution) or error
            return EventExcerpt(replace(event, body=b""), blob.size, why.message)
        return EventExcerpt(replace(event, body=body), blob.size)

    async def steps(self, execution: str) -> list[Record]:
        """As the journal's; what is large is a word about it."""
        return [
            replace(
                each,
                inputs=await self._value(each.inputs, execution),
                result=await self._value(each.result, execution),
            )
            if is_reference(each.inputs) or is_reference(each.result)
            else each
            for each in await self._journal.steps(execution)
        ]

    async def step_page(self, execution: str, after: int | None, limit: int) -> list[Record]:
        """Return up to `limit` steps behind one; what is large stays a reference."""
        return await self._journal.steps(execution, after=after, limit=limit)

    async def logs(self, execution: str, after: int, limit: int) -> list[tuple[int, LogLine]]:
        """As the journal's; what is large is a word about it."""
        return [
            (number, replace(line, fields=await self._value(line.fields, execution) or b""))
            for number, line in await self._journal.logs(execution, after, limit)
        ]

    async def content(
        self,
        execution: str,
        part: Literal["body", "result", "inputs"],
        step: str | None = None,
    ) -> Content:
        """A payload whole: an event's body, a flow's result, a step's inputs or result."""
        data: bytes | None
        if part == "body":
            event = await self._journal.event(execution)
            data = None if event is None else event.body
        elif step is None:
            found = await self._journal.execution(execution)
            if found is None:
                raise missing(execution)
            data = found.result
        else:
            steps = [e for e in await self._journal.steps(execution) if e.path == step]
            if not steps:
                raise NotFound(f"{execution} has no step {step!r}, or it is no longer kept")
            data = steps[0].inputs if part == "inputs" else steps[0].result
        if data is None:
            raise NotFound(f"{execution} has no {part}, or it is no longer kept")
        return Content(data, self._payloads)

    async def _value(self, data: bytes | None, execution: str) -> bytes | None:
        if data is None or not is_reference(data):
            return data
        blob = referred(data)
        try:
            if blob.size <= MOST:
                return await self._beginning(blob, None)
            beginning = (await self._beginning(blob, BEGINNING)).decode(errors="replace")
        except BlobLost as error:
            why = await self._payloads.removed(execution) or error
            return msgspec.json.encode({"$lost": {"size": blob.size, "note": why.message}})
        note = f"cut: these are the first {BEGINNING:,} of {blob.size:,} bytes"
        cut = {"size": blob.size, "beginning": beginning, "note": note}
        return msgspec.json.encode({"$cut": cut})

    async def _beginning(self, blob: Blob, size: int | None) -> bytes:
        return b"".join([chunk async for chunk in self._payloads.read(blob, 0, size)])
