"""The events of a simulation, line by line, and a hash of all of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from hashlib import blake2b

LINES_KEPT = 400


class Violation(AssertionError):
    """A promise was broken: which one, and how."""

    def __init__(self, promise: str, how: str) -> None:
        super().__init__(promise, how)
        self.promise = promise
        self.how = how

    def __str__(self) -> str:
        return f"{self.promise}: {self.how}"


class Trace:
    """The last lines of what happened, the hash of all lines, and counts of what matters."""

    def __init__(self, now: Callable[[], float], stop: Callable[[Violation], None]) -> None:
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.counts: Counter[str] = Counter()
        self._now = now
        self._stop = stop
        self._hash = blake2b(digest_size=16)

    def note(self, who: str, what: str, counted: str = "") -> None:
        """Note one thing, and count it."""
        line = f"{self._now():14.6f} {who:<8} {what}"
        self.lines.append(line)
        self._hash.update(line.encode())
        if counted:
            self.counts[counted] += 1

    def broken(self, violation: Violation) -> None:
        """A promise was broken: the world ends here."""
        self.note("world", f"BROKEN: {violation}")
        self._stop(violation)

    def hash(self) -> str:
        """The hash of all that was noted."""
        return self._hash.hexdigest()
