"""Find the components besides a project's own: those that are installed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from halflap.errors import HalflapError
from halflap.sdk import registry
from halflap.sdk.component import Component

BUILT_IN = "halflap.components."
"""Where the components that come with Halflap are; `halflap` re-exports each."""


@cache
def modules() -> Mapping[str, str]:
    """By the names under which sources import them, the installed components; none is imported."""
    found: dict[str, str] = {}
    for name, module in registry.modules().items():
        found[module] = name
        if module.startswith(BUILT_IN):
            found[f"halflap.{module.removeprefix(BUILT_IN)}"] = name
    return found


def component(name: str) -> Component | None:
    """An installed component; None where there is none, or it does not load."""
    try:
        return registry.component(name)
    except HalflapError:
        return None


def component_in(name: str) -> tuple[str | None, str]:
    """The installed component whose module a dotted name begins with, and the last of its parts."""
    owner, _, short = name.rpartition(".")
    parts = owner.split(".")
    for length in range(len(parts), 0, -1):
        found = modules().get(".".join(parts[:length]))
        if found is not None:
            return found, short
    return None, short


def title_of(owner: str, action: str) -> str | None:
    """The title of an installed component's action; None where it has no such action."""
    found = component(owner)
    if found is None:
        return titled(action) if owner in registry.names() else None
    return found.actions[action].title if action in found.actions else None


def titled(name: str) -> str:
    """The title that follows from a name."""
    return name.replace("_", " ").capitalize()
