"""The benchmark measures what it says; how fast is not asked here."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.accounting import Account, Stored, account
from bench.workload import ID, WORKLOADS
from halflap.cli.bench import FORWARD, measure

REPOSITORY = Path(__file__).parent.parent.parent
KEYS = {
    "workload", "at", "commit", "python", "sqlite", "cores", "filesystem", "runs", "acknowledged",
    "refused", "lost", "doubled", "unknown", "flows", "flows_per_s", "acks_per_s", "ack_p50_ms",
    "ack_p99_ms", "delivered_p50_ms", "delivered_p99_ms", "cpu_ms_per_flow", "rss_mib",
    "steps_per_flow", "stored_bytes_per_flow", "wrk_ms_per_request", "destination_ms_per_request",
    "raw_32_per_s", "raw_1000_per_s", "ratio_to_raw",
}  # fmt: skip


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_a_quick_run_measures_everything_and_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "W2", "--quick", "--dir", str(tmp_path)]
    done = subprocess.run(
        [*command, "--results", str(tmp_path / "results")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = map(json.loads, done.stdout.splitlines())
    assert line.keys() >= KEYS
    assert line["workload"] == "W2"
    assert line["acknowledged"] > 0
    assert (line["lost"], line["doubled"], line["unknown"], line["refused"]) == (0, 0, 0, 0)
    assert line["steps_per_flow"] == 3
    assert all(line[key] is not None for key in KEYS)
    (kept,) = (tmp_path / "results").iterdir()
    assert json.loads(kept.read_text()) == line
    assert "control" in done.stderr


def stored(**events: str) -> Stored:
    return Stored(events, len(events), 1.0, 0, 0)


def test_an_acknowledged_execution_is_lost_unless_stored_and_wholly_arrived() -> None:
    one, many = WORKLOADS["W2"], WORKLOADS["W3"]
    assert account(one, ["exe_a"], stored(exe_a="a"), {"a": 1}) == Account(0, 0, 0)
    assert account(one, ["exe_a"], stored(), {"a": 1}) == Account(1, 0, 1)
    assert account(one, ["exe_a"], stored(exe_a="a"), {}) == Account(1, 0, 0)
    arrived = dict.fromkeys(many.due("a"), 1)
    assert account(many, ["exe_a"], stored(exe_a="a"), arrived) == Account(0, 0, 0)
    del arrived["a/7"]
    assert account(many, ["exe_a"], stored(exe_a="a"), arrived) == Account(1, 0, 0)


def test_what_arrives_again_is_doubled_and_what_nobody_accepted_is_unknown() -> None:
    arrived = {"a": 3, "b": 1}
    assert account(WORKLOADS["W2"], ["exe_a"], stored(exe_a="a"), arrived) == Account(0, 2, 1)


@pytest.mark.parametrize("name", WORKLOADS)
def test_an_event_is_one_kilobyte_of_json_with_its_own_id(name: str) -> None:
    event = WORKLOADS[name].event("0123abcd-00000042")
    assert len(ID) == len("0123abcd-00000042")
    assert len(event) == 1024
    assert json.loads(event)["id"] == "0123abcd-00000042"


def test_the_short_measurement_loses_nothing_and_needs_no_clone(tmp_path: Path) -> None:
    figures = asyncio.run(measure(1.0, tmp_path))
    assert figures.acknowledged > 0
    assert figures.delivered >= figures.acknowledged
    assert (figures.lost, figures.doubled) == (0, 0)
    assert not list(tmp_path.iterdir())


def test_the_short_measurement_runs_the_same_flow() -> None:
    forward = REPOSITORY / "bench" / "integrations" / "forward.py"
    assert forward.read_text() == FORWARD
