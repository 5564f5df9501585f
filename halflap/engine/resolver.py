"""Find what running a flow of an instance needs, and keep it until the catalogue changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import anyio.to_thread
from pydantic import SecretStr

from halflap.engine.builder import WorkBuilder, signed_in
from halflap.engine.executor import Work
from halflap.engine.facts import FlowFacts, Learnt, Revision, StoredAccount
from halflap.engine.leftover import INSTANCE_REMOVED
from halflap.engine.library import Library
from halflap.engine.throttle import Throttles
from halflap.errors import Cancel, DefinitionError, HalflapError, NotFound, Unrouted
from halflap.model import (
    MAIL,
    Event,
    Execution,
    FlowKey,
    Instance,
    Record,
    Start,
    StoredConnection,
    scope_time,
)
from halflap.sdk.budget import Budget, OverBudget
from halflap.sdk.connection import Connection
from halflap.sdk.egress import Egress
from halflap.sdk.integration import Flow, Integration
from halflap.store.catalogue import Catalogue, StoredSubscription
from halflap.store.protocol import Journal
from halflap.store.vault import Vault

if TYPE_CHECKING:
    from halflap.lowcode.observer import Tracer
    from halflap.lowcode.outline.executed import Trace

T = TypeVar("T")
Given = ParamSpec("Given")

TRACE_SECONDS = 10.0
"""Seconds of the processor that tracing an execution may take."""


class Resolver:
    """Reads the facts of flows and has their work built; secrets are read live, the rest is pinned."""

    def __init__(
        self,
        catalogue: Catalogue,
        vault: Vault,
        library: Library,
        *,
        base_url: Callable[[], str],
        egress: Egress,
        throttles: Throttles,
        journal: Journal,
        mail_domain: str = "",
    ) -> None:
        """`mail_domain` stands behind the `@` of flows' addresses; empty where no mail is taken."""
        self.mail_domain = mail_domain
        self._throttles = throttles
        self.builder = WorkBuilder(
            self,
            vault,
            library,
            base_url=base_url,
            egress=egress,
            throttles=throttles,
            journal=journal,
        )
        self.egress = egress
        self.config = self.builder.config
        self._catalogue = catalogue
        self._locks: dict[str, AsyncExitStack] = {}
        self._known: dict[FlowKey, asyncio.Future[Work]] = {}
        self._known_at = -1

    async def work(self, flow: FlowKey) -> Work:
        """Return the work of a flow: all that running it needs; `NotFound` where its version does
        not run here.
        """
        if self._known_at != self._catalogue.changed:
            self._known.clear()
            self._known_at = self._catalogue.changed
        known = self._known.get(flow)
        if known is None:  # all that want it meanwhile have it built once
            known = self._known[flow] = asyncio.ensure_future(self._built(flow))
            known.add_done_callback(partial(self._forget_failed, flow))
        return known.result() if known.done() else await asyncio.shield(known)

    async def _built(self, flow: FlowKey) -> Work:
        return replace(await self.builder.build(await self.read(flow)), current=self.current)

    def _forget_failed(self, flow: FlowKey, built: asyncio.Future[Work]) -> None:
        if (built.cancelled() or built.exception()) and self._known.get(flow) is built:
            del self._known[flow]

    async def trace(
        self, execution: Execution, event: Event, records: Sequence[Record], tracer: Tracer
    ) -> Trace | None:
        """Trace an execution through its document (see `trace`); `None` of a flow in Python.

        It runs in a thread, with a loop of its own; `HalflapError` where it takes too long.
        """
        from halflap.engine.shadow import NoEgress, trace

        key = execution.flow
        traced = await self.builder.library.traced(key.version, tracer)
        if traced is None:
            return None
        flow = self.builder.flow(traced, key)
        work = await self.work(key)
        aim, current = here(work.aim), here(work.current)
        work = replace(work, flow=flow, egress=NoEgress(), aim=aim, current=current)
        start = Start(execution.id, key, event, execution.root, key=execution.key)
        at, replay = execution.accepted_at, execution.replay
        accepted = scope_time(execution.root, replay, event, at)
        budget = Budget(TRACE_SECONDS)

        def traced_aside() -> Trace:
            with budget.running():
                found = asyncio.run(trace(start, accepted, records, work, tracer))
                budget.check()  # the flow may have caught that its time was over
                return found

        try:
            return await anyio.to_thread.run_sync(traced_aside)
        except OverBudget as error:
            raise HalflapError(f"running it again takes longer than {TRACE_SECONDS:g} s") from error
        finally:
            budget.cancel()

    async def current(self, key: FlowKey) -> FlowKey:
        """Return a flow on the version and the config that its instance has now, if that has the flow."""
        try:
            instance = await self._catalogue.instances.get(key.instance)
            integration = await self.builder.library.integration(instance.version)
        except (NotFound, DefinitionError):  # removed meanwhile, or this worker cannot run it
            return key
        if key.flow not in integration.flows:
            return key
        return replace(key, version=instance.version, revision=instance.revision)

    async def connection(
        self, kind: type[Connection], stored: StoredConnection, name: str
    ) -> Connection:
        """Return a stored connection as its component's type, linked so that it can refresh itself."""
        return self.builder.connection(kind, await self.account(stored.id), name)

    async def with_team_app(self, connection: Connection, component: str) -> Connection:
        """Return a connection that signs in through the team's own OAuth app, if it has no client."""
        signed_in(connection, await self._catalogue.oauth_apps.get(component))
        return connection

    async def answered(self, connection: str) -> None:
        """End the wait for an app that was away: the connection's test has passed."""
        await self._throttles.answered(connection)

    async def urls(self, instance: str) -> dict[str, str]:
        """Return the URLs of an instance's flows."""
        endpoints = await self._catalogue.endpoints.of_instance(instance)
        return {flow: self.builder.url(each.id) for flow, each in endpoints.items()}

    def mail_address(self, flow: Flow[Any, Any, Any], url: str) -> str | None:
        """Return the address to which mails for a flow are sent; None where it takes none here."""
        if MAIL not in flow.trigger.declaration.methods or not self.mail_domain:
            return None
        return f"{url.rpartition('/')[2]}@{self.mail_domain}"

    async def shared_urls(self, integration: str) -> dict[str, str]:
        """Return the URLs of an integration's shared pre-process flows."""
        endpoints = await self._catalogue.shared.of_integration(integration)
        return {flow: self.builder.url(each.id) for flow, each in endpoints.items()}

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
            value = getattr(value, part, None)
        if value is None:  # another way in, or a secret that was left out: nothing is taken
            return ()
        return (value.get_secret_value() if isinstance(value, SecretStr) else str(value),)

    # Facts ----------------------------------------------------------------------------------

    async def read(self, key: FlowKey) -> FlowFacts:
        """Return the facts of a flow; raise `Cancel` where its instance was removed meanwhile."""
        if key.is_shared:
            return FlowFacts(key)
        catalogue, id = self._catalogue, key.instance
        try:
            instance = await catalogue.instances.get(id)
        except NotFound as error:
            raise Cancel(INSTANCE_REMOVED) from error
        endpoints = await catalogue.endpoints.of_instance(id)
        shared = await catalogue.shared.of_integration(key.integration)
        return FlowFacts(
            key,
            await catalogue.customers.get(key.customer),
            instance,
            {flow: each.id for flow, each in endpoints.items()},
            {flow: each.id for flow, each in shared.items()},
            {flow: await catalogue.endpoints.secret(e.id) for flow, e in endpoints.items()},
            await catalogue.subscriptions.list(id),
        )

    async def bundle(self, version: str) -> bytes:
        """Return the bundle of a version; raise `NotFound`."""
        return await self._catalogue.versions.bundle(version)

    async def revision(self, instance: str, number: int) -> Revision:
        values, connections = await self._catalogue.instances.revision(instance, number)
        accounts: dict[str, StoredAccount] = {}
        for name, connection in connections.items():
            with suppress(NotFound):  # a removed one, which this version may not need
                accounts[name] = await self.account(connection)
        return Revision(values, accounts)

    async def account(self, connection: str) -> StoredAccount:
        """Return a connection with its secrets."""
        stored = await self._catalogue.connections.get(connection)
        secrets = await self._catalogue.connections.open_secrets(connection)
        return StoredAccount(
            stored, secrets, await self._catalogue.oauth_apps.get(stored.component)
        )

    async def deployment(self, instance: str) -> str | None:
        return (await self._catalogue.instances.get(instance)).deployment

    async def hold(self, lock: str, connection: str) -> StoredAccount:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._catalogue.connections.refreshing(lock))
            account = await self.account(connection)
            self._locks[lock] = stack.pop_all()
            return account

    async def let_go(
        self, lock: str, connection: str, learnt: Learnt | None = None
    ) -> StoredAccount:
        async with self._locks.pop(lock):
            connections = self._catalogue.connections
            if learnt is not None and learnt.secrets is not None:
                await connections.refresh(
                    connection, learnt.generation, learnt.secrets, learnt.fields
                )
            elif learnt is not None:
                await connections.set_status(
                    connection, "unauthorized", generation=learnt.generation
                )
            return await self.account(connection)

    async def routed(self, key: FlowKey, name: str, whose: Mapping[str, str]) -> FlowKey:
        target = await self._addressee(key.integration, whose) if key.is_shared else key
        return replace(target, flow=name)

    async def _addressee(self, integration: str, whose: Mapping[str, str]) -> FlowKey:
        """Return the one instance that takes what a route of a shared endpoint says."""
        [(how, value)] = whose.items()
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
        return one.flow_key("")

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

    async def subscriptions(self, instance: str) -> Sequence[StoredSubscription]:
        return await self._catalogue.subscriptions.list(instance)

    async def keep(self, instance: str, flow: str, made: StoredSubscription | None) -> None:
        kept = self._catalogue.subscriptions
        if made is None:
            await kept.remove(instance, flow)
        elif made.left_because:
            await kept.leave(instance, flow, made.left_because)
        else:
            what = (made.remote_id, made.secret, made.data, made.version, made.expires_at)
            await kept.put(instance, flow, *what)


def here(find: Callable[Given, Awaitable[T]]) -> Callable[Given, Awaitable[T]]:
    """Return what may be awaited in any thread's loop, and is done in the one that runs now."""
    loop = asyncio.get_running_loop()

    async def found(*args: Given.args, **kwargs: Given.kwargs) -> T:
        return await find(*args, **kwargs)

    async def asked(*args: Given.args, **kwargs: Given.kwargs) -> T:
        return await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(found(*args, **kwargs), loop)
        )

    return asked
