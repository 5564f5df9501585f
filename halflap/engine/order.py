"""The orders of executions in memory: an actor that says which of each may run.

Executions tell it when they are ready, pause and end; it changes only in answer to messages.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halflap.engine.actor import Actor
from halflap.engine.message import Enter, Move, Pause, Quit, Read, Ready, Run
from halflap.engine.shared import Gate, StateKeeper
from halflap.model import Order
from halflap.store.ordering import text_of

if TYPE_CHECKING:
    from halflap.engine.execution import ExecutionActor

Name = tuple[str, str]


@dataclass(slots=True)
class _Place:
    """An execution's place in its order; `number` grows with each that is accepted."""

    number: int
    name: Name
    ready: bool = False
    runs: bool = False


class OrderKeeper(Actor):
    """Lets the first of each order run, once none of it runs."""

    def __init__(self, state: StateKeeper, gate: Gate) -> None:
        super().__init__()
        self._state = state
        self._gate = gate
        self._numbers = itertools.count(1)
        self._places: dict[ExecutionActor, _Place] = {}
        self._orders: dict[Name, list[ExecutionActor]] = {}

    async def receive(self, message: Enter | Ready | Run | Pause | Quit | Move) -> bool | None:
        """Change who is where, then let whoever may run; `Run` is answered."""
        match message:
            case Enter(execution, order):
                name = await self._name(order)
                self._places[execution] = _Place(next(self._numbers), name)
                self._orders.setdefault(name, []).append(execution)
            case Ready(execution):
                if (place := self._places.get(execution)) is not None:
                    place.ready = True
                    self._let_go(place.name)
            case Run(execution):
                return self._run(execution)
            case Pause(execution):
                place = self._places[execution]
                place.runs = False
                self._let_go(place.name)
            case Quit(execution):
                self._quit(execution)
            case Move(old, new):
                self._move(old, new)
        return None

    async def _name(self, order: Order) -> Name:
        value = await self._state.ask(Read(order.scope, order.key))
        return order.scope, order.key if value is None else text_of(value)

    def _run(self, execution: ExecutionActor) -> bool:
        """Whether it may: since the gate heard of it, others may have come before it."""
        place = self._places[execution]
        if self._next(place.name) is execution:
            place.runs = True
        else:
            place.ready = True
        return place.runs

    def _quit(self, execution: ExecutionActor) -> None:
        place = self._places.pop(execution, None)
        if place is None:  # it was cancelled before it entered
            return
        self._orders[place.name].remove(execution)
        if self._orders[place.name]:
            self._let_go(place.name)
        else:
            del self._orders[place.name]

    def _move(self, old: Name, new: Name) -> None:
        if old == new or old not in self._orders:
            return
        moved = self._orders.pop(old)
        for each in moved:
            self._places[each].name = new
        together = [*self._orders.get(new, []), *moved]
        self._orders[new] = sorted(together, key=lambda each: self._places[each].number)
        self._let_go(new)

    def _let_go(self, name: Name) -> None:
        execution = self._next(name)
        if execution is not None and self._places[execution].ready:
            self._places[execution].ready = False
            self._gate.tell(Ready(execution))

    def _next(self, name: Name) -> ExecutionActor | None:
        """The one that may run: the first, unless one that was moved here still runs."""
        order = self._orders[name]
        return None if any(self._places[each].runs for each in order) else order[0]
