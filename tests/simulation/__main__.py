"""Run seeds of the simulation: python -m tests.simulation --seed N | --seeds A..B [--jobs N]"""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.seeds import Tally, reports, run_seeds, shown


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
    began, tally = time.monotonic(), Tally()
    for report in reports(seeds, asked.jobs):
        tally.add(report)
        if asked.hashes:
            print(report.seed, report.hash, report.calls)
        if report.violation is not None:
            print(shown(report), flush=True)
        if sys.stderr.isatty() or tally.seeds % 5_000 == 0:
            told = f"\r{tally.seeds} of {len(seeds)}, {tally.failed} failed"
            print(told, end="", file=sys.stderr)
    told = ", ".join(f"{count:,} {name}" for name, count in sorted(tally.counts.items()))
    print(f"{told}\n{len(seeds):,} seeds, {tally.failed} failed, {time.monotonic() - began:.0f} s")
    return int(tally.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
