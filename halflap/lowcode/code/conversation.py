"""One run of a code step, as its server sees it: whichever worker has it, and after whatever loss."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import msgspec

from halflap.errors import CodeFailed, WorkerLost
from halflap.lowcode.code.pool import Lost, Pool, Worker
from halflap.lowcode.code.source import Code
from halflap.lowcode.code.worker.limits import CodeLimits
from halflap.lowcode.code.worker.wire import pack, unpack
from halflap.sdk.context import Settled

GRACE = 3.0
"""Seconds beyond its time that a run may take before its worker is killed.

What runs for too long is ended by the sandbox, or by its worker's timer; this is for what stands still.
"""
OUT_OF_TIME = -signal.SIGPROF
A_TURN = 0.02
"""Seconds that a call of an action and its answer may take, beside running."""
NONSENSE = "the worker sent what is no message"
TRIES = 3
"""The number of workers that may be lost at one run."""


Json = Any
"""None, bool, int, float, Decimal, str, lists and dicts with text keys."""


@dataclass(frozen=True, slots=True)
class CodeCall:
    """An action that the code calls: `await component.action(…)`.

    `index` counts the calls of the run from 0. It is the same whenever the same code runs on the
    same inputs and gets the same answers, so it can name the step. `line` and `column` are places
    in the file.
    """

    component: str
    action: str
    args: tuple[Json, ...]
    kwargs: Mapping[str, Json]
    index: int
    line: int
    column: int

    @property
    def name(self) -> str:
        """As a step calls it: `component.action`."""
        return f"{self.component}.{self.action}"


Do = Callable[[CodeCall], Awaitable[Json]]
"""Runs one action as a step, and returns its result."""

Together = Callable[[Sequence[CodeCall]], Awaitable[Sequence[Settled[Json]]]]
"""Runs actions that the code asked for at once (`asyncio.gather`); answers in their order."""

Print = Callable[[str, int], None]
"""Takes a printed text, and the line of the file that printed it."""


Answer = Settled[Json]
Asked = tuple[str, str, list[Any], dict[str, Any], int, int]


@dataclass(frozen=True, slots=True)
class CodeDone:
    """The code is at its end."""

    result: Json


MOST_TEXT = 1_000
"""Characters of a message."""

LIMITS: Mapping[str, str] = {"TimeoutError": "TimeLimit", "MemoryError": "MemoryLimit"}
FATAL = frozenset(LIMITS.values())
"""After these nothing is certain about the worker."""


Frame = tuple[int, int, str, str]
"""Line, column, the function's name, the text of the line."""


class CodeFailure(msgspec.Struct):
    """A failure of a run, from its worker: places in the run's text, 0 for unknown."""

    kind: str
    message: str
    line: int
    column: int
    frames: list[Frame]
    raised: bool
    """True if the interpreter raised it, and not the worker."""
    reached: int


