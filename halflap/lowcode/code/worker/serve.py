"""A worker: it runs one code step after another, as the server at its standard input says.

It ends as soon as the server does, or the sandbox: the connection is closed then.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic_monty import Monty

from .confine import confine
from .limits import CodeLimits
from .session import Asked, Failed, Session, SessionDone
from .wire import HEADER, pack, unpack

GRACE = 0.3
"""Seconds for which the sandbox may ignore the end of its time; then it is killed."""


def main(monty: str, memory: int, seconds: int) -> None:
    """Serve the socket that is this process's standard input, with that program as the sandbox."""
    confine(memory, seconds)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with Monty(
        binary_path=monty,
        min_processes=1,
        max_processes=1,
        feed_duration_limit_grace=GRACE,
        turn_duration_limit_grace=GRACE,
    ) as pool:
        _Worker(socket.socket(fileno=0), pool).serve()


class _Worker:
    def __init__(self, server: socket.socket, pool: Monty) -> None:
        self._server, self._pool = server, pool
        self._session: Session | None = None

    def serve(self) -> None:
        self._say("ready")
        for message in iter(self._heard, None):
            self._told(message)
            del message

    def _told(self, message: list[Any]) -> None:
        match message:
            case ["run", text, limits, components, inputs]:
                session = self._begun(text, limits)
                self._turn(session, partial(session.run, components, inputs))
            case ["answers", answers]:
                assert self._session is not None
                self._turn(self._session, partial(self._session.go_on, answers))
            case _:  # "end"
                self._end()

    def _begun(self, text: str, limits: list[Any]) -> Session:
        """Begin a run, for which this process may work as long as the sandbox; then SIGPROF ends it."""
        signal.setitimer(signal.ITIMER_PROF, CodeLimits(*limits).seconds)
        self._session = session = Session(self._pool, text, CodeLimits(*limits), self._printed)
        return session

    def _turn(self, session: Session, do: Callable[[], SessionDone | list[Asked]]) -> None:
        """Let the code run until it needs an answer, or ends, and say which."""
        try:
            match do():
                case list() as asked:
                    self._say("asks", asked)
                    return
                case SessionDone(result):
                    self._say("done", result)
        except Failed as error:
            self._say("failed", error.how(session.line))
        self._end()

    def _end(self) -> None:
        """Forget what ran: before anybody else's is heard of."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        session, self._session = self._session, None
        if session is not None:
            session.end()

    def _printed(self, text: str, line: int) -> None:
        self._say("printed", text, line)

    def _say(self, *message: object) -> None:
        self._server.sendall(pack(*message))

    def _heard(self) -> list[Any] | None:
        header = self._read(HEADER.size)
        if header is None:
            return None
        text = self._read(HEADER.unpack(header)[0])
        return None if text is None else unpack(text)

    def _read(self, size: int) -> bytearray | None:
        """So many bytes; None where the server is gone."""
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            count = self._server.recv_into(rest)
            if not count:
                return None
            rest = rest[count:]
        return data
