"""The context of a flow: the customer's config, and the effects that code between steps may not
have by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar, cast, overload
from uuid import UUID

from pydantic import SecretStr, TypeAdapter

from halflap.errors import (
    Conflict,
    DefinitionError,
    InvalidEvent,
    Overruled,
    StepFailed,
    TimedOut,
)
from halflap.model import FlowKey, to_micros
from halflap.sdk.compatibility import refuse
from halflap.sdk.link import LONGEST_TEXT, SignalLink
from halflap.sdk.pairs import Pairs
from halflap.sdk.record import adapter_of, encode_value
from halflap.sdk.running import Recorder, noted
from halflap.sdk.schema import Config
from halflap.sdk.trigger import first_line, fit_event

if TYPE_CHECKING:
    from halflap.sdk.integration import Flow

C_co = TypeVar("C_co", bound=Config, covariant=True)
T = TypeVar("T")
R = TypeVar("R")
V = TypeVar("V")

LONGEST_NAME = 120

ANY: Any = object()
"""Write whatever is there now."""


@dataclass(frozen=True, slots=True)
class InstanceInfo:
    """The instance that runs: its id and its name."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class CustomerInfo:
    """The customer whose instance runs: its id here, its id in your product, its name."""

    id: str
    name: str
    external_id: str | None = None


MAX_STATE_BYTES = 4 * 1024 * 1024
"""The most bytes of a value of state, as JSON."""


class State:
    """Values that outlive an execution, key by key, with compare-and-set.

    `ctx.state` is the flow's own; `ctx.state.instance` is shared by the instance's flows and
    `ctx.state.integration` by all instances of the integration. A read is a recorded step; a write
    commits together with its record.
    """

    def __init__(self, recorder: Recorder, scopes: Mapping[str, str], scope: str = "flow") -> None:
        self._recorder = recorder
        self._scopes = scopes
        self._scope = scopes[scope]

    @property
    def instance(self) -> State:
        """The state that all flows of the instance share."""
        return State(self._recorder, self._scopes, "instance")

    @property
    def integration(self) -> State:
        """The state that all instances of the integration share."""
        return State(self._recorder, self._scopes, "integration")

    @noted("ctx.state.get")
    async def get(self, key: str, default: Any = None) -> Any:
        """The value under a key (JSON; fractions as `Decimal`), or the default."""
        found = await self._recorder.read_state(self._scope, key)
        return default if found is ANY else found

    @noted("ctx.state.put")
    async def put(self, key: str, value: Any, *, expect: Any = ANY) -> None:
        """Write a value: JSON of up to `MAX_STATE_BYTES`, 4 MB.

        With `expect`, only where that is still the value there (None: no value yet); else `Conflict`.
        """
        if not await self._recorder.write_state(self._scope, key, value, expect):
            raise Conflict(
                f"state {key!r} is no longer {expect!r}; read it again and decide", key=key
            )

    @noted("ctx.state.delete")
    async def delete(self, key: str) -> None:
        """Remove a key."""
        await self._recorder.write_state(self._scope, key, ANY, ANY)

    @noted("ctx.state.update")
    async def update(self, key: str, change: Callable[[Any], Any], default: Any = None) -> Any:
        """Read, change by a pure function, write where nothing changed meanwhile; repeat until so."""
        while True:
            found = await self._recorder.read_state(self._scope, key)
            expect = None if found is ANY else found
            new = change(default if found is ANY else found)
            if await self._recorder.write_state(self._scope, key, new, expect):
                return new


