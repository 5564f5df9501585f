"""`python -m bench.targets`: all that is promised of speed, in one go, kept and shown in the docs.

W1 to W3 beside the peers, what has to stay as it is, what one customer feels of another, all on
SQLite; two workers beside one on PostgreSQL. It takes about 30 minutes. Use a machine that does
nothing else: what others did meanwhile is kept with each line, and makes times worthless. A part that
fails is told of, and the others are measured all the same.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench import report
from bench.process import REPOSITORY, end

PARTS: tuple[tuple[str, ...], ...] = (
    ("bench", "W2", "--peers", "--runs", "3"),
    ("bench.fairness", "--rounds", "4"),
    ("bench.scale",),
    ("bench", "memory"),
    ("bench", "idle"),
    ("bench", "history"),
    ("bench", "W1", "W3", "--peers", "--runs", "1"),
)
MOST_SECONDS = 900.0
"""Seconds that a part may take."""


def main() -> int:
    """Measure, and write the docs; 1 where something is missed, or could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.targets", description=__doc__)
    parser.add_argument(
        "--dir", type=Path, default=REPOSITORY / ".halflap", help="where stores are made"
    )
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="where lines are kept")
    given = parser.parse_args()
    began, failed = time.time(), list[str]()
    for part in PARTS:
        report.say(f"\n— {' '.join(part)}, {time.time() - began:.0f} s after the beginning —")
        if not _measured(part, given.dir, given.results):
            failed.append(" ".join(part))
    if given.results == report.RESULTS:
        subprocess.run([sys.executable, "docs/generate.py"], cwd=REPOSITORY, check=True)
    missed = shown(given.results, began)
    for each in failed:
        report.say(f"not measured: {each}")
    return 1 if missed or failed else 0


def _measured(part: tuple[str, ...], directory: Path, results: Path) -> bool:
    """Run a part; whether it could be measured, however it did."""
    module, *rest = part
    kept = ["--dir", str(directory), "--results", str(results)]
    before = _size(results)
    process = subprocess.Popen(
        [sys.executable, "-m", module, *rest, *kept], cwd=REPOSITORY, stdout=subprocess.DEVNULL
    )
    try:
        process.wait(MOST_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            end(process, signal.SIGINT)  # it ends what it has started
    return _size(results) > before


def _size(results: Path) -> int:
    return sum(each.stat().st_size for each in results.glob("*.jsonl"))


def shown(results: Path, since: float) -> int:
    """Print what is held to a target, and how many were missed of what was measured since then."""
    missed = 0
    for file in sorted(results.glob("*-full.jsonl")):
        if file.stat().st_mtime < since:
            continue
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for each in {line["row"]: line for line in lines if "row" in line}.values():
            kept = report.is_kept(each)
            missed += not kept
            said = "kept" if kept else "MISSED"
            report.say(f"{said:7} {each['title']}: {each['value']:,.4g} ({each['target']})")
    return missed


if __name__ == "__main__":
    sys.exit(main())
