"""The contents of a run's line, where it is kept, and the table for people.

acks_per_s, flows_per_s: acknowledged by wrk's clock; ended, from the first accepted to the last
ended by the store's. ack_…, delivered_…: at a steady 20/s, from sending to the answer, and to the
last POST that reached the destination. cpu_ms_per_flow: of the server process; store_cpu_…: of the
database's own processes. rss_mib: once the flood is over. stored_bytes_per_flow: what the store
grew by, less body and headers of the events. lost, doubled, unknown: accounting.py; sums over all
runs, everything else is the median. raw_…: one-row inserts a second into the same store by 32 and
1,000 tasks. ratio_to_raw: flows_per_s against the raw rate with 32, as many as there are connections.

A peer's line has `peer`, `version`, `node`, how it was set up, where its flow differs from ours, and
`ours_better`: by how many times ours is better in the same run, or worse where that is below 1; of
W2's rates, the median of `slices`: ours and the peer loaded in turn for seconds, all servers up. Its
flows are those that wholly arrived, from the first arrival to the last; CPU and memory are of all its
processes. Events of the flood before the measured one count as acknowledged, lost and doubled too.

What is held to a `target` is a line with `row`: its `value`, and what that was made of. Such are
`history`, `memory` and `idle` (lasting.py), what a run beside the peers is held to (promises.py),
fairness.py's and scale.py's. others_cores: how many cores other programs kept busy meanwhile.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.process import REPOSITORY
from bench.stores import Keeper
from halflap.cli.doctor import file_system

RESULTS = Path(__file__).parent / "results"
NEVER = ("lost", "doubled", "unknown")
SUMMED = ("acknowledged", "refused", "flows", *NEVER)
COLUMNS = (
    ("flows/s", "flows_per_s", "{:,.0f}"),
    ("acks/s", "acks_per_s", "{:,.0f}"),
    ("of raw", "ratio_to_raw", "{:.2f}"),
    ("lost", "lost", "{}"),
    ("doubled", "doubled", "{}"),
    ("ack p50/p99 ms", ("ack_p50_ms", "ack_p99_ms"), "{:.1f}"),
    ("arrived p50/p99 ms", ("delivered_p50_ms", "delivered_p99_ms"), "{:.1f}"),
    ("cpu ms/flow", "cpu_ms_per_flow", "{:.2f}"),
    ("store's", "store_cpu_ms_per_flow", "{:.2f}"),
    ("rss MiB", "rss_mib", "{:.0f}"),
    ("bytes/flow", "stored_bytes_per_flow", "{:,.0f}"),
    ("wrk, dest. ms/req", ("wrk_ms_per_request", "destination_ms_per_request"), "{:.3f}"),
)


def setting(directory: Path, stores: Keeper, *, quick: bool) -> dict[str, Any]:
    """Where and on what was measured."""
    commit = _git("rev-parse", "--short=12", "HEAD") or "unknown"
    changed = _git("status", "--porcelain", "--untracked-files=no", "halflap", "bench")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": f"{commit}+changes" if changed else commit,
        "python": platform.python_version(),
        "store": stores.kind,
        **stores.about(),
        "cores": len(os.sched_getaffinity(0)),
        "filesystem": file_system(directory),
        "quick": quick,
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def combined(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several runs as one: medians, but sums of what must not happen even once."""
    result: dict[str, Any] = {"runs": len(runs)}
    for key in runs[0]:
        values = [each[key] for each in runs if each[key] is not None]
        if key in SUMMED:
            result[key] = sum(values)
        else:
            result[key] = rounded(median(values)) if values else None
    if "raw_32_per_s" in result:
        result["ratio_to_raw"] = rounded(result["flows_per_s"] / result["raw_32_per_s"])
    return result


def rounded(value: float) -> float:
    """With as many digits as mean something."""
    return round(value, 4) if value < 1 else round(value, 2)


def all_rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures, each with as many digits as mean something."""
    return {k: rounded(v) if isinstance(v, float) else v for k, v in figures.items()}


def is_kept(line: dict[str, Any]) -> bool:
    """Return whether what a line with a target measured is as it is to be."""
    how, _, than = line["target"].partition(" ")
    return line["value"] <= float(than) if how == "<=" else line["value"] >= float(than)


def keep(lines: Sequence[dict[str, Any]], results: Path = RESULTS) -> Path:
    """Append lines to the results of the day."""
    results.mkdir(parents=True, exist_ok=True)
    first = lines[0]
    kind = "quick" if first["quick"] else "full"
    path = results / f"{first['at'][:10]}-{first['store']}-{first['cores']}cores-{kind}.jsonl"
    with path.open("a") as file:
        file.writelines(json.dumps(each) + "\n" for each in lines)
    return path


def table(lines: Sequence[dict[str, Any]]) -> str:
    """The lines for people."""
    lasting = [
        f"{each['row']}: {each['value']} ({each['title']}; {each['target']})"
        for each in lines
        if "row" in each
    ]
    lines = [each for each in lines if "workload" in each]
    if not lines:
        return "\n".join(lasting)
    rows = [["", *(title for title, _, _ in COLUMNS)]]
    rows += [
        [
            " ".join([each["workload"], each.get("peer", "")]).strip(),
            *(shown(each, keys, style) for _, keys, style in COLUMNS),
        ]
        for each in lines
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    shown_rows = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    one = lines[0]
    raw = (
        f"raw group commit: {one['raw_32_per_s']:,.0f}/s from 32 tasks, "
        f"{one['raw_1000_per_s']:,.0f}/s from 1,000; {one['store']} on {one['filesystem']}, fsync on"
    )
    return "\n".join([*shown_rows, "", raw, *lasting])


def shown(line: dict[str, Any], keys: str | tuple[str, ...], style: str) -> str:
    """One cell: a value, or several."""
    names = (keys,) if isinstance(keys, str) else keys
    values = [line.get(name) for name in names]
    return " / ".join("–" if value is None else style.format(value) for value in values)


def say(text: str) -> None:
    """A line for people; stdout is for machines."""
    print(text, file=sys.stderr, flush=True)
