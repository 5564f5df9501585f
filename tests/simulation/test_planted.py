"""The simulation bites: each planted fault breaks its promise in one of the first seeds."""

import pytest

from tests.simulation.plan import plan_of
from tests.simulation.planted import PLANTED
from tests.simulation.seeds import run_seeds
from tests.simulation.test_simulation import SEEDS
from tests.simulation.world import Report, simulate

SEARCHED = 400
"""The number of seeds in which a fault has to be noticed."""


def caught(name: str) -> Report | None:
    """Return the report of a seed in which a planted fault is noticed: the likely one, or the first."""
    plant, promise, where, likely = PLANTED[name]
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        for seed in (each for each in (likely, *range(SEARCHED)) if where(plan_of(each))):
            (report,) = run_seeds(range(seed, seed + 1))
            if report.violation is not None and report.violation.promise == promise:
                return report
    return None


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_caught(name: str) -> None:
    report = caught(name)
    assert report is not None, f"{SEARCHED} seeds did not catch it"
    print(f"{name}: seed {report.seed}, {report.violation}")
    if report.seed >= SEEDS:  # test_simulation.py runs the others without the fault
        assert simulate(report.seed).violation is None
