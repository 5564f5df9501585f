"""Routes of a pre-process flow: each a step that starts an execution of the flow that it names.

The instance is looked for as the step is run. What was begun before a crash is found again by its
id, which derives from the step's place, whatever became of the instance since; so nothing is routed
twice. What nobody takes fails the execution once all else is routed: a replay from there routes only
the rest.
"""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, cast

from halflap.engine.branches import gather
from halflap.engine.doing import StepResult, Steps
from halflap.engine.lineage import call_event, derived, routed
from halflap.engine.scope import StepScope, escaped
from halflap.engine.waiting import Waits
from halflap.errors import DefinitionError, NotFound, StoreError, Unrouted
from halflap.model import SEALED, Event, FlowKey, Record
from halflap.sdk.action import StepSpec
from halflap.sdk.codec import encode
from halflap.sdk.context import made
from halflap.sdk.integration import Flow
from halflap.sdk.record import decode_value
from halflap.sdk.routing import DeadLetter, Route, Routing
from halflap.sdk.schema import UNSET
from halflap.sdk.trigger import FlowResult

AT_ONCE = 10
NONE_MATCHED = "nothing matched: the pre-process flow returned no route for this event"


@dataclass(frozen=True, slots=True)
class RouteTarget:
    """Where a route leads: the flow as the instance's version has it, and how its secrets are kept."""

    key: FlowKey
    flow: Flow[Any, Any, Any]
    reseal: Callable[[str], str]
    """A header's value that was sealed for who received it, sealed for who gets it."""


Aim = Callable[[FlowKey, Route], Awaitable[RouteTarget]]
"""Finds a route's target, for the flow that routes; `Unrouted` where there is none."""


async def no_target(key: FlowKey, route: Route) -> RouteTarget:
    """Where no flow routes."""
    raise DefinitionError(f"nobody routes here, so {route} leads nowhere")


class Routes:
    """The verb of the `Recorder` with which a pre-process flow ends."""

    def __init__(self, steps: Steps, waits: Waits, aim: Aim) -> None:
        self._steps = steps
        self._turn = steps.turn
        self._waits = waits
        self._aim = aim

    async def route(self, flow: Flow[Any, Any, Any], found: Routing) -> Any:
        """Start what a pre-process flow returned; what a synchronous caller is answered with."""
        if isinstance(found, DeadLetter):
            raise Unrouted(found.reason)
        routes = checked(flow, found)
        if not routes:
            raise Unrouted(NONE_MATCHED)
        if len(routes) == 1:
            child = await self._route(routes[0])
            if child is None or not isinstance(flow.trigger.declaration.answer, FlowResult):
                return None
            return await self._waits.result(routes[0].name, child, None)
        keys = keys_of(routes)
        failed = await gather(self._steps, list(routes), keys, self._settled, AT_ONCE)
        reasons = [each for each in failed if each is not None]
        if reasons:
            more = len(routes) - len(reasons)
            kept = f" ({more} of {len(routes)} routes were taken)" if more else ""
            raise Unrouted("; ".join(reasons) + kept)
        return None

    async def _settled(self, route: Route) -> str | None:
        """Route, and say why nobody takes it where that is so."""
        try:
            await self._route(route)
        except Unrouted as error:
            return error.message
        return None

    async def _route(self, route: Route) -> str | None:
        """The execution that a route started; None where its flow's filter wants nothing of it."""
        title = f"Route to {self._waits.title(route.name)}"

        async def begin(scope: StepScope, begun: Record) -> StepResult:
            child = await self._start(scope, begun.path, route)
            if child is None:
                begun = replace(begun, title=f"{title}: its filter wants nothing of it")
            return StepResult(self._steps.ended(begun, encode(child)))

        inputs = await self._steps.without_secrets(encode(self._inputs(route)))
        spec = StepSpec("start", title, route.name)
        name = f"route({escaped(route.name)})"
        return self._waits.adopt(await self._steps.take(name, spec, begin, inputs=inputs))

    async def _start(self, scope: StepScope, path: str, route: Route) -> str | None:
        await self._steps.settled(scope)
        parent = self._turn.start
        child = derived(parent.execution, path, scope.now)
        if self._turn.attempt > 1 and await self._is_begun(child):
            return child
        target = await self._aim(parent.flow, route)
        event = await self._event(parent.event, route, target, scope)
        start = routed(parent, path, scope.now, target.key, target.flow, event)
        if start is None:
            return None
        return await self._waits.start_child(scope, start)

    async def _is_begun(self, child: str) -> bool:
        try:
            await self._turn.outcome(child)
        except NotFound:
            return False
        return True

    async def _event(
        self, event: Event, route: Route, target: RouteTarget, scope: StepScope
    ) -> Event:
        """Return the flow's event: the typed one, or the request as it came."""
        if route.event is not UNSET:
            event_bytes = await self._steps.handed_on(made(target.flow, route.event))
            return call_event(self._turn.start, event_bytes, scope.now, target.flow.name)
        if event.large is not None:
            raise Unrouted(
                "a body that is too large for memory cannot be handed on as it came; return the "
                "event that you read of it: Route(flow, event)"
            )
        headers = opened_headers(event.headers, lambda sealed: SEALED + target.reseal(sealed))
        return replace(event, headers=headers)

    def _inputs(self, route: Route) -> dict[str, Any]:
        shown: dict[str, Any] = {"flow": route.name, **route.whose}
        if route.event is not UNSET:
            sibling = self._waits.siblings.get(route.name)
            shown["event"] = (
                route.event
                if sibling is None
                else decode_value(made(sibling, route.event), None, self._steps.unseal)
            )
        return shown


