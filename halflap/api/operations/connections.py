"""Operations on connections: make, change, test, authorize and remove them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from halflap.api.operations import finding
from halflap.api.operations.kinds import Kind, Kinds
from halflap.engine.resolver import Resolver
from halflap.errors import (
    ConfigError,
    Conflict,
    DefinitionError,
    HalflapError,
    Unauthorized,
    UpstreamError,
)
from halflap.model import RECEIVERS, Clock, Micros, StoredConnection
from halflap.sdk import redact
from halflap.sdk.connection import Connection, Link
from halflap.sdk.oauth import Authorization, OAuth2Code, Tokens, check_callback
from halflap.sdk.origin import changed_origins, origins
from halflap.sdk.redact import Redactor
from halflap.sdk.secret import check_headers, nested, put_together, secrets_of, take_apart
from halflap.sdk.trigger import first_line
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.connections import ConnectionFilter, Status

MOST_CONNECTIONS = 1_000
"""The most connections of a customer that its own token makes."""
TEST_SECONDS = 30.0
SIGN_IN: Micros = 600_000_000
MOST_SIGN_INS = 50
"""The most sign-ins that are under way to connections of one customer, or of the team."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that was begun, until the browser comes back."""

    connection: str
    customer: str | None
    session: str | None
    """The session of the person who began it, who alone may end it."""
    authorization: Authorization = field(repr=False)
    until: Micros


@dataclass(slots=True)
class SigningIn:
    """The sign-ins that are under way, whoever began them."""

    clock: Clock
    _begun: dict[bytes, Begun] = field(default_factory=dict[bytes, Begun])

    def begin(
        self, stored: StoredConnection, session: str | None, authorization: Authorization
    ) -> None:
        """Keep a sign-in until it is ended, or ten minutes old; of too many of a customer, the newest."""
        now = self.clock()
        self._begun = {key: each for key, each in self._begun.items() if each.until > now}
        own = [key for key, each in self._begun.items() if each.customer == stored.customer]
        if len(own) >= MOST_SIGN_INS:
            del self._begun[own[0]]
        begun = Begun(stored.id, stored.customer, session, authorization, now + SIGN_IN)
        self._begun[digest(authorization.state)] = begun

    def end(self, state: str, customer: str | None, session: str | None) -> Begun | None:
        """The sign-in of a state, which is good for one end; None where there is none.

        Whoever acts for a `customer` ends those of that customer alone, and a person in a `session`
        those that were begun in it: a link with another one's code and state does nothing.
        """
        key = digest(state)
        begun = self._begun.get(key)
        if begun is None or customer not in (None, begun.customer) or session != begun.session:
            return None
        del self._begun[key]
        return begun if begun.until > self.clock() else None


