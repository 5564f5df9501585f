"""The demo: all its checks hold here, and one that does not hold is told."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from halflap.cli.demo.stage import Checks
from halflap.cli.demo.story import examples, follows
from tests.world import EXAMPLES


def test_a_clone_publishes_its_own_examples() -> None:
    """From the wheel, the whole demo is run with each commit (`tests/house/test_wheel.py`)."""
    assert examples().samefile(EXAMPLES)


@pytest.mark.soak
def test_the_demo_passes_from_a_clone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "halflap", "demo"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
    )
    *checks, tip = done.stdout.strip().split("\n\nWhat next: ")
    assert "demo --keep" in tip
    last = "".join(checks).splitlines()[-1]
    passed, _, total = last.removeprefix("demo: ").removesuffix(" checks passed").partition(" of ")
    assert (done.returncode, passed) == (0, total), done.stdout + done.stderr
    assert int(total) >= 35


def test_a_check_that_does_not_hold_is_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    checks = Checks()
    checks.check(True, "this holds")
    checks.check(False, "this does not")
    assert checks.close() == 1
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "demo: 1 of 2 checks passed"
    assert "✗ this does not" in said


def test_a_check_tells_its_time_unless_it_measured_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    checks = Checks()
    checks.check(True, "timed", "seen")
    checks.check(True, "measured", "7 ms", timed=False)
    timed, measured = capsys.readouterr().out.splitlines()
    assert timed.startswith("  ✓ timed  seen  ")
    assert timed.endswith(" ms")
    assert measured == "  ✓ measured  7 ms"


async def test_what_never_follows_takes_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    async def look() -> bool:
        nonlocal looks
        looks += 1
        return looks == 3

    assert await follows(look) < math.inf
    monkeypatch.setattr("halflap.cli.demo.story.PATIENCE", 0.0)
    assert await follows(look) == math.inf
