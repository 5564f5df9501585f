"""Logs what blocks the event loop, and ends a process whose loop stays blocked.

An author's code that never awaits stops everything in its process: other executions, events, the
leases. Nothing inside the loop can end it, so a thread does: it writes where the loop stands, and
ends the process; the supervisor starts another. Which flow or endpoint it was is read from the frames
of the loop's thread, so that nothing has to be noted while all goes well. Where even the thread
cannot run, because the code that blocks holds the interpreter's lock, a timer in C that is wound up
by each heartbeat does.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Self, TextIO, cast

import structlog

import halflap
from halflap.engine.process import BLOCKED

log = structlog.get_logger("halflap.watchdog")

FILE = "watchdog.txt"
LONGEST_BEAT = 1.0
MOST_NAMED = 1_000


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class Watchdog:
    """Watches the loop that it is entered in: `with Watchdog(30, running, folder): …`.

    seconds: how long the loop may be blocked before the process is ended. log_after: how long
    before that is logged, once each time. 0 switches either off. running: the ids of what runs in
    the process now. folder: where `watchdog.txt` is left. Each process has one watchdog at most.
    """

    def __init__(
        self,
        seconds: float,
        running: Callable[[], Iterable[str]],
        folder: Path,
        *,
        log_after: float = 0,
    ) -> None:
        self._seconds = seconds
        self._log_after = log_after
        self._logged_at = 0.0
        self._running = running
        self._path = folder / FILE
        limits = [each / 5 for each in (seconds, log_after) if each > 0]
        self._beat_every = min([LONGEST_BEAT, *limits])
        self._beat_at = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()
        self._loop_thread = 0
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        if self._seconds > 0 or self._log_after > 0:
            self._loop_thread = threading.get_ident()
            if self._seconds > 0:
                with contextlib.suppress(OSError):
                    self._file = open(self._path, "a", opener=_private)
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
        if file is not None and self._seconds > 0:
            faulthandler.dump_traceback_later(self._seconds * 1.5 + 1, exit=True, file=file)

    def _watch(self) -> None:
        looked_at = time.monotonic()
        while not self._stopped.wait(self._beat_every):
            now = time.monotonic()
            if now - looked_at > max(self._seconds, self._log_after) / 2:
                # The whole process stood still (it was stopped, or starved): the loop has its
                # chance before it is judged.
                self._beat_at = max(self._beat_at, now)
            looked_at = now
            blocked = now - self._beat_at
            if blocked > self._log_after > 0 and self._logged_at != self._beat_at:
                self._logged_at = self._beat_at
                self._log("the event loop is blocked", blocked)
            if blocked > self._seconds > 0:
                self._end(blocked)

    def _log(self, event: str, blocked: float) -> None:
        frame = sys._current_frames().get(self._loop_thread)
        log.error(event, seconds=round(blocked, 1), at=place(frame), **culprit(frame), hint=HINT)

    def _end(self, blocked: float) -> None:
        try:
            with contextlib.suppress(Exception):
                self._log("the process is ended: its event loop was blocked", blocked)
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
        named = "".join(f"  {name}: {value}\n" for name, value in culprit(frame).items())
        return (
            f"\n{at} process {os.getpid()} is ended: its loop was blocked for {blocked:.1f} s "
            f"at {place(frame)}.\n{named}{HINT}.\n"
            f"{len(running)} executions were running; they resume on probation:\n"
            + "".join(f"  {each}\n" for each in running[:MOST_NAMED])
        )


HINT = (
    "code in a flow must await (`ctx.sleep`, `asyncio.sleep`), or run in a thread, as a plain `def` "
    "action does"
)
LIBRARIES = tuple(
    {str(Path(each.__file__ or "").parent) + os.sep for each in (os, asyncio, halflap)}
)


def stack(frame: FrameType | None) -> Iterator[FrameType]:
    """Iterate over the frames of a stack, the innermost first."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def place(frame: FrameType | None) -> str:
    """Return the innermost line of a stack that is an author's, else the innermost one."""
    lines = [(each.f_code.co_filename, each.f_lineno) for each in stack(frame)]
    own = [each for each in lines if not each[0].startswith((*LIBRARIES, "<frozen"))]
    found = own[0] if own and "site-packages" not in own[0][0] else (lines or [("", 0)])[0]
    return f"{found[0]}:{found[1]}" if found[0] else "an unknown place"


def culprit(frame: FrameType | None) -> Mapping[str, str]:
    """Return whose code a stack runs: the execution, flow, trigger or endpoint that it names.

    A frame names it where one of its local values, or what that belongs to, has a `found_by()`.
    """
    for each in stack(frame):
        for value in list(each.f_locals.values()):
            if not type(cast(object, value)).__module__.startswith("halflap."):
                continue
            holders = (value, getattr(value, "start", None), getattr(value, "_recorder", None))
            for candidate in holders:
                found_by = getattr(candidate, "found_by", None)
                if found_by is not None and not isinstance(candidate, type):
                    return found_by()
    return {}
