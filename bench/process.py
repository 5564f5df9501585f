"""Processes of the benchmark: how they are started and ended, and what /proc says of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """The benchmark cannot run here, or what it measured cannot be right."""


@contextmanager
def started(
    module: str, *arguments: str, cwd: Path = REPOSITORY
) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Run a module of ours, or of the checkout at `cwd`; yields the process and the URL that its
    first line of JSON names.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith('{"url"'):
                break
            sys.stderr.write(line)  # what it logs, as it starts slowly, say
        else:
            raise BenchError(f"{module} did not start; what it said is above")
        yield process, json.loads(line)["url"]
    finally:
        end(process)
        if process.stdout is not None:
            process.stdout.close()


def end(process: subprocess.Popen[Any], number: int = signal.SIGTERM) -> None:
    """Ask a process to end, and wait; end it where it does not within 30 s."""
    process.send_signal(number)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def stat(pid: int) -> list[str] | None:
    """Return what the system says of a process, from its state on; None where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def processes(*, session: int | None = None, parent: int | None = None) -> list[int]:
    """All processes of a session, or all children of a process."""
    place, wanted = (3, session) if parent is None else (1, parent)
    pids = (int(each.name) for each in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if (found := stat(pid)) and int(found[place]) == wanted]


def cpu_ms(pid: int) -> float:
    """CPU time that a process has used, all its threads together; 0 where it has ended."""
    fields = stat(pid)
    return sum(map(int, fields[11:13])) * 1000 / TICKS if fields is not None else 0.0


def rss_mib(pid: int) -> float:
    """Memory that a process has resident."""
    return _mib(pid, "status", "VmRSS:")


def pss_mib(pid: int) -> float:
    """Memory of a process, with its share of what it has in common with others."""
    return _mib(pid, "smaps_rollup", "Pss:")


def _mib(pid: int, file: str, name: str) -> float:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(name):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


class Others:
    """The load of other programs on this machine from now on, the benchmark's own having ended then."""

    def __init__(self) -> None:
        self._since, self._used = time.monotonic(), _used_by_others()

    def cores(self) -> float:
        """Return the cores that they kept busy in the mean: with more than a few tenths, times lie."""
        return max(_used_by_others() - self._used, 0.0) / (time.monotonic() - self._since)


def _used_by_others() -> float:
    """CPU seconds of everybody, the hypervisor too, less those of ours that we waited for."""
    with suppress(OSError):
        user, nice, system, _, _, *rest = Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
        return sum(map(int, (user, nice, system, *rest))) / TICKS - sum(os.times()[:4])
    return 0.0


def wrk() -> str:
    """The native load generator, installed by apt-get where it is missing and that is allowed."""
    found = shutil.which("wrk")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print("bench: installing wrk", file=sys.stderr)
        subprocess.run(["apt-get", "install", "-qq", "-y", "wrk"], stdout=sys.stderr, check=False)
        found = shutil.which("wrk")
    if found is None:
        raise BenchError(
            "wrk, the load generator, is not installed and cannot be from here. "
            "Install it (apt-get install wrk; brew install wrk), then run this again."
        )
    return found
