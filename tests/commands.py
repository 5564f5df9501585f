"""`halflap` in a process of its own, for tests of what it prints, starts and ends."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from tests.polling import DEADLINE
from tests.zygote import PYTHON, ROOT


async def start(folder: Path, *words: str, python: str = PYTHON, **environment: str) -> Process:
    """Start a command in a folder; its environment is what Python needs, and what is given."""
    needed = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    return await asyncio.create_subprocess_exec(
        *(python, "-m", "halflap", *words),
        cwd=folder,
        env={**needed, **environment},
        stdout=PIPE,
        stderr=PIPE,
    )


async def serve(folder: Path, *words: str, python: str = PYTHON, **environment: str) -> Process:
    """Start a server whose store is in a folder, on any port."""
    given = ("serve", "--dir", str(folder), "--port", "0", "--json", *words)
    return await start(folder, *given, python=python, **environment)


async def run(folder: Path, *words: str, **environment: str) -> tuple[int, str, str]:
    """Run a command to its end; its exit code, its output and its errors."""
    process = await start(folder, *words, **environment)
    async with asyncio.timeout(DEADLINE):
        out, errors = await process.communicate()
    return process.returncode or 0, out.decode(), errors.decode()
