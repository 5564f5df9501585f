"""What is known of the integration that is written: its document, components, config and flows."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from halflap.lowcode.convert.to_python.names import Names
from halflap.lowcode.convert.to_python.refusal import NotConvertible
from halflap.lowcode.convert.to_python.remarks import Remarks
from halflap.lowcode.document import Document
from halflap.lowcode.registry import Components
from halflap.lowcode.source import Path, Source
from halflap.sdk import registry
from halflap.sdk.action import Action
from halflap.sdk.connection import Connection
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.schema import Config
from halflap.sdk.trigger import Trigger

BUILT_IN = "halflap.components."


class Module:
    """The module that is written, and what it is written of."""

    def __init__(
        self,
        source: Source,
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
        self.remarks = Remarks(source)
        self.names = Names(self.flows)
        self.integration = self.names.free("integration")
        self.settings = self.names.free("Settings") if document.config else self.names.use("Config")
        self.pairs = {each: self._pairs(each) for each in document.pairs}
        self.function_names: dict[Path, str] = {}
        """What the functions of code steps are called, which stand before the flows."""

    def _pairs(self, name: str) -> str:
        return self.names.free(f"{name}_pairs" if name in self.flows else name)

    def has_url(self, flow: str) -> bool:
        """Whether every instance has a URL for a flow."""
        return flow in self.flows and self.flows[flow].has_url

    def component(self, name: str) -> tuple[str, ModuleType | None]:
        """What a component's module is called, and the module."""
        component = self.components.component(name)
        path = registry.module(name)
        if path is not None and registry.component(name) is component:
            module = import_module(path)
            if path.startswith(BUILT_IN):
                return self.names.use(name), module
            return self.names.module(path), module
        return self.names.module(name), sys.modules.get(name)

    def member(self, made: Action[..., Any] | Trigger[..., Any], path: Path) -> str:
        """An action or a trigger, as it is named in Python."""
        called, module = self.component(made.component)
        module = module or sys.modules.get(made.function.__module__)
        held = vars(module) if module is not None else {}
        if held.get(made.short_name) is made:
            return f"{called}.{made.short_name}"
        for name, each in held.items():
            if each is made:
                return f"{called}.{name}"
        raise NotConvertible(
            f"{made.name} cannot be imported: the module {made.component} has no name for it",
            where=self.source.at(path),
        )

    def type_of(self, kind: type[Any], component: str) -> str | None:
        """A class of a component, as it is named in Python; None where it cannot be imported."""
        name = kind.__name__
        if getattr(import_module("halflap"), name, None) is kind:
            return self.names.use(name)
        called, module = self.component(component)
        module = module or sys.modules.get(kind.__module__)
        return f"{called}.{name}" if getattr(module, name, None) is kind else None
