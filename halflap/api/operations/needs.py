"""What the operations ask of the rooms beside this one, which they may not import."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from halflap.lowcode.outline.executed import Trace
from halflap.model import (
    Event,
    Execution,
    ExecutionState,
    Instance,
    Micros,
    Outcome,
    Paused,
    Record,
    Sent,
    Start,
    Started,
    StoredConnection,
)
from halflap.sdk.connection import Connection
from halflap.sdk.egress import Egress
from halflap.sdk.integration import Integration
from halflap.sdk.schema import Config


class Change(Protocol):
    """Something that happened to an execution."""

    @property
    def execution(self) -> str: ...
    @property
    def start(self) -> Start: ...
    @property
    def state(self) -> ExecutionState: ...
    @property
    def at(self) -> Micros: ...
    @property
    def outcome(self) -> Outcome | None: ...
    @property
    def attempt(self) -> int: ...


class Engine(Protocol):
    """What is asked of the engine."""

    @property
    def running(self) -> int: ...
    async def start(self, starts: Sequence[Start]) -> list[Started]: ...
    async def dismiss(self, execution: str) -> bool: ...
    async def signal(
        self, execution: str, name: str, payload: bytes, once: str | None = None
    ) -> Sent: ...
    async def cancel(self, execution: str, reason: str, grace: float | None = None) -> bool: ...
    async def pause(self, what: str, by: str = "", reason: str = "") -> bool: ...
    async def resume(self, what: str) -> bool: ...
    async def paused(self) -> list[Paused]: ...
    def follow(self, listener: Callable[[Change], None]) -> Callable[[], None]: ...
    def nudge(self) -> None: ...


class Backlog(Protocol):
    """What is asked of whoever counts what customers have queued."""

    def forget(self, customer: str) -> None: ...


class Deployer(Protocol):
    """What is asked of the deployer."""

    async def activate(self, instance: str) -> Instance: ...
    async def upgrade(
        self,
        instance: str,
        version: str,
        revision: tuple[Mapping[str, object], Mapping[str, str]] | None = None,
        *,
        by: str | None = None,
    ) -> Instance: ...
    async def disable(self, instance: str, *, abandon: bool = False) -> Instance: ...
    async def retry_left(self, connection: str) -> None: ...
    async def rotate(self, endpoint: str, grace: Micros) -> str: ...
    async def remove(self, instance: str) -> None: ...
    async def remove_customer(self, customer: str) -> None: ...
    async def settled(self, instance: str, within: float = 60.0) -> Instance: ...


class Library(Protocol):
    """What is asked of the loaded versions."""

    async def integration(self, version: str) -> Integration[Any]: ...
    async def check(self, data: bytes) -> tuple[str, Integration[Any]]: ...
    async def files(self, version: str) -> tuple[str, Mapping[str, bytes]]: ...


class Resolver(Protocol):
    """What is asked of whoever knows URLs, secrets and the way out."""

    egress: Egress

    async def config(
        self, integration: Integration[Any], instance: str, revision: int
    ) -> Config: ...
    async def with_team_app(self, connection: Connection, component: str) -> Connection: ...
    async def trace(
        self, execution: Execution, event: Event, records: Sequence[Record]
    ) -> Trace | None: ...
    async def urls(self, instance: str) -> dict[str, str]: ...
    async def shared_urls(self, integration: str) -> dict[str, str]: ...
    async def connection(
        self, kind: type[Connection], stored: StoredConnection, name: str
    ) -> Connection: ...
