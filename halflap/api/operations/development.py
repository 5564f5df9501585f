"""The development instance of an integration: where its drafts run with real effects.

It is an instance like all others, of a customer with a reserved id, at most one per integration.
"""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from halflap.api.operations.connections import explained, needs_sign_in
from halflap.api.operations.draft_runs import DraftRuns, at_limit
from halflap.api.operations.drafts import DraftOperations, OpenedDraft
from halflap.api.operations.instances import InstanceOperations
from halflap.api.operations.kinds import Kinds, is_of
from halflap.api.operations.pauses import Pauses
from halflap.api.operations.sources import Sources
from halflap.engine.backlog import Backlog
from halflap.engine.facts import Revision
from halflap.engine.resolver import Resolver
from halflap.errors import ConfigError, HalflapError, NotFound
from halflap.model import DEVELOPMENT, Clock, Instance
from halflap.sdk.oauth import Tokens
from halflap.sdk.schema import ChoicePage
from halflap.store.catalogue import Catalogue
from halflap.store.protocol import Filter, Journal

if TYPE_CHECKING:
    from halflap.lowcode.source import Path

TARGET = "development"
"""The target that points at the version of the development instance."""
REST = ("configured", "disabled", "failed")
"""The states in which an instance runs no events."""


@dataclass(slots=True)
class DevelopmentOperations:
    """Updates development instances to drafts, and gives runs of drafts what these have."""

    catalogue: Catalogue
    journal: Journal
    instances: InstanceOperations
    drafts: DraftOperations
    runs: DraftRuns
    kinds: Kinds
    pauses: Pauses
    resolver: Resolver
    sources: Sources
    backlog: Backlog
    clock: Clock

    async def update(
        self, draft: str, revision: int, *, expect: str | None, note: str
    ) -> dict[str, str]:
        """Publish a draft, and have the development instance run it; it is made where there is none.

        Returns what is wrong with each field of its config as the draft needs it; then it stays as it
        was, or is not made yet, and the draft is published.
        """
        customer = await self.catalogue.customers.development()
        version = await self.drafts.publish(
            draft, revision, target=TARGET, expect=expect, note=note
        )
        integration, hash = version.integration, version.hash
        instance = await self.instances.development(integration)
        try:
            if instance is None:
                instance = await self.instances.add(customer.id, integration, {}, {}, version=hash)
            elif instance.version != hash:
                instance = await self.instances.upgrade(instance, version)
            if instance.state in REST:
                await self.instances.activate(instance)
        except ConfigError as error:
            if not error.fields:
                raise
            return dict(error.fields)
        return {}

    async def is_current(self, opened: OpenedDraft, instance: Instance) -> bool:
        """Return whether an instance runs a draft as it is now."""
        return (await self.drafts.bundle(opened.stored)).hash == instance.version

    async def lacks(self, opened: OpenedDraft, instance: Instance) -> dict[str, str]:
        """Return the connections of a draft that cannot be used in an instance, and why."""
        _, links = await self.catalogue.instances.revision(instance.id, instance.revision)
        shapes = await self.drafts.shapes(opened.stored)
        found: dict[str, str] = {}
        for name, component in connections_in(opened.state.source.data).items():
            shape = shapes.component(component)
            lineage = shape.connection if shape else None
            because = await self._unusable(links.get(name), component, (lineage or ("",))[0])
            if because:
                found[name] = because
        return found

    async def _unusable(self, connection: str | None, component: str, kind: str) -> str:
        if connection is None:
            return f"the development instance has no such connection yet ({component}); choose one"
        try:
            stored = await self.catalogue.connections.get(connection)
        except NotFound:
            return "the connection was removed; choose another one"
        if not is_of(stored, kind):
            own = "the draft's own " if stored.component == component else ""
            return f"{stored.name!r} is a connection to {stored.component}, not to {own}{component}"
        if needs_sign_in(stored):
            return f"nobody has signed in to {stored.name!r} yet; authorize it"
        if stored.status == "unauthorized":
            return f"the app refused the credentials of {stored.name!r}; mend it"
        return ""

    async def of(self, opened: OpenedDraft) -> Instance:
        """Return the development instance of a draft; `ConfigError` where there is none."""
        integration = opened.stored.integration
        instance = await self.instances.development(integration)
        if instance is None:
            raise ConfigError(
                f"{integration} has no development instance yet; update it to this draft first",
                fields={"effects": "need the development instance"},
            )
        return instance

    async def choices(
        self, opened: OpenedDraft, path: Path, search: str, cursor: str | None, limit: int
    ) -> ChoicePage:
        """Return what the app of a step's action lists for an input, with the instance's connections.

        What the input depends on is taken from the step, where that is a constant there.
        """
        from halflap.api.view import SourceDraft
        from halflap.lowcode.source import mapping_of

        step, action, input = input_at(opened.state.source.data, path)
        instance = await self.of(opened)
        _, links = await self.catalogue.instances.revision(instance.id, instance.revision)
        given = mapping_of(step.get("with")).items()
        constant = {name: each for name, each in given if not str(each).startswith("=")}
        question = SourceDraft(
            integration=instance.integration,
            version=instance.version,
            customer=DEVELOPMENT,
            action=action,
            input=input,
            connection=links.get(str(step.get("connection"))),
            connections=dict(links),
            values=constant,
            search=search,
            cursor=cursor,
            limit=limit,
        )
        return await self.sources.choices(question)

    async def given(self, opened: OpenedDraft, flow: str) -> tuple[Instance, dict[str, Any]]:
        """Return the development instance of a draft, and what a process that acts as it is given.

        `ConfigError` says what to do where there is none, where it lacks a connection of the draft, and
        where the flow stands still, or the customer's limits are reached.
        """
        instance = await self.of(opened)
        if lacks := await self.lacks(opened, instance):
            listed = "; ".join(f"{name}: {because}" for name, because in lacks.items())
            raise ConfigError(
                f"the development instance cannot run this draft: {listed}",
                fields=lacks,
            )
        room = await self._room(instance, flow)
        needed = connections_in(opened.state.source.data)
        revision = await self._opened(instance, needed)
        await self._begin()
        customer = await self.catalogue.customers.get(DEVELOPMENT)
        return instance, {
            "values": revision.values,
            "accounts": {name: asdict(each) for name, each in revision.accounts.items()},
            "urls": await self.resolver.urls(instance.id),
            "secrets": await self.instances.secrets(instance),
            "customer": {"id": customer.id, "name": customer.name, "external_id": None},
            "instance": {"id": instance.id, "name": instance.name},
            "room": room,
            "allow": list(self.resolver.egress.policy.allow),
        }

    async def _room(self, instance: Instance, flow: str) -> int | None:
        """Return how many runs there may be at a time now; raise where there may be no more."""
        holding = {DEVELOPMENT, instance.id, f"{instance.id}/{flow}"}
        paused = (await self.pauses.of([instance])).get(instance.id, [])
        if what := next((each.what for each in paused if each.what in holding), None):
            raise ConfigError(
                f"{what} is paused: resume it, or run with stubbed effects",
                fields={"effects": "are paused"},
            )
        if await self.backlog.is_full(DEVELOPMENT, more=0):
            raise at_limit("has as many executions queued as it may; wait until some have begun")
        own = (await self.journal.limits(DEVELOPMENT)).concurrency
        most = self.journal.default_limits.concurrency if own is None else own
        if not most:
            return None
        counts = await self.journal.count(Filter(customer=DEVELOPMENT, states=("running",)))
        room = most - sum(counts.values())
        if self.runs.real >= room:
            raise at_limit()
        return room

    async def _begin(self) -> None:
        """Take one of the beginnings that the customer's rate allows; raise where there is none now."""
        rate, at = await self.journal.take_beginning(DEVELOPMENT)
        if (left := at - self.clock()) > 0:
            raise at_limit(f"begins {rate:g} in a second; wait {math.ceil(left / 1e6)} s")

    async def _opened(self, instance: Instance, needed: Container[str]) -> Revision:
        """Return an instance's config with the secrets of the connections that are needed.

        Tokens that are near their end are refreshed.
        """
        builder = self.resolver.builder
        revision = await self.resolver.revision(instance.id, instance.revision)
        accounts = {name: each for name, each in revision.accounts.items() if name in needed}
        for name, account in accounts.items():
            connection = builder.connection(await self.kinds.of(account.stored), account, name)
            auth = connection.__dict__.get("auth")
            if isinstance(auth, Tokens) and auth.is_stale():
                try:
                    async with explained(connection):
                        await connection.refreshed()
                except HalflapError as error:
                    raise ConfigError(
                        f"the tokens of {account.stored.name!r} could not be refreshed: {error.message}",
                        fields={name: error.message},
                    ) from error
                account = await self.resolver.account(account.stored.id)
            accounts[name] = replace(account, app=None)  # nothing is refreshed in a run
        return replace(revision, accounts=accounts)


def input_at(data: Any, path: Path) -> tuple[dict[Any, Any], str, str]:
    """Return the step at whose inputs an address leads, its action, and the input; or `ConfigError`."""
    from halflap.lowcode.source import mapping_of, value_at

    at = max((at for at, each in enumerate(path) if each == "with"), default=0)
    step = mapping_of(value_at(data, path[:at]))
    action = step.get("action")
    if not isinstance(action, str) or len(path) < at + 2:
        raise ConfigError(
            "there is no input of a step's action at this address",
            fields={"path": "is no input of an action"},
        )
    return step, action, str(path[at + 1])


def connections_in(data: Any) -> dict[str, str]:
    """Return the connections of a document's config, each with its component."""
    from halflap.lowcode.source import mapping_of

    fields = (
        (name, mapping_of(field).get("connection"))
        for page in mapping_of(mapping_of(data).get("config")).values()
        for name, field in mapping_of(page).items()
    )
    return {str(name): component for name, component in fields if isinstance(component, str)}
