"""The roles that go on by themselves where executions run: engine, probation, deployer, scheduler,
listeners, pruner, bulks."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

import structlog

from halflap.api.driving import BulkDriver
from halflap.engine.deployer import Deployer
from halflap.engine.executor import Executor
from halflap.engine.journal import JournalEngine
from halflap.engine.listening import Listeners
from halflap.engine.parking import Parking
from halflap.engine.probation import Probation
from halflap.engine.pruner import Pruner
from halflap.engine.scheduler import Scheduler
from halflap.engine.throttle import Throttles

log = structlog.get_logger("halflap.host")


@dataclass(slots=True)
class Crew:
    """Starts the roles of a process that runs executions, and stops them in good order.

    A command has no `listeners`. `shared` says that other processes have the store open too.
    """

    engine: JournalEngine
    executor: Executor
    probation: Probation | None
    deployer: Deployer
    scheduler: Scheduler
    pruner: Pruner
    bulks: BulkDriver
    parking: Parking
    throttles: Throttles
    listeners: Listeners | None = None
    shared: bool = False
    tasks: list[asyncio.Task[Any]] = field(default_factory=list[asyncio.Task[Any]])

    async def start(self) -> None:
        """Void what an earlier process left, start every role, go on with moves."""
        suspects = await self.engine.journal.void()
        if suspects:
            log.info("executions of an earlier process are run again", count=suspects)
        self.tasks += [
            asyncio.create_task(self.engine.run(self.executor), name="engine"),
            asyncio.create_task(self.scheduler.run(), name="scheduler"),
            asyncio.create_task(self.pruner.run(), name="pruner"),
            asyncio.create_task(self.bulks.run(), name="bulks"),
            asyncio.create_task(self.parking.run(), name="parking"),
        ]
        if self.listeners is not None:
            self.tasks.append(asyncio.create_task(self.listeners.run(), name="listeners"))
        await self.throttles.look()
        if self.shared:  # what other workers learn of apps
            self.tasks.append(asyncio.create_task(self.throttles.run(), name="throttles"))
        if self.probation is not None:
            self.tasks.append(asyncio.create_task(self.probation.run(), name="probation"))
        await self.deployer.resume()
        self.tasks.append(asyncio.create_task(self.deployer.run(), name="deployer"))

    async def stop(self, grace: float) -> None:
        """Begin nothing more, and let what runs end within `grace` seconds."""
        self.scheduler.stop()
        if self.listeners is not None:
            await self.listeners.stop()
        self.pruner.stop()
        self.bulks.stop()
        self.parking.stop()
        self.throttles.stop()
        await self.deployer.stop()
        if self.probation is not None:
            self.probation.stop()
        await self.engine.stop(grace)
        if self.probation is not None:
            await self.probation.close()
        for each in self.tasks:
            with contextlib.suppress(Exception):
                await each
        await self.deployer.stop()  # what ended in the engine meanwhile may have moved an instance
