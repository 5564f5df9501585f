"""Retention against a model: random ends, levels and clocks; what is kept, and what is removed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halflap.model import Outcome, Retention
from halflap.store.protocol import Journal
from halflap.store.retention import RetentionRules
from tests.conformance.test_retention import ALL, BARE, DAY, Clock, ended, pruned, there
from tests.journals import opened

LEVELS = [
    Retention(),
    Retention(payload=1),
    Retention(execution=2),
    Retention(payload=5),
    Retention(execution=9, payload=3),
]
operations = st.lists(
    st.one_of(
        st.tuples(st.just("end"), st.sampled_from(range(len(LEVELS)))),
        st.tuples(st.just("fail"), st.sampled_from(range(len(LEVELS)))),
        st.tuples(st.just("dismiss"), st.integers(0, 5)),
        st.tuples(st.just("move"), st.floats(-0.9, 3.5)),
        st.tuples(st.just("default"), st.integers(1, 8)),
        st.tuples(st.just("prune"), st.none()),
    ),
    min_size=3,
    max_size=25,
)


@dataclass
class Known:
    """An execution as the model knows it."""

    ended_at: int
    own: Retention
    letter: bool
    left: set[str] = field(default_factory=lambda: set(ALL))

    def prune(self, default: Retention, now: int) -> None:
        if self.letter:
            return
        kept = self.own.over(default)
        if _is_over(kept.execution, self.ended_at, now):
            self.left.clear()
        elif _is_over(kept.payload_days, self.ended_at, now):
            self.left &= BARE


def _is_over(days: int | None, ended_at: int, now: int) -> bool:
    return days is not None and now // DAY - ended_at // DAY > days


async def follow(
    journal: Journal, clock: Clock, plan: list[tuple[str, Any]], late: int = 0
) -> None:
    """Do as planned, and compare whenever it was pruned; `late` is how wrong the model's clock is."""
    default = Retention(4, 2)
    levels = {f"ins_{number}": each for number, each in enumerate(LEVELS)}
    known: dict[str, Known] = {}
    steps: list[tuple[str, Any]] = [*plan, ("move", 12.0), ("prune", None)]
    for what, how in steps:
        match what:
            case "end" | "fail":
                outcome = Outcome("succeeded" if what == "end" else "failed")
                id = await ended(journal, clock, f"ins_{how}", outcome)
                known[id] = Known(clock.now, LEVELS[how], what == "fail")
            case "dismiss":
                letters = [id for id, each in known.items() if each.letter]
                if how < len(letters):
                    assert await journal.dismiss(letters[how])
                    known[letters[how]].letter = False
            case "move":
                clock.move(how)
            case "default":
                default = Retention(how, min(how, 2))
            case _:
                await pruned(journal, RetentionRules(default, levels), limit=2)
                for id, each in known.items():
                    each.prune(default, clock.now + late)
                    assert await there(journal, id) == each.left, each


@pytest.mark.parametrize(
    ("kind", "examples"),
    [
        ("memory", 10),
        ("postgresql", 3),
        pytest.param("memory", 500, marks=pytest.mark.soak),
        pytest.param("postgresql", 50, marks=pytest.mark.soak),
    ],
)
def test_nothing_goes_before_its_time_and_all_after_it(
    kind: str, examples: int, tmp_path: Path
) -> None:
    @settings(max_examples=examples, database=None)
    @given(operations)
    def run(plan: list[tuple[str, Any]]) -> None:
        async def example() -> None:
            clock = Clock()
            async with opened(kind, tmp_path, clock) as journal:
                await follow(journal, clock, plan)

        asyncio.run(example())

    run()


async def test_a_store_that_removes_a_day_late_is_found_out(tmp_path: Path) -> None:
    clock = Clock()
    plan: list[tuple[str, Any]] = [("end", 1), ("move", 1.6), ("prune", None)]
    async with opened("memory", tmp_path, clock) as journal:
        await follow(journal, clock, plan)
    clock = Clock()
    async with opened("memory", tmp_path, clock) as journal:
        with pytest.raises(AssertionError):
            await follow(journal, clock, plan, late=-DAY)
