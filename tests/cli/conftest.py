"""A server in a process of its own."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.commands import serve
from tests.polling import DEADLINE

Serve = Callable[..., AbstractAsyncContextManager[tuple[asyncio.subprocess.Process, Any]]]


@asynccontextmanager
async def served(folder: Path, *more: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Any]]:
    """A `halflap serve` in a process of its own, once it listens, and what it said of itself."""
    process = await serve(folder, *more)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            line = await process.stdout.readline()
            if not line:
                assert process.stderr is not None
                raise AssertionError((await process.stderr.read()).decode())
        yield process, json.loads(line)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            await process.wait()


@pytest.fixture(name="served")
def serve_fixture() -> Serve:
    """Runs `halflap serve` on a directory: `async with served(folder) as (process, said)`."""
    return served


@pytest.fixture(autouse=True)
def forks(forked: None) -> None:
    """Fork what commands start: a nested pytest, a server, the processes that lint."""