class Log:
    """The execution's log, which support reads beside the steps. Fields are values of JSON."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def debug(self, message: str, /, **fields: Any) -> None:
        """A detail for whoever looks closely."""
        self._recorder.log("debug", message, fields)

    def info(self, message: str, /, **fields: Any) -> None:
        """Something worth knowing."""
        self._recorder.log("info", message, fields)

    def warning(self, message: str, /, **fields: Any) -> None:
        """Something to look at."""
        self._recorder.log("warning", message, fields)

    def error(self, message: str, /, **fields: Any) -> None:
        """Something went wrong, and the flow goes on."""
        self._recorder.log("error", message, fields)


SETTLED = (StepFailed, TimedOut, Conflict, InvalidEvent, Overruled)
"""Errors that a step raises for good: `gather` with `settle=True` returns them."""


class Settled(Generic[R]):
    """The outcome of one branch of `gather`: its result, or the error that it raised.

    `error` is None where it ended well; `result` raises the error otherwise.
    """

    def __init__(self, result: R | None, error: Exception | None = None) -> None:
        self._result = result
        self.error = error

    @property
    def ok(self) -> bool:
        """True if it ended well."""
        return self.error is None

    @property
    def result(self) -> R:
        """The branch's result; raises what it raised."""
        if self.error is not None:
            raise self.error
        return cast(R, self._result)

    def __repr__(self) -> str:
        return f"<settled {self._result!r}>" if self.ok else f"<settled {self.error!r}>"


class Child(Generic[R]):
    """An execution that this one started: its id, and the name of its flow."""

    def __init__(
        self, id: str, flow: str, adapter: TypeAdapter[Any] | None, recorder: Recorder
    ) -> None:
        self.id = id
        self.flow = flow
        self._adapter = adapter
        self._recorder = recorder

    @noted("child.result")
    async def result(self) -> R:
        """Wait for its end, and return what it returned; `StepFailed` where it failed.

        None where its event was ignored. The execution leaves memory meanwhile.
        """
        return await self._recorder.waits.result(self.flow, self.id, self._adapter)

    def __repr__(self) -> str:
        return f"<child {self.id} of {self.flow}>"