@dataclass(slots=True)
class ConnectionOperations:
    """Makes, changes, tests, authorizes and removes connections."""

    catalogue: Catalogue
    resolver: Resolver
    kinds: Kinds
    signing_in: SigningIn
    retry_left: Callable[[str], Awaitable[None]]
    """Called with the id of a connection that works again."""
    customer: str | None = None
    """The acting customer: it may use the team's connections, and neither see nor change them."""
    session: str | None = None
    """The session of the person who acts."""

    async def find(self, named: str, customer: str | None = None) -> StoredConnection:
        """A connection by its id, or by its name."""
        if self.customer is None:
            return await finding.connection(self.catalogue, named, customer)
        owner = (await self.catalogue.customers.get(customer or self.customer)).id
        found = await finding.connection(self.catalogue, named, owner)
        if found.customer is None:
            raise self.catalogue.connections.missing(named)
        return found

    async def owners(self, customer: str | None) -> tuple[str, ...]:
        """Return the owners whose connections are listed, the team's being empty; none for all."""
        whose = customer or self.customer
        if whose is None:
            return ()
        owner = (await self.catalogue.customers.get(whose)).id
        return (owner,) if self.customer is not None else (owner, "")

    async def make(
        self,
        name: str,
        component: str,
        kind: Kind,
        values: Mapping[str, Any],
        *,
        customer: str | None,
        test: bool,
    ) -> StoredConnection:
        """Validate a connection, test it at the app, then save it with its secrets sealed.

        `ConfigError` names every wrong field; what the app says in the test is an `UpstreamError`,
        and nothing is saved. One that somebody has to sign in to first is saved untested.
        """
        customer = customer or self.customer
        owner = (await self.catalogue.customers.get(customer)).id if customer is not None else None
        if self.customer is not None:
            own = ConnectionFilter(owners=(self.customer,))
            if await self.catalogue.connections.number(own) >= MOST_CONNECTIONS:
                raise Conflict(
                    f"you have {MOST_CONNECTIONS:,} connections, the most; remove one first"
                )
        taken = await self.catalogue.connections.by_name(owner, name)
        if taken is not None:
            raise ConfigError(
                f"a connection named {name!r} is there already ({taken.id}); choose another name, or "
                "change that one",
                fields={"name": "is taken"},
            )
        connection = put_together(kind, values, {})
        check_headers(connection)
        await self.resolver.with_team_app(connection, component)
        connection, tested = await self._tried(connection, name, test)
        fields, secrets = take_apart(connection)
        return await self.catalogue.connections.save(
            owner,
            component,
            name,
            fields,
            secrets,
            status="working" if tested else "untested",
        )

    async def change(
        self, stored: StoredConnection, name: str | None, values: Mapping[str, Any], *, test: bool
    ) -> StoredConnection:
        """Change a connection: what is left out stays, secrets too; null clears a field.

        Credentials that the app granted for the former account are dropped, so that the test uses
        the new ones. `ConfigError` where an address changes and a secret is not given again, and for a
        receiver's: its secret and headers are changed by its own operations.
        """
        if values and stored.customer is not None:
            await self._check_no_receiver(stored)
        kind = await self.kinds.of(stored)
        known = await self.catalogue.connections.open_secrets(stored.id)
        whole = nested(stored.fields, known)
        connection = put_together(kind, merged(whole, values), {})
        try:
            before = put_together(kind, stored.fields, known)
        except ConfigError:  # its type was changed since
            before = None
        connection = transferred(before, connection, values, stored.name)
        check_headers(connection)
        await self.resolver.with_team_app(connection, stored.component)
        connection, tested = await self._tried(connection, name or stored.name, test)
        fields, secrets = take_apart(connection)
        saved = await self.catalogue.connections.save(
            stored.customer,
            stored.component,
            name or stored.name,
            fields,
            secrets,
            id=stored.id,
            expect_generation=stored.generation,
            status="working" if tested else "untested" if values else stored.status,
        )
        if tested:
            await self._works(stored.id)
        return saved

    async def _check_no_receiver(self, stored: StoredConnection) -> None:
        users = await self.catalogue.instances.users([stored])
        for each in users[stored.id]:
            if each.integration == RECEIVERS:
                raise ConfigError(
                    f"{stored.name!r} is the connection of a receiver, which is changed by PATCH "
                    f"/api/receivers/{each.id}; POST /api/receivers/{each.id}/secret gives it another "
                    "secret"
                )

    async def test(self, stored: StoredConnection) -> StoredConnection:
        """Test a saved connection at the app, and note what it says; raises what is wrong."""
        kind = await self.kinds.of(stored)
        if needs_sign_in(stored):
            raise ConfigError(
                f"nobody has signed in to {stored.name!r} yet; authorize it: "
                f"halflap connections authorize {stored.name}"
            )
        connection = await self.resolver.connection(kind, stored, stored.name)
        status: Status = "working"
        try:
            async with explained(connection):
                try:
                    await connection.test()
                except NotImplementedError:
                    status = "untested" if stored.status == "working" else stored.status
                except Unauthorized as refused:  # not by a 401, which refreshes
                    try:
                        fresh = await connection.refreshed()
                    except Unauthorized:
                        raise refused from None
                    await fresh.test()
        except Unauthorized:
            await self.catalogue.connections.set_status(stored.id, "unauthorized")
            raise
        if status == "working":
            await self._works(stored.id)
        await self.catalogue.connections.set_status(stored.id, status)
        return await self.catalogue.connections.get(stored.id)

    async def _works(self, connection: str) -> None:
        """Go on with what waited for a connection, as its test has passed."""
        await self.resolver.answered(connection)
        await self.retry_left(connection)

    async def authorize(self, stored: StoredConnection, redirect_uri: str | None) -> Authorization:
        """Begin a sign-in: where to send the browser. It is good for ten minutes, once.

        Through the team's own OAuth app, a customer comes back to its callback and nowhere else.
        """
        connection = await self._read(stored)
        auth = sign_in_of(connection, stored)
        registered = "" if auth.team is None else auth.team.callback
        redirect_uri = redirect_uri or registered
        check_callback(redirect_uri, "redirect_uri")
        if self.customer is not None and auth.team is not None and redirect_uri != registered:
            raise ConfigError(
                f"a sign-in through the team's OAuth app comes back to {registered or 'no address yet'}; "
                "leave redirect_uri out",
                fields={"redirect_uri": "is not the callback of the team's OAuth app"},
            )
        page = split(auth.authorize_url)
        if page is None or page.scheme not in ("http", "https"):
            raise ConfigError(
                f"{stored.name!r}: the address to sign in at is no http(s) URL; mend it",
                fields={"auth.authorize_url": "is no http(s) URL"},
            )
        begun = auth.authorization(redirect_uri)
        self.signing_in.begin(stored, self.session, begun)
        return begun

    async def authorized(self, state: str, code: str) -> StoredConnection:
        """End a sign-in: the code for tokens, which are sealed; then test the connection.

        `ConfigError` where no such sign-in was begun in the last ten minutes, or it was ended.
        """
        begun = self.signing_in.end(state, self.customer, self.session)
        if begun is None:
            raise ConfigError(
                "no sign-in with this state is under way: it was ended already, or is older than ten "
                "minutes; begin again",
                fields={"state": "is not known, or no longer"},
            )
        begun.authorization.check_state(state)
        stored = await self.catalogue.connections.get(begun.connection)
        connection = await self._read(stored)
        auth = sign_in_of(connection, stored)
        async with explained(connection, code):
            fresh = await auth.exchange(self.resolver.egress, code, begun.authorization)
        signed_in = connection.model_copy(update={"auth": fresh})
        away: UpstreamError | None = None
        tested = False
        try:
            signed_in, tested = await self._tried(signed_in, stored.name, test=True)
        except Unauthorized:
            raise
        except UpstreamError as error:  # the code is good once, so that the sign-in is kept
            away = error
        fields, secrets = take_apart(signed_in)
        saved = await self.catalogue.connections.save(
            stored.customer,
            stored.component,
            stored.name,
            fields,
            secrets,
            id=stored.id,
            expect_generation=stored.generation,
            account=account_of(signed_in),
            status="working" if tested else "untested",
        )
        if tested:
            await self._works(saved.id)
        if away is not None:
            raise away
        return saved

    async def _read(self, stored: StoredConnection) -> Connection:
        kind = await self.kinds.of(stored)
        secrets = await self.catalogue.connections.open_secrets(stored.id)
        connection = put_together(kind, stored.fields, secrets)
        return await self.resolver.with_team_app(connection, stored.component)

    async def _tried(
        self, connection: Connection, name: str, test: bool
    ) -> tuple[Connection, bool]:
        """Return the connection as it is to be saved, and whether the app accepted it."""
        auth: Any = getattr(connection, "auth", None)
        waits = isinstance(auth, OAuth2Code) and auth.refresh_token is None and auth.is_stale()
        if not test or waits:
            return connection, False
        egress = self.resolver.egress
        newest, granted = connection, False

        async def refresh(current: Connection) -> Connection:
            nonlocal newest, granted
            held: Any = current
            newest = current.model_copy(update={"auth": await held.auth.refresh(egress)})
            granted = True
            return newest

        can_refresh = isinstance(auth, Tokens)
        connection._link = Link(name, None, egress, refresh if can_refresh else None)
        async with explained(connection):
            if isinstance(auth, Tokens) and auth.is_stale():
                connection = await connection.refreshed()
            try:
                await connection.test()
            except NotImplementedError:
                return newest, granted
        return newest, True


