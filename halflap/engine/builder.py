"""Build the work of a flow from its facts, in a server as in a child process."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

import structlog
from pydantic import SecretStr, ValidationError

from halflap.engine.deployment import Lifecycle
from halflap.engine.executor import Work
from halflap.engine.facts import FactSource, FlowFacts, Learnt, StoredAccount, holding
from halflap.engine.gate import AccountGate, limits_of
from halflap.engine.library import Library
from halflap.engine.routing import RouteTarget, check_takes_routes
from halflap.engine.throttle import LocalKeeper, Throttles
from halflap.engine.twoway import Partner
from halflap.errors import (
    ConfigError,
    DefinitionError,
    HalflapError,
    NotFound,
    Unauthorized,
    Unrouted,
)
from halflap.model import SYSTEM, FlowKey, OAuthApp, StoredConnection, wall_clock
from halflap.sdk.connection import Connection, Link
from halflap.sdk.context import CustomerInfo, InstanceInfo
from halflap.sdk.egress import Egress
from halflap.sdk.gate import Judgement
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.link import PREFIX, SignalLink, write_link
from halflap.sdk.oauth import OAuth2Code
from halflap.sdk.redact import Redactor
from halflap.sdk.routing import Route
from halflap.sdk.schema import Config
from halflap.sdk.secret import config_error, put_together, secrets_of, take_apart
from halflap.store.protocol import Journal
from halflap.store.vault import Vault


class WorkBuilder:
    """Makes a flow's config, connections and functions of its facts."""

    def __init__(
        self,
        source: FactSource,
        vault: Vault,
        library: Library,
        *,
        base_url: Callable[[], str],
        egress: Egress,
        throttles: Throttles | None = None,
        journal: Journal | None = None,
    ) -> None:
        """`throttles` says how fast apps may be called; by default, this process by itself."""
        self.source = source
        self.library = library
        self.egress = egress
        self._lifecycle = Lifecycle(source, library.integration, self.config, journal)
        self._vault = vault
        self._base_url = base_url
        self._throttles = throttles or Throttles(LocalKeeper(wall_clock), wall_clock)
        self._judges = Judges(source, self.connection, time.monotonic)

    async def build(self, facts: FlowFacts) -> Work:
        """Return the work of a flow; raise `NotFound` where its version does not run here."""
        key = facts.key
        integration = await self.library.integration(key.version)
        flow, siblings = self.flow(integration, key), integration.flows
        seal, unseal = self.seals(key.customer)
        customer = CustomerInfo(key.customer, f"{integration.title}: all customers")
        instance, config = InstanceInfo(key.customer, "shared endpoint"), None
        if facts.customer is not None and facts.instance is not None:
            config = await self.config(integration, key.instance, key.revision)
            flow = flow.resolved(config)
            siblings = {name: each.resolved(config) for name, each in siblings.items()}
            found = facts.customer
            customer = CustomerInfo(found.id, found.name, found.external_id)
            instance = InstanceInfo(facts.instance.id, facts.instance.name)
        return Work(
            flow=flow,
            config=config,
            redactor=redactor_of(facts, config),
            customer=customer,
            instance=instance,
            urls={name: self.url(each) for name, each in facts.endpoints.items()},
            secret=lambda flow: SecretStr(facts.secrets[flow]) if config else refuse_secret(flow),
            seal=seal,
            unseal=unseal,
            egress=self.egress,
            partner=None if config is None else partner_of(flow, config),
            doorkeeper=doorkeeper_of(flow, integration, config),
            siblings=siblings,
            link=self.link,
            aim=self.aim,
            shared_urls={name: self.url(each) for name, each in facts.shared.items()},
            is_published=True,
        )

    def flow(self, integration: Integration[Any], key: FlowKey) -> Flow[Any, Any, Any]:
        """Return a flow of an integration, or of an instance's life; raise `NotFound`."""
        if key.flow.startswith(SYSTEM):
            return self._lifecycle.flow(key.flow, integration, key)
        if key.flow not in integration.flows:
            raise NotFound(
                f"version {key.version[:12]} of {integration.name} has no flow {key.flow!r}; it has: "
                f"{', '.join(integration.flows)}"
            )
        return integration.flows[key.flow]

    async def aim(self, key: FlowKey, route: Route) -> RouteTarget:
        """Return the target of a flow's route; `Unrouted`, with what to mend, where there is none."""
        target = await self.source.routed(key, route.name, route.whose)
        integration = await self.library.integration(target.version)
        flow = integration.flows.get(route.name)
        if flow is None:
            raise Unrouted(
                f"version {target.version[:12]} of {key.integration}, which {target.instance} is on, "
                f"has no flow {route.name!r}; upgrade the instance, then replay this"
            )
        check_takes_routes(flow)
        flow = await self.flow_of(integration, flow, target.instance, target.revision)
        _, unseal = self.seals(key.customer)
        seal, _ = self.seals(target.customer)
        return RouteTarget(replace(target, flow=flow.name), flow, lambda text: seal(unseal(text)))

    async def config(self, integration: Integration[Any], instance: str, revision: int) -> Config:
        """Return an instance's config of one revision, its connections linked to their accounts."""
        stored = await self.source.revision(instance, revision)
        values: dict[str, Any] = dict(stored.values)
        for name, kind in integration.connections().items():
            if name in stored.accounts:
                values[name] = self._gated(kind, stored.accounts[name], name)
        return validated(integration, values)

    async def flow_of(
        self,
        integration: Integration[Any],
        flow: Flow[Any, Any, Any],
        instance: str,
        revision: int,
    ) -> Flow[Any, Any, Any]:
        """Return a flow as an instance has it: its trigger and its filter read the config."""
        if not flow.reads_config:
            return flow
        return flow.resolved(await self.config(integration, instance, revision))

    def connection(
        self, kind: type[Connection], account: StoredAccount, name: str, *, gated: bool = False
    ) -> Connection:
        """Return an account as its component's connection, linked so that it can refresh itself."""
        found = put_together(kind, account.stored.fields, account.secrets)
        signed_in(found, account.app)

        async def refresh(current: Connection) -> Connection:
            fresh = await self._refreshed(current, account.stored)
            return (self._gated if gated else self.connection)(kind, fresh, name)

        can_refresh = getattr(getattr(found, "auth", None), "refresh", None) is not None
        found._link = Link(name, account.stored.id, self.egress, refresh if can_refresh else None)
        return found

    def _gated(self, kind: type[Connection], account: StoredAccount, name: str) -> Connection:
        """Return a connection as flows use it: behind the gate of its limits and its credentials."""
        found, stored = self.connection(kind, account, name, gated=True), account.stored
        throttle = self._throttles.of(stored.id)
        throttle.name, throttle.limits = stored.name, limits_of(kind, stored.limits)
        link = found._link
        assert link is not None
        link.gate = AccountGate(stored, throttle, lambda: self._judges.judge(kind, stored))
        return found

    async def _refreshed(self, current: Connection, used: StoredConnection) -> StoredAccount:
        """Refresh credentials once, whoever asks; others get what the first one got."""
        generation = used.generation
        async with holding(self.source, used.id) as held:
            if held.account.stored.generation == generation:
                auth: Any = getattr(current, "auth")  # noqa: B009
                try:
                    fresh = current.model_copy(update={"auth": await auth.refresh(self.egress)})
                except Unauthorized:
                    held.learnt = Learnt(generation)
                    raise
                fields, secrets = take_apart(fresh)
                held.learnt = Learnt(generation, secrets, fields)
        self._judges.renewed(held.account.stored)
        return held.account

    def url(self, endpoint: str) -> str:
        """Return the public URL of an endpoint."""
        return f"{self._base_url().rstrip('/')}/hooks/{endpoint}"

    def link(self, link: SignalLink) -> str:
        """Return the public URL of a link to answer a flow with."""
        return f"{self._base_url().rstrip('/')}{PREFIX}{write_link(link, self._vault.sign)}"

    def seals(self, customer: str) -> tuple[Callable[[str], str], Callable[[str], str]]:
        """Return the functions that seal a customer's secrets in records, and open them again."""
        about = (customer, "", "record")

        def seal(text: str) -> str:
            return base64.b64encode(self._vault.seal(text, about)).decode()

        def unseal(text: str) -> str:
            return self._vault.open(base64.b64decode(text), about)

        return seal, unseal


