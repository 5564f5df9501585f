"""One run of one workload on one peer: the same load and destination as ours, the same figures."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench import accounting
from bench.load import flood, steady
from bench.measure import PATIENCE, Figures, quantile, report
from bench.peers.peer import Peer, Running, running
from bench.process import BenchError, cpu_ms, started
from bench.workload import Workload

QUIET = 0.2
"""Of a core: below this a peer has nothing left to do."""

Arrivals = Mapping[str, tuple[int, int, int]]


def measure(
    peer: Peer,
    prepared: Path,
    port: int,
    workload: Workload,
    directory: Path,
    *,
    load: float,
    pace: float,
) -> Figures:
    """Run a workload once; what the keys mean stands in bench/report.py."""
    probes, warm, run, paces = (secrets.token_hex(4) for _ in range(4))
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as made,
        started("bench.destination", "--port", str(port)) as (sink, destination),
    ):
        place = Path(made) / "data"
        shutil.copytree(prepared, place)
        with running(peer, place, workload, probes) as process:
            warmed = flood(process.url, workload, warm, load, peer.threads)
            settle(process, destination)
            cpu, sink_cpu = process.cpu_ms(), cpu_ms(sink.pid)
            posts = report(destination)["requests"]
            flooded = flood(process.url, workload, run, load, peer.threads)
            settle(process, destination)
            cpu = process.cpu_ms() - cpu
            sink_cpu = cpu_ms(sink.pid) - sink_cpu
            rss = process.rss_mib()
            posts = report(destination)["requests"] - posts
            paced = steady(process.url, workload, paces, pace)
            settle(process, destination)
            ids: Arrivals = report(destination)["ids"]
    events = [*process.probes, *warmed.executions, *flooded.executions, *paced.executions]
    flows, seconds = ended(workload, run, ids)
    if not workload.effects:
        flows, seconds = len(flooded.executions), flooded.seconds
    last = {id.partition("/")[0]: at for id, (_, _, at) in ids.items()}
    delivered = [(last[e] - at) / 1e6 for e, at in paced.sent_at.items() if e in last]
    result = account(workload, events, {probes, warm, run, paces}, ids)
    return {
        "acknowledged": len(events),
        "refused": warmed.refused + flooded.refused + paced.refused,
        "lost": result.lost,
        "doubled": result.doubled,
        "unknown": result.unknown,
        "flows": flows,
        "flows_per_s": flows / seconds if flows and seconds else 0.0,
        "acks_per_s": len(flooded.executions) / flooded.seconds,
        "ack_p50_ms": quantile(paced.ack_ms, 0.5),
        "ack_p99_ms": quantile(paced.ack_ms, 0.99),
        "delivered_p50_ms": quantile(delivered, 0.5),
        "delivered_p99_ms": quantile(delivered, 0.99),
        "cpu_ms_per_flow": cpu / flows if flows else None,
        "rss_mib": rss,
        "wrk_ms_per_request": flooded.cpu_ms / max(len(flooded.executions), 1),
        "destination_ms_per_request": sink_cpu / posts if posts else None,
    }


def account(
    workload: Workload, acknowledged: Iterable[str], runs: set[str], ids: Arrivals
) -> accounting.Account:
    """Lost and doubled as for ours, by the events that were acknowledged.

    A peer also runs events whose answer the load generator did not wait for when its time was up:
    unknown are those alone that no sender of these runs can have sent.
    """
    events = {event: event for event in acknowledged}
    counts = {id: count for id, (count, _, _) in ids.items()}
    found = accounting.account(workload, events, events, counts)
    unknown = sum(id.partition("-")[0] not in runs for id in ids)
    return accounting.Account(found.lost, found.doubled, unknown)


def ended(workload: Workload, run: str, ids: Arrivals) -> tuple[int, float]:
    """Return how many events of a run have wholly arrived, and the seconds from first to last arrival."""
    mine = {id: seen for id, seen in ids.items() if id.startswith(run)}
    whole = {id.partition("/")[0] for id in mine}
    whole = {event for event in whole if all(due in mine for due in workload.due(event))}
    if not mine:
        return 0, 0.0
    began = min(first for _, first, _ in mine.values())
    return len(whole), (max(last for _, _, last in mine.values()) - began) / 1e9


def settle(process: Running, destination: str) -> None:
    """Wait until a peer does nothing and nothing arrives any more, for two seconds on end."""
    deadline = time.monotonic() + PATIENCE
    arrived = -1
    while time.monotonic() < deadline:
        used, began = process.cpu_ms(), time.monotonic()
        time.sleep(1.0)
        if process.cpu_ms() - used > QUIET * (time.monotonic() - began) * 1e3:
            arrived = -1
            continue
        now = report(destination)["requests"]
        if now == arrived:
            return
        arrived = now
    raise BenchError(f"a peer was not done {PATIENCE:.0f} s after its last event")
