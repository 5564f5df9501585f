"""The store as a child process sees it: a few verbs, asked over the line and answered by a `Clerk`.

A child opens no store of its own: it reads what running a flow needs, and adds to the journals of
the executions that it was given, no more. JSON values cross as the bytes of our own codec, which
keeps every number what it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec

from halflap.engine.line import Answer, Ask, Line, encode, error_of, trouble_of
from halflap.engine.protocol import Turn
from halflap.errors import Fenced
from halflap.model import (
    Customer,
    EndpointRecord,
    FlowKey,
    Instance,
    LogLine,
    OAuthApp,
    Outcome,
    Record,
    SharedEndpoint,
    Signal,
    Start,
    StateWrite,
    StoredConnection,
)
from halflap.sdk import codec
from halflap.store.catalogue import Catalogue, StoredSubscription

Shown = tuple[StoredSubscription, bytes]

VERBS: dict[str, tuple[Any, Any]] = {
    "commit": (tuple[list[Record], list[LogLine], list[StateWrite]], bool),
    "read_state": (tuple[str, str], bytes | None),
    "list_state": (tuple[str], dict[str, bytes]),
    "signals": (tuple[()], list[Signal]),
    "begin": (tuple[Start], bool),
    "outcome": (tuple[str], Outcome | None),
    "bundle": (tuple[str], bytes),
    "customer": (tuple[str], Customer),
    "instance": (tuple[str], Instance),
    "revision": (tuple[str, int], tuple[bytes, dict[str, str]]),
    "connection": (tuple[str], tuple[StoredConnection, bytes]),
    "secrets": (tuple[str], dict[str, str]),
    "oauth_app": (tuple[str], OAuthApp | None),
    "lock": (tuple[str], None),
    "unlock": (tuple[str], None),
    "status": (tuple[str, str, int | None], None),
    "refresh": (tuple[str, int, dict[str, str], bytes], bool),
    "addressed": (tuple[str, str | None, str], list[Instance]),
    "shared": (tuple[str], dict[str, SharedEndpoint]),
    "endpoints": (tuple[str], dict[str, EndpointRecord]),
    "endpoint_secret": (tuple[str], str),
    "subscription": (tuple[str, str], Shown | None),
    "subscriptions": (tuple[str], list[Shown]),
    "subscribed": (tuple[str, str, str, str | None, bytes, str], None),
    "unsubscribed": (tuple[str, str], None),
    "left": (tuple[str, str, str], None),
}
"""Every verb, the types of its arguments and of its result."""

_arguments = {name: msgspec.msgpack.Decoder(types[0]) for name, types in VERBS.items()}
_results = {name: msgspec.msgpack.Decoder(types[1]) for name, types in VERBS.items()}


# The parent's side -------------------------------------------------------------------------------


class Clerk:
    """Answers one child: turns by their execution, everything else from the catalogue."""

    def __init__(self, catalogue: Catalogue, turns: Mapping[str, Turn]) -> None:
        self._catalogue = catalogue
        self._turns = turns
        self._locks: dict[str, AsyncExitStack] = {}

    async def answer(self, ask: Ask) -> Answer:
        """Do what was asked for."""
        try:
            arguments = _arguments[ask.verb].decode(ask.arguments)
            if ask.execution:
                value = await self._of_turn(ask.execution, ask.verb, arguments)
            else:
                verb: Callable[..., Awaitable[Any]] = getattr(self, f"_{ask.verb}")
                value = await verb(*arguments)
            return Answer(ask.number, encode(value))
        except Exception as error:
            return Answer(ask.number, None, trouble_of(error))

    async def close(self) -> None:
        """Let go of what the child had locked."""
        for stack in self._locks.values():
            await stack.aclose()
        self._locks.clear()

    async def _of_turn(self, execution: str, verb: str, arguments: tuple[Any, ...]) -> Any:
        turn = self._turns.get(execution)
        if turn is None:
            raise Fenced(f"{execution} is not this child's")
        match verb:
            case "commit":
                return await turn.commit(*arguments)
            case "read_state":
                return await turn.read_state(*arguments)
            case "list_state":
                return await turn.list_state(*arguments)
            case "begin":
                return await turn.begin(await self._own_child(arguments[0], turn.start))
            case "outcome":
                return await turn.outcome(*arguments)
            case _:
                return await turn.signals()

    async def _bundle(self, version: str) -> bytes:
        return await self._catalogue.versions.bundle(version)

    async def _customer(self, customer: str) -> Customer:
        return await self._catalogue.customers.get(customer)

    async def _instance(self, instance: str) -> Instance:
        return await self._catalogue.instances.get(instance)

    async def _revision(self, instance: str, number: int) -> tuple[bytes, dict[str, str]]:
        plain, connections = await self._catalogue.instances.revision(instance, number)
        return codec.encode(plain), connections

    async def _connection(self, connection: str) -> tuple[StoredConnection, bytes]:
        found = await self._catalogue.connections.get(connection)
        return replace(found, fields={}), codec.encode(found.fields)

    async def _secrets(self, connection: str) -> dict[str, str]:
        return await self._catalogue.connections.open_secrets(connection)

    async def _oauth_app(self, component: str) -> OAuthApp | None:
        return await self._catalogue.oauth_apps.get(component)

    async def _lock(self, connection: str) -> None:
        stack = AsyncExitStack()
        await stack.enter_async_context(self._catalogue.connections.refreshing(connection))
        self._locks[connection] = stack

    async def _unlock(self, connection: str) -> None:
        if (stack := self._locks.pop(connection, None)) is not None:
            await stack.aclose()

    async def _status(self, connection: str, status: Any, generation: int | None) -> None:
        await self._catalogue.connections.set_status(connection, status, generation=generation)

    async def _refresh(
        self, connection: str, generation: int, secrets: dict[str, str], fields: bytes
    ) -> bool:
        plain = codec.decode(fields)
        kept = await self._catalogue.connections.refresh(connection, generation, secrets, plain)
        return kept is not None

    async def _addressed(
        self, integration: str, field: str | None, value: str
    ) -> Sequence[Instance]:
        return await self._catalogue.instances.addressed(integration, field, value)

    async def _shared(self, integration: str) -> dict[str, SharedEndpoint]:
        return await self._catalogue.shared.of_integration(integration)

    async def _own_child(self, start: Start, parent: Start) -> Start:
        """A start that a child process asks for, of what its own execution may start.

        That of a shared endpoint may start flows of any instance of its integration.
        """
        flow = parent.flow
        if flow.is_shared:
            instance = await self._catalogue.instances.get(start.flow.instance)
            flow = replace(
                flow,
                customer=instance.customer,
                instance=instance.id,
                integration=instance.integration,
                version=start.flow.version,
                revision=start.flow.revision,
            )
        if flow.integration != parent.flow.integration:
            raise Fenced(f"{start.execution} is of another integration than {parent.execution}")
        return own_child(start, parent, flow)

    async def _endpoints(self, instance: str) -> dict[str, EndpointRecord]:
        return await self._catalogue.endpoints.of_instance(instance)

    async def _endpoint_secret(self, endpoint: str) -> str:
        return await self._catalogue.endpoints.secret(endpoint)

    async def _subscription(self, instance: str, flow: str) -> Shown | None:
        found = await self._catalogue.subscriptions.get(instance, flow)
        return None if found is None else shown(found)

    async def _subscriptions(self, instance: str) -> list[Shown]:
        return [shown(each) for each in await self._catalogue.subscriptions.list(instance)]

    async def _subscribed(
        self,
        instance: str,
        flow: str,
        remote_id: str,
        secret: str | None,
        data: bytes,
        version: str,
    ) -> None:
        plain = codec.decode(data)
        keep = self._catalogue.subscriptions.put
        await keep(instance, flow, remote_id, secret, plain, version)

    async def _unsubscribed(self, instance: str, flow: str) -> None:
        await self._catalogue.subscriptions.remove(instance, flow)

    async def _left(self, instance: str, flow: str, because: str) -> None:
        await self._catalogue.subscriptions.leave(instance, flow, because)


def own_child(start: Start, parent: Start, of: FlowKey) -> Start:
    """A start that a child process asks for; another one's than its own execution's is refused."""
    if start.parent != parent.execution or replace(start.flow, flow=of.flow) != of:
        raise Fenced(f"{start.execution} is no child of {parent.execution}")
    return start


def shown(subscription: StoredSubscription) -> Shown:
    """A subscription as it crosses the line."""
    return replace(subscription, data={}), codec.encode(subscription.data)


# The child's side --------------------------------------------------------------------------------


class Desk:
    """Where a child asks: numbers what it asks for, and gives each answer to whoever waits for it."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._asked = 0
        self._waiting: dict[int, asyncio.Future[Answer]] = {}

    async def ask(self, verb: str, *arguments: Any, execution: str = "") -> Any:
        """Ask the parent for a verb, and return its result; what failed there is raised here."""
        self._asked += 1
        number = self._asked
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._line.send(Ask(number, execution, verb, encode(arguments)))
        try:
            answer = await future
        finally:
            del self._waiting[number]
        if answer.trouble is not None:
            raise error_of(answer.trouble)
        return _results[verb].decode(answer.value or b"\xc0")

    def answered(self, answer: Answer) -> None:
        """Hand over an answer."""
        future = self._waiting.get(answer.number)
        if future is not None and not future.done():
            future.set_result(answer)


