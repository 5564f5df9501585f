"""The names of a module that is written: what it imports, and what may not be called the same."""

from __future__ import annotations

import ast
import builtins
import keyword
from collections.abc import Iterable
from importlib import import_module

STANDARD = {
    "Annotated": "typing",
    "Literal": "typing",
    "Decimal": "decimal",
    "date": "datetime",
    "datetime": "datetime",
    "timedelta": "datetime",
    "UTC": "datetime",
    "Path": "pathlib",
}
OTHERS = {"Field": "pydantic"}
OURS = dict.fromkeys(
    ("CustomerInfo", "InstanceInfo", "Run", "called", "in_turn", "make_request"), "halflap.testing"
)
PLACES = {**STANDARD, **OTHERS, **OURS}
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
        avoided = {*self._own, *RESERVED, *self._imported, *self._components}
        avoided |= set(self._modules.values())
        made, number = f"{name}_" if name in avoided else name, 2
        avoided |= set(taken)
        while made in avoided:
            made, number = f"{name}_{number}", number + 1
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
            taken = {*self._own, *self._imported, *self._modules.values()}
            self._modules[name] = self.free(f"{short}_app") if short in taken else short
        return self._modules[name]

    def lines(self, body: str) -> list[str]:
        """The imports of what a module's body names, as they are sorted."""
        named = {each.id for each in ast.walk(ast.parse(body)) if isinstance(each, ast.Name)}
        self._used &= named
        self._modules = {path: called for path, called in self._modules.items() if called in named}
        by_module: dict[str, list[str]] = {}
        for name in sorted(self._used, key=_order):
            module = PLACES.get(name, "halflap")
            by_module.setdefault(module, []).append(name)
        standard = [self._from(each, by_module[each]) for each in _sorted(STANDARD, by_module)]
        modules = sorted(self._modules.items(), key=lambda each: ("." in each[0], each))
        others = [_import(name, called) for name, called in modules]
        others += [self._from(each, by_module[each]) for each in _sorted(OTHERS, by_module)]
        ours = [
            self._from(each, by_module[each])
            for each in ("halflap", "halflap.testing")
            if each in by_module
        ]
        blocks = [block for block in (standard, others, ours) if block]
        return [line for block in blocks for line in (*block, "")]

    def _from(self, module: str, names: list[str]) -> str:
        line = f"from {module} import {', '.join(names)}"
        if len(line) <= 100:
            return line
        return "\n".join([f"from {module} import (", *(f"    {each}," for each in names), ")"])


def _sorted(of: dict[str, str], used: dict[str, list[str]]) -> list[str]:
    return sorted({each for each in of.values() if each in used})


def _import(name: str, called: str) -> str:
    if "." not in name:
        return f"import {name}" if name == called else f"import {name} as {called}"
    package, _, last = name.rpartition(".")
    return f"from {package} import {last}" + ("" if last == called else f" as {called}")


def _order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)
