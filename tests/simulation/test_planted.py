"""The simulation bites: each planted fault breaks a promise in one of the suite's seeds."""

import pytest

from tests.simulation.__main__ import run_seeds
from tests.simulation.planted import PLANTED
from tests.simulation.test_simulation import SEEDS
from tests.simulation.world import simulate

ACCIDENTS = ("a process ends only where it has to", "no error goes unseen")
"""What would show that a fault was badly planted, rather than caught."""


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        PLANTED[name](patch)
        for seed in range(SEEDS):
            (report,) = run_seeds(range(seed, seed + 1))
            if report.violation is not None:
                break
        else:
            pytest.fail(f"{SEEDS} seeds did not catch it")
    assert report.violation.promise not in ACCIDENTS, report.violation
    print(f"{name}: seed {report.seed}, {report.violation}")
    assert simulate(report.seed).violation is None  # without the fault
