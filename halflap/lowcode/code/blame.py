"""Explain the bad end of a code step's run, with its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from halflap.errors import CodeFailed, WorkerLost
from halflap.lowcode.code.source import Code
from halflap.lowcode.code.worker.limits import CodeLimits

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
