"""The life of an instance: activate, upgrade, disable, remove. Every move can be run again.

`state` moves by compare-and-set; what has to happen at the apps is a deployment, an execution whose
id the instance names. One process at a time makes a move. Every one that may looks again and again
at the instances that are between two states, and goes on with what nobody makes: a process that ends
leaves its moves to the others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import structlog

from halflap.engine.clock import ManualClock
from halflap.engine.deployment import CATCH_UP, DEPLOY, RENEW
from halflap.engine.journal import JournalEngine
from halflap.engine.leftover import Leftovers
from halflap.engine.library import Library
from halflap.engine.lineage import TEARDOWN, derived
from halflap.errors import ConfigError, InDoubt, NotFound, StoreError
from halflap.model import (
    BETWEEN,
    CALL,
    LIVE,
    SYSTEM,
    Clock,
    Event,
    Execution,
    FlowKey,
    Instance,
    InstanceState,
    Micros,
    Outcome,
    Repetition,
    Start,
    VersionPin,
    new_id,
)
from halflap.sdk import codec
from halflap.sdk.deadline import came
from halflap.store.catalogue import Catalogue
from halflap.store.protocol import Filter, Journal, Pinning
from halflap.store.retention import declared

log = structlog.get_logger("halflap.deployer")

DRAIN_SECONDS = 30.0
LOOK_SECONDS = 5.0
"""Seconds until a move that another process left is gone on with."""
SWEEP_SECONDS = 60.0
"""Seconds until a removal is gone on with."""
STORE_SECONDS = 1.0
"""Seconds until a move that a failing store stopped is made again."""

ABANDON_SECONDS = 60.0
"""Seconds that the teardown of an instance that is abandoned may take."""
RETRY_LEFT: Micros = 3_600_000_000
"""The time until what was left behind is tried again."""
LEAVING = "what cannot be taken down is left behind"
"""The error of an instance that is being disabled and abandoned: whoever goes on knows by it."""

GIVEN_UP = "it could not be activated for 24 hours, so it was taken down: "
"""Begins the error of an instance whose first activation was given up."""
GONE_BACK = ", so it is as before: "
"""Is in the error of an instance that has its former version and config again."""
RESTORING = "; what it had at its apps is not restored yet: "
KEEP_TRYING: Micros = 24 * 3_600_000_000
"""For how long a deployment that fails is repeated."""
FIRST_REPEAT: Micros = 60_000_000
LONGEST_REPEAT: Micros = 3_600_000_000
OVERLAP: Micros = 120_000_000
"""The time before its teardown in which an instance may have missed events: its URLs close first."""

DISABLED_FROM: tuple[InstanceState, ...] = (
    "active",
    "failed",
    "activating",
    "upgrading",
    "disabling",
)

Reason = Literal["activate", "upgrade", "redeploy", "rollback", "disable", "remove"]
Revision = tuple[Mapping[str, object], Mapping[str, str]]
"""A config's plain fields, and its connections' ids by field."""
Repeat = Callable[[str, str, FlowKey], Awaitable[Start | None]]
"""Returns what replays a deployment under a new id, on a flow; None where that cannot be."""


class Deployer:
    """Moves instances from state to state.

    Without `moves`, it begins moves only, and leaves them to other processes.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        journal: Journal,
        engine: JournalEngine,
        library: Library,
        clock: Clock,
        *,
        moves: bool = True,
    ) -> None:
        self._catalogue = catalogue
        self._journal = journal
        self._leftovers = Leftovers(catalogue, engine)
        self._engine = engine
        self._library = library
        self._clock = clock
        self._makes_moves = moves
        self.repeat: Repeat | None = None
        self._moves: dict[str, asyncio.Task[None]] = {}
        self._towards: dict[str, tuple[InstanceState, str | None]] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        if isinstance(clock, ManualClock):
            clock.watch(self._wake.set)

    async def activate(self, instance: str, *, catch_up: Micros | None = None) -> Instance:
        """Run the deploy flow, subscribe the triggers, then let events run. Returns at once.

        With `catch_up`, triggers that can are then asked what was missed since that time.
        """
        found = await self._catalogue.instances.get(instance)
        reason: Reason = "redeploy" if found.state in ("active", "failed") else "activate"
        return await self._deploy(
            found,
            # From where it is as configured it moves as that alone: nothing of it ran before.
            ("configured",) if found.state == "configured" else ("disabled", "failed", "active"),
            "activating",
            found.version,
            reason,
            catch_up=catch_up,
        )

    async def disabled_at(self, instance: str) -> Micros | None:
        """Return when an instance was last disabled; None where that is no longer known."""
        teardowns = await self._journal.executions(Filter(instance=instance, flow=TEARDOWN))
        if not teardowns:
            return None
        # What it left behind was taken down later, by teardowns that came after the first.
        which = Filter(instance=instance, flow=DEPLOY, before=teardowns[0].id, limit=1)
        deployed = [each.id for each in await self._journal.executions(which)]
        return min(e.accepted_at for e in teardowns if e.id > max(deployed, default=""))

    async def missed_since(self, instance: Instance) -> Micros | None:
        """Return since when an instance missed events: a little before it was last disabled.

        Not from before its triggers were subscribed as they are then. None where that is not known, or
        where they are other ones by now.
        """
        at = await self.disabled_at(instance.id)
        if at is None:
            return None
        found = await self._journal.executions(Filter(instance=instance.id, flow=DEPLOY))
        teardowns = await self._journal.executions(Filter(instance=instance.id, flow=TEARDOWN))
        deployed = [each for each in found if each.accepted_at < at]
        pins = [VersionPin(each.flow.version, each.flow.revision) for each in deployed]
        if pins and not await self._hears_the_same(instance.id, pins[0], instance.pin):
            return None
        for n, each in enumerate(deployed):
            if each.accepted_at <= at - OVERLAP:
                break
            before = deployed[n + 1].id if n + 1 < len(deployed) else None
            if before is None or any(before < down.id < each.id for down in teardowns):
                return each.accepted_at
            if not await self._hears_the_same(instance.id, pins[n + 1], pins[n]):
                return each.accepted_at
        return at - OVERLAP

    async def _hears_the_same(self, instance: str, before: VersionPin, after: VersionPin) -> bool:
        """Return whether all triggers that can be asked what they missed were there before."""
        if before == after:
            return True
        heard = [await self._heard(instance, each) for each in (before, after)]
        return all(heard[0].get(name) == each for name, each in heard[1].items())

    async def _heard(self, instance: str, pin: VersionPin) -> dict[str, tuple[Any, ...]]:
        """Return what the flows whose triggers can be asked hear of."""
        integration = await self._library.integration(pin.version)
        config, connections = await self._catalogue.instances.revision(instance, pin.revision)
        heard: dict[str, tuple[Any, ...]] = {}
        for name, flow in integration.flows.items():
            trigger = flow.trigger
            if trigger.catches_up:
                values = {
                    each: config.get(ref.name, ref.default)
                    for each, ref in trigger.references.items()
                }
                account = connections.get(integration.connection_for(flow) or "")
                heard[name] = trigger.name, trigger.inputs | values, account
        return heard

    async def upgrade(
        self,
        instance: str,
        version: str,
        revision: Revision | None = None,
        *,
        by: str | None = None,
    ) -> Instance:
        """Move to another version or config: subscribe what was added, unsubscribe what was removed.

        `revision` is the config for it, with its connections' ids; the present one otherwise. `by`
        is the bulk that this is part of. One that fails goes back to what was before.
        """
        found = await self._catalogue.instances.get(instance)
        if found.state in ("configured", "disabled"):
            moved = await self._catalogue.instances.move(
                instance,
                (found.state,),
                found.state,
                error=found.error,
                version=version,
                revision=revision,
                former=found.pin,
                moved_by=by,
            )
            return moved or await self._catalogue.instances.get(instance)
        reason: Reason = "redeploy" if version == found.version else "upgrade"
        return await self._deploy(
            found, ("active", "failed"), "upgrading", version, reason, revision, by
        )

    async def disable(
        self, instance: str, *, drain: float = DRAIN_SECONDS, abandon: bool = False
    ) -> Instance:
        """Close the endpoints, let running executions end, run the teardown flow, unsubscribe.

        With `abandon` it ends in any case: what cannot be taken down is left behind, with the reason
        at its subscription, and is tried again every hour. Of a disabled instance it tries that now.
        """
        found = await self._catalogue.instances.get(instance)
        begun = found.state == "disabling" and (is_left(found) or not abandon)
        states = DISABLED_FROM
        if abandon and instance in await self._catalogue.subscriptions.left():
            states = (*states, "disabled")
        moved = await self._catalogue.instances.move(
            instance,
            states,
            "disabling",
            error=leaving(found) if abandon else found.error if begun else None,
            deployment=None if begun else new_id("exe", now=self._clock()),
        )
        if moved is None:
            raise ConfigError(f"{found.name} is {found.state}; there is nothing to disable")
        await self._catalogue.endpoints.close_all(instance)
        if found.state == "disabling" and not begun and found.deployment is not None:
            # Its teardown may not have been started: what runs is waited for first.
            await self._engine.cancel_many(
                [found.deployment], "what it takes down is abandoned", 0.0
            )
        return await self._go(moved, lambda: self._disable(moved, drain))

    async def rotate(self, endpoint: str, grace: Micros, given: str | None = None) -> str:
        """Give an endpoint another secret, and return it; no customer's scope may write it."""
        return await self._catalogue.endpoints.rotate(endpoint, grace, given)

    async def retry_left(self, connection: str) -> None:
        """Take down what instances of a connection left behind, as it is good again."""
        for instance in await self._catalogue.subscriptions.left():
            found = await self._catalogue.instances.get(instance)
            _, used = await self._catalogue.instances.revision(instance, found.revision)
            if connection in used.values():
                await self.disable(instance, abandon=True)

    async def remove(self, instance: str) -> None:
        """Remove an instance that is disabled, or was never activated, and its state."""
        await self._leftovers.remove_instance(instance)

    async def remove_customer(self, customer: str) -> None:
        """Remove a customer that has no instances and no connections, and its state."""
        await self._leftovers.remove_customer(customer)

    async def run(self) -> None:
        """Go on with what other processes began and do not make, until `stop`."""
        loop = asyncio.get_running_loop()
        swept_at = loop.time()
        stop = self._catalogue.on_change(self._wake.set)
        try:
            while not self._stopping:
                self._wake.clear()
                try:
                    if loop.time() - swept_at > SWEEP_SECONDS:
                        swept_at = loop.time()
                        await self._leftovers.resume()
                        await self._retry_left()
                    await self._look()
                    await self._renew()
                except InDoubt:
                    raise
                except StoreError as error:
                    log.warning("moves are not looked for: the store failed", error=str(error))
                await came(self._wake, LOOK_SECONDS)
        finally:
            stop()

    async def go_on(self, instance: str) -> None:
        """Go on with a move of an instance that an earlier process left."""
        found = await self._catalogue.instances.get(instance)
        if found.state in BETWEEN:
            await self._resume(found)

    async def resume(self) -> None:
        """Go on with what an earlier process left (a server's start)."""
        await self._leftovers.resume()
        await self._look()

    async def _retry_left(self) -> None:
        for instance, at in (await self._catalogue.subscriptions.left()).items():
            if self._clock() - at > RETRY_LEFT:
                with contextlib.suppress(ConfigError, NotFound):  # moved, or removed, meanwhile
                    await self.disable(instance, abandon=True)

    async def _renew(self) -> None:
        """Start the renewals that are due: each once, whichever processes see it."""
        for due in await self._catalogue.subscriptions.due():
            which = Filter(instance=due.instance, flow=RENEW, states=LIVE, key=due.flow, limit=1)
            if await self._journal.executions(which):
                await self._catalogue.subscriptions.renewing(due, None)
                continue
            found = await self._catalogue.instances.get(due.instance)
            path = f"{RENEW}/{due.flow}/{due.renew_at}"
            id = derived(found.id, path, due.renew_at)
            body = codec.encode({"flow": due.flow, "deployment": found.deployment})
            event = Event(CALL, "", "", (), body, self._clock())
            key = found.flow_key(RENEW)
            await self._engine.start([Start(id, key, event, root=id, key=due.flow)])
            await self._catalogue.subscriptions.renewing(due, id)

    async def _look(self) -> None:
        before = dict(self._towards)
        for each in await self._catalogue.instances.due():
            now = self._towards.get(each.id)
            # What began or ended here while this was read is newer than what was read.
            if now == before.get(each.id) and now != towards(each):
                await self._resume(each)

    async def _resume(self, found: Instance) -> None:
        match found.state:
            case "activating":
                await self._go(found, lambda: self._activated(found, "activate", None))
            case "upgrading":
                await self._go(found, lambda: self._activated(found, "upgrade", None))
            case "disabling":
                passed = (self._clock() - found.changed_at) / 1e6
                drain = max(DRAIN_SECONDS - passed, 0.0)
                await self._go(found, lambda: self._disable(found, drain))
            case "failed":
                with contextlib.suppress(ConfigError):  # moved by another process meanwhile
                    await self._deploy(
                        found, ("failed",), "activating", found.version, "activate", repeats=True
                    )
            case "active":
                if (moved := await self._repeated(found)) is not None:
                    await self._go(moved, lambda: self._restore(moved))
            case _:
                pass

    async def settled(self, instance: str, within: float = 60.0) -> Instance:
        """The instance once it is between no two states, or as it is after `within` seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within
        changed = asyncio.Event()
        stop = self._catalogue.on_change(changed.set)
        try:
            while True:
                if (move := self._moves.get(instance)) is not None:
                    await asyncio.wait([move], timeout=end - loop.time())
                changed.clear()
                found = await self._catalogue.instances.get(instance)
                left = end - loop.time()
                if found.state not in BETWEEN or left <= 0:
                    return found
                await came(changed, min(left, LOOK_SECONDS))
        finally:
            stop()

    async def stop(self) -> None:
        """Stop watching; other processes go on, or the next server."""
        self._stopping = True
        self._wake.set()
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
        by: str | None = None,
        *,
        repeats: bool = False,
        catch_up: Micros | None = None,
    ) -> Instance:
        # One that does not load moves nothing.
        integration = await self._library.integration(version)
        await self._catalogue.retentions.put(declared(found.id), integration.retention)
        execution = new_id("exe", now=self._clock())
        repetition = None
        if repeats and found.repetition is not None:
            repetition = replace(found.repetition, at=None)
        elif found.state == "failed" and found.deployment is not None and not found.in_service:
            repetition = Repetition(self._clock(), 0, found.deployment)
        moved = await self._catalogue.instances.move(
            found.id,
            states,
            state,
            error=None,
            version=version,
            deployment=execution,
            during=found.deployment if repeats else None,
            revision=revision,
            repetition=repetition,
            former=found.pin if state == "upgrading" else None,
            moved_by=by,
            catch_up=catch_up,
        )
        if moved is None:
            now = (await self._catalogue.instances.get(found.id)).state
            raise ConfigError(f"{found.name} is {now}; wait until that is done, then try again")
        previous = None if reason == "activate" else found.version
        with contextlib.suppress(StoreError):  # the move does it, too: so does a server's start
            await self._open(moved)
            if not self._makes_moves:
                await self._start(moved, execution, DEPLOY, reason, previous)
        is_first = states == ("configured",)
        return await self._go(moved, lambda: self._activated(moved, reason, previous, is_first))

    async def _open(self, instance: Instance) -> None:
        """Let events come in, and wait."""
        await self._engine.journal.hold(instance.id)
        integration = await self._library.integration(instance.version)
        flows = integration.flows.items()
        shared = [name for name, flow in flows if flow.is_shared]
        await self._catalogue.shared.ensure(integration.name, shared)
        own = [name for name, flow in flows if flow.has_endpoint]
        await self._catalogue.endpoints.ensure(instance.id, own)
        await self._catalogue.endpoints.open_all(instance.id)

    async def _start(
        self, instance: Instance, execution: str, flow: str, reason: Reason, previous: str | None
    ) -> None:
        """Start a deployment; one that repeats another replays it, so that siblings start once."""
        await self._end_others(instance, execution)
        key = instance.flow_key(flow)
        again = instance.repetition
        if again is not None and again.of != execution and flow == DEPLOY:
            if await self._is_started(execution):
                return
            start = None if self.repeat is None else await self.repeat(again.of, execution, key)
            if start is not None:
                await self._engine.start([start])
                return
            await self._cancel_started_by(again.of, "the deployment that started it is made anew")
        body = {
            "instance": instance.id,
            "version": instance.version,
            "reason": reason,
            "previous_version": previous,
            **({"abandon": True} if is_left(instance) else {}),
        }
        now = self._clock()
        event = Event("POST", "", "", (), codec.encode(body), now)
        await self._engine.start([Start(execution, key, event, root=execution)])

    async def _end_others(self, instance: Instance, execution: str) -> None:
        """Cancel deployments and renewals of an instance that are live, and wait until they have ended.

        Else one that undoes an upgrade could take down what the next one has subscribed by then.
        """
        for flow in (DEPLOY, RENEW):
            which = Filter(instance=instance.id, flow=flow, states=LIVE)
            await self._end_live(await self._journal.executions(which), execution)

    async def _end_live(self, found: Sequence[Execution], execution: str) -> None:
        for each in found:
            if each.id != execution:
                await self._engine.cancel(each.id, "its instance moves again")
                while await self._engine.outcome(each.id, within=60.0) is None:
                    pass

    async def _activated(
        self, instance: Instance, reason: Reason, previous: str | None, is_first: bool = False
    ) -> None:
        """Make a move; `is_first` where no other deployment of the instance is before it."""
        deployment = instance.deployment
        assert deployment is not None
        await self._open(instance)
        outcome = await self._outcome(instance, deployment, DEPLOY, reason, previous)
        if outcome.state == "succeeded":
            await self._catch_up(instance, deployment)
            # Released first: nobody would release what an active instance still holds.
            await self._release(instance, is_first)
            await self._end(instance, "active")
        elif instance.in_service:
            await self._go_back(instance, deployment, why(outcome))
        else:
            await self._not_activated(instance, deployment, why(outcome))

    async def _catch_up(self, instance: Instance, deployment: str) -> None:
        """Start what asks the triggers for what was missed; twice is once."""
        since, found = instance.catch_up_since, await self._journal.execution(deployment)
        if since is None or found is None:
            return
        flows = (await self._library.integration(instance.version)).flows.items()
        starts: list[Start] = []
        for name in (name for name, flow in flows if flow.trigger.catches_up):
            id = derived(deployment, f"{CATCH_UP}/{name}", found.accepted_at)
            body = {"flow": name, "since": since, "live_since": found.accepted_at}
            event = Event(CALL, "", "", (), codec.encode(body), found.accepted_at)
            starts.append(Start(id, replace(found.flow, flow=CATCH_UP), event, root=id))
        if starts:
            await self._engine.start(starts)

    async def _go_back(self, instance: Instance, deployment: str, because: str) -> None:
        """Let an instance that was in service go on as before: a deployment of it failed."""
        if instance.state == "upgrading" and instance.former is not None:
            number = (await self._catalogue.versions.numbers([instance.version])).get(
                instance.version, instance.version[:12]
            )
            is_upgrade = instance.version != instance.former.version
            what = f"upgrade to version {number}" if is_upgrade else "change of its config"
            error = f"the {what} failed ({deployment}){GONE_BACK}{because}"
            await self._cancel_started_by(deployment, error)
            execution = new_id("exe", now=self._clock())
            back = await self._catalogue.instances.go_back(
                instance.id, deployment, error=error, deployment=execution
            )
            if back is not None:
                await self._release(back)
            return
        await self._release(instance)
        await self._end(instance, "active", because, self._next(instance, deployment))

    async def _not_activated(self, instance: Instance, deployment: str, because: str) -> None:
        """Keep what a first activation that failed subscribed and holds, and repeat it for a day."""
        again = self._next(instance, deployment)
        if again is not None:
            await self._end(instance, "failed", because, again)
            return
        await self._catalogue.instances.move(
            instance.id,
            (instance.state,),
            "disabling",
            error=f"{GIVEN_UP}{because}",
            deployment=new_id("exe", now=self._clock()),
            during=deployment,
        )

    def _next(self, instance: Instance, deployment: str) -> Repetition | None:
        """Return when a deployment that failed is repeated; None where that has lasted long enough."""
        now, again = self._clock(), instance.repetition or Repetition(self._clock(), 0, deployment)
        if now - again.since >= KEEP_TRYING:
            return None
        wait = min(FIRST_REPEAT * 2**again.tries, LONGEST_REPEAT)
        at = min(now + wait, again.since + KEEP_TRYING)
        return Repetition(again.since, again.tries + 1, deployment, at)

    async def _repeated(self, found: Instance) -> Instance | None:
        """Give the deployment that an active instance repeats an id; None where it has moved."""
        again = found.repetition
        assert again is not None
        # What restores a former version is to be started; one that failed is to be repeated.
        if again.of != found.deployment or not await self._is_started(again.of):
            return found
        return await self._catalogue.instances.move(
            found.id,
            ("active",),
            "active",
            error=found.error,
            deployment=new_id("exe", now=self._clock()),
            during=found.deployment,
            repetition=again,
        )

    async def _restore(self, instance: Instance) -> None:
        """Deploy an active instance again, which is as its apps may not be: it runs meanwhile."""
        deployment, error = instance.deployment, instance.error or ""
        assert deployment is not None
        await self._release(instance)
        has_gone_back = GONE_BACK in error
        reason: Reason = "rollback" if has_gone_back else "redeploy"
        outcome = await self._outcome(instance, deployment, DEPLOY, reason, instance.version)
        was, _, _ = error.partition(RESTORING)
        if outcome.state == "succeeded":
            await self._end(instance, "active", was if has_gone_back else None)
            return
        because = f"{was}{RESTORING}{why(outcome)}" if has_gone_back else why(outcome)
        await self._end(instance, "active", because, self._next(instance, deployment))

    async def _release(self, instance: Instance, is_first: bool = False) -> None:
        """Let run what is held; what has not begun begins on what the instance has now.

        What listens since the first activation goes on: nothing listened on anything else.
        """
        integration = await self._library.integration(instance.version)
        pinning = Pinning(instance.pin, tuple(integration.flows), instance.deployment)
        if not is_first or await self._catalogue.instances.get(instance.id) != instance:
            await self._journal.shards.revoke(instance.id)  # what listens on a former version, too
        await self._engine.release(instance.id, pinning)

    async def _cancel_started_by(self, deployment: str, because: str) -> None:
        """Cancel what a deployment, or what it repeats, started and has not begun."""
        of: str | None = deployment
        while of is not None:
            await self._cancel_unbegun(Filter(parent=of), because)
            found = await self._journal.execution(of)
            of = None if found is None else found.replay_of

    async def _cancel_unbegun(self, which: Filter, because: str) -> None:
        which = replace(which, states=("queued",), of_events=True, limit=1_000)
        while page := await self._journal.executions(which):
            for each in page:
                if each.attempt == 0:
                    await self._engine.cancel(each.id, because)
            which = replace(which, before=page[-1].id)

    async def _disable(self, instance: Instance, drain: float) -> None:
        await self._catalogue.endpoints.close_all(instance.id)
        await self._journal.shards.revoke(instance.id)
        execution = instance.deployment
        assert execution is not None
        if not instance.in_service:  # nothing of it was ever let run
            never = "its instance was disabled before it was active"
            because = instance.error if is_given_up(instance) else None
            await self._cancel_unbegun(Filter(instance=instance.id), because or never)
        await self._engine.release(instance.id)
        if not await self._is_started(execution):
            await self._drain(instance, drain)
        abandon = is_left(instance)
        within = ABANDON_SECONDS if abandon else None
        outcome = await self._outcome(instance, execution, TEARDOWN, "disable", None, within)
        if abandon:
            left = await self._left_behind(instance, outcome)
            if is_given_up(instance):
                left = "; ".join(each for each in (instance.error, left) if each)
            await self._end(instance, "disabled", left)
        elif outcome.state == "succeeded":
            await self._end(instance, "disabled")
        else:
            await self._end(
                instance,
                "failed",
                f"teardown failed: {why(outcome)}. To leave it behind: "
                f"halflap instances disable {instance.id} --abandon",
            )

    async def _left_behind(self, instance: Instance, outcome: Outcome) -> str | None:
        """Note at each subscription that is still there why; return all that was left behind."""
        left: list[str] = codec.decode(outcome.result) or [] if outcome.result else []
        if outcome.state != "succeeded":
            left = [why(outcome)]
            for each in await self._catalogue.subscriptions.list(instance.id):
                await self._catalogue.subscriptions.leave(instance.id, each.flow, why(outcome))
        return f"left behind at the app: {'; '.join(left)}"[:2_000] if left else None

    async def _end(
        self,
        instance: Instance,
        state: InstanceState,
        error: str | None = None,
        repetition: Repetition | None = None,
    ) -> None:
        """End a move, unless another one has begun since."""
        await self._catalogue.instances.move(
            instance.id,
            (instance.state,),
            state,
            error=error,
            during=instance.deployment,
            repetition=repetition,
        )

    async def _is_started(self, execution: str) -> bool:
        try:
            await self._engine.outcome(execution, within=0)
        except NotFound:
            return False
        return True

    async def _drain(self, instance: Instance, seconds: float) -> None:
        """Wait until nothing of the instance is live; then cancel what still is."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        changed = asyncio.Event()
        stop = self._engine.follow(
            lambda change: changed.set() if change.start.flow.instance == instance.id else None
        )
        try:
            while await self._engine.journal.live(instance.id):
                left = end - loop.time()
                if left <= 0:
                    await self._engine.cancel_all(instance.id, "the instance was disabled")
                    end = loop.time() + 1.0
                    continue
                changed.clear()
                await came(changed, min(left, 1.0))
        finally:
            stop()

    async def _outcome(
        self,
        instance: Instance,
        execution: str,
        flow: str,
        reason: Reason,
        previous: str | None,
        within: float | None = None,
    ) -> Outcome:
        """Start a deployment (twice is once) and wait for its outcome, however long it takes.

        After `within` seconds, where they are given, it is cancelled.
        """
        await self._start(instance, execution, flow, reason, previous)
        while True:
            outcome = await self._engine.outcome(execution, within=within or 60.0)
            if outcome is not None:
                return outcome
            if within is not None:
                because = f"it was not done within {within:.0f} s"
                await self._engine.cancel(execution, because, 0.0)

    async def _go(
        self, instance: Instance, move: Callable[[], Coroutine[Any, Any, None]]
    ) -> Instance:
        if not self._makes_moves:
            return instance
        if self._engine.only is not None:
            self._engine.only.add((SYSTEM, instance.id))
            if instance.state == "disabling":  # what runs may end
                self._engine.only.add((instance.customer, instance.id))
        previous = self._moves.pop(instance.id, None)
        if previous is not None:
            previous.cancel()
        task = asyncio.create_task(self._moved(instance, move, previous))
        self._moves[instance.id] = task
        self._towards[instance.id] = towards(instance)
        task.add_done_callback(lambda done: self._done(instance, done))
        return instance

    async def _moved(
        self,
        instance: Instance,
        move: Callable[[], Coroutine[Any, Any, None]],
        previous: asyncio.Task[None] | None,
    ) -> None:
        """Make a move, unless another process does; where the store failed, from its beginning."""
        if previous is not None:
            await asyncio.wait([previous])
        while True:
            try:
                async with self._catalogue.alone(f"move {instance.id}") as mine:
                    if mine and await self._is_wanted(instance):
                        await move()
                return
            except InDoubt:
                raise
            except StoreError as error:
                log.warning("a move waits for the store", instance=instance.id, error=str(error))
                await asyncio.sleep(STORE_SECONDS)

    async def _is_wanted(self, instance: Instance) -> bool:
        """Return whether a move is yet to be made: another process may have made it meanwhile."""
        with contextlib.suppress(NotFound):
            return towards(await self._catalogue.instances.get(instance.id)) == towards(instance)
        return False

    def _done(self, instance: Instance, task: asyncio.Task[None]) -> None:
        if self._moves.get(instance.id) is task:
            del self._moves[instance.id]
            del self._towards[instance.id]
            self._wake.set()  # what was read while it ended is read again
        if not task.cancelled() and task.exception() is not None:
            log.error("a move failed", instance=instance.id, error=repr(task.exception()))


def towards(instance: Instance) -> tuple[InstanceState, str | None]:
    """Return the identity of a move of an instance."""
    return instance.state, instance.deployment


def is_given_up(instance: Instance) -> bool:
    """Return whether the first activation of an instance was given up."""
    return (instance.error or "").startswith(GIVEN_UP)


def is_left(instance: Instance) -> bool:
    """Return whether what cannot be taken down of an instance is left behind."""
    return instance.error == LEAVING or is_given_up(instance)


def leaving(instance: Instance) -> str:
    """Return the error of an instance that is left, which still says that it was given up."""
    if not is_given_up(instance):
        return LEAVING
    return (instance.error or "").partition("; left behind")[0]


def why(outcome: Outcome) -> str:
    """Why a deployment did not succeed, for the person who has to mend it."""
    return outcome.failure.text if outcome.failure else outcome.reason or outcome.state
