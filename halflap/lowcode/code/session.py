"""One run of a code step in a worker: from where it needs an answer to where it needs the next."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from pydantic_monty import (
    ClassInstance,
    ExternalSettledResult,
    FunctionSnapshot,
    FutureSnapshot,
    MontyComplete,
    MontyConversionError,
    MontyCrashedError,
    MontyError,
    MontyRuntimeError,
    MontySession,
    MontySyntaxError,
    NameLookupSnapshot,
    SyncSnapshot,
)

from halflap.errors import CodeFailed
from halflap.lowcode.code.blame import FATAL, Blame
from halflap.lowcode.code.crossing import NoData, TooLarge, named, outward
from halflap.lowcode.code.limits import Call, Json, Limits
from halflap.lowcode.code.source import Code
from halflap.sdk.context import Settled

T = TypeVar("T")
Answer = Settled[Json]

A_LINE = 16
"""What a printed line costs at least, in bytes."""
A_FEW = 100
"""How often the code may ask for what is not there, and catch the error."""
STARTS = 20
"""How many workers that are found dead before anything ran are passed over."""


@dataclass(frozen=True, slots=True)
class Done:
    """The code is at its end."""

    result: Json


class Component:
    """Stands for a component in the sandbox, where its actions are called on it."""

    def __repr__(self) -> str:
        return "<component>"


def _print() -> None: ...


_print.__name__ = "print"  # by this name the sandbox asks for it


class Run:
    """One run. Its methods block: they are called in a thread, one at a time (`alone`)."""

    def __init__(self, code: Code, inputs: Mapping[str, Json], limits: Limits) -> None:
        self._code, self._inputs, self._limits = code, inputs, limits
        self._lock = threading.Lock()
        self._session: MontySession | None = None
        self._snapshot: SyncSnapshot | None = None
        self._parked: bytes | None = None
        self._source = code.text.encode()
        self._components: dict[UUID, str] = {}
        self._pending: dict[int, Call] = {}
        self._refused: dict[str, Exception] = {}
        self._printed: list[tuple[str, int]] = []
        self._room = limits.printed
        self._called = self._asked = 0
        self._blame = Blame(code, limits)

    ended = False
    """Whether it holds no worker any more, and never will again."""
    holding = False
    """Whether it has a place among the runner's workers."""

    def alone(self, do: Callable[[], T]) -> T:
        """Do it while no other thread does anything with this run."""
        with self._lock:
            return do()

    def take_printed(self) -> list[tuple[str, int]]:
        """What was printed since this was last asked: texts, and lines of the file."""
        printed, self._printed = self._printed, []
        return printed

    def begin(self, checkout: Callable[[], MontySession]) -> Done | Sequence[Call]:
        """Start the code in a worker."""
        components = {name: ClassInstance(Component()) for name in self._code.components}
        self._components = {each.id: name for name, each in components.items()}
        self._open(checkout)
        # What it returns is its result; the value of its last line is not.
        return self._guarded(
            lambda session: session.feed_start(
                f"{self._code.text}\nNone",
                inputs={"print": _print, **components, **self._inputs},
            )
        )

    def compile(self, checkout: Callable[[], MontySession]) -> None:
        """Read the code, and run none of it."""
        self._open(checkout)
        self._blame.ahead = 1
        self._guarded(lambda session: session.feed_start(f"return\n{self._code.text}"))

    def park(self) -> None:
        """Give the worker back while the code waits: what it was at goes on in another."""
        assert isinstance(self._snapshot, FutureSnapshot)
        self._parked = self._snapshot.dump()
        self._leave()

    def go_on(
        self, answers: Sequence[Answer], checkout: Callable[[], MontySession]
    ) -> Done | Sequence[Call]:
        """Give the code the answers to the calls that it was waiting for, in their order."""
        results: dict[int, ExternalSettledResult] = {}
        for id, answer in zip(sorted(self._pending), answers, strict=True):
            if answer.error is None:
                results[id] = {"return_value": answer.result}
            else:
                text = str(answer.error)
                self._refused[text] = answer.error
                results[id] = {"exception": RuntimeError(text)}
        self._pending.clear()
        parked, self._parked = self._parked, None
        if parked is not None:
            self._open(checkout)
        waiting = self._snapshot

        def resume(session: MontySession) -> SyncSnapshot:
            snapshot = waiting if parked is None else session.load_snapshot(parked)
            assert isinstance(snapshot, FutureSnapshot)
            return snapshot.resume(results)

        return self._guarded(resume)

    def end(self) -> None:
        """Give the worker back, for good."""
        self.ended = True
        self._leave()

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(MontyError):
                session.__exit__(None, None, None)

    def _open(self, checkout: Callable[[], MontySession]) -> None:
        for left in reversed(range(STARTS)):
            session = checkout()
            try:
                session.__enter__()
            except MontyCrashedError as error:
                if not left:
                    raise self._blame.lost(f"no worker can be started: {error}") from error
            else:
                self._session = session
                return

    def _guarded(self, first: Callable[[MontySession], SyncSnapshot]) -> Done | Sequence[Call]:
        session = self._session
        assert session is not None
        try:
            snapshot = first(session)
            while True:
                match snapshot:
                    case MontyComplete():
                        return self._done(snapshot.output)
                    case FutureSnapshot():
                        self._snapshot = snapshot
                        return [self._pending[id] for id in sorted(self._pending)]
                    case FunctionSnapshot():
                        snapshot = self._function(snapshot)
                    case NameLookupSnapshot():
                        self._ask(snapshot)
                        snapshot = snapshot.resume()
        except MontyConversionError as error:
            raise self._blame.failed("TypeError", f"an input that is no data: {error}", 1) from None
        except MontyCrashedError as error:
            if error.timed_out:
                raise self._blame.out_of_time() from error
            raise self._blame.lost(f"the worker ended: {error}") from error
        except (MontyRuntimeError, MontySyntaxError) as error:
            explained = self._blame.explained(error, self._refused)
            if isinstance(explained, CodeFailed) and explained.error in FATAL:
                self._discard(session)
            raise explained from None

    # What the code asks for -----------------------------------------------------------------

    def _function(self, asked: FunctionSnapshot) -> SyncSnapshot:
        component = self._components.get(asked.object_id) if asked.object_id else None
        if component is not None and not asked.function_name.startswith("_"):
            call = self._call(asked, component)
            self._pending[asked.call_id] = call
            return asked.resume({"future": ...})
        if asked.function_name == "print" and not asked.is_os_function:
            self._print(asked)
            return asked.resume({"return_value": None})
        self._ask(asked)
        if asked.function_name == "import":
            return asked.resume_not_handled()
        if asked.is_os_function:
            return asked.resume({"exception": RuntimeError(_no_system(asked.function_name))})
        message = f"name '{asked.function_name}' is not defined"
        return asked.resume({"exc_type": "NameError", "message": message})

    def _call(self, asked: FunctionSnapshot, component: str) -> Call:
        line, column = self._at(asked)
        self._called += 1
        if self._called > self._limits.calls:
            message = f"more than {self._limits.calls:,} calls of actions: use a `for` step"
            raise self._blame.failed("CallLimit", message, line, column)
        place = self._code.place
        try:
            args = outward(list(asked.args), self._limits.result)
            kwargs = outward(asked.kwargs, self._limits.result)
        except (NoData, TooLarge) as error:
            kind = "ResultLimit" if isinstance(error, TooLarge) else "TypeError"
            message = f"an input of {component}.{asked.function_name}: {error}"
            raise self._blame.failed(kind, message, line, column) from None
        return Call(
            component,
            asked.function_name,
            tuple(args),
            kwargs,
            self._called - 1,
            place.line_of(line),
            place.column + column,
        )

    def _print(self, asked: FunctionSnapshot) -> None:
        line, column = self._at(asked)
        text = self._text(asked)
        self._room -= max(len(text.encode()), A_LINE)
        if self._room < 0:
            message = f"more than {self._limits.printed:,} bytes printed"
            raise self._blame.failed("PrintLimit", message, line, column)
        self._printed.append((text, self._code.place.line_of(line)))

    def _text(self, asked: FunctionSnapshot) -> str:
        """What is printed; where it is more than there is room for, only that it is."""
        most = self._room
        parts = [_shown(value, most) for value in asked.args]
        separator, end = asked.kwargs.get("sep"), asked.kwargs.get("end")
        separator = separator if isinstance(separator, str) else " "
        end = end.removesuffix("\n") if isinstance(end, str) else ""
        size = sum(map(len, parts)) + len(separator) * max(len(parts) - 1, 0) + len(end)
        return separator.join(parts) + end if size <= most else " " * (most + 1)

    def _ask(self, asked: FunctionSnapshot | NameLookupSnapshot) -> None:
        """Count what is asked for and not there."""
        line, column = self._at(asked)
        self._asked += 1
        if self._asked > A_FEW:
            message = "it goes on asking for what is not there"
            raise self._blame.failed("CallLimit", message, line, column)

    def _at(self, asked: FunctionSnapshot | NameLookupSnapshot) -> tuple[int, int]:
        """Line and column, from 1, in the code."""
        before = self._source[: asked.position.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode(errors="ignore")) + 1
        self._blame.line = line
        return line, column

    # How it ends ----------------------------------------------------------------------------

    def _done(self, output: object) -> Done:
        if self._pending:
            call = next(iter(self._pending.values()))
            line = call.line - self._code.place.line + 1
            text = f"{call.name} did not run: write `await {call.name}(…)`"
            raise self._blame.failed(
                "NotAwaited", text, line, call.column - self._code.place.column
            )
        try:
            result = outward(output, self._limits.result)
        except TooLarge as error:
            raise self._blame.failed("ResultLimit", f"the result: {error}", self._last) from None
        except NoData as error:
            raise self._blame.failed("TypeError", f"the result: {error}", self._last) from None
        self.end()
        return Done(result)

    @property
    def _last(self) -> int:
        return self._code.text.rstrip().count("\n") + 1

    def _discard(self, session: MontySession) -> None:
        """Have the worker replaced: after a limit nothing is certain about it."""
        pid = session.worker_pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)


def _shown(value: object, most: int) -> str:
    """A printed value as text. What is no data is only named: its own text may have no end."""
    if isinstance(value, str):
        return value
    try:
        return str(outward(value, most))
    except NoData:
        return f"<{named(value)}>"
    except TooLarge:
        return " " * (most + 1)


def _no_system(function: str) -> str:
    if function.endswith("sleep"):
        return "code does not wait: put a `sleep` step after it"
    if function in ("datetime.now", "date.today") or function.startswith("time."):
        return f"{function} reads a clock, and a replay another time: take it as an input"
    if function == "os.urandom":
        return "chance: a replay draws something else; take the value as an input"
    return f"{function} is not here: call an action instead"