class RemoteCatalogue:
    """The part of a `Catalogue` that running flows needs, asked over the line."""

    def __init__(self, desk: Desk) -> None:
        self.changed = 0
        self.customers = _Customers(desk)
        self.versions = _Versions(desk)
        self.connections = _Connections(desk)
        self.oauth_apps = _OAuthApps(desk)
        self.instances = _Instances(desk)
        self.endpoints = _Endpoints(desk)
        self.shared = _Shared(desk)
        self.subscriptions = _Subscriptions(desk)


class _Noun:
    def __init__(self, desk: Desk) -> None:
        self._ask = desk.ask


class _Customers(_Noun):
    async def get(self, customer: str) -> Customer:
        return await self._ask("customer", customer)


class _Versions(_Noun):
    async def bundle(self, hash: str) -> bytes:
        return await self._ask("bundle", hash)


class _Instances(_Noun):
    async def get(self, instance: str) -> Instance:
        return await self._ask("instance", instance)

    async def revision(self, instance: str, number: int) -> tuple[dict[str, Any], dict[str, str]]:
        plain, connections = await self._ask("revision", instance, number)
        return codec.decode(plain), connections

    async def addressed(
        self, integration: str, field: str | None, value: str
    ) -> Sequence[Instance]:
        return await self._ask("addressed", integration, field, value)


