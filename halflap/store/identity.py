"""The identity of a process that has a store open: its role, and the name that its claims bear.

A process that runs executions takes the name of its directory. The next one in that directory finds
the same name, and so gets back at once what the one before it was running when it was killed. The
kernel's lock on a file there says that the one before has ended, however it ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from halflap.model import new_id

FILE = "worker"
MOST_BYTES = 10_000


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity that a process gives to the others on its store.

    before: the process that had the name before, which has surely ended. address: where it listens.
    """

    role: str = "command"
    worker: str = field(default_factory=lambda: secrets.token_hex(8))
    before: str = ""
    id: str = field(default_factory=lambda: new_id("prc"))
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)


def named(role: str, directory: Path) -> Identity:
    """A process of the directory's name; of a new one, where another process has that now.

    Where the disk is full or the directory cannot be written, the store says so, and not this.
    """
    try:
        descriptor = os.open(directory / FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return Identity(role)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process has it, or the file system knows no locks
        os.close(descriptor)
        return Identity(role)
    # Never closed: the kernel lets go of the lock when this process ends.
    left, made = _read(os.pread(descriptor, MOST_BYTES, 0)), Identity(role)
    taken = Identity(role, left.get("worker", made.worker), left.get("process", ""), made.id)
    text = json.dumps({"worker": taken.worker, "process": taken.id}).encode()
    with contextlib.suppress(OSError):
        os.pwrite(descriptor, text, 0)
        os.ftruncate(descriptor, len(text))
        os.fsync(descriptor)
    return taken


def _read(text: bytes) -> dict[str, str]:
    try:
        left: Any = json.loads(text)
    except ValueError:  # new, or cut off by a crash
        return {}
    if not isinstance(left, dict):
        return {}
    return {str(name): str(value) for name, value in cast(dict[str, Any], left).items()}
