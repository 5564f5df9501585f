"""Operations on the pairs of an instance: list them, forget one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from halflap.engine.library import Library
from halflap.errors import ConfigError, Conflict, NotFound
from halflap.model import Instance, StateWrite
from halflap.sdk import codec
from halflap.sdk.pairs import Pairs, pairs_scope
from halflap.store.protocol import Journal, Written


@dataclass(frozen=True, slots=True)
class Pair:
    """Two records that belong together: the ids by side; `row` is the pair as it is kept."""

    pairs: Pairs
    ids: Mapping[str, str]
    row: bytes


@dataclass(slots=True)
class Paired:
    """Shows an instance's pairs, and forgets wrong ones."""

    journal: Journal
    library: Library

    async def list(
        self, instance: Instance, named: str | None, after: str | None, limit: int
    ) -> tuple[list[Pair], str | None]:
        """A page of an instance's pairs, by the ids of their first side, and what comes after it.

        Of one name, or of all in the order in which the integration defines them.
        """
        kinds = await self.of(instance, named)
        place, key = place_of(after, kinds)
        found: list[Pair] = []
        following: str | None = None
        for pairs in kinds[place:]:
            first = pairs.record(next(iter(pairs.sides)), "").name
            rows = await self.journal.list_state(
                pairs_scope(instance.id, pairs),
                after=key or first,
                before=f"{first[:-1]}0",  # it ends in `/`, after which comes `0`
                limit=limit - len(found) + 1,
            )
            for key, row in rows.items():
                if len(found) == limit:
                    return found, following
                found.append(Pair(pairs, ids_in(row), row))
                following = codec.encode([pairs.name, key]).decode()
            key = ""
        return found, None

    async def find(
        self, instance: Instance, named: str | None, id: str, side: str | None
    ) -> list[Pair]:
        """The pairs of a record, by its id: on one side, or on any."""
        kinds = await self.of(instance, named)
        sides = dict.fromkeys(each for pairs in kinds for each in pairs.sides)
        if side is not None and side not in sides:
            raise ConfigError(
                f"there is no side {side!r}; there are: {', '.join(sides) or 'none'}",
                fields={"side": f"is none of {', '.join(sides)}" if sides else "there is none"},
            )
        found: list[Pair] = []
        for pairs in kinds:
            for each in pairs.sides:
                if side in (None, each) and (row := await self._row(instance, pairs, each, id)):
                    found.append(Pair(pairs, ids_in(row), row))
        # A pair whose ids are the same on both sides is found twice.
        return [each for at, each in enumerate(found) if each not in found[:at]]

    async def forget(self, instance: Instance, named: str, id: str, side: str | None) -> Pair:
        """Pair a record with none any more, and return the pair that it had."""
        found = await self.find(instance, named, id, side)
        if not found:
            raise NotFound(
                f"{instance.name} has no pair of {named} with the id {id!r}; "
                "see: halflap instances pairs"
            )
        if len(found) > 1:
            raise Conflict(
                f"{id!r} is in {len(found)} pairs of {named}, once on each side; say of which: "
                f"{', '.join(found[0].pairs.sides)}",
                key=id,
            )
        [pair] = found
        scope = pairs_scope(instance.id, pair.pairs)
        writes = [
            StateWrite(scope, pair.pairs.record(each, pair.ids[each]).name, None, pair.row)
            for each in pair.pairs.sides
            if await self._row(instance, pair.pairs, each, pair.ids.get(each, "")) == pair.row
        ]
        if await self.journal.write_state(writes) is not Written.DONE:
            raise Conflict(f"the pair of {id!r} was changed just now; look at it again", key=id)
        return pair

    async def of(self, instance: Instance, named: str | None) -> Sequence[Pairs]:
        """The pairs that an instance's version defines: of one name, or all."""
        paired = (await self.library.integration(instance.version)).paired
        if named is None:
            return list(paired.values())
        if named not in paired:
            known = f"it has: {', '.join(paired)}" if paired else "it has none"
            raise NotFound(f"the version of {instance.name} has no pairs {named!r}; {known}")
        return [paired[named]]

    async def _row(self, instance: Instance, pairs: Pairs, side: str, id: str) -> bytes | None:
        scope = pairs_scope(instance.id, pairs)
        return await self.journal.read_state(scope, pairs.record(side, id).name)


def ids_in(row: bytes) -> dict[str, str]:
    """The ids of a pair as it is kept."""
    return cast(dict[str, str], codec.decode(row))


def place_of(after: str | None, kinds: Sequence[Pairs]) -> tuple[int, str]:
    """Where a page begins: at which pairs, and after which of their keys."""
    if after is None:
        return 0, ""
    try:
        said: Any = codec.decode(after.encode())
    except codec.NotJson:
        said = None
    match said:
        case [str(name), str(key)] if name in (names := [each.name for each in kinds]):
            return names.index(name), key
        case _:
            raise ConfigError(
                f"there is no page after {after!r}; give the `next` of a page of the same pairs",
                fields={"after": "is no `next` of a page"},
            )
