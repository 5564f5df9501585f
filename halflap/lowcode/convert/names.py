"""The names of a module that is written: what it imports, and what may not be called the same."""

from __future__ import annotations

import ast
import builtins
import keyword
from collections.abc import Iterable
from importlib import import_module

from halflap.sdk.syntax import parse

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
