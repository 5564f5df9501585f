"""Retention classes: a number for each set of durations that is said beside the server's own.

An execution that ends is given the number of its instance's class. What a class leaves open is as
the server says, at any time: so another setting also holds for what has ended before. Class 0 says
nothing.
"""

from __future__ import annotations

from dataclasses import asdict

import msgspec

from halflap.errors import ConfigError
from halflap.model import Micros, Retention
from halflap.store.job import Connection

DAY: Micros = 86_400_000_000
MOST = 8
"""How many classes there may be: in PostgreSQL each has tables of its own for every day."""

ALL = "SELECT number, kept FROM retention_classes ORDER BY number"
ADD = "INSERT INTO retention_classes (number, kept) VALUES (?, ?)"
FIND = "SELECT number FROM retention_classes WHERE kept = ?"
NUMBERS = "SELECT number FROM retention_classes ORDER BY number"
UNUSED = """
SELECT number FROM retention_classes
WHERE NOT EXISTS (SELECT 1 FROM retained WHERE retained.retention = number)
"""
RETAIN = """
INSERT INTO retained (instance, retention) VALUES (?, ?)
ON CONFLICT (instance) DO UPDATE SET retention = excluded.retention
"""
RELEASE = "DELETE FROM retained WHERE instance = ?"
OF = (
    "coalesce((SELECT retained.retention FROM retained WHERE retained.instance = {of}.instance), 0)"
)
"""SQL for the class in which an execution ends."""


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


def retain(connection: Connection, instance: str, retention: Retention) -> ConfigError | None:
    """Have an instance's executions end in the class of a retention; refuses one class too many."""
    if retention == Retention():
        connection.execute(RELEASE, (instance,))
        return None
    row = connection.execute(FIND, (encode(retention),)).fetchone()
    if row is None:
        taken = {each[0] for each in connection.execute(NUMBERS)}
        if len(taken) >= MOST:
            return full(retention)
        row = (next(n for n in range(1, MOST + 1) if n not in taken),)
        connection.execute(ADD, (row[0], encode(retention)))
    connection.execute(RETAIN, (instance, row[0]))
    return None


def over_before(days: int, now: Micros) -> Micros:
    """What ended before this was kept for so many days, after the day on which it ended."""
    return (now // DAY - days) * DAY


def is_over(days: int | None, ended_at: Micros, now: Micros) -> bool:
    """Whether what ended then was kept for so many days."""
    return days is not None and ended_at < over_before(days, now)
