"""Operations on executions: show, cancel, replay, dismiss."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from halflap.api.operations import finding
from halflap.api.operations.config import Configs
from halflap.api.operations.family import MOST_RELATED, Family, called_dead_letters, moot_by
from halflap.api.operations.offers import OfferOperations
from halflap.api.operations.order import Overtaking, because, overtaking
from halflap.api.operations.pauses import pauses_of
from halflap.api.operations.replay import (
    CURRENT,
    EventEdit,
    LeftOut,
    ReplayPlan,
    ReplayRequest,
    SaidDone,
    called,
    decide_replay,
    verb_of,
)
from halflap.api.operations.waiting import (
    HELD_BY_GATE,
    HELD_BY_ORDER,
    NOT_THROTTLED,
    PROBED,
    Wait,
    WaitFacts,
    decide_wait,
)
from halflap.engine.journal import JournalEngine
from halflap.engine.library import Library
from halflap.errors import ConfigError, Conflict, DefinitionError, NotFound, Removed
from halflap.model import (
    EARLIER,
    ENDED,
    ENDED_BADLY,
    PARKED,
    SEALED,
    SEALED_HEADERS,
    SYSTEM,
    Clock,
    Event,
    Execution,
    FlowKey,
    Instance,
    LogLine,
    NothingNewer,
    Record,
    Replay,
    Start,
    is_earlier,
    is_ensured,
    made_at,
    new_id,
    position_in_chain,
)
from halflap.sdk import codec
from halflap.sdk.action import Action
from halflap.sdk.context import LONGEST_NAME
from halflap.sdk.declared import whole_again
from halflap.sdk.integration import Integration
from halflap.sdk.record import decode_value
from halflap.sdk.trigger import first_line
from halflap.store.blobs.viewing import Content, EventExcerpt, Viewing
from halflap.store.catalogue import Catalogue
from halflap.store.protocol import (
    MOST_EXAMINED,
    Attempt,
    Filter,
    Journal,
    Outdated,
    Page,
    Position,
)
from halflap.store.replays import CUT
from halflap.store.rules.listing import position_of
from halflap.store.rules.replaying import caught_steps, has_only_copies, resumed_steps

LAST = "last"
PAGE = 50
MOST_CHILDREN = 100
MOST_COUNTED = 10_001
"""The most executions that are counted, and the most rows of an index that are compared for that."""
SAME = "same"


@dataclass(frozen=True, slots=True)
class StepNotes:
    """Facts by which a step is shown, beside its record: of its execution, and of other steps.

    `caught` are the steps that failed and behind which the flow went on; `resumed` those that an
    attempt was cut in, with its number.
    """

    replay_of: str | None = None
    replay: Replay | None = None
    caught: Collection[str] = ()
    resumed: Mapping[str, int] = field(default_factory=dict[str, int])


NO_NOTES = StepNotes()


@dataclass(frozen=True, slots=True)
class ExecutionDetail:
    """An execution with all that the journal has of it."""

    execution: Execution
    event: EventExcerpt | None
    steps: Sequence[Record]
    attempts: Sequence[Attempt]
    lineage: Sequence[Execution]
    """The executions that it replays, itself, and its replays."""
    children: Sequence[Execution]
    """The newest of those that it started."""
    waits_for: str | None
    """The execution whose turn it is in its order, where it has none itself."""
    waits_because: str
    continues: str | None
    """The execution before it in its chain."""
    continued_by: str | None
    wait: Wait | None
    """The reason for which it waits, where it does not run."""
    moot_by: str | None
    """The replay of what called it that was told that the call is done."""
    notes: StepNotes


@dataclass(frozen=True, slots=True)
class OverwriteCheck:
    """The check of what a replay writes over: newer values, or what has to stay as it was `decided`."""

    overwrites: bool
    decided: NothingNewer | None = None


@dataclass(slots=True)
class Executions:
    """Shows executions, ends them early, and runs them again."""

    catalogue: Catalogue
    journal: Journal
    engine: JournalEngine
    library: Library
    configs: Configs
    clock: Clock
    offers: OfferOperations

    @property
    def viewing(self) -> Viewing:
        """The journal as people look at it: large payloads are not loaded."""
        return Viewing(self.journal)

    async def find(self, named: str) -> Execution:
        """An execution by its id; `last` is the newest that an event started."""
        if named == LAST:
            return await self.last(None, None)
        found = await self.viewing.execution(named)
        if found is None:
            raise NotFound(
                f"no execution has the id {named!r}: it was never accepted, or was pruned since; "
                "see: halflap executions list"
            )
        return found

    async def last(self, instance: str | None, flow: str | None) -> Execution:
        """The newest execution of an event; deployments are ours, and do not count."""
        page = Page([], None)
        while True:
            page = await self.journal.page(
                Filter(instance=instance, flow=flow, limit=PAGE), page.next
            )
            for each in page.executions:
                if not each.flow.flow.startswith(SYSTEM):
                    return each
            if page.next is None:
                raise NotFound("no event has arrived there yet; send one to the flow's URL")

    async def list(
        self, which: Filter, before: str | None, *, examine: int = MOST_EXAMINED
    ) -> tuple[list[Execution], str | None]:
        """Return a page of executions, newest first, and the `before` of the next one."""
        after = None if before is None else await self._position(before, which)
        page = await self.journal.page(which, after, examine=examine)
        return page.executions, None if page.next is None else f"{page.next[0]}.{page.next[1]}"

    async def count(self, which: Filter) -> int | None:
        """Return how many executions a list has, up to `MOST_COUNTED`; None where it is not known."""
        return await self.journal.count_listed(which, MOST_COUNTED, examine=MOST_COUNTED)

    async def _position(self, before: str, which: Filter) -> Position:
        """Return the place in the list that a page's `next`, or an execution's id, means.

        Where there is no such execution, or none in scope, it is when the id says that it was made.
        """
        at, dot, id = before.partition(".")
        if dot and at.isdecimal() and len(at) < 19 and id:
            return int(at), id
        found = await self.viewing.execution(before)
        return (
            (made_at(before, self.clock()), before) if found is None else position_of(found, which)
        )

    async def detail(self, execution: Execution, *, values: bool = True) -> ExecutionDetail:
        """An execution with its event, its steps, its attempts and its replays.

        Without `values`, its steps have no inputs, and those that are done no results.
        """
        ahead = None if execution.order is None else await self.journal.waits_for(execution.id)
        because_of = (
            "" if ahead is None else because(execution, await self.journal.execution(ahead))
        )
        found = await (self.viewing.steps if values else self.journal.step_heads)(execution.id)
        steps = [each for each in found if not is_earlier(each)]
        attempts = await self.journal.attempts(execution.id)
        children = await self._children(execution)
        facts = WaitFacts(steps, attempts, ahead=ahead, because=because_of)
        return ExecutionDetail(
            execution,
            await self.viewing.event(execution.id),
            name_failed_parts(steps, children),
            attempts,
            await self.lineage(execution),
            children,
            ahead,
            because_of,
            await self._linked(execution, -1),
            await self._linked(execution, 1),
            await self._wait(execution, facts),
            await moot_by(self.journal, execution) if execution.state == "failed" else None,
            notes_of(execution, steps, attempts),
        )

    async def steps(
        self, execution: Execution, after: int | None, limit: int
    ) -> tuple[list[Record], int | None, StepNotes]:
        """Return a page of steps, the `after` of the next one, and what is shown beside them.

        Values that are large are references. Copies that say how a step was tried before are left out.
        """
        page = await self.viewing.step_page(execution.id, after, limit)
        attempts = await self.journal.attempts(execution.id)
        failed = any(each.status == "failed" for each in page)
        heads = page
        if failed or any(each.how in CUT for each in attempts):
            heads = await self.journal.step_heads(execution.id)
        steps = [each for each in page if not is_earlier(each)]
        if failed:
            steps = name_failed_parts(steps, await self._children(execution))
        next = page[-1].seq if len(page) == limit else None
        return steps, next, notes_of(execution, heads, attempts)

    async def waits(self, some: Sequence[Execution]) -> dict[str, Wait]:
        """Return what those of a list wait for that do not run: in few statements, without steps."""
        now, facts = self.clock(), await self._facts(some)
        waits = {
            each.id: decide_wait(each, facts[each.id], now) for each in some if each.id in facts
        }
        return {id: wait for id, wait in waits.items() if wait is not None}

    async def _facts(self, some: Sequence[Execution]) -> dict[str, WaitFacts]:
        """Read for many at once what their waiting is decided from; nothing of those that do not."""
        idle = [each for each in some if each.state in ("queued", "waiting")]
        if not idle:
            return {}
        paused = {each.what: each for each in await self.journal.paused()}
        held = {each.flow.instance for each in idle if each.held & HELD_BY_GATE}
        instances = await self.catalogue.instances.some(held)
        parked = {connection_of(each) for each in idle} - {""}
        connections = await self.catalogue.connections.some(parked)
        resting = await self.journal.resting(PROBED) if parked else {}
        return {
            each.id: WaitFacts(
                None,
                paused=[paused[name] for name in pauses_of(each.flow) if name in paused],
                instance=instances.get(each.flow.instance),
                ahead="" if each.held & HELD_BY_ORDER else None,
                because=because(each, None),
                connection=connections.get(connection_of(each)),
                throttled=resting.get(connection_of(each), NOT_THROTTLED),
            )
            for each in idle
        }

    async def _wait(self, execution: Execution, seen: WaitFacts) -> Wait | None:
        """Read what else an execution's waiting is decided from, and decide it."""
        found = (await self._facts([execution])).get(execution.id)
        if found is None:
            return None
        flow, now = execution.flow, self.clock()
        facts = replace(
            found, steps=seen.steps, attempts=seen.attempts, ahead=seen.ahead, because=seen.because
        )
        is_due = execution.due_at is not None and execution.due_at <= now
        if is_due and not execution.held and not connection_of(execution):
            facts = replace(facts, limit=await self._limit(flow))
        return decide_wait(execution, facts, now)

    async def _limit(self, flow: FlowKey) -> str:
        """Return which limit of its customer's keeps an execution from beginning; empty where none."""
        if flow.is_shared or flow.flow.startswith(SYSTEM):
            return ""
        own, default = await self.journal.limits(flow.customer), self.journal.default_limits
        most = default.concurrency if own.concurrency is None else own.concurrency
        if most and (await self.journal.load(flow.customer, 1)).running >= most:
            return f"its customer's limit: {most} run at once"
        rate = default.rate if own.rate is None else own.rate
        if rate and flow.customer in self.journal.held_back:
            return f"its customer's limit: {rate:g} begin in a second"
        return ""

    async def _linked(self, execution: Execution, by: int) -> str | None:
        """Return the execution before or behind one in its chain."""
        chain, link = position_in_chain(execution)
        if link + by < 0 or (by > 0 and execution.state not in ENDED):
            return None
        found = await self.journal.executions(Filter(chain=chain, link=link + by, limit=1))
        return found[0].id if found else None

    async def event(self, execution: Execution) -> Event:
        """An execution's event; `Removed` where it is no longer kept."""
        event = await self.journal.event(execution.id)
        if event is None:
            raise removed(execution)
        return event

    async def seen(self, execution: Execution) -> EventExcerpt:
        """An execution's event to be shown; `Removed` where it is no longer kept."""
        event = await self.viewing.event(execution.id)
        if event is None:
            raise removed(execution)
        return event

    async def logs(self, execution: Execution, after: int, limit: int) -> list[tuple[int, LogLine]]:
        """Return up to `limit` log lines of the author's code, after a line."""
        return await self.viewing.logs(execution.id, after, limit)

    async def content(
        self, execution: Execution, part: Literal["body", "result", "inputs"], step: str | None
    ) -> Content:
        """A payload of an execution, whole, to be read in parts; `Removed` where it is no more."""
        try:
            return await self.viewing.content(execution.id, part, step)
        except NotFound:
            if execution.payload_removed:
                raise removed(execution) from None
            raise

    async def cancel(
        self, execution: Execution, reason: str, grace: float | None = None
    ) -> Execution:
        """Cancel: at once where it is queued or waiting, at its next step where it runs.

        One that goes on running is cut after `grace` seconds.
        """
        if not await self.engine.cancel(execution.id, reason, grace):
            now = await self.find(execution.id)
            raise Conflict(f"{now.id} has ended already: it {verb_of(now)}", key=now.id)
        return await self.find(execution.id)

    async def signal(
        self, execution: Execution, name: str, payload: object, once: str | None
    ) -> Execution:
        """Send a signal with a payload of JSON; one that comes before it is asked for is kept."""
        if not name or len(name) > LONGEST_NAME or name.startswith(SYSTEM):
            raise ConfigError(
                f"a signal's name has 1 to {LONGEST_NAME} characters, and not $ as its first",
                fields={"name": "is no signal's name"},
            )
        sent = await self.engine.signal(execution.id, name, codec.encode(payload), once)
        now = await self.find(execution.id)
        if sent == "over":
            raise Conflict(f"{now.id} has ended already: it {verb_of(now)}", key=now.id)
        return now

    async def dismiss(self, execution: Execution) -> None:
        """Take a failed execution off the dead letters."""
        if not await self.engine.dismiss(execution.id):
            now = await self.find(execution.id)
            raise Conflict(
                f"{now.id} {verb_of(now)}; only one that failed can be dismissed", key=now.id
            )

    async def replay(self, execution: Execution, request: ReplayRequest) -> Start:
        """Run an execution again, and return how; see `decide_replay`."""
        plan = await self.plan_replay(execution, request)
        if isinstance(plan, LeftOut):
            if plan.removed:
                raise Removed(plan.why)
            raise Conflict(f"{execution.id} is not replayed: {plan.why}", key=execution.id)
        flow = await self.flow_again(execution, request.version)
        checked = await self.check(execution, plan, flow, again=request.again)
        if isinstance(checked, LeftOut):
            raise Conflict(f"{execution.id} is not replayed: {checked.why}", key=execution.id)
        id = new_id("exe", now=self.clock())
        start = await self.start_of(execution, request, plan, id, flow)
        if request.done is not None:
            await self._check_done(start, request.done)
        try:
            [started] = await self.engine.start([replace(start, decided=checked.decided)])
        except Outdated:
            return await self.replay(execution, request)
        if started.duplicate_of is not None:
            raise Conflict(
                f"{started.duplicate_of} replays {execution.id} already; wait until that has ended, "
                "or cancel it",
                key=started.duplicate_of,
            )
        if request.done is not None:
            await self._dismiss_called(execution, start)
        return start

    async def _dismiss_called(self, execution: Execution, start: Start) -> None:
        """Dismiss the dead letters of a call that was said to be done."""
        assert start.replay is not None
        for each in await self.journal.steps(execution.id):
            if each.path in start.replay.done and (child := called(each)):
                for id in await called_dead_letters(self.journal, child):
                    await self.engine.dismiss(id)

    async def check(
        self, execution: Execution, plan: ReplayPlan, flow: FlowKey, *, again: bool
    ) -> OverwriteCheck | LeftOut:
        """Return what `overwrites` does, or that a replay on `flow` fails for certain."""
        step = plan.stops_at
        if step is None or flow.version != (await self.ran_on(execution)).version:
            return await self.overwrites(execution, flow, again=again)
        action = await self._action_of(flow.version, step.name)
        if action is not None and (action.repeatable or action.lookup is not None):
            return await self.overwrites(execution, flow, again=again)
        before = "do again what precedes it, and " if plan.start == "start" else ""
        others = [each for each in plan.doubts if each != step.path.removeprefix(EARLIER)]
        beside = (
            f" (and {', '.join(others)}, which `repeat: true` would do again, too)"
            if others
            else ""
        )
        return LeftOut(
            f"{step.path.removeprefix(EARLIER)} may have been carried out, and the app could not tell "
            f"a second request from the first one, so it would {before}fail there again: "
            f"look at the app{beside}; then say what the step would have returned, where it was done "
            "(`done: RESULT`), or `repeat: true`"
        )

    async def overwrites(
        self, execution: Execution, flow: FlowKey, *, again: bool = False
    ) -> OverwriteCheck | LeftOut:
        """Return whether a replay on `flow` may write over newer values, which nothing compares.

        Where newer events of its order have run, it is left out, unless `again`.
        """
        if (await self.library.integration(flow.version)).flows[flow.flow].pairs is not None:
            return OverwriteCheck(False)
        if execution.order is None:
            return OverwriteCheck(True)
        newer = await overtaking(self.journal, execution, self.clock())
        key = execution.order.key or execution.key
        if again or key is None:
            return OverwriteCheck(isinstance(newer, Overtaking))
        if isinstance(newer, NothingNewer):
            return OverwriteCheck(False, newer)
        others = f", the last of {newer.count}," if newer.count > 1 else ""
        return LeftOut(
            f"{newer.last}{others} came later with the same key, {key}: newer values would be written "
            "over; to do so all the same, say `again: true`"
        )

    async def _action_of(self, version: str, step: str) -> Action[..., Any] | None:
        """Return the action that a step of a version runs; None for a step of the flow's own."""
        try:
            return await self.library.action(version, step)
        except (NotFound, DefinitionError):
            return None

    async def _check_done(self, start: Start, done: SaidDone) -> None:
        """Refuse a result that is none of the action whose step is said to be done."""
        [step] = [e for e in start.copied if is_earlier(e) and e.result is done.result]
        try:
            if b'"$secret"' in done.result:
                raise ValueError("a result that is said holds no secrets")
            action = await self._action_of(start.flow.version, step.name)
            if action is not None:
                decode_value(done.result, action.shape.output_adapter, str)
        except ValueError as error:
            raise ConfigError(
                f"the result does not fit {step.name}: {first_line(error)}",
                fields={"done.result": first_line(error)},
            ) from error

    async def repeat_deployment(self, failed: str, id: str, flow: FlowKey) -> Start | None:
        """Return what replays a deployment that failed, as an execution of this id.

        None where it ran on another version or config, or cannot be replayed. What is ensured is
        ensured again; what the author's deploy flow did, its siblings above all, is not done twice.
        """
        execution = await self.journal.execution(failed)
        if execution is None or execution.flow != flow:
            return None
        request = ReplayRequest("failed", SAME, again=True)
        plan = await self.plan_replay(execution, request)
        if isinstance(plan, LeftOut):
            return None
        copied = tuple(
            replace(each, status="retrying") if is_ensured(each) else each for each in plan.copied
        )
        return await self.start_of(execution, request, replace(plan, copied=copied), id, flow)

    async def plan_replay(
        self, execution: Execution, request: ReplayRequest
    ) -> ReplayPlan | LeftOut:
        """Decide how an execution is run again."""
        family = Family(self.journal, execution)
        material = await family.material()
        if execution.state in ENDED:
            material = await family.with_replays(material, request.bulk)
        plan = decide_replay(execution, material, request)
        if isinstance(plan, LeftOut) and plan.removed:
            return replace(plan, why=f"{removed(execution).message}, so {plan.why}")
        return plan

    async def plan_of(self, execution: Execution, request: ReplayRequest) -> ReplayPlan | LeftOut:
        """Decide how an execution was run again by a replay that may be live."""
        return decide_replay(execution, await Family(self.journal, execution).material(), request)

    async def start_of(
        self,
        execution: Execution,
        request: ReplayRequest,
        plan: ReplayPlan,
        id: str,
        flow: FlowKey | None = None,
    ) -> Start:
        """Return what runs an execution again; `flow` is that of `flow_again`, where it is known."""
        event = await self.event(execution)
        flow = flow or await self.flow_again(execution, request.version)
        moves = flow.version != (await self.ran_on(execution)).version and not request.repeat
        in_doubt = bool(plan.doubts or plan.how.done)
        return Start(
            execution=id,
            flow=flow,
            event=event if request.edit is None else edited(event, request.edit),
            root=plan.root or id,
            key=execution.key,
            replay_of=execution.id,
            copied=plan.copied,
            order=execution.order,
            replay=replace(plan.how, strict=moves and plan.root is not None and in_doubt),
        )

    async def flow_again(self, execution: Execution, version: str | None) -> FlowKey:
        """Return the flow that runs an execution again; raise where its instance does not."""
        if not execution.flow.is_shared:
            return await self._flow(execution, await self._instance(execution), version)
        key, shared = execution.flow, self.catalogue.shared
        if version == SAME:
            return await self.ran_on(execution)
        if version not in (None, CURRENT):
            assert version is not None
            hash = (await finding.version(self.catalogue, key.integration, version)).hash
        else:
            endpoint = (await shared.of_integration(key.integration)).get(key.flow)
            current = None if endpoint is None else await shared.version(endpoint)
            hash = key.version if current is None else current.hash
        await self._check_flow(key, hash)
        return replace(key, version=hash)

    async def ran_on(self, execution: Execution) -> FlowKey:
        """Return the flow on whose version and config the steps that an execution has were carried out.

        A replay that was refused before it did anything has those of what it replays.
        """
        while execution.replay_of and has_only_copies(await self.viewing.steps(execution.id)):
            before = await self.viewing.execution(execution.replay_of)
            if before is None:  # it was pruned
                break
            execution = before
        return execution.flow

    async def has_moved(self, execution: Execution, how: Replay | None, flow: FlowKey) -> bool:
        """Return whether a replay goes on, and not with the version and config of the finished steps."""
        goes_on = how is not None and how.start == "failed"
        return goes_on and flow != await self.ran_on(execution)

    async def _children(self, execution: Execution) -> list[Execution]:
        if execution.attempt == 0:
            return []
        return await self.journal.executions(Filter(parent=execution.id, limit=MOST_CHILDREN))

    async def lineage(self, execution: Execution) -> list[Execution]:
        """Return an execution's originals, itself, and its replays, in the order of acceptance."""
        found = {execution.id: execution}
        above = execution
        while above.replay_of is not None and len(found) < MOST_RELATED:
            before = await self.viewing.execution(above.replay_of)
            if before is None:  # it was pruned
                break
            found[before.id] = above = before
        below = [execution.id]
        while below and len(found) < MOST_RELATED:
            which = Filter(replay_of=below.pop(0), limit=MOST_RELATED)
            for each in reversed(await self.journal.executions(which)):
                found[each.id] = each
                below.append(each.id)
        return sorted(found.values(), key=lambda each: each.id)

    async def _instance(self, execution: Execution) -> Instance:
        if execution.flow.flow.startswith(SYSTEM):
            raise Conflict(
                f"{execution.id} is a deployment of its instance; activate, redeploy or disable that "
                "again instead",
                key=execution.id,
            )
        try:
            instance = await self.catalogue.instances.get(execution.flow.instance)
        except NotFound as error:
            raise NotFound(
                f"the instance of {execution.id} was removed, and its config with it; the execution "
                "cannot be replayed"
            ) from error
        if instance.state in ("configured", "disabling", "disabled"):
            raise Conflict(
                f"{instance.name} is {instance.state}; activate it, then replay", key=instance.id
            )
        return instance

    async def _flow(self, execution: Execution, instance: Instance, version: str | None) -> FlowKey:
        hash, revision = instance.version, instance.revision
        if version == SAME:
            ran = await self.ran_on(execution)
            hash, revision = ran.version, ran.revision
        elif version not in (None, CURRENT):
            assert version is not None
            own = [execution.flow.version, instance.version]
            hash = (await self.offers.chosen(instance.integration, version, own)).hash
        definition = await self._check_flow(execution.flow, hash)
        config, connections = await self.catalogue.instances.revision(instance.id, revision)
        await self.configs.check(definition, instance.customer, config, connections)
        return replace(execution.flow, version=hash, revision=revision)

    async def _check_flow(self, key: FlowKey, hash: str) -> Integration[Any]:
        """A version that has the flow of an execution."""
        definition = await self.library.integration(hash)
        if key.flow not in definition.flows:
            raise ConfigError(
                f"version {hash[:12]} of {key.integration} has no flow {key.flow!r}; "
                f"name a version that has it, such as {key.version[:12]}",
                fields={"version": "does not have the flow"},
            )
        return definition


