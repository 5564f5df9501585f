"""Child processes in which suspects run: how it is decided who runs with whom is the real code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from halflap.engine.executor import Executor
from halflap.engine.journal import JournalEngine
from halflap.engine.probation import Probation, SuspectGroup
from halflap.engine.protocol import Turn
from halflap.errors import HalflapError
from tests.simulation.app import TURN
from tests.simulation.loop import PROCESS, Process, in_context

Bear = Callable[[Process, int], Process]


class SimulatedProbation(Probation):
    """Runs groups in processes that are simulated; all that it decides is as it is."""

    def __init__(
        self, engine: JournalEngine, executor: Executor, children: list[Process], bear: Bear
    ) -> None:
        super().__init__(engine, None, None)  # pyright: ignore[reportArgumentType]
        self._executor = executor
        self._children = children
        self._bear = bear

    async def _in_child(self, group: SuspectGroup) -> tuple[str, bool]:
        """Run a group in a child; returns how it ended, and that it had begun by then."""
        loop, parent = asyncio.get_running_loop(), PROCESS.get()
        assert parent is not None
        child = self._bear(parent, group.size)
        died: asyncio.Future[None] = loop.create_future()
        mine = in_context(parent)
        child.on_death = lambda _: loop.call_soon(
            lambda: died.done() or died.set_result(None), context=mine
        )
        self._children.append(child)
        asked: set[asyncio.Task[Any]] = set()
        tasks = {
            name: loop.create_task(
                self._run_turn(group, Bridged(turn, mine, asked)), context=in_context(child)
            )
            for name, turn in group.turns.items()
            if name in group.left
        }
        for name, verdict in group.verdicts.items():
            if name in tasks:  # one that is cut here is cut there
                verdict.add_done_callback(lambda _, task=tasks[name]: task.cancel(), context=mine)
        try:
            while group.left and not died.done():
                left = [group.verdicts[each] for each in group.left]
                await asyncio.wait([died, *left], return_when=asyncio.FIRST_COMPLETED)
            # What it asked for before it ended is kept, so that it is not done again.
            await asyncio.gather(*asked, return_exceptions=True)
        finally:
            child.on_death = lambda _: None
            child.alive = False
        return ("SIGKILL" if group.left else "it was done"), True

    async def _run_turn(self, group: SuspectGroup, turn: Bridged) -> None:
        TURN.set(turn)
        verdict = group.verdicts[turn.start.execution]
        try:
            found = await self._executor(turn)
        except asyncio.CancelledError:
            verdict.cancel()
        except Exception as error:
            verdict.done() or verdict.set_exception(error)
        else:
            verdict.done() or verdict.set_result(found)


class Bridged:
    """A turn as a child has it: what it asks of the store is done in its parent."""

    def __init__(self, turn: Any, parent: Any, asked: set[asyncio.Task[Any]]) -> None:
        self._turn = turn
        self._parent = parent
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._turn, name)

    async def commit(self, records: Sequence[Any], logs: Any, writes: Any = ()) -> bool:
        return await self._ask(lambda: self._turn.commit(records, logs, writes))

    async def read_state(self, scope: str, key: str) -> bytes | None:
        return await self._ask(lambda: self._turn.read_state(scope, key))

    async def list_state(self, scope: str) -> dict[str, bytes]:
        return await self._ask(lambda: self._turn.list_state(scope))

    async def take_signal(self, *given: Any) -> Any:
        return await self._ask(lambda: self._turn.take_signal(*given))

    async def signals(self) -> Any:
        return await self._ask(lambda: self._turn.signals())

    async def _ask(self, do: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        async def ask() -> None:
            try:
                found = await do()
            except HalflapError as error:
                answer.done() or answer.set_exception(error)
            else:
                answer.done() or answer.set_result(found)

        task = loop.create_task(ask(), context=self._parent.copy())
        self._asked.add(task)
        task.add_done_callback(self._asked.discard, context=self._parent)
        return await answer


__all__ = ["SimulatedProbation", "Turn"]
