"""Disks that fail: one whose power is cut, and one that is full."""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.polling import until

SCRIPT = Path(__file__).parent / "lossyfs.py"
ANSWERS_WITHIN = 60.0
"""Seconds within which the file system answers a command, under any load."""


class LossyDisk:
    """A mounted file system of `lossyfs.py`."""

    def __init__(self, path: Path, process: asyncio.subprocess.Process) -> None:
        self.path = path
        self._process = process

    async def cut(self, keep: float, seed: int) -> None:
        """Cut the power: what was not fsynced is gone, but for a share that happens to stay."""
        await self._tell(f"cut {keep} {seed}")

    async def on(self) -> None:
        """Give it power again."""
        await self._tell("on")

    async def settle(self) -> None:
        """Bring everything to the platter, as an unmount would."""
        await self._tell("settle")

    async def synced(self) -> int:
        """Return the number of files and directories that were fsynced so far."""
        return int(await self._ask("synced"))

    async def _tell(self, command: str) -> None:
        said = await self._ask(command)
        assert said == "done", said

    async def _ask(self, command: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n".encode())
        async with asyncio.timeout(ANSWERS_WITHIN):
            return (await self._process.stdout.readline()).decode().strip()


@asynccontextmanager
async def lossy_disk(path: Path, user: str | None = None) -> AsyncGenerator[LossyDisk]:
    """A disk at `path` whose power can be cut; `user` is whose it is, where not ours."""
    path.mkdir()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCRIPT), str(path), *([user] if user else [])),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await until(
            lambda: process.returncode is not None or os.path.ismount(path), what=lambda: "no mount"
        )
        assert process.returncode is None, "the file system was not mounted"
        yield LossyDisk(path, process)
    finally:
        if os.path.ismount(path):
            unmount = await asyncio.create_subprocess_exec("umount", "--lazy", str(path))
            await unmount.wait()
        if process.returncode is None:
            process.kill()
        await process.wait()


def can_mount_fuse() -> bool:
    """Return whether this machine has what a file system in user space takes."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse") or shutil.which("umount") is None:
        return False
    try:
        importlib.import_module("mfusepy")
    except (ImportError, OSError):  # it loads libfuse
        return False
    return True


@contextmanager
def small_disk(path: Path, megabytes: int) -> Generator[Path]:
    """A disk at `path` with so much room."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
    subprocess.run(mount, check=True, capture_output=True, timeout=20)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True, timeout=20)


def can_mount(trial: Path) -> bool:
    """Return whether this machine lets us mount a disk."""
    try:
        with small_disk(trial, 1):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
