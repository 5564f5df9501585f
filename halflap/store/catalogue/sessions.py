"""Sessions of users, and the attempts to sign in."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from halflap.errors import HalflapError
from halflap.model import Micros, SignInMethod, User, UserSession, new_id
from halflap.store.catalogue import users
from halflap.store.catalogue.table import CatalogueNoun, CatalogueTable
from halflap.store.catalogue.tokens import hashed
from halflap.store.catalogue.writer import one
from halflap.store.job import JobTransaction
from halflap.store.rules.sign_in import FORGOTTEN, KNOWN, wait_after

PREFIX = "halflap_session_"
MINUTE: Micros = 60_000_000
IDLE: Micros = 12 * 60 * MINUTE
LONGEST: Micros = 7 * 24 * 60 * MINUTE
ROTATED: Micros = 60 * MINUTE
"""The age at which a session's token is replaced."""
OVERLAP: Micros = MINUTE
"""For so long the token before is still good, for requests that are under way."""

SELECT = f"""
SELECT s.id, s.method, s.made_at, s.rotated_at, s.seen_at, s.hash,
    {", ".join(f"u.{each}" for each in users.COLUMNS.split(", "))}
FROM sessions AS s JOIN users AS u ON u.id = s.user_id
WHERE u.disabled = 0 AND s.made_at > ? AND s.seen_at > ?
"""
INSERT = """
INSERT INTO sessions (id, user_id, hash, method, made_at, rotated_at, seen_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
ROTATE = """
UPDATE sessions SET hash = ?, former = hash, former_until = ?, rotated_at = ?, seen_at = ?
WHERE id = ? AND hash = ?
"""
SEEN = "UPDATE sessions SET seen_at = ? WHERE id = ?"
TRY = """
INSERT INTO sign_ins (name, failures, at, until) VALUES (?, 1, ?, 0)
ON CONFLICT (name) DO UPDATE SET at = excluded.at,
    failures = CASE WHEN sign_ins.at < ? THEN 1 ELSE sign_ins.failures + 1 END
    WHERE sign_ins.until <= excluded.at
RETURNING failures
"""
FORGET = "DELETE FROM sign_ins WHERE at < CASE WHEN name LIKE 'known:%' THEN ? ELSE ? END"
ONCE = """
INSERT INTO sign_ins (name, failures, at, until) VALUES (?, 0, ?, 0) ON CONFLICT (name) DO NOTHING
"""
KNOW = """
INSERT INTO sign_ins (name, failures, at, until) VALUES (?, 0, ?, 0)
ON CONFLICT (name) DO UPDATE SET failures = 0, at = excluded.at, until = 0
"""


class TooManyAttempts(HalflapError):
    """Too many attempts to sign in; `seconds` says when the next one is taken."""

    def __init__(self, wait: Micros) -> None:
        self.seconds = -(-wait // 1_000_000)
        super().__init__(f"too many attempts to sign in; try again in {self.seconds} s")


def read(row: Any) -> UserSession:
    """Return the session of a row."""
    return UserSession(row[0], users.read(row[6:]), row[1], row[2])


class UserSessions(CatalogueTable[UserSession]):
    """Starts, finds and ends sessions. Only the hashes of their tokens are kept."""

    _select = SELECT
    _read = staticmethod(read)

    async def start(self, user: User, method: SignInMethod) -> UserSession:
        """Start a session of a user."""
        now, secret = self._clock(), PREFIX + secrets.token_urlsafe(32)
        made = UserSession(new_id("ses", now=now), user, method, now, secret)

        def job(connection: JobTransaction) -> None:
            connection.execute(
                "DELETE FROM sessions WHERE made_at <= ? OR seen_at <= ?",
                (now - LONGEST, now - IDLE),
            )
            row = (made.id, user.id, hashed(secret), method, now, now, now)
            connection.execute(INSERT, row)
            connection.execute("UPDATE users SET signed_in_at = ? WHERE id = ?", (now, user.id))

        await self._writer.note(job)
        return made

    async def known(self, secret: str) -> UserSession | None:
        """Return the session of a token; None where there is none such, or no longer.

        It has a `fresh` token where the one that was shown is an hour old.
        """
        now, shown = self._clock(), hashed(secret)
        sql = f"{SELECT} AND (s.hash = ? OR (s.former = ? AND s.former_until > ?))"
        row = await self._writer.row(sql, now - LONGEST, now - IDLE, shown, shown, now)
        if row is None:
            return None
        found, (rotated_at, seen_at, current) = read(row), row[3:6]
        fresh = None
        if current == shown and rotated_at <= now - ROTATED:
            fresh = await self._rotate(found.id, shown, now)
        elif seen_at <= now - MINUTE:
            await self._writer.note_by(SEEN, now, found.id)
        return UserSession(found.id, found.user, found.method, found.made_at, fresh)

    async def get(self, session: str) -> UserSession | None:
        """Return a session by its id; None where it has ended."""
        now = self._clock()
        return await self._find("AND s.id = ?", now - LONGEST, now - IDLE, session)

    async def end(self, session: str) -> None:
        """End a session by its id."""
        await self._writer.note_by("DELETE FROM sessions WHERE id = ?", session)

    async def _rotate(self, session: str, shown: str, now: Micros) -> str | None:
        """Replace a session's token; None where another request did just now."""
        secret = PREFIX + secrets.token_urlsafe(32)
        values = (hashed(secret), now + OVERLAP, now, now, session, shown)
        return secret if await self._writer.note_by(ROTATE, *values) else None


