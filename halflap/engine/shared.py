"""What executions in memory share: the dedupe index, the state and the gate, each an actor.

Their orders have one too (order.py).

Nothing of them is reached into from outside; they change in answer to messages.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halflap.engine.actor import Actor
from halflap.engine.clock import Timers
from halflap.engine.message import (
    Deliver,
    Free,
    GoOn,
    Hold,
    Join,
    Leave,
    ListPaused,
    ListScope,
    Move,
    Read,
    Ready,
    StandStill,
    Take,
    Worker,
    Write,
)
from halflap.engine.protocol import Change
from halflap.model import (
    MISSING,
    SYSTEM,
    Clock,
    Micros,
    Outcome,
    Paused,
    Start,
    StateWrite,
    pausable,
)
from halflap.store.merge import StateChange, changes, merged
from halflap.store.place import text_of

if TYPE_CHECKING:
    from halflap.engine.execution import ExecutionActor
    from halflap.engine.order import OrderKeeper


class DedupeIndex(Actor):
    """Who was first with a dedupe key."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._first: dict[tuple[tuple[str, str], str], tuple[str, Micros]] = {}

    async def receive(self, message: Take) -> str | None:
        """The first one's execution; None where the key is now the asker's."""
        place, now = (message.flow, message.dedupe.key), self._clock()
        first, expires = self._first.get(place, ("", 0))
        if expires <= now:
            self._first[place] = (message.execution, now + message.dedupe.ttl)
            return None
        return first if first != message.execution else None


class StateKeeper(Actor):
    """`ctx.state`, key by key, with compare-and-set; `moved` hears what moves from order to order."""

    def __init__(self, moved: Callable[[Move], None]) -> None:
        super().__init__()
        self._values: dict[tuple[str, str], bytes] = {}
        self._moved = moved

    async def receive(self, message: Read | ListScope | StateWrite | Write) -> Any:
        """A value, those of a scope, or whether it was written."""
        match message:
            case Read(scope, key):
                return self._values.get((scope, key))
            case ListScope(scope):
                return {key: each for (of, key), each in self._values.items() if of == scope}
            case StateWrite():
                return self._write(changes([message]))
            case Write(writes):
                return self._write(changes(writes))

    def _write(self, writes: Sequence[StateChange]) -> bool:
        for each, _ in writes:
            found = self._values.get((each.scope, each.key), MISSING)
            if each.expect is not None and found != each.expect:
                return False
        for each, patch in writes:
            place, value = (each.scope, each.key), each.value
            if patch is not None:
                value = merged(self._values.get(place), patch)
            if value is None:
                self._values.pop(place, None)
                continue
            self._values[place] = value
            if each.orders:
                self._moved(Move(place, (each.scope, text_of(value))))
        return True


class Gate(Actor):
    """Hands executions that are ready to a worker, unless they are held, or paused."""

    def __init__(self, chance: random.Random | None) -> None:
        super().__init__()
        self._chance = chance
        self._held: set[str] = set()
        self._paused: dict[str, Paused] = {}
        self._workers: list[Worker] = []
        self._ready: list[ExecutionActor] = []

    async def receive(
        self, message: Hold | Free | StandStill | GoOn | ListPaused | Ready | Join | Leave
    ) -> Any:
        """Change who may run, then hand out whatever may."""
        answer: Any = None
        match message:
            case StandStill(paused):
                answer = paused.what not in self._paused
                self._paused.setdefault(paused.what, paused)
            case GoOn(what):
                answer = self._paused.pop(what, None) is not None
            case ListPaused():
                answer = list(self._paused.values())
            case Hold(instance):
                self._held.add(instance)
            case Free(instance):
                self._held.discard(instance)
            case Ready(execution):
                self._ready.append(execution)
            case Join(worker):
                self._workers.append(worker)
            case Leave(worker):
                if worker in self._workers:
                    self._workers.remove(worker)
        await self._hand_out()
        return answer

    async def _hand_out(self) -> None:
        if not self._workers or not self._ready:
            return
        free = [each for each in self._ready if not self._holds(each)]
        self._ready = [each for each in self._ready if self._holds(each)]
        if self._chance is not None:
            self._chance.shuffle(free)  # nobody is to rely on an order that is not promised
        for each in free:
            worker = self._workers.pop(0)
            self._workers.append(worker)
            await each.ask(Deliver(worker))

    def _holds(self, execution: ExecutionActor) -> bool:
        flow = execution.start.flow
        if flow.flow.startswith(SYSTEM):
            return False
        return flow.instance in self._held or any(e in self._paused for e in pausable(flow))


@dataclass(slots=True)
class Shared:
    """What executions send messages to."""

    clock: Clock
    timers: Timers
    state: StateKeeper
    gate: Gate
    orders: OrderKeeper
    announce: Callable[[Change], None]
    start: Callable[[Sequence[Start]], Awaitable[object]]
    outcome: Callable[[str], Awaitable[Outcome | None]]
    post: Callable[[str, object], None]
