"""Who watches a document's steps run: tests, which ask for it as they build one; nobody otherwise."""

from __future__ import annotations

from typing import Protocol

from halflap.lowcode.kinds.run import Asked, Steps
from halflap.lowcode.source import Path


class Observer(Protocol):
    """Is shown all that is compiled, and may put something of its own in its place."""

    def steps(self, path: Path, steps: Steps) -> Steps:
        """A list of steps, which may be empty: an `else` that is not written."""
        ...

    def condition(self, path: Path, condition: Asked) -> Asked:
        """What decides whether a loop takes an item (`where`), or an event a route (`when`)."""
        ...
