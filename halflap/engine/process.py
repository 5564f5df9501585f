"""Settings of a child process at its operating system: to end with its parent, to have a limit."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys

BLOCKED = 70
"""The exit code of a process whose loop was blocked: its watchdog ended it."""

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Ask the kernel to end this process when its parent ends, however that ends (Linux only)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel was asked
        os._exit(1)


def volunteer() -> None:
    """Where memory runs out, let the kernel end this process rather than its parent."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def raise_file_limit() -> int:
    """Let this process have as many files open as it may; return how many that are.

    A shell and systemd start a process with a soft limit of 1,024, for programs that use `select`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def limit_memory(size: int) -> None:
    """Let this process have at most `size` bytes of address space; what asks for more fails."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        size = min(size, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (size, hard))


def memory_of_machine() -> int:
    """The machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def spelled(code: int) -> str:
    """Return the end of a process, in words: `os.wait`'s exit code, negative for a signal."""
    if code == BLOCKED:
        return "its loop was blocked, and its watchdog ended it (exit code 70)"
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
