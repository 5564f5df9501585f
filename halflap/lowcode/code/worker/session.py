"""One run of a code step: from where it needs an answer to where it needs the next."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic_monty import (
    ClassInstance,
    ExternalSettledResult,
    Frame,
    FunctionSnapshot,
    FutureSnapshot,
    Monty,
    MontyComplete,
    MontyConversionError,
    MontyCrashedError,
    MontyError,
    MontyRuntimeError,
    MontySyntaxError,
    NameLookupSnapshot,
    SyncSnapshot,
)

from .crossing import NoData, ValueTooLarge, named, outward
from .limits import CodeLimits

A_LINE = 16
"""The least cost of a printed line, in bytes."""
A_FEW = 100
"""The number of times that the code may call what is not there, and catch the error."""
MOST_TEXT = 4_000
"""Characters of a message."""
MOST_FRAMES = 5
"""The number of lines of a trace that are stored: the innermost."""

Asked = tuple[str, str, list[Any], dict[str, Any], int, int]
"""A call: component, action, inputs by place and by name, line and column."""
Printed = Callable[[str, int], None]
"""Takes what the code prints, and the line that did."""


class Failed(Exception):
    """The code is at a bad end, by a limit or a rule of ours."""

    def __init__(self, kind: str, message: str, line: int, column: int = 0) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message[:MOST_TEXT]
        self.line, self.column = line, column
        self.frames: list[tuple[int, int, str, str]] = []
        self.raised = False

    def how(self, reached: int) -> dict[str, object]:
        """Return the server's places in the run's text, from 1; 0 where it is not known."""
        return {**vars(self), "reached": reached}


class Raised(Failed):
    """The code is at a bad end, as the interpreter says."""

    def __init__(self, kind: str, message: str = "", frames: Sequence[Frame] = ()) -> None:
        last = frames[-1] if frames else None
        super().__init__(kind, message, last.line if last else 0, last.column if last else 0)
        self.raised = True
        self.frames = [
            (
                each.line,
                each.column,
                each.function_name or "",
                (each.source_line or "").strip()[:200],
            )
            for each in frames[-MOST_FRAMES:]
        ]


@dataclass(frozen=True, slots=True)
class SessionDone:
    """The code is at its end."""

    result: Any


class ComponentStub:
    """Stands for a component in the sandbox, where its actions are called on it."""

    def __repr__(self) -> str:
        return "<component>"


def _print() -> None: ...


_print.__name__ = "print"  # by this name the sandbox asks for it


class Session:
    """One run, in the sandbox. `printed` takes what it prints, as it does."""

    def __init__(self, pool: Monty, text: str, limits: CodeLimits, printed: Printed) -> None:
        self._text, self.limits, self._tell = text, limits, printed
        self._source = text.encode()
        self._snapshot: FutureSnapshot | None = None
        self._components: dict[UUID, str] = {}
        self._pending: dict[int, Asked] = {}
        self._room = limits.printed
        self._left = limits.result
        self._called = self._asked = 0
        self.line = 1
        """The last one that is known to have been reached."""
        self._session = pool.checkout(
            script_name="code",
            limits={
                "max_feed_duration_secs": limits.seconds,
                "max_memory": limits.memory,
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
        self._session.__enter__()

    def run(
        self, components: Sequence[str], inputs: Mapping[str, Any]
    ) -> SessionDone | list[Asked]:
        """Start the code."""
        given = {name: ClassInstance(ComponentStub()) for name in components}
        self._components = {each.id: name for name, each in given.items()}
        # What it returns is its result; the value of its last line is not.
        return self._guarded(
            lambda: self._session.feed_start(
                f"{self._text}\nNone", inputs={"print": _print, **given, **inputs}
            )
        )

    def go_on(self, answers: Sequence[tuple[bool, Any]]) -> SessionDone | list[Asked]:
        """Give the code the answers to the calls that it waits for: a result, or an error's text."""
        results: dict[int, ExternalSettledResult] = {
            id: {"return_value": value} if good else {"exception": RuntimeError(value)}
            for id, (good, value) in zip(sorted(self._pending), answers, strict=True)
        }
        self._pending.clear()
        self._left = self.limits.result
        snapshot = self._snapshot
        assert snapshot is not None
        return self._guarded(lambda: snapshot.resume(results))

    def end(self) -> None:
        """Leave nothing for the next one."""
        with contextlib.suppress(MontyError):
            self._session.__exit__(None, None, None)

    def _guarded(self, first: Callable[[], SyncSnapshot]) -> SessionDone | list[Asked]:
        try:
            snapshot = first()
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
            raise Failed("TypeError", f"an input that is no data: {error}", 1) from None
        except MontyCrashedError as error:
            if not error.timed_out:
                raise
            raise Raised("TimeoutError") from None
        except MemoryError:  # of this process
            raise Raised("MemoryError") from None
        except (MontyRuntimeError, MontySyntaxError) as error:
            kind = error.display("type-msg").partition(":")[0].rpartition(".")[2]
            raise Raised(kind, str(error.exception()), error.traceback()) from None

    # What the code asks for -----------------------------------------------------------------

    def _function(self, asked: FunctionSnapshot) -> SyncSnapshot:
        component = self._components.get(asked.object_id) if asked.object_id else None
        if component is not None and not asked.function_name.startswith("_"):
            self._pending[asked.call_id] = self._call(asked, component)
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

    def _call(self, asked: FunctionSnapshot, component: str) -> Asked:
        line, column = self._at(asked)
        self._called += 1
        if self._called > self.limits.calls:
            message = f"more than {self.limits.calls:,} calls of actions: use a `for` step"
            raise Failed("CallLimit", message, line, column)
        try:
            args, kwargs = self._crossing([list(asked.args), asked.kwargs])
        except (NoData, ValueTooLarge) as error:
            kind = "ResultLimit" if isinstance(error, ValueTooLarge) else "TypeError"
            message = f"an input of {component}.{asked.function_name}: {error}"
            raise Failed(kind, message, line, column) from None
        return component, asked.function_name, args, kwargs, line, column

    def _print(self, asked: FunctionSnapshot) -> None:
        line, column = self._at(asked)
        text = self._line(asked)
        self._room -= max(len(text.encode()), A_LINE)
        if self._room < 0:
            message = f"more than {self.limits.printed:,} bytes printed"
            raise Failed("PrintLimit", message, line, column)
        self._tell(text, line)

    def _line(self, asked: FunctionSnapshot) -> str:
        """Return a printed line; where it is too long, a note that it is."""
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
            raise Failed("CallLimit", "it goes on asking for what is not there", line, column)

    def _at(self, asked: FunctionSnapshot | NameLookupSnapshot) -> tuple[int, int]:
        """Line and column, from 1, in the code."""
        before = self._source[: asked.position.start]
        self.line = before.count(b"\n") + 1
        return self.line, len(before[before.rfind(b"\n") + 1 :].decode(errors="ignore")) + 1

    # How it ends ----------------------------------------------------------------------------

    def _done(self, output: object) -> SessionDone:
        last = self._text.rstrip().count("\n") + 1
        if self._pending:
            component, action, _, _, line, column = next(iter(self._pending.values()))
            text = f"{component}.{action} did not run: write `await {component}.{action}(…)`"
            raise Failed("NotAwaited", text, line, column)
        try:
            return SessionDone(self._crossing(output))
        except ValueTooLarge as error:
            raise Failed("ResultLimit", f"the result: {error}", last) from None
        except NoData as error:
            raise Failed("TypeError", f"the result: {error}", last) from None

    def _crossing(self, value: object) -> Any:
        """The value as data, within what is left of the limit until the code is answered."""
        made, size = outward(value, self._left, self.limits.result)
        self._left -= size
        return made


def _shown(value: object, most: int) -> str:
    """A printed value as text. What is no data is only named: its own text may have no end."""
    if isinstance(value, str):
        return value
    try:
        return str(outward(value, most, most)[0])
    except NoData:
        return f"<{named(value)}>"
    except ValueTooLarge:
        return " " * (most + 1)


def _no_system(function: str) -> str:
    if function.endswith("sleep"):
        return "code does not wait: put a `sleep` step after it"
    if function in ("datetime.now", "date.today") or function.startswith("time."):
        return f"{function} reads a clock, and a replay another time: take it as an input"
    if function == "os.urandom":
        return "chance: a replay draws something else; take the value as an input"
    return f"{function} is not here: call an action instead"
