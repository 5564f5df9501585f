"""Python sources as trees, parsed in one thread at a time."""

from __future__ import annotations

import ast
import threading

_LOCK = threading.RLock()
_TRIES = 5


def parse(
    source: str | bytes, path: str = "<unknown>", version: tuple[int, int] | None = None
) -> ast.Module:
    """Parse a source, in this Python's grammar or a version's; raises what `ast.parse` raises.

    CPython 3.11 counts how deep a tree is for all threads at once: where two threads parse, and the
    collector runs meanwhile, it raises a SystemError about its own counting. What parses outside of
    Halflap (the standard library, as it formats a traceback) is outside of the lock: hence the tries.
    """
    with _LOCK:
        for _ in range(_TRIES - 1):
            try:
                return ast.parse(source, path, feature_version=version)
            except SystemError:
                continue
        return ast.parse(source, path, feature_version=version)
