"""Moves many instances to a version, or back to what they had: one kind of bulk, in stages.

Which instances are meant is decided as the bulk begins: those of an integration, or of a customer of
it, that are on another version. Each notes which bulk moved it, so that one that is gone on with
after a crash moves none twice, and so that there is a way back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from math import floor
from typing import Any

import msgspec

from halflap.api.operations import finding
from halflap.api.operations.instances import InstanceOperations
from halflap.errors import ConfigError, Conflict, HalflapError, StoreError
from halflap.model import BETWEEN, Bulk, Instance, Refusal, Version
from halflap.sdk import codec
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.instances import Upgradable

NOTHING: Mapping[str, Any] = {}
AT_ONCE = 20
"""The number of instances that are moved at once."""
SETTLED_SECONDS = 60.0
CANARY, REST = "canary ", "ins_"
"""The beginning of `after` while a bulk does its canary, and its value as the rest begins."""
MOST_CANARIES = 1_000
MOST_EXAMINED = 500
"""The most instances of which a plan says, one by one, whether they can be moved."""
MOST_NAMED = 5
SHARE = re.compile(r"(\d+(?:\.\d+)?)%")
MOST_FAILED = "10%"


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of a bulk: after how many instances each ends, and how many may fail until then.

    `most_failed` is a number, or a share of the stage's end (`10%`). `between` is the rest between
    two stages, in seconds.
    """

    ends: tuple[int, ...]
    most_failed: str = MOST_FAILED
    between: float = 0.0

    @classmethod
    def of(cls, total: int, stages: Sequence[str], most_failed: str, between: float) -> Stages:
        """Return the stages of so many instances; raise `ConfigError` for what is none."""
        ends = sorted({min(counted("stages", each, total, least=1), total) for each in stages})
        counted("most_failed", most_failed, total)
        if total and (not ends or ends[-1] != total):
            ends.append(total)
        return cls(tuple(ends), most_failed, between)

    @classmethod
    def wanted(cls, bulk: Bulk) -> Stages:
        """Return the stages of a bulk; one that is not an upgrade has a single one."""
        found: Mapping[str, Any] = bulk.wanted.get("stages") or {"ends": [bulk.total]}
        return cls(
            tuple(found["ends"]), found.get("most_failed", "100%"), found.get("between", 0.0)
        )

    def end(self, done: int) -> int:
        """Return where the stage ends that comes after so many; the last one has no end."""
        return next((each for each in self.ends[:-1] if each > done), done + AT_ONCE)

    def rest(self, done: int) -> float:
        """Return the rest before the next instance, in seconds."""
        return self.between if done in self.ends[:-1] else 0.0

    def rest_of(self, bulk: Bulk) -> float:
        """Return the rest of a bulk before its next instance; none behind its canary."""
        return 0.0 if bulk.after == REST else self.rest(bulk.done + bulk.refused)

    def too_many(self, done: int, failed: int) -> str | None:
        """Return why a bulk that has come so far stops; None where it goes on."""
        end = next((each for each in self.ends if each >= done), done)
        if failed <= counted("most_failed", self.most_failed, end):
            return None
        return (
            f"stopped: {failed:,} of the first {done:,} failed, and of a stage that ends at {end:,} "
            f"at most {self.most_failed} may; mend that and begin again, or go back"
        )


@dataclass(frozen=True, slots=True)
class PauseRule:
    """The rule by which an upgrade pauses itself: which share may fail, of how many at least."""

    share: str
    least: int

    @classmethod
    def of(cls, share: str, least: int) -> PauseRule:
        """Return the rule; raise `ConfigError` for what is no share."""
        if (found := SHARE.fullmatch(share)) is None or float(found[1]) > 100:
            told = f"{share!r} is no share, as 5%"
            raise ConfigError(f"pause_on.failed: {told}", fields={"pause_on.failed": told})
        return cls(share, least)

    @classmethod
    def wanted(cls, bulk: Bulk) -> PauseRule | None:
        """Return the rule of a bulk; None where a person decides."""
        found = bulk.wanted.get("pause_on")
        return None if found is None else cls(**found)

    def why(self, ended: int, failed: int) -> str | None:
        """Return why an upgrade pauses; None where it goes on."""
        share = float(self.share.removesuffix("%"))
        if ended < self.least or failed * 100 <= ended * share:
            return None
        return (
            f"paused by its rule: {failed:,} of {ended:,} executions of the new version failed, and at "
            f"most {self.share} may; look at them, then go on, or go back"
        )


