"""The rule by which processes share the shards of listeners."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Generic, TypeVar

from halflap.model import frozen

Shard = TypeVar("Shard")


@frozen
class ShardDivision(Generic[Shard]):
    """The shards that a process takes and lets go. `settled`: each has an owner, it has its share."""

    take: Sequence[Shard]
    surplus: Sequence[Shard]
    lost: Sequence[Shard]
    settled: bool


def divide(
    owners: Mapping[Shard, str | None], live: Collection[str], me: str, held: Collection[Shard]
) -> ShardDivision[Shard]:
    """Divide shards evenly: a process takes what has no live owner until it has its share.

    `owners` has the owner of each shard in a fixed order, `held` the shards that this process reads. One
    that names it and is not held was its predecessor's. What it has beyond its share is surplus.
    """
    share = -(-len(owners) // max(len(live), 1))
    mine = [each for each, owner in owners.items() if owner == me and each in held]
    lost = [each for each in held if owners.get(each) != me]
    free = [
        each
        for each, owner in owners.items()
        if owner not in live or (owner == me and each not in held)
    ]
    take = free[: max(share - len(mine), 0)]
    surplus = mine[share:] if len(mine) > share else []
    least = len(owners) // max(len(live), 1)
    settled = len(take) == len(free) and not surplus and len(mine) + len(take) >= least
    return ShardDivision(take, surplus, lost, settled)
