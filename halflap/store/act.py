"""Acts: requests that may change something, whose entry in the audit log is written with the change.

Whatever writes for a request, in its task or in one that it began, writes the entry in the same
transaction, whichever store that is of. The entry has no status yet; it is completed as the request is
answered. So one that has none tells of a change whose request was never answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from halflap.errors import HalflapError
from halflap.store.job import JobTransaction

T = TypeVar("T")
C = TypeVar("C", bound=JobTransaction)
Statement = tuple[str, tuple[Any, ...]]


@dataclass(eq=False, slots=True)
class Act:
    """A request under way; `statements` add its entry, as far as it is known, where there is none."""

    statements: Callable[[], Sequence[Statement]]
    written: bool = False
    ended: bool = False
    """True once what is written is no change of the request's any more."""


acts: ContextVar[tuple[Act, ...]] = ContextVar("acts", default=())
"""The requests that what is written now is written for."""


def open_acts() -> list[Act]:
    """Return the requests whose entry has to be written with what is written now."""
    begun = acts.get()
    return [each for each in begun if not each.ended] if begun else []


def is_refused(result: Any) -> bool:
    """Return whether a job refused, and so wrote nothing: it returned an error, or has it in front."""
    first = cast("tuple[Any, ...]", result)[:1] if isinstance(result, tuple) else (result,)
    return any(isinstance(each, HalflapError) for each in first)


def audited(job: Callable[[C], T], begun: Sequence[Act]) -> Callable[[C], T]:
    """Return a job that writes the entries of these requests with what it changes."""
    statements = [each for act in begun for each in act.statements()]

    def both(connection: C) -> T:
        result = job(connection)
        if not is_refused(result):
            for sql, values in statements:
                connection.execute(sql, values)
        return result

    return both


def note_written(begun: Sequence[Act], result: Any) -> None:
    """Note that the entries of these requests are on disk, unless the job refused."""
    for act in begun:
        act.written = act.written or not is_refused(result)


def note_once_done(begun: Sequence[Act], future: asyncio.Future[Any]) -> None:
    """Note it as a job ends well."""
    if not future.cancelled() and future.exception() is None:
        note_written(begun, future.result())
