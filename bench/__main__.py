"""`python -m bench`: measure W1 to W3 beside the raw group commit; JSON lines on stdout."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext
from pathlib import Path

from bench import report
from bench.measure import Figures, control, measure, raw_rates
from bench.peers.contest import Contest
from bench.process import REPOSITORY, BenchError, filesystem, wrk
from bench.workload import WORKLOADS

PACE_SECONDS = 8.0
RAW_SECONDS = 1.5


def main() -> int:
    """Measure, print, keep; 1 where an event was lost or doubled, or nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("workloads", nargs="*", help=f"of {', '.join(WORKLOADS)}; all by default")
    parser.add_argument("--runs", type=int, default=3, help="medians are of so many (default 3)")
    parser.add_argument("--quick", action="store_true", help="2 s each, once")
    parser.add_argument(
        "--peers", action="store_true", help="Node-RED and n8n in turn with ours (3 GB from npm)"
    )
    parser.add_argument(
        "--dir", type=Path, default=REPOSITORY / ".halflap", help="where stores are made"
    )
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="where lines are kept")
    arguments = parser.parse_args()
    names = arguments.workloads or list(WORKLOADS)
    if unknown := set(names) - set(WORKLOADS):
        parser.error(
            f"no workload is called {', '.join(sorted(unknown))}; there are: {', '.join(WORKLOADS)}"
        )
    try:
        lines = run(
            names,
            arguments.dir,
            runs=1 if arguments.quick else arguments.runs,
            quick=arguments.quick,
            peers=arguments.peers,
        )
    except BenchError as error:
        report.say(f"bench: {error}")
        return 1
    path = report.keep(lines, arguments.results)
    report.say(f"\n{report.table(lines)}\n")
    one = lines[0]
    report.say(
        f"raw group commit: {one['raw_32_per_s']:,.0f}/s from 32 tasks, {one['raw_1000_per_s']:,.0f}/s "
        f"from 1,000; {one['filesystem']}, fsync on; kept in {path}"
    )
    ours = [each for each in lines if "peer" not in each]
    return 1 if any(each["lost"] or each["doubled"] or each["unknown"] for each in ours) else 0


def run(
    names: list[str], directory: Path, *, runs: int, quick: bool, peers: bool = False
) -> list[Figures]:
    """Each workload in turn, `runs` times over, so that a slow minute hurts all alike."""
    wrk()
    directory.mkdir(parents=True, exist_ok=True)
    if filesystem(directory) in ("tmpfs", "ramfs", "overlay") and not quick:
        raise BenchError(f"{directory} is on {filesystem(directory)}, no disk; name one with --dir")
    about = report.setting(directory, quick=quick)
    report.say(f"control: {json.dumps(control(directory))}")
    found: dict[str, list[Figures]] = {name: [] for name in names}
    with Contest(directory, quick=quick) if peers else nullcontext() as contest:
        for number in range(runs):
            beside = raw_rates(directory, 0.3 if quick else RAW_SECONDS)
            for name in names:
                workload = WORKLOADS[name]
                figures = measure(
                    workload,
                    directory,
                    load=1.0 if quick else workload.load_seconds,
                    pace=1.0 if quick else PACE_SECONDS,
                )
                found[name].append(figures | beside)
                report.say(
                    f"{name}, run {number + 1}: {figures['flows_per_s']:,.0f} flows/s, "
                    f"{figures['cpu_ms_per_flow']:.3f} ms of CPU a flow, {figures['lost']} lost"
                )
                if contest:
                    contest.measure(workload)
    lines = [
        {"workload": name, "title": WORKLOADS[name].title, **about, **report.combined(each)}
        for name, each in found.items()
    ]
    if contest:
        lines += contest.lines(lines)
    for each in lines:
        print(json.dumps(each), flush=True)
    return lines


if __name__ == "__main__":
    sys.exit(main())
