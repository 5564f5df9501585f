"""The server of the runs with an app endpoint: `server.py`, with two integrations and many receivers.

`--die` kills it once, between the commit of the first event and its answer. With `--forget`, the
control, it answers before a commit that never comes.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import structlog

from halflap.gateway.server import run_loop
from halflap.model import Start, Started
from halflap.server.host import Host
from tests.faults.server import main, parser
from tests.gateway.chats import Chats
from tests.plainlog import plain_logs

CUSTOMERS = 5


class DyingIntake:
    """An intake that dies with the process: what was accepted is on disk, and nobody was answered."""

    def __init__(self, engine: Any, *, forgets: bool) -> None:
        self._engine = engine
        self._forgets = forgets

    async def start(self, starts: Sequence[Start]) -> list[Started]:
        if self._forgets:
            return [Started(each.execution) for each in starts]
        await self._engine.start(starts)
        return die()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def die() -> NoReturn:
    """Kill the process that this runs in."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def prepared(folder: Path, *, dies: bool, forgets: bool) -> Any:
    """Return a function that makes the customers where there are none."""

    async def prepare(host: Host, _: str) -> dict[str, str]:
        chats = Chats(host, folder)
        if await host.store.catalogue.instances.list():
            [app] = await host.store.catalogue.oauth_apps.list()
            return {"app": host.resolver.builder.url(app.endpoint)}
        await chats.publish()
        for number in range(CUSTOMERS):
            for integration in ("left", "right"):
                await chats.instance(f"customer {number}", "T1", integration)
        if dies:
            broken: Any = host.gateway
            broken._engine = DyingIntake(host.engine, forgets=forgets)
        return {"app": chats.url}

    return prepare


if __name__ == "__main__":
    plain_logs(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    arguments = parser()
    arguments.add_argument("--projects", type=Path)
    arguments.add_argument("--die", action="store_true")
    arguments.add_argument("--forget", action="store_true")
    options = arguments.parse_args()
    prepare = prepared(options.projects, dies=options.die, forgets=options.forget)
    raise SystemExit(run_loop(main(options, prepare)))
