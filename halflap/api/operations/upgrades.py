"""Moves many instances to a version, or back to what they had: one kind of bulk, in stages.

Which instances are meant is decided as the bulk begins: those of an integration, or of a customer of
it, that are on another version. Each notes which bulk moved it, so that one that is gone on with
after a crash moves none twice, and so that there is a way back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor
from typing import Any

import msgspec

from halflap.api.operations import finding
from halflap.api.operations.instances import InstanceOperations
from halflap.errors import ConfigError, Conflict, HalflapError, StoreError
from halflap.model import BETWEEN, Bulk, Instance, Refusal, Version
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.instances import Upgradable

AT_ONCE = 20
"""The number of instances that are moved at once."""
SETTLED_SECONDS = 60.0
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

    def too_many(self, done: int, failed: int) -> str | None:
        """Return why a bulk that has come so far stops; None where it goes on."""
        end = next((each for each in self.ends if each >= done), done)
        if failed <= counted("most_failed", self.most_failed, end):
            return None
        return (
            f"stopped: {failed:,} of the first {done:,} failed, and of a stage that ends at {end:,} "
            f"at most {self.most_failed} may; mend that and begin again, or go back"
        )


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
    ) -> Upgradable:
        """Return which instances would be moved to a version; those on one of `but` would not."""
        owner = None if customer is None else (await self.catalogue.customers.get(customer)).id
        return Upgradable(integration, owner, (version.hash, *but), ids=tuple(ids))

    async def back(self, bulk: Bulk) -> Upgradable:
        """Return which instances would go back to what they had before a bulk moved them."""
        if bulk.verb != "upgrade" or bulk.state == "running":
            what = "is no upgrade" if bulk.verb != "upgrade" else "is running; cancel it first"
            raise Conflict(f"{bulk.id} {what}", key=bulk.id)
        return Upgradable(bulk.wanted["where"]["integration"], moved_by=(bulk.id,))

    async def count(self, which: Upgradable) -> int:
        """Return how many instances are meant now."""
        return await self.catalogue.instances.count(which)

    async def page(self, bulk: Bulk, most: int) -> Sequence[Instance]:
        """Return the next instances that are meant, those that it has begun to move among them."""
        which = msgspec.convert(bulk.wanted["where"], Upgradable)
        which = replace(which, moved_by=(*which.moved_by, bulk.id))
        stages, come = Stages.wanted(bulk), bulk.done + bulk.refused
        limit = min(most, AT_ONCE, stages.end(come) - come)
        return await self.catalogue.instances.page(which, bulk.after, limit)

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
        if version is None:
            return await self.instances.go_back(found, bulk.wanted["back_of"], by=bulk.id)
        if found.version == version.hash:
            return found
        return await self.instances.upgrade(found, version, by=bulk.id)

    async def _settled(self, instance: Instance) -> Instance:
        found = await self.catalogue.instances.get(instance.id)
        while found.state in BETWEEN:
            found = await self.instances.deployer.settled(found.id, SETTLED_SECONDS)
        return found
