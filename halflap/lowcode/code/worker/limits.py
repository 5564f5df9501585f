"""Limits of one run of a code step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodeLimits:
    """Limits of one run of a code step; a run over a limit fails with `CodeFailed`."""

    seconds: float = 1.0
    """Of running. The time for which it waits for an action does not count."""
    memory: int = 64 << 20
    """Bytes that its values take in the sandbox."""
    depth: int = 400
    """The depth to which its functions may call each other."""
    calls: int = 1_000
    """The number of actions that it may call."""
    printed: int = 64 << 10
    """Bytes that it may print; a line counts as 16 at least."""
    result: int = 1 << 20
    """Bytes of what leaves the sandbox at a time: the result, the inputs of what is called at once."""
