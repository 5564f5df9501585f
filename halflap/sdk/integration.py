"""An integration: flows and a config, versioned, activated by each customer as an instance."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar

from pydantic_core import PydanticUndefined

from halflap.errors import DefinitionError
from halflap.sdk.connection import Connection
from halflap.sdk.context import Context
from halflap.sdk.request import Request
from halflap.sdk.schema import Config, hints_of, summary, where
from halflap.sdk.trigger import BoundTrigger, Trigger

C = TypeVar("C", bound=Config)
E = TypeVar("E")
R = TypeVar("R")
P = ParamSpec("P")


class Flow(Generic[C, E, R]):
    """A trigger and what follows from one event."""

    def __init__(
        self,
        function: Callable[[Context[C], E], Awaitable[R]],
        *,
        trigger: BoundTrigger[Any],
        title: str | None,
        filter: Callable[[Request], bool] | None,
        keep: Sequence[str] | None,
        timeout: timedelta,
        max_age: timedelta,
    ) -> None:
        self.function = function
        self.name = function.__name__
        self.title = title or self.name.replace("_", " ").capitalize()
        self.description = summary(function)
        self.where = where(function)
        self.trigger = trigger
        self.filter = filter
        self.keep = None if keep is None else tuple(keep)
        self.timeout = timeout
        self.max_age = max_age
        parameters = list(inspect.signature(function).parameters)
        if len(parameters) != 2 or not inspect.iscoroutinefunction(function):
            raise DefinitionError(
                f"the flow {self.name} is `async def {self.name}(ctx, event)`: two parameters",
                where=self.where,
            )
        hints = hints_of(function)
        self.event_type: Any = hints.get(parameters[1], Any)
        self.result_type: Any = hints.get("return", PydanticUndefined)
        if self.result_type is PydanticUndefined:
            self.result_type = Any

    def __call__(self, ctx: Context[C], event: E) -> Awaitable[R]:
        """Run the flow's function itself, as a plain function."""
        return self.function(ctx, event)

    def __repr__(self) -> str:
        return f"<flow {self.name}>"


@dataclass(frozen=True, slots=True)
class FlowDecorator(Generic[C, E]):
    """`@integration.flow(…)`."""

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
    ) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
            raise DefinitionError(
                f"an integration's name is lower-case words joined by hyphens, not {name!r}"
            )
        self.name = name
        self.title = title or name.replace("-", " ").capitalize()
        self.description = description
        self.config = config
        self.flows: dict[str, Flow[C, Any, Any]] = {}

    def flow(
        self,
        *,
        trigger: Trigger[..., E] | BoundTrigger[E],
        title: str | None = None,
        filter: Callable[[Request], bool] | None = None,
        keep: Sequence[str] | None = None,
        timeout: timedelta = timedelta(minutes=15),
        max_age: timedelta = timedelta(days=3),
    ) -> FlowDecorator[C, E]:
        """Make a flow of an `async def flow(ctx, event)`.

        filter: a pure function; where it is false the event is counted and dropped (each part of
        a request that the trigger splits is asked about by itself).
        keep: JSON pointers (`/data/id`) of the only fields that are stored and seen.
        timeout: of one attempt. max_age: from accepted, or from the last sleep, to ended.
        """
        bound = trigger if isinstance(trigger, BoundTrigger) else trigger()
        options = {
            "title": title,
            "filter": filter,
            "keep": keep,
            "timeout": timeout,
            "max_age": max_age,
        }
        return FlowDecorator(self, bound, options)

    def add(self, flow: Flow[C, Any, Any]) -> None:
        """Add a flow; its name and its place in the instance's life must be free."""
        if flow.name in self.flows:
            raise DefinitionError(f"the flow {flow.name} is defined twice", where=flow.where)
        lifecycle = flow.trigger.declaration.lifecycle
        if lifecycle and self.lifecycle_flow(lifecycle):
            raise DefinitionError(f"there are two {lifecycle} flows", where=flow.where)
        self.flows[flow.name] = flow

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
        if len(names) != 1 and flow.trigger.trigger.subscriber is not None:
            raise DefinitionError(
                f"the flow {flow.name} subscribes at {flow.trigger.trigger.component}, so the "
                f"config needs exactly one connection of its type, and has {len(names)}",
                where=flow.where,
            )
        return names[0] if names else None

    def __repr__(self) -> str:
        return f"<integration {self.name}>"
