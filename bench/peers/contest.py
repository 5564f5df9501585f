"""All peers, each workload in turn with ours, and what comes of it beside ours."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench import report
from bench.load import flood
from bench.measure import Figures, drain, serving
from bench.measure import report as arrivals
from bench.peers import install
from bench.peers.measure import ended, measure, settle
from bench.peers.n8n import N8N, N8N_FASTEST
from bench.peers.nodered import NODE_RED
from bench.peers.peer import Peer, Running, free_port, running
from bench.process import BenchError, started
from bench.stores import Keeper
from bench.workload import WORKLOADS, Workload

PEERS = (NODE_RED, N8N, N8N_FASTEST)
HIGHER = ("flows_per_s", "acks_per_s")
LOWER = (
    "ack_p50_ms",
    "ack_p99_ms",
    "delivered_p50_ms",
    "delivered_p99_ms",
    "cpu_ms_per_flow",
    "rss_mib",
)
SETTING = ("at", "commit", "store", "cores", "filesystem", "quick")
LOAD_SECONDS, PACE_SECONDS = 4.0, 15.0
SLICES, SLICE_SECONDS = 6, 3.0


@contextmanager
def open_contest(directory: Path, *, quick: bool) -> Generator[Contest]:
    """Install the peers, and prepare them in a directory on the disk to measure."""
    install.install()
    with tempfile.TemporaryDirectory(prefix="peers-", dir=directory) as made:
        yield Contest(Path(made), quick=quick)


class Contest:
    """The peers, installed and prepared once; every run starts each on a copy, with nothing stored."""

    def __init__(self, made: Path, *, quick: bool) -> None:
        self._load, self._pace = (2.0, 1.0) if quick else (LOAD_SECONDS, PACE_SECONDS)
        self._slices = 1 if quick else SLICES
        self._found: dict[tuple[str, str], list[Figures]] = {}
        self._pairs: dict[tuple[str, str], list[float]] = {}
        self._made, self._port = made, free_port()
        self._prepared: dict[Any, Path] = {}
        for peer in PEERS:
            if peer.prepare not in self._prepared:
                place = made / peer.name
                place.mkdir()
                peer.prepare(place, f"http://127.0.0.1:{self._port}")
                self._prepared[peer.prepare] = place

    def measure(self, workload: Workload) -> None:
        """Run a workload once on every peer; one that fails is told of, and has no line."""
        for peer in PEERS:
            try:
                figures = measure(
                    peer,
                    self._prepared[peer.prepare],
                    self._port,
                    workload,
                    self._made,
                    load=self._load,
                    pace=self._pace,
                )
            except BenchError as error:
                report.say(f"{workload.name}, {peer.name}: not measured: {error}")
                continue
            self._found.setdefault((peer.name, workload.name), []).append(figures)
            report.say(
                f"{workload.name}, {peer.name}: {figures['flows_per_s']:,.0f} flows/s, "
                f"{figures['lost']} lost, {figures['doubled']} doubled"
            )

    def alternate(self, workload: Workload, stores: Keeper) -> None:
        """Load ours and a peer in turn, a few seconds each, with all of them up.

        Where the machine's speed varies, both of a pair have about the same: so of rates, the median of
        the pairs' ratios is reported.
        """
        with ExitStack() as stack:
            made = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self._made)))
            sink = started("bench.destination", "--port", str(self._port))
            _, destination = stack.enter_context(sink)
            store = stack.enter_context(stores.fresh())
            _, ours = stack.enter_context(serving(store, workload, destination))
            up: list[tuple[Peer, Running]] = []
            for peer in PEERS:
                place = made / peer.name
                shutil.copytree(self._prepared[peer.prepare], place)
                try:
                    serves = running(peer, place, workload, secrets.token_hex(4))
                    up.append((peer, stack.enter_context(serves)))
                except BenchError as error:
                    report.say(f"{workload.name}, {peer.name}: not measured in slices: {error}")
            for number in range(self._slices + 1):  # the first one warms up
                for peer, process in up:
                    run = secrets.token_hex(4)
                    flood(ours, workload, run, SLICE_SECONDS)
                    drain(store)
                    mine = rate(workload, run, destination)
                    run = secrets.token_hex(4)
                    flood(process.url, workload, run, SLICE_SECONDS, peer.threads)
                    settle(process, destination)
                    theirs = rate(workload, run, destination)
                    if number and mine and theirs:
                        pairs = self._pairs.setdefault((peer.name, workload.name), [])
                        pairs.append(mine / theirs)
                        report.say(f"{peer.name}, slice {number}: {mine:,.0f} ÷ {theirs:,.0f}")

    def lines(self, ours: Sequence[Figures]) -> list[Figures]:
        """A line for every peer and workload, with the ratios to ours."""
        about = {"node": install.node_version()}
        setting = {key: ours[0][key] for key in SETTING}
        beside = {each["workload"]: each for each in ours}
        lines: list[Figures] = []
        for peer in PEERS:
            for name, workload in WORKLOADS.items():
                if (runs := self._found.get((peer.name, name))) is None:
                    continue
                figures = report.combined(runs)
                better = ratios(beside[name], figures)
                if pairs := self._pairs.get((peer.name, name)):
                    better["flows_per_s"] = report.rounded(median(pairs))
                    figures["slices"] = [report.rounded(each) for each in pairs]
                lines.append(
                    {"workload": name, "title": workload.title, **_about(peer, name), **about}
                    | {**setting, **figures, "ours_better": better}
                )
        return lines


def rate(workload: Workload, run: str, destination: str) -> float:
    """Return how many flows of a run have arrived in a second; 0.0 where none has."""
    flows, seconds = ended(workload, run, arrivals(destination)["ids"])
    return flows / seconds if seconds else 0.0


def _about(peer: Peer, workload: str) -> Figures:
    return {
        "peer": peer.name,
        "version": install.version(peer.package),
        "setup": peer.setup,
        "differs": peer.differs.get(workload, ""),
    }


def ratios(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, float | None]:
    """By how many times ours is better, figure by figure; None where either has none."""
    found: dict[str, float | None] = {}
    for key in (*HIGHER, *LOWER):
        mine, other = ours[key], theirs[key]
        above, below = (mine, other) if key in HIGHER else (other, mine)
        found[key] = report.rounded(above / below) if above and below else None
    return found