def opened_headers(
    headers: Sequence[tuple[str, str]], opened: Callable[[str], str]
) -> tuple[tuple[str, str], ...]:
    """Return an event's headers, those that we sealed as `opened` gives them.

    A sender may write what looks sealed: it cannot be opened, and stays as it came.
    """
    if SEALED not in "\n".join(map(itemgetter(1), headers)):
        return tuple(headers)
    return tuple(
        [
            (name, _opened(value, opened) if value.startswith(SEALED) else value)
            for name, value in headers
        ]
    )


def _opened(value: str, opened: Callable[[str], str]) -> str:
    with suppress(StoreError, ValueError):
        sealed = value.removeprefix(SEALED)
        b64decode(sealed, validate=True)
        return opened(sealed)
    return value


def checked(flow: Flow[Any, Any, Any], found: Routing) -> Sequence[Route]:
    """Return a pre-process flow's result, as routes."""
    if found is None:
        return ()
    given: Any = [found] if isinstance(found, Route) else found
    if not isinstance(given, list | tuple) or not all(
        isinstance(each, Route) for each in cast(Sequence[Any], given)
    ):
        raise DefinitionError(
            f"the pre-process flow {flow.name} returned {type(found).__name__}; return a Route, "
            "several, Ignore(reason) or DeadLetter(reason)",
            where=flow.where,
        )
    routes = cast(Sequence[Route], given)
    for each in routes:
        if flow.is_shared and not each.whose:
            raise DefinitionError(
                f"the pre-process flow {flow.name} is shared, and its Route to {each.name} does not "
                "say whose event it is: customer=, config= or instance=",
                where=flow.where,
            )
        if not flow.is_shared and each.whose:
            raise DefinitionError(
                f"the pre-process flow {flow.name} is of one instance, so its Route to {each.name} "
                "cannot name another; add shared=True, or leave that out",
                where=flow.where,
            )
    return routes


def check_takes_routes(flow: Flow[Any, Any, Any]) -> None:
    """Raise `Unrouted` for a flow that takes no routed events."""
    if flow.preprocess is not None or flow.trigger.declaration.lifecycle is not None:
        raise Unrouted(f"{flow.name} takes no routed events; route to another flow")


def keys_of(routes: Sequence[Route]) -> list[str]:
    """A key for each route, by where it leads: the same, whatever else is routed beside it."""
    counts: Counter[str] = Counter()
    keys: list[str] = []
    for each in map(str, routes):
        counts[each] += 1
        keys.append(each if counts[each] == 1 else f"{each} {counts[each]}")
    return keys
