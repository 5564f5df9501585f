"""A small app to write flows against, and what runs them: on any store, with crashes."""

from __future__ import annotations

import asyncio
import random
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from halflap.engine.clock import ManualClock
from halflap.engine.executor import Executor, Work
from halflap.engine.journal import JournalEngine
from halflap.engine.protocol import Turn, Verdict
from halflap.engine.routing import Aim, no_target
from halflap.errors import Fenced
from halflap.model import (
    Change,
    Event,
    Execution,
    FlowKey,
    LogLine,
    Micros,
    Outcome,
    Record,
    Signal,
    Start,
    StateWrite,
    new_id,
)
from halflap.sdk import running
from halflap.sdk.action import Action, Retry
from halflap.sdk.component import Component
from halflap.sdk.context import Context, CustomerInfo, InstanceInfo
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.request import Request
from halflap.sdk.schema import Config
from halflap.sdk.trigger import Ignore
from tests.journals import opened
from tests.polling import DEADLINE

RETRY = Retry(attempts=3, jitter=0)
FlowFunction = Callable[[Context[Any], Any], Awaitable[Any]]

ON_BOTH_STORES = pytest.mark.parametrize("runner", ["memory", "postgresql"], indirect=True)
"""For tests of what a flow leaves to the store, of which the journals' conformance knows nothing."""

AT_EACH_PLACE = pytest.mark.parametrize(
    ("store", "every"),
    [("memory", 1), ("postgresql", 8), pytest.param("postgresql", 1, marks=pytest.mark.soak)],
)
"""For tests of a crash at each place of a run: on PostgreSQL at every eighth, and at all in the soak."""

alive: ContextVar[WatchedTurn | None] = ContextVar("alive", default=None)


@dataclass
class Call:
    """A call that reached the app."""

    name: str
    key: str


class App:
    """A component whose one effect is to be called; `errors` are raised first, in order."""

    def __init__(self) -> None:
        self.component = Component("app")
        self.integration = Integration[Config]("shop")
        self.calls: list[Call] = []
        self.errors: dict[str, list[Exception]] = {}
        self.watch: Callable[[str], Awaitable[None]] | None = None

        @self.component.action(retry=RETRY)
        async def do(name: str) -> str:
            """Do something."""
            await self.point(f"before {name}")
            current = running.step.get()
            self.calls.append(Call(name, current.next_key() if current else ""))
            if self.errors.get(name):
                raise self.errors[name].pop(0)
            await self.point(f"after {name}")
            return f"{name}!"

        @self.component.action(pure=True)
        async def double(text: str) -> str:
            """Double a text."""
            return text + text

        @self.component.trigger()
        async def hook(request: Request) -> Any:
            """Read an event."""
            event = request.json()
            return Ignore("a ping") if event == "ping" else event

        self.do: Action[..., Any] = do
        self.double: Action[..., Any] = double
        self.hook = hook

    async def point(self, name: str) -> None:
        """Somewhere that a process may die."""
        if self.watch is not None:
            await self.watch(name)

    def flow(self, function: FlowFunction, **options: Any) -> Flow[Any, Any, Any]:
        """A flow of the app's integration."""
        return self.integration.flow(trigger=self.hook, **options)(function)

    @property
    def names(self) -> list[str]:
        """Return the names of the calls, in order."""
        return [each.name for each in self.calls]

    @property
    def keys(self) -> dict[str, set[str]]:
        """Return the idempotency keys under which each thing was done."""
        found: dict[str, set[str]] = {}
        for each in self.calls:
            found.setdefault(each.name, set()).add(each.key)
        return found


class WatchedTurn:
    """A turn whose commits are counted, and which may be frozen as its process would be."""

    def __init__(self, turn: Turn, runner: Runner) -> None:
        self._turn = turn
        self._runner = runner
        self.frozen = False
        self.start, self.attempt, self.history = turn.start, turn.attempt, turn.history
        self.accepted_at = turn.accepted_at

    @property
    def cancelling(self) -> str | None:
        return self._turn.cancelling

    def now(self) -> Micros:
        return self._turn.now()

    def alive(self) -> bool:
        return self._turn.alive()

    async def commit(
        self, records: Sequence[Record], logs: Sequence[LogLine], writes: Sequence[StateWrite] = ()
    ) -> bool:
        await self._runner.point("before commit")
        self._runner.commits.append([each.path for each in records])
        done = await self._turn.commit(records, logs, writes)
        await self._runner.point("after commit")
        return done

    async def read_state(self, scope: str, key: str) -> bytes | None:
        return await self._turn.read_state(scope, key)

    async def list_state(self, scope: str) -> dict[str, bytes]:
        return await self._turn.list_state(scope)

    async def signals(self) -> Sequence[Signal]:
        self._runner.looked(self.start.execution)
        return await self._turn.signals()

    async def begin(self, start: Start) -> bool:
        await self._runner.point("before begin")
        begun = await self._turn.begin(start)
        await self._runner.point("after begin")
        return begun

    async def outcome(self, execution: str) -> Outcome | None:
        return await self._turn.outcome(execution)


