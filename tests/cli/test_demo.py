"""The demo: all its checks hold here, and one that does not hold is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from halflap.cli.demo.checks import Checks
from halflap.cli.demo.customer import Customer
from halflap.cli.demo.people import in_time
from halflap.cli.demo.tally import NEVER, Tally

INITECH = Customer("Initech", "cus_1", {}, "", "")
GLOBEX = Customer("Globex", "cus_2", {}, "", "")


def test_the_demo_passes_from_a_clone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "halflap", "demo"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
    )
    last = done.stdout.strip().splitlines()[-1]
    passed, _, total = last.removeprefix("demo: ").removesuffix(" checks passed").partition(" of ")
    assert (done.returncode, passed) == (0, total), done.stdout + done.stderr
    assert int(total) >= 50


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


def test_what_follows_is_timed_and_what_never_does_is_told() -> None:
    holds, claim, shown = in_time("it follows", [INITECH, GLOBEX], [7.4, 8.6])
    assert (holds, claim, shown) == (True, "it follows", "Initech 7 ms  Globex 9 ms")
    assert not in_time("it follows", [INITECH, GLOBEX], [7.4, NEVER])[0]


def test_tallies_are_taken_together_and_apart() -> None:
    before, after = Tally(1, 2, 0, 1), Tally(4, 6, 1, 4)
    assert after - before == Tally(3, 4, 1, 3)
    assert (after - before) + before == after
