"""The waits between attempts to sign in: longer with each failure, and never for good."""

from __future__ import annotations

from halflap.model import Micros

FREE = {"account": 5, "known": 5, "address": 20}
"""By what attempts are counted by, the number of failures without a wait.

An address from which an account was signed in to before has a count of its own with it (`known`): so a
guesser elsewhere, who is counted by the account, makes nobody wait there.
"""
SECOND: Micros = 1_000_000
LONGEST: Micros = 900 * SECOND
FORGOTTEN: Micros = 86_400 * SECOND
"""After so long without an attempt, failures are forgotten."""
KNOWN: Micros = 90 * FORGOTTEN
"""After so long without an attempt, an address is not known any more."""


def wait_after(name: str, failures: int) -> Micros:
    """Return for how long the next attempt waits after so many failures of `account:…`, say."""
    over = failures - FREE[name.partition(":")[0]]
    return 0 if over < 0 else min(SECOND << min(over, 20), LONGEST)