def account_of(connection: Connection) -> str | None:
    """Return the account that was signed in to through the team's OAuth app; empty if not through it."""
    declared, auth = connection.app_endpoint, getattr(connection, "auth", None)
    if declared is None or not isinstance(auth, OAuth2Code):
        return None
    account = getattr(auth, declared.field.partition(".")[2], "")
    return str(account or "") if auth.team is not None else ""


def transferred(
    before: Connection | None, after: Connection, values: Mapping[str, Any], name: str
) -> Connection:
    """Return a changed connection without the credentials that were not meant for what it is now.

    A secret belongs to the addresses that it was given for: `ConfigError` names those that have to
    be given again. What the app granted is dropped: all of it where an address or another plain
    field of the way in changed, else, where only its secrets did, the access token.
    """
    known = {} if before is None else origins(before)
    moved = changed_origins(known, origins(after))
    auth: Any = getattr(after, "auth", None)
    if isinstance(auth, Tokens):
        dropped = outdated(getattr(before, "auth", None), auth, all=bool(moved))
        cleared = {
            each: type(auth).model_fields[each].get_default(call_default_factory=True)
            for each in dropped
            if not is_given(values, f"auth.{each}")
        }
        after = after.model_copy(update={"auth": auth.model_copy(update=cleared)})
    if not moved:
        return after
    kept = [each for each in take_apart(after)[1] if not is_given(values, each)]
    if kept:
        fields = ", ".join(moved)
        raise ConfigError(
            f"the address of connection {name!r} changes ({fields}), and its secrets are sent only "
            f"to the address that they were given for; give them again in the same change: "
            f"{', '.join(kept)}",
            fields=dict.fromkeys(kept, f"give it again, since the address changes: {fields}"),
        )
    return after