class Blame:
    """Says what went wrong, with a place in the file.

    `line` is the last one of the code that is known to have been reached.
    """

    def __init__(self, code: Code, limits: CodeLimits) -> None:
        self._code, self._limits = code, limits
        self.line = 1

    def failed(
        self, kind: str, message: str, line: int, column: int = 0, frames: Sequence[Frame] = ()
    ) -> CodeFailed:
        """The failure, of a line (and column, from 1) of the code."""
        place = self._code.place
        trace = "".join(
            f"  {place.where(line, column)}, in {function}\n    {text}\n"
            for line, column, function, text in frames
        )
        line = max(line, 1)
        return CodeFailed(
            message[:MOST_TEXT],
            error=kind,
            where=place.where(line, column),
            line=place.line_of(line),
            trace=trace,
        )

    def lost(self, message: str) -> WorkerLost:
        """The worker ended, and nothing says why."""
        place = self._code.place
        return WorkerLost(
            message,
            error="WorkerLost",
            where=place.where(self.line),
            line=place.line_of(self.line),
        )

    def out_of_time(self) -> CodeFailed:
        """It ran for too long; the sandbox does not say where."""
        text = f"ran for more than {self._limits.seconds:g} s{self._hint()}"
        return self.failed("TimeLimit", text, self._likely)

    def explained(self, failure: CodeFailure, refused: Mapping[str, Exception]) -> Exception:
        """Return the worker's error; an action's error, where that is it, as it was raised."""
        kind, message, frames = failure.kind, failure.message, failure.frames
        self.line = failure.reached
        line, column = failure.line or self._likely, failure.column
        if not failure.raised:
            return self.failed(kind, message, line, column)
        if kind == "RuntimeError" and message in refused:
            refused[message].add_note(f"in the code at {self._code.place.where(line, column)}")
            return refused[message]
        limit = LIMITS.get(kind) if not frames or "limit exceeded" in message else None
        if limit == "TimeLimit":
            return self.out_of_time()
        if limit == "MemoryLimit":
            hint = "" if frames else self._hint()
            text = f"more than {self._limits.memory >> 20} MiB of memory{hint}"
            return self.failed(limit, text, line, column, frames)
        if kind == "RecursionError":
            text = f"functions call each other more than {self._limits.depth} deep"
            return self.failed("DepthLimit", text, line, column, frames)
        if "cannot suspend in this synchronous context" in message:
            message = "call actions and `print` in a loop, not from within `map` or `sorted`"
        return self.failed(kind, f"{kind}: {message}", line, column, frames)

    @property
    def _likely(self) -> int:
        """Where it is, where the sandbox does not say: in the next loop, most likely."""
        return next((each for each in self._code.loops if each >= self.line), self.line)

    def _hint(self) -> str:
        if not self._code.loops:
            return ""
        lines = [str(self._code.place.line_of(each)) for each in self._code.loops[:5]]
        which = "loop in line" if len(lines) == 1 else "loops in lines"
        return f"; look at the {which} {', '.join(lines)}"


Said = CodeDone | list[Asked] | CodeFailure