def signed_in(connection: Connection, app: OAuthApp | None) -> None:
    """Have a connection sign in through the team's own OAuth app, where it has no client of its own."""
    auth = connection.__dict__.get("auth")
    if isinstance(auth, OAuth2Code) and not auth.client_id:
        auth.use(app)


def redactor_of(facts: FlowFacts, config: Config | None) -> Redactor:
    """Return the redactor of every secret of an instance."""
    found = [*facts.secrets.values()]
    for each in vars(config).values() if config is not None else ():
        if isinstance(each, Connection):
            found += secrets_of(each)
    for each in facts.subscriptions:
        found += [secret for secret in (each.secret, each.former) if secret]
    return Redactor(found)


def refuse_secret(flow: str) -> SecretStr:
    """A flow of a shared endpoint is nobody's, so it has nobody's secrets."""
    raise DefinitionError(f"the secret of {flow} is an instance's, and a shared flow has none")


def validated(integration: Integration[Any], values: dict[str, Any]) -> Config:
    """The values as the integration's config; what is missing or wrong is a `ConfigError` by field."""
    missing = [name for name in integration.connections() if name not in values]
    if missing:
        raise ConfigError(
            f"the config of {integration.name} lacks a connection: {', '.join(missing)}",
            fields=dict.fromkeys(missing, "choose a connection"),
        )
    try:
        return integration.config.model_validate(values)
    except ValidationError as error:
        raise config_error(f"the config of {integration.name} is not valid", error) from error


