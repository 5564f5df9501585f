"""Keep what was due before a clock was set back due after it, too."""

from __future__ import annotations

from halflap.model import Clock, Micros

NOTICED: Micros = 1_000_000
"""By how much a clock is set back before it counts: less than that is a measurement."""


class Hindsight:
    """A clock that remembers the latest time it showed, where it was set back since."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest: Micros = 0
        self.before: Micros = 0
        """The time before the clock was set back; 0 where it was not, or that was dealt with."""

    def __call__(self) -> Micros:
        now = self._clock()
        if now > self._latest:
            self._latest = now
        elif now < self._latest - NOTICED:
            self.before = max(self.before, self._latest)
            self._latest = now
        return now
