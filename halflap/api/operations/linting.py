"""Lint of a document that is being written: read in a process of its own, neither kept nor run."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from halflap.api.operations.turns import TurnQueue
from halflap.errors import DefinitionError
from halflap.lowcode.code.pool import Lost, Pool, Worker
from halflap.lowcode.code.worker.wire import pack, unpack
from halflap.sdk import codec

if TYPE_CHECKING:
    from halflap.lowcode.assist.queries import Query
    from halflap.sdk.lint import Finding
    from halflap.store.catalogue import Catalogue

AT_ONCE = 2
"""The number of documents that are linted side by side; others wait, so that flows keep their
share.
"""

SECONDS = 20.0
"""After how long the process of a document is ended, from the time that it is ready; its own budget
(`sdk.budget`) is over before.
"""

MOST_ANSWERED = 8 << 20
"""Bytes of findings."""


def command(module: str, main: str = "main") -> tuple[str, ...]:
    """Return the program of a process that runs a module's `main`, with what this one can import."""
    return (
        sys.executable,
        "-c",
        f"import sys; sys.path[:] = {sys.path!r}; from {module} import {main}; {main}()",
    )


LINT = "halflap.lowcode.lint.worker"
UNKNOWN_EVENTS = b"null"


async def declared_for(text: str, catalogue: Catalogue) -> bytes:
    """Return the event types of the product as lint reads them, for a text that may name some."""
    if "app.event" not in text:
        return UNKNOWN_EVENTS
    parts = ("schema", "title", "version", "example")
    found: dict[str, list[dict[str, Any]]] = {}
    for e in await catalogue.event_types.versions():
        found.setdefault(e.name, []).append({each: getattr(e, each) for each in parts})
    return codec.encode(found)


@dataclass(slots=True)
class Linting:
    """Lints documents beside installed components, and others that are described."""

    turns: TurnQueue = field(default_factory=lambda: TurnQueue(AT_ONCE))
    workers: Pool = field(default_factory=lambda: Pool(command=command(LINT)))
    seconds: float = SECONDS

    async def lint(
        self,
        content: bytes,
        file: str,
        own: bytes = b"{}",
        caller: Hashable = None,
        declared: bytes = UNKNOWN_EVENTS,
    ) -> list[Finding]:
        """Return what is wrong with a document, in order of place.

        `own` describes the components of its own, as they were described when they were published;
        `declared` are event types of the product, as `declared_for` gives them.
        Callers have their turns in rotation; one that leaves (its
        task is cancelled) ends its worker's process and frees its place.
        """
        from halflap.lowcode.lint import over_budget

        request = pack("lint", content.decode("latin-1"), file, own.decode(), declared.decode())
        kind, *found = await self._answer(request, caller)
        match kind:
            case "found":
                return read_findings(found[0])
            case "late":
                return [over_budget(file, f"lint took longer than {self.seconds:g} s")]
            case "lost":
                return [over_budget(file, "lint's process ended, perhaps out of memory")]
            case _:
                return [over_budget(file, "lint ran out of memory")]

    async def ask(
        self,
        query: Query,
        text: str,
        file: str,
        own: bytes,
        declared: bytes,
        given: object,
        caller: Hashable = None,
    ) -> Any:
        """Return the answer to a designer's query about a text, beside components that `own` describes.

        Raises `DefinitionError` where there is none, or none in time.
        """
        plain = codec.encode(given).decode()
        request = pack("ask", query, text, file, own.decode(), declared.decode(), plain)
        kind, *found = await self._answer(request, caller)
        match kind:
            case "answered":
                return codec.decode(found[0].encode())
            case "refused":
                raise DefinitionError(found[0])
            case _:
                raise DefinitionError(
                    "this takes too much time or memory; make the document shorter"
                )

    async def _answer(self, request: bytes, caller: Hashable) -> list[Any]:
        """Return a worker's answer; `late` where it takes too long, `lost` where its process ended."""
        async with self.turns.of(caller):
            worker = self.workers.take()
            try:
                await worker.ready()
                async with asyncio.timeout(self.seconds):
                    answer = await _asked(worker, request)
            except TimeoutError:
                self.workers.end(worker)
                return ["late"]
            except Lost:
                self.workers.end(worker)
                return ["lost"]
            except BaseException:
                self.workers.end(worker)
                raise
            self.workers.give(worker)
        return answer


def read_findings(rows: Sequence[Sequence[Any]]) -> list[Finding]:
    """Return the findings that a process sent: see `rows_of`."""
    from halflap.sdk.lint import Finding, Fix

    return [Finding(*each, fix=None if fix is None else Fix(*fix)) for *each, fix in rows]


async def _asked(worker: Worker, request: bytes) -> list[Any]:
    await worker.send(request)
    return unpack(await worker.receive(MOST_ANSWERED))