@dataclass
class Runner:
    """An engine that runs an app's flows."""

    engine: JournalEngine
    clock: ManualClock
    app: App = field(default_factory=App)
    commits: list[list[str]] = field(default_factory=list[list[str]])
    points: list[str] = field(default_factory=list[str])
    changes: list[Change] = field(default_factory=list[Change])
    crash_at: int | None = None
    step_seconds: float = 0.0
    looked: Callable[[str], object] = str
    aim: Aim = no_target
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.app.watch = self.point
        self.executor = Executor(self.work, random.Random(1))
        self.engine.follow(self.changes.append)

    @property
    def running(self) -> int:
        """Return the number of turns in memory."""
        return self.engine.running

    async def work(self, key: FlowKey) -> Work:
        return Work(
            flow=self.app.integration.flows[key.flow],
            config=None if key.is_shared else Config(),
            customer=CustomerInfo(key.customer, "Ada"),
            instance=InstanceInfo(key.instance, "Ada's"),
            urls={},
            secret=lambda flow: SecretStr(flow),
            seal=lambda text: b64encode(text[::-1].encode()).decode(),
            unseal=lambda text: b64decode(text).decode()[::-1],
            siblings=self.app.integration.flows,
            aim=self.aim,
        )

    async def handle(self, turn: Turn) -> Verdict:
        watched = WatchedTurn(turn, self)
        alive.set(watched)
        return await self.executor(watched)

    async def point(self, name: str) -> None:
        """Die here, where it was asked for; the dead do nothing any more."""
        turn = alive.get()
        if turn is None:
            return
        if not turn.frozen:
            self.points.append(name)
            self.clock.advance(self.step_seconds)
            if len(self.points) - 1 == self.crash_at:
                turn.frozen = True
                await self.lose(turn.start.execution)
        if turn.frozen:
            await self.over.wait()
            raise Fenced("dead")

    async def lose(self, execution: str) -> None:
        await self.engine.journal.blame([execution], alone=False)
        self.engine.nudge()

    async def start(
        self,
        flow: Flow[Any, Any, Any],
        body: bytes = b"{}",
        *,
        instance: str = "ins_1",
        customer: str = "cus_1",
        headers: tuple[tuple[str, str], ...] = (),
        **more: Any,
    ) -> str:
        execution = new_id("exe")
        start = Start(
            execution,
            FlowKey(customer, instance, "shop", flow.name, "v1", 1),
            Event("POST", "", "", headers, body, self.clock()),
            **{"root": execution, **more},
        )
        await self.engine.start([start])
        return execution

    async def finish(self, execution: str) -> Outcome:
        """Wait for the outcome; time passes where the execution waits for it."""
        async with asyncio.timeout(DEADLINE):
            while (found := await self.engine.outcome(execution, 0.003)) is None:
                due = await self.next_due()
                if due is not None and due > self.clock():
                    self.clock.advance((due - self.clock()) / 1e6)
        return found

    async def next_due(self) -> Micros | None:
        return await self.engine.journal.next_due()

    async def run(self, function: FlowFunction, body: bytes = b"{}", **options: Any) -> Outcome:
        """Run a flow to its end."""
        return await self.finish(await self.start(self.app.flow(function, **options), body))

    async def execution(self, execution: str) -> Execution:
        found = await self.engine.journal.execution(execution)
        assert found is not None
        return found

    async def history(self, execution: str | None = None) -> list[Record]:
        execution = execution or self.changes[-1].execution
        return await self.engine.journal.steps(execution)

    async def lines(self, execution: str | None = None) -> list[str]:
        execution = execution or self.changes[-1].execution
        return [each.message for _, each in await self.engine.journal.logs(execution)]


@asynccontextmanager
async def runner_on(kind: str, path: Path) -> AsyncIterator[Runner]:
    """A runner over a store of a kind: `memory`, `file` or `postgresql`."""
    clock = ManualClock()
    async with opened(kind, path, clock) as journal:
        runner = Runner(JournalEngine(journal, clock=clock), clock)
        task = asyncio.create_task(runner.engine.run(runner.handle))
        try:
            yield runner
        finally:
            runner.over.set()
            await runner.engine.stop(0)
            await task


Inputs = Mapping[str, Any]
