"""Halflap with faults, for the controls of fault runs: `faulty.py FAULT,… ARGUMENTS OF HALFLAP`.

early: its gateways say that events are accepted, and only then accept them.
keyless: its ticks have no dedupe keys. leading: each of its processes takes itself for the one that
leads.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from halflap.cli import main
from halflap.model import Dedupe, new_id


def early() -> None:
    from halflap.cli.host import Host
    from tests.faults.server import EarlyIntake

    whole = Host.__init__

    def broken(self: Host, *given: Any, **more: Any) -> None:
        whole(self, *given, **more)
        gateway: Any = self.gateway
        gateway._engine = EarlyIntake(self.engine)

    setattr(Host, "__init__", broken)  # noqa: B010


def keyless() -> None:
    from halflap.engine import scheduler

    setattr(scheduler, "Dedupe", lambda key: Dedupe(new_id("any")))  # noqa: B010


def leading() -> None:
    from halflap.store.catalogue import Catalogue

    @asynccontextmanager
    async def alone(self: Catalogue, name: str) -> AsyncIterator[bool]:
        yield True

    async def holds(self: Catalogue, name: str) -> bool:
        return True

    setattr(Catalogue, "alone", alone)  # noqa: B010
    setattr(Catalogue, "holds", holds)  # noqa: B010


FAULTS: dict[str, Callable[[], None]] = {
    "early": early,
    "keyless": keyless,
    "leading": leading,
}

if __name__ == "__main__":
    for each in sys.argv.pop(1).split(","):
        FAULTS[each]()
    main()
