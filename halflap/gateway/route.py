"""Where a request goes: the flow of an instance behind an endpoint, with what may sign for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from halflap.model import FlowKey, Outcome, Start, Started
from halflap.sdk.integration import Flow
from halflap.sdk.trigger import Declaration


@dataclass(frozen=True, slots=True)
class Route:
    """An open endpoint. `settled` is False while its instance is being activated."""

    endpoint: str
    url: str
    flow: FlowKey
    definition: Flow[Any, Any, Any]
    secrets: tuple[str, ...]
    seal: Callable[[str], str]
    settled: bool = True

    @property
    def declaration(self) -> Declaration:
        return self.definition.trigger.declaration


Find = Callable[[str], Awaitable[Route | None]]
"""Finds the route of an endpoint's id; None for one that is unknown or closed."""


class Intake(Protocol):
    """What the gateway needs of an engine."""

    async def start(self, starts: Sequence[Start]) -> list[Started]: ...

    async def outcome(self, execution: str, within: float) -> Outcome | None: ...
