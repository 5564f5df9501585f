"""The life of an instance: activate, upgrade, disable, remove. Every move can be run again.

`state` moves by compare-and-set; what has to happen at the apps is a deployment, an execution whose
id the instance names. A server that starts looks at every instance that is between two states and
goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Literal

import structlog

from halflap.engine.deployment import DEPLOY, TEARDOWN
from halflap.engine.leftover import Leftovers
from halflap.engine.library import Library
from halflap.engine.protocol import Engine
from halflap.errors import ConfigError, InDoubt, StoreError
from halflap.model import Clock, Event, FlowKey, Instance, InstanceState, Outcome, Start, new_id
from halflap.sdk import codec
from halflap.store.catalogue import Catalogue
from halflap.store.protocol import Journal

log = structlog.get_logger("halflap.deployer")

DRAIN_SECONDS = 30.0
STORE_SECONDS = 1.0
"""How soon a move that a failing store stopped is made again."""

Reason = Literal["activate", "upgrade", "redeploy", "disable", "remove"]
Revision = tuple[Mapping[str, object], Mapping[str, str]]
"""A config's plain fields, and its connections' ids by field."""


class Deployer:
    """Moves instances from state to state."""

    def __init__(
        self,
        catalogue: Catalogue,
        journal: Journal,
        engine: Engine,
        library: Library,
        clock: Clock,
    ) -> None:
        self._catalogue = catalogue
        self._leftovers = Leftovers(catalogue, journal)
        self._engine = engine
        self._library = library
        self._clock = clock
        self._moves: dict[str, asyncio.Task[None]] = {}

    async def activate(self, instance: str) -> Instance:
        """Run the deploy flow, subscribe the triggers, then let events run. Returns at once."""
        found = await self._catalogue.instances.get(instance)
        reason: Reason = "redeploy" if found.state in ("active", "failed") else "activate"
        return await self._deploy(
            found,
            ("configured", "disabled", "failed", "active"),
            "activating",
            found.version,
            reason,
        )

    async def upgrade(
        self, instance: str, version: str, revision: Revision | None = None
    ) -> Instance:
        """Move to another version: subscribe what was added, unsubscribe what was removed.

        `revision` is the config for it, with its connections' ids; the present one otherwise.
        """
        found = await self._catalogue.instances.get(instance)
        if found.state in ("configured", "disabled"):
            moved = await self._catalogue.instances.move(
                instance, (found.state,), found.state, version=version, revision=revision
            )
            return moved or await self._catalogue.instances.get(instance)
        return await self._deploy(
            found, ("active", "failed"), "upgrading", version, "upgrade", revision
        )

    async def disable(self, instance: str, *, drain: float = DRAIN_SECONDS) -> Instance:
        """Close the endpoints, let running executions end, run the teardown flow, unsubscribe."""
        found = await self._catalogue.instances.get(instance)
        moved = await self._catalogue.instances.move(
            instance,
            ("active", "failed", "activating", "upgrading", "disabling"),
            "disabling",
            error=None,
        )
        if moved is None:
            raise ConfigError(f"{found.name} is {found.state}; there is nothing to disable")
        await self._catalogue.endpoints.close_all(instance)
        return await self._go(moved, lambda: self._disable(moved, drain))

    async def remove(self, instance: str) -> None:
        """Remove an instance that is disabled, or was never activated, and its state."""
        found = await self._catalogue.instances.get(instance)
        if found.state not in ("disabled", "configured"):
            raise ConfigError(
                f"{found.name} is {found.state}; disable it first, so that its webhooks are taken down"
            )
        await self._leftovers.remove_instance(instance)

    async def remove_customer(self, customer: str) -> None:
        """Remove a customer that has no instances and no connections, and its state."""
        await self._leftovers.remove_customer(customer)

    async def resume(self) -> None:
        """Go on with every instance that is between two states (a server's start)."""
        await self._leftovers.resume()
        for each in await self._catalogue.instances.list():
            await self._resume(each)

    async def _resume(self, found: Instance) -> None:
        match found.state:
            case "activating":
                await self._go(found, lambda: self._activated(found, "activate", None))
            case "upgrading":
                await self._go(found, lambda: self._activated(found, "upgrade", None))
            case "disabling":
                await self._go(found, lambda: self._disable(found, 0.0))
            case _:
                pass

    async def settled(self, instance: str, within: float = 60.0) -> Instance:
        """The instance once it is between no two states, or as it is after `within` seconds."""
        move = self._moves.get(instance)
        if move is not None:
            await asyncio.wait([move], timeout=within)
        return await self._catalogue.instances.get(instance)

    async def stop(self) -> None:
        """Stop watching; the next server goes on."""
        for each in list(self._moves.values()):
            each.cancel()
        await asyncio.gather(*self._moves.values(), return_exceptions=True)

    async def _deploy(
        self,
        found: Instance,
        states: tuple[InstanceState, ...],
        state: Literal["activating", "upgrading"],
        version: str,
        reason: Reason,
        revision: Revision | None = None,
    ) -> Instance:
        await self._library.integration(version)  # one that does not load moves nothing
        execution = new_id("exe", now=self._clock())
        moved = await self._catalogue.instances.move(
            found.id,
            states,
            state,
            error=None,
            version=version,
            deployment=execution,
            revision=revision,
        )
        if moved is None:
            now = (await self._catalogue.instances.get(found.id)).state
            raise ConfigError(f"{found.name} is {now}; wait until that is done, then try again")
        previous = None if reason == "activate" else found.version
        with contextlib.suppress(StoreError):  # the move does it, too: so does a server's start
            await self._open(moved)
        return await self._go(moved, lambda: self._activated(moved, reason, previous))

    async def _open(self, instance: Instance) -> None:
        """Let events come in, and wait."""
        await self._engine.hold(instance.id)
        integration = await self._library.integration(instance.version)
        flows = [
            name for name, flow in integration.flows.items() if flow.trigger.declaration.methods
        ]
        await self._catalogue.endpoints.ensure(instance.id, flows)
        await self._catalogue.endpoints.open_all(instance.id)

    async def _start(
        self, instance: Instance, execution: str, flow: str, reason: Reason, previous: str | None
    ) -> None:
        body = {
            "instance": instance.id,
            "version": instance.version,
            "reason": reason,
            "previous_version": previous,
        }
        now = self._clock()
        event = Event("POST", "", "", (), codec.encode(body), now)
        key = FlowKey(
            instance.customer,
            instance.id,
            instance.integration,
            flow,
            instance.version,
            instance.revision,
        )
        await self._engine.start([Start(execution, key, event, root=execution)])

    async def _activated(self, instance: Instance, reason: Reason, previous: str | None) -> None:
        deployment = instance.deployment
        assert deployment is not None
        await self._open(instance)
        outcome = await self._outcome(instance, deployment, DEPLOY, reason, previous)
        between = ("activating", "upgrading")
        if outcome.state == "succeeded":
            # Released first: nobody would release what an active instance still holds.
            await self._engine.release(instance.id)
            await self._catalogue.instances.move(instance.id, between, "active", error=None)
            return
        await self._catalogue.instances.move(instance.id, between, "failed", error=why(outcome))

    async def _disable(self, instance: Instance, drain: float) -> None:
        await self._catalogue.endpoints.close_all(instance.id)
        await self._engine.release(instance.id)
        await self._drain(instance, drain)
        execution = new_id("exe", now=self._clock())
        moved = await self._catalogue.instances.move(
            instance.id, ("disabling",), "disabling", deployment=execution
        )
        if moved is None:
            return
        outcome = await self._outcome(moved, execution, TEARDOWN, "disable", None)
        if outcome.state == "succeeded":
            await self._catalogue.instances.move(
                instance.id, ("disabling",), "disabled", error=None
            )
            return
        await self._catalogue.instances.move(
            instance.id, ("disabling",), "failed", error=f"teardown failed: {why(outcome)}"
        )

    async def _drain(self, instance: Instance, seconds: float) -> None:
        """Wait until nothing of the instance is live; then cancel what still is."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        changed = asyncio.Event()
        stop = self._engine.follow(
            lambda change: changed.set() if change.start.flow.instance == instance.id else None
        )
        try:
            while await self._engine.live(instance.id):
                left = end - loop.time()
                if left <= 0:
                    await self._engine.cancel_all(instance.id, "the instance was disabled")
                    end = loop.time() + 1.0
                    continue
                changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left, 1.0)):
                        await changed.wait()
        finally:
            stop()

    async def _outcome(
        self, instance: Instance, execution: str, flow: str, reason: Reason, previous: str | None
    ) -> Outcome:
        """Start a deployment (twice is once) and wait for its outcome, however long it takes."""
        await self._start(instance, execution, flow, reason, previous)
        while True:
            outcome = await self._engine.outcome(execution, within=60.0)
            if outcome is not None:
                return outcome

    async def _go(
        self, instance: Instance, move: Callable[[], Coroutine[Any, Any, None]]
    ) -> Instance:
        previous = self._moves.pop(instance.id, None)
        if previous is not None:
            previous.cancel()
        task = asyncio.create_task(self._moved(instance, move))
        self._moves[instance.id] = task
        task.add_done_callback(lambda done: self._done(instance, done))
        return instance

    async def _moved(
        self, instance: Instance, move: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Make a move; where the store failed, from its beginning, as after a crash."""
        while True:
            try:
                return await move()
            except InDoubt:
                raise
            except StoreError as error:
                log.warning("a move waits for the store", instance=instance.id, error=str(error))
                await asyncio.sleep(STORE_SECONDS)

    def _done(self, instance: Instance, task: asyncio.Task[None]) -> None:
        if self._moves.get(instance.id) is task:
            del self._moves[instance.id]
        if not task.cancelled() and task.exception() is not None:
            log.error("a move failed", instance=instance.id, error=repr(task.exception()))


def why(outcome: Outcome) -> str:
    """Why a deployment did not succeed, for the person who has to mend it."""
    return outcome.failure.message if outcome.failure else outcome.reason or outcome.state