@dataclass(frozen=True, slots=True)
class ExaminedInstance:
    """An instance that would be moved; `why` it cannot be, and which fields of its config lack.

    `given` are the fields that get a value of the upgrade's, `defaults` new ones that have a default.
    """

    instance: Instance
    why: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    given: Sequence[str] = ()
    defaults: Sequence[str] = ()
    lacking: Sequence[str] = ()
    """The plain fields that are missing, or wrong."""


@dataclass(frozen=True, slots=True)
class UpgradeGroup:
    """The instances that cannot be moved for one reason, or are in one state that is told."""

    why: str
    fields: Mapping[str, str]
    count: int
    instances: Sequence[Instance]
    """The first of them."""


@dataclass(frozen=True, slots=True)
class PlannedUpgrade:
    """A plan of an upgrade. What of the first instances was `examined` is grouped by reasons."""

    total: int
    stages: Sequence[int]
    examined: Sequence[ExaminedInstance]
    blocked: Sequence[UpgradeGroup]
    canary: Sequence[Instance]

    @property
    def asked(self) -> list[str]:
        """The plain fields that some of the examined have no value of their own for."""
        found = {name for each in self.examined for name in (*each.given, *each.lacking)}
        return sorted(found)

    @property
    def ready(self) -> int:
        """The number of examined instances that can be moved."""
        return sum(each.why is None for each in self.examined)


def group(examined: Sequence[ExaminedInstance]) -> list[UpgradeGroup]:
    """Return those that cannot be moved, by the reason; most first."""
    found: dict[str, list[ExaminedInstance]] = {}
    for each in examined:
        if each.why is not None:
            found.setdefault(each.why, []).append(each)
    return [
        UpgradeGroup(why, some[0].fields, len(some), [e.instance for e in some[:MOST_NAMED]])
        for why, some in sorted(found.items(), key=lambda each: -len(each[1]))
    ]


def first_stage(canary: Sequence[object], ends: Sequence[str]) -> list[str]:
    """Return the ends of stages, of which the first is the canary, where there is one."""
    return [str(len(canary)), *ends] if canary else [*ends]


def is_in_canary(bulk: Bulk) -> bool:
    """Return whether a bulk has come no further than its canary."""
    return bool(bulk.wanted.get("canary")) and (not bulk.after or bulk.after.startswith(CANARY))


def counted(name: str, text: str, total: int, *, least: int = 0) -> int:
    """Return how many of so many `10%` or `25` are."""
    if (share := SHARE.fullmatch(text)) and float(share[1]) <= 100:
        return max(floor(total * float(share[1]) / 100), least)
    if text.isdecimal() and int(text) >= least:
        return int(text)
    raise ConfigError(
        f"{name}: {text!r} is neither a number nor a share, as 10%",
        fields={name: "is neither a number nor a share, as 10%"},
    )


