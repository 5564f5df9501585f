"""Write the figures of `docs/reliability.md`; make those runs first that are named.

python -m tests.faults.report [short] [simulation] [soak] [--only EXPRESSION]

What the runs came to is kept in `figures.json`: of each the last.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.simulation.planted import PLANTED
from tests.simulation.seeds import Tally, reports
from tests.simulation.test_planted import caught
from tests.simulation.test_simulation import SEEDS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
KEPT = Path(__file__).with_name("figures.json")
FIGURES = {
    "faults": "Faults",
    "edits": "Edits",
    "writes": "Writes",
    "acknowledged": "Acknowledged",
    "lost": "Lost",
    "repeated": "Repeated",
    "executions": "Executions",
    "memory_mb": "MB",
}
LAST = {"seed": "Seed"}
SOAK = {"verdict": "Verdict", "date": "Date", "commit": "Commit"}
NOTHING = "Not run yet."
Row = dict[str, Any]


# Runs -----------------------------------------------------------------------------------------


def made() -> Row:
    """When, of what, and on what."""

    def git(*command: str) -> str:
        return subprocess.check_output(["git", *command], cwd=ROOT, text=True).strip()

    changed = "+" if git("status", "--porcelain", "--untracked-files=no") else ""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": git("rev-parse", "--short", "HEAD") + changed,
        "where": f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
    }


def run(which: str, only: str) -> tuple[list[Row], float, bool]:
    """Run the tests that are marked so: their figures, how long it took, whether all passed."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "figures")
        command = [sys.executable, "-m", "pytest", "-q", "tests/faults"]
        command += ["tests/simulation"] if which == "soak" else []
        environment = {**os.environ, "FAULT_FIGURES": str(kept)}
        ended = subprocess.run([*command, "-m", which, "-k", only], cwd=ROOT, env=environment)
        lines = kept.read_text().splitlines() if kept.exists() else []
    rows = [json.loads(line) for line in lines]
    return sorted(rows, key=lambda row: row["run"]), time.monotonic() - began, not ended.returncode


def short(only: str) -> Row:
    """The fault runs of `make test`. Ends this process where one fails."""
    rows, seconds, passed = run("not soak", only)
    if not passed:
        raise SystemExit("a fault run failed: nothing is written")
    return {**made(), "seconds": round(seconds), "runs": rows}


def simulation() -> Row:
    """The seeds of `make test`, and each planted fault with a seed that catches it."""
    began, tally = time.monotonic(), Tally()
    for each in reports(range(SEEDS), os.cpu_count() or 1):
        tally.add(each)
    planted = [
        {"fault": name, "promise": promise, "seed": found and found.seed}
        for name, (_, promise, *_) in PLANTED.items()
        for found in [caught(name)]
    ]
    counts = {name: tally.counts[name] for name in sorted(tally.counts)}
    seconds = round(time.monotonic() - began)
    figures = {"seeds": tally.seeds, "failed": tally.failed, "counts": counts, "planted": planted}
    return {**made(), "seconds": seconds, **figures}


def soak(before: list[Row], only: str) -> list[Row]:
    """The long runs; those that were not made again stay as they were."""
    rows, _, _ = run("soak", only)
    about = made()
    again = {row["run"] for row in rows}
    kept = [row for row in before if row["run"] not in again]
    return sorted([*kept, *({**row, **about} for row in rows)], key=lambda row: row["run"])


# The page -------------------------------------------------------------------------------------


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Rows as Markdown; numbers are grouped, what is missing is blank."""
    lines = [tuple(head)]
    lines.append(tuple("---" for _ in lines[0]))
    for row in rows:
        lines.append(tuple(f"{v:,}" if isinstance(v, int) else str(v or "") for v in row))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figures(rows: list[Row], **more: str) -> str:
    """Runs as a table, with those columns that have something in them."""
    names = [*(name for name in FIGURES if any(name in row for row in rows)), *LAST, *more]
    head = ["Run", *({**FIGURES, **LAST, **more}[name] for name in names)]

    def shown(row: Row) -> list[Any]:
        # A seed is a name: it is not grouped.
        return [row["run"], *(str(row[n]) if n in LAST and n in row else row.get(n) for n in names)]

    return table(head, map(shown, rows))


def about(found: Row) -> str:
    """When it was made, of what, on what, how long it took."""
    return f"{found['date']}, `{found['commit']}`, {found['where']}, {found['seconds']:,} s."


def parts(kept: Row) -> dict[str, str]:
    """Return the text between each pair of the page's markers, by their names."""
    short, soak = kept["short"], kept["soak"]
    found = {"soak": figures(soak, **SOAK) if soak else NOTHING, **simulated(kept["simulation"])}
    found["short"] = f"{figures(short['runs'])}\n\n{about(short)}" if short else NOTHING
    return found


def simulated(found: Row) -> dict[str, str]:
    """Return the results of the simulation, and the planted faults that it caught."""
    if not found:
        return {"simulation": NOTHING, "planted": NOTHING}
    planted = [
        (p["fault"].replace("_", " "), p["promise"], str(p["seed"])) for p in found["planted"]
    ]
    missed = sum(each["seed"] is None for each in found["planted"])
    rows = [("seeds", found["seeds"]), ("of them broke a promise", found["failed"])]
    rows += [("planted faults", len(planted)), ("of them were not caught", missed)]
    counts = table(["Simulated", ""], [*rows, *found["counts"].items()])
    return {
        "simulation": f"{counts}\n\n{about(found)}",
        "planted": table(["Planted fault", "Promise that it breaks", "Caught by seed"], planted),
    }


def written(page: str, kept: Row) -> str:
    """The page with what stands between its markers replaced."""
    for name, text in parts(kept).items():
        pattern = re.compile(rf"(<!-- figures: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, count = pattern.subn(lambda m, text=text: f"{m[1]}{text}\n{m[2]}", page)
        if count != 1:
            raise SystemExit(f"{PAGE}: write <!-- figures: {name} --> and <!-- end --> once")
    return page


def main() -> None:
    """Make the runs that are named, keep what they came to, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", help="of: short, simulation, soak (hours)")
    parser.add_argument("--only", default="", help="of the tests those that pytest's -k takes")
    asked = parser.parse_args()
    if unknown := set(asked.runs) - {"short", "simulation", "soak"}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    kept = json.loads(KEPT.read_text())
    if "short" in asked.runs:
        kept["short"] = short(asked.only)
    if "simulation" in asked.runs:
        kept["simulation"] = simulation()
    if "soak" in asked.runs:
        kept["soak"] = soak(kept["soak"], asked.only)
    KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    PAGE.write_text(written(PAGE.read_text(), kept))


if __name__ == "__main__":
    main()
