"""The nursery: its workers have what it has collected, and what cannot be imported is told of."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.nursery import open_nursery

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
    )
    assert ("test_whole" in worker.stdout) is forked, worker.stderr
    assert worker.stdout
