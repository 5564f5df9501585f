"""Run the fault runs, and write their figures into the table of `docs/reliability.md`.

python -m tests.faults.report [--soak]
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
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
COLUMNS = (
    *("faults", "edits", "writes", "acknowledged", "lost", "repeated"),
    *("executions", "memory_mb", "seed"),
)
HEAD = (
    *("Run", "Faults", "Edits", "Writes", "Acknowledged", "Lost", "Repeated"),
    *("Executions", "MB", "Seed"),
)


def run(which: str) -> list[dict[str, Any]]:
    """Run the tests that are marked so; their figures. Ends this process where one fails."""
    with tempfile.TemporaryDirectory() as made:
        kept = Path(made, "figures")
        command = [sys.executable, "-m", "pytest", "-q", "tests/faults", "-m", which]
        ended = subprocess.run(command, cwd=ROOT, env={**os.environ, "FAULT_FIGURES": str(kept)})
        if ended.returncode:
            raise SystemExit("a fault run failed: the page is left as it was")
        return [json.loads(line) for line in kept.read_text().splitlines()]


def table(figures: list[dict[str, Any]], took: float) -> str:
    """The figures as Markdown."""
    rows = [HEAD, tuple("---" for _ in HEAD)]
    for each in sorted(figures, key=lambda each: each["run"]):
        shown = (
            f"{each[c]:,}" if c in each and c != "seed" else str(each.get(c, "")) for c in COLUMNS
        )
        rows.append((each["run"], *shown))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    day = time.strftime("%Y-%m-%d")
    where = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    return "\n".join([*lines, "", f"{day}, {where}, {took:,.0f} s in all."])


def rewrite(page: str, name: str, text: str) -> str:
    """The page with what stands between the markers of that name replaced."""
    pattern = re.compile(rf"(<!-- figures: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    found, count = pattern.subn(lambda match: f"{match[1]}{text}\n{match[2]}", page)
    if count != 1:
        raise SystemExit(f"{PAGE}: write <!-- figures: {name} --> and <!-- end --> where they go")
    return found


def main() -> None:
    """Run, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soak", action="store_true", help="the long runs: about half an hour")
    name = "soak" if parser.parse_args().soak else "short"
    began = time.monotonic()
    figures = run("soak" if name == "soak" else "not soak")
    text = table(figures, time.monotonic() - began)
    PAGE.write_text(rewrite(PAGE.read_text(), name, text))
    print(text)


if __name__ == "__main__":
    main()
