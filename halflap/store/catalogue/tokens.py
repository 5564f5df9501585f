"""Tokens: what acts for one customer at the API, until it expires or is revoked."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any

from halflap.model import Access, Micros, Token, new_id
from halflap.store.catalogue.customers import Customers
from halflap.store.catalogue.table import CatalogueTable
from halflap.store.catalogue.writer import Refused, one
from halflap.store.job import JobTransaction

PREFIX = "halflap_"
"""The prefix of every token, so that scanners of code find one that was left there."""

SELECT = "SELECT id, customer, access, label, made_at, expires_at FROM tokens"
INSERT = """
INSERT INTO tokens (id, customer, hash, access, label, made_at, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""


class TokenCatalogue(CatalogueTable[Token]):
    """Makes, finds and revokes tokens. Only their hashes are kept."""

    _select = SELECT
    _lacking = "no token has the id {!r}; see: halflap tokens list"

    @staticmethod
    def _read(row: Any) -> Token:
        return Token(*row)

    async def make(
        self, customer: str, access: Access, lasts: Micros, label: str = ""
    ) -> tuple[Token, str]:
        """Make a token for a customer (by id); it is returned this once. Raises `NotFound`."""
        now = self._clock()
        made = Token(new_id("tok", now=now), customer, access, label, now, now + lasts)
        secret = PREFIX + secrets.token_urlsafe(32)

        def job(connection: JobTransaction) -> Refused | None:
            if one(connection, "SELECT 1 FROM customers WHERE id = ?", customer) is None:
                return Customers.missing(customer)
            # What has expired is of no use to anybody.
            connection.execute("DELETE FROM tokens WHERE expires_at <= ?", (now,))
            connection.execute(
                INSERT,
                (made.id, customer, hashed(secret), access, label, now, made.expires_at),
            )
            return None

        await self._writer.note(job)
        return made, secret

    async def known(self, secret: str) -> Token | None:
        """The token that somebody shows; None where there is none such, or no longer."""
        if not secret.startswith(PREFIX):
            return None
        return await self._find("WHERE hash = ? AND expires_at > ?", hashed(secret), self._clock())

    async def list(self, customer: str | None, after: str | None, limit: int) -> Sequence[Token]:
        """Return tokens that have not expired, oldest first: of a customer (by id), or of all.

        So many of those after an id.
        """
        wanted = {"expires_at > ?": self._clock(), "customer = ?": customer, "id > ?": after}
        return await self._page(wanted, "id", limit)

    async def revoke(self, token: str) -> None:
        """Revoke a token by its id: its next request is refused. Raises `NotFound`."""
        sql = "DELETE FROM tokens WHERE id = ?"
        await self._writer.note_by(sql, token, lacking=self.missing(token))


def hashed(secret: str) -> str:
    """Return the stored hash of a token: 256 random bits need no slow one."""
    return hashlib.sha256(secret.encode()).hexdigest()
