"""The role of a Halflap process: all of it, or a part where many share one store."""

from __future__ import annotations

from dataclasses import dataclass

from halflap.errors import ConfigError
from halflap.server.settings import Settings


@dataclass(frozen=True, slots=True)
class Role:
    """A process' part. `accepts`: hooks come in there. `runs`: executions run there, and all that
    goes on by itself: probation, deployments, schedules, pruning. `listens`: the API is there.
    """

    name: str
    accepts: bool
    runs: bool
    listens: bool = True
    serves: bool = True
    """False for a command, which makes the move that it is asked for, and runs nothing else."""

    @property
    def answers(self) -> bool:
        """True if anybody calls it: over the network, or a command in its own process."""
        return self.accepts or self.listens

    def check(self, settings: Settings) -> None:
        """Refuse what a part of many cannot do with: a store that only one process can open, no
        address of all of them.
        """
        if self.accepts and self.runs:
            return
        if not settings.store:
            raise ConfigError(
                f"halflap {self.name} is one of many processes on one store, and a store in a file "
                "is open to one process only: name a PostgreSQL database with --store or "
                "HALFLAP_STORE, or run everything in one process with: halflap serve"
            )
        if not settings.public_url:
            raise ConfigError(
                f"halflap {self.name} has to know at which URL senders reach the gateways: flows "
                "subscribe apps to it, and links lead there. Set HALFLAP_PUBLIC_URL (or "
                "--public-url), the same in every process, such as https://hooks.example.com"
            )


SERVE = Role("serve", accepts=True, runs=True)
GATEWAY = Role("gateway", accepts=True, runs=False)
COMMAND = Role("command", accepts=True, runs=True, listens=False, serves=False)
"""A command that opens the store itself, since no server has it open here."""
WORKER = Role("worker", accepts=False, runs=True, listens=False)
