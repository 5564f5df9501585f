"""Refuse definitions that earlier versions of Halflap took.

They are refused wherever they are written: by lint, in a test, as they are published. A version that was
published before goes on as it ran, or an upgrade would stop its flows (what Kubernetes calls
ratcheting): where it is loaded and run, the log has the same text as a warning.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

import structlog

from halflap.errors import DefinitionError

log = structlog.get_logger("halflap.sdk")

published: ContextVar[list[str] | None] = ContextVar("published", default=None)
"""Texts of what was found in the published version that is loaded or run; None where it is no such."""


@contextmanager
def as_published(is_published: bool = True) -> Generator[list[str]]:
    """Load or declare what was published; with False, what was not. Yields the texts of its warnings."""
    found: list[str] = []
    token = published.set(found if is_published else None)
    try:
        yield found
    finally:
        published.reset(token)


def refuse(error: DefinitionError | ValueError) -> None:
    """Raise an error of a definition that was taken before; of a published version, log it once."""
    if (found := published.get()) is None:
        raise error
    is_placed = isinstance(error, DefinitionError) and error.where is not None
    found.append(why := str(error) if is_placed else f"{_place()}: {error}")
    _warn(why)


@lru_cache(maxsize=1_000)
def _warn(why: str) -> None:
    log.warning("a published version has what would be refused today; it runs as it did", why=why)


def _place() -> str:
    """Return the innermost line that is not Halflap's own, as `file:line`."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("halflap."):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
