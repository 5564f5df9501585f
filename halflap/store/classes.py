"""Retention classes: a number for each set of durations that is said beside the server's own.

An execution that ends is given the number of its instance's class. What a class leaves open is as
the server says, at any time: so another setting also holds for what has ended before. Class 0 says
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import msgspec

from halflap.errors import ConfigError
from halflap.model import Micros, Retention

DAY: Micros = 86_400_000_000
MOST = 8
"""How many classes there may be: in PostgreSQL each has tables of its own for every day."""

ALL = "SELECT number, kept FROM retention_classes ORDER BY number"
OF = (
    "coalesce((SELECT retained.retention FROM retained WHERE retained.instance = {of}.instance), 0)"
)
"""SQL for the class in which an execution ends."""


@dataclass(frozen=True, slots=True)
class Change:
    """How instances come into the classes of what holds for them."""

    new: list[tuple[int, str]]
    """Classes that are not there yet, as in `ALL`."""
    moved: list[tuple[str, int]]
    released: list[str]
    """Instances that are in no class any more."""


def encode(retention: Retention) -> str:
    """A retention as it is kept, always spelt alike."""
    return msgspec.json.encode({k: v for k, v in asdict(retention).items() if v}).decode()


def decode(text: str) -> Retention:
    """A retention from what is kept of it."""
    return msgspec.json.decode(text, type=Retention)


def merged(rows: list[tuple[int, str]], default: Retention) -> dict[int, Retention]:
    """Every class by its number, as it holds, from the rows of `ALL`."""
    return {0: default, **{number: decode(kept).over(default) for number, kept in rows}}


def full(retention: Retention) -> ConfigError:
    """Says that there is no room for another class."""
    return ConfigError(
        f"there are {MOST} different retentions already, and {encode(retention)} would be another; "
        "use one of those that there are for this one too, see: halflap instances retention",
    )


def change(there: list[tuple[int, str]], holds: Mapping[str, Retention]) -> Change | ConfigError:
    """What brings instances into the classes of what holds for each; `there` is as in `ALL`."""
    numbers = {kept: number for number, kept in there}
    made = Change([], [], [])
    for instance, retention in holds.items():
        if retention == Retention():
            made.released.append(instance)
            continue
        kept = encode(retention)
        if kept not in numbers:
            free = set(range(1, MOST + 1)) - set(numbers.values())
            if not free:
                return full(retention)
            numbers[kept] = min(free)
            made.new.append((numbers[kept], kept))
        made.moved.append((instance, numbers[kept]))
    return made


def news(was: list[tuple[str, str]], holds: Mapping[str, Retention]) -> dict[str, Retention]:
    """Of what is to hold for instances, what does not yet; `was`: the kept class of each."""
    before = {instance: decode(kept) for instance, kept in was}
    return {name: each for name, each in holds.items() if each != before.get(name, Retention())}


def over_before(days: int, now: Micros) -> Micros:
    """What ended before this was kept for so many days, after the day on which it ended."""
    return (now // DAY - days) * DAY


def is_over(days: int | None, ended_at: Micros, now: Micros) -> bool:
    """Whether what ended then was kept for so many days."""
    return days is not None and ended_at < over_before(days, now)
