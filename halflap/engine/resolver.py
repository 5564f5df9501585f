"""Finds what running a flow of an instance needs, and keeps it until the catalogue changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError

from halflap.engine.executor import Work
from halflap.engine.gate import AccountGate, limits_of
from halflap.engine.judge import Judges
from halflap.engine.library import Library
from halflap.engine.routing import Target, check_takes_routes
from halflap.engine.throttle import LocalKeeper, Throttles
from halflap.engine.twoway import Partner
from halflap.errors import ConfigError, DefinitionError, NotFound, Unauthorized, Unrouted
from halflap.model import (
    SYSTEM,
    Event,
    Execution,
    FlowKey,
    Instance,
    Record,
    Start,
    StoredConnection,
    scope_time,
    wall_clock,
)
from halflap.sdk.connection import Connection, Link
from halflap.sdk.context import CustomerInfo, InstanceInfo
from halflap.sdk.egress import Egress
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.link import PREFIX, SignalLink, write_link
from halflap.sdk.oauth import OAuth2Code
from halflap.sdk.redact import Redactor
from halflap.sdk.routing import Route
from halflap.sdk.schema import Config
from halflap.sdk.secret import config_error, put_together, secrets_of, take_apart
from halflap.store.catalogue import Catalogue
from halflap.store.vault import Vault

if TYPE_CHECKING:
    from halflap.lowcode.outline.executed import Trace

SystemFlow = Callable[[str, Integration[Any], FlowKey], Flow[Any, Any, Any]]


class Resolver:
    """Reads config, connections and secrets of instances; secrets are read live, the rest is pinned."""

    def __init__(
        self,
        catalogue: Catalogue,
        vault: Vault,
        library: Library,
        *,
        base_url: Callable[[], str],
        egress: Egress,
        throttles: Throttles | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`throttles` says how fast apps may be called; by default, this process by itself."""
        self._catalogue = catalogue
        self._throttles = throttles or Throttles(LocalKeeper(wall_clock), wall_clock)
        self._judges = Judges(catalogue.connections, self.connection, monotonic)
        self._vault = vault
        self.library = library
        self._base_url = base_url
        self.egress = egress
        self.system_flow: SystemFlow | None = None
        self._known: dict[FlowKey, Work] = {}
        self._known_at = -1

    async def work(self, flow: FlowKey) -> Work:
        """Return the work of a flow: all that running it needs; `NotFound` where its version does
        not run here.
        """
        if self._known_at != self._catalogue.changed:
            self._known.clear()
            self._known_at = self._catalogue.changed
        known = self._known.get(flow)
        if known is None:
            at = self._catalogue.changed
            known = await self._read(flow)
            if at == self._known_at:
                self._known[flow] = known
        return known

    async def trace(
        self, execution: Execution, event: Event, records: Sequence[Record]
    ) -> Trace | None:
        """Trace an execution through its document (see `trace`); `None` of a flow in Python."""
        from halflap.engine.shadow import NoEgress
        from halflap.engine.trace import trace
        from halflap.lowcode.observer import Tracer

        key, tracer = execution.flow, Tracer()
        traced = await self.library.traced(key.version, tracer)
        if traced is None:
            return None
        work = replace(await self.work(key), flow=self._flow(traced, key), egress=NoEgress())
        start = Start(execution.id, key, event, execution.root, key=execution.key)
        at, replay = execution.accepted_at, execution.replay
        accepted = scope_time(execution.root, replay, event, at)
        return await trace(start, accepted, records, work, tracer)

    async def _read(self, key: FlowKey) -> Work:
        integration = await self.library.integration(key.version)
        if key.is_shared:
            return self._shared(integration, key)
        customer = await self._catalogue.customers.get(key.customer)
        instance = await self._catalogue.instances.get(key.instance)
        secrets = await self._endpoint_secrets(key.instance)
        seal, unseal = self.seals(key.customer)
        config = await self.config(integration, key.instance, key.revision)
        flow = self._flow(integration, key).resolved(config)
        return Work(
            flow=flow,
            config=config,
            redactor=await self._redactor(key.instance, config, secrets),
            customer=CustomerInfo(customer.id, customer.name, customer.external_id),
            instance=InstanceInfo(instance.id, instance.name),
            urls=await self.urls(key.instance),
            secret=lambda flow: secrets[flow],
            seal=seal,
            unseal=unseal,
            egress=self.egress,
            partner=partner_of(flow, config),
            siblings={name: each.resolved(config) for name, each in integration.flows.items()},
            link=self.link,
            aim=self.aim,
            shared_urls=await self.shared_urls(key.integration),
            current=self.current,
        )

    async def current(self, key: FlowKey) -> FlowKey:
        """Return a flow on the version and the config that its instance has now, if that has the flow."""
        try:
            instance = await self._catalogue.instances.get(key.instance)
            integration = await self.library.integration(instance.version)
        except (NotFound, DefinitionError):  # removed meanwhile, or this worker cannot run it
            return key
        if key.flow not in integration.flows:
            return key
        return replace(key, version=instance.version, revision=instance.revision)

    async def _redactor(
        self, instance: str, config: Config, endpoints: Mapping[str, SecretStr]
    ) -> Redactor:
        """Return what knows every secret of an instance."""
        found = [each.get_secret_value() for each in endpoints.values()]
        for each in config.__dict__.values():
            if isinstance(each, Connection):
                found += secrets_of(each)
        for each in await self._catalogue.subscriptions.list(instance):
            found += [secret for secret in (each.secret, each.former) if secret]
        return Redactor(found)

    def _shared(self, integration: Integration[Any], key: FlowKey) -> Work:
        """Return the work of a flow of a shared endpoint: nothing of any customer's."""
        seal, unseal = self.seals(key.customer)
        return Work(
            flow=self._flow(integration, key),
            config=None,
            customer=CustomerInfo(key.customer, f"{integration.title}: all customers"),
            instance=InstanceInfo(key.customer, "shared endpoint"),
            urls={},
            secret=refuse_secret,
            seal=seal,
            unseal=unseal,
            egress=self.egress,
            siblings=integration.flows,
            link=self.link,
            aim=self.aim,
        )

    async def aim(self, key: FlowKey, route: Route) -> Target:
        """Where a route of a flow leads; `Unrouted`, with what to mend, where nobody takes it."""
        target = key if not key.is_shared else await self._addressee(key.integration, route)
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
        return Target(replace(target, flow=flow.name), flow, lambda text: seal(unseal(text)))

    async def _addressee(self, integration: str, route: Route) -> FlowKey:
        """The one instance that takes what a route of a shared endpoint says."""
        [(how, value)] = route.whose.items()
        found = await self._addressed(integration, how, value)
        if not found:
            raise Unrouted(
                f"no instance of {integration} has {how} = {value!r}; activate one for that customer, "
                "then replay this"
            )
        taking = [each for each in found if await self._takes_events(each)]
        if len(taking) > 1:
            told = ", ".join(f"{each.name} ({each.id})" for each in taking)
            raise Unrouted(
                f"{len(taking)} instances of {integration} have {how} = {value!r}: {told}; route "
                "with instance=, or disable all but one, then replay this"
            )
        if not taking:
            told = ", ".join(f"{each.name} ({each.id}) is {each.state}" for each in found)
            raise Unrouted(f"{told}, and takes no events; activate it, then replay this")
        [one] = taking
        return FlowKey(one.customer, one.id, one.integration, "", one.version, one.revision)

    async def _addressed(self, integration: str, how: str, value: str) -> Sequence[Instance]:
        instances = self._catalogue.instances
        if how == "instance":
            try:
                found = await instances.get(value)
            except NotFound:
                return ()
            return [found] if found.integration == integration else ()
        field = how.removeprefix("config.") if how != "customer" else None
        return await instances.addressed(integration, field, value)

    async def _takes_events(self, instance: Instance) -> bool:
        """Return whether its URLs take events: now, or to wait until it is active, or is mended."""
        if instance.state != "failed":
            return instance.state in ("active", "activating", "upgrading")
        endpoints = await self._catalogue.endpoints.of_instance(instance.id)
        return any(each.open for each in endpoints.values())

    def _flow(self, integration: Integration[Any], key: FlowKey) -> Flow[Any, Any, Any]:
        if key.flow.startswith(SYSTEM):
            assert self.system_flow is not None
            return self.system_flow(key.flow, integration, key)
        if key.flow not in integration.flows:
            raise NotFound(
                f"version {key.version[:12]} of {integration.name} has no flow {key.flow!r}; it has: "
                f"{', '.join(integration.flows)}"
            )
        return integration.flows[key.flow]

    async def config(self, integration: Integration[Any], instance: str, revision: int) -> Config:
        """An instance's config of one revision, its connections linked to their accounts."""
        plain, connections = await self._catalogue.instances.revision(instance, revision)
        values: dict[str, Any] = dict(plain)
        for name, kind in integration.connections().items():
            if name in connections:
                stored = await self._catalogue.connections.get(connections[name])
                values[name] = await self._gated(kind, stored, name)
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

    async def connection(
        self, kind: type[Connection], stored: StoredConnection, name: str, *, gated: bool = False
    ) -> Connection:
        """A stored connection as its component's type, linked so that it can refresh itself."""
        secrets = await self._catalogue.connections.open_secrets(stored.id)
        found = await self.with_team_app(
            put_together(kind, stored.fields, secrets), stored.component
        )

        async def refresh(current: Connection) -> Connection:
            return await self.refreshed(kind, current, stored, name, gated)

        can_refresh = getattr(getattr(found, "auth", None), "refresh", None) is not None
        found._link = Link(name, stored.id, self.egress, refresh if can_refresh else None)
        return found

    async def with_team_app(self, connection: Connection, component: str) -> Connection:
        """Return a connection that signs in through the team's own OAuth app, if it has no client."""
        auth = connection.__dict__.get("auth")
        if isinstance(auth, OAuth2Code) and not auth.client_id:
            auth.use(await self._catalogue.oauth_apps.get(component))
        return connection

    async def _gated(
        self, kind: type[Connection], stored: StoredConnection, name: str
    ) -> Connection:
        """A stored connection as flows use it: behind the gate of its limits and its credentials."""
        found = await self.connection(kind, stored, name, gated=True)
        throttle = self._throttles.of(stored.id)
        throttle.name, throttle.limits = stored.name, limits_of(kind, stored.limits)
        link = found._link
        assert link is not None
        link.gate = AccountGate(stored, throttle, lambda: self._judges.judge(kind, stored))
        return found

    async def refreshed(
        self,
        kind: type[Connection],
        current: Connection,
        stored: StoredConnection,
        name: str,
        gated: bool,
    ) -> Connection:
        """Refresh a connection's credentials once, whoever asks; others get what the first one got."""
        link = self._gated if gated else self.connection
        connections, id, generation = self._catalogue.connections, stored.id, stored.generation
        async with connections.refreshing(id):
            newest = await connections.get(id)
            if newest.generation != generation:
                return await link(kind, newest, name)
            auth: Any = getattr(current, "auth")  # noqa: B009
            try:
                fresh = current.model_copy(update={"auth": await auth.refresh(self.egress)})
            except Unauthorized:
                await connections.set_status(id, "unauthorized", generation=generation)
                raise
            fields, secrets = take_apart(fresh)
            await connections.refresh(id, generation, secrets, fields)
            return await link(kind, await connections.get(id), name)

    async def urls(self, instance: str) -> dict[str, str]:
        """The URLs of an instance's flows."""
        endpoints = await self._catalogue.endpoints.of_instance(instance)
        return {flow: self.url(each.id) for flow, each in endpoints.items()}

    async def shared_urls(self, integration: str) -> dict[str, str]:
        """The URLs of an integration's shared pre-process flows."""
        endpoints = await self._catalogue.shared.of_integration(integration)
        return {flow: self.url(each.id) for flow, each in endpoints.items()}

    def url(self, endpoint: str) -> str:
        """The public URL of an endpoint."""
        return f"{self._base_url().rstrip('/')}/hooks/{endpoint}"

    def link(self, link: SignalLink) -> str:
        """The public URL of a link to answer a flow with."""
        return f"{self._base_url().rstrip('/')}{PREFIX}{write_link(link, self._vault.sign)}"

    async def signers(
        self,
        instance: Instance,
        integration: Integration[Any],
        flow: Flow[Any, Any, Any],
        endpoint: str,
    ) -> tuple[str, ...]:
        """The secrets that may sign for an endpoint: the subscription's, else as the trigger declares."""
        made = await self._catalogue.subscriptions.get(instance.id, flow.name)
        own = await self._declared_signers(instance, integration, flow, endpoint)
        if made is None:
            return own
        found = (made.secret,) if made.secret else own
        if made.former is None:  # else what was signed before the secret changed is taken, too
            return found
        return (*found, made.former) if made.former else tuple(dict.fromkeys((*found, *own)))

    async def _declared_signers(
        self,
        instance: Instance,
        integration: Integration[Any],
        flow: Flow[Any, Any, Any],
        endpoint: str,
    ) -> tuple[str, ...]:
        """Return what signs where the app has not chosen a secret: as the trigger declares."""
        source, _, field = flow.trigger.declaration.secret.partition(".")
        if source != "connection":
            return await self._catalogue.endpoints.secrets(endpoint)
        name = integration.connection_for(flow)
        if name is None:
            return ()
        config = await self.config(integration, instance.id, instance.revision)
        value: Any = getattr(config, name)
        for part in field.split("."):
            value = getattr(value, part)
        return (value.get_secret_value() if isinstance(value, SecretStr) else str(value),)

    async def _endpoint_secrets(self, instance: str) -> dict[str, SecretStr]:
        endpoints = await self._catalogue.endpoints.of_instance(instance)
        return {
            flow: SecretStr(await self._catalogue.endpoints.secret(each.id))
            for flow, each in endpoints.items()
        }

    def seals(self, customer: str) -> tuple[Callable[[str], str], Callable[[str], str]]:
        """Return the functions that seal a customer's secrets in records, and open them again."""
        import base64

        about = (customer, "", "record")

        def seal(text: str) -> str:
            return base64.b64encode(self._vault.seal(text, about)).decode()

        def unseal(text: str) -> str:
            return self._vault.open(base64.b64decode(text), about)

        return seal, unseal


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
        raise config_error(f"the config of {integration.name} is not complete", error) from error


def partner_of(flow: Flow[Any, Any, Any], config: Config) -> Partner | None:
    """Return the partner of a flow with pairs; None where it has none, or its app is not connected."""
    connection = None if flow.side is None else getattr(config, flow.side, None)
    if flow.pairs is None or flow.side is None or not isinstance(connection, Connection):
        return None
    return Partner(flow.pairs, flow.side, connection)
