"""A child process that runs executions on probation, so that one that ends its process ends this.

It is started by a `Probation` as `python -m halflap.engine.child <file descriptor>`, runs the same
`Executor` as the server, and asks its parent for everything else. It ends when the line does.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from halflap.engine.builder import WorkBuilder
from halflap.engine.executor import Executor, Work
from halflap.engine.library import Library
from halflap.engine.line import (
    Begin,
    Bundled,
    Drop,
    GivenFacts,
    Line,
    LineAnswer,
    LineDone,
    LineNews,
    Ready,
    Take,
    ToChild,
    trouble_of,
)
from halflap.engine.process import die_with, limit_memory, volunteer
from halflap.engine.protocol import Ended
from halflap.engine.remote import Desk
from halflap.engine.watchdog import Watchdog
from halflap.model import (
    FlowKey,
    LogLine,
    Micros,
    Outcome,
    Record,
    Signal,
    Start,
    StateWrite,
    wall_clock,
)
from halflap.sdk.egress import Egress, Policy
from halflap.store import blobs
from halflap.store.blobs.blob import Checked
from halflap.store.vault import Vault


class RemoteTurn:
    """A turn whose journal is the parent's (see `Turn`)."""

    def __init__(self, take: Take, desk: Desk) -> None:
        self._desk = desk
        self._take = take
        self.until = take.until
        self.cancelling = take.cancelling

    @property
    def start(self) -> Start:
        return self._take.start

    @property
    def attempt(self) -> int:
        return self._take.attempt

    @property
    def history(self) -> Sequence[Record]:
        return self._take.history

    @property
    def accepted_at(self) -> Micros:
        return self._take.accepted_at

    def now(self) -> Micros:
        return wall_clock()

    def alive(self) -> bool:
        return time.monotonic() < self.until

    async def commit(
        self, records: Sequence[Record], logs: Sequence[LogLine], writes: Sequence[StateWrite] = ()
    ) -> bool:
        id = self.start.execution
        return await self._desk.ask("commit", records, logs, writes, execution=id)

    async def read_state(self, scope: str, key: str) -> bytes | None:
        return await self._desk.ask("read_state", scope, key, execution=self.start.execution)

    async def list_state(self, scope: str) -> dict[str, bytes]:
        return await self._desk.ask("list_state", scope, execution=self.start.execution)

    async def signals(self) -> Sequence[Signal]:
        return await self._desk.ask("signals", execution=self.start.execution)

    async def begin(self, start: Start) -> str | None:
        return await self._desk.ask("begin", start, execution=self.start.execution)

    async def outcome(self, execution: str) -> Outcome | None:
        return await self._desk.ask("outcome", execution, execution=self.start.execution)


class ChildRunner:
    """Runs the turns that come over the line, all at once, and sends their verdicts back."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._desk = Desk(line)
        self._running: dict[str, tuple[RemoteTurn, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Run until the line ends."""
        begin = await self._line.receive()
        if not isinstance(begin, Begin):
            return
        if begin.memory is not None:
            limit_memory(begin.memory)
        executor = self._executor(begin)
        folder = Path(begin.folder)
        with Watchdog(begin.watchdog_seconds, lambda: list(self._running), folder):
            self._line.send(Ready())
            while (message := await self._line.receive()) is not None:
                match message:
                    case Take():
                        self._take(message, executor)
                    case LineAnswer() | Bundled() | GivenFacts():
                        self._desk.take(message)
                    case LineNews():
                        self._hear(message)
                    case Drop(execution) if execution in self._running:
                        self._running[execution][1].cancel()
                    case _:
                        pass

    def _executor(self, begin: Begin) -> Executor:
        desk = self._desk
        builder = WorkBuilder(
            desk,
            Vault.from_text(begin.keys),
            Library(desk.bundle, Path(begin.folder) / "bundles"),
            base_url=lambda: begin.base_url,
            egress=Egress(Policy(allow=begin.allow)),
        )

        async def resolve(key: FlowKey) -> Work:
            return await builder.build(desk.facts(key))

        reader = Checked(blobs.at(begin.blobs)) if begin.blobs else None
        return Executor(resolve, reader=reader)

    def _take(self, take: Take, executor: Executor) -> None:
        turn = RemoteTurn(take, self._desk)
        task = asyncio.get_running_loop().create_task(self._run(turn, executor))
        self._running[turn.start.execution] = turn, task

    def _hear(self, news: LineNews) -> None:
        for name, (turn, _) in self._running.items():
            turn.until = news.until.get(name, turn.until)
            turn.cancelling = news.cancelling.get(name, turn.cancelling)

    async def _run(self, turn: RemoteTurn, executor: Executor) -> None:
        id = turn.start.execution
        try:
            verdict = await executor(turn)
        except asyncio.CancelledError:
            done = LineDone(id, dropped=True)
        except Exception as error:
            done = LineDone(id, trouble=trouble_of(error))
        else:
            if isinstance(verdict, Ended):
                done = LineDone(id, ended=verdict)
            else:
                done = LineDone(id, again=verdict)
        del self._running[id]
        self._line.send(done)


async def live(descriptor: int) -> None:
    """Run as the child at the other end of a socket."""
    line_socket = socket.socket(fileno=descriptor)
    reader, writer = await asyncio.open_unix_connection(sock=line_socket)
    await ChildRunner(Line(reader, writer, ToChild)).run()


def main() -> None:
    """Run until the parent hangs up; an author's threads do not keep the process."""
    die_with(int(sys.argv[2]))
    volunteer()
    asyncio.run(live(int(sys.argv[1])))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
