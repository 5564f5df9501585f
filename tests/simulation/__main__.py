"""Run seeds of the simulation: python -m tests.simulation --seed N | --seeds A..B [--jobs N]"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

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
    with ProcessPoolExecutor(jobs) as pool:
        for some in pool.map(run_seeds, parts):
            yield from some


def main() -> int:
    """Run what is asked for; the exit code says whether a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="one seed, with its trace")
    parser.add_argument("--seeds", default="0..199", help="a range of them, as 0..999")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes run them")
    parser.add_argument("--hashes", action="store_true", help="print each seed's hash")
    asked = parser.parse_args()
    if asked.seed is not None:
        (report,) = run_seeds(range(asked.seed, asked.seed + 1))
        print(shown(report, len(report.lines)))
        print(f"hash {report.hash}, {report.calls} calls, {report.seconds:.1f} s simulated")
        return int(report.violation is not None)
    first, last = (int(each) for each in asked.seeds.split(".."))
    seeds = range(first, last + 1)
    began, failed, counts = time.monotonic(), 0, dict[str, int]()
    for number, report in enumerate(reports(seeds, asked.jobs), 1):
        if asked.hashes:
            print(report.seed, report.hash, report.calls)
        if report.violation is not None:
            failed += 1
            print(shown(report), flush=True)
        for name, count in {"calls": report.calls, **report.counts}.items():
            counts[name] = counts.get(name, 0) + count
        if sys.stderr.isatty() or number % 5_000 == 0:
            print(f"\r{number} of {len(seeds)}, {failed} failed", end="", file=sys.stderr)
    told = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))
    print(f"{told}\n{len(seeds):,} seeds, {failed} failed, {time.monotonic() - began:.0f} s")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
