"""A PostgreSQL server to fail: durable as in production, killed and started again where it was."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import psycopg

from bench.cluster import find_programs, other_user
from tests.cluster import make_data
from tests.loopback import free_port
from tests.polling import DEADLINE, until

SETTINGS = ("max_connections=100", "shared_buffers=32MB", "max_wal_size=256MB", "min_wal_size=32MB")


class Cluster:
    """A server of its own on loopback, with fsync on; `settings` go over what it has.

    folder: where its data lies; made where it is missing. before: what its command begins with.
    """

    def __init__(
        self, folder: Path, *, settings: Sequence[str] = (), before: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.settings = [*SETTINGS, *settings]
        self.before = list(before)
        self.log = Path(tempfile.mkstemp(prefix="halflap-pg-", suffix=".log")[1])
        self.kills = 0
        self._process: asyncio.subprocess.Process | None = None
        self._groups = list[int]()

    @property
    def url(self) -> str:
        """Return the URL to connect to."""
        return f"postgresql://halflap@127.0.0.1:{self.port}/postgres"

    @property
    def ended(self) -> bool:
        """Return whether it is not running."""
        return self._process is None or self._process.returncode is not None

    async def start(self) -> None:
        """Start it, and return once it takes connections."""
        if not self.folder.exists():
            await asyncio.to_thread(make_data, self.folder)
        given = [part for each in self.settings for part in ("-c", each)]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.before,
                *(find_programs() / "postgres", "-D", self.folder, "-p", str(self.port)),
                *("-h", "127.0.0.1", "-k", "", *given),
                user=other_user(),
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        await self.up()

    async def up(self) -> None:
        """Return once it takes connections."""
        assert self._process is not None
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    connection = await psycopg.AsyncConnection.connect(self.url, connect_timeout=5)
                except psycopg.OperationalError:
                    assert self._process.returncode is None, self.log.read_text()[-3000:]
                    await asyncio.sleep(0.05)
                else:
                    await connection.close()
                    return

    async def kill(self) -> None:
        """End all of its processes with SIGKILL."""
        await self.end(signal.SIGKILL)

    async def stop(self) -> None:
        """`pg_ctl stop -m immediate`: it drops everybody, and recovers at its next start."""
        await self.end(signal.SIGQUIT)

    def freeze(self) -> None:
        """Have it hang: SIGSTOP to the server, then to each of its processes."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)  # the server first, so that it starts no further process
        for child in children(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)

    async def end(self, number: signal.Signals) -> None:
        """End it by a signal, and wait until none of its processes is left."""
        assert self._process is not None
        self.kills += 1
        if not self.ended:
            os.kill(self._process.pid, signal.SIGSTOP)  # so that it starts no further process
            started = children(self._process.pid)
            # Each of its processes leads a group of its own, and outlives it for a moment.
            if number == signal.SIGKILL:
                for group in (self._process.pid, *started):
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(group, number)
            else:
                os.kill(self._process.pid, number)
                os.kill(self._process.pid, signal.SIGCONT)
            self._groups = [self._process.pid, *started]
        await self._process.wait()
        for group in self._groups:
            await until(partial(is_gone, group))

    async def clean_up(self) -> None:
        """Leave nothing running, and nothing behind."""
        if self._process is not None and self._process.returncode is None:
            await self.end(signal.SIGKILL)
        self.log.unlink(missing_ok=True)


def children(pid: int) -> list[int]:
    """Return the processes that a process started and that run yet."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_gone(group: int) -> bool:
    """Return whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@asynccontextmanager
async def cluster(
    folder: Path | None = None, *, settings: Sequence[str] = (), before: Sequence[str] = ()
) -> AsyncGenerator[Cluster]:
    """A server that is up, in a folder of its own where none is given."""
    made = None if folder else Path(tempfile.mkdtemp(prefix="halflap-pg-"))
    if made is not None and (user := other_user()):
        shutil.chown(made, user)
    place = folder or (made / "data" if made else Path())
    running = Cluster(place, settings=settings, before=before)
    try:
        await running.start()
        yield running
    finally:
        await running.clean_up()
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


class Wire:
    """A way to a server of which every connection may be cut, or made slow: a proxy on loopback."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.delay = 0.0
        self.cuts = 0
        self.port = 0
        self._holds = b""
        self._flows = asyncio.Event()
        self._flows.set()

    async def listen(self) -> None:
        """Take connections, and pass them on."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def hold(self, asked: bytes) -> None:
        """Hold back all answers from when somebody asks this, until `let_go`."""
        self._holds = asked

    @property
    def is_held(self) -> bool:
        """Return whether answers are held back by now."""
        return not self._flows.is_set()

    def let_go(self) -> None:
        """Pass on what was held back, and all that comes."""
        self._holds = b""
        self._flows.set()

    def cut(self) -> None:
        """Reset every connection, in the middle of whatever it carries."""
        self.cuts += 1
        for each in self._open:
            each.transport.abort()

    async def close(self) -> None:
        """Let nobody through."""
        self.cut()
        if self._server is not None:
            self._server.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, there[1]}
        self._open |= both
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, there[1], both, asks=True))
                group.create_task(self._carry(there[0], writer, both, asks=False))
        finally:
            self._open -= both
            for each in both:
                each.transport.abort()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        both: set[asyncio.StreamWriter],
        *,
        asks: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not asks:
                    await self._flows.wait()
                elif self._holds and self._holds in data:
                    self._flows.clear()
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()
        for each in both:
            each.transport.abort()


def strace(*rules: str) -> tuple[str, ...]:
    """Return the start of a command whose system calls fail by these rules."""
    given = [part for each in rules for part in ("-e", each)]
    return ("strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", os.devnull, *given)


def can_trace() -> bool:
    """Return whether this machine has strace, and lets us trace."""
    if shutil.which("strace") is None:
        return False
    trial = [*strace("trace=fdatasync"), "true"]
    return subprocess.run(trial, capture_output=True, timeout=20, check=False).returncode == 0
