"""Operations on instances: configure, activate, upgrade, disable, remove."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import anyio.to_thread

from halflap.api.operations import finding
from halflap.api.operations.config import Configs
from halflap.api.operations.offers import OfferOperations
from halflap.api.operations.shared import check_given
from halflap.engine.deployer import Deployer
from halflap.engine.library import Library
from halflap.engine.resolver import Resolver
from halflap.errors import ConfigError, Conflict, DefinitionError, HalflapError, NotFound
from halflap.model import DEVELOPMENT, RECEIVERS, Instance, Micros, Version
from halflap.sdk import codec
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.record import adapter_of
from halflap.sdk.schema import Config, File, shown_values
from halflap.sdk.signature import sender_headers
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.instances import InstanceFilter, name_taken

MOST_INSTANCES = 1_000
"""The most instances of a customer that its own token makes."""
Revision = tuple[Mapping[str, Any], Mapping[str, str]]
"""A config's plain fields, and its connections by field."""
NO_REVISION: Revision = ({}, {})


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Since when an activation catches up: the flows that are asked, and those that cannot be."""

    since: Micros
    flows: Sequence[str]
    cannot: Sequence[str]


@dataclass(slots=True)
class InstanceOperations:
    """Configures instances, and moves them from state to state."""

    catalogue: Catalogue
    library: Library
    deployer: Deployer
    resolver: Resolver
    configs: Configs
    offers: OfferOperations

    async def find(self, named: str, customer: str | None = None) -> Instance:
        """An instance by its id, or by a name that only one has."""
        return await finding.instance(self.catalogue, named, customer)

    async def detail(self, instance: Instance) -> dict[str, Any]:
        """Return an instance's config, its URLs, and what it made at apps, by name."""
        catalogue = self.catalogue
        config, connections = await catalogue.instances.revision(instance.id, instance.revision)
        return {
            "config": config,
            "connections": connections,
            "urls": (urls := await self._urls(instance)),
            "addresses": await self._addresses(instance, urls),
            "subscriptions": await catalogue.subscriptions.list(instance.id),
            "counters": await catalogue.counters.of(instance.id),
        }

    async def _urls(self, instance: Instance) -> dict[str, str]:
        """Return the URLs of the flows that the version has; of all, where it cannot be loaded here."""
        urls = await self.resolver.urls(instance.id)
        try:
            flows = (await self.library.integration(instance.version)).flows
        except HalflapError:
            return urls
        return {name: url for name, url in urls.items() if name in flows and flows[name].has_url}

    async def _addresses(self, instance: Instance, urls: Mapping[str, str]) -> dict[str, str]:
        """Return the mail addresses of the flows that take mail."""
        try:
            flows = (await self.library.integration(instance.version)).flows
        except HalflapError:
            return {}
        found = {
            name: self.resolver.mail_address(flows[name], url)
            for name, url in urls.items()
            if name in flows
        }
        return {name: each for name, each in found.items() if each is not None}

    async def development(self, integration: str) -> Instance | None:
        """Return the development instance of an integration."""
        which = InstanceFilter(customer=DEVELOPMENT, integration=integration)
        return next(iter(await self.catalogue.instances.list(which, limit=1)), None)

    async def add(
        self,
        customer: str,
        integration: str,
        config: Mapping[str, Any],
        connections: Mapping[str, str],
        *,
        name: str | None = None,
        version: str | None = None,
        target: str | None = None,
    ) -> Instance:
        """Make an instance.

        `Conflict` where the customer has one of that name, `ConfigError` names every wrong field; then
        nothing is made. It is on `version`, else on what `target` has, else on what `dev` has, else on
        the newest. For a customer it is the offered version: `NotFound` where another is asked for, or
        none is offered.
        """
        if integration == RECEIVERS:
            raise ConfigError(
                "an instance of this integration is a receiver: halflap receivers add, or "
                "POST /api/customers/{customer}/receivers, makes it with a connection of its own"
            )
        owner = await self.catalogue.customers.get(customer)
        name = name or integration
        if owner.development and (there := await self.development(integration)) is not None:
            raise Conflict(
                f"{integration} has its development instance already, {there.name!r}, and has one alone; "
                "configure or upgrade that one",
                key=there.id,
            )
        existing = await self.catalogue.instances.by_name(owner.id, name)
        if existing is not None:
            raise Conflict(
                f"{owner.name} has an instance {name!r} already, of {existing.integration}. To change "
                f"its config: halflap instances configure {existing.id}; for another one, give it a "
                "name",
                key=existing.id,
            )
        if self.offers.customer is not None:
            own = InstanceFilter(customer=self.offers.customer)
            if await self.catalogue.instances.number(own) >= MOST_INSTANCES:
                raise Conflict(f"you have {MOST_INSTANCES:,} instances, the most; remove one first")
        hash = (await self._first(integration, version, target)).hash
        definition = await self.library.integration(hash)
        config = shown_values(definition.config, config)
        links, _ = await self.configs.check(
            definition, owner.id, config, connections, before=NO_REVISION
        )
        instance = await self.catalogue.instances.add(owner.id, integration, name, hash)
        await self.catalogue.instances.set_revision(instance.id, config, links)
        return await self.catalogue.instances.get(instance.id)

    async def configure(
        self,
        instance: Instance,
        config: Mapping[str, Any],
        connections: Mapping[str, str],
        *,
        receiver: bool = False,
    ) -> Instance:
        """Give an instance another config, in place of the one that it has.

        `ConfigError` names every wrong field, and nothing is changed; so it does for a receiver's,
        unless `receiver` says that its own operations judged the config. What an active instance has at
        its apps by its config is deployed with it: events wait meanwhile, and a deployment that fails
        leaves the instance its former config.
        """
        definition = await self.library.integration(instance.version)
        before = await self.catalogue.instances.revision(instance.id, instance.revision)
        config = shown_values(definition.config, config)
        links, made = await self.configs.check(
            definition, instance.customer, config, connections, before=before
        )
        if not receiver and before != (config, links):
            check_no_receiver(instance)
        if before == (config, links) or not await self._deploys(
            definition, instance, made, before[1], links
        ):
            await self.catalogue.instances.set_revision(instance.id, config, links)
            return await self.catalogue.instances.get(instance.id)
        await self.configs.check(definition, instance.customer, config, connections, signed_in=True)
        return await self.deployer.upgrade(instance.id, instance.version, (config, links))

    async def change(
        self,
        instance: Instance,
        name: str | None,
        config: Mapping[str, Any],
        connections: Mapping[str, str | None],
        *,
        receiver: bool = False,
    ) -> Instance:
        """Change some of an instance's config, and its name; what is None in the config is cleared.

        Raises as `configure` does, and `ConfigError` where the customer has another one of that name.
        """
        if name is not None and name != instance.name:
            taken = await self.catalogue.instances.by_name(instance.customer, name)
            if taken is not None:
                raise name_taken(name, taken.id)
        moved = instance
        if config or connections:
            plain, links = await self.catalogue.instances.revision(instance.id, instance.revision)
            moved = await self.configure(
                instance,
                {key: each for key, each in {**plain, **config}.items() if each is not None},
                {key: each for key, each in {**links, **connections}.items() if each is not None},
                receiver=receiver,
            )
        if name is not None:
            moved = await self.catalogue.instances.rename(instance.id, name)
        return moved

    async def _deploys(
        self,
        definition: Integration[Any],
        instance: Instance,
        config: Config,
        before: Mapping[str, str],
        links: Mapping[str, str],
    ) -> bool:
        """Return whether a new config changes what an instance has at its apps.

        Raises `ConfigError` where that is so, and the instance is between two states.
        """
        if instance.state in ("configured", "disabled", "failed"):
            return False
        subscribed = [each for each in definition.flows.values() if each.trigger.subscribes]
        accounts = filter(None, map(definition.connection_for, subscribed))
        moved = any(before.get(each) != links.get(each) for each in accounts)
        if not moved and definition.lifecycle_flow("deploy") is None:
            triggers = [each.trigger for each in subscribed if each.trigger.references]
            try:
                former = await self.resolver.config(definition, instance.id, instance.revision)
                if all(e.resolved(former).inputs == e.resolved(config).inputs for e in triggers):
                    return False
            except (ConfigError, DefinitionError, NotFound):
                if not triggers:
                    return False
        if instance.state != "active":
            raise ConfigError(
                f"{instance.name} is {instance.state}, and this config has to be deployed; wait until "
                "that is done, then try again"
            )
        return True

    async def activate(self, instance: Instance, catch_up: Micros | None = None) -> Instance:
        """Activate an instance, or deploy it again; its config has to be complete.

        With `catch_up`, triggers that can are then asked what was missed since that time.
        """
        await self._check(instance, instance.version)
        return await self.deployer.activate(instance.id, catch_up=catch_up)

    async def missed(self, instance: Instance, since: Micros | None) -> CatchUp:
        """Return since when, and for which flows, an activation catches up.

        Where no time is given, see `Deployer.missed_since`.
        """
        if since is None and (since := await self.deployer.missed_since(instance)) is None:
            raise ConfigError(
                f"when {instance.name} was disabled is not known, or its triggers are other ones since; "
                "say since when events were missed",
                fields={"since": "is missing"},
            )
        flows = (await self.library.integration(instance.version)).flows.items()
        asked = [name for name, flow in flows if flow.trigger.catches_up]
        reads_on = [name for name, flow in flows if flow.trigger.listens]  # from where it was
        urls = [name for name, flow in flows if flow.has_url]
        cannot = [name for name in urls if name not in (*asked, *reads_on)]
        return CatchUp(since, asked, cannot)

    async def upgrade(
        self,
        instance: Instance,
        version: Version,
        config: Mapping[str, Any] | None = None,
        connections: Mapping[str, str] | None = None,
        *,
        by: str | None = None,
    ) -> Instance:
        """Move an instance to another version, with its config as that one needs it.

        What `config` and `connections` do not name stays; what the version does not have is
        dropped. `ConfigError` names every field that is still wrong, and nothing is changed.
        """
        revision = await self.check_upgrade(instance, version, config, connections)
        return await self.deployer.upgrade(instance.id, version.hash, revision, by=by)

    async def check_upgrade(
        self,
        instance: Instance,
        version: Version,
        config: Mapping[str, Any] | None = None,
        connections: Mapping[str, str] | None = None,
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the config that an instance would have on another version, and its connections.

        `ConfigError` names every field that is wrong.
        """
        if config or connections:
            check_no_receiver(instance)
        definition = await self.library.integration(version.hash)
        before, linked = await self.catalogue.instances.revision(instance.id, instance.revision)
        values = {**fitting(before, plain_fields(definition)), **(config or {})}
        plain = shown_values(definition.config, values)
        chosen = {**fitting(linked, definition.connections()), **(connections or {})}
        ids, _ = await self.configs.check(
            definition, instance.customer, plain, chosen, signed_in=True, before=(before, linked)
        )
        return plain, ids

    async def plain(self, version: Version, fields: Collection[str]) -> list[str]:
        """Return the plain fields of a version's config that are among these, by their paths."""
        names = plain_fields(await self.library.integration(version.hash))
        return sorted({each.partition(".")[0] for each in fields} & names)

    async def defaults_of(
        self, instance: Instance, version: Version, given: Mapping[str, Any]
    ) -> list[str]:
        """Return the fields that are new to an instance on another version, and keep their defaults."""
        before, _ = await self.catalogue.instances.revision(instance.id, instance.revision)
        was = plain_fields(await self.library.integration(instance.version))
        now = plain_fields(await self.library.integration(version.hash))
        return sorted(now - was - set(before) - set(given))

    async def go_back(
        self, instance: Instance, of: str, given: Mapping[str, Any], *, by: str
    ) -> Instance:
        """Move an instance to the version and the config that it had before a bulk moved it.

        `given` are the values that the bulk had for the instances which lacked them.
        """
        former = instance.former
        if former is None or instance.moved_by != of:
            raise Conflict(f"{instance.name} has moved on since", key=instance.id)
        revision = await self.catalogue.instances.revision(instance.id, former.revision)
        now, links = await self.catalogue.instances.revision(instance.id, instance.revision)
        definition = await self.library.integration(instance.version)
        plain, linked = revision
        taken = {name: value for name, value in given.items() if now.get(name) == value}
        values = shown_values(
            definition.config, {**fitting(plain, plain_fields(definition)), **taken}
        )
        if (values, fitting(linked, definition.connections())) != (now, links):
            raise Conflict(f"{instance.name} was configured since, and stays", key=instance.id)
        return await self.deployer.upgrade(instance.id, former.version, revision, by=by)

    async def secrets(self, instance: Instance) -> dict[str, str]:
        """The secret of each of an instance's endpoints, by flow: what its senders sign with.

        It is the subscription's, where the app has chosen one; else our own.
        """
        endpoints = await self.catalogue.endpoints.of_instance(instance.id)
        made = await self.catalogue.subscriptions.list(instance.id)
        chosen = {each.flow: each.secret for each in made if each.secret}
        return {
            flow: chosen.get(flow) or await self.catalogue.endpoints.secret(each.id)
            for flow, each in endpoints.items()
        }

    async def example(self, instance: Instance, flow: str, now: datetime) -> ExampleRequest:
        """Return a request that a flow's URL takes, signed with its secret."""
        urls = await self._urls(instance)
        if flow not in urls:
            known = ", ".join(urls) or "none"
            raise NotFound(f"{instance.name} has no URL for a flow {flow!r}; it has: {known}")
        definition = await self.library.integration(instance.version)
        named = definition.flows[flow]
        if named.reads_config:
            named = named.resolved(
                await self.resolver.config(definition, instance.id, instance.revision)
            )
        entry, files = await self.library.files(instance.version)
        event = await made_up_event(entry, files, named)
        secrets = await self.secrets(instance)
        return example_request(named, urls[flow], secrets.get(flow, ""), event, now)

    async def rotate(
        self, instance: Instance, flow: str, grace: Micros, given: str | None = None
    ) -> tuple[str, bool]:
        """Give a flow's endpoint another secret: return it, and whether the app is told by itself.

        It is where the flow's trigger subscribes: the instance is deployed again. `given` is the
        sender's own; without it, one is made.
        """
        endpoint = (await self.catalogue.endpoints.of_instance(instance.id)).get(flow)
        if endpoint is None:
            raise NotFound(f"{instance.name} has no URL for a flow {flow!r}")
        definition = (await self.library.integration(instance.version)).flows.get(flow)
        told = (
            instance.state == "active" and definition is not None and definition.trigger.subscribes
        )
        if given is not None:
            check_given(given, told)
        secret = await self.deployer.rotate(endpoint.id, grace, given)
        if told:
            await self.deployer.activate(instance.id)
        return secret, told

    async def _check(self, instance: Instance, version: str) -> None:
        definition = await self.library.integration(version)
        config, connections = await self.catalogue.instances.revision(
            instance.id, instance.revision
        )
        new = instance.state in ("configured", "disabled")  # apps may list other choices by now
        before = NO_REVISION if new else (config, connections)
        await self.configs.check(
            definition, instance.customer, config, connections, signed_in=True, before=before
        )

    async def _first(self, integration: str, version: str | None, target: str | None) -> Version:
        if self.offers.customer is not None:
            return await self.offers.chosen(integration, version or target)
        if version is not None:
            return await finding.version(self.catalogue, integration, version)
        found = await self.catalogue.versions.target(integration, target or "dev")
        if found is None and target is not None:
            raise NotFound(
                f"{target} has no version of {integration!r}; halflap deploy --to {target} does that"
            )
        found = found or await self.catalogue.versions.latest(integration)
        if found is None:
            raise NotFound(f"no version of {integration!r} is published; halflap deploy does that")
        return found


def check_no_receiver(instance: Instance) -> None:
    """Refuse a config for a receiver that its own operations have not judged."""
    if instance.integration == RECEIVERS:
        raise ConfigError(
            f"{instance.name} is a receiver, and keeps the connection that was made for it; its URL, "
            f"types and headers are changed by PATCH /api/receivers/{instance.id}"
        )


def plain_fields(integration: Integration[Any]) -> set[str]:
    """The names of a config's fields that are no connections."""
    fields = integration.config.model_fields.items()
    named = {each for name, info in fields for each in (name, info.alias) if each is not None}
    return named - set(integration.connections())


def fitting(before: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return the part of a config that a version still has."""
    return {name: value for name, value in before.items() if name in names}


@dataclass(frozen=True, slots=True)
class ExampleRequest:
    """A request that an endpoint takes.

    Its headers are the type of its body, and what proves its sender: a time in that is this answer's.
    Its body is JSON; empty where the method has none.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: str


def example_request(
    flow: Flow[Any, Any, Any], url: str, secret: str, event: Any, now: datetime
) -> ExampleRequest:
    """Return a request with an event, signed as the flow's trigger verifies it."""
    declared = flow.trigger.declaration
    method = "POST" if "POST" in declared.methods else declared.methods[0]
    example = flow.trigger.trigger.example
    body = b"" if method == "GET" else codec.encode({} if event is None else event)
    if isinstance(example, File):
        body = example.data
    if secret.startswith("whpk_"):
        raise ConfigError(
            "the sender signs with a private key that it alone has: no request can be made up"
        )
    headers = sender_headers(declared.verify, body, secret, now, method=method, url=url)
    if isinstance(example, File):
        headers = {n: v for n, v in headers.items() if n.lower() != "content-type"}
        headers["content-type"] = example.content_type
    return ExampleRequest(method, url, headers, body.decode())


async def made_up_event(entry: str, files: Mapping[str, bytes], flow: Flow[Any, Any, Any]) -> Any:
    """Return an event of a flow: by its document's schema, sample or tests, or by its type."""
    return await anyio.to_thread.run_sync(_made_up, entry, files, flow)


def _made_up(entry: str, files: Mapping[str, bytes], flow: Flow[Any, Any, Any]) -> Any:
    from halflap.lowcode import Components
    from halflap.lowcode.assist.analysis import analyse
    from halflap.lowcode.assist.queries import sample_of, shown_event
    from halflap.lowcode.lint.shapes import Shapes

    if entry.endswith((".yaml", ".yml")):
        steps = ("flows", flow.name, "steps", 0)
        analysis = analyse(files[entry].decode(), entry, Shapes(Components()))
        shown, known = shown_event(analysis.source.data, steps), analysis.names_at(steps)
        return shown if shown is not None else sample_of(known["event"].schema)
    try:
        return sample_of(adapter_of(flow.event_type).json_schema())
    except Exception:  # of a type that has no schema: a request, or what its author made
        return None