@dataclass(slots=True)
class Upgrades:
    """Plans and makes the moves of a bulk."""

    catalogue: Catalogue
    instances: InstanceOperations

    async def which(
        self,
        integration: str,
        version: Version,
        customer: str | None,
        but: Sequence[str],
        ids: Sequence[str] = (),
        left_out: Sequence[str] = (),
    ) -> Upgradable:
        """Return which instances would be moved to a version.

        Those on a version of `but` would not, nor those that are `left_out` by their ids, nor, unless it
        is named, the development instance, whose version a draft says.
        """
        owner = None if customer is None else (await self.catalogue.customers.get(customer)).id
        others, without = (version.hash, *but), tuple(left_out)
        if owner is None and not ids:
            own = await self.instances.development(integration)
            without += () if own is None else (own.id,)
        return Upgradable(integration, owner, others, ids=tuple(ids), but=without)

    def back(self, bulk: Bulk) -> Upgradable:
        """Return which instances would go back to what they had before a bulk moved them."""
        if bulk.verb != "upgrade" or bulk.state == "running":
            what = (
                "is no upgrade"
                if bulk.verb != "upgrade"
                else "is running; pause or cancel it first"
            )
            raise Conflict(f"{bulk.id} {what}", key=bulk.id)
        return Upgradable(bulk.wanted["where"]["integration"], moved_by=(bulk.id,))

    async def plan(
        self,
        which: Upgradable,
        version: Version,
        how: tuple[Sequence[str], str, float],
        wanted: Sequence[str] | str | None,
        config: Mapping[str, Any] = NOTHING,
    ) -> PlannedUpgrade:
        """Return what an upgrade would do, and what stands in its way.

        `how` are the ends of its stages, how many may fail, and the rest between two; `config` has
        values for the instances that lack them.
        """
        page = await self.catalogue.instances.page(which, "", MOST_EXAMINED)
        examined = await self._examine(page, version, config)
        which = replace(which, named="")
        canary = await self.canary(which, version, wanted, config)
        total, (ends, most_failed, between) = await self.count(which), how
        stages = Stages.of(total, first_stage(canary, ends), most_failed, between)
        return PlannedUpgrade(total, stages.ends, examined, group(examined), canary)

    async def canary(
        self,
        which: Upgradable,
        version: Version,
        wanted: Sequence[str] | str | None,
        config: Mapping[str, Any] = NOTHING,
    ) -> list[Instance]:
        """Return the instances that are moved first: the named ones, or a share of all.

        Of a share, they are active ones that can be moved, picked by a hash of id and version: the
        same ones, however often it is planned. `ConfigError` for what is no canary.
        """
        if not wanted:
            return []
        if not isinstance(wanted, str):
            found = await self.catalogue.instances.page(
                replace(which, ids=tuple(wanted)), "", MOST_CANARIES
            )
            if len(found) == len(set(wanted)):
                return list(found)
            missing = next(iter(set(wanted) - {each.id for each in found}))
            raise ConfigError(
                f"canary: {missing} is not among the instances that would be moved",
                fields={"canary": f"{missing} is not among those that would be moved"},
            )
        ids = await self.catalogue.instances.ids(which)
        most = counted("canary", wanted, len(ids), least=1)
        if most > MOST_CANARIES:
            told = f"has {most:,} instances, and at most {MOST_CANARIES:,}; use stages"
            raise ConfigError(f"canary: {told}", fields={"canary": told})
        ids.sort(key=lambda each: blake2b(f"{version.hash}/{each}".encode()).digest())
        chosen: list[Instance] = []
        for start in range(0, len(ids), AT_ONCE):
            some = (await self.catalogue.instances.some(ids[start : start + AT_ONCE])).values()
            active = [each for each in some if each.state == "active"]
            examined = await self._examine(active, version, config)
            chosen += [each.instance for each in examined if each.why is None]
            if len(chosen) >= most:
                break
        return chosen[:most]

    async def _examine(
        self, instances: Sequence[Instance], version: Version, config: Mapping[str, Any]
    ) -> list[ExaminedInstance]:
        found: list[ExaminedInstance] = []
        for start in range(0, len(instances), AT_ONCE):
            some = instances[start : start + AT_ONCE]
            found += await asyncio.gather(
                *(self._examine_one(each, version, config) for each in some)
            )
        return found

    async def _examine_one(
        self, instance: Instance, version: Version, config: Mapping[str, Any]
    ) -> ExaminedInstance:
        given: dict[str, Any] = {}
        try:
            given = await self._lacked(instance, version, config)
            await self.instances.check_upgrade(instance, version, given)
            defaults = await self.instances.defaults_of(instance, version, given)
        except StoreError:
            raise
        except HalflapError as error:
            fields = error.fields if isinstance(error, ConfigError) else {}
            lacking = await self.instances.plain(version, fields) if fields else ()
            return ExaminedInstance(instance, error.message, fields, [*given], (), lacking)
        return ExaminedInstance(instance, None, {}, [*given], defaults)

    async def _lacked(
        self, instance: Instance, version: Version, config: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the values that an instance gets, of those for all: its own stays where it fits."""
        if not config:
            return {}
        before, _ = await self.catalogue.instances.revision(instance.id, instance.revision)
        given = {name: value for name, value in config.items() if name not in before}
        try:
            await self.instances.check_upgrade(instance, version, given)
        except ConfigError as error:
            wrong = {each.partition(".")[0] for each in error.fields}
            return given | {name: value for name, value in config.items() if name in wrong}
        return given

    async def count(self, which: Upgradable) -> int:
        """Return how many instances are meant now."""
        return await self.catalogue.instances.count(which)

    async def page(self, bulk: Bulk, most: int) -> Sequence[Instance]:
        """Return the next instances that are meant, those that it has begun to move among them."""
        which = msgspec.convert(bulk.wanted["where"], Upgradable)
        which = replace(which, moved_by=(*which.moved_by, bulk.id))
        canary = tuple(bulk.wanted.get("canary", ()))
        if is_in_canary(bulk):
            which = replace(which, ids=canary)
        else:
            which = replace(which, but=(*which.but, *canary))
        stages, come = Stages.wanted(bulk), bulk.done + bulk.refused
        limit = min(most, AT_ONCE, stages.end(come) - come)
        return await self.catalogue.instances.page(which, bulk.after.removeprefix(CANARY), limit)

    async def do(self, bulk: Bulk, page: Sequence[Instance]) -> tuple[int, list[Refusal]]:
        """Move instances, and wait until each has settled; how many, and why not the others."""
        back = bulk.wanted.get("back_of") is not None
        version = None
        if not back:
            where = bulk.wanted["where"]
            version = await finding.version(
                self.catalogue, where["integration"], bulk.wanted["version"]
            )
        found = await asyncio.gather(*(self._one(bulk, version, each) for each in page))
        names = await self.catalogue.customers.names(each.customer for each in page)
        refusals = [
            Refusal(each.id, f"{names.get(each.customer, each.customer)}/{each.name}: {why}")
            for each, why in zip(page, found, strict=True)
            if why is not None
        ]
        return len(page) - len(refusals), refusals

    async def _one(self, bulk: Bulk, version: Version | None, instance: Instance) -> str | None:
        """Move an instance, unless that was begun before; return why it is not moved."""
        try:
            found = await self._settled(instance)
            if found.moved_by != bulk.id:  # else a worker before this one began it
                found = await self._settled(await self._moved(bulk, version, found))
        except StoreError:
            raise
        except HalflapError as error:
            return error.message
        moved = found.moved_by == bulk.id or (version is not None and found.version == version.hash)
        if moved and found.state != "failed" and not (found.state == "active" and found.error):
            return None
        return found.error or f"it is {found.state}, and moved on meanwhile"

    async def _moved(self, bulk: Bulk, version: Version | None, found: Instance) -> Instance:
        config: dict[str, Any] = codec.decode(bulk.wanted.get("config", "{}"))
        if version is None:
            return await self.instances.go_back(found, bulk.wanted["back_of"], config, by=bulk.id)
        if found.version == version.hash:
            return found
        given = await self._lacked(found, version, config)
        return await self.instances.upgrade(found, version, given, by=bulk.id)

    async def _settled(self, instance: Instance) -> Instance:
        found = await self.catalogue.instances.get(instance.id)
        while found.state in BETWEEN:
            found = await self.instances.deployer.settled(found.id, SETTLED_SECONDS)
        return found
