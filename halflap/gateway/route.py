"""Where a request goes: the flow, or the flows, behind an endpoint, with what may sign for it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Protocol

from halflap.model import SEALED_HEADERS, Blob, FlowKey, Outcome, Start, Started
from halflap.sdk.app_endpoint import AppEndpoint
from halflap.sdk.integration import Flow
from halflap.sdk.request import Headers, Request
from halflap.sdk.trigger import Declaration

VALUE = itemgetter(1)


@dataclass(frozen=True, slots=True)
class EndpointRoute:
    """An open endpoint. `settled` is False while its instance is being activated.

    `connection` is the name in the config of the connection that its trigger belongs to.
    """

    endpoint: str
    url: str
    flow: FlowKey
    definition: Flow[Any, Any, Any]
    secrets: tuple[str, ...]
    seal: Callable[[str], str]
    settled: bool = True
    connection: str | None = None
    declaration: Declaration = field(init=False, repr=False, compare=False)
    _secret_names: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        declaration = self.definition.trigger.declaration
        declared: frozenset[str] = getattr(declaration.verify, "secret_headers", frozenset())
        object.__setattr__(self, "declaration", declaration)
        object.__setattr__(self, "_secret_names", SEALED_HEADERS | declared)

    def secret_headers(self, headers: Headers) -> list[tuple[str, str]]:
        """Return the headers that are not kept as they came: by name, or holding a secret."""
        names, values = self._secret_names, "\n".join(map(VALUE, headers.raw))
        found: list[tuple[str, str]] = []
        if not names.isdisjoint(headers):
            found += [each for each in headers.raw if each[0].lower() in names]
        for secret in self.secrets:
            if secret and secret in values:
                found += [each for each in headers.raw if secret in each[1]]
        return found

    def found_by(self) -> Mapping[str, str]:
        """Return by what the endpoint is found."""
        return {
            "endpoint": self.endpoint,
            "trigger": self.definition.trigger.name,
            "flow": self.flow.flow,
            "integration": self.flow.integration,
            "instance": self.flow.instance,
        }


@dataclass(frozen=True, slots=True)
class Receivers:
    """The routes of all flows that take an account's events; or why none does, if that is to be kept."""

    routes: tuple[EndpointRoute, ...] = ()
    unrouted: str = ""


@dataclass(frozen=True, slots=True)
class AppRoute:
    """The endpoint of the team's OAuth app, which all accounts share."""

    endpoint: str
    url: str
    component: str
    app: AppEndpoint
    declaration: Declaration
    secrets: tuple[str, ...]
    receivers: Callable[[str], Awaitable[Receivers]]
    """Finds who takes the events of an account."""
    keep: Callable[[str, Request, str], Awaitable[None]]
    """Keeps an event of an account that nobody takes, with the reason."""

    def secret_headers(self, headers: Headers) -> list[tuple[str, str]]:
        """Return the headers that are not kept: credentials that a proxy may have added."""
        return [each for each in headers.raw if each[0].lower() in SEALED_HEADERS]


Find = Callable[[str], Awaitable[EndpointRoute | AppRoute | None]]
"""Finds the route of an endpoint's id; None for one that is unknown or closed."""


class Large(Protocol):
    """A receiver of bodies that are too large to be held in memory."""

    async def receive(
        self, customer: str, execution: str, chunks: AsyncIterable[bytes], size: int = 0
    ) -> Blob:
        """Keep a body as it comes, durably."""
        ...

    async def discard(self, blob: Blob) -> None:
        """Remove one that is not accepted after all."""
        ...


class Intake(Protocol):
    """The engine's methods that the gateway calls."""

    async def start(self, starts: Sequence[Start]) -> list[Started]: ...

    async def outcome(self, execution: str, within: float) -> Outcome | None: ...
