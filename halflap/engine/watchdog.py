"""Ends a process whose loop is blocked, and leaves behind what blocked it.

An author's code that never awaits stops everything in its process: other executions, events, the
leases. Nothing inside the loop can end it, so a thread does: it writes where the loop stands, and
ends the process; the supervisor starts another. Where even the thread cannot run, because the code
that blocks holds the interpreter's lock, a timer in C that is wound up by each heartbeat does.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Self, TextIO

from halflap.engine.process import BLOCKED

FILE = "watchdog.txt"
LONGEST_BEAT = 1.0
MOST_NAMED = 1_000


class Watchdog:
    """Watches the loop that it is entered in: `with Watchdog(30, running, folder): …`.

    seconds: how long the loop may be blocked; 0 switches it off. running: the ids of what runs in
    the process now. folder: where `watchdog.txt` is left. Each process has one watchdog at most.
    """

    def __init__(self, seconds: float, running: Callable[[], Iterable[str]], folder: Path) -> None:
        self._seconds = seconds
        self._running = running
        self._path = folder / FILE
        self._beat_every = min(LONGEST_BEAT, seconds / 5)
        self._beat_at = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()
        self._loop_thread = 0
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        if self._seconds > 0:
            self._loop_thread = threading.get_ident()
            with contextlib.suppress(OSError):
                self._file = self._path.open("a")
            self._beat(asyncio.get_running_loop())
            threading.Thread(target=self._watch, name="halflap-watchdog", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if self._handle is not None:
            self._handle.cancel()
            faulthandler.cancel_dump_traceback_later()
        if self._file is not None:
            self._file.close()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beat_at = time.monotonic()
        self._handle = loop.call_later(self._beat_every, self._beat, loop)
        file = self._file or sys.__stderr__
        if file is not None:
            faulthandler.dump_traceback_later(self._seconds * 1.5 + 1, exit=True, file=file)

    def _watch(self) -> None:
        looked_at = time.monotonic()
        while not self._stopped.wait(self._beat_every):
            now = time.monotonic()
            if now - looked_at > self._seconds / 2:
                # The whole process stood still (it was stopped, or starved): the loop has its
                # chance before it is judged.
                self._beat_at = max(self._beat_at, now)
            looked_at = now
            if now - self._beat_at > self._seconds:
                self._end(now - self._beat_at)

    def _end(self, blocked: float) -> None:
        try:
            text = self._report(blocked)
            for file in (self._file, sys.__stderr__):
                if file is not None:
                    with contextlib.suppress(OSError, ValueError):
                        file.write(text)
                        file.flush()
                        faulthandler.dump_traceback(file)
                        os.fsync(file.fileno())
        finally:
            os._exit(BLOCKED)

    def _report(self, blocked: float) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        running = sorted(self._running())
        frame = sys._current_frames().get(self._loop_thread)
        return (
            f"\n{at} process {os.getpid()} is ended: its loop was blocked for {blocked:.1f} s "
            f"at {place(frame)}.\nCode in a flow must await, or run in a thread (a plain `def` "
            f"action does).\n{len(running)} executions were running; they resume on probation:\n"
            + "".join(f"  {each}\n" for each in running[:MOST_NAMED])
        )


def place(frame: FrameType | None) -> str:
    """The innermost line of a stack."""
    return (
        f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "an unknown place"
    )
