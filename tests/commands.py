"""`halflap` in a process of its own, for tests of what it prints, starts and ends."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

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


@asynccontextmanager
async def logging_server(folder: Path, *words: str, **given: Any) -> AsyncGenerator[Process]:
    """A server whose log is in JSON and whose store is in `store`; it is ended in any case."""
    connections = {"HALFLAP_CONNECTIONS": "1000"}  # wherever this runs, so many files may be open
    command = ("serve", "--dir", "store", "--port", "0", "--log", "json", *words)
    process = await start(folder, *command, **connections, **given)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(DEADLINE):
            await process.communicate()


async def first_line(stream: asyncio.StreamReader | None) -> str:
    """Return the next line of a process' output."""
    assert stream is not None
    async with asyncio.timeout(DEADLINE):
        return (await stream.readline()).decode()


async def run(folder: Path, *words: str, **environment: str) -> tuple[int, str, str]:
    """Run a command to its end; its exit code, its output and its errors."""
    process = await start(folder, *words, **environment)
    async with asyncio.timeout(DEADLINE):
        out, errors = await process.communicate()
    return process.returncode or 0, out.decode(), errors.decode()
