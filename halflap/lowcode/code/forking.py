"""A fork server: a process that has imported what others need, and is forked for each of them.

It has one thread and no environment, and is sent nothing but sockets: what runs in one of its
children is seen neither by it nor by the next child. Linux only.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache

MARK = "HALFLAP_WORKER"
"""The variable by which a worker and the processes that it has started are found, wherever they went."""
NO_MARK = "0" * 64
"""The mark of the fork server itself; each of its children writes one of its own over it."""
MOST = 1 << 10
"""The bytes of a request at most."""


class ForkServer:
    """The connection to a fork server, which starts with the first process that is asked of it.

    Where it has ended, another one is started. It ends with the process that started it.
    """

    def __init__(self, command: Callable[[], Sequence[str]]) -> None:
        """`command` returns its program, which calls `serve_forks`."""
        self._command = command
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def fork(self, main: str, mark: str, connection: socket.socket) -> None:
        """Have a process forked that runs `main` with this standard input. Raises `OSError`."""
        with self._lock:
            for last in (False, True):
                if self._socket is None:
                    self._socket = self._start()
                try:
                    socket.send_fds(
                        self._socket, [f"{mark} {main}".encode()], [connection.fileno()]
                    )
                    return
                except BlockingIOError:
                    raise
                except OSError:
                    self.close()
                    if last:
                        raise

    def close(self) -> None:
        """End it, with the processes that it has forked. A later `fork` starts another one."""
        atexit.unregister(self.close)
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _start(self) -> socket.socket:
        atexit.register(self.close)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - the words are ours
                self._command(),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={MARK: NO_MARK},
                cwd="/",
                process_group=0,
            )
        ours.setblocking(False)
        return ours


class ForkedProcess:
    """A process that a fork server has forked, once it has said its number."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def kill(self) -> None:
        """End it, and its group; nothing where it has ended."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
            os.killpg(self.pid, signal.SIGKILL)

    def poll(self, milliseconds: int | None = 0) -> int | None:
        """Return 0 where it has ended, or does within this time; None where it has not."""
        if self._descriptor >= 0:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            if not poll.poll(milliseconds):
                return None
            os.close(self._descriptor)
            self._descriptor = -1
        return 0

    def wait(self) -> int:
        """Wait until it has ended. Its exit code is not known here: it is another process' child."""
        return self.poll(None) or 0


@cache
def can_fork() -> bool:
    """Return whether this system has what forked processes are watched by."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return sys.platform == "linux"


def serve_forks() -> str:
    """Fork a process for each request on the standard input; returns in each, with what it is to run.

    Its standard input is the socket that came with the request.
    """
    place = _place_of_mark()
    connection = socket.socket(fileno=os.dup(0))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that end are waited for by the system
    gc.collect()
    gc.freeze()
    while True:
        request, descriptors, _, _ = socket.recv_fds(connection, MOST, 1)
        if not request:
            os._exit(0)
        if not os.fork():
            break
        for each in descriptors:
            os.close(each)
    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.close()
    os.dup2(descriptors[0], 0)
    os.close(descriptors[0])
    mark, _, main = request.decode().partition(" ")
    os.environ[MARK] = mark
    if place:
        ctypes.memmove(place, mark.encode(), len(NO_MARK))
    return main


def _place_of_mark() -> int:
    """Return where the mark stands in memory, which the system shows as this process' environment."""
    environment = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    prefix = f"{MARK}={NO_MARK}".encode()
    for each in environment:
        if each is None:
            return 0
        if ctypes.string_at(each) == prefix:
            return each + len(MARK) + 1
    return 0
