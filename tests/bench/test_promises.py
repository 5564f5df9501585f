"""The requirements of a run follow from its lines, and each target says its direction."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import targets
from bench.promises import promises
from bench.report import is_kept


def line(peer: str = "", **figures: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {"workload": "W2", "at": "now", "store": "sqlite", "cores": 2}
    return found | ({"peer": peer} if peer else {}) | figures


OURS = line(
    flows_per_s=1_000.0, delivered_p50_ms=6.0, delivered_p99_ms=9.0, stored_bytes_per_flow=1_490.0
)
NODE_RED = line("node-red", flows_per_s=400.0, delivered_p50_ms=1.5, delivered_p99_ms=3.0)


def test_a_run_beside_peers_is_held_to_what_is_promised_of_each() -> None:
    slow = [line("n8n", flows_per_s=20.0), line("n8n-fastest", flows_per_s=20.0)]
    found = {each["row"]: each for each in promises([OURS, NODE_RED, *slow])}
    values = {row: (each["value"], is_kept(each)) for row, each in found.items()}
    assert values == {
        "bytes": (1_490.0, True),
        "node-red": (2.5, True),
        "p50": (4.0, False),
        "p99": (3.0, True),
        "n8n": (50.0, False),
        "n8n-fastest": (50.0, True),
    }
    assert found["p50"]["at"] == "now"


def test_what_was_not_measured_is_held_to_nothing() -> None:
    assert [each["row"] for each in promises([OURS])] == ["bytes"]
    assert promises([NODE_RED]) == []
    silent = NODE_RED | {"flows_per_s": 0.0, "delivered_p50_ms": None}
    assert [each["row"] for each in promises([OURS, silent])] == ["bytes", "p99"]


def test_only_what_was_missed_in_this_run_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "2026-01-01-sqlite-2cores-full.jsonl"
    older = {"row": "idle", "title": "idle CPU", "value": 0.5, "target": "<= 0.01"}
    lines = [older, older | {"value": 0.001}, older | {"row": "flood", "title": "a flood"}]
    file.write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert targets.shown(tmp_path, since=0.0) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == ["kept    idle CPU: 0.001 (<= 0.01)", "MISSED  a flood: 0.5 (<= 0.01)"]
    assert targets.shown(tmp_path, since=file.stat().st_mtime + 1) == 0
