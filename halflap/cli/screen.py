"""Print the screen of `halflap dev`: one compact line an event and a step, and what failed in full."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console

from halflap.cli import twoway
from halflap.cli.output import console as console_on
from halflap.cli.output import duration, in_own_words, size, state, text
from halflap.errors import InvalidEvent
from halflap.model import MISSING, Event, Failure, LogLine, Micros, Outcome, Record, Rejection
from halflap.sdk import codec

WIDEST = 72
# A version's own files stand in a trace as in the project; other files, and those of what was
# recorded long ago, with the place on the server.
_FRAME = re.compile(
    r'File "(?:[^"]+/bundles/[0-9a-f]{64}/)?([^"/\\<:]+(?:/[^"]+)?)", line (\d+), in (\S+)(?:\n +(.+))?'
)
_MARKS = {
    "in": "←<",
    "step": "├|",
    "log": "│:",
    "ok": "✓+",
    "bad": "✗x",
    "again": "↻~",
    "wait": "‖=",
    "none": "○o",
}
"""Each mark, and what stands for it where the terminal has no such."""


class Screen:
    """Writes to the terminal; colours and marks follow what the terminal can show."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or console_on(sys.stdout)
        self._unicode = (self.console.encoding or "").lower().startswith("utf")
        self._marks = {name: pair[not self._unicode] for name, pair in _MARKS.items()}
        self.width = 0

    # Paragraphs -------------------------------------------------------------------------------

    def line(self, *parts: str | tuple[str, str]) -> None:
        """One line, never wrapped, so that what is pasted from it is whole."""
        shown = [
            self._shown(each) if isinstance(each, str) else (self._shown(each[0]), each[1])
            for each in parts
        ]
        self.console.print(text(*shown), soft_wrap=True)

    def _shown(self, said: str) -> str:
        line = said.replace("\n", " ").replace("\t", " ")
        return line if self._unicode else line.encode("ascii", "replace").decode()

    def note(self, message: str, style: str = "dim") -> None:
        """A line about the server itself, with the time."""
        self.line((clock(None), "dim"), "  ", (message, style))

    def problem(self, what: str, message: str) -> None:
        """Something that the author has to mend."""
        self.line((clock(None), "dim"), "  ", (f"{self._marks['bad']} {what}", "bold red"))
        for each in message.splitlines():
            self.line("          ", each)

    def flow(self, name: str, where: str, url: str | None, curl: str | None, more: str) -> None:
        """A flow of an active instance: its name, its URL, and how to send it something."""
        self.line("  ", (name, "bold"), (f"  {more}" if more else "", "dim"), (f"  {where}", "dim"))
        if url is not None:
            self.line("    ", (url, "cyan"))
        if curl is not None:
            self.line("    ", curl)

    # The feed ---------------------------------------------------------------------------------

    def event(self, label: str, event: Event, execution: str, key: str | None, at: Micros) -> None:
        """An event that was accepted."""
        if event.url:
            path = f"{event.path}{'?' if event.query else ''}{event.query}"
            what = " ".join(each for each in (event.method, path, size(len(event.body))) if each)
        else:
            what = "tick" if event.method == "TICK" else "by itself"
        parts = [what, *([f"key {key}"] if key else [])]
        self._row(at, label, "in", (", ".join(parts), "bold"), (f"  {execution}", "dim"))

    def step(self, label: str, record: Record) -> None:
        """A step that was recorded: its title, how long it took, what came out."""
        title = record.title or record.name
        took = duration(record.ended_at - record.started_at)
        tries = f"  {record.tries} tries" if record.tries > 1 else ""
        if record.status == "succeeded":
            shown = result_of(record, "→" if self._unicode else "->")
            self._row(
                record.ended_at, label, "step",
                f"{title:<26}", (f" {took:>8}{tries}", "dim"), (f"  {shown}" if shown else "", "dim"),
            )  # fmt: skip
            return
        why = record.failure.text if record.failure else record.status
        style = "yellow" if record.status == "retrying" else "red"
        self._row(
            record.ended_at, label, "step",
            (f"{title:<26}", style), (f" {took:>8}{tries}", "dim"), (f"  {cut(why)}", style),
        )  # fmt: skip

    def log(self, label: str, line: LogLine) -> None:
        """A line that the author's code logged."""
        fields = ""
        if line.fields:
            found: Any = codec.decode(line.fields)
            fields = "".join(f"  {name}={value}" for name, value in found.items())
        styles = {"warning": "yellow", "error": "red", "debug": "dim"}
        self._row(line.at, label, "log", (line.message, styles.get(line.level, "italic")),
                  (fields, "dim"))  # fmt: skip

    def outcome(
        self, label: str, outcome: Outcome, execution: str, at: Micros, took: Micros, attempts: int
    ) -> None:
        """Print the outcome of an execution."""
        mark = {"succeeded": "ok", "failed": "bad"}.get(outcome.state, "none")
        tries = f" after {attempts} attempts" if attempts > 1 else ""
        said = f"{outcome.state}{tries} in {duration(took)}"
        reason = f": {outcome.reason}" if outcome.reason and outcome.failure is None else ""
        style = f"bold {state(outcome.state).style}"
        self._row(at, label, mark, (said, style), reason, (f"  {execution}", "dim"))

    def replayable(self, execution: str, kind: str = "") -> None:
        """That a failed execution is kept, and how it is run again, where that may help."""
        unread = kind == InvalidEvent.__name__
        said = (
            "a replay fails as well while its trigger reads no such event"
            if unread
            else "run it again"
        )
        self.line("          ", (f"kept; {said}: ", "dim"),
                  f"halflap executions {'show' if unread else 'replay'} {execution}")  # fmt: skip

    def failure(self, failure: Failure) -> None:
        """An error with its place in the author's code, and the line that stands there."""
        self.line("          ", (f"{failure.kind}: ", "red"), in_own_words(failure.message))
        if place := own_place(failure.trace):
            self.line("          ", (place.where, "bold"), (f" in {place.function}", "dim"))
            if place.source:
                self.line("            ", (place.source, "dim"))
        elif failure.where:
            self.line("          ", (in_own_words(failure.where), "bold"))

    def pause(self, label: str, what: str, at: Micros, *, again: bool) -> None:
        """An execution that leaves memory: it waits, or is tried again."""
        self._row(at, label, "again" if again else "wait", (what, "yellow"))

    def rejected(self, label: str, rejection: Rejection) -> None:
        """A request that was refused before it was accepted."""
        said = f"refused with {rejection.status}: {rejection.reason}"
        self._row(rejection.at, label, "bad", (said, "yellow"))

    def refused(self, status: int, detail: str) -> None:
        """A request that was refused before anybody looked for its endpoint."""
        self._row(None, "", "bad", (f"refused with {status}: {detail}", "yellow"))

    def counted(self, label: str, what: str) -> None:
        """A request that was answered and starts nothing."""
        self._row(None, label, "in", (f"{what}: nothing is started", "dim"))

    def _row(self, at: Micros | None, label: str, mark: str, *parts: str | tuple[str, str]) -> None:
        self.line(
            (clock(at), "dim"), "  ", f"{label:<{self.width}}", f"  {self._marks[mark]} ", *parts
        )


