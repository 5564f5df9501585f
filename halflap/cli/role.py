"""What a process of Halflap is there for: all of it, or a part where many share one store."""

from __future__ import annotations

from dataclasses import dataclass

from halflap.cli.settings import Settings
from halflap.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Role:
    """A process' part. `accepts`: hooks come in there. `runs`: executions run there, and all that
    goes on by itself: probation, deployments, schedules, pruning. `listens`: the API is there.
    """

    name: str
    accepts: bool
    runs: bool
    listens: bool = True

    def check(self, settings: Settings) -> None:
        """Refuse a store that only one process can open, where this is a part of many."""
        if not (self.accepts and self.runs) and not settings.store:
            raise ConfigError(
                f"halflap {self.name} is one of many processes on one store, and a store in a file "
                "is open to one process only: name a PostgreSQL database with --store or "
                "HALFLAP_STORE, or run everything in one process with: halflap serve"
            )


SERVE = Role("serve", accepts=True, runs=True)
GATEWAY = Role("gateway", accepts=True, runs=False)
COMMAND = Role("command", accepts=True, runs=True, listens=False)
"""A command that opens the store itself, since no server has it open here."""
WORKER = Role("worker", accepts=False, runs=True, listens=False)
