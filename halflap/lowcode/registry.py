"""The components that a document may name: those of its own project, and those that are installed."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from halflap.errors import DefinitionError, NotFound
from halflap.sdk import registry
from halflap.sdk.action import Action
from halflap.sdk.component import Component
from halflap.sdk.trigger import Trigger


class Components:
    """Finds components by name: `own` first (of the project's own modules), then installed ones."""

    def __init__(self, own: Callable[[str], Component | None] = lambda _: None) -> None:
        self._own = own
        self._known: dict[str, Component] = {}

    def component(self, name: str) -> Component:
        """The component of a name; `DefinitionError` says which there are."""
        known = self._known.get(name)
        if known is not None:
            return known
        found = self._own(name)
        if found is None:
            try:
                found = registry.component(name)
            except NotFound as error:
                close = get_close_matches(name, registry.names(), 1)
                hint = f"did you mean {close[0]}? There are" if close else "there are"
                raise DefinitionError(
                    f"there is no component {name!r}; {hint}: {', '.join(registry.names())}, and "
                    f"those of the project's own modules ({name}.py with `component = "
                    f'Component("{name}")`)'
                ) from error
        self._known[name] = found
        return found

    def action(self, name: str) -> Action[..., Any]:
        """An action by its dotted name."""
        owner, _, short = name.partition(".")
        found = self.component(owner)
        if short not in found.actions:
            raise DefinitionError(_missing(found, "action", short, list(found.actions)))
        return found.actions[short]

    def trigger(self, name: str) -> Trigger[..., Any]:
        """A trigger by its dotted name."""
        owner, _, short = name.partition(".")
        found = self.component(owner)
        if short not in found.triggers:
            raise DefinitionError(_missing(found, "trigger", short, list(found.triggers)))
        return found.triggers[short]


def _missing(owner: Component, what: str, name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {owner.name}.{close[0]}? It has" if close else "it has"
    return f"{owner.name} has no {what} {name!r}; {hint}: {', '.join(known) or 'none'}"
