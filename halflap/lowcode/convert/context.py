"""The integration that is written: its document, components, config and flows."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from halflap.lowcode.convert.names import ImportedNames
from halflap.lowcode.convert.remarks import remarks_of
from halflap.lowcode.document import Document
from halflap.lowcode.names import components_in
from halflap.lowcode.python import text
from halflap.lowcode.registry import Components
from halflap.lowcode.source import SourceText
from halflap.sdk import registry
from halflap.sdk.action import Action
from halflap.sdk.connection import Connection
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.schema import Config
from halflap.sdk.trigger import Trigger


class WrittenModule:
    """The module that is written, and what it is written of."""

    def __init__(
        self,
        source: SourceText,
        document: Document,
        integration: Integration[Any],
        components: Components,
    ) -> None:
        self.source = source
        self.document = document
        self.components = components
        self.config: type[Config] = integration.config
        self.connections: dict[str, type[Connection]] = integration.connections()
        self.flows: dict[str, Flow[Any, Any, Any]] = integration.flows
        self._remarks = remarks_of(source)
        self.names = ImportedNames(self.flows, components_in(source.data))
        self.integration = self.names.own("integration")
        self.settings = self.names.own("Settings") if document.config else self.names.use("Config")
        self.pairs = {
            each: self.names.own(f"{each}_pairs" if each in self.flows else each)
            for each in document.pairs
        }

    def comments(self, *path: str | int) -> list[str]:
        """Return the comments on a part of the document, as those of Python."""
        return [f"# {each}".rstrip() for each in self._remarks.get(path, ())]

    def has_url(self, flow: str) -> bool:
        """Return whether every instance has a URL for a flow."""
        return flow in self.flows and self.flows[flow].has_url

    def component(self, name: str) -> tuple[str, ModuleType | None]:
        """Return the name of a component's module, and the module."""
        component = self.components.component(name)
        path = registry.module(name)
        if path is None or registry.component(name) is not component:
            return self.names.module(name), sys.modules.get(name)
        module = import_module(path)
        built_in = path.startswith("halflap.components.")
        return (self.names.use if built_in else self.names.module)(
            name if built_in else path
        ), module

    def member(self, made: Action[..., Any] | Trigger[..., Any]) -> str:
        """An action or a trigger, as it is named in Python."""
        where, component = made.function.__module__, made.component
        held = "actions" if isinstance(made, Action) else "triggers"
        found = self._named(made, made.short_name, component, where)
        return found or f"{self._owner(component)}.{held}[{text(made.short_name)}]"

    def connection(self, kind: type[Connection], component: str) -> str:
        """The type of a component's connection, as it is named in Python."""
        return self.type_of(kind, component) or f"{self._owner(component)}.connection"

    def type_of(self, kind: type[Any], component: str) -> str | None:
        """A class of a component, as it is named in Python; None where it cannot be imported."""
        generic: Mapping[str, Any] = getattr(kind, "__pydantic_generic_metadata__", {})
        if (origin := generic.get("origin")) is not None:
            arguments = [
                self.names.use("Any") if each is Any else self.type_of(each, component)
                for each in generic["args"]
            ]
            made = self.type_of(origin, component)
            known = [each for each in (made, *arguments) if each is not None]
            if len(known) <= len(arguments):
                return None
            return f"{made}[{', '.join(known[1:])}]"
        name = kind.__name__
        if getattr(import_module("halflap"), name, None) is kind:
            return self.names.use(name)
        return self._named(kind, name, component, kind.__module__)

    def _owner(self, name: str) -> str:
        """A component itself."""
        called, module = self.component(name)
        held = _name_in(module, self.components.component(name), "component")
        return f"{called}.{held or 'component'}"

    def _named(self, thing: object, likely: str, component: str, where: str) -> str | None:
        """A thing of a component, by the name that its module has, or the one it was made in."""
        called, module = self.component(component)
        if (name := _name_in(module, thing, likely)) is not None:
            return f"{called}.{name}"
        if (name := _name_in(sys.modules.get(where), thing, likely)) is not None:
            return f"{called if where == component else self.names.module(where)}.{name}"
        return None


def _name_in(module: ModuleType | None, thing: object, likely: str) -> str | None:
    """The name that a module has for a thing."""
    held = {} if module is None else vars(module)
    if held.get(likely) is thing:
        return likely
    return next((name for name, each in held.items() if each is thing), None)
