"""Whole systems keep every promise, whatever a seed makes go wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Note
from tests.faults.verdict import SHARE
from tests.simulation.seeds import Tally, reports, run_seeds, shown

ROOT = Path(__file__).parents[2]
SEEDS = 51
"""Enough to catch nearly every planted fault (`test_planted.py`); many more are run in the soak."""
PARTS = 3
SOAK_SEEDS = 100_000


@pytest.mark.parametrize("part", range(PARTS))
def test_every_promise_is_kept(part: int) -> None:
    size = SEEDS // PARTS
    reports = run_seeds(range(part * size, (part + 1) * size))
    for each in reports:
        assert each.violation is None, f"\n{shown(each)}"
    assert sum(each.counts["crashes"] for each in reports) > 0
    assert sum(each.counts["effects repeated"] for each in reports) > 0
    assert sum(each.counts["executions"] for each in reports) > size * 3


def test_a_seed_replays_bit_for_bit() -> None:
    """In processes of their own, whose hashes of strings differ."""

    def hashes(seed: str) -> str:
        command = [sys.executable, "-m", "tests.simulation", "--seeds", "0..5", "--hashes"]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        return ended.stdout.rpartition(" s\n")[0].rpartition(",")[0]

    first = hashes("1")
    assert len(first.splitlines()) > 6
    assert first == hashes("2")


@pytest.mark.soak
def test_every_promise_is_kept_for_long(note: Note) -> None:
    count, tally = round(SOAK_SEEDS * SHARE), Tally()
    for each in reports(range(count), os.cpu_count() or 1):
        tally.add(each)
        if each.violation is not None:
            print(shown(each))
    counts = tally.counts
    figures = {"faults": counts["crashes"], "executions": counts["executions"]}
    note("simulation, long", **figures, seed=f"0 to {count - 1}")
    assert tally.failed == 0