def connection_of(execution: Execution) -> str:
    """Return the id of the connection for which an execution is parked; empty where it is not."""
    found = execution.waiting_for
    return found.removeprefix(PARKED) if found.startswith(PARKED) else ""


def notes_of(
    execution: Execution, steps: Sequence[Record], attempts: Sequence[Attempt]
) -> StepNotes:
    """Return what is shown beside the steps of an execution, of which `steps` are all."""
    cuts = [(each.number, each.ended_at) for each in attempts if each.how in CUT]
    caught = {each.path for each in caught_steps(steps, execution.failure)}
    return StepNotes(execution.replay_of, execution.replay, caught, resumed_steps(steps, cuts))


def name_failed_parts(steps: Sequence[Record], started: Sequence[Execution]) -> list[Record]:
    """Return steps of which a call that failed names the part of its chain that did: not the first."""
    chains = {each.id: each.chain for each in started}
    failed: dict[str | None, str] = {}
    for each in sorted(started, key=lambda each: each.link, reverse=True):
        if each.chain is not None and each.state in ENDED_BADLY:
            failed[each.chain] = each.id  # what a replay of that went on to is later
    return [
        replace(each, failure=replace(each.failure, where=failed[chain]))
        if each.failure and (chain := chains.get(called(each)) or called(each)) in failed
        else each
        for each in steps
    ]


def edited(event: Event, edit: EventEdit) -> Event:
    """An event with another body, or other headers; those that are kept sealed stay as they are."""
    changed = {name.lower(): (name, value) for name, value in edit.headers.items()}
    secret = {name.lower() for name, value in event.headers if value.startswith(SEALED)}
    sealed = sorted(changed.keys() & (SEALED_HEADERS | secret))
    if sealed:
        raise ConfigError(
            f"the header {sealed[0]} is a secret, and cannot be edited",
            fields={"event.headers": f"must not name {sealed[0]}"},
        )
    body = event.body if edit.body is None else edit.body
    large = event.large if edit.body is None else None
    if large is None and any(name.lower() == "content-length" for name, _ in event.headers):
        changed.setdefault("content-length", ("content-length", str(len(body))))
    headers = [each for each in event.headers if each[0].lower() not in changed]
    headers += [(name, value) for name, value in changed.values() if value is not None]
    made = replace(event, body=body, headers=tuple(headers), large=large)
    return made if edit.body is None else whole_again(made)


def removed(execution: Execution) -> Removed:
    """Return the error for a payload that is not stored any more."""
    return Removed(
        f"the payload of {execution.id} was removed, as the retention of {execution.flow.instance} "
        "says (halflap instances retention)"
    )
