"""A trigger: turns a request, a tick or a deployment into a typed event, and subscribes itself.

What the gateway needs before it answers stands in a `Declaration`, as data or as bounded pure
functions; the trigger's body only parses, in the worker, as the execution's first record.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b
from typing import (
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
    Union,
    cast,
    overload,
)
from weakref import WeakKeyDictionary

from pydantic import SecretStr, TypeAdapter, ValidationError

from halflap.errors import DefinitionError, InvalidEvent
from halflap.sdk import codec
from halflap.sdk.action import StepSpec
from halflap.sdk.compatibility import as_published, published, refuse
from halflap.sdk.event_type import is_pattern
from halflap.sdk.fit import worded
from halflap.sdk.listener import Batch, ListenerSpec, Listening, OnExpired, Ownership
from halflap.sdk.pairs import Reads, check_reads
from halflap.sdk.polling import PolledPage, Polling, PollSpec, polled
from halflap.sdk.reference import FieldReference, accepts, alternatives, name_of_type
from halflap.sdk.request import Request
from halflap.sdk.schema import (
    InputField,
    Shape,
    adapter_for,
    hints_of,
    read_signature,
    where,
    without_unset,
)
from halflap.sdk.signature import Verifier

P = ParamSpec("P")
E = TypeVar("E")
F = TypeVar("F", bound=Callable[..., Any])

Pick = Callable[[Request], str | None]
Misfire = Literal["once", "all", "skip"]

SHORTEST_CHECK = timedelta(minutes=1)
POLL_INPUTS = frozenset({"interval", "overlap"})
"""The inputs that take the place of what a poll declares, and do not name its source."""


@dataclass(frozen=True, slots=True)
class Ignore:
    """A trigger's result for an event that needs no flow: the execution ends as ignored."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer: static, computed by `answer=`, or returned by a synchronous flow.

    `status` is 200 to 599; `body` is text or bytes as they are, anything else as JSON.
    """

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise DefinitionError(f"a Reply's status is 200 to 599, not {self.status!r}")


@dataclass(frozen=True, slots=True)
class FlowResult:
    """Answer with what the flow returns, within a deadline; else 202 with the execution's id."""

    within: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The URL of a flow of an instance and its secret, handed to `subscribe`."""

    url: str
    secret: SecretStr
    flow: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """A webhook at the app: its id there, and its signing secret where the app chose that.

    expires_at: when the app ends it, where it does so by itself. It is renewed in time (see
    `Trigger.renew`).
    data: stored with it; a text in `data["note"]` is shown to people.
    """

    id: str
    secret: SecretStr | None = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.expires_at is not None and self.expires_at.tzinfo is None:
            raise DefinitionError("a Subscription's expires_at has a time zone")
        # Both come of an app's answer, which no type checker knows.
        if isinstance(self.secret, str):
            raise DefinitionError("a Subscription's secret is a SecretStr: write SecretStr(…)")
        if not isinstance(self.id, str | int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(
                f"a Subscription's id is a text, and not {self.id!r}: write str(…)"
            )
        object.__setattr__(self, "id", str(self.id))


@dataclass(frozen=True, slots=True)
class Missed:
    """An event that came about at `at`, while its trigger was not subscribed.

    `body` is as the app would have sent it (of many events, one part): bytes as they are, anything
    else as JSON. `is_state` says that it is how its record is now: it is left out where the newest
    event of that record (by the trigger's `key`) says the same, or came since the activation.
    `headers` are those that the trigger's `dedupe` or `key` reads. Unless it `is_state`, `dedupe` has
    to find the delivery's id: by that it is known whether the event has arrived already.
    """

    body: Any
    at: datetime
    is_state: bool = False
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


Answer = Reply | FlowResult | Callable[[Request], Reply]
PURE = ("handshake", "dedupe", "key", "split", "answer", "control", "takes")
"""The parts of a declaration that are functions, which run before there is an answer."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """A trigger's declaration for the gateway and the scheduler.

    verify: the signature layout, or None (see `halflap lint`).
    secret: whose secret signs: the `endpoint`'s (made by us, handed out as `ctx.secret(flow)`), the
        `subscription`'s (chosen by the app), or `connection.<field>`; the subscription's wins where
        it has one.
    handshake: answers a challenge or a ping at once (nothing is accepted), or returns None. An OPTIONS
        request is given to it unverified, and is never an event.
    dedupe: where the delivery's id stands. key: where the record's id stands.
    split: cuts one request into the bodies of many events (bytes as they are, anything else as
        JSON); one execution each, one transaction, one answer.
    answer: a static reply, a computed one, or the flow's result.
    methods: which HTTP methods it takes. ticks: for a scheduled trigger, the tick after a time.
    misfire: what becomes of ticks that were missed while nothing ran: the last one fires for all of
        them (`once`), each fires (`all`), or none does (`skip`).
    lifecycle: for the built-in `instance` triggers.
    reads: which record the event tells of, so that an echo of our own write is known.
    subscribes: whether the trigger, with its inputs, makes its webhook at the app by itself.
    control: whether a request is of the subscription itself, such as its confirmation: `admit` answers
        it, and no flow's filter is asked about it.
    takes: whether the trigger, with its inputs, wants an event: what it does not is not stored.
    app_endpoint: whether it is given the events that the app sends to the team's one URL.
    app_events: which events of the team's own product it is given: `order.created`, `order.*`, `*`.
    """

    verify: Verifier | None = None
    secret: str = "endpoint"  # noqa: S105
    handshake: Callable[[Request], Reply | None] | None = None
    dedupe: Pick | None = None
    dedupe_for: timedelta = timedelta(days=7)
    key: Pick | None = None
    split: Callable[[Request], Sequence[Any]] | None = None
    answer: Answer = Reply()
    methods: tuple[str, ...] = ("POST",)
    decompress: bool = False
    body_limit: int | None = None
    ticks: Callable[[datetime], datetime | None] | None = None
    misfire: Misfire = "once"
    lifecycle: Literal["deploy", "teardown"] | None = None
    reads: Reads | None = None
    subscribes: bool = True
    control: Callable[[Request], bool] | None = None
    takes: Callable[[Request], bool] | None = None
    app_endpoint: bool = False
    app_events: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in PURE:
            function = getattr(self, name)
            if name == "answer" and isinstance(function, Reply | FlowResult):
                continue
            if function is not None and (
                not callable(function) or inspect.iscoroutinefunction(function)
            ):
                refuse(
                    DefinitionError(
                        f"a trigger's {name}= is a pure function of the request, such as "
                        f'pointer("/id") or header("x-id"), and not {function!r}'
                    )
                )
        if any(len(each) == 1 for each in self.methods):  # of a text in the place of several
            refuse(DefinitionError('a trigger\'s methods= are several: write ("POST",)'))
        for each in self.app_events or ():
            if not is_pattern(each):
                raise DefinitionError(
                    f"{each!r} names no events of your product; write order.created, order.* for all "
                    "that begin with it, or * for all"
                )


class Trigger(Generic[P, E]):
    """A trigger starts a flow. Call it with its inputs to bind them: `github.webhook(events=[…])`."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        component: str,
        connection_type: type[Any] | None,
        declaration: Declaration,
        title: str | None = None,
        example: Any = None,
    ) -> None:
        self.function = function
        self.component = component
        self.short_name = function.__name__
        self.name = f"{component}.{self.short_name}"
        self.title = title or self.short_name.replace("_", " ").capitalize()
        self.example = example
        self.where = where(function)
        self.is_async = inspect.iscoroutinefunction(function)
        self._declaration = declaration
        self._declare: Callable[..., Declaration] | None = None
        self.hooks: dict[str, Callable[..., Any]] = {}
        self.catches_up_every: timedelta | None = None
        self.listener_spec = ListenerSpec()
        self.poll_spec = PollSpec()
        self.connection_type = connection_type
        self.shape: Shape = read_signature(
            function,
            connection_type=connection_type,
            skip=lambda _parameter, annotation: annotation is Request,
        )
        self.description = self.shape.description
        if not self.description:
            raise DefinitionError(
                f"{self.name}: the docstring is missing; its first line is shown to customers",
                where=self.where,
            )
        if declaration.reads is not None:
            told = [each for each in alternatives(self.shape.output) if each is not Ignore]
            check_reads(declaration.reads, Union[tuple(told)], self.name, self.where)  # noqa: UP007
        if declaration.app_endpoint:
            check_takes_app_events(self, declaration)
        if not self.shape.skipped:
            raise DefinitionError(
                f"{self.name}: a trigger reads a request; give it a parameter `request: Request`",
                where=self.where,
            )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> BoundTrigger[E]:
        names = [each.name for each in self.shape.inputs]
        given = dict(zip(names, args, strict=False))
        if len(args) > len(names) or given.keys() & kwargs.keys():
            raise TypeError(f"{self.name} takes each of its inputs once: {', '.join(names)}")
        return BoundTrigger(self, self.bind({**given, **kwargs}))

    def bind(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Validate inputs by name; a wrong one is a `DefinitionError` that says what to write."""
        known = self.shape.by_name
        bound: dict[str, Any] = {}
        for name, value in inputs.items():
            if name not in known:
                has = ", ".join(known) or "none"
                raise DefinitionError(f"{self.name} has no input {name!r}; its inputs: {has}")
            bound[name] = self._fitted(known[name], value)
        for name, each in known.items():
            if name not in bound:
                if each.required:
                    raise DefinitionError(f"{self.name} needs the input {name!r}")
                bound[name] = each.default
        return bound

    def _fitted(self, wanted: InputField, value: Any) -> Any:
        if isinstance(value, FieldReference):
            if not accepts(without_unset(wanted.annotation), value.annotation):
                takes, gives = map(name_of_type, (wanted.annotation, value.annotation))
                raise DefinitionError(
                    f"{self.name}: {wanted.name} takes {takes}, and {value} is {gives}; give the "
                    "field the type that the input takes"
                )
            return value
        try:
            return wanted.adapter.validate_python(value)
        except ValueError as error:
            raise DefinitionError(f"{self.name}: {wanted.name}: {first_line(error)}") from error

    def put(self, inputs: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """Return bound inputs with other values, which have to fit them."""
        known = self.shape.by_name
        fitted = {name: self._fitted(known[name], each) for name, each in values.items()}
        return {**inputs, **fitted}

    def declare(self, function: F) -> F:
        """Compute the declaration from the trigger's inputs: `@webhook.declare def _(events): …`."""
        self._declare = function
        return function

    def takes(self, function: F) -> F:
        """Return whether an event is one that the trigger's inputs ask for, before it is accepted.

        A pure function of the request, which comes first, and of inputs by name. What it refuses is
        answered as usual, and not stored.
        """
        return self._hooked("takes", function, Request)

    def subscribe(self, function: F) -> F:
        """Make the webhook at the app (*ensure by URL*) and return its `Subscription`.

        A parameter `former: Subscription | None` is given the one before, to be kept or changed
        where an instance is activated again or upgraded.
        """
        return self._hooked("subscribe", function, *OF_SUBSCRIPTION)

    def unsubscribe(self, function: F) -> F:
        """Remove the webhook at the app; one that is already gone is fine."""
        return self._hooked("unsubscribe", function, *OF_SUBSCRIPTION)

    def exists(self, function: F) -> F:
        """Return whether the webhook is still at the app: asked by people, never by the engine.

        Its parameters: the connection, the `Subscription`, and the trigger's inputs.
        """
        return self._hooked("exists", function, *OF_SUBSCRIPTION)

    def renew(self, function: F) -> F:
        """Prolong the webhook at the app before it expires; return its `Subscription`, with the new end.

        Called some time before `expires_at`, and again until it succeeds. Its parameters: the
        connection, the `Subscription` of before, the `Endpoint`, and the trigger's inputs. Without it,
        and where the app has the webhook no more (404, 410), `subscribe` is called, which ensures it.
        """
        return self._hooked("renew", function, *OF_SUBSCRIPTION)

    @overload
    def catch_up(self, function: F) -> F: ...
    @overload
    def catch_up(self, *, every: timedelta) -> Callable[[F], F]: ...
    def catch_up(
        self, function: Callable[..., Any] | None = None, *, every: timedelta | None = None
    ) -> Any:
        """Yield what came about since a time, oldest first, as `Missed`: an async generator.

        It runs once an instance is active again (`instances activate --catch-up`), and is asked again
        from the last `at` on after a crash; with `every`, it is also asked so often while the instance
        is active, for an app that does not send again what failed. Its parameters: the connection,
        `since: datetime`, the `Subscription | None`, and the trigger's inputs.
        """
        if every is not None and every < SHORTEST_CHECK:
            raise DefinitionError(
                f"{self.name}: what was missed is asked for once a minute at most"
            )

        def decorate(function: F) -> F:
            self._yields(function, "what catches up is an async generator; yield each Missed event")
            self.catches_up_every = every
            return self._hooked("catch_up", function, datetime, Subscription | None)

        return decorate if function is None else decorate(function)

    def admit(self, function: F) -> F:
        """Judge an accepted request by what only the app can tell, as a recorded step of the execution.

        For what the gateway cannot do, as it calls no app: fetch a certificate to verify a signature
        by, confirm a subscription. It runs before the trigger's body and returns None, or `Ignore`; it
        raises `Rejected` where the request is not genuine. Its parameters: the connection,
        `request: Request`, and the trigger's inputs. What an operator replays with another event, or a
        test runs, is not asked.
        """
        return self._hooked("admit", function, Request)

    @overload
    def listen(self, function: F) -> F: ...
    @overload
    def listen(
        self,
        *,
        owned_by: Ownership = "lease",
        patience: timedelta = timedelta(minutes=5),
        on_expired: OnExpired = "earliest",
        start: str = "now",
        tuning: Sequence[str] = (),
    ) -> Callable[[F], F]: ...
    def listen(
        self,
        function: Callable[..., Any] | None = None,
        *,
        owned_by: Ownership = "lease",
        patience: timedelta = timedelta(minutes=5),
        on_expired: OnExpired = "earliest",
        start: str = "now",
        tuning: Sequence[str] = (),
    ) -> Any:
        """Read a source: an async generator that yields each `Batch`; see `ListenerSpec` for the rest.

        Its parameters: the connection, the `Listening`, and the trigger's inputs.
        """
        spec = ListenerSpec(owned_by, patience, on_expired, start, self._tuned(tuning))

        def decorate(function: F) -> F:
            self._yields(function, "what listens is an async generator; yield each Batch")
            self.listener_spec = spec
            return self._hooked("listen", function, Listening)

        return decorate if function is None else decorate(function)

    @overload
    def poll(self, function: F) -> F: ...
    @overload
    def poll(
        self,
        *,
        every: timedelta = timedelta(seconds=30),
        at_most: timedelta = timedelta(minutes=5),
        overlap: timedelta = timedelta(0),
        pages: int = 100,
        patience: timedelta = timedelta(minutes=5),
        on_expired: OnExpired = "earliest",
        start: str = "now",
        tuning: Sequence[str] = (),
    ) -> Callable[[F], F]: ...
    def poll(
        self,
        function: Callable[..., Any] | None = None,
        *,
        every: timedelta = timedelta(seconds=30),
        at_most: timedelta = timedelta(minutes=5),
        overlap: timedelta = timedelta(0),
        pages: int = 100,
        patience: timedelta = timedelta(minutes=5),
        on_expired: OnExpired = "earliest",
        start: str = "now",
        tuning: Sequence[str] = (),
    ) -> Any:
        """Ask an app what is new: a function that returns each `PolledPage` (see `PollSpec`).

        Its parameters: the connection, the `Polling`, and the trigger's inputs. `patience` and the rest
        are as of `listen`.
        """
        spec, named = PollSpec(every, at_most, overlap, pages), self._tuned(tuning)

        def decorate(function: F) -> F:
            tuned = (*named, *(self.shape.by_name.keys() & POLL_INPUTS))
            self.poll_spec = spec
            self.listener_spec = ListenerSpec("lease", patience, on_expired, start, tuned)
            return self._hooked("poll", function, Polling)

        return decorate if function is None else decorate(function)

    @property
    def needs_connection(self) -> bool:
        """True if it is read, or asks its app of each event, through a connection."""
        kind = self.connection_type
        return kind is not None and any(
            isinstance(each, type) and issubclass(each, kind)
            for name in ("listen", "poll", "shards", "admit")
            if (hook := self.hooks.get(name)) is not None
            for each in hints_of(hook).values()
        )

    def _hooked(self, name: str, function: F, *given: Any) -> F:
        """Keep a hook, whose parameters are all known: connection, what is given, and inputs."""
        check_injected(function, self, given)
        self.hooks[name] = function
        return function

    def _yields(self, function: Callable[..., Any], otherwise: str) -> None:
        if not inspect.isasyncgenfunction(function):
            raise DefinitionError(f"{self.name}: {otherwise}", where=where(function))

    def _tuned(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names of inputs that tune a listener; `DefinitionError` where one is none."""
        if unknown := set(names) - self.shape.by_name.keys():
            raise DefinitionError(
                f"{self.name}: tuning names {', '.join(sorted(unknown))}, which is no input of it",
                where=self.where,
            )
        return tuple(names)

    def shards(self, function: F) -> F:
        """Return the shards of the source, of which each is read by itself: asked again now and then.

        Its parameters: the connection, and the trigger's inputs.
        """
        return self._hooked("shards", function)

    def declaration(self, inputs: Mapping[str, Any]) -> Declaration:
        """Return the declaration for these inputs.

        An input that refers to a config's field has the field's default. Where it has none, the
        declaration is the one that does not depend on inputs.
        """
        takes = self.hooks.get("takes")
        if self._declare is None and takes is None:
            return self._declaration
        defaults = {
            name: each.default for name, each in inputs.items() if isinstance(each, FieldReference)
        }
        if None in defaults.values():
            return self._declaration
        known = self.put(inputs, defaults)
        declared = self._declaration if self._declare is None else self._declare(**known)
        if takes is None:
            return declared
        asked = {name: known[name] for name in hints_of(takes) if name in known}
        return replace(declared, takes=partial(takes, **asked))

    def __repr__(self) -> str:
        return f"<trigger {self.name}>"


class BoundTrigger(Generic[E]):
    """A trigger with its inputs, as a flow has it."""

    def __init__(self, trigger: Trigger[..., E], inputs: Mapping[str, Any]) -> None:
        self.trigger = trigger
        self.inputs = dict(inputs)
        self.name = trigger.name
        self.declaration = trigger.declaration(inputs)
        self.is_published = published.get() is not None
        """True of a version that runs as it did (see `compatibility`)."""
        self.spec = StepSpec("trigger", trigger.title, trigger.name, pure=True)
        """The reading of its requests, as records have it."""

    @property
    def references(self) -> dict[str, FieldReference]:
        """The inputs that refer to fields of the config."""
        return {
            name: each for name, each in self.inputs.items() if isinstance(each, FieldReference)
        }

    def resolved(self, config: Any) -> BoundTrigger[E]:
        """Return the trigger with the values of a config; `DefinitionError` where it refuses one."""
        values = {name: getattr(config, each.name) for name, each in self.references.items()}
        if not values:
            return self
        with as_published(self.is_published):
            return BoundTrigger(self.trigger, self.trigger.put(self.inputs, values))

    @property
    def subscribes(self) -> bool:
        """True if it makes its webhook at the app by itself, when an instance is activated."""
        return "subscribe" in self.trigger.hooks and self.declaration.subscribes

    @property
    def catches_up(self) -> bool:
        """True if it can be asked for what was missed while its instance was disabled."""
        return "catch_up" in self.trigger.hooks

    @property
    def listens(self) -> bool:
        """True if it reads a source instead of being called."""
        return not self.trigger.hooks.keys().isdisjoint(("listen", "poll"))

    def listen(self, connection: Any, listening: Listening) -> AsyncGenerator[Batch]:
        """Return the batches of a source, or of a shard of it."""
        if "poll" in self.trigger.hooks:

            def poll(polling: Polling) -> Awaitable[PolledPage]:
                return self._called("poll", connection, {Polling: polling})

            chosen = {name: self.inputs.get(name) for name in POLL_INPUTS}
            return polled(listening, self.trigger.poll_spec.within(**chosen), poll)
        return self._called("listen", connection, {Listening: listening})

    async def shards(self, connection: Any) -> Sequence[str]:
        """Return the shards of the source, where its trigger can tell them."""
        return await self._called("shards", connection, {})

    def start(self) -> str:
        """Return where a listener begins that has no cursor."""
        return str(self.inputs.get("start") or self.trigger.listener_spec.start)

    def source(self, account: str) -> str:
        """Return a digest of what names the source: the trigger, the account and inputs of it."""
        tuning = {*self.trigger.listener_spec.tuning, "start"}
        named = {name: each for name, each in self.inputs.items() if name not in tuning}
        text = codec.encode([self.name, account, named], sort=True)
        return blake2b(text, digest_size=8).hexdigest()

    async def parse(self, request: Request) -> E | Ignore:
        """Run the trigger's body: the typed event, or `Ignore`."""
        if (takes := self.declaration.takes) is not None and not takes(request):
            return Ignore(f"{self.name} was not asked for this event")
        arguments = {**self.inputs, self.trigger.shape.skipped[0]: request}
        result = self.trigger.function(**arguments)
        if self.trigger.is_async or inspect.isawaitable(result):
            result = await result
        return result

    async def admit(self, connection: Any, request: Request) -> Ignore | None:
        """Judge an accepted request (see `Trigger.admit`)."""
        return await self._called("admit", connection, {Request: request})

    async def subscribe(
        self, connection: Any, endpoint: Endpoint, former: Subscription | None = None
    ) -> Subscription:
        """Make the webhook at the app; `former` is the one that the flow has there already."""
        given = {Endpoint: endpoint, Subscription: former, Subscription | None: former}
        return await self._called("subscribe", connection, given)

    async def renew(
        self, connection: Any, subscription: Subscription, endpoint: Endpoint
    ) -> Subscription:
        """Prolong a webhook at the app; only where its trigger can."""
        given = {Endpoint: endpoint, Subscription: subscription, Subscription | None: subscription}
        return await self._called("renew", connection, given)

    def catch_up(
        self, connection: Any, since: datetime, subscription: Subscription | None = None
    ) -> AsyncGenerator[Missed]:
        """Return what was missed since a time, oldest first; the webhook is the one of now."""
        given = {datetime: since, Subscription | None: subscription}
        return self._called("catch_up", connection, given)

    async def unsubscribe(self, connection: Any, subscription: Subscription) -> None:
        """Remove the webhook at the app."""
        await self._called("unsubscribe", connection, {Subscription: subscription})

    async def exists(self, connection: Any, subscription: Subscription) -> bool:
        """Return whether the app still has a webhook; only where its trigger can ask."""
        return await self._called("exists", connection, {Subscription: subscription})

    def _called(self, hook: str, connection: Any, values: Mapping[Any, Any]) -> Any:
        function = self.trigger.hooks[hook]
        arguments: dict[str, Any] = {}
        for name, annotation in hints_of(function).items():
            if name == "return":
                continue
            if annotation in values:
                arguments[name] = values[annotation]
            elif isinstance(annotation, type) and isinstance(connection, annotation):
                arguments[name] = connection
            elif name in self.inputs:
                arguments[name] = self.inputs[name]
        return function(**arguments)

    def __repr__(self) -> str:
        return f"<trigger {self.name} {self.inputs}>"


def check_takes_app_events(trigger: Trigger[..., Any], declaration: Declaration) -> None:
    """Raise where a trigger cannot be given what its app sends to one URL for all."""
    kind, why = trigger.connection_type, ""
    if getattr(kind, "app_endpoint", None) is None:
        why = "its component's connection has no `app_endpoint`, which says how the app sends them"
    elif isinstance(declaration.answer, FlowResult):
        why = "its answer is the flow's result, and an event may start many flows; give a Reply"
    if why:
        raise DefinitionError(f"{trigger.name}: app_endpoint=True, but {why}", where=trigger.where)


OF_SUBSCRIPTION = (Endpoint, Subscription, Subscription | None)


def check_injected(
    function: Callable[..., Any], trigger: Trigger[..., Any], given: tuple[Any, ...]
) -> None:
    """A subscriber's parameters must all be known: connection, endpoint, subscription, inputs."""
    known = {each.name for each in trigger.shape.inputs}
    hints = hints_of(function)
    for name in inspect.signature(function).parameters:
        annotation = hints.get(name)
        is_connection = (
            isinstance(annotation, type)
            and trigger.connection_type is not None
            and issubclass(annotation, trigger.connection_type)
        )
        if not (is_connection or annotation in given or name in known):
            raise DefinitionError(
                f"{trigger.name}: {name!r} is neither the connection, the Endpoint, the "
                "Subscription nor an input of the trigger",
                where=where(function),
            )


class TriggerDecorator(Protocol):
    """`@component.trigger(…)`: makes a trigger of a function that reads a `Request`."""

    def __call__(
        self, function: Callable[Concatenate[Request, P], Awaitable[E | Ignore]], /
    ) -> Trigger[P, E]: ...


_events: WeakKeyDictionary[Callable[..., Any], tuple[Any, TypeAdapter[Any]]] = WeakKeyDictionary()
# By flow, for as long as its version is loaded: making an adapter takes longer than using it.


def fit_event(value: Any, annotation: Any, flow: Callable[..., Any]) -> Any:
    """A trigger's event, as the type that the flow's second parameter names."""
    if annotation is Any or (isinstance(annotation, type) and isinstance(value, annotation)):
        return value
    known = _events.get(flow)
    if known is None or known[0] is not annotation:
        known = _events[flow] = (annotation, adapter_for(flow, "event", annotation))
    try:
        return known[1].validator.validate_python(value)
    except ValueError as error:
        name = getattr(annotation, "__name__", str(annotation))
        raise InvalidEvent(f"the event does not fit {name}: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Return what is wrong, in one line: the first of Pydantic's errors with its place."""
    errors = getattr(error, "errors", None)
    if not isinstance(error, ValidationError) or errors is None:
        return str(error)
    first = errors(include_url=False)[0]
    place = ".".join(str(each) for each in first["loc"])
    message = worded(cast("Mapping[str, Any]", first), first.get("input"))
    return f"{place}: {message}" if place else message
