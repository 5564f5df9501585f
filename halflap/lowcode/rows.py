"""Rows of a run: what each step of a document gave, in a loop once an item."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal

from halflap.lowcode.frame import Frame, LoopLeft, Stopped, error_of
from halflap.lowcode.kinds import ContinueStep, ForStep, SetStep
from halflap.lowcode.kinds.run import PlacedStep
from halflap.lowcode.observer import Tracer
from halflap.lowcode.source import Path
from halflap.sdk import redact
from halflap.sdk.record import encode_value, redacted_data
from halflap.sdk.redact import HIDDEN, LEAST_IN_DATA
from halflap.sdk.schema import UNSET

MOST_ROWS = 20_000
"""The most rows of a run; what follows runs without."""
MOST_GIVEN = 16 << 20
"""The most bytes of what the rows of a run gave; of later ones it is not noted."""

RowState = Literal["running", "succeeded", "failed", "waiting"]
AnswerSource = Literal["pin", "recorded", "sample", "real"]


@dataclass(slots=True, eq=False)
class StepRun:
    """A run of a step: which one, and for which items of the loops around it.

    gave: its result, or what it set, as JSON without secrets. failure: the kind and the message of the
    error that it raised itself. steps: the paths of its own records. within: the row of the step around
    it. inputs: of an action. source: where an action's answer came from; stale: that is
    of another text of the step, or was given for other inputs.
    """

    path: Path
    item: tuple[int, ...]
    execution: str
    within: StepRun | None = None
    state: RowState = "running"
    gave: bytes | None = None
    failure: tuple[str, str] | None = None
    seconds: float = 0.0
    steps: list[str] = field(default_factory=list[str])
    inputs: bytes | None = None
    source: AnswerSource | None = None
    stale: bool = False


row_of_step: ContextVar[StepRun | None] = ContextVar("halflap.lowcode.row", default=None)
"""The row of the step that runs in this task."""


class RowTracer(Tracer):
    """Traces a run, and keeps a row of each run of a step, in the order in which they began.

    `notify` gets each row as it ends, or as its execution leaves memory to wait.
    """

    def __init__(self, notify: Callable[[StepRun], None] | None = None) -> None:
        super().__init__()
        self.rows: list[StepRun] = []
        self.is_cut = False
        """True if there were more rows than are kept, or their values are not noted."""
        self._room = MOST_GIVEN
        self._notify = notify
        self._raised: tuple[BaseException | None, ...] = ()

    async def run(self, step: PlacedStep, frame: Frame) -> None:
        """Run a step, and note what it gave in a row; where there are too many rows, in none."""
        if len(self.rows) >= MOST_ROWS:
            self.is_cut = True
            return await super().run(step, frame)
        row = StepRun(step.path, frame.item, frame.ctx.execution, row_of_step.get())
        self.rows.append(row)
        before, began, model = row_of_step.set(row), perf_counter(), step.model
        frame.given = UNSET
        try:
            await super().run(step, frame)
            row.state = "succeeded" if row.failure is None else "failed"
            if isinstance(model, SetStep):
                frame.given = {name: frame.names[name] for name in model.set}
            elif isinstance(model, ForStep) and model.collect is None:
                frame.given = UNSET
            row.gave = self._shown(frame.given)
        except Stopped as stopped:
            row.state, row.gave = "succeeded", self._shown(stopped.value)
            raise
        except LoopLeft:
            row.state = "succeeded"
            raise
        except Exception as error:
            self._fail(row, error)
            raise
        except BaseException:
            row.state = "succeeded" if isinstance(model, ContinueStep) else "waiting"
            raise
        finally:
            row.seconds = perf_counter() - began
            row_of_step.reset(before)
            frame.given = UNSET
            if self._notify is not None:
                self._notify(row)

    def _shown(self, value: Any) -> bytes | None:
        """Return a value as JSON without secrets; None where there is none, or no room for it."""
        if self._room <= 0:
            self.is_cut |= value is not UNSET
            return None
        data = shown_data(value)
        self._room -= len(data or b"")
        return data

    def _fail(self, row: StepRun, error: Exception) -> None:
        """Note a failure; its error at the step that raised it, not at those around it."""
        row.state = "failed"
        if error not in self._raised:
            row.failure = row.failure or failure_of_step(error)
        self._raised = (error, error.__cause__)


def failure_of_step(error: Exception) -> tuple[str, str]:
    """Return the kind and the message of an error, without secrets."""
    found, redactor = error_of(error), redact.current.get()
    message: str = found["message"]
    return found["kind"], message if redactor is None else redactor.text(message)


def shown_data(value: Any) -> bytes | None:
    """Return a value as JSON without secrets; None where there is none."""
    if value is UNSET:
        return None
    try:
        data = encode_value(value, None, lambda _: HIDDEN)
    except (TypeError, ValueError):
        return None
    redactor = redact.current.get()
    return data if redactor is None else redacted_data(data, redactor, LEAST_IN_DATA)
