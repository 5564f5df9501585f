"""Keys of programs: for the whole tenant, with the rights that they were given."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from halflap.model import AccessKey, Micros, new_id
from halflap.store.catalogue.table import CatalogueTable
from halflap.store.catalogue.tokens import hashed
from halflap.store.job import JobTransaction, json_text

PREFIX = "halflap_key_"
SEEN: Micros = 60_000_000
"""The last use of a key is written at most so often."""
SELECT = """
SELECT k.id, k.name, k.rights, k.user_id, u.role, k.made_at, k.renewed_at, k.expires_at,
    k.former_until, k.used_at
FROM keys AS k LEFT JOIN users AS u ON u.id = k.user_id
WHERE k.expires_at > ? AND (k.user_id IS NULL OR u.disabled = 0)
"""
INSERT = """
INSERT INTO keys (id, user_id, name, rights, hash, made_at, renewed_at, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
ROTATE = """
UPDATE keys SET hash = ?, former = hash, former_until = ?, renewed_at = ?,
    expires_at = ? + expires_at - renewed_at
WHERE id = ? AND expires_at > ?
"""


def read(row: Any) -> AccessKey:
    """Return the key of a row."""
    id, name, rights, *rest = row
    return AccessKey(id, name, tuple(msgspec.json.decode(rights, type=list[str])), *rest)


class AccessKeys(CatalogueTable[AccessKey]):
    """Makes, finds, rotates and revokes keys. Only the hashes of their secrets are kept."""

    _select = SELECT
    _lacking = "no key has the id {!r}; see: halflap keys list"
    _read = staticmethod(read)

    async def make(
        self, name: str, rights: Sequence[str], lasts: Micros, user: str | None
    ) -> tuple[str, str]:
        """Make a key; returns its id and its secret."""
        now, secret = self._clock(), PREFIX + secrets.token_urlsafe(32)
        id, written = new_id("key", now=now), json_text(list(rights))
        row = (id, user, name, written, hashed(secret), now, now, now + lasts)

        def job(connection: JobTransaction) -> None:
            connection.execute("DELETE FROM keys WHERE expires_at <= ?", (now,))
            connection.execute(INSERT, row)

        await self._writer.note(job)
        return id, secret

    async def known(self, secret: str) -> AccessKey | None:
        """Return the key of a secret; None where there is none such, or no longer. Notes its use."""
        if not secret.startswith(PREFIX):
            return None
        now, shown = self._clock(), hashed(secret)
        which = "AND (k.hash = ? OR (k.former = ? AND k.former_until > ?))"
        found = await self._find(which, now, shown, shown, now)
        if found is not None and (found.used_at is None or found.used_at <= now - SEEN):
            await self._writer.note_by("UPDATE keys SET used_at = ? WHERE id = ?", now, found.id)
        return found

    async def list(self, after: str | None, limit: int) -> Sequence[AccessKey]:
        """Return so many of the keys that are good now, oldest first, of those after an id."""
        rest = f"AND k.id > ? ORDER BY k.id LIMIT {limit:d}"
        return await self._all(rest, self._clock(), after or "")

    async def get(self, key: str) -> AccessKey:
        """Return a key by its id; raises `NotFound`."""
        return await self._get(self.missing(key), "AND k.id = ?", self._clock(), key)

    async def rotate(self, key: str, overlap: Micros) -> str:
        """Give a key a new secret, which lasts as long as the first; the one before is good a while.

        Raises `NotFound`.
        """
        now, secret = self._clock(), PREFIX + secrets.token_urlsafe(32)
        values = (hashed(secret), now + overlap, now, now, key, now)
        await self._writer.note_by(ROTATE, *values, lacking=self.missing(key))
        return secret

    async def revoke(self, key: str) -> None:
        """Revoke a key by its id: its next request is refused. Raises `NotFound`."""
        await self._writer.note_by("DELETE FROM keys WHERE id = ?", key, lacking=self.missing(key))
