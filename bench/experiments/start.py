"""Starts of `halflap serve`: how long until its first event is accepted, and what it takes.

    python -m bench.experiments.start --runs 10

A store with one active instance is made first. Each run starts the command, and sends an event to
the instance's URL again and again until it is accepted. Printed are, as median and least: seconds
from the start until then, seconds of processor time of all its processes, and MiB (PSS) a little
later. The first run, which fills caches, is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from bench.process import REPOSITORY, TICKS, end, stat
from bench.workload import INTEGRATIONS
from halflap.cli.bench import activate, order
from halflap.engine.bundle import pack
from halflap.server.host import Host
from halflap.server.settings import Settings

PORT = 18_471
KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
REST_SECONDS = 2.0


async def prepare(directory: Path) -> str:
    """Make a store with an active instance, and return the path of its URL."""
    host = await Host.open(Settings(dir=directory, port=0, keys=KEYS))
    serving = asyncio.create_task(host.serve(ready=lambda _: None))
    url = await activate(host, pack(INTEGRATIONS, "hostile:integration"), "")
    serving.cancel()
    await asyncio.wait([serving])
    return url.partition("/hooks/")[2]


def tree(root: int) -> list[int]:
    """Return a process and all that it started."""
    found = [root]
    for pid in found:
        children = Path(f"/proc/{pid}/task/{pid}/children")
        found += map(int, children.read_text().split()) if children.exists() else ()
    return found


def started(directory: Path, path: str, number: int) -> tuple[float, float, float]:
    """Start it once: seconds until an event is accepted, seconds of processor time, MiB."""
    environment = {**os.environ, "HALFLAP_KEYS": KEYS, "HALFLAP_PORT": str(PORT)}
    command = (sys.executable, "-m", "halflap", "serve", "--dir", str(directory))
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _accepted(path, number):
            if process.poll() is not None or time.perf_counter() - began > 60:
                raise SystemExit("it does not start; run the command by hand to see why")
            time.sleep(0.01)
        took = time.perf_counter() - began
        times = [found for pid in tree(process.pid) if (found := stat(pid)) is not None]
        computed = sum(int(each[11]) + int(each[12]) for each in times) / TICKS
        time.sleep(REST_SECONDS)
        return took, computed, sum(map(_pss, tree(process.pid)))
    finally:
        end(process)


def _accepted(path: str, number: int) -> bool:
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}/hooks/{path}", order(number, f"start-{number}")
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status < 300
    except (urllib.error.URLError, ConnectionError):
        return False


def _pss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(each.split()[1]) for each in lines if each.startswith("Pss:")) / 1024


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--prepare", type=Path, help="make the store here, and do nothing else")
    given = parser.parse_args()
    if given.prepare is not None:
        print(asyncio.run(prepare(given.prepare)))
        return
    with tempfile.TemporaryDirectory() as folder:
        command = (sys.executable, "-m", __spec__.name, "--prepare", folder)
        path = subprocess.check_output(command, cwd=REPOSITORY, text=True).strip()
        runs = [started(Path(folder), path, number) for number in range(given.runs + 1)][1:]
    for name, values in zip(
        ("seconds", "CPU seconds", "MiB"), zip(*runs, strict=True), strict=True
    ):
        print(f"{name}: median {statistics.median(values):.2f}, least {min(values):.2f}")


if __name__ == "__main__":
    main()