class _Connections(_Noun):
    async def get(self, connection: str) -> StoredConnection:
        found, fields = await self._ask("connection", connection)
        return replace(found, fields=codec.decode(fields))

    async def open_secrets(self, connection: str) -> dict[str, str]:
        return await self._ask("secrets", connection)

    @asynccontextmanager
    async def refreshing(self, connection: str) -> AsyncGenerator[None]:
        await self._ask("lock", connection)
        try:
            yield
        finally:
            await self._ask("unlock", connection)

    async def set_status(
        self, connection: str, status: str, *, generation: int | None = None
    ) -> None:
        await self._ask("status", connection, status, generation)

    async def refresh(
        self,
        connection: str,
        expected_generation: int,
        new_secrets: Mapping[str, str],
        fields: Mapping[str, object],
    ) -> StoredConnection | None:
        plain = codec.encode(dict(fields))
        kept = await self._ask("refresh", connection, expected_generation, new_secrets, plain)
        return await self.get(connection) if kept else None


class _OAuthApps(_Noun):
    async def get(self, component: str) -> OAuthApp | None:
        return await self._ask("oauth_app", component)


class _Endpoints(_Noun):
    async def of_instance(self, instance: str) -> dict[str, EndpointRecord]:
        return await self._ask("endpoints", instance)

    async def secret(self, endpoint: str) -> str:
        return await self._ask("endpoint_secret", endpoint)


class _Shared(_Noun):
    async def of_integration(self, integration: str) -> dict[str, SharedEndpoint]:
        return await self._ask("shared", integration)


class _Subscriptions(_Noun):
    async def get(self, instance: str, flow: str) -> StoredSubscription | None:
        found = await self._ask("subscription", instance, flow)
        return None if found is None else replace(found[0], data=codec.decode(found[1]))

    async def list(self, instance: str) -> Sequence[StoredSubscription]:
        found = await self._ask("subscriptions", instance)
        return [replace(each, data=codec.decode(data)) for each, data in found]

    async def put(
        self,
        instance: str,
        flow: str,
        remote_id: str,
        secret: str | None,
        data: Mapping[str, object],
        version: str,
    ) -> None:
        plain = codec.encode(dict(data))
        await self._ask("subscribed", instance, flow, remote_id, secret, plain, version)

    async def remove(self, instance: str, flow: str) -> None:
        await self._ask("unsubscribed", instance, flow)

    async def leave(self, instance: str, flow: str, because: str) -> None:
        await self._ask("left", instance, flow, because)
