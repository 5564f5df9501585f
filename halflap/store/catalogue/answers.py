"""Answers to requests with an `Idempotency-Key`, so that one that is repeated is not done again."""

from __future__ import annotations

from dataclasses import dataclass

from halflap.errors import ConfigError, Conflict
from halflap.model import A_DAY
from halflap.store.catalogue.table import CatalogueNoun
from halflap.store.catalogue.writer import Refused, one
from halflap.store.job import JobTransaction

BEGIN = """
INSERT INTO answers (principal, key, digest, kept_until) VALUES (?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
PRUNE = """
DELETE FROM answers WHERE (principal, key) IN
    (SELECT principal, key FROM answers WHERE kept_until <= ? ORDER BY kept_until LIMIT ?)
"""


class KeyReused(ConfigError):
    """The `Idempotency-Key` was sent with another request; send each request with a key of its own."""


class Unanswered(Conflict):
    """A request with this `Idempotency-Key` has no answer: it runs still, or its process ended before
    it was answered, and it may have been done. Ask again in a moment; if that stays so, look for what
    it makes, then send it with another key.
    """


@dataclass(frozen=True, slots=True)
class RepeatedRequest:
    """A request by its principal and its key, with the digest of what it asks for."""

    principal: str
    key: str
    digest: str

    @property
    def place(self) -> tuple[str, ...]:
        """The place that its answer is sealed for."""
        return ("answers", self.principal, self.key)


class StoredAnswers(CatalogueNoun):
    """Keeps answers for a day, sealed: a made key or token is among them."""

    async def begin(self, request: RepeatedRequest) -> str | None:
        """Begin a request, of which None is returned; or return the answer that it had.

        Raises `KeyReused`, and `Unanswered` where it was begun and has no answer.
        """
        now, (principal, key) = self._clock(), (request.principal, request.key)

        def job(connection: JobTransaction) -> bytes | Refused | None:
            old = "DELETE FROM answers WHERE principal = ? AND key = ? AND kept_until <= ?"
            connection.execute(old, (principal, key, now))
            values = (principal, key, request.digest, now + A_DAY)
            if connection.execute(BEGIN, values).rowcount:
                return None
            found = "SELECT digest, answer FROM answers WHERE principal = ? AND key = ?"
            row = one(connection, found, principal, key)
            if row is None:
                return Unanswered()
            if row[0] != request.digest:
                return KeyReused()
            return Unanswered() if row[1] is None else bytes(row[1])

        sealed = await self._writer.note(job)
        return None if sealed is None else self._vault.open(sealed, request.place)

    async def keep(self, request: RepeatedRequest, answer: str) -> None:
        """Keep the answer of a request that was begun."""
        sealed = self._vault.seal(answer, request.place)
        sql = "UPDATE answers SET answer = ? WHERE principal = ? AND key = ?"
        await self._writer.note_by(sql, sealed, request.principal, request.key)

    async def forget(self, request: RepeatedRequest) -> None:
        """Forget a request that was begun, and refused: it may be sent again."""
        sql = "DELETE FROM answers WHERE principal = ? AND key = ? AND answer IS NULL"
        await self._writer.note_by(sql, request.principal, request.key)

    async def prune(self, most: int) -> bool:
        """Remove some of what was kept for a day; returns whether there may be more."""
        return await self._writer.note_by(PRUNE, self._clock(), most) == most
