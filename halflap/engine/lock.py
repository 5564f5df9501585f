"""A bundle's lock: what it needs of the environment, read from its sources without running them.

The lock names the installed distributions that the sources import, and Halflap itself. It holds
what is imported, not what that needs in turn: that is the business of whoever installs it.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import metadata
from importlib.machinery import all_suffixes

import halflap
from halflap.errors import DefinitionError
from halflap.sdk.syntax import parse

Lock = tuple[tuple[str, str], ...]
"""The distributions that a bundle needs, each with its version, sorted by name."""
Stamps = tuple[tuple[str, int], ...]
"""The folders of sys.path, each with the time of its last change."""
_SUFFIXES = tuple(all_suffixes())


@lru_cache(maxsize=2_000)
def imports(source: bytes, path: str) -> frozenset[str]:
    """The dotted names that a source file imports absolutely, wherever in it the import stands.

    Imports under `if TYPE_CHECKING:` are left out, as nothing needs them to run. A file that is
    not Python raises DefinitionError; `path` is how that error calls it.
    """
    try:
        tree = parse(source, path)
    except SyntaxError as error:
        raise DefinitionError(
            f"This is not valid Python: {error.msg}. Mend the line, or move the file out of the "
            "project's folder if it is none of its sources.",
            where=f"{path}:{error.lineno or 1}",
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise DefinitionError(
            f"Python cannot parse this file: {error or type(error).__name__}. Split it or mend it.",
            where=f"{path}:1",
        ) from error
    return frozenset(_imported(tree.body))


def _imported(body: Iterable[ast.AST]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names if alias.name != "*")
            case ast.If(
                test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"),
                orelse=orelse,
            ):
                yield from _imported(orelse)
            case ast.stmt() | ast.ExceptHandler() | ast.match_case():
                for field in ("body", "handlers", "orelse", "finalbody", "cases"):
                    yield from _imported(getattr(node, field, ()))
            case _:
                pass


def lock_of(names: Collection[str], needs: Iterable[str] = ()) -> Lock:
    """Lock the installed distributions that provide these names, those of `needs`, and Halflap.

    Names that nothing installed provides are left out: loading says so, if they are needed at all.
    A distribution of `needs` that is not installed raises DefinitionError.
    """
    environment = _environment(_stamps())
    locked = {"halflap": halflap.__version__}
    for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names:
        under = frozenset(name for name in names if name.partition(".")[0] == top)
        for distribution in environment.providing(top, under):
            locked.setdefault(*environment.locked(distribution))
    for distribution in needs:
        locked.setdefault(*environment.locked(distribution))
    return tuple(sorted(locked.items()))


def unsatisfied(lock: Lock, installed: Mapping[str, str] | None = None) -> list[str]:
    """Return what the environment lacks of a lock, as sentences; none where the bundle can run
    here.

    A distribution satisfies by exactly its locked version, Halflap by its major version and its minor
    one or a later one: what a later one refuses, it refuses as it loads the bundle.
    `installed` maps distributions to versions; by default it is what this process can import.
    """
    have = None if installed is None else {_canonical(name): v for name, v in installed.items()}
    sentences: list[str] = []
    for name, wanted in lock:
        found = _installed(name) if have is None else have.get(_canonical(name))
        if found is None:
            sentences.append(f"needs {name} {wanted}; it is not installed")
        elif name == "halflap" and not _runs(wanted, found):
            sentences.append(f"needs {name} {_minor(wanted)}; {found} is installed")
        elif name != "halflap" and found != wanted:
            sentences.append(f"needs {name} {wanted}; {found} is installed")
    return sentences


def _installed(name: str) -> str | None:
    return halflap.__version__ if name == "halflap" else _version(name, _stamps())


@lru_cache(maxsize=256)
def _version(name: str, _seen: Stamps) -> str | None:
    """Return a distribution's version, for which all its metadata is parsed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _runs(wanted: str, found: str) -> bool:
    """Return whether a Halflap runs what was published with another one."""
    former, present = (re.match(r"(\d+)\.(\d+)", each) for each in (wanted, found))
    if former is None or present is None:
        return wanted == found
    return former[1] == present[1] and int(former[2]) <= int(present[2])


def _minor(version: str) -> str:
    found = re.match(r"\d+\.\d+(?=$|\D)", version)
    return found.group() if found else version


def _stamps() -> Stamps:
    """Return when each folder of sys.path last changed."""
    return tuple(map(_stamp, sys.path))


def _stamp(entry: str) -> tuple[str, int]:
    try:
        return entry, os.stat(entry or ".").st_mtime_ns
    except OSError:
        return entry, 0


@lru_cache(maxsize=1)
def _environment(_seen: Stamps) -> _Environment:
    return _Environment()


class _Environment:
    """The installed distributions; read once, and again when a folder of sys.path has changed."""

    def __init__(self) -> None:
        self._providers = defaultdict[str, list[metadata.Distribution]](list)
        for distribution in metadata.distributions():
            for top in _tops(distribution):
                self._providers[top].append(distribution)
        # An editable install lists no modules, but a component's says where its own one is.
        for point in metadata.entry_points(group="halflap.components"):
            top = point.module.partition(".")[0]
            if point.dist is not None and top not in self._providers:
                self._providers[top].append(point.dist)
        self._named: dict[str, list[str]] = {}
        self._shared: dict[frozenset[str], list[str]] = {}

    def locked(self, distribution: str) -> tuple[str, str]:
        if (found := _installed(distribution)) is None:
            raise DefinitionError(
                f"It needs {distribution}, which is not installed here. Install it first.",
                where=distribution,
            )
        return _canonical(distribution), found

    def providing(self, top: str, names: frozenset[str]) -> list[str]:
        if top not in self._named:  # a name takes parsing all metadata
            self._named[top] = sorted({each.name for each in self._providers.get(top, ())})
        if not (providers := self._named[top]):
            return [top] if _installed(top) is not None else []
        if len(providers) == 1:
            return providers
        if names not in self._shared:
            self._shared[names] = [d for d in providers if _holds(d, names)] or providers
        return self._shared[names]


def _tops(distribution: metadata.Distribution) -> set[str]:
    """Return the top-level modules of a distribution.

    `metadata.packages_distributions` makes a path of each installed file, in eight times the time.
    """
    if declared := distribution.read_text("top_level.txt"):
        return set(declared.split())
    record = distribution.read_text("RECORD")
    files = record.splitlines() if record else map(str, distribution.files or ())
    modules = (each.partition(",")[0] for each in files)
    return {
        each.partition("/")[0].partition(".")[0] for each in modules if each.endswith(_SUFFIXES)
    }


def _holds(distribution: str, names: frozenset[str]) -> bool:
    """Return whether a distribution, one of several in a namespace package, holds one of these
    modules.
    """
    paths = {name.replace(".", "/") for name in names}
    files = {str(file) for file in metadata.files(distribution) or ()}
    return any(f"{path}.py" in files or f"{path}/__init__.py" in files for path in paths)
