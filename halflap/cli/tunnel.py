"""A tunnel from the internet to a server on this machine, by cloudflared or ngrok where installed."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from halflap.errors import ConfigError, UpstreamError

PATIENCE = 30.0
"""Seconds that a tunnel may take to name its URL."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that makes tunnels: how it is called, and how it names the URL that it made."""

    name: str
    arguments: tuple[str, ...]
    url: re.Pattern[str]

    def command(self, address: str) -> list[str]:
        """The command for a tunnel to an address (`http://127.0.0.1:8400`)."""
        return [self.name, *(each.replace("ADDRESS", address) for each in self.arguments)]


PROGRAMS = (
    Program(
        "cloudflared",
        ("tunnel", "--no-autoupdate", "--url", "ADDRESS"),
        re.compile(r"https://[a-z0-9-]+\.trycloudflare\.com"),
    ),
    Program(
        "ngrok",
        ("http", "ADDRESS", "--log", "stdout", "--log-format", "logfmt"),
        re.compile(r"\burl=(https://\S+)"),
    ),
)


def installed(programs: Sequence[Program] = PROGRAMS) -> Program:
    """The first of the programs that is installed; `ConfigError` says what to do where none is."""
    for each in programs:
        if shutil.which(each.name) is not None:
            return each
    raise ConfigError(
        "--tunnel needs cloudflared or ngrok, and neither is installed. Install one, or make the "
        "server reachable yourself and say how: --public-url https://…"
    )


@asynccontextmanager
async def tunnel(address: str, program: Program | None = None) -> AsyncGenerator[str]:
    """Open a tunnel to an address and give its public URL; its process ends with the block.

    `UpstreamError` with the program's last words where it ends, or names no URL in time.
    """
    program = program or installed()
    process = await asyncio.create_subprocess_exec(
        *program.command(address),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # so that the terminal's Ctrl-C ends us first, and we end it
    )
    assert process.stdout is not None
    said: list[str] = []
    drain: asyncio.Task[None] | None = None
    try:
        try:
            async with asyncio.timeout(PATIENCE):
                url = await _url(process.stdout, program, said)
        except TimeoutError:
            url = None
        if url is None:
            last = " / ".join(said[-3:]) or "nothing"
            raise UpstreamError(
                f"{program.name} made no tunnel; it said: {last}. Mend that, or give --public-url"
            )
        drain = asyncio.create_task(_drain(process.stdout))
        yield url
    finally:
        if drain is not None:
            drain.cancel()
        await _end(process)


async def _url(output: asyncio.StreamReader, program: Program, said: list[str]) -> str | None:
    while line := await output.readline():
        text = line.decode(errors="replace").strip()
        said.append(text[:300])
        if (found := program.url.search(text)) is not None:
            return (found[1] if program.url.groups else found[0]).rstrip("/")
    return None


async def _drain(output: asyncio.StreamReader) -> None:
    """Read on, so that the program is never held up by a full pipe."""
    while await output.read(65_536):
        pass


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(5):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
