"""Print the output of commands: tables and words for people, JSON for machines.

Colours only where a terminal shows them, and never under NO_COLOR. Whatever came from outside (a
payload, an app's answer) is cleaned first: it can neither move the cursor nor colour the screen.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from halflap.cli.control import clean
from halflap.model import Micros
from halflap.sdk import codec

if TYPE_CHECKING:
    # A server prints through this module, too, and needs none of the API's shapes.
    from halflap.api.view import NamedInstance, VersionName

T = TypeVar("T")

UNLIMITED = 100_000
"""The width of what is no terminal: nothing is cut there."""
GAP = 2
LEAST = 10
"""So much room has to be left for columns that may be left out."""

# A request's field as a message says it, and the place of a version's files at the server.
_FIELD = re.compile(r"`(again|done|overwrite|repeat|step|version): (\w+)`")
_PLACE = re.compile(r"[^\s\"]*/bundles/[0-9a-f]{64}/")
_STATES = {
    "active": "green",
    "succeeded": "green",
    "working": "green",
    "ok": "green",
    "failed": "red",
    "fail": "red",
    "unauthorized": "red",
    "waiting": "yellow",
    "warn": "yellow",
    "retrying": "yellow",
    "cancelled": "yellow",
    "activating": "cyan",
    "upgrading": "cyan",
    "disabling": "cyan",
    "running": "cyan",
    "queued": "cyan",
    "disabled": "dim",
    "ignored": "dim",
    "configured": "dim",
    "untested": "dim",
}

Part = str | tuple[str, str] | Text


class Output:
    """Where a command's answer goes; with `json`, only `emit` prints to stdout."""

    def __init__(self, *, json: bool = False, place: str = "") -> None:
        self.json = json
        self.place = place
        """The options by which a next command reaches the same server: `--server production`."""
        self.console = console(sys.stdout)
        self.errors = console(sys.stderr)
        self.unicode = (self.console.encoding or "").lower().startswith("utf")

    @property
    def asks(self) -> bool:
        """True if a person is there to answer a question."""
        return sys.stdin.isatty() and not self.json

    def emit(self, value: Any) -> None:
        """A value, or an answer of the API, as one line of JSON that keeps every digit."""
        plain = value.model_dump(by_alias=True) if isinstance(value, BaseModel) else value
        sys.stdout.write(codec.encode(plain).decode() + "\n")
        sys.stdout.flush()

    def emitted(self, value: Any) -> bool:
        """Print a value as JSON where that is wanted; return whether it is."""
        if self.json:
            self.emit(value)
        return self.json

    def answer(self, value: Any, *parts: Part) -> None:
        """A value as JSON where that is wanted, else a line that says it."""
        if not self.emitted(value):
            self.line(*parts)

    def emit_all(self, values: Iterable[Any]) -> None:
        """Values as JSON, one a line."""
        for each in values:
            self.emit(each)

    def next(self, *commands: str) -> None:
        """Print the next possible steps, on stderr."""
        for at, command in enumerate(commands):
            self.note(("next: " if not at else "      ", "dim"), clean(self.command(command)))

    def command(self, command: str) -> str:
        """A command as it has to be typed to reach the server that this one spoke to."""
        said, mark, why = command.partition("  #")
        return f"{said} {self.place}{mark}{why}" if self.place else command

    def line(self, *parts: Part) -> None:
        """A line of an answer; a part is a text, or (text, style)."""
        self.console.print(text(*parts), soft_wrap=True)

    def note(self, *parts: Part) -> None:
        """A line about what goes on, on stderr: nothing for machines."""
        self.errors.print(text(*parts), soft_wrap=True)

    def progress(self, *parts: Part) -> None:
        """A line about what goes on; left out with `json`."""
        if not self.json:
            self.note(*parts)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Part]], empty: str) -> None:
        """A table; `empty` is said where there are no rows.

        Columns named `id`, or ending in `!`, are never cut; those ending in `?` are left out where
        the terminal is too narrow.
        """
        if not rows:
            self.note((empty, "dim"))
            return
        cells = [[text(cell) for cell in row] for row in rows]
        widths = [
            max(len(name.rstrip("!?")), *(row[at].cell_len for row in cells)) + GAP
            for at, name in enumerate(columns)
        ]
        needed = sum(
            width for name, width in zip(columns, widths, strict=True) if not name.endswith("?")
        )
        roomy = needed + LEAST <= self.console.width
        kept = [at for at, name in enumerate(columns) if roomy or not name.endswith("?")]
        made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
        for at in kept:
            whole = columns[at] == "id" or columns[at].endswith("!")
            width = widths[at] - GAP if whole else None
            made.add_column(columns[at].rstrip("!?"), no_wrap=whole, min_width=width)
        for row in cells:
            for cell in row:
                cell.no_wrap, cell.overflow = True, "ellipsis"
            made.add_row(*(row[at] for at in kept))
        with self.console.capture() as captured:
            self.console.print(made)
        for line in captured.get().splitlines():
            self.console.file.write(line.rstrip() + "\n")

    def listing(
        self,
        found: Sequence[T],
        columns: Sequence[str],
        row: Callable[[T], Sequence[Part]],
        empty: str,
    ) -> None:
        """A list: a table with a row for each, or as JSON one a line."""
        if self.json:
            self.emit_all(found)
        else:
            self.table(columns, [row(each) for each in found], empty)

    def pairs(self, rows: Mapping[str, Part | None], indent: int = 2) -> None:
        """Names and values, one a line; those that are None or empty are left out."""
        shown = {name: value for name, value in rows.items() if value not in (None, "")}
        width = max(map(len, shown), default=0)
        for name, value in shown.items():
            assert value is not None
            self.line(" " * indent, (f"{name:<{width}}  ", "dim"), value)

    def mark(self, good: str, plain: str) -> str:
        """A mark that this terminal can show."""
        return good if self.unicode else plain


