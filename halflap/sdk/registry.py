"""The components that are installed, found by the entry point `halflap.components`."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from halflap.errors import DefinitionError, NotFound
from halflap.sdk.action import Action
from halflap.sdk.component import Component
from halflap.sdk.trigger import Trigger

GROUP = "halflap.components"


@cache
def _found() -> dict[str, EntryPoint]:
    return {each.name: each for each in entry_points(group=GROUP)}


def names() -> list[str]:
    """The names of the installed components; none is imported for it."""
    return sorted(_found())


def modules() -> dict[str, str]:
    """By component, the module that offers it; none is imported for it."""
    return {name: entry.module for name, entry in _found().items()}


def distribution(name: str) -> str | None:
    """The distribution that offers a component; None where none of that name is installed."""
    entry = _found().get(name)
    return None if entry is None or entry.dist is None else entry.dist.name


def module(name: str) -> str | None:
    """The module that offers a component; None where it is not installed."""
    entry = _found().get(name)
    return None if entry is None else entry.module


def component(name: str) -> Component:
    """An installed component by its name; one that is not there is `NotFound`."""
    if name not in _found():
        raise NotFound(
            f"no component {name!r} is installed; there are: {', '.join(names())}. A package "
            f'offers one by [project.entry-points."{GROUP}"]'
        )
    entry = _found()[name]
    try:
        found: Any = entry.load()
    except Exception as error:
        raise DefinitionError(
            f"the component {name!r} ({entry.value}) does not load: {error}"
        ) from error
    if not isinstance(found, Component):
        raise DefinitionError(f"{entry.value} is no Component but {type(found).__name__}")
    if found.name != name:
        raise DefinitionError(f"{entry.value} is named {found.name!r}, its entry point {name!r}")
    return found


def load_all() -> None:
    """Import all installed components that load: once, and for a second, so not on an event loop."""
    for each in names():
        with suppress(DefinitionError):
            component(each)


def action(name: str) -> Action[..., Any]:
    """An action by its dotted name, `acme.create_account`."""
    owner, _, short = name.partition(".")
    found = component(owner)
    if short not in found.actions:
        raise NotFound(f"{owner} has no action {short!r}; it has: {', '.join(found.actions)}")
    return found.actions[short]


def trigger(name: str) -> Trigger[..., Any]:
    """A trigger by its dotted name, `github.webhook`."""
    owner, _, short = name.partition(".")
    found = component(owner)
    if short not in found.triggers:
        raise NotFound(f"{owner} has no trigger {short!r}; it has: {', '.join(found.triggers)}")
    return found.triggers[short]
