"""Gives up what a worker of code steps does not need, then becomes the worker.

Run as `python -I -S confine.py <bytes> <worker> <arguments…>`, in the place of the worker itself. The
sandbox is the interpreter, which has no way to ask for a file or a socket; this is for the day on which
that is wrong. What the system does not offer is left out.
"""

# ruff: noqa: S606 - the path is the one that the runner found; there is no shell
from __future__ import annotations

import contextlib
import ctypes
import os
import sys

PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


def limits(data: int) -> None:
    """No memory beyond `data` bytes, no file written, no core dumped, few files open."""
    import resource

    for kind, most in (
        (resource.RLIMIT_DATA, data),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, most))


def privileges() -> None:
    """No privilege gained by running something, and no network."""
    system = ctypes.CDLL(None, use_errno=True)
    system.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if system.unshare(CLONE_NEWNET) != 0:  # allowed to root only
        system.unshare(CLONE_NEWUSER | CLONE_NEWNET)


def main() -> None:
    """Confine this process, and become the worker."""
    data, worker, *arguments = sys.argv[1:]
    os.chdir("/")
    os.closerange(3, 4_096)
    limits(int(data))
    if sys.platform == "linux":
        privileges()
    with contextlib.suppress(OSError):
        os.nice(5)  # the engine comes first
    os.execve(worker, [worker, *arguments], {})


if __name__ == "__main__":
    main()
