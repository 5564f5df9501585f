"""Amounts as options: limits (a number, `none` or `default`), days of retention, durations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from halflap.api.view import ConnectionLimitsView, LimitsView, RetentionView
from halflap.cli.output import Output
from halflap.model import MOST_DAYS
from halflap.sdk.duration import duration

DEFAULT = -1
WHAT = {
    "execution": "How long its outcome, result, times, steps and log lines are kept.",
    "payload": "How long its event, inputs and results of steps, and log fields are kept.",
}


class Amount(click.ParamType[Any]):
    """A number above 0, or one of some words that stand for numbers."""

    def __init__(self, what: str, read: Callable[[str], float], most: float, **words: int) -> None:
        self.name = what
        self._read = read
        self._most = most
        self._words = words

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """The number."""
        if value in self._words:
            return self._words[value]
        try:
            number = self._read(str(value))
        except ValueError:
            number = -1
        if not 0 < number <= self._most:
            words = "".join(f", nor {each}" for each in self._words)
            self.fail(f"{value!r} is neither a {self.name} above 0{words}", param, ctx)
        return number


NUMBER = Amount("number", int, 1e9, none=0, default=DEFAULT)
RATE = Amount("number", float, 1e9, none=0, default=DEFAULT)
DAYS = Amount(
    "number of days", lambda said: int(said.removesuffix("d")), MOST_DAYS, default=DEFAULT
)


class Lasting(click.ParamType[int]):
    """A duration, such as `15m`, `24h` or `1h 30m`; its seconds."""

    name = "while"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """The seconds."""
        if isinstance(value, int):
            return value
        try:
            return int(duration(value).total_seconds())
        except ValueError as error:
            self.fail(str(error), param, ctx)


def lasting_option(
    flag: str, field: str, default: str, help: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add an option for a duration, as a field of the API that has its seconds."""
    return click.option(
        flag,
        field,
        type=Lasting(),
        default=default,
        metavar="WHILE",
        help=f"{help}; {default} by default.",
    )


def retention_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say for how long each part is kept."""
    for name, what in reversed(WHAT.items()):
        command = click.option(f"--{name}", metavar="DAYS", type=DAYS, help=what)(command)
    return command


def changed(
    own: LimitsView | ConnectionLimitsView | RetentionView, given: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return what a thing has of its own with what was given in its place; None for nothing."""
    new = {name: value for name, value in given.items() if value is not None}
    if not new:
        return None
    whole = {**own.model_dump(), **new}
    return {name: None if value == DEFAULT else value for name, value in whole.items()}


def limit_table(output: Output, own: LimitsView, default: LimitsView) -> None:
    """Print limits as they hold, and who says so."""
    values = default.model_dump()
    rows = [
        (
            name,
            f"{value:,}" if value else "none",
            ("the server", "dim") if mine is None else "its own",
        )
        for name, mine in own.model_dump().items()
        for value in [values[name] if mine is None else mine]
    ]
    output.table(("limit", "value", "of"), rows, "")


def retention_table(output: Output, own: RetentionView, holds: RetentionView, whose: str) -> None:
    """Print for how long each part is kept, and who says so."""
    general, says = ("what is more general", "dim"), own.model_dump()
    rows = [
        (
            name,
            "as the execution" if days is None else f"{days:,} day{'' if days == 1 else 's'}",
            general if says[name] is None else whose,
        )
        for name, days in holds.model_dump().items()
    ]
    output.table(("part", "kept", "said by"), rows, "")
