"""The integration that is written: its document, components, config and flows.

Beside it what a module needs all along: the names that are taken, and the document's comments.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from halflap.lowcode.document import Document
from halflap.lowcode.kinds.raw import holds_steps
from halflap.lowcode.names import components_in
from halflap.lowcode.python import text
from halflap.lowcode.registry import Components
from halflap.lowcode.source import Path, SourceText
from halflap.sdk import registry
from halflap.sdk.action import Action
from halflap.sdk.connection import Connection
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.schema import Config
from halflap.sdk.syntax import parse
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


# Names that are taken -------------------------------------------------------------------------

STANDARD = {
    "Annotated": "typing",
    "Any": "typing",
    "Literal": "typing",
    "Decimal": "decimal",
    "date": "datetime",
    "datetime": "datetime",
    "timedelta": "datetime",
}
PLACES = {**STANDARD, "Field": "pydantic"}
"""Where a name is imported from, unless it is one of Halflap's own."""
RESERVED = frozenset(
    (
        *(*keyword.kwlist, *keyword.softkwlist, *dir(builtins)),
        *("_", "ctx", "event", "failure", "found", "choice"),
    )
)


class ImportedNames:
    """Names that a module imports, and their local names.

    What it imports of Halflap and the standard library keeps its name; what it defines avoids these.
    """

    def __init__(self, flows: Iterable[str], components: Iterable[str] = ()) -> None:
        self._used: set[str] = set()
        self._modules: dict[str, str] = {}
        self._imported = {*PLACES, *import_module("halflap").__all__}
        self._components = frozenset(components)
        self._flows: dict[str, str] = {each: each for each in flows}
        self._own = set(self._flows)
        """The names that the module defines itself."""
        for each in sorted(self._own & (RESERVED | self._imported)):
            self._flows[each] = self.own(each)

    def free(self, name: str, taken: Iterable[str] = ()) -> str:
        """A name like this one that nothing else has."""
        avoided = self._own | RESERVED | self._imported | self._components
        avoided |= {*self._modules.values(), *taken}
        made, number = name, 1
        while made in avoided:
            made, number = f"{name}_{number if number > 1 else ''}", number + 1
        return made

    def own(self, name: str) -> str:
        """A name like this one, for what the module defines outside of its flows."""
        made = self.free(name)
        self._own.add(made)
        return made

    def use(self, name: str) -> str:
        """A name of Halflap, or of the standard library."""
        self._used.add(name)
        return name

    def flow(self, name: str) -> str:
        """The function of a flow."""
        return self._flows[name]

    def module(self, name: str) -> str:
        """A module of the project, or installed; what it is called here."""
        if name not in self._modules:
            short = name.rpartition(".")[2]
            taken = self._own | self._imported | {*self._modules.values()}
            self._modules[name] = self.free(f"{short}_app") if short in taken else short
        return self._modules[name]

    def lines(self, body: str) -> list[str]:
        """The imports of what a module's body names, as they are sorted."""
        named = {each.id for each in ast.walk(parse(body)) if isinstance(each, ast.Name)}
        blocks: tuple[list[str], list[str], list[str]] = ([], [], [])
        for path, called in sorted(self._modules.items()):
            if called in named:
                blocks[1].append(_import(path, called))
        by_module: dict[str, list[str]] = {}
        for name in sorted(self._used & named, key=_order):
            by_module.setdefault(PLACES.get(name, "halflap"), []).append(name)
        for module, names in sorted(by_module.items()):
            at = 0 if module in STANDARD.values() else 2 if module.startswith("halflap") else 1
            line = f"from {module} import {', '.join(names)}"
            blocks[at].append(line)
        ordered = (sorted(each, key=lambda line: line.startswith("from")) for each in blocks)
        return [line for block in ordered if block for line in (*block, "")]


def _import(name: str, called: str) -> str:
    package, _, last = name.rpartition(".")
    line = f"from {package} import {last}" if package else f"import {name}"
    return line if last == called else f"{line} as {called}"


def _order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


# The comments of a document, at the place where they stood ------------------------------------

_EXCUSE = re.compile(r"#\s*(halflap: ignore|yaml-language-server:)")
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'")
_DEPTHS: dict[str | int, int] = {"flows": 2, "preprocess": 2, "pairs": 2, "config": 3, "tests": 2}


def remarks_of(source: SourceText) -> dict[Path, list[str]]:
    """Return the comments by the part of the document (a step, a flow, a field) that they are about.

    That is the part whose line they stand on, or whose line comes next; the first ones, before the
    document, are those of `()`.
    """
    owners: dict[int, Path] = {}
    places = (*source.values.items(), *source.keys.items())
    for path, place in sorted(places, key=lambda each: len(each[0])):
        owners[place.line] = _owner(path)
    found: dict[Path, list[str]] = {}
    first, lines = min(each.line for each in source.keys.values()), sorted(owners)
    for number, comment in _comments(source):
        at = min(bisect_left(lines, number), len(lines) - 1)
        found.setdefault(() if number < first else owners[lines[at]], []).append(comment)
    return found


def _owner(path: Path) -> Path:
    """The part that a place belongs to: its step, its flow, its field."""
    for end in range(len(path), 1, -1):
        held = path[: end - 1]
        if isinstance(path[end - 1], int) and (holds_steps(held) or held[-1] == "routes"):
            return path[:end]
    return path[: _DEPTHS.get(path[0], 1)] if path else ()


def _comments(source: SourceText) -> Iterator[tuple[int, str]]:
    blocks = [source.place(path).line for path in source.blocks]
    inside = 0
    for number, line in enumerate(source.lines, 1):
        indent = len(line) - len(line.lstrip())
        if inside and (not line.strip() or indent >= inside):
            continue
        inside = indent + 1 if number in blocks else 0
        bare = _QUOTED.sub(lambda found: "x" * len(found[0]), line)
        found = re.search(r"(?:^|(?<=\s))#", bare)
        if found is not None and not _EXCUSE.match(line[found.start() :]):
            yield number, line[found.start() :].lstrip("#").strip()
