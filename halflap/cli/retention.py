"""Retentions as options and as a table: days, or `default`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from halflap.api.view import RetentionView
from halflap.cli.output import Output
from halflap.model import MOST_DAYS

DEFAULT = 0
WHAT = {
    "execution": "How long its outcome, result, times, steps and log lines are kept.",
    "payload": "How long its event, inputs and results of steps, and log fields are kept.",
}


class Days(click.ParamType[int]):
    """A number of days, or `default`."""

    name = "days"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """The number; 0 for the default."""
        if value == "default":
            return DEFAULT
        try:
            days = int(str(value).removesuffix("d"))
        except ValueError:
            days = 0
        if not 0 < days <= MOST_DAYS:
            self.fail(f"{value!r} is neither a number of days above 0, nor default", param, ctx)
        return days


def retention_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say for how long each part is kept."""
    for name, what in reversed(WHAT.items()):
        command = click.option(f"--{name}", metavar="DAYS", type=Days(), help=what)(command)
    return command


def changed(own: RetentionView, given: Mapping[str, int | None]) -> dict[str, Any] | None:
    """Return the given options as a change; None where none was given."""
    new = {name: days or None for name, days in given.items() if days is not None}
    return {**own.model_dump(), **new} if new else None


def retention_table(output: Output, own: RetentionView, holds: RetentionView, whose: str) -> None:
    """For how long each part is kept, and who says so."""
    general, says = ("what is more general", "dim"), own.model_dump()
    output.table(
        ("part", "kept", "said by"),
        [
            (name, spelled(days), general if says[name] is None else whose)
            for name, days in holds.model_dump().items()
        ],
        "",
    )


def spelled(days: int | None) -> str:
    """Return a number of days in words; `None` is only of a payload."""
    if days is None:
        return "as the execution"
    return f"{days:,} day{'' if days == 1 else 's'}"
