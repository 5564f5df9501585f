"""A server in processes of its own, supervised like `halflap serve`, for tests that let it die.

`python tests/served.py <settings as JSON>` is the server itself; `supervise` in front of that, its
supervisor.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from halflap.api import driving
from halflap.server.host import Host
from halflap.server.settings import Settings
from halflap.server.supervisor import exit_code, supervise
from tests.polling import DEADLINE, until
from tests.zygote import PYTHON

TOKEN = "the-token-of-these-tests"


def block() -> None:
    """Never come back."""
    while True:
        pass


async def serve(settings: Settings, *, probation: bool, blocks: bool) -> int:
    started = False

    def ready(port: int) -> None:
        nonlocal started
        started = True
        print(f"ready {port} {os.getpid()}", flush=True)
        if blocks and not (settings.dir / "blocked").exists():
            (settings.dir / "blocked").touch()
            loop.call_soon(block)

    loop = asyncio.get_running_loop()
    try:
        host = await Host.open(settings, probation=probation)
    except Exception as error:
        print(repr(error), file=sys.stderr)
        print("failed", flush=True)
        return exit_code(error, started=False)
    stopping: list[asyncio.Task[None]] = []
    loop.add_signal_handler(signal.SIGTERM, lambda: stopping.append(loop.create_task(host.stop())))
    try:
        await host.serve(ready=ready)
        await asyncio.gather(*stopping)
    except Exception as error:
        print(repr(error), file=sys.stderr)
        return exit_code(error, started=started)
    return 0


def main(arguments: list[str]) -> int:
    given = json.loads(arguments[-1])
    probation = given.pop("probation", True)
    memory = given.pop("memory", None)
    blocks = given.pop("block", False)
    if seconds := given.pop("bulk_lease", None):
        driving.LEASE, driving.LOOK_SECONDS = round(seconds * 1e6), seconds / 5
    settings = Settings(
        **given | {"dir": Path(given["dir"]), "token": TOKEN, "egress_allow": ("127.0.0.1",)}
    )
    if arguments[0] == "supervise":
        return supervise([sys.executable, __file__, arguments[-1]], settings, lambda: None)
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    return asyncio.run(serve(settings, probation=probation, blocks=blocks))


@dataclass
class Served:
    """A running supervisor: where its server listens now, and how often it was started.

    `pids` are those of the servers that started, `failures` counts starts that could not succeed.
    """

    process: asyncio.subprocess.Process
    http: aiohttp.ClientSession
    ports: list[int] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    failures: int = 0

    async def get(self, path: str) -> Any:
        """Read from the management API, waiting where the server is being started again."""
        headers = {"Authorization": f"Bearer {TOKEN}"}

        async def ask() -> Any:
            if not self.ports:
                return None
            try:
                async with self.http.get(
                    f"http://127.0.0.1:{self.ports[-1]}/api{path}", headers=headers
                ) as response:
                    return await response.json()
            except aiohttp.ClientError:
                return None

        return await until(ask)

    async def post(self, path: str, body: Any) -> str:
        """Post to the server; returns the execution that it names."""
        found, answer = await self._post(path, body)
        return found or answer["execution"]

    async def post_json(self, path: str, body: Any) -> Any:
        """Post to the server; returns its JSON answer."""
        return (await self._post(path, body))[1]

    async def _post(self, path: str, body: Any) -> tuple[str | None, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"http://127.0.0.1:{self.ports[-1]}{path}"
        async with self.http.post(url, json=body, headers=headers) as response:
            text = await response.text()
            assert response.status < 300, text
            return response.headers.get("halflap-execution"), json.loads(text or "null")

    async def started(self, times: int) -> None:
        """Wait until the server was started so often."""

        async def enough() -> bool:
            return len(self.ports) >= times

        await until(enough)

    async def ended(self, execution: str) -> dict[str, Any]:
        """Wait until an execution has ended."""

        async def look() -> dict[str, Any] | None:
            found = await self.get(f"/executions/{execution}")
            return found if found["state"] in ("succeeded", "failed") else None

        return await until(look)


@asynccontextmanager
async def served(directory: Path, **given: Any) -> AsyncIterator[Served]:
    """Run a supervised server; it is stopped, and has to end well, at the end."""
    arguments = json.dumps({"dir": str(directory), "port": 0, "drain_seconds": 5.0, **given})
    process = await asyncio.create_subprocess_exec(
        PYTHON, __file__, "supervise", arguments, stdout=asyncio.subprocess.PIPE
    )
    async with aiohttp.ClientSession() as http:
        server = Served(process, http)
        reading = asyncio.create_task(_read(process.stdout, server))
        try:
            yield server
        finally:
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(DEADLINE):
                await process.wait()
            await reading


async def _read(lines: asyncio.StreamReader | None, server: Served) -> None:
    assert lines is not None
    async for line in lines:
        match line.split():
            case [b"ready", port, pid]:
                server.ports.append(int(port))
                server.pids.append(int(pid))
            case [b"failed"]:
                server.failures += 1
            case _:
                pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
