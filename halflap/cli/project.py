"""An author's project: its folder and the integrations in it, found without running its code."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from halflap.errors import ConfigError, DefinitionError, NotFound

STORE = ".halflap"
"""The folder of a project's own store, beside its sources."""

COMPONENTS = "components.json"
"""The file in there with the descriptions of the project's components, which editors read."""

ENVIRONMENT = ".env"
"""The file of a project's local settings and secrets; never packed, ignored by git."""

SKIPPED = frozenset({"tests", "test", "venv", "node_modules", "__pycache__", "dist", "build"})


def read_environment(path: Path) -> dict[str, str]:
    """The variables of an environment file that have a value; none where there is no file."""
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        values = dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return {name: value for name, value in values.items() if value}


@dataclass(frozen=True, slots=True)
class ProjectEntry:
    """One integration of a project.

    `name` is what the integration calls itself, `entry` is where it starts (`warehouse:integration`),
    `file` its source below the project's folder, and `line` the one that defines it.
    """

    name: str
    entry: str
    file: str
    line: int

    @property
    def where(self) -> str:
        """`file:line` of the definition."""
        return f"{self.file}:{self.line}"

    @property
    def is_document(self) -> bool:
        """True if it is a YAML document."""
        return not self.file.endswith(".py")


@dataclass(frozen=True, slots=True)
class Project:
    """A project's folder and its integrations, by name."""

    root: Path
    integrations: tuple[ProjectEntry, ...]

    @classmethod
    def read(cls, start: Path | None = None) -> Project:
        """The project that `start` lies in (the working directory, where it is not given).

        Where `start` is a file, only its integrations are taken. A source that Python cannot parse,
        a name that is no plain text or that two integrations share, is a `DefinitionError`.
        """
        start = (start or Path.cwd()).resolve()
        root = find_root(start)
        found = [
            entry
            for path in (*sources(root), *documents(root))
            if not start.is_file() or path == start
            for entry in entries(root, path)
        ]
        seen: dict[str, ProjectEntry] = {}
        for entry in found:
            first = seen.setdefault(entry.name, entry)
            if first is not entry:
                raise DefinitionError(
                    f"an integration named {entry.name!r} is defined at {first.where} already; "
                    "give this one another name",
                    where=entry.where,
                )
        return cls(root, tuple(sorted(found, key=lambda entry: entry.name)))

    @property
    def name(self) -> str:
        """The name in its pyproject.toml, or of its folder: small letters, digits, `-` and `_`."""
        found: object = None
        with suppress(OSError, ValueError):
            text = (self.root / "pyproject.toml").read_text(encoding="utf-8")
            found = tomllib.loads(text).get("project", {}).get("name")
        name = re.sub(r"[^a-z0-9_]+", "-", str(found or self.root.name).lower()).strip(
            "-_0123456789"
        )
        return name[:40] or "components"

    @property
    def store(self) -> Path:
        """The folder of the project's own store."""
        return self.root / STORE

    @property
    def environment(self) -> Path:
        """The file of the project's local settings."""
        return self.root / ENVIRONMENT

    def integration(self, name: str | None = None) -> ProjectEntry:
        """The integration of a name, or the only one; `NotFound` and `DefinitionError` say what to do."""
        names = [each.name for each in self.needed()]
        if name is None and len(names) == 1:
            return self.integrations[0]
        if name is None:
            raise NotFound(
                f"{self.root} has {len(names)} integrations; name one of: {listed(names)}"
            )
        for each in self.integrations:
            if name in (each.name, each.entry):
                return each
        close = get_close_matches(name, names, 1)
        hint = f"did you mean {close[0]}? There are" if close else "there are"
        raise NotFound(f"{self.root} has no integration {name!r}; {hint}: {listed(names)}")

    def needed(self) -> tuple[ProjectEntry, ...]:
        """All its integrations; a project without any is a `DefinitionError`."""
        if not self.integrations:
            raise DefinitionError(
                "no integration is defined in this folder. A module has one where it says, outside "
                'of functions, integration = Integration("my-name"); a YAML file is one where it has '
                "`name:` and `flows:`; to begin with one: "
                "halflap new integration NAME [--yaml]",
                where=str(self.root),
            )
        return self.integrations


def find_root(start: Path) -> Path:
    """The nearest folder, from `start` upwards, with a pyproject.toml or an integration in it.

    The search ends at a git repository's top; where nothing is found, `start`'s own folder it is.
    """
    start = start.resolve()
    if not start.exists():
        raise DefinitionError(
            "there is no such file or folder; give the project's folder", where=str(start)
        )
    folder = start if start.is_dir() else start.parent
    for each in (folder, *folder.parents):
        if (each / "pyproject.toml").is_file() or any(map(_mentions, _modules(each))):
            return each
        if any(documents(each)):
            return each
        if (each / ".git").exists():
            break
    return folder


