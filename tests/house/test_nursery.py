"""The nursery: its workers have what it has collected, and what cannot be imported is told of."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nursery import open_nursery
from tests.polling import DEADLINE

ROOT = Path(__file__).parents[2]
XDIST = "import sys; exec(eval(sys.stdin.readline()))"
"""The program that xdist gives to a new Python."""


@pytest.mark.parametrize(("text", "forked"), [("def test_it(): ...", True), ("import gone", False)])
def test_a_worker_is_forked_where_all_was_collected(
    text: str, forked: bool, tmp_path: Path
) -> None:
    (tmp_path / "test_whole.py").write_text("def test_it(): ...")
    (tmp_path / "test_other.py").write_text(text)
    command = open_nursery(["-c", str(ROOT / "pyproject.toml"), str(tmp_path)], 1)
    told = "import sys; print([each for each in sys.modules if each.endswith('test_whole')])"
    worker = subprocess.run(
        [*shlex.split(command), "-c", XDIST],
        input=f"{told!r}\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    assert ("test_whole" in worker.stdout) is forked, worker.stderr
    assert worker.stdout


@pytest.mark.soak  # two more processes that import the tests' room for it
def test_the_steps_of_documents_that_workers_test_are_counted() -> None:
    command = [sys.executable, "-m", "pytest", "-n", "2", "-k", "order_acme", "tests/house"]
    done = subprocess.run(
        [*command, "examples/order_acme.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "examples/order_acme.yaml: 100 %" in done.stdout, done.stdout
