"""A storm of edits at both apps at once: they end equal, and nobody writes more than is needed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from halflap.engine.echo import Echo, RecordKnowledge
from halflap.engine.twoway import TwoWay
from halflap.sdk import codec
from tests.engine.twins import FIELDS, Place, Twins, drained, outcomes, twins_on

FEW = 1_000
LONG = 10_000
"""The number of edits under `make soak`."""
RECORDS = 300
FACTOR = 1.05
"""At most so many writes for an edit: what is above 1 are calls that a lost answer had repeated."""

Edits = dict[tuple[str, str], list[Any]]
"""The values that people wrote, by record and field, the latest last."""


class Endless(Exception):
    """The apps go on answering each other."""


async def storm(twins: Twins, edits: int, chance: random.Random) -> Edits:
    """Random edits on both sides; events come twice, out of order, while calls and workers fail."""
    in_flight: list[dict[str, Any]] = []
    made: Edits = {}
    for number in range(edits):
        place = chance.choice([twins.left, twins.right])
        known = list(place.records)
        new = number < 20 or (len(known) < RECORDS and chance.random() < 0.05)
        fields: dict[str, Any] = {"name": f" Name {number}", "amount": f"{number}.125"}
        fields = {n: v for n, v in fields.items() if new or chance.random() < 0.6}
        id = place.edit(None if new else chance.choice(known), **fields)
        for name in fields:
            made.setdefault((id, name), []).append(place.records[id][name])
        take(twins, in_flight, chance)
        while len(in_flight) > chance.randrange(20):
            await twins.send(in_flight.pop())
        if chance.random() < 0.05:
            await drained(twins)
    for _ in range(50):
        take(twins, in_flight, chance)
        if not in_flight:
            return made
        while in_flight:
            await twins.send(in_flight.pop())
        await drained(twins)
    raise Endless


def take(twins: Twins, in_flight: list[dict[str, Any]], chance: random.Random) -> None:
    """Take what the apps tell: one in ten twice, and in any order."""
    for place in (twins.left, twins.right):
        for event in place.told:
            in_flight += [event] * (1 + (chance.random() < 0.1))
        place.told.clear()
    chance.shuffle(in_flight)


def unsettle(twins: Twins, seed: int) -> None:
    """Bad days for both apps and for the workers."""
    twins.crash_chance = random.Random(f"crash {seed}")
    twins.crashes = 0.002
    for place in (twins.left, twins.right):
        place.chance = random.Random(f"{place.name} {seed}")
        place.bad = 0.04
        place.busy = lambda: twins.point("in the call")


@pytest.mark.parametrize(
    ("store", "master", "edits"),
    [
        ("file", "left", FEW),
        ("memory", None, FEW),
        pytest.param("file", "left", LONG, marks=pytest.mark.soak),
    ],
)
async def test_a_storm_ends_with_both_apps_equal(
    store: str, master: str | None, edits: int, tmp_path: Path
) -> None:
    async with twins_on(store, tmp_path) as twins:
        twins.build(master)
        unsettle(twins, 1)
        made = await storm(twins, edits, random.Random(2))
        assert differences(twins.left, twins.right) == []
        assert await invented(twins, made) == []
        assert twins.writes <= edits * FACTOR
        ended = outcomes([await twins.execution(e.execution) for e in twins.changes if e.outcome])
        assert twins.crashed > edits / 200
        assert ended.keys() - {"ignored: conflict"} == {
            "succeeded",
            "ignored: echo",
            "ignored: unchanged",
            "ignored: superseded",
        }
        assert ended["ignored: echo"] > edits / 2


async def test_the_control_that_neither_waits_nor_looks_ends_unequal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TwoWay, "is_others", lambda self, asked: False)
    async with twins_on("memory", tmp_path) as twins:
        unsettle(twins, 1)
        twins.ordered = False
        await storm(twins, FEW, random.Random(2))
        assert differences(twins.left, twins.right) != []


async def test_the_control_that_knows_no_echo_writes_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(self: Echo, record: object) -> RecordKnowledge:
        return RecordKnowledge()

    monkeypatch.setattr(Echo, "known", nothing)
    async with twins_on("memory", tmp_path) as twins:
        try:
            await storm(twins, FEW // 10, random.Random(2))
        except Endless:
            return
        assert twins.writes > FEW // 10 * FACTOR


def differences(left: Place, right: Place) -> list[str]:
    """Return the records that one app has and the other has not."""
    mine = sorted(repr(sorted(each.items())) for each in left.records.values())
    theirs = sorted(repr(sorted(each.items())) for each in right.records.values())
    return sorted(set(mine) ^ set(theirs)) + ([] if len(mine) == len(theirs) else ["the number"])


async def invented(twins: Twins, made: Edits) -> list[str]:
    """Values that are not the last which people wrote, at one app or the other."""
    wrong: list[str] = []
    for ids in {each: codec.decode(each) for each in await twins.paired()}.values():
        for name in FIELDS:
            last = [made[id, name][-1] for id in ids.values() if (id, name) in made]
            if twins.left.records[ids["left"]][name] not in last:
                wrong.append(f"{ids}: {name}")
    return wrong
