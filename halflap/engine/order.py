"""The orders of executions in memory: an actor that says which of each may run.

Executions tell it when they are ready, pause and end; it changes only in answer to messages. The
rules are those of store/place.py.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halflap.engine.actor import Actor
from halflap.engine.message import CancelIt, Enter, Move, Pause, Quit, Read, Ready, Run, Unblock
from halflap.engine.shared import Gate, StateKeeper
from halflap.model import Order, Outcome
from halflap.store.place import DUE, NEVER, Place, superseded, text_of, turns, verdict

if TYPE_CHECKING:
    from halflap.engine.execution import ExecutionActor

Name = tuple[str, str]


@dataclass(slots=True)
class _Place:
    """An execution's place in its order; `number` grows with each that is accepted.

    `offered`: the gate has it, and will ask whether it may run.
    """

    number: int
    name: Name
    order: Order
    has_begun: bool = False
    due: bool = False
    ready: bool = False
    offered: bool = False
    runs: bool = False
    aside: bool = False
    blocks: bool = False


class OrderKeeper(Actor):
    """Lets those of each order run that have their turn."""

    def __init__(self, state: StateKeeper, gate: Gate) -> None:
        super().__init__()
        self._state = state
        self._gate = gate
        self._numbers = itertools.count(1)
        self._places: dict[ExecutionActor, _Place] = {}
        self._orders: dict[Name, list[ExecutionActor]] = {}

    async def receive(self, message: Enter | Ready | Run | Pause | Quit | Unblock | Move) -> Any:
        """Change who is where, then let whoever may run; `Enter` and `Run` are answered."""
        match message:
            case Enter(execution, order):
                return self._enter(execution, order, await self._name(order))
            case Ready(execution):
                if (place := self._places.get(execution)) is not None:
                    place.ready = True
                    self._let_go(place.name)
            case Run(execution):
                return self._run(execution)
            case Pause(execution, due):
                place = self._places[execution]
                place.runs, place.due = False, due
                place.aside = place.order.while_waiting == "go_on"
                self._let_go(place.name)
            case Quit(execution, failed):
                self._quit(execution, failed)
            case Unblock(execution):
                for each, place in list(self._places.items()):
                    if place.blocks and each.start.execution == execution:
                        self._quit(each, failed=False)
            case Move(old, new):
                self._move(old, new)
        return None

    async def _name(self, order: Order) -> Name:
        value = await self._state.ask(Read(order.scope, order.key))
        return order.scope, order.key if value is None else text_of(value)

    def _enter(self, execution: ExecutionActor, order: Order, name: Name) -> Outcome | None:
        line = self._orders.setdefault(name, [])
        replayed = execution.start.replay_of
        others = [(each.start.execution, self._places[each].has_begun) for each in line]
        outcome, replaced = verdict(order, replayed is not None, others)
        if outcome is not None:
            return outcome
        ended = superseded(execution.start.execution)
        for each in [each for each in line if each.start.execution in replaced]:
            line.remove(each)
            del self._places[each]
            each.tell(CancelIt(ended.reason))
        number = next(self._numbers)
        for each in [each for each in line if self._places[each].blocks]:
            if each.start.execution == replayed:
                number = self._places.pop(each).number
                line.remove(each)
        self._places[execution] = _Place(number, name, order)
        self._sort(name, [*line, execution])
        return None

    def _run(self, execution: ExecutionActor) -> bool:
        """Whether it may: since the gate heard of it, others may have come before it."""
        place = self._places.get(execution)
        if place is None:  # another one took its place
            return False
        place.offered = False
        if execution.start.execution in self._turns(place.name):
            place.runs, place.has_begun, place.ready = True, True, False
        return place.runs

    def _quit(self, execution: ExecutionActor, failed: bool) -> None:
        place = self._places.get(execution)
        if place is None:  # it was cancelled before it entered, or never did
            return
        if failed and place.order.after_failure == "block":
            place.runs, place.blocks = False, True
            return
        del self._places[execution]
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
        self._sort(new, [*self._orders.get(new, []), *moved])
        self._let_go(new)

    def _sort(self, name: Name, executions: list[ExecutionActor]) -> None:
        self._orders[name] = sorted(executions, key=lambda each: self._places[each].number)

    def _let_go(self, name: Name) -> None:
        chosen = self._turns(name)
        for each in self._orders[name]:
            place = self._places[each]
            if each.start.execution in chosen and place.ready and not place.offered:
                place.offered = True
                self._gate.tell(Ready(each))

    def _turns(self, name: Name) -> set[str]:
        """Who has a turn; one that was set aside counts as due once it is ready."""
        places: list[Place] = []
        for each in self._orders[name]:
            own = self._places[each]
            back_at = (DUE if own.ready or own.due else NEVER) if own.aside else 0
            places.append(
                Place(
                    each.start.execution,
                    own.number,
                    own.order.width,
                    has_turn=own.runs,
                    fixed=own.runs or own.blocks,
                    back_at=back_at,
                )
            )
        return turns(places, now=DUE)
