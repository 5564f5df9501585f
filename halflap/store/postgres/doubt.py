"""Find the outcome of a transaction whose COMMIT was not answered: one rule for all writes.

Each place that writes counts its transactions in a row of `writers`, within the transaction itself.
Where a COMMIT was not answered, the transaction is done again only if that row does not have the new
number; and looking waits for a commit that is still under way, because it has the row's lock.

`pg_xact_status` cannot stand in for it: a server that crashed gives the numbers of transactions that
it lost to others, and says of them that they were committed (tests/faults/test_doubt.py).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from halflap.errors import StoreError
from halflap.model import Micros

ADD = "INSERT INTO writers (id, number, seen_at) VALUES (%s, 0, %s) ON CONFLICT DO NOTHING"
MARK = "UPDATE writers SET number = %s, seen_at = %s WHERE id = %s AND number = %s"
NUMBER = "SELECT number FROM writers WHERE id = %s FOR UPDATE"
REMOVE = "DELETE FROM writers WHERE id = ANY(%s)"
DOUBT_SECONDS = 30.0
"""Seconds for which the outcome of a COMMIT is looked up; with the pauses, and the wait for the
row's lock.
"""


@dataclass(slots=True)
class WriterRow:
    """A row of `writers`: the transactions of one connection, and of those that come after it."""

    id: str = field(default_factory=lambda: secrets.token_hex(8))
    number: int = 0
    """That of the last transaction that was committed."""
    added: bool = False

    def marking(self, now: Micros) -> tuple[int, Micros, str, int]:
        """Return the values of `MARK`."""
        return self.number + 1, now, self.id, self.number

    def check(self, marked: int, place: str) -> None:
        """Raise `StoreError` where `MARK` did not change exactly one row."""
        if marked != 1:
            raise StoreError(
                f"{place}: the row of this writer ({self.id}) is gone or has another number; was "
                "the database put back to an earlier state? Start again."
            )

    def was_committed(self, number: int | None) -> bool:
        """Return whether the row's number says that the last transaction was committed."""
        return number == self.number + 1