class SignInAttempts(CatalogueNoun):
    """Counts attempts to sign in, over all processes, by the names of rules/sign_in.py."""

    async def knows(self, known: str) -> bool:
        """Return whether an account was signed in to from an address before, by their `known:…`."""
        query = "SELECT 1 FROM sign_ins WHERE name = ?"
        return await self._writer.row(query, known) is not None

    async def first(self, name: str) -> bool:
        """Note a name for a day; return whether it was not noted yet."""
        return await self._writer.note_by(ONCE, name, self._clock()) == 1

    async def begin(self, *names: str) -> None:
        """Count an attempt as failed, until it succeeds; raises `TooManyAttempts`, and counts nothing."""
        now = self._clock()

        def job(connection: JobTransaction) -> TooManyAttempts | None:
            waits = [row[0] - now for name in names for row in _until(connection, name)]
            if any(each > 0 for each in waits):
                return TooManyAttempts(max(waits))
            connection.execute(FORGET, (now - KNOWN, now - FORGOTTEN))
            for name in sorted(names):
                row = one(connection, TRY, name, now, now - FORGOTTEN)
                if row is None:  # another process counted one just now
                    return TooManyAttempts(max(row[0] - now for row in _until(connection, name)))
                wait = wait_after(name, row[0])
                connection.execute(
                    "UPDATE sign_ins SET until = ? WHERE name = ?", (now + wait, name)
                )
            return None

        await self._writer.note(job)

    async def succeed(self, counted: str, address: str, known: str) -> None:
        """Forget the failures that were counted, but for the address's, and know it from now on."""
        now = self._clock()

        def job(connection: JobTransaction) -> None:
            connection.execute("DELETE FROM sign_ins WHERE name = ?", (counted,))
            connection.execute(KNOW, (known, now))
            row = one(
                connection,
                "UPDATE sign_ins SET failures = failures - 1 WHERE name = ? RETURNING failures",
                address,
            )
            if row is not None:
                until = now + wait_after(address, row[0])
                connection.execute("UPDATE sign_ins SET until = ? WHERE name = ?", (until, address))

        await self._writer.note(job)


def _until(connection: JobTransaction, name: str) -> Sequence[Any]:
    query = "SELECT until FROM sign_ins WHERE name = ?"
    return connection.execute(query, (name,)).fetchall()
