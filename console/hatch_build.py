"""The build hook of the wheel: it has to contain the console, which is built before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleHook(BuildHookInterface):  # type: ignore[type-arg]
    """Refuses a wheel without the console; an editable install may do without it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Look for the console's page before anything is packed."""
        built = Path(self.root, "halflap", "console", "static", "index.html")
        if version != "editable" and not built.is_file():
            raise RuntimeError("the console is not built; build it first: make console")
