"""Families: what a replay is decided from, besides an execution itself. Replays, and what was started."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from halflap.api.operations.replay import (
    ChildBefore,
    ReplayMaterial,
    called,
    has_tried_more,
    reruns_of,
)
from halflap.model import ENDED, ENDED_BADLY, Execution, RanBefore, position_in_chain
from halflap.sdk.dedupe import digest_of_body
from halflap.store.blobs.viewing import Viewing
from halflap.store.protocol import Filter, Journal
from halflap.store.replays import MOST_RELATED, latest_of, replays_of, was_cut


@dataclass(slots=True)
class Family:
    """The family of an execution, as it is read from the journal."""

    journal: Journal
    execution: Execution
    _started: dict[str, list[Execution]] = field(default_factory=dict[str, list[Execution]])
    _latest: dict[str, Execution] = field(default_factory=dict[str, Execution])
    """The latest runs of children, by their ids."""

    async def material(self) -> ReplayMaterial:
        """Return what its replay is decided from, but for its own replays."""
        execution = self.execution
        if execution.state not in ENDED:
            return ReplayMaterial(None, ())
        steps = await self.journal.steps(execution.id)
        # After the steps: while it is there, they are whole.
        seen = await Viewing(self.journal).event(execution.id)
        event = None if seen is None else seen.event
        starts = any(each.kind in ("start", "call") for each in steps)
        cut = await was_cut(self.journal, execution)
        if not starts and execution.replay_of is None:
            return ReplayMaterial(event, steps, was_cut=cut)
        above = [each.id for each in await self._originals()]
        children = await self._children([execution.id, *above])
        return ReplayMaterial(event, steps, await self._descendants(), children, was_cut=cut)

    async def with_replays(self, material: ReplayMaterial, bulk: str | None) -> ReplayMaterial:
        """Add the replays of the execution, or of what it replays.

        Only a later one may have mended it, or failed again. A bulk's own replays do not count. What
        its parent's replay will run again, that replays, too.
        """
        execution = self.execution
        first = (await self._originals() or [execution])[-1]
        family = [first, *await replays_of(self.journal, first)]
        later: list[Execution] = []
        for each in family:
            if each.state not in ENDED and each.id != execution.id:
                return replace(material, live=each)
            own = bulk is not None and each.replay is not None and each.replay.bulk == bulk
            if each.id > max(execution.id, first.id) and not own:
                later.append(each)
        if (above := await self._rerun_by(frozenset(each.id for each in family))) is not None:
            return replace(material, live=above)
        mended = [each.id for each in later if each.state == "succeeded"]
        failed = [e.id for e in later if e.attempt and e.state in ENDED_BADLY]
        again = max(failed, default=None)
        if again and not has_tried_more(await self.journal.steps(again), material.steps):
            again = None
        return replace(
            material,
            mended_by=max(mended, default=None),
            failed_again=again,
            replayed_by=max((each.id for each in later), default=None),
            moot_by=await moot_by(self.journal, execution),
        )

    async def _rerun_by(self, family: frozenset[str]) -> Execution | None:
        """Return the live replay of what started the execution, or its parent, that runs it again."""
        below = {self.execution.id: self.execution}
        seen: set[str] = set()
        while below:
            _, execution = below.popitem()
            above = await parents_of(self.journal, execution)
            seen.add(execution.id)
            for each in above:
                reruns = reruns_of(each.replay.children) if each.replay else frozenset[str]()
                if each.state not in ENDED and not reruns.isdisjoint(family):
                    return each
            below |= {each.id: each for each in above if each.id not in seen}
        return None

    async def _originals(self) -> list[Execution]:
        return await _originals(self.journal, self.execution)

    async def _descendants(self) -> list[Execution]:
        """Return what the execution started, and what that started."""
        found: list[Execution] = []
        above = [self.execution.id]
        while above:
            page = await self._started_by(above.pop())
            found += page
            above += [each.id for each in page if each.attempt]
        return found

    async def _started_by(self, parent: str) -> list[Execution]:
        if parent not in self._started:
            found = self._started[parent] = []
            which = Filter(parent=parent, limit=MOST_RELATED)
            while page := await self.journal.executions(which):
                found += page
                if len(page) < MOST_RELATED:
                    break
                which = replace(which, before=page[-1].id)
        return self._started[parent]

    async def _children(self, parents: Iterable[str]) -> Mapping[str, ChildBefore]:
        """Return what became of the children that executions of one lineage started, by their roots."""
        chains: dict[str, list[Execution]] = {}
        for parent in parents:
            for each in await self._started_by(parent):
                chains.setdefault(each.chain or each.id, []).append(each)
        by_root: dict[str, list[list[Execution]]] = {}
        for links in chains.values():
            links.sort(key=lambda each: each.link)
            by_root.setdefault((await self._asked(links[0])).root, []).append(links)
        found: dict[str, ChildBefore] = {}
        for root, same in by_root.items():
            if (ran := await self._ran(same)) is not None:
                ids = frozenset(links[0].id for links in same)
                found[root] = ChildBefore(ids, ran, self._in_doubt(ran))
        return found

    def _in_doubt(self, ran: RanBefore) -> str:
        """Return the replay in doubt among what a child's next run would go on from; empty for none."""
        runs = [self._latest[each] for each in sorted(reruns_of({"": ran}))]
        replays = [each for each in runs if each.replay_of is not None]
        return next((e.id for e in replays if e.failure and e.failure.in_doubt), "")

    async def _ran(self, same: Sequence[Sequence[Execution]]) -> RanBefore | None:
        """Return what became of a child, each time as a chain; None where it ended well by itself."""
        newest = max(same, key=lambda links: links[0].id)
        latest = await latest_of(self.journal, newest[-1])
        self._latest[latest.id] = latest
        known = [each for links in same for each in links]
        # A replay between the first and the latest may have started what they have not.
        ids = {e.id for e in [*known, latest, *await _originals(self.journal, latest)]}
        is_badly = latest.state in ENDED_BADLY
        if is_badly or latest is not newest[-1]:
            event = await self.journal.event((await self._asked(newest[0])).id)
            asked = "" if event is None else digest_of_body(event.body)
            if is_badly:
                below = await self._ran_below(ids)
                return RanBefore(latest.id, latest.event_at, asked=asked, children=below)
            return RanBefore(latest.id, digest=asked) if asked else None
        below = await self._ran_below(ids)
        return RanBefore(children=below) if below else None

    async def _asked(self, child: Execution) -> Execution:
        """Return the first of those with whose keys a child goes on: the one its parent asked for."""
        while child.replay_of is not None:
            before = await self.journal.execution(child.replay_of)
            if before is None or before.root != child.root:
                break
            child = before
            if before.chain is not None:
                child = await self.journal.execution(before.chain) or before
        return child

    async def _ran_below(self, parents: Iterable[str]) -> Mapping[str, RanBefore]:
        return {root: each.ran for root, each in (await self._children(parents)).items()}


