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
MOST_BEFORE = 100
"""The processes of a name that are remembered: more starts than can fail while one is not yet gone."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity that a process gives to the others on its store.

    before: the processes that had the name before, oldest first, which have surely ended. Several:
    the last ones may never have entered the store, as a database was away while they started.
    """

    role: str = "command"
    worker: str = field(default_factory=lambda: secrets.token_hex(8))
    before: tuple[str, ...] = ()
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
    before = tuple(left.get("process", "").split()[-MOST_BEFORE:])
    taken = Identity(role, left.get("worker", made.worker), before, made.id)
    with contextlib.suppress(OSError):
        _write(descriptor, taken.worker, (*before, taken.id))
    return taken


def settle(directory: Path, identity: Identity) -> None:
    """Forget the processes before one that has entered the store, which knows of them no more."""
    with contextlib.suppress(OSError), (directory / FILE).open("r+b", buffering=0) as file:
        left = _read(file.read(MOST_BYTES))
        if left.get("process", "").endswith(identity.id):  # else the file is another process's
            _write(file.fileno(), left["worker"], (identity.id,))


def _write(descriptor: int, worker: str, processes: tuple[str, ...]) -> None:
    text = json.dumps({"worker": worker, "process": " ".join(processes)}).encode()
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))
    os.fsync(descriptor)


def _read(text: bytes) -> dict[str, str]:
    try:
        left: Any = json.loads(text)
    except ValueError:  # new, or cut off by a crash
        return {}
    if not isinstance(left, dict):
        return {}
    return {str(name): str(value) for name, value in cast(dict[str, Any], left).items()}