def doorkeeper_of(
    flow: Flow[Any, Any, Any], integration: Integration[Any], config: Config | None
) -> Connection | None:
    """Return the connection that a flow's trigger admits by; `DefinitionError` where it has none."""
    if "admit" not in flow.trigger.trigger.hooks:
        return None
    name = integration.connection_for(flow)
    connection = None if name is None else getattr(config, name, None)
    if connection is None:
        raise DefinitionError(
            f"the trigger {flow.trigger.name} asks its app before a flow runs, so the flow {flow.name} "
            "needs a connection to it in the config of its instances",
            where=flow.where,
        )
    return connection


def partner_of(flow: Flow[Any, Any, Any], config: Config) -> Partner | None:
    """Return the partner of a flow with pairs; None where it has none, or its app is not connected."""
    connection = None if flow.side is None else getattr(config, flow.side, None)
    if flow.pairs is None or flow.side is None or not isinstance(connection, Connection):
        return None
    return Partner(flow.pairs, flow.side, connection)


# Credentials that are refused: whether for good, so that their work is parked -----------------

log = structlog.get_logger("halflap.connections")

TEST_SECONDS = 30.0
TRUSTED_SECONDS = 30.0
"""Seconds for which a connection's test that passed is believed, and new credentials are new."""

Opened = Callable[[type[Connection], StoredAccount, str], Connection]


class Judges:
    """Tests connections whose credentials an app refused, one at a time for all workers."""

    def __init__(self, source: FactSource, opened: Opened, monotonic: Callable[[], float]) -> None:
        self._source = source
        self._opened = opened
        self._monotonic = monotonic
        self._passed: dict[tuple[str, int], float] = {}
        self._renewed: dict[tuple[str, int], float] = {}

    def renewed(self, stored: StoredConnection) -> None:
        """Know a connection's credentials as new ones."""
        self._renewed = self._noted(self._renewed, stored)

    def _noted(
        self, known: dict[tuple[str, int], float], stored: StoredConnection
    ) -> dict[tuple[str, int], float]:
        now = self._monotonic()
        recent = {each: at for each, at in known.items() if now - at < TRUSTED_SECONDS}
        return {**recent, (stored.id, stored.generation): now}

    def _is_recent(self, known: dict[tuple[str, int], float], stored: StoredConnection) -> bool:
        at = known.get((stored.id, stored.generation))
        return at is not None and self._monotonic() - at < TRUSTED_SECONDS

    async def judge(self, kind: type[Connection], used: StoredConnection) -> Judgement:
        """Return the judgement of a step that used these credentials, and was refused.

        They are refreshed, unless that was just done. `again` where they are others by then; `park`
        where the connection's own test is refused as well; else the step just fails: it asked for
        what these credentials may not do.
        """
        async with holding(self._source, used.id, f"test:{used.id}") as held:
            now = held.account.stored
            if now.generation != used.generation:
                return "again"
            if now.status == "unauthorized":
                return "park"
            if self._is_recent(self._passed, now):
                return "fail"
            connection = self._opened(kind, held.account, now.name)
            if not self._is_recent(self._renewed, now) and is_renewable(connection):
                try:
                    await connection.refreshed()
                except Unauthorized:
                    return "park"
                except (HalflapError, TimeoutError):
                    pass  # where tokens come from is away: asked again at the next try
                return "again"
            how = await self._test(connection, now)
            if how == "park":
                held.learnt = Learnt(now.generation)
        has_changed = how == "passed" and held.account.stored.generation != now.generation
        return "again" if has_changed else "park" if how == "park" else "fail"

    async def _test(
        self, connection: Connection, stored: StoredConnection
    ) -> Literal["park", "fail", "passed"]:
        try:
            async with asyncio.timeout(TEST_SECONDS):
                with suppress(NotImplementedError):  # nothing to ask: as if it had passed
                    await connection.test()
        except Unauthorized:
            log.warning(
                "the app refused a connection; mend it", connection=stored.name, id=stored.id
            )
            return "park"
        except (HalflapError, TimeoutError):
            return "fail"  # that says nothing about the credentials
        except Exception:
            log.exception("a connection's test raised", connection=stored.id)
            return "fail"
        self._passed = self._noted(self._passed, stored)
        return "passed"


def is_renewable(connection: Connection) -> bool:
    """Return whether a connection's way in can get new credentials by itself."""
    auth = getattr(connection, "auth", None)
    return hasattr(auth, "refresh") and getattr(auth, "is_renewable", True)
