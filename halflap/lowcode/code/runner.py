"""Runs the code of steps in worker processes, which hold the sandbox."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from pydantic_monty import Monty, MontySession
from pydantic_monty._binary import find_monty_binary

from halflap.lowcode.code import confine
from halflap.lowcode.code.limits import Call, Do, Json, Limits, Print, Together
from halflap.lowcode.code.session import Answer, Done, Run
from halflap.lowcode.code.source import Code
from halflap.sdk.context import SETTLED, Settled

T = TypeVar("T")

MOST_MEMORY = 64 << 20
HEADROOM = 48 << 20
"""What a worker needs beside the values of the code: itself, and what it sends."""

GRACE = 0.3
"""How long a worker may be deaf to the end of its time, in seconds; then it is killed."""


PATIENCE = 0.1
"""How long a worker waits for an action, in seconds, before others may have it."""


def nothing(text: str, line: int) -> None:
    """Where nobody reads what is printed."""


class CodeRunner:
    """Runs code steps: one for a process, on one event loop.

    Its workers are processes of their own, started as they are needed, `workers` at most, and kept
    warm. A worker has one run at a time; one whose action takes long is put aside meanwhile, so a slow
    app holds up nobody else. A worker is replaced after a crash, after a limit, and after `runs` runs.
    `memory` is the most that any run may use.
    """

    def __init__(self, *, workers: int = 8, runs: int = 1_000, memory: int = MOST_MEMORY) -> None:
        self._most, self._runs, self._memory = workers, runs, memory
        self._slots = asyncio.Semaphore(workers)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="halflap-code")
        self._starting = threading.Lock()
        self._pool: Monty | None = None
        self._launcher: Path | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def run(
        self,
        code: Code,
        inputs: Mapping[str, Json],
        call: Do,
        *,
        together: Together | None = None,
        print: Print = nothing,
        limits: Limits = Limits(),
    ) -> Json:
        """Run the code on these inputs, and return what it returns.

        `call` runs an action that the code awaits; what it raises for good (`SETTLED`) is a
        `RuntimeError` in the code, which may catch it, and otherwise is raised here as it was.
        Anything else it raises ends the run at once. `together` runs those of an
        `asyncio.gather`; without it, `call` runs one after another. Their results are given to the
        code when all are there, so its path depends on them only, and not on which was first.
        Raises `CodeFailed`; `WorkerLost`, which may be tried again, where the worker ended.
        """
        missing = code.inputs - set(inputs)
        if missing:
            raise KeyError(f"no value for {', '.join(sorted(missing))}")
        run = Run(code, {name: inputs[name] for name in code.names}, limits)
        checkout = partial(self._session, limits)
        async with self._slot(run):
            step = await self._turn(run, partial(run.begin, checkout), print)
            while not isinstance(step, Done):
                async with self._patient(run):
                    answers = await _answers(step, call, together)
                step = await self._turn(run, partial(run.go_on, answers, checkout), print)
            return step.result

    async def check(self, code: Code) -> None:
        """Have the sandbox itself read the code, without running it. Raises `CodeFailed`."""
        limits = Limits()
        run = Run(code, {}, limits)
        async with self._slot(run):
            await self._turn(run, partial(run.compile, partial(self._session, limits)), nothing)

    async def close(self) -> None:
        """End the workers. What is still running ends first: at most the time that it has left."""
        self._closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._threads.shutdown()
        with self._starting:
            if self._pool is not None:
                self._pool.__exit__(None, None, None)
                self._pool = None
            if self._launcher is not None:
                shutil.rmtree(self._launcher.parent, ignore_errors=True)
                self._launcher = None

    @asynccontextmanager
    async def _slot(self, run: Run) -> AsyncGenerator[None]:
        """Room for a run, until its worker is free again: also where it is cancelled meanwhile."""
        if self._closed:
            raise RuntimeError("the runner of code steps is closed")
        await self._hold(run)
        try:
            yield
        finally:
            if run.ended or not run.holding:
                self._release(run)
            else:
                loop = asyncio.get_running_loop()
                ended = loop.run_in_executor(self._threads, run.alone, run.end)
                ended.add_done_callback(lambda _: self._release(run))

    @asynccontextmanager
    async def _patient(self, run: Run) -> AsyncGenerator[None]:
        """While its action runs: where that takes long, the worker is somebody else's meanwhile."""
        loop = asyncio.get_running_loop()
        parking: list[asyncio.Future[None]] = []

        def park() -> None:
            parked = loop.run_in_executor(self._threads, run.alone, run.park)
            parked.add_done_callback(lambda _: self._release(run))
            parking.append(parked)

        timer = loop.call_later(PATIENCE, park)
        try:
            yield
        finally:
            timer.cancel()
            for parked in parking:
                await asyncio.shield(parked)
        if parking:
            await self._hold(run)

    async def _hold(self, run: Run) -> None:
        await self._slots.acquire()
        run.holding = True

    def _release(self, run: Run) -> None:
        if run.holding:
            run.holding = False
            self._slots.release()

    async def _turn(self, run: Run, do: Callable[[], T], print: Print) -> T:
        """Let the worker run until it needs an answer, or is done; this blocks a thread."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, run.alone, do)
        finally:
            for text, line in run.take_printed():
                print(text, line)

    # In a thread ----------------------------------------------------------------------------

    def _session(self, limits: Limits) -> MontySession:
        pool = self._started()
        return pool.checkout(
            script_name="code",
            limits={
                "max_feed_duration_secs": limits.seconds,
                "max_memory": min(limits.memory, self._memory),
                "max_recursion_depth": limits.depth,
                "max_suspensions": 1 << 30,  # counted here, with better words
            },
            os_policy={
                "datetime": "call_host",
                "sleep": "call_host",
                "random_start": "call_host",
                "process_time": "zero",
            },
            assert_message_annotations=False,
        )

    def _started(self) -> Monty:
        with self._starting:
            if self._pool is None:
                pool = Monty(
                    binary_path=self._confined(),
                    min_processes=1,
                    max_processes=self._most,
                    max_checkouts_per_worker=self._runs,
                    feed_duration_limit_grace=GRACE,
                    turn_duration_limit_grace=GRACE,
                    request_timeout=60,
                )
                pool.__enter__()
                self._pool = pool
            return self._pool

    def _confined(self) -> str:
        """The program that a worker is started by: `confine`, and then the sandbox."""
        worker = find_monty_binary()
        if sys.platform == "win32":
            return worker
        self._launcher = Path(tempfile.mkdtemp(prefix="halflap-code-")) / "worker"
        command = [
            sys.executable,
            "-I",
            "-S",
            confine.__file__,
            str(self._memory + HEADROOM),
            worker,
        ]
        self._launcher.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', "utf-8")
        self._launcher.chmod(0o700)
        return os.fspath(self._launcher)


async def _answers(calls: Sequence[Call], call: Do, together: Together | None) -> Sequence[Answer]:
    if len(calls) > 1 and together is not None:
        return await together(calls)
    settled: list[Settled[Json]] = []
    for each in calls:
        try:
            settled.append(Settled(await call(each)))
        except SETTLED as error:
            settled.append(Settled(None, error))
    return settled