async def parents_of(journal: Journal, execution: Execution) -> list[Execution]:
    """Return what started an execution, or one that it replays; and the replays of that."""
    found: dict[str, Execution] = {}
    for each in [execution, *await _originals(journal, execution)]:
        if each.parent is not None and each.parent not in found:
            above = await journal.execution(each.parent)
            if above is not None:
                found |= {e.id: e for e in [above, *await replays_of(journal, above)]}
    return list(found.values())


async def moot_by(journal: Journal, execution: Execution) -> str | None:
    """Return the replay that was told that its call of an execution, or of what called it, is done."""
    below, seen = [execution], set[str]()
    while below:
        one = below.pop()
        same = [one, *await _originals(journal, one)]  # a call knows a chain by its first one
        ids = {each.id for each in same} | {position_in_chain(each)[0] for each in same}
        for each in await parents_of(journal, one):
            if each.replay is not None and each.replay.done and each.replay_of is not None:
                for step in await journal.steps(each.replay_of):
                    if step.path in each.replay.done and called(step) in ids:
                        return each.id
            if each.id not in seen:
                seen.add(each.id)
                below.append(each)
    return None


async def called_dead_letters(journal: Journal, called: str) -> list[str]:
    """Return the dead letters among an execution, its replays, and what these started."""
    found = dict[str, Execution]()
    execution = await journal.execution(called)
    below = [] if execution is None else [execution]
    while below:
        one = below.pop()
        found[one.id] = one
        more = await replays_of(journal, one)
        for which in (Filter(parent=one.id), Filter(chain=one.id)):
            more += await journal.executions(replace(which, limit=MOST_RELATED))
        below += [each for each in more if each.id not in found]
    return [each.id for each in found.values() if each.state == "failed" and not each.dismissed]


async def _originals(journal: Journal, execution: Execution) -> list[Execution]:
    found: list[Execution] = []
    while execution.replay_of is not None:
        before = await journal.execution(execution.replay_of)
        if before is None:  # it was pruned
            break
        found.append(execution := before)
    return found
