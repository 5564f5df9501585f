"""The verbs by which a child process asks its parent as it runs flows; a `Clerk` answers them.

A child opens no store. It is given up front what its executions need to know, and asks for no more
than adding to their journals, holding their connections, and where their routes lead. JSON values
cross as the bytes of our own codec, which keeps every number what it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec

from halflap.engine.deployment import versions_of
from halflap.engine.facts import FlowFacts, Learnt, Revision, StoredAccount
from halflap.engine.line import (
    Ask,
    Bundled,
    GivenFacts,
    Line,
    LineAnswer,
    Trouble,
    encode,
    error_of,
    trouble_of,
)
from halflap.engine.lineage import is_lifecycle
from halflap.engine.protocol import Turn
from halflap.engine.resolver import Resolver
from halflap.errors import Fenced, HalflapError, NotFound
from halflap.model import FlowKey, LogLine, Outcome, Record, Signal, Start, StateWrite
from halflap.sdk import codec
from halflap.store.catalogue import StoredSubscription

VERBS: dict[str, tuple[Any, Any]] = {
    "commit": (tuple[list[Record], list[LogLine], list[StateWrite]], bool),
    "read_state": (tuple[str, str], bytes | None),
    "list_state": (tuple[str], dict[str, bytes]),
    "signals": (tuple[()], list[Signal]),
    "begin": (tuple[Start], str | None),
    "outcome": (tuple[str], Outcome | None),
    "hold": (tuple[str, str], bytes),
    "let_go": (tuple[str, str, bytes], bytes),
    "route": (tuple[FlowKey, str, dict[str, str]], tuple[FlowKey, bytes]),
    "keep": (tuple[str, str, bytes], None),
}
"""Every verb, the types of its arguments and of its result: those of a turn, then the others."""

_arguments = {name: msgspec.msgpack.Decoder(types[0]) for name, types in VERBS.items()}
_results = {name: msgspec.msgpack.Decoder(types[1]) for name, types in VERBS.items()}


def read(data: bytes, kind: Any) -> Any:
    """Return a value of a type from its JSON."""
    return msgspec.convert(codec.decode(data), kind)


# The parent's side -------------------------------------------------------------------------------


class Clerk:
    """Gives one child what its executions need, and answers what it asks."""

    def __init__(self, store: Resolver, turns: Mapping[str, Turn], line: Line) -> None:
        self._store = store
        self._turns = turns
        self._line = line
        self._given = set[FlowKey]()
        self._bundles = set[str]()
        self._accounts = set[str]()
        self._targets = set[FlowKey]()
        self._held: dict[str, str] = {}
        self._answering: dict[asyncio.Task[None], str] = {}

    async def give(self, key: FlowKey) -> None:
        """Send what running a flow needs, once; where that is not there, the child hears why."""
        if key in self._given:
            return
        self._given.add(key)
        try:
            facts = await self._store.read(key)
            await self._give_bundle(key.version)
            revisions: dict[str, Revision] = {}
            if not key.is_shared:
                revisions[str(key.revision)] = await self._revision(key.instance, key.revision)
            if is_lifecycle(key):  # it takes down what earlier versions made, by their config
                for version in versions_of(facts.subscriptions):
                    with suppress(NotFound):
                        await self._give_bundle(version)
                for number in range(1, key.revision):
                    with suppress(NotFound):
                        revisions[str(number)] = await self._revision(key.instance, number)
            given = GivenFacts(key, codec.encode(facts), codec.encode(revisions))
        except Exception as error:  # whatever it is, the child has to hear of it
            given = GivenFacts(key, trouble=trouble_of(error))
        self._line.send(given)

    def hear(self, ask: Ask) -> None:
        """Answer what the child asks."""
        task = asyncio.get_running_loop().create_task(self._answer(ask))
        self._answering[task] = ask.verb
        task.add_done_callback(self._answering.pop)

    async def close(self) -> None:
        """Do what the child has asked for, so that it is not done again; release what it holds."""
        for task, verb in self._answering.items():
            if verb == "hold":  # it may wait for what the child itself holds
                task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        for lock, connection in self._held.items():
            with suppress(HalflapError):
                await self._store.let_go(lock, connection)
        self._held.clear()

    async def _answer(self, ask: Ask) -> None:
        try:
            arguments = _arguments[ask.verb].decode(ask.arguments)
            if ask.execution:
                value = await self._of_turn(ask.execution, ask.verb, arguments)
            else:
                verb: Callable[..., Awaitable[Any]] = getattr(self, f"_{ask.verb}")
                value = await verb(*arguments)
            answer = LineAnswer(ask.number, encode(value))
        except Exception as error:
            answer = LineAnswer(ask.number, None, trouble_of(error))
        self._line.send(answer)

    async def _of_turn(self, execution: str, verb: str, arguments: tuple[Any, ...]) -> Any:
        turn = self._turns.get(execution)
        if turn is None:
            raise Fenced(f"{execution} is not this child's")
        if verb == "begin":
            self._check_child(arguments[0], turn.start)
        do: Callable[..., Awaitable[Any]] = getattr(turn, verb)
        return await do(*arguments)

    def _check_child(self, start: Start, parent: Start) -> None:
        """Raise `Fenced` for a start that is not one of the execution's own.

        That of a shared endpoint starts flows of the instances to which its routes led.
        """
        others = self._targets if parent.flow.is_shared else (parent.flow,)
        is_own = any(replace(start.flow, flow=each.flow) == each for each in others)
        accepts = start.parent is None and is_lifecycle(parent.flow)  # what was missed
        if not is_own or (start.parent != parent.execution and not accepts):
            raise Fenced(f"{start.execution} is no child of {parent.execution}")

    async def _hold(self, lock: str, connection: str) -> bytes:
        if connection not in self._accounts or lock.removeprefix("test:") != connection:
            raise Fenced(f"{connection} is none of this child's connections")
        account = await self._store.hold(lock, connection)
        self._held[lock] = connection
        return codec.encode(account)

    async def _let_go(self, lock: str, connection: str, learnt: bytes) -> bytes:
        if self._held.pop(lock, None) != connection:
            raise Fenced(f"{connection} is not held by this child")
        known = read(learnt, Learnt | None)
        return codec.encode(await self._store.let_go(lock, connection, known))

    async def _route(
        self, key: FlowKey, name: str, whose: Mapping[str, str]
    ) -> tuple[FlowKey, bytes]:
        if key not in self._given:
            raise Fenced(f"{key.flow} of {key.instance} is not this child's")
        target = await self._store.routed(key, name, whose)
        await self._give_bundle(target.version)
        self._targets.add(target)
        return target, codec.encode(await self._revision(target.instance, target.revision))

    async def _keep(self, instance: str, flow: str, subscription: bytes) -> None:
        if not any(is_lifecycle(each) and each.instance == instance for each in self._given):
            raise Fenced(f"{instance} is not deployed by this child")
        await self._store.keep(instance, flow, read(subscription, StoredSubscription | None))

    async def _revision(self, instance: str, number: int) -> Revision:
        found = await self._store.revision(instance, number)
        self._accounts.update(each.stored.id for each in found.accounts.values())
        return found

    async def _give_bundle(self, version: str) -> None:
        if version not in self._bundles:
            self._line.send(Bundled(version, await self._store.bundle(version)))
            self._bundles.add(version)


# The child's side --------------------------------------------------------------------------------


class Desk:
    """Has what a child was given, and asks its parent for the rest; the child's `FactSource`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._asked = 0
        self._waiting: dict[int, asyncio.Future[LineAnswer]] = {}
        self._facts: dict[FlowKey, FlowFacts | Trouble] = {}
        self._bundles: dict[str, bytes] = {}
        self._revisions: dict[tuple[str, int], Revision] = {}
        self._deployments: dict[str, str | None] = {}
        self._subscriptions: dict[str, dict[str, StoredSubscription]] = {}

    def take(self, message: LineAnswer | Bundled | GivenFacts) -> None:
        """Keep what the parent gives, and hand over what it answers."""
        match message:
            case LineAnswer(number):
                future = self._waiting.get(number)
                if future is not None and not future.done():
                    future.set_result(message)
            case Bundled(version, bundle):
                self._bundles[version] = bundle
            case GivenFacts(key, trouble=Trouble() as trouble):
                self._facts[key] = trouble
            case GivenFacts(key):
                self._facts[key] = facts = read(message.facts, FlowFacts)
                for number, each in read(message.revisions, dict[str, Revision]).items():
                    self._revisions[key.instance, int(number)] = each
                if facts.instance is not None:
                    self._deployments[key.instance] = facts.instance.deployment
                    made = {each.flow: each for each in facts.subscriptions}
                    self._subscriptions[key.instance] = made

    async def ask(self, verb: str, *arguments: Any, execution: str = "") -> Any:
        """Ask the parent for a verb, and return its result; what failed there is raised here."""
        self._asked += 1
        number = self._asked
        future: asyncio.Future[LineAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._line.send(Ask(number, execution, verb, encode(arguments)))
        try:
            answer = await future
        finally:
            del self._waiting[number]
        if answer.trouble is not None:
            raise error_of(answer.trouble)
        return _results[verb].decode(answer.value or b"\xc0")

    def facts(self, key: FlowKey) -> FlowFacts:
        """Return the facts of a flow; raise what the parent met with instead."""
        found = self._facts[key]
        if isinstance(found, Trouble):
            raise error_of(found)
        return found

    async def bundle(self, version: str) -> bytes:
        """Return the bundle of a version; raise `NotFound`."""
        if version not in self._bundles:
            raise NotFound(f"this process was not given version {version[:12]}")
        return self._bundles[version]

    async def revision(self, instance: str, number: int) -> Revision:
        if (found := self._revisions.get((instance, number))) is None:
            raise NotFound(f"instance {instance} has no revision {number} of its config")
        return found

    async def hold(self, lock: str, connection: str) -> StoredAccount:
        return read(await self.ask("hold", lock, connection), StoredAccount)

    async def let_go(
        self, lock: str, connection: str, learnt: Learnt | None = None
    ) -> StoredAccount:
        return read(await self.ask("let_go", lock, connection, codec.encode(learnt)), StoredAccount)

    async def routed(self, key: FlowKey, name: str, whose: Mapping[str, str]) -> FlowKey:
        target, revision = await self.ask("route", key, name, dict(whose))
        self._revisions[target.instance, target.revision] = read(revision, Revision)
        return target

    async def deployment(self, instance: str) -> str | None:
        return self._deployments[instance]

    async def subscriptions(self, instance: str) -> Sequence[StoredSubscription]:
        return list(self._subscriptions[instance].values())

    async def keep(self, instance: str, flow: str, made: StoredSubscription | None) -> None:
        await self.ask("keep", instance, flow, codec.encode(made))
        self._subscriptions[instance].pop(flow, None)
        if made is not None:
            self._subscriptions[instance][flow] = made
