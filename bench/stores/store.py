"""The interface of a store to the benchmark, whichever it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Kind = Literal["sqlite", "postgresql"]
KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")
_EVENT_ID = re.compile(rb'"id":"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Stored:
    """The contents of a store: execution → event for each that succeeded, and how many there are."""

    events: Mapping[str, str]
    executions: int
    seconds: float
    """From the first accepted to the last ended, by the store's clock."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The bytes of a flow's events, body and headers, and the number of steps that were recorded."""

    event_bytes: int
    steps: int


class Store(Protocol):
    """One store, of one server at a time."""

    @property
    def directory(self) -> Path:
        """The directory of the server that has it."""
        ...

    @property
    def url(self) -> str:
        """Its URL; empty where it is a file in the directory."""
        ...

    def live(self) -> int:
        """Return how many executions have not ended."""
        ...

    def used_bytes(self) -> int:
        """Bytes on disk that it uses, without what is only waiting to be tidied up."""
        ...

    def read(self, flow: str, after: int = 0) -> Stored:
        """Return what it holds of a flow, of executions accepted after a time (microseconds)."""
        ...

    def sizes(self, flow: str) -> Sizes:
        """Return the sizes of what it holds of a flow."""
        ...

    def cpu_ms(self) -> float:
        """CPU time that processes of its own have used."""
        ...

    def multiply(self, executions: int) -> int:
        """Copy the ended executions that are there until it has so many; returns how many it has."""
        ...


class Keeper(Protocol):
    """Where stores come from."""

    kind: Kind

    def fresh(self) -> AbstractContextManager[Store]:
        """A store with nothing in it; it is gone at the end."""
        ...

    def raw(self, seconds: float) -> Mapping[str, float]:
        """One-row inserts a second, each on disk before the next, by 32 tasks and by 1,000."""
        ...

    def about(self) -> Mapping[str, Any]:
        """Return its version and settings."""
        ...


def keeper(kind: Kind, directory: Path) -> AbstractContextManager[Keeper]:
    """The keeper of that kind, its stores below a directory on the disk to measure."""
    if kind == "sqlite":
        from bench.stores.sqlite import SqliteKeeper

        return nullcontext(SqliteKeeper(directory))
    from bench.stores.postgresql import postgres_keeper

    return postgres_keeper(directory)


def event_id(body: bytes | None) -> str:
    """The id in the beginning of an event's body."""
    found = _EVENT_ID.search(body or b"")
    return found[1].decode() if found else ""
