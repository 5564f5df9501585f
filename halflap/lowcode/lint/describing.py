"""Describe a project's own components: import them in a child process, and read what they declare.

`halflap lint` and `halflap dev` do so, and store the descriptions in the project, where editors read
them, which import nothing.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from halflap.lowcode.lint.shapes import ComponentShape, dump_shapes, read_shapes, shape_of
from halflap.sdk import codec
from halflap.sdk.component import Component
from halflap.sdk.survey import Module

SECONDS = 60.0
"""After how long the child is ended; what it had not described by then may have anything."""

COMMAND = (
    "import sys; sys.path[:] = {path!r}; "
    "from halflap.lowcode.lint.describing import main; main(*sys.argv[1:])"
)


def describe_components(root: Path, files: Mapping[str, str]) -> dict[str, ComponentShape]:
    """Return the components of a project's sources, by the name of their module.

    Their modules are imported in a process of their own; nothing is imported where there are none. One
    that does not import may have any action or trigger.
    """
    names = list(component_modules(files))
    if not names:
        return {}
    command = COMMAND.format(path=[str(root), *sys.path])
    found: dict[str, ComponentShape] = {}
    with suppress(subprocess.TimeoutExpired, OSError):
        child = subprocess.run(  # noqa: S603 (the project's own code, which its author lints)
            [sys.executable, "-c", command, str(root), *names],
            cwd=root,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        if child.returncode == 0:
            found = read_shapes(child.stdout)
    return {name: found.get(name) or ComponentShape(name, open=True) for name in names}


def store_components(
    place: Path, files: Mapping[str, str], components: Mapping[str, ComponentShape]
) -> None:
    """Store descriptions for editors; nothing where the folder cannot be written to."""
    digests = {name: _digest(name, files) for name in components}
    data = {"digests": digests, "components": codec.decode(dump_shapes(components))}
    with suppress(OSError):
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(codec.encode(data))


def stored_components(place: Path, files: Mapping[str, str]) -> dict[str, ComponentShape]:
    """Return the components of a project's sources as they were last described; nothing is imported.

    One whose source is another one since may have more actions and triggers than are known.
    """
    digests: dict[str, str] = {}
    known: dict[str, ComponentShape] = {}
    with suppress(OSError, ValueError, LookupError, TypeError):
        found = codec.decode(place.read_bytes())
        digests, known = found["digests"], read_shapes(codec.encode(found["components"]))
    return {
        name: shape
        if (shape := known.get(name)) and digests.get(name) == _digest(name, files)
        else replace(shape or ComponentShape(name), open=True)
        for name in component_modules(files)
    }


def _digest(name: str, files: Mapping[str, str]) -> str:
    own = [each for each in sorted(files) if each == f"{name}.py" or each.startswith(f"{name}/")]
    return sha256("\0".join(files[each] for each in own).encode("utf-8", "replace")).hexdigest()


def component_modules(files: Mapping[str, str]) -> Iterator[str]:
    """Yield the top-level modules that have a `component`, and those that are no Python yet."""
    for path, text in files.items():
        name = path.removesuffix(".py").removesuffix("/__init__")
        if not path.endswith(".py") or "/" in name:
            continue
        try:
            module = Module.read(path, text)
        except (SyntaxError, ValueError, RecursionError):
            yield name
        else:
            if "component" in module.variables or "component" in module.aliases:
                yield name


def main(root: str, *names: str) -> None:
    """Describe the components of these modules on the standard output: what a child does."""
    with redirect_stdout(sys.stderr):
        found = dict(_described(Path(root).resolve(), names))
    sys.stdout.buffer.write(dump_shapes(found))


def _described(root: Path, names: Sequence[str]) -> Iterator[tuple[str, ComponentShape]]:
    for name in names:
        made: Any = None
        with suppress(Exception):  # its own code may raise anything; lint of Python says it
            made = getattr(importlib.import_module(name), "component", None)
        if isinstance(made, Component):
            yield name, shape_of(made, root)
