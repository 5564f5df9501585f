"""An integration: flows and a config, versioned, activated by each customer as an instance."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, get_args

from pydantic_core import PydanticUndefined

from halflap.errors import DefinitionError
from halflap.model import Order, Retention
from halflap.sdk.compatibility import as_published, refuse
from halflap.sdk.connection import Connection
from halflap.sdk.context import Context
from halflap.sdk.order import FlowOrder, UnsizedRule
from halflap.sdk.pairs import Pairs, checked_pairs, order_of
from halflap.sdk.request import Request, pointer
from halflap.sdk.routing import Preprocess, Routing, Sender
from halflap.sdk.schema import Config, check_conditions, hints_of, summary, where
from halflap.sdk.trigger import BoundTrigger, Pick, Trigger

NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
"""The pattern of a flow's name."""
LONGEST_NAME = 120

C = TypeVar("C", bound=Config)
Filter: TypeAlias = Callable[[Request], bool] | Callable[[Request, C], bool] | None
E = TypeVar("E")
R = TypeVar("R")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class WithConfig:
    """A filter with the config that it reads."""

    filter: Callable[..., bool]
    config: Any

    def __call__(self, request: Request) -> bool:
        """Return whether the flow takes the request."""
        return self.filter(request, self.config)


def takes_config(filter: Callable[..., bool]) -> bool:
    """Return whether a filter takes the config beside the request."""
    try:
        parameters = inspect.signature(filter).parameters.values()
    except (TypeError, ValueError):  # of a function in C, which takes the request alone
        return False
    needed = [
        each
        for each in parameters
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        and each.default is each.empty
    ]
    return len(needed) == 2


def is_filter(filter: Any) -> bool:
    """Return whether something takes a request, or a request and the config."""
    try:
        inspect.signature(filter).bind(*(None,) * (2 if takes_config(filter) else 1))
    except TypeError:
        return False
    except ValueError:  # of a function in C
        return True
    return True


