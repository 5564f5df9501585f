"""The parent of `halflap serve`: starts the server, and starts it again when it dies.

A server may be ended by an author's code, by its watchdog, by the kernel, or by itself where it
cannot know what is on disk. What it was doing is in its store, so the mend is always the same:
start another. The supervisor opens nothing, runs nobody's code, and so has no reason to die.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import FrameType
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
LOOK_SECONDS = 0.05
"""Seconds between looks, in a rest, whether it was asked to stop."""
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

    The log is loaded and configured as something is logged first, and there is no event loop: a
    supervisor is small, and a server starts as soon as it does.

    SIGTERM and SIGINT are passed on, and the server drains; a second one ends it at once. The
    server ends when the supervisor does, even where that is killed (on Linux).
    """
    return Supervisor(argv, settings, configure_log).run()


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
    _process: subprocess.Popen[bytes] | None = None
    _asked: int = 0
    """The number of times that it was asked to stop; of these, `_told` were passed on."""
    _told: int = 0

    def run(self) -> int:
        """Start the server, again and again, until it need not be."""
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self._ask)
        signal.signal(signal.SIGALRM, self._end)
        rest = SHORTEST_REST
        has_run = False
        while True:
            started_at = time.monotonic()
            code = self._serve()
            if self._asked and code == -signal.SIGTERM:
                return STOPPED  # it was asked before it could listen to anybody
            has_run = has_run or code != CANNOT_START
            if code in FINAL or self._asked or not has_run:
                return code if code >= 0 else 128 - code
            now = time.monotonic()
            if now - started_at >= HEALTHY_SECONDS:
                rest = SHORTEST_REST
            self._log("the server ended; it is started again", how=spelled(code), rest=rest)
            while time.monotonic() < now + rest:
                time.sleep(LOOK_SECONDS)
                if self._asked:
                    return STOPPED
            rest = min(rest * 2, LONGEST_REST)

    def _serve(self) -> int:
        """Run the server once; returns its exit code, negative for a signal."""
        # A session of its own, so that the terminal's Ctrl-C comes once, through the supervisor.
        self._process = subprocess.Popen(  # noqa: S603
            self.argv, start_new_session=True, preexec_fn=partial(die_with, os.getpid())
        )
        self._tell()
        code = self._process.wait()
        self._process = None  # who asks from now on asks the next one
        return code

    def _log(self, event: str, **about: Any) -> None:
        import structlog

        self.configure_log()
        structlog.get_logger("halflap.supervisor").error(event, **about)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked += 1
        self._tell()

    def _tell(self) -> None:
        """Pass on what the server was not told yet; a signal may come in the middle of this."""
        process = self._process
        while process is not None and self._told < self._asked:
            self._told += 1
            if self._told > 1:
                process.kill()
            else:
                process.terminate()
                signal.setitimer(signal.ITIMER_REAL, self.settings.drain_seconds + PATIENCE)

    def _end(self, number: int, frame: FrameType | None) -> None:
        seconds = self.settings.drain_seconds + PATIENCE
        self._log("the server did not stop; it is killed", seconds=seconds)
        if self._process is not None:
            self._process.kill()
