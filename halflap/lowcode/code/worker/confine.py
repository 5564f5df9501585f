"""Gives up what a worker of code steps does not need; what it starts inherits that.

The sandbox is the interpreter, which has no way to ask for a file or a socket; this is for the day on
which that is wrong. What the system does not offer is left out.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys

PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


def confine(memory: int, seconds: int) -> None:
    """Give up privileges, network and files, before a thread is started."""
    os.chdir("/")
    for kind, most in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),  # no file is written
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, most))
    if sys.platform == "linux":
        system = ctypes.CDLL(None, use_errno=True)
        system.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if system.unshare(CLONE_NEWNET) != 0:  # allowed to root only
            system.unshare(CLONE_NEWUSER | CLONE_NEWNET)
    with contextlib.suppress(OSError):
        os.nice(5)  # the engine comes first