class Context(Generic[C_co]):
    """The context that a flow is given beside its event."""

    def __init__(
        self,
        *,
        config: C_co | None,
        customer: CustomerInfo,
        instance: InstanceInfo,
        execution: str,
        attempt: int,
        flow: str,
        urls: Mapping[str, str],
        secrets: Callable[[str], SecretStr],
        key: FlowKey,
        recorder: Recorder,
        siblings: Mapping[str, Flow[Any, Any, Any]] | None = None,
        link: Callable[[SignalLink], str] | None = None,
        shared_urls: Mapping[str, str] | None = None,
    ) -> None:
        self._link = link
        self._choices: dict[str, list[str]] = {}
        self._shared_urls = shared_urls or {}
        self._siblings = siblings or {}
        self._config = config
        self.customer = customer
        self.instance = instance
        self.execution = execution
        self.attempt = attempt
        self.flow = flow
        self._urls = urls
        self._secrets = secrets
        self._recorder = recorder
        self._key = key

    @cached_property
    def state(self) -> State:
        """The flow's own state, and on it that of the instance and of the integration."""
        key = self._key
        home = key.customer if key.is_shared else key.instance
        scopes = {
            "flow": f"flow:{home}:{self.flow}",
            "instance": f"instance:{home}",
            "integration": f"integration:{key.integration}",
        }
        return State(self._recorder, scopes)

    @cached_property
    def log(self) -> Log:
        """The execution's log."""
        return Log(self._recorder)

    @property
    def config(self) -> C_co:
        """The customer's config: pinned for the execution; secrets are read live."""
        if self._config is None:
            raise DefinitionError(
                f"the flow {self.flow} takes the events of all customers, so it has nobody's config; "
                "the flow that it hands an event on to has the customer's"
            )
        return self._config

    def now(self) -> datetime:
        """The time of the last durable record, in UTC: the same on every attempt."""
        return self._recorder.now()

    def uuid(self) -> UUID:
        """A new UUID: the same on every attempt."""
        return self._recorder.uuid()

    @noted("ctx.sleep")
    async def sleep(self, time: timedelta | float) -> None:
        """Wait (seconds, or a `timedelta`): the execution leaves memory, and survives restarts."""
        await self._recorder.waits.sleep(
            time.total_seconds() if isinstance(time, timedelta) else time
        )

    @overload
    async def start(
        self, flow: Flow[Any, V, R], event: V, /, *, detached: bool = False
    ) -> Child[R]: ...
    @overload
    async def start(self, flow: str, event: Any, /, *, detached: bool = False) -> Child[Any]: ...
    @noted("ctx.start")
    async def start(
        self, flow: Flow[Any, Any, Any] | str, event: Any, /, *, detached: bool = False
    ) -> Child[Any]:
        """Start an execution of a sibling flow, for an event as that flow takes it; go on at once.

            child = await ctx.start(ship, order)
            parcel = await child.result()

        A recorded step: it is started once, whatever crashes. It is cancelled with this one, unless
        `detached`.
        """
        found = self._sibling(flow)
        adapter = result_adapter(found)
        id = await self._recorder.waits.start(found.name, made(found, event), bound=not detached)
        return Child(id, found.name, adapter, self._recorder)

    @overload
    async def call(self, flow: Flow[Any, V, R], event: V, /) -> R: ...
    @overload
    async def call(self, flow: str, event: Any, /) -> Any: ...
    @noted("ctx.call")
    async def call(self, flow: Flow[Any, Any, Any] | str, event: Any, /) -> Any:
        """Start an execution of a sibling flow, wait for its end, and return what it returned.

            parcel = await ctx.call(ship, order)

        It has its own steps, tries and order, and is cancelled with this one. `StepFailed` where it
        fails; None where its event is ignored.
        """
        found = self._sibling(flow)
        return await self._recorder.waits.call_flow(
            found.name, made(found, event), result_adapter(found)
        )

    @noted("ctx.continue_with")
    async def continue_with(self, event: Any, /) -> NoReturn:
        """End here, and go on as a new execution of this flow with another event: the last statement.

            if page.next:
                await ctx.continue_with(Page(cursor=page.next))

        Both happen at once or not at all, so long work is done in parts, each of them cheap to resume:
        a page after another. The next one has this one's place in its order, its caller, and the
        signals that nobody took; it runs on the instance's version of then, with an empty journal.
        Whoever called this one, or waits for its answer, gets what the last one returns.
        `DefinitionError` in a branch of `gather`, and in deploy, teardown and pre-process flows.
        """
        own = self._siblings.get(self.flow)
        if (
            own is None
            or own.preprocess is not None
            or own.trigger.declaration.lifecycle is not None
        ):
            raise DefinitionError(
                f"the flow {self.flow} cannot continue: deploy, teardown and pre-process flows run once "
                "for each event; ctx.start another flow that continues"
            )
        await self._recorder.waits.continue_with(made(own, event))

    def _sibling(self, flow: Flow[Any, Any, Any] | str) -> Flow[Any, Any, Any]:
        name = flow if isinstance(flow, str) else flow.name
        found = self._siblings.get(name)
        if found is None or not (flow is found or isinstance(flow, str)):
            raise DefinitionError(
                f"the flow {name} is none of this integration's: {', '.join(self._siblings)}"
            )
        if found.preprocess is not None:
            raise DefinitionError(
                f"the flow {name} takes events at its URL and hands them on; start the flow itself"
            )
        return found

    @overload
    async def wait_for(
        self, name: str, /, *, timeout: timedelta | None = None, type: type[T]
    ) -> T: ...
    @overload
    async def wait_for(self, name: str, /, *, timeout: timedelta | None = None) -> Any: ...
    @noted("ctx.wait_for")
    async def wait_for(
        self, name: str, /, *, timeout: timedelta | None = None, type: Any = None
    ) -> Any:
        """Wait for a signal, and return its payload (JSON; with `type`, as that).

            decision = await ctx.wait_for("approved", timeout=timedelta(days=3), type=Decision)

        A recorded step: the execution leaves memory, and survives restarts. A signal that comes
        before it is waited for is kept; several of one name are taken in order. They come from
        `signal_url`'s pages, from the API and from `halflap executions signal`. Where none comes in
        time, `TimedOut` is raised, on every attempt alike.
        """
        check_name(name)
        adapter = None if type is None else adapter_of(type)
        choices = self._choices.pop(self._recorder.waits.question(name), [])
        if adapter is not None:
            check_answers(name, choices, adapter)
        seconds = None if timeout is None else timeout.total_seconds()
        return await self._recorder.waits.wait_for(name, seconds, adapter, choices)

    def signal_url(
        self,
        name: str,
        choice: str = "",
        /,
        *,
        text: str = "",
        within: timedelta = timedelta(days=7),
    ) -> str:
        """A link that sends this execution the signal, for a mail or a chat.

            yes = ctx.signal_url("approved", "approve", text="Refund 120 €?")
            no = ctx.signal_url("approved", "reject", text="Refund 120 €?")

        It opens a page with `text` and a button; only the button sends. The payload is
        `{"choice": choice}`, or null without one. Of the links that were made before the same
        `wait_for`, one counts, once. The link cannot be guessed: whoever has it may answer.
        """
        check_name(name)
        if len(text) > LONGEST_TEXT or len(choice) > LONGEST_NAME:
            raise DefinitionError(
                f"ctx.signal_url: a text has {LONGEST_TEXT} characters at most, a choice "
                f"{LONGEST_NAME}"
            )
        if self._link is None:
            raise DefinitionError("ctx.signal_url: nobody serves links here")
        expires_at = to_micros(self.now()) + within // timedelta(microseconds=1)
        once = self._recorder.waits.question(name)
        self._choices.setdefault(once, []).append(choice)
        return self._link(SignalLink(self.execution, name, choice, once, expires_at, text))

    @overload
    async def gather(
        self,
        items: Iterable[T],
        do: Callable[[T], Awaitable[R]],
        *,
        key: Callable[[T], object] | None = None,
        limit: int = 10,
        settle: Literal[False] = False,
    ) -> list[R]: ...
    @overload
    async def gather(
        self,
        items: Iterable[T],
        do: Callable[[T], Awaitable[R]],
        *,
        key: Callable[[T], object] | None = None,
        limit: int = 10,
        settle: Literal[True],
    ) -> list[Settled[R]]: ...
    @noted("ctx.gather")
    async def gather(
        self,
        items: Iterable[T],
        do: Callable[[T], Awaitable[Any]],
        *,
        key: Callable[[T], object] | None = None,
        limit: int = 10,
        settle: bool = False,
    ) -> list[Any]:
        """Run `do(item)` for every item, `limit` at a time, and return the results in order.

        Each branch is a scope of its own in the journal, keyed by `key(item)`; without `key`, by the
        item itself where it is a string or a number, by its `id` where it has one, else by its
        place; what comes again is counted (`600`, `600~2`). Keys that `key` gives must differ. The
        first failure is raised once the other branches have ended. With `settle`, each item has a
        `Settled` instead: a result, or what a step of its branch raised for good; anything else is
        raised all the same. A branch that waits makes room for the next.
        """
        values = list(items)
        keys = default_keys(values) if key is None else [str(key(each)) for each in values]
        doubled = sorted(each for each, times in Counter(keys).items() if times > 1)
        if doubled:
            raise DefinitionError(
                "the keys of branches that run side by side must differ, and "
                f"{', '.join(map(repr, doubled[:3]))} come twice; give a `key` that tells them apart, "
                "or none"
            )
        run = settling(do) if settle else do
        return await self._recorder.gather(values, keys, run, limit)

    @noted("ctx.paired")
    async def paired(self, pairs: Pairs, /, **known: str) -> str | None:
        """The id of the record at the other app, or None where it is paired with none.

            known = await ctx.paired(accounts, salesforce=changed.id)

        A recorded step, so it is the same on every attempt.
        """
        ids = pairs.ids(known)
        if len(ids) != 1:
            raise DefinitionError(
                f"ctx.paired: give the id of one side of {pairs.name}: {', '.join(pairs.sides)}"
            )
        side, id = next(iter(ids.items()))
        return await self._recorder.read_pair(pairs, side, id)

    @noted("ctx.pair")
    async def pair(self, pairs: Pairs, /, **ids: str) -> None:
        """Say that two records belong together, as where one was found at the other app.

        What a flow with `pairs=` makes is paired by itself. `Conflict` where either is paired with
        another record; `unpair` it first.
        """
        given = pairs.ids(ids)
        if len(given) != 2:
            raise DefinitionError(
                f"ctx.pair: give the ids of both sides of {pairs.name}: {', '.join(pairs.sides)}"
            )
        if not await self._recorder.write_pair(pairs, given, remove=False):
            shown = " and ".join(f"{side} {id}" for side, id in given.items())
            raise Conflict(f"{shown} cannot be paired: one of them is paired with another record")

    @noted("ctx.unpair")
    async def unpair(self, pairs: Pairs, /, **known: str) -> None:
        """Forget with which record one is paired; one that is paired with none is fine."""
        await self._recorder.write_pair(pairs, pairs.ids(known), remove=True)

    def url(self, flow: Flow[Any, Any, Any] | str) -> str:
        """The URL of a sibling flow of this instance; stable through redeploys and versions.

        That of a shared pre-process flow is the same for all customers.
        """
        name = flow if isinstance(flow, str) else flow.name
        found = self._urls.get(name) or self._shared_urls.get(name)
        if found is None:
            known = [*self._urls, *self._shared_urls]
            raise DefinitionError(f"the flow {name} has no URL; those that have: {known}")
        return found

    @property
    def urls(self) -> frozenset[str]:
        """The URLs of all flows of this instance, and of no other."""
        return frozenset(self._urls.values())

    @property
    def flow_urls(self) -> Mapping[str, str]:
        """The URL of each flow of this instance that has one, by the flow's name."""
        return self._urls

    def secret(self, flow: Flow[Any, Any, Any] | str) -> SecretStr:
        """The secret of a sibling flow's endpoint, made by us, with which its app signs."""
        name = flow if isinstance(flow, str) else flow.name
        if name in self._shared_urls and name not in self._urls:
            raise DefinitionError(
                f"the secret of {name} signs for all customers, so no customer's app may have it; set "
                "it up at the app by hand: halflap integrations endpoint --secrets"
            )
        return self._secrets(name)


