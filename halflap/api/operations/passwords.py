"""Passwords: argon2id hashes, of 64 MiB each, made in threads, two at a time.

One of the two is for who is known: somebody with a session, or at an address from which the account was
signed in to before. So a flood of strangers makes strangers wait, and is refused beyond a short queue.
"""

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
MOST_WAITING = 16
"""The most strangers' passwords that wait to be compared; callers have their turns in rotation."""


@dataclass(slots=True)
class Passwords:
    """Makes and verifies hashes of passwords. `made` counts them."""

    known: TurnQueue = field(default_factory=lambda: TurnQueue(1))
    strangers: TurnQueue = field(default_factory=lambda: TurnQueue(1))
    made: int = 0

    @property
    def is_flooded(self) -> bool:
        """True if no more strangers are to wait."""
        return self.strangers.waiting >= MOST_WAITING

    async def hash(self, password: str, caller: Hashable) -> str:
        """Return the hash of the password of somebody with a session."""
        return await self._run(self.known, caller, lambda: hasher().hash(password))

    async def verify(
        self, hash: str | None, password: str, caller: Hashable, *, known: bool
    ) -> bool:
        """Return whether a hash is of a password.

        Where there is no hash, the password is compared with another one, which takes as long.
        """
        compared = hash or NOBODYS
        turns = self.known if known else self.strangers
        matches = await self._run(turns, caller, lambda: is_password(compared, password))
        return matches and hash is not None

    async def _run(self, turns: TurnQueue, caller: Hashable, make: Callable[[], T]) -> T:
        async with turns.of(caller):
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