class Flow(Generic[C, E, R]):
    """A trigger and what follows from one event."""

    def __init__(
        self,
        function: Callable[[Context[C], E], Awaitable[R]],
        *,
        trigger: BoundTrigger[Any],
        name: str | None = None,
        title: str | None,
        filter: Filter[C] = None,
        keep: Sequence[str] | None = None,
        timeout: timedelta,
        max_age: timedelta,
        pairs: Pairs | None = None,
        order: FlowOrder | None = None,
        preprocess: Preprocess | None = None,
    ) -> None:
        self.function = function
        self.name = function.__name__ if name is None else name
        self.title = title or self.name.replace("_", " ").capitalize()
        self.description = summary(function)
        self.where = where(function)
        self.trigger = trigger
        self.filter: Callable[..., bool] | None = filter
        self._filter_reads_config = filter is not None and takes_config(filter)
        self.keep = None if keep is None else tuple(keep)
        self.timeout = timeout
        self.max_age = max_age
        self.pairs = pairs
        self.order = order
        self.preprocess = preprocess
        self.side: str | None = None
        parameters = list(inspect.signature(function).parameters)
        if len(parameters) != 2 or not inspect.iscoroutinefunction(function):
            raise DefinitionError(
                f"the flow {self.name} is `async def {function.__name__}(ctx, event)`: two parameters",
                where=self.where,
            )
        for said in self._wrong_options():
            refuse(DefinitionError(f"the flow {self.name} has {said}", where=self.where))
        if keep is not None and "admit" in trigger.trigger.hooks:
            raise DefinitionError(
                f"the flow {self.name} cannot have keep=: {trigger.name} verifies the whole request once "
                "it was stored; leave out keep=, or shorten how long payloads are stored",
                where=self.where,
            )
        hints = hints_of(function)
        self.event_type: Any = hints.get(parameters[1], Any)
        self.result_type: Any = hints.get("return", PydanticUndefined)
        if self.result_type is PydanticUndefined:
            self.result_type = Any

    def _wrong_options(self) -> Iterator[str]:
        for name, given in (("timeout", self.timeout), ("max_age", self.max_age)):
            if not isinstance(given, timedelta) or given <= timedelta(0):  # pyright: ignore[reportUnnecessaryIsInstance]
                yield f"{name}={given!r}; give a timedelta that is longer than nothing"
        if self.filter is not None and not is_filter(self.filter):
            yield "filter=, which takes no request; give a function of it, or of it and the config"
        for place in self.keep or ():
            try:
                with as_published(False):
                    pointer(place)
            except DefinitionError as error:
                yield f"keep=: {error.message}"

    @property
    def reads_config(self) -> bool:
        """True if the trigger's inputs or the filter depend on the config of an instance."""
        return self._filter_reads_config or bool(self.trigger.references)

    def resolved(self, config: Any) -> Flow[C, E, R]:
        """Return the flow as an instance has it: its trigger's inputs and its filter read the config.

        `DefinitionError` where the trigger refuses a value. Without a config, it stays as it is.
        """
        if config is None or not self.reads_config:
            return self
        made = copy.copy(self)
        made.trigger = self.trigger.resolved(config)
        if self._filter_reads_config and self.filter is not None:
            made.filter = WithConfig(self.filter, config)
            made._filter_reads_config = False
        return made

    @property
    def is_shared(self) -> bool:
        """True if its URL is the integration's own, the same for all customers."""
        return self.preprocess is not None and self.preprocess.shared

    @property
    def has_endpoint(self) -> bool:
        """True if each instance has an endpoint for it, which takes its events."""
        return bool(self.trigger.declaration.methods) and not self.is_shared

    @property
    def has_url(self) -> bool:
        """True if each instance has a URL for it: an endpoint that others than Halflap send to."""
        return self.has_endpoint and self.trigger.declaration.app_events is None

    def order_of(
        self,
        instance: str,
        key: str | None,
        read: Callable[[Pick, Request], str | None],
        request: Request,
    ) -> Order | None:
        """The order of an event's execution: as declared, or that of a paired record's events.

        key: the record's, as the trigger reads it. read: reads the event, a request, with a declared
        function.
        """
        order = self.order
        if order is not None:
            if callable(order.by_key):
                key = read(order.by_key, request)
            if order.by_key and not key:
                return None
            return order.of(instance, self.name, key if order.by_key and key else "")
        if self.pairs is None or self.side is None or key is None:
            return None
        return order_of(instance, self.pairs, self.side, key)

    def __call__(self, ctx: Context[C], event: E) -> Awaitable[R]:
        """Run the flow's function itself, as a plain function."""
        return self.function(ctx, event)

    def __repr__(self) -> str:
        return f"<flow {self.name}>"


@dataclass(frozen=True, slots=True)
class FlowDecorator(Generic[C, E]):
    """`@integration.flow(…)` and `@integration.preprocess(…)`."""

    integration: Integration[C]
    trigger: BoundTrigger[E]
    options: dict[str, Any]

    def __call__(self, function: Callable[[Context[C], E], Awaitable[R]], /) -> Flow[C, E, R]:
        flow = Flow(function, trigger=self.trigger, **self.options)
        self.integration.add(flow)
        return flow