def sources(root: Path) -> Iterator[Path]:
    """The sources of a project: the modules in its folder, and all those of packages there."""
    yield from _modules(root)
    for folder in _folders(root):
        if (folder / "__init__.py").is_file():
            yield from _package(folder)


def documents(root: Path) -> Iterator[Path]:
    """The YAML documents in a project's folder that may be integrations."""
    paths = _listed(root, "*.yaml", "*.yml")
    if not paths:
        return
    from halflap.lowcode import heading  # most commands need nothing of it

    for path in paths:
        try:
            if not path.name.startswith(".") and heading(path.read_bytes()):
                yield path
        except OSError:
            continue


def entries(root: Path, path: Path) -> list[ProjectEntry]:
    """The integrations that a source defines at module level, or the one that a document is."""
    if path.suffix != ".py":
        return _document(root, path)
    if not _mentions(path):
        return []
    file = path.relative_to(root).as_posix()
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    tree = parse(path, file)
    names, modules = _constructors(tree.body)
    found: list[ProjectEntry] = []
    for node in tree.body:
        target, value = _assigned(node)
        if target is None or not isinstance(value, ast.Call):
            continue
        if _is_constructor(value.func, names, modules):
            name = _name_of(value, f"{file}:{value.lineno}")
            found.append(ProjectEntry(name, f"{module}:{target}", file, node.lineno))
    return found


def parse(path: Path, shown: str) -> ast.Module:
    """A source as a tree; what Python cannot parse is a `DefinitionError` with its line."""
    from halflap.sdk import syntax  # a supervisor, which parses nothing, imports none of it

    try:
        return syntax.parse(path.read_bytes(), shown)
    except SyntaxError as error:
        raise DefinitionError(
            f"This is not valid Python: {error.msg}. Mend the line.",
            where=f"{shown}:{error.lineno or 1}",
        ) from error
    except (ValueError, RecursionError, OSError) as error:
        raise DefinitionError(f"This file cannot be read: {error}.", where=f"{shown}:1") from error


def listed(names: Sequence[str]) -> str:
    """Names in one line."""
    return ", ".join(names)


def _document(root: Path, path: Path) -> list[ProjectEntry]:
    from halflap.lowcode import name_in, read

    file = path.relative_to(root).as_posix()
    found = name_in(read(path.read_bytes(), file))
    return [] if found is None else [ProjectEntry(found[0], file, file, found[1].line)]


def _modules(folder: Path) -> list[Path]:
    return [each for each in _listed(folder, "*.py") if _is_source(each.name)]


def _listed(folder: Path, *patterns: str) -> list[Path]:
    try:
        return sorted(path for each in patterns for path in folder.glob(each))
    except OSError:  # a folder above the project that this user may not read
        return []


def _is_source(name: str) -> bool:
    return not name.startswith((".", "test_")) and name != "conftest.py"


def _folders(folder: Path) -> list[Path]:
    return [
        each
        for each in sorted(folder.iterdir())
        if each.is_dir() and not each.name.startswith(".") and each.name not in SKIPPED
    ]


def _package(folder: Path) -> Iterator[Path]:
    yield from _modules(folder)
    for each in _folders(folder):
        yield from _package(each)


def _mentions(path: Path) -> bool:
    """Return whether a source may define an integration at all, so that most need no parsing."""
    try:
        source = path.read_bytes()
    except OSError:
        return False
    return b"halflap" in source and b"Integration" in source and b"=" in source


def _constructors(body: Sequence[ast.stmt]) -> tuple[set[str], set[str]]:
    """The names that mean `halflap.Integration` in a module, and those that mean `halflap`."""
    names: set[str] = set()
    modules: set[str] = set()
    for node in body:
        match node:
            case ast.ImportFrom(module="halflap", names=aliases):
                names |= {
                    each.asname or each.name for each in aliases if each.name == "Integration"
                }
            case ast.Import(names=aliases):
                modules |= {each.asname or each.name for each in aliases if each.name == "halflap"}
            case _:
                pass
    return names, modules


def _assigned(node: ast.stmt) -> tuple[str | None, ast.expr | None]:
    match node:
        case ast.Assign(targets=[ast.Name(id=target)], value=value):
            return target, value
        case ast.AnnAssign(target=ast.Name(id=target), value=value):
            return target, value
        case _:
            return None, None


def _is_constructor(function: ast.expr, names: set[str], modules: set[str]) -> bool:
    match function:
        case ast.Subscript(value=inner):
            return _is_constructor(inner, names, modules)
        case ast.Name(id=name):
            return name in names
        case ast.Attribute(value=ast.Name(id=module), attr="Integration"):
            return module in modules
        case _:
            return False


def _name_of(call: ast.Call, where: str) -> str:
    given = [*call.args[:1], *(each.value for each in call.keywords if each.arg == "name")]
    match given[:1]:
        case [ast.Constant(value=str(name))]:
            return name
        case _:
            raise DefinitionError(
                'an integration\'s name is written as plain text: Integration("my-name"). It is '
                "read without running your code",
                where=where,
            )
