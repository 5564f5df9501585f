"""The parent of `halflap serve`: starts the server, and starts it again when it dies.

A server may be ended by an author's code, by its watchdog, by the kernel, or by itself where it
cannot know what is on disk. What it was doing is in its store, so the mend is always the same:
start another. The supervisor opens nothing, runs nobody's code, and so has no reason to die.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from halflap.engine.process import die_with, spelled
from halflap.errors import InDoubt
from halflap.server.settings import Settings

STOPPED = 0
"""The server was asked to stop, and did."""
USAGE = 2
"""The command line was wrong, says click."""
AGAIN = 75
"""The server ended although it had started: start it again (EX_TEMPFAIL)."""
CANNOT_START = 78
"""The server cannot start (EX_CONFIG): its settings are wrong, or its store is not there."""

FINAL = frozenset({STOPPED, USAGE})
SHORTEST_REST = 0.1
LONGEST_REST = 5.0
HEALTHY_SECONDS = 60.0
PATIENCE = 10.0
"""Seconds beyond its drain that a server that was told to stop may take."""


def exit_code(error: BaseException, *, started: bool) -> int:
    """The exit code of a server that ends with an error; `started` says that it had listened.

    What it meets before it listens (settings, a locked store, an address in use) a first start would
    meet again; a commit in doubt is always mended by starting again.
    """
    return AGAIN if started or isinstance(error, InDoubt) else CANNOT_START


def supervise(argv: Sequence[str], settings: Settings, configure_log: Callable[[], object]) -> int:
    """Run a server's command line until it is stopped or cannot start; returns its exit code.

    The log is loaded and configured as something is logged first: a supervisor is small, and a
    server starts as soon as it does.

    SIGTERM and SIGINT are passed on, and the server drains; a second one ends it at once. The
    server ends when the supervisor does, even where that is killed (on Linux).
    """
    return asyncio.run(Supervisor(argv, settings, configure_log).run())


@dataclass(slots=True)
class Supervisor:
    """Keeps one server running.

    A first start that cannot succeed is final, so that a wrong setting is told at once. Once a server
    has run, its settings were right: whatever keeps the next one from starting (a database that is
    down, a full disk, a store that a command has open) passes, so it is tried again until it does.
    """

    argv: Sequence[str]
    settings: Settings
    configure_log: Callable[[], object]
    _process: asyncio.subprocess.Process | None = None
    _asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> int:
        """Start the server, again and again, until it need not be."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._ask)
        rest = SHORTEST_REST
        has_run = False
        try:
            while True:
                started_at = loop.time()
                code = await self._serve()
                if self._asked.is_set() and code == -signal.SIGTERM:
                    return STOPPED  # it was asked before it could listen to anybody
                has_run = has_run or code != CANNOT_START
                if code in FINAL or self._asked.is_set() or not has_run:
                    return code if code >= 0 else 128 - code
                if loop.time() - started_at >= HEALTHY_SECONDS:
                    rest = SHORTEST_REST
                self._log("the server ended; it is started again", how=spelled(code), rest=rest)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rest):
                        await self._asked.wait()
                        return STOPPED
                rest = min(rest * 2, LONGEST_REST)
        finally:
            for each in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(each)

    async def _serve(self) -> int:
        """Run the server once; returns its exit code, negative for a signal."""
        parent = os.getpid()
        # A session of its own, so that the terminal's Ctrl-C comes once, through the supervisor.
        process = await asyncio.create_subprocess_exec(
            *self.argv,
            start_new_session=True,
            preexec_fn=lambda: die_with(parent),
        )
        self._process = process
        if self._asked.is_set():
            process.terminate()
        ended = asyncio.create_task(process.wait())
        asked = asyncio.create_task(self._asked.wait())
        await asyncio.wait([ended, asked], return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not ended.done():
            patience = self.settings.drain_seconds + PATIENCE
            await asyncio.wait([ended], timeout=patience)
            if not ended.done():
                self._log("the server did not stop; it is killed", seconds=patience)
                process.kill()
        self._process = None
        return await ended

    def _log(self, event: str, **about: Any) -> None:
        import structlog

        self.configure_log()
        structlog.get_logger("halflap.supervisor").error(event, **about)

    def _ask(self) -> None:
        again = self._asked.is_set()
        self._asked.set()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                if again:
                    self._process.kill()
                else:
                    self._process.terminate()
