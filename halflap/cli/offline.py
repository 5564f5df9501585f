"""The API of a store that no server has open: called in this process, without any port.

The engine runs only once something is asked that needs it (an instance's move), and until the
command ends; what is under way then goes on with the next server. It runs what belongs to that move:
everything else waits for a server, which has the settings for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import halflap
from halflap.cli.client import ApiAnswer
from halflap.cli.control import log_errors
from halflap.cli.dev import LOOPBACK
from halflap.cli.workbench import ADDRESSES
from halflap.errors import HalflapError, NotFound
from halflap.server.host import Host, token_of
from halflap.server.role import COMMAND
from halflap.server.settings import Settings

NEEDS_ENGINE = re.compile(
    r"POST /api/(instances/(?P<moved>[^/]+)/(activate|redeploy|upgrade|disable)"
    r"|integrations/[^/]+/upgrade|bulks/[^/]+/(back|resume))"
    r"|PUT /api/instances/(?P<configured>[^/]+)/config"
)


class Offline:
    """A host that listens nowhere."""

    runs = False
    version = halflap.__version__

    def __init__(self, host: Host) -> None:
        """Use `open`."""
        self.host = host
        settings = host.settings
        self.where = host.store.where if settings.store else str(settings.dir.absolute())
        self._engine: asyncio.Task[None] | None = None
        self._bulks: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, settings: Settings) -> Offline:
        """Open the store, which takes its lock; `StoreLocked` where another process has it."""
        log_errors()
        if (settings.dir / ADDRESSES).exists():  # a dev server's own store: its apps run here
            settings = replace(settings, egress_allow=(*settings.egress_allow, *LOOPBACK))
        return cls(await Host.open(settings, role=COMMAND, probation=False))

    async def close(self) -> None:
        """Let what runs end within a moment, and close the store."""
        await self.host.stop(2.0)
        under_way = [each for each in (self._engine, self._bulks) if each is not None]
        await asyncio.gather(*under_way, return_exceptions=True)

    async def call(
        self, method: str, path: str, query: str, body: bytes, kind: str, patience: float
    ) -> ApiAnswer:
        """Send one request."""
        if found := NEEDS_ENGINE.fullmatch(f"{method} {path}"):
            await self._work(found["moved"] or found["configured"])
        sent: list[dict[str, Any]] = []
        asked = [{"type": "http.request", "body": body, "more_body": False}]

        answered = asyncio.Event()

        async def receive() -> Any:
            if asked:
                return asked.pop()
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                answered.set()

        scope = self._scope(method, path, query, kind)
        await self.host(scope, receive, send)
        headers: dict[bytes, bytes] = dict(sent[0]["headers"])
        whole = b"".join(each.get("body", b"") for each in sent[1:])
        return ApiAnswer(
            sent[0]["status"],
            headers.get(b"content-type", b"").decode().partition(";")[0],
            whole,
        )

    async def follow(self, path: str, query: str) -> AsyncGenerator[bytes]:
        """Nothing can be followed where nothing runs."""
        raise HalflapError(
            f"no server runs on {self.where}, so there is nothing to follow; start one with "
            "`halflap dev` or `halflap serve`"
        )
        yield b""

    def _scope(self, method: str, path: str, query: str, kind: str) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [
                (b"authorization", b"Bearer " + token_of(self.host.settings).encode()),
                (b"content-type", kind.encode()),
            ],
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 0),
        }

    async def _work(self, instance: str | None) -> None:
        """Run the engine from now on, and go on with a move of the instance that was left undone."""
        if self._engine is None:
            await self.host.store.journal.void()
            run = self.host.engine.run(self.host.executor)
            self._engine = asyncio.create_task(run, name="engine")
            self._bulks = asyncio.create_task(self.host.crew.bulks.run(), name="bulks")
        if instance is not None:
            with contextlib.suppress(NotFound):  # the API says so
                await self.host.deployer.go_on(instance)
