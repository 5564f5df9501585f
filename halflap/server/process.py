"""A server's process from its start to its end: it serves until a signal, then drains."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import structlog

from halflap.model import Outcome, Start
from halflap.server.address import remove_address
from halflap.server.host import Host
from halflap.server.role import Role
from halflap.server.settings import Settings

log = structlog.get_logger("halflap.server")


@dataclass(slots=True)
class ServerProcess:
    """Runs a host in this process; its address is left for other commands meanwhile.

    ready: called once it listens (or runs, where it does not listen). draining: called when it is
    asked to stop, with the number of executions that run.
    """

    role: Role
    settings: Settings
    _: KW_ONLY
    ready: Callable[[Host], object]
    draining: Callable[[int], object]
    listened: bool = False

    async def run(self) -> None:
        """Serve until a signal; then let running executions end. A second signal ends it at once."""
        stop = asyncio.Event()
        interrupted(stop)
        host = await Host.open(self.settings, role=self.role)
        host.engine.on_end(log_failure)
        asked = asyncio.create_task(stop.wait(), name="stop")
        serving = asyncio.create_task(
            host.serve(ready=lambda _: self._listens(host)), name="server"
        )
        try:
            await asyncio.wait([serving, asked], return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                self.draining(host.engine.running)
        finally:
            asked.cancel()
            if self.listened:
                remove_address(self.settings.dir)
            await host.stop()
            await serving

    def _listens(self, host: Host) -> None:
        self.listened = True
        if self.role.listens:
            host.address.write(self.settings.dir)
        self.ready(host)


def interrupted(stop: asyncio.Event) -> None:
    """Let Ctrl-C and SIGTERM set an event; a second one ends the process at once."""
    loop = asyncio.get_running_loop()

    def heard(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, heard, each)


def log_failure(execution: str, outcome: Outcome, start: Start | None) -> None:
    """Log an execution that failed, once, with what replays it, or shows what is in doubt."""
    if outcome.state != "failed":
        return
    verb = "show" if outcome.failure is not None and outcome.failure.in_doubt else "replay"
    about = {} if start is None else {"flow": f"{start.flow.integration}.{start.flow.flow}"}
    log.error(
        "execution failed",
        execution=execution,
        **about,
        reason=outcome.reason,
        **{verb: f"halflap executions {verb} {execution}"},
    )