def clock(at: Micros | None) -> str:
    """A time of day, here."""
    when = datetime.now() if at is None else datetime.fromtimestamp(at / 1_000_000)
    return f"{when:%H:%M:%S}"


def cut(text: str, most: int = WIDEST) -> str:
    """A text in one line, cut where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def result_of(record: Record, arrow: str) -> str:
    """Return the result of a step, in one line; nothing where there is nothing to see."""
    if record.kind in ("check", "pair"):
        result = None if record.result in (None, MISSING) else codec.decode(record.result)
        inputs = None if record.inputs is None else codec.decode(record.inputs)
        return cut(twoway.found(record.kind, inputs, result, arrow) or "")
    if record.result is None or record.kind == "sleep" or record.title.startswith("Write "):
        return ""
    if b'"$secret"' in record.result or b'"$file"' in record.result:
        return "(sealed)" if b'"$secret"' in record.result else "(a file)"
    text = record.result.decode(errors="replace")
    return "" if text in ("null", "true") or not text.isprintable() else cut(text)


@dataclass(frozen=True, slots=True)
class CodeLocation:
    """A line of the author's: `file:line` in the project, its function, what stands there."""

    where: str
    function: str
    source: str


def own_place(trace: str) -> CodeLocation | None:
    """The innermost line of the author's in a trace; None where only other code was running."""
    frames = _FRAME.findall(trace)
    if not frames:
        return None
    file, number, function, source = frames[-1]
    return CodeLocation(f"{file}:{number}", function, source.strip())