def outdated(before: Any, after: Tokens, *, all: bool) -> frozenset[str]:
    """Return the granted fields of a way in that no longer belong to it."""
    if all or type(before) is not type(after):
        return after.granted
    differing = {
        name
        for name in type(after).model_fields
        if name not in after.granted and getattr(before, name) != getattr(after, name)
    }
    if any(not isinstance(getattr(after, name), SecretStr) for name in differing):
        return after.granted
    return after.granted & {"access_token", "expires_at"} if differing else frozenset()


def is_given(values: Mapping[str, Any], path: str) -> bool:
    """Return whether a change gives a value of its own for a dotted path."""
    place: Any = values
    for name in path.split("."):
        if not isinstance(place, Mapping):
            return False
        place = cast(Mapping[str, Any], place).get(name)
    return place is not None


@asynccontextmanager
async def explained(connection: Connection, *more: str) -> AsyncGenerator[Redactor]:
    """Run what asks the app; whatever goes wrong is one of our errors, and repeats no secret: none of
    those either that the connection gets meanwhile.
    """
    kind, link = type(connection).__name__, connection._link
    redactor = Redactor([*secrets_of(connection), *more])
    redact.current.set(redactor)
    if link is not None and (get := link.refresh) is not None:

        async def refresh(current: Connection) -> Connection:
            fresh = await get(current)
            redactor.add(secrets_of(fresh))
            return fresh

        connection._link = replace(link, refresh=refresh)
    try:
        async with asyncio.timeout(TEST_SECONDS):
            yield redactor
    except TimeoutError as error:
        raise UpstreamError(
            f"{kind}: the app did not answer within {TEST_SECONDS:.0f} seconds; is the address right?"
        ) from error
    except HalflapError as error:
        error.args = (redactor.text(error.message),)
        if isinstance(error, UpstreamError):
            error.body = redactor.text(error.body)
        if isinstance(error, ConfigError):
            error.fields = redactor.value(error.fields)
        raise
    except Exception as error:
        said = redactor.text(first_line(error))
        raise DefinitionError(
            f"asking the app of {kind} raised {type(error).__name__}: {said}; the app answered what "
            "the component does not expect, or the component is wrong"
        ) from None


def needs_sign_in(stored: StoredConnection) -> bool:
    """Return whether a person has to sign in at the app before the connection can be used."""
    auth = stored.fields.get("auth")
    if not isinstance(auth, dict) or cast(dict[str, Any], auth).get("kind") != "oauth2_code":
        return False
    return not {"auth.access_token", "auth.refresh_token"} & set(stored.secret_names)


def sign_in_of(connection: Connection, stored: StoredConnection) -> OAuth2Code:
    """The connection's way in, where that is to sign in at the app; else `ConfigError`."""
    auth: Any = getattr(connection, "auth", None)
    if not isinstance(auth, OAuth2Code):
        raise ConfigError(
            f"{stored.name!r} needs no sign-in at the app: its credentials are its fields"
        )
    return auth


def split(url: str) -> SplitResult | None:
    """The parts of a URL; None where it is none."""
    try:
        return urlsplit(url)
    except ValueError:
        return None


def digest(state: str) -> bytes:
    """Return the digest by which a state is looked up, so that looking it up tells nothing about
    it.
    """
    return hashlib.sha256(state.encode()).digest()


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """A tree with changes (RFC 7396): null clears, and another `kind` replaces its whole branch."""
    result = dict(old)
    for name, value in new.items():
        known = result.get(name)
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            branch = cast(Mapping[str, Any], value)
            before: Mapping[str, Any] = cast(Any, known) if isinstance(known, Mapping) else {}
            if "kind" in branch and branch["kind"] != before.get("kind"):
                before = {}
            result[name] = merged(before, branch)
        else:
            result[name] = value
    return result
