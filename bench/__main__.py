"""`python -m bench`: measure W1 to W3 beside the raw group commit; JSON lines on stdout.

`history`, `memory` and `idle` are measured where they are named, or with `--all`.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext
from pathlib import Path

from bench import report
from bench.lasting import LASTING
from bench.measure import Figures, control, measure
from bench.peers.contest import Contest, open_contest
from bench.process import REPOSITORY, BenchError, Others, wrk
from bench.promises import promises
from bench.stores import Keeper, Kind, keeper
from bench.stores.store import KINDS
from bench.workload import WORKLOADS
from halflap.cli.doctor import file_system

PACE_SECONDS = 15.0
RAW_SECONDS = 1.5


def main() -> int:
    """Measure, print, keep; 1 where an event was lost or doubled, or nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    named = ", ".join((*WORKLOADS, *LASTING))
    parser.add_argument("names", nargs="*", help=f"of {named}; W1 to W3 by default")
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--store", choices=KINDS, default="sqlite", help="the store (sqlite)")
    parser.add_argument("--runs", type=int, default=3, help="medians are of so many (default 3)")
    parser.add_argument("--quick", action="store_true", help="2 s each, once")
    parser.add_argument(
        "--peers", action="store_true", help="Node-RED and n8n in turn with ours (3 GB from npm)"
    )
    parser.add_argument(
        "--dir", type=Path, default=REPOSITORY / ".halflap", help="where stores are made"
    )
    parser.add_argument("--note", default="", help="a remark that the lines keep")
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="where lines are kept")
    arguments = parser.parse_args()
    names = arguments.names or [*WORKLOADS, *(LASTING if arguments.all else ())]
    if unknown := set(names) - {*WORKLOADS, *LASTING}:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are: {named}")
    try:
        lines = run(
            names,
            arguments.dir,
            store=arguments.store,
            runs=1 if arguments.quick else arguments.runs,
            quick=arguments.quick,
            peers=arguments.peers,
        )
    except BenchError as error:
        report.say(f"bench: {error}")
        return 1
    if arguments.note:
        lines = [each | {"note": arguments.note} for each in lines]
    path = report.keep(lines, arguments.results)
    report.say(f"\n{report.table(lines)}\n\nkept in {path}")
    ours = [each for each in lines if "peer" not in each]
    return 1 if any(each.get(key) for each in ours for key in report.NEVER) else 0


def run(
    names: list[str],
    directory: Path,
    *,
    store: Kind = "sqlite",
    runs: int,
    quick: bool,
    peers: bool = False,
) -> list[Figures]:
    """All that is named, on one kind of store."""
    wrk()
    directory.mkdir(parents=True, exist_ok=True)
    if (kind := file_system(directory)) in ("tmpfs", "ramfs", "overlay") and not quick:
        raise BenchError(f"{directory} is on {kind}, no disk; name one with --dir")
    others = Others()
    with keeper(store, directory) as stores:
        about = report.setting(directory, stores, quick=quick)
        workloads = [name for name in names if name in WORKLOADS]
        lines: list[Figures] = []
        if workloads:
            with open_contest(directory, quick=quick) if peers else nullcontext() as contest:
                lines += run_workloads(workloads, stores, about, contest, runs=runs, quick=quick)
        for name in names:
            if name in LASTING:
                found = report.all_rounded(LASTING[name](stores, quick=quick))
                report.say(f"{name}: {found['value']} ({found['title']}, {found['target']})")
                lines.append({"row": name, **about, **found})
    lines += promises(lines)
    busy = {"others_cores": round(others.cores(), 2)}
    lines = [each | busy for each in lines]
    for each in lines:
        print(json.dumps(each), flush=True)
    return lines


def run_workloads(
    names: list[str],
    stores: Keeper,
    about: Figures,
    contest: Contest | None,
    *,
    runs: int,
    quick: bool,
) -> list[Figures]:
    """Each workload in turn, `runs` times over, so that a slow minute hurts all alike."""
    report.say(f"control: {json.dumps(control(stores))}")
    found: dict[str, list[Figures]] = {name: [] for name in names}
    for number in range(runs):
        beside = stores.raw(0.3 if quick else RAW_SECONDS)
        for name in names:
            workload = WORKLOADS[name]
            figures = measure(
                workload,
                stores,
                load=1.0 if quick else workload.load_seconds,
                pace=1.0 if quick else PACE_SECONDS,
            )
            found[name].append({**figures, **beside})
            report.say(
                f"{name}, run {number + 1}: {figures['flows_per_s']:,.0f} flows/s, "
                f"{figures['cpu_ms_per_flow']:.3f} ms of CPU a flow, {figures['lost']} lost"
            )
            if contest:
                contest.measure(workload)
    if contest and "W2" in names:
        contest.alternate(WORKLOADS["W2"], stores)
    lines = [
        {"workload": name, "title": WORKLOADS[name].title, **about, **report.combined(each)}
        for name, each in found.items()
    ]
    return lines + (contest.lines(lines) if contest else [])


if __name__ == "__main__":
    sys.exit(main())
