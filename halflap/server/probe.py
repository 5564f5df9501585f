"""Liveness, readiness and metrics for what runs the server: `/healthz`, `/readyz`, `/metrics`.

A bare ASGI app, so that it answers whatever the API does. `/healthz` says that the event loop runs.
`/readyz` says that an event could be accepted: it writes to the store, and names what is missing, in
words without paths or hosts; whoever shows the API's token is told the store's own error too.
`/metrics` needs a token.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from halflap.errors import HalflapError, StoreFull
from halflap.gateway.answer import JSON, Answer, problem
from halflap.gateway.app import respond
from halflap.sdk import codec
from halflap.server.metrics import MEDIA_TYPE, Metrics
from halflap.store.pulse import Pulse
from halflap.store.store import Store

PATHS = ("/healthz", "/readyz", "/metrics")
HEADERS = {b"content-type": JSON, b"cache-control": b"no-store"}


@dataclass(slots=True)
class Probes:
    """Answers the probes of one process.

    tokens: those that read everything here. metrics_token: one that reads `/metrics` alone.
    is_stopping: whether the process drains.
    """

    store: Store
    pulse: Pulse
    metrics: Metrics
    token: str
    metrics_token: str
    is_stopping: Callable[[], bool]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            answer = problem(405)
        elif scope["path"] == "/healthz":
            answer = 200, HEADERS, b'{"status":"ok"}'
        elif scope["path"] == "/readyz":
            answer = await self._readiness(knows=self._shows(scope, self.token))
        else:
            answer = await self._measured(scope)
        await respond(send, answer, head=scope["method"] == "HEAD")

    async def _readiness(self, *, knows: bool) -> Answer:
        missing: dict[str, str] = {}
        if self.is_stopping():
            missing["server"] = "it is stopping"
        try:
            await self.pulse.check()
        except TimeoutError:
            missing["store"] = "it does not answer"
        except StoreFull as error:
            missing["store"] = error.message if knows else "its disk is full"
        except HalflapError as error:
            missing["store"] = error.message if knows else "it refused to write"
        status = "not ready" if missing else "ready"
        shown: dict[str, Any] = {"status": status, "missing": missing}
        if knows:
            shown["at"] = self.store.where
        headers = {**HEADERS, b"retry-after": b"2"} if missing else HEADERS
        return (503 if missing else 200), headers, codec.encode(shown)

    async def _measured(self, scope: Any) -> Answer:
        if not self._shows(scope, self.token, self.metrics_token):
            status, headers, body = problem(
                401, detail="Send HALFLAP_METRICS_TOKEN or the API's: Authorization: Bearer …"
            )
            return status, {**headers, b"www-authenticate": b"Bearer"}, body
        samples = self.metrics.of_process()
        samples["halflap_store_up"] = {"": 0}
        with suppress(HalflapError, TimeoutError):
            samples |= await self.pulse.attend(self.metrics.of_store())
            await self.pulse.check()
            samples["halflap_store_up"] = {"": 1}
        return 200, {b"content-type": MEDIA_TYPE.encode()}, self.metrics.write(samples)

    def _shows(self, scope: Any, *tokens: str) -> bool:
        """Return whether a request shows one of these tokens."""
        sent: bytes = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, shown = sent.partition(b" ")
        if scheme.lower() != b"bearer":
            return False
        return any(secrets.compare_digest(shown.strip(), each.encode()) for each in tokens if each)
