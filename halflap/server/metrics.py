"""The server's metrics as OpenMetrics text: one table of them, and what collects and writes them.

No metric has a customer's name as a label: their number would grow with customers, and whoever reads
the metrics would learn them.
"""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import halflap
from halflap.engine.journal import JournalEngine
from halflap.gateway.app import Gateway
from halflap.gateway.edge import EdgeCounters
from halflap.model import ENDED, LIVE, Outcome, Start
from halflap.sdk.conformity import DEVIATIONS
from halflap.store.protocol import Filter
from halflap.store.store import Store

MEDIA_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric family: its name, its type, its description, and its label where it has one.

    values: those of the label that have a sample from the start; Prometheus sees no rise in a
    counter that was not there before.
    """

    name: str
    type: Literal["counter", "gauge", "info"]
    help: str
    label: str = ""
    values: Sequence[str] = ()

    @property
    def sample(self) -> str:
        """The name of its samples."""
        return self.name + {"counter": "_total", "info": "_info", "gauge": ""}[self.type]


METRICS = (
    Metric("halflap", "info", "The version and the role of this process."),
    Metric(
        "halflap_hook_answers",
        "counter",
        "Answers to requests at hooks.",
        "status",
        ("200", "401", "404", "429", "503"),
    ),
    Metric(
        "halflap_events",
        "counter",
        "Events at hooks: accepted, duplicate, filtered, handshake, backlog (refused with 429), "
        "unrouted (at a shared URL, for nobody's account) or rejected.",
        "result",
        ("accepted", "duplicate", "filtered", "handshake", "backlog", "unrouted", "rejected"),
    ),
    Metric("halflap_edge_connections", "counter", "Connections that were accepted."),
    Metric("halflap_edge_requests", "counter", "Requests that passed the edge."),
    Metric("halflap_edge_refusals", "counter", "Requests that the edge refused.", "code"),
    Metric("halflap_attempts", "counter", "Attempts of executions that began in this process."),
    Metric(
        "halflap_executions_ended",
        "counter",
        "Executions that ended in this process.",
        "state",
        sorted(ENDED),
    ),
    Metric("halflap_executions_running", "gauge", "Executions that run in this process now."),
    Metric(
        "halflap_answer_deviations",
        "counter",
        "Places at which an app's answer was not what its specification says; it is passed as it came.",
        "action",
    ),
    Metric("halflap_store_commits", "counter", "Transactions that this process committed."),
    Metric("halflap_store_up", "gauge", "1 where the store took a write, else 0."),
    Metric("halflap_executions_live", "gauge", "Executions without an outcome, in all.", "state"),
    Metric("halflap_dead_letters", "gauge", "Failed executions that nobody dismissed."),
    Metric(
        "halflap_oldest_due_seconds",
        "gauge",
        "How long the execution has waited that is due and not begun, a customer's limits included; "
        "0 where none is.",
    ),
    Metric("halflap_executions_parked", "gauge", "Executions that wait for a connection's mend."),
    Metric("halflap_connections_parked", "gauge", "Connections that executions wait for."),
    Metric("halflap_connections_resting", "gauge", "Connections that an app's limit lets rest."),
    Metric("halflap_listeners", "gauge", "Shards of listeners that are read, by state.", "state"),
    Metric("process_cpu_seconds", "counter", "CPU time of this process."),
    Metric("process_resident_memory_bytes", "gauge", "Resident memory of this process."),
    Metric("process_open_fds", "gauge", "Open file descriptors of this process."),
    Metric("process_max_fds", "gauge", "File descriptors that this process may have open."),
    Metric("process_start_time_seconds", "gauge", "When this process started, since 1970."),
)

Samples = dict[str, Mapping[str, float]]
"""Metric → value of its label (or nothing) → value."""


@dataclass(slots=True)
class Metrics:
    """Collects a process' metrics; what is of the store (for all processes) is read when asked for."""

    role: str
    engine: JournalEngine
    gateway: Gateway
    store: Store
    edge: Callable[[], EdgeCounters]
    started_at: float = field(default_factory=time.time)
    ended: Counter[str] = field(default_factory=Counter[str])

    def count_end(self, execution: str, outcome: Outcome, start: Start | None) -> None:
        """Count an execution that ended in this process."""
        self.ended[outcome.state] += 1

    def of_process(self) -> Samples:
        """Yield the samples that this process has without its store."""
        edge = self.edge()
        found: Samples = {
            "halflap_hook_answers": {str(key): n for key, n in self.gateway.answers.items()},
            "halflap_events": self.gateway.events,
            "halflap_edge_connections": {"": edge.connections},
            "halflap_edge_requests": {"": edge.requests},
            "halflap_edge_refusals": edge.refused,
            "halflap_attempts": {"": self.engine.attempts},
            "halflap_executions_ended": self.ended,
            "halflap_executions_running": {"": self.engine.running},
            "halflap_answer_deviations": DEVIATIONS,
            "halflap_store_commits": {"": self.store.commits},
            "process_cpu_seconds": {"": time.process_time()},
            "process_start_time_seconds": {"": self.started_at},
        }
        if (proc := Path("/proc/self")).exists():
            pages = int((proc / "statm").read_text().split()[1])
            found["process_resident_memory_bytes"] = {"": pages * PAGE}
            found["process_open_fds"] = {"": len(list((proc / "fd").iterdir()))}
            found["process_max_fds"] = {"": resource.getrlimit(resource.RLIMIT_NOFILE)[0]}
        return found

    async def of_store(self) -> Samples:
        """Yield the samples that the store has of all processes."""
        journal = self.store.journal
        live = await journal.count(Filter(states=LIVE))
        failed = await journal.count(Filter(dead_letters=True))
        due = await journal.next_due(held_back=True)
        parked, resting = await journal.parked(), await journal.resting()
        late = 0.0 if due is None else max(self.store.clock() - due, 0) / 1e6
        return {
            "halflap_executions_live": {state: live.get(state, 0) for state in LIVE},
            "halflap_dead_letters": {"": failed.get("failed", 0)},
            "halflap_oldest_due_seconds": {"": late},
            "halflap_executions_parked": {"": sum(parked.values())},
            "halflap_connections_parked": {"": len(parked)},
            "halflap_connections_resting": {"": len(resting)},
            "halflap_listeners": await journal.shards.count(),
        }

    def write(self, samples: Samples) -> bytes:
        """Samples as OpenMetrics text."""
        return "\n".join([*self._lines(samples), "# EOF", ""]).encode()

    def _lines(self, samples: Samples) -> Iterable[str]:
        for each in METRICS:
            yield f"# TYPE {each.name} {each.type}"
            yield f"# HELP {each.name} {each.help}"
            if each.type == "info":
                yield f'{each.sample}{{version="{halflap.__version__}",role="{self.role}"}} 1'
            found = dict.fromkeys(each.values, 0) | dict(samples.get(each.name, {}))
            for value, number in sorted(found.items()):
                label = f'{{{each.label}="{value}"}}' if each.label else ""
                yield f"{each.sample}{label} {number}"