class Conversation:
    """A conversation with the code, so that any worker can take it up: its answers and its calls.

    The code is pure: a worker that is given the same from the beginning is where the last one was. So
    a run whose worker is lost goes on in another, and one that waits can do without.
    """

    def __init__(
        self, pool: Pool, code: Code, inputs: Mapping[str, Json], limits: CodeLimits, print: Print
    ) -> None:
        """Begin to run the code. Raises `CodeFailed` for an input that is no data."""
        self._pool, self._code, self._limits, self._print = pool, code, limits, print
        self._blame = Blame(code, limits)
        components = sorted(code.components)
        self._told = [self._packed("run", code.text, astuple(limits), components, inputs)]
        self._asked: list[int] = []
        """Hashes of its calls after each answer: it has to repeat them."""
        self._called = 0
        self._refused: dict[str, Exception] = {}
        self._printed = 0
        self._worker: Worker | None = None
        # Of the worker that it has:
        self._heard = self._lines = 0
        self._seconds = 0.0

    def answer(self, answers: Sequence[Answer]) -> None:
        """Answer the code: with the results of its calls, in their order."""
        said: list[tuple[bool, Json]] = []
        for each in answers:
            if each.error is None:
                said.append((True, each.result))
            else:
                text = str(each.error)[:MOST_TEXT]
                self._refused[text] = each.error
                said.append((False, text))
        self._told.append(self._packed("answers", said))
        self._called += len(said)

    async def go_on(self) -> CodeDone | Sequence[CodeCall]:
        """Let the code run until it needs answers, or is done. Raises `CodeFailed`."""
        lost = Lost("")
        for _ in range(TRIES):
            try:
                worker = self._worker = self._worker or self._taken()
                said = await self._caught_up(worker)
            except Lost as error:
                if await self._ended() == OUT_OF_TIME:
                    raise self._blame.out_of_time() from None
                lost = error
            except TimeoutError:
                await self._ended()
                raise self._blame.out_of_time() from None
            except BaseException:
                self._end()
                raise
            else:
                return self._decided(said)
        raise self._blame.lost(f"{lost}, {TRIES} times") from lost

    def leave(self) -> None:
        """Give the worker back while the code waits, or where nobody waits for the code."""
        worker, self._worker = self._worker, None
        if worker is not None:
            self._pool.give(worker)

    def _end(self) -> Worker | None:
        """Have the worker killed, if there is one."""
        worker, self._worker = self._worker, None
        if worker is not None:
            self._pool.end(worker)
        return worker

    async def _ended(self) -> int | None:
        """The same, and how it ended."""
        worker = self._end()
        return None if worker is None else await asyncio.to_thread(worker.wait)

    def _decided(self, said: Said) -> CodeDone | Sequence[CodeCall]:
        if isinstance(said, list):
            return self._calls(said)
        error = (
            self._blame.explained(said, self._refused) if isinstance(said, CodeFailure) else None
        )
        if isinstance(error, CodeFailed) and error.error in FATAL:
            self._end()  # nothing is certain about it
        else:
            self.leave()
        if error is not None:
            raise error
        assert isinstance(said, CodeDone)
        return said

    def _calls(self, asked: Sequence[Asked]) -> Sequence[CodeCall]:
        place = self._code.place
        return [
            CodeCall(
                component,
                action,
                tuple(args),
                kwargs,
                self._called + index,
                place.line_of(line),
                place.column + column,
            )
            for index, (component, action, args, kwargs, line, column) in enumerate(asked)
        ]

    # With one worker ------------------------------------------------------------------------

    def _taken(self) -> Worker:
        self._heard = self._lines = 0
        self._seconds = self._limits.seconds + GRACE
        return self._pool.take()

    async def _caught_up(self, worker: Worker) -> Said:
        """Tell it what it has not heard, and return what it says to the last of it."""
        await worker.ready()
        while True:
            said = await self._turn(worker)
            self._heard += 1
            if self._heard == len(self._told):
                return said

    async def _turn(self, worker: Worker) -> Said:
        """Tell it one thing, and hear what it says to that, in its time."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._seconds + A_TURN):
                await worker.send(self._told[self._heard])
                return await self._said(worker)
        finally:
            took = loop.time() - began
            worker.seconds += took
            self._seconds -= max(took - A_TURN, 0)

    async def _said(self, worker: Worker) -> Said:
        left = 4 * self._limits.result + 64 * self._limits.printed  # with escapes and frames
        while True:
            text = await worker.receive(left)
            left -= len(text)
            try:
                match unpack(text):
                    case ["printed", str(line), int(at)]:
                        self._line(line, at)
                    case ["asks", asked]:
                        self._same(hash(text))
                        return msgspec.convert(asked, list[Asked])
                    case ["done", result]:
                        return CodeDone(result)
                    case ["failed", how]:
                        return msgspec.convert(how, CodeFailure)
                    case _:
                        raise Lost(NONSENSE)
            except ValueError as error:  # msgspec's are, too
                raise Lost(NONSENSE) from error

    def _line(self, text: str, line: int) -> None:
        self._blame.line = line
        self._lines += 1
        if self._lines > self._printed:  # else another worker printed it
            self._printed = self._lines
            self._print(text, self._code.place.line_of(line))

    def _same(self, asked: int) -> None:
        """Where it was answered before, it has to ask the same."""
        if self._heard == len(self._asked):
            self._asked.append(asked)
        elif self._asked[self._heard] != asked:
            raise Lost("a worker does not ask what the last one asked")

    def _packed(self, *message: object) -> bytes:
        """Return a message as it is sent. Raises `CodeFailed` where something in it is no data."""
        try:
            return pack(*message)
        except (TypeError, ValueError) as error:
            text = f"an input that is no data: {error}"
            raise self._blame.failed("TypeError", text, self._blame.line) from None
