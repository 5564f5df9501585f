"""A server process to kill: started, ended in every way, and started again where it was."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.loopback import free_port
from tests.polling import DEADLINE
from tests.zygote import PYTHON, ROOT

SCRIPT = Path(__file__).parent / "server.py"


class ServerProcess:
    """The server of `server.py` on one directory; a restart keeps its port.

    store: the URL of a PostgreSQL database, where that has the store.
    before: what the command begins with (`strace …`). log: where its errors go, where that is not
    beside the directory. script: the server's, where it is another one.
    """

    def __init__(
        self,
        directory: Path,
        sink: str,
        *flags: str,
        store: str = "",
        before: Sequence[str] = (),
        log: Path | None = None,
        script: Path = SCRIPT,
    ) -> None:
        self.directory = directory
        self.store = store
        self.script = script
        self.sink = sink
        self.flags = list(flags)
        self.before = list(before)
        self.log = log or directory.with_suffix(".log")
        self.port = free_port()
        self.urls: dict[str, str] = {}
        self.kills = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def place(self) -> Path | str:
        """Where the store is: the directory, or the URL."""
        return self.store or self.directory

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The process itself."""
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        """Its id."""
        return self.process.pid

    async def start(self) -> None:
        """Start it, and return once it listens and its instance is active."""
        interpreter = sys.executable if self.before else PYTHON
        with self.log.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *self.before,
                *(interpreter, str(self.script), str(self.directory)),
                *("--port", str(self.port), "--sink", self.sink),
                *(("--store", self.store) if self.store else ()),
                *self.flags,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            told = await self._process.stdout.readline()
        if not told:
            code = await self._process.wait()
            raise AssertionError(f"the server ended with {code}:\n{self.log.read_text()[-3000:]}")
        shown = json.loads(told)
        self.port, self.urls = shown["port"], shown["urls"]

    async def kill(self) -> None:
        """End it with SIGKILL."""
        self.kills += 1
        await self.end(signal.SIGKILL)

    async def stop(self) -> int:
        """End it in good order; returns its exit code."""
        return await self.end(signal.SIGTERM)

    async def end(self, number: signal.Signals) -> int:
        """Send it a signal, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        async with asyncio.timeout(DEADLINE):
            return await self.process.wait()

    def memory(self) -> tuple[int, int]:
        """Its resident memory in bytes: now, and at most so far."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        now, most = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
        return now, most

    async def clean_up(self) -> None:
        """Leave nothing running."""
        if self._process is not None and self._process.returncode is None:
            await self.end(signal.SIGKILL)


@asynccontextmanager
async def server_on(
    directory: Path,
    sink: str,
    *flags: str,
    store: str = "",
    before: Sequence[str] = (),
    log: Path | None = None,
    script: Path = SCRIPT,
) -> AsyncGenerator[ServerProcess]:
    """A server that is up."""
    server = ServerProcess(
        directory, sink, *flags, store=store, before=before, log=log, script=script
    )
    try:
        await server.start()
        yield server
    finally:
        await server.clean_up()
