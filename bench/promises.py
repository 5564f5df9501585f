"""The requirements of a run beside the peers, as lines with a value and a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.measure import Figures
from bench.report import all_rounded

SETTING = ("at", "commit", "python", "store", "cores", "filesystem", "quick")


def promises(lines: Sequence[Figures]) -> list[Figures]:
    """The lines for W2; none for what was not measured."""
    found = {each.get("peer", "ours"): each for each in lines if each.get("workload") == "W2"}
    if (ours := found.get("ours")) is None:
        return []
    rows = [_row("bytes", "bytes stored for a W2 execution", ours, "stored_bytes_per_flow", 1_500)]
    if (node_red := found.get("node-red")) is not None:
        rows += [
            _rate("node-red", "Node-RED's, in memory", ours, node_red, 1),
            *(_delay(percent, ours, node_red) for percent in (50, 99)),
        ]
    if (n8n := found.get("n8n")) is not None:
        rows.append(_rate("n8n", "n8n's as it comes", ours, n8n, 60))
    if (fastest := found.get("n8n-fastest")) is not None:
        rows.append(_rate("n8n-fastest", "n8n's at its fastest", ours, fastest, 25))
    setting = {key: ours[key] for key in SETTING if key in ours}
    return [setting | all_rounded(each) for each in rows if each["value"] is not None]


def _row(row: str, title: str, ours: Mapping[str, Any], key: str, most: float) -> Figures:
    return {"row": row, "title": title, "value": ours[key], "target": f"<= {most:g}"}


def _rate(row: str, whose: str, ours: Figures, theirs: Figures, least: float) -> Figures:
    value = ours["flows_per_s"] / theirs["flows_per_s"] if theirs["flows_per_s"] else None
    if theirs.get("slices"):  # loaded in turn, seconds apart
        value = median(theirs["slices"])
    return {
        "row": row,
        "title": f"W2 flows/s ÷ {whose}",
        "value": value,
        "target": f">= {least:g}",
        "flows_per_s": ours["flows_per_s"],
        "flows_per_s_theirs": theirs["flows_per_s"],
    }


def _delay(percent: int, ours: Figures, theirs: Figures) -> Figures:
    mine, other = (each[f"delivered_p{percent}_ms"] for each in (ours, theirs))
    return {
        "row": f"p{percent}",
        "title": f"event → destination at 20/s, p{percent} ÷ Node-RED's",
        "value": mine / other if mine and other else None,
        "target": "<= 3",
        "ms": mine,
        "ms_theirs": other,
    }
