"""State that the connections of one server share: limits, counters, and who is connected."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from halflap.gateway import refusal
from halflap.gateway.refusal import RequestRefusal

if TYPE_CHECKING:
    from halflap.gateway.guard import GuardedProtocol


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Limits of the edge; sizes in bytes, times in seconds.

    `body_rate` is the least mean rate of a body once `body_rate_after` has passed, `body_speed` the
    mean rate at which it may take longer than `body_seconds`. Connections of
    `trusted_proxies` (addresses or networks) are not counted per address, and their
    X-Forwarded-For and X-Forwarded-Proto are believed.
    """

    header_bytes: int = 16 * 1024
    header_fields: int = 100
    body_bytes: int = 6 * 1024 * 1024
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    body_rate: int = 1024
    body_speed: int = 256 * 1024
    body_rate_after: float = 5.0
    idle_seconds: float = 75.0
    connections: int = 10_000
    connections_per_address: int = 1_000
    pipelined: int = 100
    trusted_proxies: tuple[str, ...] = ()


@dataclass(slots=True)
class EdgeCounters:
    """Counters of the requests that the edge accepted and refused since it started.

    `refused` counts by `Refusal.code`; `cut_off` counts clients that left while sending a body.
    """

    connections: int = 0
    requests: int = 0
    cut_off: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])

    def count(self, refused: RequestRefusal) -> None:
        """Count a refusal."""
        self.refused[refused.code] += 1


class Edge:
    """State that the connections of one server share: its limits, its counters, and who is
    connected.
    """

    def __init__(
        self,
        limits: EdgeLimits,
        *,
        sweep_seconds: float = 1.0,
        on_refusal: Callable[[RequestRefusal], object] | None = None,
    ) -> None:
        self.limits = limits
        self.on_refusal = on_refusal
        self.counters = EdgeCounters()
        self.connections: set[GuardedProtocol] = set()
        self.empty = asyncio.Event()
        self.draining = False
        self._addresses: dict[str, int] = {}
        self._proxies = [ip_network(proxy, strict=False) for proxy in limits.trusted_proxies]
        self._sweep_seconds = sweep_seconds
        self._swept: float | None = None

    def admit(self, connection: GuardedProtocol) -> RequestRefusal | None:
        """Count a new connection; says why it may not stay, None if it may."""
        self.counters.connections += 1
        self.connections.add(connection)
        self.empty.clear()
        address = connection.address = self._counted(connection.client)
        if address is not None:
            held = self._addresses[address] = self._addresses.get(address, 0) + 1
            if held > self.limits.connections_per_address:
                return refusal.ADDRESS_CONNECTIONS
        if len(self.connections) > self.limits.connections:
            return refusal.CONNECTIONS
        return None

    def forget(self, connection: GuardedProtocol) -> None:
        """Take a connection that is gone out of the count."""
        self.connections.discard(connection)
        if (address := connection.address) is not None:
            connection.address = None
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]
        if not self.connections:
            self.empty.set()

    def sweep(self, now: float) -> None:
        """Hold every connection to its deadlines; called about every `sweep_seconds`."""
        elapsed = now - self._swept if self._swept is not None else 0.0
        self._swept = now
        # A client is not to blame for what it sent while this process stood still.
        late = elapsed if elapsed > 2 * self._sweep_seconds else 0.0
        for connection in list(self.connections):
            connection.sweep(now, elapsed, late)

    def _counted(self, client: tuple[str, int] | None) -> str | None:
        """The address to count by; None for a proxy, whose senders are counted by request."""
        if client is None:
            return None
        address = ip_address(client[0].partition("%")[0])
        if any(address in proxy for proxy in self._proxies):
            return None
        return address_owner(client[0])


def address_owner(host: str) -> str:
    """The owner of an address as far as addresses tell: one IPv4 address, or an IPv6 /64.

    What is no address (a proxy may forward any text) stands for itself.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    return host if address.version == 4 else str(ip_network((int(address), 64), False))


class ForwardedLimit:
    """An ASGI app before another one: bounds the requests under way for each sender behind a proxy.

    Connections of a proxy are not counted by address, as many senders share them. The sender is
    `scope["client"]`, which uvicorn has taken from a trusted proxy's X-Forwarded-For by now.
    """

    def __init__(self, app: Any, edge: Edge) -> None:
        self._app = app
        self._edge = edge
        self._under_way: Counter[str] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        sender = address_owner(scope["client"][0]) if scope["client"] else ""
        if self._under_way[sender] >= self._edge.limits.connections_per_address:
            refused = refusal.ADDRESS_REQUESTS
            self._edge.counters.count(refused)
            body = refused.body()
            headers = [*refusal.problem_headers(body), (b"retry-after", b"1")]
            await send(
                {"type": "http.response.start", "status": refused.status, "headers": headers}
            )
            await send({"type": "http.response.body", "body": body})
            return
        self._under_way[sender] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way[sender] -= 1
            if not self._under_way[sender]:
                del self._under_way[sender]
