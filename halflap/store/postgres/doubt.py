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
from halflap.store.postgres.connecting import ALONG_INDEXES
from halflap.store.retention import DAY

ADD = "INSERT INTO writers (id, number, seen_at) VALUES (%s, 0, %s) ON CONFLICT DO NOTHING"
MARK = f"""
UPDATE writers SET number = %s, seen_at = %s WHERE id = %s AND number = %s RETURNING {ALONG_INDEXES}
"""
NUMBER = "SELECT number FROM writers WHERE id = %s FOR UPDATE"
REMOVE = "DELETE FROM writers WHERE id = ANY(%s)"
FORGOTTEN: Micros = 7 * DAY
"""The time after its last transaction at which a row is pruned: its process is gone."""
RENEWED: Micros = DAY
"""The time after its last transaction at which a place that still writes takes a new row."""
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
    written_at: Micros = 0

    def current(self, now: Micros) -> WriterRow:
        """Return this row; or a new one, where it was written so long ago that it may be pruned."""
        return self if not self.added or now - self.written_at < RENEWED else WriterRow()

    def marking(self, now: Micros) -> tuple[int, Micros, str, int]:
        """Return the values of `MARK`."""
        return self.number + 1, now, self.id, self.number

    def gone(self, place: str) -> StoreError:
        """Return the error that `MARK` did not change exactly one row."""
        return StoreError(
            f"{place}: the row of this writer ({self.id}) is gone or has another number; was "
            "the database put back to an earlier state? Start again."
        )

    def committed(self, now: Micros) -> None:
        """Note that a transaction was committed that was begun then."""
        self.number, self.written_at = self.number + 1, now

    def was_committed(self, number: int | None) -> bool:
        """Return whether the row's number says that the last transaction was committed."""
        return number == self.number + 1
