"""People and programs of the team: users, sign-ins, sessions, keys; and what each of them may do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from halflap.api.operations.oidc import Provider, ProviderRefused
from halflap.api.operations.passwords import Passwords
from halflap.api.principal import Principal
from halflap.api.rights import ACCESSES, ROLES, Right
from halflap.errors import Conflict, HalflapError
from halflap.model import Micros, TeamRole, User, UserSession
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.sessions import TooManyAttempts
from halflap.store.catalogue.users import LOCAL
from halflap.store.vault import Vault

MINUTE: Micros = 60_000_000
INVITED: Micros = 24 * 60 * MINUTE
"""The time for which the first link of a new user is good."""
LINKED: Micros = 10 * MINUTE
"""The time for which any other link is good."""
FRESH: Micros = 15 * MINUTE
"""For so long after a sign-in without a password, a password may be set without the one before."""
FLOODED: Micros = 5_000_000
"""The time after which somebody tries again whom a flood of attempts left no place."""


class SignInRefused(HalflapError):
    """Nobody can be signed in with that. It does not say which part is wrong."""


class MissingRight(HalflapError):
    """Somebody may not give away, or touch, what has a right that they lack."""


@dataclass(slots=True)
class People:
    """Signs in users, and finds the principal of a token, a key or a session."""

    catalogue: Catalogue
    vault: Vault
    passwords: Passwords = field(default_factory=Passwords)
    provider: Provider | None = None
    """The team's OpenID Connect provider."""

    async def bearer(self, secret: str) -> Principal | None:
        """Return the principal of a customer's token or of a key; None where there is none."""
        key = await self.catalogue.keys.known(secret)
        if key is not None:
            rights = frozenset(cast(tuple[Right, ...], key.rights))
            if key.role is not None:
                rights &= ROLES[key.role]
            return Principal("key", key.id, key.name, rights, user=key.user)
        token = await self.catalogue.tokens.known(secret)
        if token is None:
            return None
        rights = ACCESSES[token.access]
        return Principal("customer", token.id, token.label, rights, token.customer)

    def member(self, session: UserSession) -> Principal:
        """Return the principal of a session."""
        user = session.user
        rights = ROLES[user.role]
        return Principal("user", user.id, user.email, rights, session=session.id, user=user.id)

    def csrf(self, session: str) -> str:
        """Return the token that a session's page sends with what changes something."""
        return self.vault.sign(b"csrf|" + session.encode())

    def is_csrf(self, session: str, token: str) -> bool:
        """Return whether a token is that of a session, in constant time."""
        return self.vault.verify(b"csrf|" + session.encode(), token)

    async def sign_in(self, email: str, password: str, address: str) -> UserSession:
        """Sign in a user by email and password; raises `SignInRefused` or `TooManyAttempts`."""
        user = await self._verified(email, password, address)
        return await self.catalogue.sessions.start(user, "password")

    async def _verified(
        self, email: str, password: str, address: str, session: str | None = None
    ) -> User:
        """Return the user whose password it is, counting the attempt; raises as `sign_in` does."""
        attempts, email = self.catalogue.attempts, normalized(email)
        known = f"known:{_digest(email, session or address)}"
        is_known = session is not None or await attempts.knows(known)
        if not is_known and self.passwords.is_flooded:
            raise TooManyAttempts(FLOODED)
        counted = known if is_known else f"account:{_digest(email)}"
        by_address = f"address:{address}"
        await attempts.begin(counted, by_address)
        user, hash = await self.catalogue.users.password(email) or (None, None)
        matches = await self.passwords.verify(hash, password, address, known=is_known)
        if user is None or not matches or user.disabled:
            raise SignInRefused
        await attempts.succeed(counted, by_address, known)
        return user

    async def follow_link(self, link: str, address: str) -> UserSession:
        """Sign in the user of a link, and spend it; raises `SignInRefused` or `TooManyAttempts`.

        What is good is taken, however many others came from that address.
        """
        user = await self.catalogue.users.take_link(link)
        if user is None or user.disabled:
            await self._count_refusal(address)
            raise SignInRefused
        return await self.catalogue.sessions.start(user, "link")

    async def identify(
        self, cookie: str, code: str, state: str, issuer: str | None, address: str
    ) -> UserSession:
        """Sign in whom the provider has identified; raises as `follow_link` does, and `ProviderRefused`.

        A user is found by the provider's subject, at first by the verified email. With a role claim,
        users are added, and have their role from it.
        """
        if self.provider is None:
            await self._count_refusal(address)
            raise SignInRefused("There is no sign-in provider here.")
        try:
            found = await self.provider.end(cookie, code, state, issuer)
        except ProviderRefused:
            await self._count_refusal(address)
            raise
        if not await self.catalogue.attempts.first(f"state:{_digest(state)}"):
            raise ProviderRefused("This sign-in has ended already; begin it again.")
        users, email = self.catalogue.users, normalized(found.email)
        role: TeamRole | None = next((each for each in ROLES if each in found.roles), None)
        if self.provider.settings.role_claim and role is None:
            raise ProviderRefused("The sign-in provider gives you no role here.")
        user = await users.find("subject", found.subject)
        if user is None and email:
            user = await users.find("email", email)
            if user is None and role is not None:
                user = await users.add(email, found.name, role)
            if user is not None and not await users.bind(user.id, found.subject):
                raise ProviderRefused(f"{email} is another person at the sign-in provider.")
        if user is None or user.disabled:
            raise SignInRefused
        if role is not None and user.role != role:
            user = await users.change(user.id, role=role)
        return await self.catalogue.sessions.start(user, "oidc")

    async def _count_refusal(self, address: str) -> None:
        """Count a link or a code that signs nobody in; raises `TooManyAttempts` from too many on."""
        await self.catalogue.attempts.begin(f"address:{address}")

    async def set_password(
        self, session: str, current: str | None, password: str, now: Micros, address: str
    ) -> UserSession:
        """Set the password of a session's user; ends all of the user's sessions, and starts another.

        The one before is asked for, but for a while after a sign-in without it.
        """
        found = await self.catalogue.sessions.get(session)
        if found is None:
            raise SignInRefused
        user = found.user
        if user.email == LOCAL:
            raise Conflict("the local owner has no password; sign in with: halflap console")
        recent = found.method != "password" and found.made_at > now - FRESH
        if user.has_password and not recent:
            await self._verified(user.email, current or "", address, session)
        hash = await self.passwords.hash(password, address)
        await self.catalogue.users.set_password(user.id, hash)
        return await self.catalogue.sessions.start(user, found.method)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def normalized(email: str) -> str:
    """Return an email as accounts are compared by it."""
    return email.strip().casefold()


def check_grant(principal: Principal, rights: Iterable[str]) -> None:
    """Raise `MissingRight` where a principal would give somebody a right that it does not have."""
    missing = sorted(set(rights) - principal.rights)
    if missing:
        raise MissingRight(f"you lack the right {missing[0]!r}, and cannot give it to others")


def check_reach(principal: Principal, user: User) -> None:
    """Raise `MissingRight` where a user has a right that a principal, who would change it, lacks."""
    if not ROLES[user.role] <= principal.rights:
        raise MissingRight(f"{user.email} has rights that you lack, so you cannot change that user")
