"""The members of the team, and the links that sign one in once."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Literal

from halflap.errors import ConfigError, Conflict
from halflap.model import Micros, TeamRole, User, new_id
from halflap.store.catalogue.table import IdentifiedTable
from halflap.store.catalogue.tokens import hashed
from halflap.store.catalogue.writer import Refused, one
from halflap.store.job import JobTransaction

LOCAL = "local"
"""The email of the built-in owner, whom a link that is made with `HALFLAP_TOKEN` signs in."""
LINK_PREFIX = "halflap_link_"
COLUMNS = "id, email, name, role, disabled, password IS NOT NULL, made_at, signed_in_at"
SELECT = f"SELECT {COLUMNS} FROM users"
INSERT = """
INSERT INTO users (id, email, name, role, made_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (email) DO NOTHING
"""
OTHER_OWNER = "SELECT 1 FROM users WHERE role = 'owner' AND disabled = 0 AND id <> ? LIMIT 1"


def read(row: Any) -> User:
    """Return the user of a row."""
    id, email, name, role, disabled, has_password, made_at, signed_in_at = row
    return User(id, email, name, role, bool(disabled), bool(has_password), made_at, signed_in_at)


class Users(IdentifiedTable[User]):
    """Adds, finds, changes and removes users. A user whose role or password changes is signed out, and
    links that sign the user in are void then.
    """

    _select = SELECT
    _lacking = "no user has the id or the email {!r}; see: halflap users list"
    _read = staticmethod(read)

    async def add(self, email: str, name: str, role: TeamRole) -> User:
        """Add a user; raises `ConfigError` where the email is taken."""
        now = self._clock()
        made = User(new_id("usr", now=now), email, name, role, False, False, now, None)

        def job(connection: JobTransaction) -> User | Refused:
            if not connection.execute(INSERT, (made.id, email, name, role, now)).rowcount:
                return ConfigError(
                    f"a user with the email {email!r} is there already",
                    fields={"email": "is taken"},
                )
            return made

        return await self._writer.change(job)

    async def local(self) -> User:
        """Return the built-in owner, who is made where there is none yet."""
        now = self._clock()
        await self._writer.note_by(
            INSERT, new_id("usr", now=now), LOCAL, "Local owner", "owner", now
        )
        return await self.get(LOCAL)

    async def get(self, user: str, /) -> User:
        """Return the user of an id or an email; raises `NotFound`."""
        found = await self.find("id", user) or await self.find("email", user)
        if found is None:
            raise self.missing(user)
        return found

    async def find(self, by: Literal["id", "email", "subject"], value: str) -> User | None:
        """Return the user with an id, an email or a provider's subject; None where there is none."""
        return await self._find(f"WHERE {by} = ?", value)

    async def list(self, after: str | None, limit: int) -> Sequence[User]:
        """Return so many users by email, of those after an email."""
        return await self._page({"email > ?": after}, "email", limit)

    async def password(self, email: str) -> tuple[User, str | None] | None:
        """Return the user of an email, with the hash of the password; None where there is none."""
        sql = f"SELECT {COLUMNS}, password FROM users WHERE email = ?"
        row = await self._writer.row(sql, email)
        return None if row is None else (read(row[:-1]), row[-1])

    async def change(
        self,
        user: str,
        *,
        name: str | None = None,
        role: TeamRole | None = None,
        disabled: bool | None = None,
    ) -> User:
        """Change a user (by id); what is None stays.

        Raises `NotFound`, and `Conflict` where no owner would be left.
        """

        def job(connection: JobTransaction, before: User) -> User | Refused:
            after = (
                before.name if name is None else name,
                before.role if role is None else role,
                before.disabled if disabled is None else disabled,
            )
            if (after[1], after[2]) != (before.role, before.disabled):
                if (refused := _check_owners(connection, before, after[1], after[2])) is not None:
                    return refused
                _sign_out(connection, user)
            connection.execute(
                "UPDATE users SET name = ?, role = ?, disabled = ? WHERE id = ?",
                (after[0], after[1], int(after[2]), user),
            )
            return read(one(connection, f"{SELECT} WHERE id = ?", user))

        return await self._writer.change(self.job_of(user, job))

    async def remove(self, user: str) -> None:
        """Remove a user (by id), with the sessions and keys; raises as `change` does."""

        def job(connection: JobTransaction, found: User) -> Refused | None:
            if (refused := _check_owners(connection, found, None, True)) is not None:
                return refused
            connection.execute("DELETE FROM users WHERE id = ?", (user,))
            return None

        await self._writer.change(self.job_of(user, job))

    async def bind(self, user: str, subject: str) -> bool:
        """Bind a user (by id) to an identity at the provider; false where there is another one."""
        query = "UPDATE users SET subject = ? WHERE id = ? AND coalesce(subject, ?) = ?"
        return await self._writer.note_by(query, subject, user, subject, subject) == 1

    async def set_password(self, user: str, hash: str) -> None:
        """Set the hash of a user's password (by id), and end the user's sessions and links."""

        def job(connection: JobTransaction) -> None:
            connection.execute("UPDATE users SET password = ? WHERE id = ?", (hash, user))
            _sign_out(connection, user)

        await self._writer.note(job)

    async def make_link(self, user: str, lasts: Micros) -> str:
        """Make a link that signs in a user (by id) once; returns its secret, of which a hash is kept.

        Raises `NotFound`, and `Conflict` for a user who is disabled.
        """
        now, secret = self._clock(), LINK_PREFIX + secrets.token_urlsafe(32)

        def job(connection: JobTransaction, found: User) -> Refused | None:
            if found.disabled:
                return Conflict(f"{found.email} is disabled, so no link signs that user in")
            connection.execute("DELETE FROM sign_in_links WHERE expires_at <= ?", (now,))
            connection.execute(
                "INSERT INTO sign_in_links (hash, user_id, expires_at) VALUES (?, ?, ?)",
                (hashed(secret), user, now + lasts),
            )
            return None

        await self._writer.note(self.job_of(user, job))
        return secret

    async def take_link(self, secret: str) -> User | None:
        """Return the user whom a link signs in, and spend it; None where it is none, or no longer."""
        now = self._clock()
        there = "SELECT 1 FROM sign_in_links WHERE hash = ? AND expires_at > ?"
        if await self._writer.row(there, hashed(secret), now) is None:
            return None  # and nothing is written: it is no change of anything

        def job(connection: JobTransaction) -> str | None:
            row = one(
                connection,
                "DELETE FROM sign_in_links WHERE hash = ? AND expires_at > ? RETURNING user_id",
                hashed(secret),
                now,
            )
            return None if row is None else row[0]

        user = await self._writer.note(job)
        return None if user is None else await self.find("id", user)


def _sign_out(connection: JobTransaction, user: str) -> None:
    for table in ("sessions", "sign_in_links"):
        connection.execute(f"DELETE FROM {table} WHERE user_id = ?", (user,))


def _check_owners(
    connection: JobTransaction, user: User, role: TeamRole | None, disabled: bool
) -> Refused | None:
    """Return an error where a change would leave no owner."""
    stays = role == "owner" and not disabled
    if user.role != "owner" or user.disabled or stays:
        return None
    if one(connection, OTHER_OWNER, user.id) is not None:
        return None
    return Conflict(f"{user.email} is the last owner; make somebody else an owner first")
