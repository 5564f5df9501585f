"""The project beside a document: its components, as `lint` or `dev` last described them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from halflap.cli.project import COMPONENTS, STORE, find_root
from halflap.errors import DefinitionError
from halflap.lowcode.lint import Shapes
from halflap.lowcode.lint.describing import stored_components

LARGEST = 1024 * 1024
"""Of a source that is read."""


@dataclass(slots=True)
class Projects:
    """Reads the components of each project once, and again where one has changed."""

    _known: dict[Path, tuple[tuple[tuple[str, int], ...], Shapes]] = field(
        default_factory=dict[Path, tuple[tuple[tuple[str, int], ...], Shapes]]
    )
    _roots: dict[Path, Path] = field(default_factory=dict[Path, Path])
    _alone: Shapes = field(default_factory=Shapes)

    def shapes(self, file: Path | None) -> tuple[Shapes, Path | None]:
        """Return the shapes that a document may name, and its project's folder."""
        root = None if file is None else self._root(file.parent)
        if root is None:
            return self._alone, None
        stamps: list[tuple[str, int]] = []
        for path in (*_modules(root), root / STORE / COMPONENTS):
            with suppress(OSError):
                stamps.append((path.relative_to(root).as_posix(), path.stat().st_mtime_ns))
        known = self._known.get(root)
        if known is None or known[0] != tuple(stamps):
            known = self._known[root] = (tuple(stamps), _read(root, [name for name, _ in stamps]))
        return known[1], root

    def _root(self, folder: Path) -> Path | None:
        if folder not in self._roots:
            with suppress(DefinitionError, OSError):
                self._roots[folder] = find_root(folder)
        return self._roots.get(folder)


def _read(root: Path, names: list[str]) -> Shapes:
    files: dict[str, str] = {}
    for name in names:
        if not name.endswith(".py"):
            continue
        with suppress(OSError):
            files[name] = (root / name).read_bytes()[:LARGEST].decode("utf-8", "replace")
    return Shapes(own=stored_components(root / STORE / COMPONENTS, files))


def _modules(root: Path) -> Iterator[Path]:
    """The sources that a component may be in."""
    with suppress(OSError):
        found = {*root.glob("*.py")}
        for each in root.glob("[!.]*/__init__.py"):
            found |= {*each.parent.glob("*.py"), *each.parent.glob("*/*.py")}
        yield from sorted(found)