class Integration(Generic[C]):
    """Flows that belong together, with the config that a customer fills in once for all of them."""

    def __init__(
        self,
        name: str,
        *,
        config: type[C] = Config,
        title: str | None = None,
        description: str = "",
        retention: Retention | None = None,
    ) -> None:
        """`retention` says for how long what has ended is kept, where no customer says otherwise."""
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
            raise DefinitionError(
                f"an integration's name is lower-case words joined by hyphens, not {name!r}"
            )
        check_conditions(config)
        self.name = name
        self.title = title or name.replace("-", " ").capitalize()
        self.description = description
        self.config = config
        self.retention = retention or Retention()
        self.flows: dict[str, Flow[C, Any, Any]] = {}
        self.paired: dict[str, Pairs] = {}

    def pairs(self, name: str, /, *, master: str | None = None, **sides: str) -> Pairs:
        """Say that the records of two apps belong together.

            accounts = integration.pairs("accounts", salesforce="Account", acme="account")

        Each side is a connection's field of the config, and the kind of its records. Flows of
        both directions name it, `@integration.flow(trigger=…, pairs=accounts)`: then what happens
        to one record, on either side, is worked off one after another; an event that tells of
        nothing new is ignored; and a record that such a flow makes at the other app is paired.
        `master` names the side that wins where a field was edited on both at once.
        """
        if name in self.paired:
            raise DefinitionError(f"the pairs {name!r} are defined twice")
        components = {field: kind._component for field, kind in self.connections().items()}
        made = checked_pairs(name, sides, self.connections(), components, master)
        self.paired[name] = made
        return made

    def flow(
        self,
        *,
        trigger: Trigger[..., E] | BoundTrigger[E],
        name: str | None = None,
        title: str | None = None,
        filter: Filter[C] = None,
        keep: Sequence[str] | None = None,
        timeout: timedelta = timedelta(minutes=15),
        max_age: timedelta = timedelta(days=3),
        pairs: Pairs | None = None,
        order: FlowOrder | None = None,
    ) -> FlowDecorator[C, E]:
        """Make a flow of an `async def flow(ctx, event)`.

        name: what it is called; by default, as the function is. title: what people read.
        filter: a pure function of the request, or of the request and the config; where it is false
        the event is counted and dropped (each part of a request that the trigger splits is asked
        about by itself).
        keep: JSON pointers (`/data/id`) of the only fields that are stored and seen.
        timeout: of one attempt. max_age: from its first attempt, or from the last sleep, to ended.
        pairs: which record at the other app the event's record belongs to (see `pairs`).
        order: how many of its executions run at once, and who waits for whom, such as `fifo()`.
        Without one, all may run at once.
        """
        bound = trigger if isinstance(trigger, BoundTrigger) else trigger()
        options = {
            "name": name,
            "title": title,
            "filter": filter,
            "keep": keep,
            "timeout": timeout,
            "max_age": max_age,
            "pairs": pairs,
            "order": order,
        }
        return FlowDecorator(self, bound, options)

    def preprocess(
        self,
        *,
        trigger: Trigger[..., E] | BoundTrigger[E],
        shared: bool = False,
        sender: Sender | None = None,
        name: str | None = None,
        title: str | None = None,
        filter: Filter[C] = None,
        keep: Sequence[str] | None = None,
        timeout: timedelta = timedelta(minutes=1),
        max_age: timedelta = timedelta(days=3),
    ) -> Callable[[Callable[[Context[C], E], Awaitable[Routing]]], Flow[C, E, Routing]]:
        """Make a pre-process flow: one URL, whose events its function hands on to sibling flows.

            @integration.preprocess(trigger=webhook.request(signature="github"))
            async def receive(ctx, event) -> Route | DeadLetter: ...

        It returns a `Route`, several of them, `Ignore`, or a `DeadLetter` with the reason. `shared`:
        the URL is the integration's, for all its customers, and each route says whose event it is;
        else every instance has a URL of its own. `sender`: a pure function that reads who sent a
        request to a shared URL, so that nobody waits for what another one floods it with.
        """
        bound = trigger if isinstance(trigger, BoundTrigger) else trigger()
        options = {
            "name": name,
            "title": title,
            "filter": filter,
            "keep": keep,
            "timeout": timeout,
            "max_age": max_age,
            "preprocess": Preprocess(shared, sender),
        }
        return FlowDecorator(self, bound, options)

    def add(self, flow: Flow[C, Any, Any]) -> None:
        """Add a flow; its name and its place in the instance's life must be free."""
        if re.fullmatch(NAME, flow.name) is None or len(flow.name) > LONGEST_NAME:
            raise DefinitionError(
                f"a flow's name is letters, digits and _, at most {LONGEST_NAME}, not {flow.name!r}; "
                "give it one by name=",
                where=flow.where,
            )
        if flow.name in self.flows:
            raise DefinitionError(f"the flow {flow.name} is defined twice", where=flow.where)
        lifecycle = flow.trigger.declaration.lifecycle
        if lifecycle and self.lifecycle_flow(lifecycle):
            raise DefinitionError(f"there are two {lifecycle} flows", where=flow.where)
        if flow.order is not None:
            self._check_order(flow, flow.order)
        if flow.pairs is not None:
            self._take_side(flow, flow.pairs)
        if flow.preprocess is not None:
            self._check_preprocess(flow, flow.preprocess)
        if flow.reads_config:
            self._check_config(flow)
        self.flows[flow.name] = flow

    def _check_config(self, flow: Flow[C, Any, Any]) -> None:
        message: str | None = None
        if flow.is_shared:
            message = (
                "is shared by all customers, so neither its filter nor its trigger's inputs can read "
                "the config; filter in the flow that it routes to"
            )
        for name, each in flow.trigger.references.items():
            if not issubclass(self.config, each.config):
                message = (
                    f"has {name}={each}, which is no field of the config of {self.name}, "
                    f"{self.config.__name__}"
                )
        if message is not None:
            raise DefinitionError(f"the flow {flow.name} {message}", where=flow.where)

    def _check_preprocess(self, flow: Flow[C, Any, Any], how: Preprocess) -> None:
        said: str | None = None
        if not flow.trigger.declaration.methods:
            said = f"takes events at a URL, and its trigger {flow.trigger.name} has none"
        elif how.shared and flow.trigger.subscribes:
            said = (
                f"is shared, and its trigger {flow.trigger.name} subscribes for one instance; set its "
                "URL up at the app by hand, once for all customers"
            )
        elif how.shared and flow.trigger.declaration.secret.startswith("connection."):
            said = (
                f"is shared, and its trigger {flow.trigger.name} verifies with one customer's "
                "connection; take a trigger that verifies with the endpoint's own secret"
            )
        elif how.sender is not None and not how.shared:
            said = "has sender=, which is for a shared URL; leave it out, or add shared=True"
        if said is not None:
            raise DefinitionError(f"the pre-process flow {flow.name} {said}", where=flow.where)

    def _check_order(self, flow: Flow[C, Any, Any], order: FlowOrder) -> None:
        if not isinstance(order, FlowOrder):  # pyright: ignore[reportUnnecessaryIsInstance]
            others = ", ".join(f"{each}()" for each in get_args(UnsizedRule))
            raise DefinitionError(
                f"the flow {flow.name} has order={order!r}; give parallel(n), {others}",
                where=flow.where,
            )
        if flow.pairs is not None:
            raise DefinitionError(
                f"the flow {flow.name} has pairs, whose events come one after another already, those "
                "of both sides; leave out order=",
                where=flow.where,
            )
        order.check(flow.name, flow.trigger.name, flow.trigger.declaration, flow.where)

    def _take_side(self, flow: Flow[C, Any, Any], pairs: Pairs) -> None:
        """Find the side of its pairs that a flow's events come from."""
        if self.paired.get(pairs.name) is not pairs:
            raise DefinitionError(
                f"the flow {flow.name} has pairs of another integration, {pairs.name!r}",
                where=flow.where,
            )
        declared, component = flow.trigger.declaration, flow.trigger.trigger.component
        if declared.reads is None or declared.key is None:
            raise DefinitionError(
                f"the flow {flow.name} has pairs, and its trigger {flow.trigger.name} does not say "
                "which record an event tells of: declare key= and reads= on it",
                where=flow.where,
            )
        flow.side = pairs.side_of(component, declared.reads.kind) or next(
            (side for side in pairs.sides if pairs.components[side] == component), None
        )
        if flow.side is None:
            raise DefinitionError(
                f"the flow {flow.name} starts at {component}, which is neither side of the pairs "
                f"{pairs.name!r}: {', '.join(pairs.sides)}",
                where=flow.where,
            )

    def lifecycle_flow(self, lifecycle: str) -> Flow[C, Any, Any] | None:
        """The deploy or teardown flow, where there is one."""
        return next(
            (
                each
                for each in self.flows.values()
                if each.trigger.declaration.lifecycle == lifecycle
            ),
            None,
        )

    def connections(self) -> dict[str, type[Connection]]:
        """The config's connections: field name → connection type."""
        return {
            name: field.annotation
            for name, field in self.config.model_fields.items()
            if isinstance(field.annotation, type) and issubclass(field.annotation, Connection)
        }

    def connection_for(self, flow: Flow[C, Any, Any]) -> str | None:
        """The config field that holds the connection of a flow's trigger, where it has one."""
        wanted = flow.trigger.trigger.connection_type
        if wanted is None:
            return None
        names = [name for name, kind in self.connections().items() if issubclass(kind, wanted)]
        if len(names) != 1 and flow.trigger.subscribes:
            raise DefinitionError(
                f"the flow {flow.name} subscribes at {flow.trigger.trigger.component}, so the "
                f"config needs exactly one connection of its type, and has {len(names)}",
                where=flow.where,
            )
        return names[0] if names else None

    def __repr__(self) -> str:
        return f"<integration {self.name}>"
