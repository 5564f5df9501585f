"""The circuit of a connection: open while its app is away, so that nothing spends tries on it.

Closed, it counts failures in a row: connections that fail or break, 502, 503 and 504. Five of them,
and ten seconds without any success, open it. Open, whatever needs the app is parked as for refused
credentials. After a while one execution is let go, whose request may be repeated (see `Parking`): if it
reaches the app, the circuit closes and the others follow, ramping up; else it is open for twice as
long, at most a minute, and the next one is another customer's. While it is open, the store has it as
a rest, so that all workers share it.
"""

from __future__ import annotations

from collections.abc import Callable

from halflap.errors import UpstreamError
from halflap.model import Clock, Micros, to_datetime
from halflap.sdk.gate import Away

AWAY_STATUSES = frozenset({502, 503, 504})
FAILURES = 5
QUIET: Micros = 10_000_000
"""Time from the first failure in a row, after which as many open the circuit."""
FIRST_OPEN: Micros = 5_000_000
LONGEST_OPEN: Micros = 60_000_000
PROBE_LASTS: Micros = 60_000_000
"""Time after which a probe that has not ended no longer keeps others from trying."""


class Circuit:
    """The circuit of one connection in this process.

    `waits_for` is what parked executions wait for; `name` names the connection for people; `note`
    stores that it is open until a time, with the reason, and since when the app is away; or, with the
    time 0, that it is closed.
    """

    def __init__(
        self,
        waits_for: str,
        name: Callable[[], str],
        clock: Clock,
        note: Callable[[Micros, str, Micros], None],
    ) -> None:
        self._waits_for = waits_for
        self._name = name
        self._clock = clock
        self._note = note
        self._failures = 0
        self._failing_since: Micros = 0
        self._opened = 0
        """The number of times that it was opened since it was closed: 0 while it is closed."""
        self._until: Micros = 0
        self._probing_until: Micros = 0
        self._reason = ""

    def enter(self) -> None:
        """Let a request through: any while closed, one after the time is over; else raise `Away`."""
        if not self._opened:
            return
        now = self._clock()
        if now < max(self._until, self._probing_until):
            raise self._error()
        self._probing_until = now + PROBE_LASTS

    @property
    def is_open(self) -> bool:
        """True from the time that the app seemed to be away until it answers."""
        return self._opened > 0

    def release(self) -> None:
        """Let another probe go at once: the one that was let through sent nothing."""
        self._probing_until = 0

    def succeeded(self) -> None:
        """Close the circuit: the app answered."""
        if self._opened:
            self._note(0, "", 0)
        self.close()

    def close(self) -> None:
        """Close the circuit, as the store has it."""
        self._failures = self._opened = 0
        self._until = self._probing_until = 0

    def failed(self, reason: str) -> None:
        """Count a failure, and open the circuit where the app seems to be away."""
        now = self._clock()
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        away = self._failures >= FAILURES and now - self._failing_since >= QUIET
        if (away or self._opened) and now >= self._until:
            self._until = now + min(FIRST_OPEN << min(self._opened, 10), LONGEST_OPEN)
            self._opened += 1
            self._probing_until = 0
            self._reason = reason
            self._note(self._until, reason, self._failing_since)

    def learn(self, until: Micros, reason: str, since: Micros = 0) -> bool:
        """Take over that another worker found the app away; return whether that was unknown."""
        if until <= self._until:
            return False
        self._opened, self._until, self._reason = max(self._opened, 1), until, reason
        self._failures, self._failing_since = max(self._failures, 1), since or self._clock()
        return True

    def away(self, error: UpstreamError) -> Away | None:
        """Return what a failure means while the circuit is open; None where the app answered."""
        if not self._opened or (error.status is not None and error.status not in AWAY_STATUSES):
            return None
        return self._error()

    def _error(self) -> Away:
        at = to_datetime(self._until).isoformat(timespec="seconds").replace("+00:00", "Z")
        return Away(
            f"{self._name()} is away: {self._reason}; it is tried again at {at}",
            waiting_for=self._waits_for,
        )
