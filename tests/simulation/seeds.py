"""Run seeds, one after another or in several processes, and what they come to."""

from __future__ import annotations

import gc
import logging
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import structlog

from tests.simulation.world import Report, simulate

AT_ONCE = 200


def quiet() -> None:
    """Let the engine's log say nothing: what it would say is in the trace."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def run_seeds(seeds: range) -> list[Report]:
    """Run some seeds; the traces of those that kept every promise are left out."""
    quiet()
    if gc.get_freeze_count() == 0:
        gc.freeze()  # what is loaded by now stays, and is not looked at again and again
    return [simulate(seed) for seed in seeds]


@dataclass(slots=True)
class Tally:
    """The results of some seeds: how many broke a promise, and what happened how often."""

    seeds: int = 0
    failed: int = 0
    counts: Counter[str] = field(default_factory=Counter[str])

    def add(self, report: Report) -> None:
        """Count one more."""
        self.seeds += 1
        self.failed += report.violation is not None
        self.counts += Counter({"calls": report.calls, **report.counts})


def shown(report: Report, lines: int = 60) -> str:
    """A seed, as text: the end of its trace, what was broken, how to see it again."""
    return "\n".join(
        [
            *report.lines[-lines:],
            "",
            f"seed {report.seed}: {report.violation or 'kept every promise'}",
            f"again: python -m tests.simulation --seed {report.seed}",
        ]
    )


def reports(seeds: range, jobs: int) -> Iterator[Report]:
    """Run seeds, in several processes where asked for."""
    parts = [seeds[first : first + AT_ONCE] for first in range(0, len(seeds), AT_ONCE)]
    if jobs == 1:
        for part in parts:
            yield from run_seeds(part)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for some in pool.map(run_seeds, parts):
            yield from some