def console(file: TextIO) -> Console:
    """A console on a file: as wide as the terminal, or without any limit where it is none."""
    tty = file.isatty()
    return Console(
        file=file,
        width=None if tty else UNLIMITED,
        highlight=False,
        markup=False,
        emoji=False,
        no_color=True if "NO_COLOR" in os.environ or not tty else None,
    )


def text(*parts: Part) -> Text:
    """Parts in one line, cleaned of what could move the cursor."""
    made = Text()
    for part in parts:
        match part:
            case Text():
                made.append_text(part)
            case (said, style):
                made.append(clean(said), style)
            case _:
                made.append(clean(part))
    return made


def state(name: str) -> Text:
    """A state in its colour."""
    return Text(clean(name), _STATES.get(name, ""))


def in_own_words(said: str) -> str:
    """A message with options in the place of a request's fields, and places as in the project."""
    return _FIELD.sub(_option, _PLACE.sub("", said))


def _option(found: re.Match[str]) -> str:
    return f"--{found[1]}" + ("" if found[2] == "true" else f" {found[2]}")


def when(at: str | None) -> datetime | None:
    """A time of the API."""
    return None if at is None else datetime.fromisoformat(at)


def ago(at: str | None, now: datetime | None = None) -> str:
    """A time as people say it: `12 s ago`, `in 5 min`, `3 Feb 14:05`; nothing for none."""
    moment = when(at)
    if moment is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    far = abs(seconds)
    if far < 1:
        return "now"
    for most, unit, one in ((120, "s", 1), (7_200, "min", 60), (172_800, "h", 3_600)):
        if far < most:
            many = f"{far / one:.0f} {unit}"
            return f"{many} ago" if seconds > 0 else f"in {many}"
    return (
        f"{moment.astimezone():%-d %b %H:%M}" if far < 2e7 else f"{moment.astimezone():%-d %b %Y}"
    )


def took(milliseconds: float | None) -> str:
    """A duration of the API, short; nothing for none."""
    return "" if milliseconds is None else duration(int(milliseconds * 1_000))


def duration(micros: Micros) -> str:
    """Return a duration, short: `0.3 ms`, `12 ms`, `4.2 s`, `3 min`."""
    if micros < 10_000:
        return f"{max(micros, 0) / 1_000:.1f} ms"
    if micros < 1_000_000:
        return f"{micros / 1_000:.0f} ms"
    if micros < 120_000_000:
        return f"{micros / 1_000_000:.1f} s"
    return f"{micros / 60_000_000:.0f} min"


def size(count: int) -> str:
    """Return the size of a body; nothing for none."""
    if count < 1_000:
        return f"{count} B" if count else ""
    return f"{count / 1_000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def version(of: VersionName) -> str:
    """A version as people name it: its number, else the beginning of its hash."""
    return of.hash[:12] if of.number is None else str(of.number)


def full_name(of: NamedInstance) -> str:
    """An instance as people name it: CUSTOMER/NAME."""
    return f"{of.customer_name}/{of.name}"


def inline(value: Any, most: int = 72) -> str:
    """A value as JSON in one line, cut where it is too long."""
    said = codec.encode(value).decode()
    return said if len(said) <= most else f"{said[: most - 1]}…"


def quoted(said: str) -> str:
    """A word as a shell takes it."""
    return shlex.quote(clean(said))
