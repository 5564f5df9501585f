"""Liveness, readiness and metrics for what runs the server: `/healthz`, `/readyz`, `/metrics`.

A bare ASGI app, so that it answers whatever the API does. `/healthz` says that the event loop runs.
`/readyz` writes to the store and names what is missing, in words without paths or hosts; whoever shows
the API's token is told the store's own error too. `/metrics` needs a token.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any

from halflap.errors import HalflapError, StoreFull
from halflap.gateway.answer import Answer, problem
from halflap.gateway.app import respond
from halflap.model import StateWrite
from halflap.sdk import codec
from halflap.server.metrics import MEDIA_TYPE, Metrics
from halflap.store.store import Store

PATHS = ("/healthz", "/readyz", "/metrics")
STORE_SECONDS = 3.0
"""Seconds that a probe waits for the store; orchestrators give up after a few seconds."""
JSON = {"content-type": "application/json", "cache-control": "no-store"}


class Probes:
    """Answers the probes of one process.

    tokens: those that read everything here. metrics_token: one that reads `/metrics` alone.
    is_stopping: whether the process drains.
    """

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        token: str,
        metrics_token: str,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._token = token
        self._metrics_token = metrics_token
        self._is_stopping = is_stopping
        self._writing: asyncio.Task[None] | None = None
        self._written_since = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            answer = problem(405)
        elif scope["path"] == "/healthz":
            answer = 200, JSON, b'{"status":"ok"}'
        elif scope["path"] == "/readyz":
            answer = await self._readiness(knows=self._shows(scope, self._token))
        else:
            answer = await self._measured(scope)
        await respond(send, answer, head=scope["method"] == "HEAD")

    async def _readiness(self, *, knows: bool) -> Answer:
        missing: dict[str, str] = {}
        if self._is_stopping():
            missing["server"] = "it is stopping"
        try:
            await self._write()
        except TimeoutError:
            missing["store"] = "it does not answer"
        except StoreFull as error:
            missing["store"] = error.message if knows else "its disk is full"
        except HalflapError as error:
            missing["store"] = error.message if knows else "it refused to write"
        status = "not ready" if missing else "ready"
        shown: dict[str, Any] = {"status": status, "missing": missing}
        if knows:
            shown["at"] = self._store.where
        headers = {**JSON, "retry-after": "2"} if missing else JSON
        return (503 if missing else 200), headers, codec.encode(shown)

    async def _write(self) -> None:
        """Write to the store; `TimeoutError` where that takes too long. Probes share one write."""
        now = time.monotonic()
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._mark(), name="probe")
            self._written_since = now
        async with asyncio.timeout(max(self._written_since + STORE_SECONDS - now, 0.01)):
            await asyncio.shield(self._writing)

    async def _mark(self) -> None:
        mark = StateWrite("server:probe", "", codec.encode(self._store.clock()))
        await self._store.journal.write_state([mark])

    async def _measured(self, scope: Any) -> Answer:
        if not self._shows(scope, self._token, self._metrics_token):
            status, headers, body = problem(
                401, detail="Send HALFLAP_METRICS_TOKEN or the API's: Authorization: Bearer …"
            )
            return status, {**headers, "www-authenticate": "Bearer"}, body
        samples = self._metrics.of_process()
        try:
            async with asyncio.timeout(STORE_SECONDS):
                samples |= await self._metrics.of_store()
            samples["halflap_store_up"] = {"": 1}
        except (TimeoutError, HalflapError):
            samples["halflap_store_up"] = {"": 0}
        return 200, {"content-type": MEDIA_TYPE}, self._metrics.write(samples)

    def _shows(self, scope: Any, *tokens: str) -> bool:
        """Return whether a request shows one of these tokens."""
        sent: bytes = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, shown = sent.partition(b" ")
        if scheme.lower() != b"bearer":
            return False
        return any(secrets.compare_digest(shown.strip(), each.encode()) for each in tokens if each)

    async def close(self) -> None:
        """End a write that is still under way."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])
