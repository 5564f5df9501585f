"""The simulation bites: each planted fault breaks its promise in one of the suite's seeds."""

import pytest

from tests.simulation.__main__ import run_seeds
from tests.simulation.plan import plan_of
from tests.simulation.planted import PLANTED
from tests.simulation.test_simulation import SEEDS
from tests.simulation.world import simulate


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, promise, where = PLANTED[name]
    with monkeypatch.context() as patch:
        plant(patch)
        for seed in (each for each in range(SEEDS) if where(plan_of(each))):
            (report,) = run_seeds(range(seed, seed + 1))
            if report.violation is not None and report.violation.promise == promise:
                break
        else:
            pytest.fail(f"{SEEDS} seeds did not catch it")
    print(f"{name}: seed {report.seed}, {report.violation}")
    assert simulate(report.seed).violation is None  # without the fault
