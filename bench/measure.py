"""One run of one workload: a fresh store, a server, a destination; a flood, then a steady 20/s."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

from bench import accounting
from bench.load import flood, steady
from bench.process import BenchError, cpu_ms, rss_mib, started
from bench.stores import Keeper, Store
from bench.workload import WORKLOADS, Workload

PATIENCE, QUIET = 120.0, 0.5
FLOW = "orders"

Figures = dict[str, Any]


def measure(workload: Workload, keeper: Keeper, *, load: float, pace: float) -> Figures:
    """Run a workload once; what the keys mean stands in report.py."""
    run = secrets.token_hex(4)
    with (
        keeper.fresh() as store,
        started("bench.destination") as (sink, destination),
        serving(store, workload, destination) as (server, url),
    ):
        empty = store.used_bytes()
        cpu, sink_cpu, store_cpu = cpu_ms(server.pid), cpu_ms(sink.pid), store.cpu_ms()
        flooded = flood(url, workload, run, load)
        drain(store)
        cpu = cpu_ms(server.pid) - cpu
        sink_cpu = cpu_ms(sink.pid) - sink_cpu
        store_cpu = store.cpu_ms() - store_cpu
        rss = rss_mib(server.pid)
        full, sizes = store.read(FLOW), store.sizes(FLOW)
        grown = store.used_bytes() - empty
        posts = report(destination)["requests"]
        paced = steady(url, workload, run[::-1], pace)
        drain(store)
        seen = report(destination)
        arrived = {id: count for id, (count, _, _) in seen["ids"].items()}
        acknowledged = flooded.executions + paced.executions
        result = accounting.account(workload, acknowledged, store.read(FLOW).events, arrived)
    last = {id.partition("/")[0]: at for id, (_, _, at) in seen["ids"].items()}
    delivered = [(last[e] - at) / 1e6 for e, at in paced.sent_at.items() if e in last]
    return {
        "acknowledged": len(acknowledged),
        "refused": flooded.refused + paced.refused,
        "lost": result.lost,
        "doubled": result.doubled,
        "unknown": result.unknown,
        "flows": full.executions,
        "flows_per_s": full.executions / full.seconds,
        "acks_per_s": len(flooded.executions) / flooded.seconds,
        "ack_p50_ms": quantile(paced.ack_ms, 0.5),
        "ack_p99_ms": quantile(paced.ack_ms, 0.99),
        "delivered_p50_ms": quantile(delivered, 0.5),
        "delivered_p99_ms": quantile(delivered, 0.99),
        "cpu_ms_per_flow": cpu / full.executions,
        "store_cpu_ms_per_flow": store_cpu / full.executions,
        "rss_mib": rss,
        "steps_per_flow": sizes.steps / full.executions,
        "stored_bytes_per_flow": (grown - sizes.event_bytes) / full.executions,
        "wrk_ms_per_request": flooded.cpu_ms / max(len(flooded.executions), 1),
        "destination_ms_per_request": sink_cpu / posts if posts else None,
    }


@contextmanager
def serving(
    store: Store, workload: Workload, destination: str, hook: str = ""
) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Serve a store; with `hook`, the path of a URL that an earlier server of it gave, again."""
    given = [str(store.directory), workload.module, destination]
    with started("bench.server", *given, "--store", store.url, "--hook", hook) as found:
        yield found


def control(keeper: Keeper) -> Figures:
    """W2 with a destination that forgets some and doubles some: each has to be seen.

    One acknowledged execution is made up as well: the store has never heard of it.
    """
    workload = WORKLOADS["W2"]
    with (
        keeper.fresh() as store,
        started("bench.destination", "--forget", "7", "--twice", "10") as (_, destination),
        serving(store, workload, destination) as (_, url),
    ):
        sent = steady(url, workload, secrets.token_hex(4), 2.0)
        drain(store)
        seen = report(destination)
        arrived = {id: count for id, (count, _, _) in seen["ids"].items()}
        made_up = [*sent.executions, "exe_made_up"]
        found = accounting.account(workload, made_up, store.read(FLOW).events, arrived)
    planted = {"lost": seen["forgotten"] + 1, "doubled": seen["doubled"]}
    figures = {"planted": planted, "found": {"lost": found.lost, "doubled": found.doubled}}
    if planted != figures["found"] or min(planted.values()) < 2:
        raise BenchError(f"the control did not bite: {figures}")
    return figures


def drain(store: Store) -> None:
    """Wait until every execution has ended, and a while longer.

    As a sender leaves, a loaded server may not have read all that it was sent.
    """
    deadline, quiet_since = time.monotonic() + PATIENCE, time.monotonic()
    while (now := time.monotonic()) - quiet_since < QUIET:
        if live := store.live():
            quiet_since = now
        if now > deadline:
            raise BenchError(f"{live} executions did not end within {PATIENCE:.0f} s")
        time.sleep(0.1)


def report(destination: str) -> dict[str, Any]:
    """Return what the destination saw."""
    with urlopen(f"{destination}/report") as answer:
        return json.loads(answer.read())


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else None