def settling(do: Callable[[T], Awaitable[Any]]) -> Callable[[T], Awaitable[Settled[Any]]]:
    """A branch whose failure is what it returns."""

    async def settled(item: T) -> Settled[Any]:
        try:
            return Settled(await do(item))
        except SETTLED as error:
            return Settled(None, error)

    return settled


def result_adapter(flow: Flow[Any, Any, Any]) -> TypeAdapter[Any] | None:
    """Return the adapter of a flow's result: by its annotation, where it has one."""
    return None if flow.result_type is Any else adapter_of(flow.result_type)


def made(flow: Flow[Any, Any, Any], event: Any) -> bytes:
    """An event for a flow, as it is kept; `InvalidEvent` where the flow does not take it."""
    fitted = fit_event(event, flow.event_type, flow.function)
    adapter = None if flow.event_type is Any else adapter_of(flow.event_type)
    return encode_value(fitted, adapter, refuse_secret)


def refuse_secret(_: str) -> str:
    """An event is kept as it is, so that no secret may be in it."""
    raise TypeError("the event of a child holds a secret; pass what names it, and read it there")


def check_name(name: str) -> None:
    """A signal's name is a short text; those that begin with `$` are ours."""
    if not name or len(name) > LONGEST_NAME or name.startswith("$"):
        raise DefinitionError(
            f"a signal's name has 1 to {LONGEST_NAME} characters, and not $ as its first: {name!r}"
        )


def default_keys(items: Iterable[Any]) -> list[str]:
    """Return the keys of branches of `gather` for which the author gives none; all of them differ."""
    keys: dict[str, None] = {}
    times = Counter[str]()
    for place, item in enumerate(items):
        key = first = str(_default_key(item, place))
        while key in keys:
            times[first] += 1
            key = f"{first}~{times[first] + 1}"
        keys[key] = None
    return list(keys)


def _default_key(item: Any, place: int) -> object:
    if isinstance(item, str | int):
        return item
    held: Any = item
    found: Any = held.get("id") if isinstance(item, Mapping) else getattr(held, "id", None)
    return found if isinstance(found, str | int) else place


def check_answers(name: str, choices: Iterable[str], adapter: TypeAdapter[Any]) -> None:
    """Raise where what links send is not what the flow waits for: nobody's answer would do."""
    for each in choices:
        sent = {"choice": each} if each else None
        try:
            adapter.validate_python(sent)
        except ValueError as error:
            refuse(
                DefinitionError(
                    f"ctx.wait_for({name!r}): its type does not take what a link sends, {sent}: "
                    f"{first_line(error)}"
                )
            )
