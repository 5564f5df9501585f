"""Halflap with a fault: its gateways say that events are accepted, and only then accept them."""

from __future__ import annotations

from typing import Any

from halflap.cli import main
from halflap.cli.host import Host
from tests.faults.server import EarlyIntake

whole = Host.__init__


def broken(self: Host, *given: Any, **more: Any) -> None:
    whole(self, *given, **more)
    gateway: Any = self.gateway
    gateway._engine = EarlyIntake(self.engine)


if __name__ == "__main__":
    setattr(Host, "__init__", broken)  # noqa: B010
    main()
