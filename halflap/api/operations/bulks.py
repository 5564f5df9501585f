"""What people do with many executions at once: replay, cancel, dismiss, by a filter.

A plan says first what it would be. A bulk is kept in the catalogue, and driven by whoever serves
(`api/driving.py`): it survives any crash, and does each execution once at most, since a replay's
id follows from the bulk's and the execution's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import msgspec

from halflap.api.operations.executions import Again, Executions
from halflap.errors import BlobLost, ConfigError, HalflapError, StoreError
from halflap.model import (
    ENDED,
    LIVE,
    Bulk,
    BulkVerb,
    Clock,
    Execution,
    ExecutionState,
    Refusal,
    Start,
    Tally,
    new_id,
)
from halflap.store.catalogue import Catalogue
from halflap.store.protocol import Filter, Journal

SAMPLES = 5
MOST_GROUPS = 50
MS = 1_000
ALLOWED: Mapping[BulkVerb, tuple[frozenset[ExecutionState], tuple[ExecutionState, ...]]] = {
    "replay": (ENDED, ("failed",)),
    "cancel": (LIVE, ("queued", "running", "waiting")),
    "dismiss": (frozenset({"failed"}), ("failed",)),
}
"""By what is done: the states that it may be done to, and those that are meant where none are named."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a bulk would do: to how many, group by group, and a few of them."""

    verb: BulkVerb
    total: int
    groups: Sequence[Tally]
    samples: Sequence[Execution]


@dataclass(slots=True)
class Bulks:
    """Plans, begins, shows and ends bulks; `changed` is set where there is something to look at."""

    catalogue: Catalogue
    journal: Journal
    executions: Executions
    clock: Clock
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def plan(self, verb: BulkVerb, where: Filter) -> Plan:
        """What would be done now."""
        which = prepared(verb, where)
        counts = await self.journal.count(which)
        return Plan(
            verb,
            sum(counts.values()),
            await self.journal.tally(replace(which, limit=MOST_GROUPS)),
            await self.journal.executions(replace(which, limit=SAMPLES)),
        )

    async def begin(self, verb: BulkVerb, where: Filter, options: Mapping[str, Any]) -> Bulk:
        """Keep a bulk over what there is now; it is done in the background, from the oldest on."""
        now = self.clock()
        which = replace(prepared(verb, where), before=new_id("exe", now=now + MS, chance=0))
        counts = await self.journal.count(which)
        bulk = Bulk(
            id=new_id("blk", now=now),
            verb=verb,
            wanted={**options, "where": msgspec.to_builtins(which)},
            state="running",
            total=sum(counts.values()),
            made_at=now,
        )
        await self.catalogue.bulks.add(bulk)
        self.changed.set()
        return bulk

    async def cancel(self, bulk: str) -> Bulk:
        """End a bulk early; what it has done stays done."""
        await self.catalogue.bulks.end(bulk, "cancelled", "cancelled by hand")
        return await self.catalogue.bulks.get(bulk)

    async def taken(self, bulk: Bulk) -> Bulk:
        """A bulk as it is to be gone on with: what its last worker did, and did not note, counts.

        Only where what was replayed is a dead letter no more: else the page is found once again.
        """
        which = where_of(bulk)
        if bulk.verb != "replay" or not which.dead_letters:
            return bulk
        done, after = 0, new_id("exe", now=bulk.made_at + MS, chance=0)
        last = new_id("exe", now=bulk.made_at + MS, chance=2**74 - 1)
        while True:
            page = await self.journal.executions(Filter(after=after, before=last, limit=1_000))
            done += sum(e.replay is not None and e.replay.bulk == bulk.id for e in page)
            if len(page) < 1_000:
                return replace(bulk, done=done)
            after = page[-1].id

    async def page(self, bulk: Bulk, most: int) -> list[Execution]:
        """The next executions that are meant, oldest first."""
        return await self.journal.executions(replace(where_of(bulk), after=bulk.after, limit=most))

    async def do(self, bulk: Bulk, page: Sequence[Execution]) -> tuple[int, list[Refusal]]:
        """Do what is wanted with these; how many it was done with, and why not with the others."""
        match bulk.verb:
            case "replay":
                return await self._replay(bulk, page)
            case "cancel":
                reason = str(bulk.wanted.get("reason") or "cancelled by hand")
                grace = bulk.wanted.get("grace")
                calls = {e.id: self.executions.cancel(e, reason, grace) for e in page}
            case "dismiss":
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
        again = Again(bulk.wanted.get("from"), bulk.wanted.get("version"), bulk=bulk.id)
        starts: list[Start] = []
        refusals: list[Refusal] = []
        known: dict[Any, Any] = {}
        for each in page:
            try:
                id = replay_id(bulk, each.id)
                starts.append(await self.executions.start_of(each, again, id, known))
            except BlobLost as error:
                refusals.append(Refusal(each.id, error.message))
            except StoreError:
                raise
            except HalflapError as error:
                refusals.append(Refusal(each.id, error.message))
        if starts:
            await self.executions.engine.start(starts)
        return len(starts), refusals


def prepared(verb: BulkVerb, where: Filter) -> Filter:
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


PAST: Mapping[BulkVerb, str] = {
    "replay": "replayed",
    "cancel": "cancelled",
    "dismiss": "dismissed",
}


def replay_id(bulk: Bulk, execution: str) -> str:
    """The id of a bulk's replay of an execution: always the same, so it is started once."""
    digest = blake2b(f"{bulk.id}/{execution}".encode(), digest_size=10).digest()
    return new_id("exe", now=bulk.made_at + MS, chance=int.from_bytes(digest) >> 6)


def where_of(bulk: Bulk) -> Filter:
    """The filter of a bulk."""
    return msgspec.convert(bulk.wanted["where"], Filter)
