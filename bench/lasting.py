"""Measure what stays as it is: speed as history grows, memory as executions pass, rest when idle."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from urllib.parse import urlsplit

from bench import accounting
from bench.load import flood
from bench.measure import FLOW, Figures, drain, report, serving
from bench.process import cpu_ms, rss_mib, started
from bench.report import NEVER
from bench.stores import Keeper, Store
from bench.workload import WORKLOADS, Workload

W2 = WORKLOADS["W2"]
FULL = 1_000_000
MANY, FEW = 100_000, 10_000
ROUNDS = 3
QUICK = 1.0
"""For how many seconds a quick run floods."""


def history(keeper: Keeper, *, quick: bool) -> Figures:
    """W2 with a million stored executions and with none, in turn."""
    executions = FULL // 50 if quick else FULL
    rounds, load = (1, QUICK) if quick else (ROUNDS, 4.0)
    found: dict[str, list[Figures]] = {"empty": [], "full": []}
    with started("bench.destination") as (_, destination), keeper.fresh() as full:
        with serving(full, W2, destination) as (_, url):
            flood(url, W2, secrets.token_hex(4), 1.0)
            drain(full)
        stored = full.multiply(executions)
        hook = urlsplit(url).path
        for _ in range(rounds):
            with keeper.fresh() as empty:
                found["empty"].append(_flooded(empty, destination, "", load))
            found["full"].append(_flooded(full, destination, hook, load))
    beside = _beside(found)
    return {
        "title": "W2 flows/s with many stored executions ÷ with none",
        "value": beside["flows_per_s_full"] / beside["flows_per_s_empty"],
        "target": ">= 0.9",
        "stored": stored,
        "rounds": rounds,
        **beside,
    }


def _beside(found: Mapping[str, Sequence[Figures]]) -> Figures:
    """The medians of runs by name, side by side, and what was lost or doubled in any of them."""
    figures: Figures = {
        f"{key}_{name}": median(each[key] for each in runs)
        for key in ("flows_per_s", "cpu_ms_per_flow")
        for name, runs in found.items()
    }
    every = [each for runs in found.values() for each in runs]
    return figures | {key: sum(each[key] for each in every) for key in NEVER}


def _flooded(
    store: Store, destination: str, hook: str, load: float, workload: Workload = W2
) -> Figures:
    run = secrets.token_hex(4)
    with serving(store, workload, destination, hook) as (server, url):
        if load > QUICK:  # who asks for a quick run does not ask how fast it is when warm
            flood(url, workload, run[::-1], 1.0)
            drain(store)
        after = time.time_ns() // 1_000
        cpu = cpu_ms(server.pid)
        sent = flood(url, workload, run, load)
        drain(store)
        cpu = cpu_ms(server.pid) - cpu
        held = store.read(FLOW, after)
        ids = report(destination)["ids"]
    arrived = {id: seen[0] for id, seen in ids.items() if id.startswith(run)}
    result = accounting.account(W2, sent.executions, held.events, arrived)
    return {
        "flows_per_s": held.executions / held.seconds,
        "cpu_ms_per_flow": cpu / held.executions,
        "lost": result.lost,
        "doubled": result.doubled,
        "unknown": result.unknown,
    }


def memory(keeper: Keeper, *, quick: bool) -> Figures:
    """The memory of a server after 100,000 executions, and after 10,000."""
    few, many = (FEW // 10, MANY // 10) if quick else (FEW, MANY)
    with (
        started("bench.destination") as (_, destination),
        keeper.fresh() as store,
        serving(store, W2, destination) as (server, url),
    ):
        done = 0

        def passed(executions: int) -> float:
            nonlocal done
            while done < executions:
                done += len(
                    flood(url, W2, secrets.token_hex(4), QUICK if quick else 2.0).executions
                )
            drain(store)
            return rss_mib(server.pid)

        first, after_few = passed(few), done
        last = passed(many)
    return {
        "title": f"RSS after {many:,} executions ÷ after {few:,}",
        "value": last / first,
        "target": "<= 1.1",
        "rss_mib_few": first,
        "rss_mib_many": last,
        "executions_few": after_few,
        "executions_many": done,
    }


def idle(keeper: Keeper, *, quick: bool) -> Figures:
    """The CPU of a server that has nothing to do, and of its store's own processes."""
    seconds = 3.0 if quick else 30.0
    with (
        started("bench.destination") as (_, destination),
        keeper.fresh() as store,
        serving(store, W2, destination) as (server, url),
    ):
        flood(url, W2, secrets.token_hex(4), 1.0)
        drain(store)
        time.sleep(2.0)
        began, cpu, store_cpu = time.monotonic(), cpu_ms(server.pid), store.cpu_ms()
        time.sleep(seconds)
        passed = (time.monotonic() - began) * 1e3
        cpu, store_cpu = cpu_ms(server.pid) - cpu, store.cpu_ms() - store_cpu
    return {
        "title": "idle CPU, of a core",
        "value": cpu / passed,
        "target": "<= 0.01",
        "store_value": store_cpu / passed,
        "seconds": seconds,
    }


def yaml(keeper: Keeper, *, quick: bool) -> Figures:
    """W2 written in Python, in YAML, and in YAML with a code step, in turn."""
    rounds, load = (1, QUICK) if quick else (ROUNDS, 4.0)
    kinds = {
        "python": W2,
        "yaml": replace(W2, module="forward.yaml"),
        "code": replace(W2, module="coded.yaml"),
    }
    found: dict[str, list[Figures]] = {name: [] for name in kinds}
    with started("bench.destination") as (_, destination):
        for _ in range(rounds):
            for name, workload in kinds.items():
                with keeper.fresh() as store:
                    found[name].append(_flooded(store, destination, "", load, workload))
    beside = _beside(found)
    return {
        "title": "W2 flows/s in YAML ÷ in Python",
        "value": beside["flows_per_s_yaml"] / beside["flows_per_s_python"],
        "target": ">= 0.8",
        "rounds": rounds,
        **beside,
    }


LASTING: dict[str, Callable[..., Figures]] = {
    "history": history,
    "memory": memory,
    "idle": idle,
    "yaml": yaml,
}
