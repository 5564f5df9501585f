"""Passwords: argon2id hashes, made in threads, few at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread

from halflap.api.operations.turns import TurnQueue

if TYPE_CHECKING:
    from argon2 import PasswordHasher

T = TypeVar("T")

NOBODYS = (
    "$argon2id$v=19$m=65536,t=3,p=4"
    "$/gp7PfP5Gfqox2/3l9/SyA$JBLf7iNeunS3BWMl8H8a0u1zJq5SmZkCbQ+aOP+7dAE"
)
"""The hash of a random text, which costs as much as that of a password."""
AT_ONCE = 2
"""The most hashes that are made side by side, each of 64 MiB; callers have their turns in rotation."""


@dataclass(slots=True)
class Passwords:
    """Makes and verifies hashes of passwords. `made` counts them."""

    turns: TurnQueue = field(default_factory=lambda: TurnQueue(AT_ONCE))
    made: int = 0

    async def hash(self, password: str, caller: Hashable) -> str:
        """Return the hash of a password."""
        return await self._run(caller, lambda: hasher().hash(password))

    async def verify(self, hash: str | None, password: str, caller: Hashable) -> bool:
        """Return whether a hash is of a password.

        Where there is no hash, the password is compared with another one, which takes as long.
        """
        compared = hash or NOBODYS
        matches = await self._run(caller, lambda: is_password(compared, password))
        return matches and hash is not None

    async def _run(self, caller: Hashable, make: Callable[[], T]) -> T:
        async with self.turns.of(caller):
            self.made += 1
            return await anyio.to_thread.run_sync(make)


@cache
def hasher() -> PasswordHasher:
    """Return what makes and verifies hashes, with argon2id's recommended costs."""
    from argon2 import PasswordHasher  # loaded by who signs in, not by every server that starts

    return PasswordHasher()


def is_password(hash: str, password: str) -> bool:
    """Return whether a hash is of a password."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return hasher().verify(hash, password)
    except (VerificationError, InvalidHashError):
        return False
