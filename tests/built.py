"""Build the console where it is not up to date, for tests that are run without `make test`."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "halflap" / "console" / "static"


def build_console() -> Path:
    """Return the folder of the built console; of several processes, one builds it."""
    with (ROOT / ".venv" / "console.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(
            ["make", "--silent", "console"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert made.returncode == 0, made.stdout + made.stderr
    return STATIC
