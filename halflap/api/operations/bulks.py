"""Bulks: what people do with many executions or instances at once. Replay, cancel, dismiss; upgrade.

A plan says first what it would be, and what it leaves out. A bulk is kept in the catalogue, and driven
by whoever serves (`api/driving.py`): it survives any crash, and does each execution once at most, since
a replay's id follows from the bulk's and the execution's. A child that is chosen together with its
parent is left to the parent's replay, where that runs it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from typing import Any

import msgspec

from halflap.api.operations.executions import Executions, OverwriteCheck
from halflap.api.operations.family import parents_of
from halflap.api.operations.replay import LEFT_TO_PARENT, LeftOut, ReplayPlan, ReplayRequest
from halflap.api.operations.stats import Durations, Stats
from halflap.api.operations.upgrades import (
    CANARY,
    REST,
    PauseRule,
    Stages,
    Upgrades,
    first_stage,
    is_in_canary,
)
from halflap.errors import BlobLost, ConfigError, Conflict, HalflapError, NotFound, StoreError
from halflap.model import (
    ENDED,
    LIVE,
    Bulk,
    BulkVerb,
    Clock,
    Execution,
    ExecutionState,
    ExecutionVerb,
    FlowKey,
    Instance,
    Micros,
    Refusal,
    Start,
    Tally,
    new_id,
    replay_of_bulk,
    replays_of_bulk,
)
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.instances import Upgradable
from halflap.store.protocol import Filter, Journal, Outdated

LOOK = 2.0
"""Seconds between two looks at whether enough of a canary's executions have ended."""
CANARY_DONE = "the canary is done: look at its figures, then go on, or go back"
SAMPLES = 5
MOST_GROUPS = 50
MOST_EXAMINED = 2_000
"""The most executions that a plan decides one by one, to say which a bulk leaves out."""
MS = 1_000
ALLOWED: Mapping[ExecutionVerb, tuple[tuple[ExecutionState, ...], tuple[ExecutionState, ...]]] = {
    "replay": (ENDED, ("failed",)),
    "cancel": (LIVE, LIVE),
    "dismiss": (("failed",), ("failed",)),
}
"""By what is done: the states that it may be done to, and those that are meant where none are named."""


@dataclass(frozen=True, slots=True)
class BulkPlan:
    """A plan of a bulk: the number of executions, group by group, and a few of them.

    `left_out` are the commonest reasons why some (`skipped`) would not be done, of the `examined` oldest.
    """

    verb: ExecutionVerb
    total: int
    groups: Sequence[Tally]
    samples: Sequence[Execution]
    examined: int = 0
    left_out: Sequence[LeftOutGroup] = ()
    skipped: int = 0
    overwrites: Sequence[Overwriting] = ()
    changed: int = 0
    """Of the examined, those whose finished steps ran on another version or config."""


@dataclass(frozen=True, slots=True)
class Overwriting:
    """A flow in which nothing compares, and the event times of what would be replayed of it.

    Its replays write the values of then over what the app has since.
    """

    integration: str
    flow: str
    count: int
    first_at: Micros
    last_at: Micros

    def also(self, at: Micros) -> Overwriting:
        """Return it with one more event."""
        first, last = min(self.first_at, at), max(self.last_at, at)
        return replace(self, count=self.count + 1, first_at=first, last_at=last)


@dataclass(frozen=True, slots=True)
class LeftOutGroup:
    """The number of executions that a bulk would leave out for one reason, and the first of them."""

    why: str
    count: int
    execution: str


@dataclass(frozen=True, slots=True)
class BulkStep:
    """A part of a bulk that was done: how many, why not the others, and the last one's id."""

    done: int
    refusals: Sequence[Refusal]
    last: str
    pauses: str = ""
    """Why the bulk is paused behind it; empty where it goes on."""
    rest: float = 0.0
    """Seconds until the next one."""


@dataclass(frozen=True, slots=True)
class FiguresOfVersion:
    """The executions of a version that ended since a rollout began, and how many instances it has now."""

    version: str
    is_new: bool
    instances: int
    ended: int
    succeeded: int
    failed: int
    took: Durations


def totals(states: Mapping[str, Durations]) -> tuple[int, int, int, Durations]:
    """Return how many ended, succeeded and failed, and how long they took, by their states."""
    whole = Durations.sum(states.values())
    of = {state: took.count for state, took in states.items()}
    return whole.count, of.get("succeeded", 0), of.get("failed", 0), whole


