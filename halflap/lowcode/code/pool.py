"""The processes that run code: started as they are needed, kept warm, ended by their number."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import cache
from pathlib import Path

from halflap.lowcode.code.forking import MARK, ForkedProcess, can_fork
from halflap.lowcode.code.worker.wire import HEADER, pack, unpack

MEMORY = 256 << 20
"""Bytes of a worker, and as many of its sandbox: what code may use, and room to send it."""
SECONDS = 60
"""Of the processor, that a worker may use in its life; half of it on purpose."""
RUNS = 1_000
"""The number of runs of a worker."""
STARTING = 60.0
"""Seconds that a worker may take to start; 0.1 is usual."""
CHUNK = 64 << 10

END = pack("end")
BEGIN = "import sys; sys.path += {paths!r}; from worker.serve import main; main(*{arguments!r})"

Fork = Callable[[str, socket.socket], None]
"""Has a process with a mark forked, whose standard input is a socket: see `ForkServer.fork`."""


class Lost(Exception):
    """A worker ended, or is of no use any more; the code may be run in another."""


class Worker:
    """A process that runs code, and the connection to it, which belongs to no event loop.

    It is started without a look at it: it says itself when it is ready. With a `mark`, the processes
    that it started are ended with it, also those that left its group. With `fork`, it is forked; then
    its process is known from when it is ready, and ends with its connection until then.
    """

    def __init__(self, command: Sequence[str], mark: str = "", fork: Fork | None = None) -> None:
        ours, theirs = socket.socketpair()
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None
        with theirs:
            if fork is not None:
                fork(mark, theirs)
            else:
                self._process = subprocess.Popen(  # noqa: S603 - the words are ours
                    command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={MARK: mark} if mark else {},
                    cwd="/",
                    process_group=0,  # its sandbox is ended with it
                )
        ours.setblocking(False)
        self._mark = f"{MARK}={mark}".encode() if mark else b""
        self._socket = ours
        self._received = bytearray()
        self._ready = self._ended = False
        self._sweep: threading.Thread | None = None
        self.runs = 0
        self.seconds = 0.0
        """For which it has run code."""

    @property
    def pid(self) -> int:
        """The number of its process, which leads a group with its sandbox; 0 until that is known."""
        return 0 if self._process is None else self._process.pid

    async def ready(self) -> None:
        """Wait until it is there. Raises `Lost`."""
        if self._ready:
            return
        try:
            async with asyncio.timeout(STARTING):
                message = unpack(await self.receive(CHUNK))
        except TimeoutError as error:
            raise Lost("a worker does not start") from error
        if self._process is None:
            self._process = self._found(int(message[1]))
        self._ready = True

    def _found(self, pid: int) -> ForkedProcess:
        """Return the process of a number, which is this worker's: it holds the connection still."""
        try:
            process = ForkedProcess(pid)
        except OSError as error:
            raise Lost("the worker ended") from error
        try:
            more = self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return process
        except OSError as error:
            raise Lost("the worker ended") from error
        if not more:
            raise Lost("the worker ended")
        return process

    async def send(self, message: bytes) -> None:
        """Send it a packed message. Raises `Lost`."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, message)
        except OSError as error:
            raise Lost("the worker ended") from error

    async def receive(self, most: int) -> bytes:
        """The text of its next message, which is not read if it is of more than `most` bytes.

        Raises `Lost`.
        """
        size = HEADER.unpack(await self._take(HEADER.size))[0]
        if size > most:
            raise Lost("the worker sent more than it may")
        return await self._take(size)

    async def _take(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        while len(self._received) < size:
            try:
                data = await loop.sock_recv(self._socket, CHUNK)
            except OSError as error:
                raise Lost("the worker ended") from error
            if not data:
                raise Lost("the worker ended")
            self._received += data
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def forget(self) -> bool:
        """Have it forget a run that is at no end; whether it could be told."""
        try:
            return self._socket.send(END) == len(END)
        except OSError:
            return False

    def kill(self) -> None:
        """End it, whatever it does, and its sandbox.

        The processes that it started are looked for in a thread: the system may list thousands.
        """
        if self._process is None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._ended = True
        elif isinstance(self._process, ForkedProcess):
            self._process.kill()
        elif self._process.returncode is None:  # until it is waited for, its number is its own
            for end in (os.kill, os.killpg):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    end(self.pid, signal.SIGKILL)
        if self._mark:
            sweep = threading.Thread(target=end_marked, args=(self._mark,), daemon=True)
            try:
                sweep.start()
                self._sweep = sweep
            except RuntimeError:  # no thread can be had any more: this process ends, say
                end_marked(self._mark)

    def close(self) -> None:
        """Have no connection to it any more: nobody waits for it."""
        self._socket.close()

    def gone(self) -> bool:
        """Return whether the system has let go of it, which takes a moment after `kill`."""
        if self._sweep is not None and self._sweep.is_alive():
            return False
        return self._ended if self._process is None else self._process.poll() is not None

    def wait(self) -> int:
        """Wait until it is gone, and return how: a signal as its negative number."""
        if self._sweep is not None:
            self._sweep.join()
        return 0 if self._process is None else self._process.wait()


def end_marked(mark: bytes) -> None:
    """End the processes with a variable in their environment."""
    for pid in marked(mark):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def marked(mark: bytes) -> list[int]:
    """Return the processes with a variable in their environment, where the system lists them."""
    found: list[int] = []
    for name in filter(str.isdigit, os.listdir("/proc") if Path("/proc").is_dir() else ()):
        with contextlib.suppress(OSError):  # it may end meanwhile
            if mark in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                found.append(int(name))
    return found


class Pool:
    """The workers of a process, for whichever of its event loops needs one.

    A worker is replaced after `runs` runs. `command` starts one, where it is not ours, or `fork`, where
    this system can.
    """

    def __init__(
        self, runs: int = RUNS, command: Sequence[str] | None = None, fork: Fork | None = None
    ) -> None:
        self._runs, self._command = runs, command
        self._fork = fork if can_fork() else None
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._ending: list[Worker] = []

    @property
    def pids(self) -> set[int]:
        """The numbers of its workers' processes."""
        return {worker.pid for worker in (*self._idle, *self._busy) if worker.pid}

    def take(self) -> Worker:
        """A worker for one run: the one that was used last, or a new one."""
        self._ending = [each for each in self._ending if not each.gone()]
        while (worker := self._idle.pop() if self._idle else self._started()).gone():
            worker.close()
        self._busy.add(worker)
        worker.runs += 1
        return worker

    def give(self, worker: Worker) -> None:
        """Give it back; what it was at it forgets."""
        if worker.runs >= self._runs or worker.seconds > SECONDS / 2 or not worker.forget():
            self.end(worker)
        else:
            self._busy.discard(worker)
            self._idle.append(worker)

    def end(self, worker: Worker) -> None:
        """Have it killed, and replaced before somebody waits for it, unless that takes no time."""
        self._kill(worker)
        worker.close()
        if not self._idle and self._fork is None:
            with contextlib.suppress(Lost):  # whoever needs one hears of it
                self._idle.append(self._started())

    def close(self) -> None:
        """End all workers. A later `take` starts new ones."""
        atexit.unregister(self.close)
        for worker in self._idle:
            worker.close()
        for worker in (*self._idle, *self._busy):
            self._kill(worker)
        self._idle.clear()
        for worker in self._ending:
            worker.wait()
        self._ending.clear()

    def _started(self) -> Worker:
        if not self._idle and not self._busy:
            atexit.register(self.close)
        try:
            # Outside of whatever runs: it is nobody's, and a shadow run may start no process.
            command, mark = self._command or ours(), secrets.token_hex() if self._command else ""
            return Context().run(Worker, command, mark, self._fork)
        except OSError as error:
            raise Lost(f"no worker can be started: {error}") from error

    def _kill(self, worker: Worker) -> None:
        worker.kill()
        self._busy.discard(worker)
        self._ending.append(worker)


@cache
def ours() -> Sequence[str]:
    """The program of a worker: this interpreter, and of all that is installed the sandbox only."""
    package = importlib.util.find_spec("pydantic_monty")
    where = [sysconfig.get_path("scripts"), os.environ.get("PATH", "")]
    monty = shutil.which("monty", path=os.pathsep.join(where))
    if package is None or package.origin is None or monty is None:
        raise RuntimeError("code steps need pydantic-monty: install it again")
    paths = [str(Path(__file__).parent), str(Path(package.origin).parent.parent)]
    begin = BEGIN.format(paths=paths, arguments=(monty, MEMORY, SECONDS))
    return [sys.executable, "-I", "-S", "-B", "-c", begin]
