"""A peer in the benchmark, and how its process is run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from bench.peers.install import node
from bench.process import BenchError, cpu_ms, end, processes, rss_mib
from bench.workload import Workload

STARTS_WITHIN = 120.0
PROBES = 5
_open = build_opener(ProxyHandler({})).open


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer in one set-up."""

    name: str
    package: str
    setup: str
    """The set-up of each part, in a sentence that the results repeat."""
    differs: Mapping[str, str]
    """Workload → where its flow does not do just what ours does."""
    path: str
    """Where its hooks are; `{}` stands for the workload's name in lower case."""
    threads: int
    """Of wrk: 1 where its answers name their event, else one a connection."""
    prepare: Callable[[Path, str], None]
    """Make a directory with all flows in it, for a destination's URL."""
    command: Callable[[Path, int], list[str]]
    """The command that Node runs in such a directory to serve on a port."""
    says: tuple[str, ...] = ()
    """Texts that its output has said once it has started."""
    environment: Callable[[Path, int], Mapping[str, str]] = field(default=lambda _d, _p: {})


class Running:
    """A peer's process and those that it started, which share its session."""

    def __init__(self, pid: int, url: str) -> None:
        self._pid = pid
        self.url = url
        self.probes: list[str] = []

    def pids(self) -> list[int]:
        """All of them."""
        return processes(session=self._pid)

    def cpu_ms(self) -> float:
        """CPU time that they have used together."""
        return sum(cpu_ms(pid) for pid in self.pids())

    def rss_mib(self) -> float:
        """Memory that they have resident together."""
        total = 0.0
        for pid in self.pids():
            with suppress(OSError):
                total += rss_mib(pid)
        return round(total, 1)


def environment(directory: Path, peer: Peer, port: int) -> dict[str, str]:
    """A bare environment, in which no proxy, token or setting of the machine is."""
    bare = {"PATH": os.environ["PATH"], "HOME": str(directory), "LANG": "C.UTF-8"}
    return bare | {"NODE_ENV": "production"} | dict(peer.environment(directory, port))


@contextmanager
def running(peer: Peer, directory: Path, workload: Workload, run: str) -> Generator[Running]:
    """Serve a prepared directory; yields once some events in a row were taken with a 2xx."""
    port = free_port()
    log = directory / "output.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [node(), *peer.command(directory, port)],
            cwd=directory,
            env=environment(directory, peer, port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}{peer.path.format(workload.name.lower())}"
    found = Running(process.pid, url)
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        number = row = 0
        while row < PROBES:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text()[-3_000:]
                raise BenchError(f"{peer.name} took no event; its output ends:\n{said}")
            if all(each in log.read_text() for each in peer.says):
                number += 1
                event = f"{run}-{number:08}"
                if taken(url, workload.event(event)):
                    found.probes.append(event)
                    row += 1
                else:
                    row = 0
            time.sleep(0.25)
        yield found
    finally:
        end(process)
        for pid in found.pids():
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, signal.SIGKILL)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def taken(url: str, body: bytes) -> bool:
    """Send an event, and return whether it is answered with a 2xx."""
    request = Request(url, body, {"content-type": "application/json"})
    try:
        with _open(request, timeout=30) as answer:
            return 200 <= answer.status < 300
    except (HTTPError, URLError, OSError):
        return False