@dataclass(frozen=True, slots=True)
class RolloutFigures:
    """The figures of an upgrade by version, the new one first, and the instances of its canary."""

    since: Micros
    versions: Sequence[FiguresOfVersion]
    canary: Sequence[Instance]


@dataclass(slots=True)
class BulkOperations:
    """Plans, begins, shows and ends bulks; `changed` is set where there is something to look at."""

    catalogue: Catalogue
    journal: Journal
    executions: Executions
    upgrades: Upgrades
    clock: Clock
    stats: Stats
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    begun: set[str] = field(default_factory=set[str])
    """The bulks that were begun in this process."""

    async def plan(
        self, verb: ExecutionVerb, where: Filter, request: ReplayRequest | None = None
    ) -> BulkPlan:
        """Return what would be done now."""
        which = prepared(verb, where)
        counts = await self.journal.count(which)
        plan = BulkPlan(
            verb,
            sum(counts.values()),
            await self.journal.tally(replace(which, limit=MOST_GROUPS)),
            await self.journal.executions(replace(which, limit=SAMPLES)),
        )
        if verb != "replay":
            return plan
        oldest = new_id("exe", now=0, chance=0)
        page = await self.journal.executions(replace(which, after=oldest, limit=MOST_EXAMINED))
        choice = _Choice(self.executions, which, request or ReplayRequest())
        groups: dict[str, LeftOutGroup] = {}
        over: dict[tuple[str, str], Overwriting] = {}
        changed = 0
        for each in page:
            found = await choice.decide(each)
            if isinstance(found, LeftOut):
                before = groups.get(found.why, LeftOutGroup(found.why, 0, each.id))
                groups[found.why] = replace(before, count=before.count + 1)
                continue
            changed += await self.executions.has_moved(each, found.plan.how, found.flow)
            if found.check.overwrites:
                named, at = (each.flow.integration, each.flow.flow), each.event_at
                over[named] = over.get(named, Overwriting(*named, 0, at, at)).also(at)
        by_count = sorted(groups.values(), key=lambda each: -each.count)
        return replace(
            plan,
            examined=len(page),
            left_out=by_count[:MOST_GROUPS],
            skipped=sum(each.count for each in by_count),
            overwrites=list(over.values()),
            changed=changed,
        )

    def make_id(self) -> str:
        """Return the id of a bulk that is about to begin."""
        return new_id("blk", now=self.clock())

    async def begin(
        self, id: str, verb: ExecutionVerb, where: Filter, options: Mapping[str, Any]
    ) -> Bulk:
        """Keep a bulk over what there is now; it is done in the background, from the oldest on."""
        now = self.clock()
        before = new_id("exe", now=now + MS, chance=0)
        if verb == "replay":  # its own replays are not among what it is over
            before, _ = replays_of_bulk(id)
        which = replace(prepared(verb, where), before=before)
        counts = await self.journal.count(which)
        wanted = {**options, "where": msgspec.to_builtins(which)}
        return await self._add(id, verb, wanted, sum(counts.values()), now)

    async def begin_upgrade(
        self,
        id: str,
        which: Upgradable,
        stages: Sequence[str],
        most_failed: str,
        between: float,
        *,
        canary: Sequence[str] = (),
        **more: Any,
    ) -> Bulk:
        """Keep a bulk that moves the instances of now; `more` says to which version, or back.

        Those of the `canary` (ids) are its first stage, behind which it is paused.
        """
        now = self.clock()
        which = replace(which, before=new_id("ins", now=now + MS, chance=0))
        total = await self.upgrades.count(which)
        parts = Stages.of(total, first_stage(canary, stages), most_failed, between)
        wanted = {**more, "where": asdict(which), "stages": asdict(parts)}
        if canary:
            wanted["canary"] = [*canary]
        return await self._add(id, "upgrade", wanted, total, now)

    async def go_back(self, bulk: str, id: str) -> Bulk:
        """Begin what undoes an upgrade that has ended: each instance gets what it had before."""
        found = await self.catalogue.bulks.get(bulk)
        which = self.upgrades.back(found)
        await self.catalogue.bulks.end(bulk, "cancelled", "taken back")  # where it was paused
        given = found.wanted.get("config", "{}")  # it is nobody's change since
        return await self.begin_upgrade(id, which, (), "100%", 0.0, back_of=bulk, config=given)

    async def _add(
        self, id: str, verb: BulkVerb, wanted: dict[str, Any], total: int, now: Micros
    ) -> Bulk:
        bulk = Bulk(id, verb, wanted, "running", total, now)
        await self.catalogue.bulks.add(bulk)
        self.begun.add(bulk.id)
        self.changed.set()
        return bulk

    async def cancel(self, bulk: str) -> Bulk:
        """End a bulk early; what it has done stays done."""
        await self.catalogue.bulks.end(bulk, "cancelled", "cancelled by hand")
        return await self.catalogue.bulks.get(bulk)

    async def figures(self, bulk: Bulk) -> RolloutFigures:
        """Return what ended since an upgrade began, by version, and the instances of its canary.

        The development instance is none of them.
        """
        integration, since = bulk.wanted["where"]["integration"], bulk.made_at
        new = bulk.wanted.get("version")
        counts = (await self.catalogue.instances.by_version(integration)).get(integration, {})
        own = await self.upgrades.instances.development(integration)
        if own is not None and own.version in counts:
            counts[own.version] -= 1
        ended: dict[str, dict[str, Durations]] = {}
        for (version, state), took in (await self.stats.ended_since(since, integration)).items():
            if took.count:
                ended.setdefault(version, {})[state] = took
        in_use = [each for each, count in counts.items() if count]
        versions = [
            FiguresOfVersion(
                each,
                each == new,
                counts.get(each, 0),
                *totals(ended.get(each, {})),
            )
            for each in {*in_use, *ended, *((new,) if new else ())}
        ]
        versions.sort(key=lambda each: (not each.is_new, -each.instances, each.version))
        canary = await self.catalogue.instances.some(bulk.wanted.get("canary", ()))
        return RolloutFigures(since, versions, [*canary.values()])

    async def pause(self, bulk: str, reason: str) -> Bulk:
        """Let a bulk stand still, after what it is doing; raise `Conflict` where it does not run."""
        if not await self.catalogue.bulks.pause(bulk, reason):
            found = await self.catalogue.bulks.get(bulk)
            raise Conflict(f"{bulk} is {found.state}, and cannot be paused", key=bulk)
        return await self.catalogue.bulks.get(bulk)

    async def resume(self, bulk: str) -> Bulk:
        """Let a bulk go on that is paused; raise `Conflict` where it is not.

        What failed until now was looked at: its rule counts from here on.
        """
        found = await self.catalogue.bulks.get(bulk)
        wanted = found.wanted
        if "pause_on" in wanted:
            where = wanted["where"]["integration"]
            seen = await self.ended_on(where, wanted["version"], found.made_at)
            wanted = {**wanted, "seen": seen}
        if not await self.catalogue.bulks.resume(bulk, wanted):
            found = await self.catalogue.bulks.get(bulk)
            raise Conflict(f"{bulk} is {found.state}, not paused", key=bulk)
        self.begun.add(bulk)
        self.changed.set()
        return await self.catalogue.bulks.get(bulk)

    async def taken(self, bulk: Bulk) -> Bulk:
        """A bulk as it is to be gone on with: what its last worker did, and did not note, counts.

        Only where what was replayed is a dead letter no more: else the page is found once again.
        """
        if bulk.verb != "replay" or not where_of(bulk).dead_letters:
            return bulk
        return replace(bulk, done=sum((await self.started(bulk)).values()))

    async def started(self, bulk: Bulk) -> Mapping[ExecutionState, int]:
        """Return how many replays a bulk has started, by their states."""
        return await self.journal.count(Filter(bulk=bulk.id))

    async def step(self, bulk: Bulk, most: int) -> BulkStep | None:
        """Do what is wanted with the next ones, oldest first; None where there are none."""
        if bulk.verb == "upgrade":
            return await self._upgrade(bulk, most)
        which = replace(where_of(bulk), after=bulk.after, limit=most)
        page = await self.journal.executions(which)
        if not page:
            return None
        await self._note(bulk, (each.flow.customer for each in page))
        if bulk.verb == "replay":
            done, refusals = await self._replay(bulk, page)
        else:
            done, refusals = await self._end(bulk, page)
        return BulkStep(done, refusals, page[-1].id)

    async def _note(self, bulk: Bulk, customers: Iterable[str]) -> None:
        """Have the audit log tell of a bulk under each customer, before anything is done to it."""
        await self.catalogue.audit.add_customers(bulk.id, customers)

    async def _upgrade(self, bulk: Bulk, most: int) -> BulkStep | None:
        rule, ended = PauseRule.wanted(bulk), 0
        if rule is not None:
            seen = bulk.wanted["seen"]
            where, new = bulk.wanted["where"], bulk.wanted["version"]
            now = await self.ended_on(where["integration"], new, bulk.made_at)
            ended, failed = (max(now[name] - seen[name], 0) for name in ("ended", "failed"))
            if why := rule.why(ended, failed):
                return BulkStep(0, (), bulk.after, why)
        instances = await self.upgrades.page(bulk, most)
        if not instances:
            if not is_in_canary(bulk) or bulk.total <= bulk.done + bulk.refused:
                return None
            if rule is None:
                return BulkStep(0, (), REST, CANARY_DONE)
            is_enough = ended >= rule.least
            return BulkStep(0, (), REST) if is_enough else BulkStep(0, (), bulk.after, rest=LOOK)
        await self._note(bulk, (each.customer for each in instances))
        done, refusals = await self.upgrades.do(bulk, instances)
        last = instances[-1].id
        return BulkStep(done, refusals, f"{CANARY}{last}" if is_in_canary(bulk) else last)

    async def ended_on(self, integration: str, version: str, since: Micros) -> dict[str, int]:
        """Return how many executions of a version ended, and failed, since a time."""
        found = await self.stats.ended_since(since, integration)
        states = {state: took for (of, state), took in found.items() if of == version}
        ended, _, failed, _ = totals(states)
        return {"ended": ended, "failed": failed}

    async def _end(self, bulk: Bulk, page: Sequence[Execution]) -> tuple[int, list[Refusal]]:
        """Cancel or dismiss executions; how many, and why not the others."""
        if bulk.verb == "cancel":
            reason = str(bulk.wanted.get("reason") or "cancelled by hand")
            grace = bulk.wanted.get("grace")
            done = await self.executions.engine.cancel_many([e.id for e in page], reason, grace)
            left = [each for each in page if not done.get(each.id)]
            calls = {e.id: self.executions.cancel(e, reason, grace) for e in left}
        else:
            calls = {each.id: self.executions.dismiss(each) for each in page}
        refusals: list[Refusal] = []
        for id, call in calls.items():
            try:
                await call
            except StoreError:
                raise
            except HalflapError as error:
                refusals.append(Refusal(id, error.message))
        return len(page) - len(refusals), refusals

    async def _replay(self, bulk: Bulk, page: Sequence[Execution]) -> tuple[int, list[Refusal]]:
        wanted = bulk.wanted
        request = ReplayRequest(
            wanted.get("from"),
            wanted.get("version"),
            bulk=bulk.id,
            repeat=bool(wanted.get("repeat")),
            again=bool(wanted.get("again")),
            latest=bool(wanted.get("latest")),
        )
        choice = _Choice(self.executions, where_of(bulk), request, bulk)
        starts: list[Start] = []
        refusals: list[Refusal] = []
        for each in page:
            found = await choice.start_of(bulk, each)
            if isinstance(found, LeftOut):
                refusals.append(Refusal(each.id, found.why))
            else:
                starts.append(found)
        try:
            done = await self.executions.engine.start(starts) if starts else []
        except Outdated:
            return await self._replay(bulk, page)
        except NotFound as error:  # the customer of one is being erased
            if len(page) == 1:
                return 0, [Refusal(page[0].id, error.message)]
            each_alone = [await self._replay(bulk, [each]) for each in page]
            return sum(done for done, _ in each_alone), [e for _, left in each_alone for e in left]
        for start, started in zip(starts, done, strict=True):
            if started.duplicate_of is not None:
                why = f"{started.duplicate_of} replays it already"
                refusals.append(Refusal(str(start.replay_of), why))
        return len(page) - len(refusals), refusals


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The replay of an execution that is chosen, its flow, and what it writes over."""

    plan: ReplayPlan
    flow: FlowKey
    check: OverwriteCheck


@dataclass(slots=True)
class _Choice:
    """Decides for each execution that is chosen whether a bulk replays it.

    `bulk` is None for a plan, in which nothing is done.
    """

    executions: Executions
    which: Filter
    request: ReplayRequest
    bulk: Bulk | None = None
    _flows: dict[FlowKey, FlowKey | LeftOut] = field(
        default_factory=dict[FlowKey, "FlowKey | LeftOut"]
    )
    _decided: dict[str, _Chosen | LeftOut] = field(default_factory=dict[str, "_Chosen | LeftOut"])
    _parents: dict[str, ReplayPlan | LeftOut | None] = field(
        default_factory=dict[str, "ReplayPlan | LeftOut | None"]
    )

    async def start_of(self, bulk: Bulk, execution: Execution) -> Start | LeftOut:
        """Return what replays an execution, or why it is left out."""
        found = await self.decide(execution)
        if isinstance(found, LeftOut):
            return found
        id = replay_id(bulk, execution.id)
        try:
            start = await self.executions.start_of(
                execution, self.request, found.plan, id, found.flow
            )
            return replace(start, decided=found.check.decided)
        except BlobLost as error:
            return LeftOut(error.message)
        except StoreError:
            raise
        except HalflapError as error:
            return LeftOut(error.message)

    async def _flow_again(self, execution: Execution) -> FlowKey | LeftOut:
        found = self._flows.get(execution.flow)
        if found is None:
            try:
                found = await self.executions.flow_again(execution, self.request.version)
            except StoreError:
                raise
            except HalflapError as error:
                found = LeftOut(error.message)
            self._flows[execution.flow] = found
        return found

    async def decide(self, execution: Execution) -> _Chosen | LeftOut:
        """Return how an execution is replayed, or why it is left out."""
        found = self._decided.get(execution.id)
        if found is None:
            found = self._decided[execution.id] = await self._decide(execution)
        return found

    async def _decide(self, execution: Execution) -> _Chosen | LeftOut:
        if await self._is_left_to_parent(execution):
            return LeftOut(LEFT_TO_PARENT)
        plan = await self.executions.plan_replay(execution, self.request)
        if isinstance(plan, LeftOut):
            return plan
        flow = await self._flow_again(execution)
        if isinstance(flow, LeftOut):
            return flow
        found = await self.executions.check(execution, plan, flow, again=self.request.again)
        return found if isinstance(found, LeftOut) else _Chosen(plan, flow, found)

    async def _is_left_to_parent(self, execution: Execution) -> bool:
        """Return whether the replay of its parent, which is chosen too, runs an execution again."""
        for parent in await parents_of(self.executions.journal, execution):
            if parent.id not in self._parents:
                self._parents[parent.id] = await self._plan_of_parent(parent)
            plan = self._parents[parent.id]
            if isinstance(plan, LeftOut):
                if plan.why == LEFT_TO_PARENT:
                    return True
            elif plan is not None and execution.id in plan.reruns:
                return True
        return False

    async def _plan_of_parent(self, parent: Execution) -> ReplayPlan | LeftOut | None:
        """Return how a parent is replayed, or was by the bulk; None where it is not chosen."""
        journal = self.executions.journal
        if self.bulk is not None and await journal.execution(replay_id(self.bulk, parent.id)):
            return await self.executions.plan_of(parent, self.request)
        if not await journal.executions(replace(self.which, ids=(parent.id,), limit=1)):
            return None
        found = await self.decide(parent)
        return found if isinstance(found, LeftOut) else found.plan


def prepared(verb: ExecutionVerb, where: Filter) -> Filter:
    """A filter for what is done: with the states that are meant, and without deployments."""
    allowed, usual = ALLOWED[verb]
    wrong = [each for each in where.states if each not in allowed]
    if wrong:
        raise ConfigError(
            f"{wrong[0]} executions cannot be {PAST[verb]}; name states among: "
            + ", ".join(sorted(allowed)),
            fields={"where.state": f"may be {', '.join(sorted(allowed))}"},
        )
    states = where.states or usual
    dead = states == ("failed",)
    return replace(where, states=() if dead else states, dead_letters=dead, of_events=True)


PAST: Mapping[ExecutionVerb, str] = {
    "replay": "replayed",
    "cancel": "cancelled",
    "dismiss": "dismissed",
}


def replay_id(bulk: Bulk, execution: str) -> str:
    """The id of a bulk's replay of an execution: always the same, so it is started once."""
    digest = blake2b(f"{bulk.id}/{execution}".encode(), digest_size=10).digest()
    return replay_of_bulk(bulk.id, int.from_bytes(digest) >> 6)


def where_of(bulk: Bulk) -> Filter:
    """The filter of a bulk."""
    return msgspec.convert(bulk.wanted["where"], Filter)
