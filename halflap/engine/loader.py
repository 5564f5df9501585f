"""Load bundles, each under a private module name of its own, so that versions run side by side.

The module `acme` of a bundle becomes `_halflap_<first 16 digits of its hash>.acme`. Its sources are
given an `__import__` of their own, by which `import acme`, wherever it stands, means the bundle's
`acme`; everything else is imported as usual. So sys.path and the names that others import stay as
they are. What this cannot see is `importlib.import_module("acme")`: write an import statement.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import importlib.util
import linecache
import marshal
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from threading import RLock
from types import CodeType, ModuleType, TracebackType
from typing import Any

from halflap.engine.bundle import Bundle, modules, own_modules
from halflap.errors import DefinitionError

_PRIVATE = "_halflap_"
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Loaded:
    """A bundle that this process has loaded.

    `entry` is the object that the bundle's entry names; for a YAML document it is the document's
    path. `modules` are the private names that were imported for it. `folder` holds its files.
    """

    hash: str
    entry: Any
    modules: tuple[str, ...]
    folder: Path

    def module(self, name: str) -> ModuleType:
        """Import a module of the bundle by the name that its own sources call it."""
        with _loading:
            if (space := _spaces.get(_private(self.hash))) is None:
                raise DefinitionError(
                    "This version was unloaded. Load it again, then import from it.", where=name
                )
            return space.module(name)


def load(bundle: Bundle, cache: Path) -> Loaded:
    """Unpack a bundle into `cache/<hash>` and import its entry; the second time, the same object.

    Whatever goes wrong in the bundle's own code is a DefinitionError that names the file and line,
    and leaves nothing of the bundle behind in this process.
    """
    with _loading:
        if (found := _loaded.get(bundle.hash)) is not None:
            return found
        space = _Space(bundle, _unpack(bundle, cache))
        if (other := _spaces.get(space.name)) is not None and other.hash != bundle.hash:
            raise DefinitionError(
                f"Another loaded version has a hash that begins alike: {other.hash}. Change "
                "anything in one of the two and deploy it again.",
                where=bundle.hash,
            )
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
        _spaces[space.name] = space
        try:
            entry = space.entry(bundle)
        except BaseException:
            _forget(space)
            raise
        names = tuple(sorted(_names_in(space)))
        _loaded[bundle.hash] = loaded = Loaded(bundle.hash, entry, names, space.folder)
        return loaded


def unload(hash: str) -> None:
    """Forget a loaded bundle: its modules leave sys.modules. No flow of it may be running still."""
    with _loading:
        _loaded.pop(hash, None)
        space = _spaces.get(_private(hash))
        if space is not None and space.hash == hash:
            _forget(space)


class _Space:
    """The private names of one bundle, and what stands behind each."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self.hash = bundle.hash
        self.name = _private(bundle.hash)
        self.folder = folder
        self._own = own_modules(bundle.files)
        self._sources = dict(bundle.files)
        self._modules = modules(bundle.files)
        self._folders = {
            name[:at] for name in self._modules for at, c in enumerate(name) if c == "."
        } - self._modules.keys()
        self._builtins = {**vars(builtins), "__import__": self._import}

    def entry(self, bundle: Bundle) -> Any:
        if bundle.document is not None:
            self._imported(self.name)
            return self.folder / bundle.document
        name, _, attributes = bundle.entry.partition(":")
        found: Any = self.module(name)
        for attribute in attributes.split("."):
            try:
                found = getattr(found, attribute)
            except AttributeError as error:
                raise DefinitionError(
                    f"There is no `{attributes}` here. Define it or mend the entry {bundle.entry}.",
                    where=self._modules[name],
                ) from error
        return found

    def module(self, name: str) -> ModuleType:
        if name not in self._modules and name not in self._folders:
            known = ", ".join(sorted(self._modules)[:8])
            raise DefinitionError(f"The bundle has no such module. It has: {known}.", where=name)
        return self._imported(f"{self.name}.{name}")

    def spec(self, name: str) -> ModuleSpec:
        """The spec of a private name; ModuleNotFoundError where the bundle has no such module."""
        inner = name[len(self.name) + 1 :]
        if (path := self._modules.get(inner)) is not None:
            package = path.endswith("/__init__.py")
            file = self.folder / path
            loader = _Loader(name, file, self._sources[path], self.folder, self._builtins)
            spec = ModuleSpec(name, loader, origin=str(file), is_package=package)
            spec.has_location = True
            if package:
                spec.submodule_search_locations = [str(file.parent)]
            return spec
        if inner and inner not in self._folders:
            raise ModuleNotFoundError(f"No module named {inner!r} in the bundle", name=name)
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(self.folder.joinpath(*inner.split(".")))]
        return spec

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """`__import__` as the bundle's sources see it."""
        top = name.partition(".")[0]
        if level or top not in self._own:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        if fromlist:
            return builtins.__import__(f"{self.name}.{name}", globals, locals, fromlist, 0)
        importlib.import_module(f"{self.name}.{name}")
        return sys.modules[f"{self.name}.{top}"]

    def _imported(self, name: str) -> ModuleType:
        try:
            return importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise self._explained(error, name[len(self.name) + 1 :]) from error

    def _explained(self, error: BaseException, module: str) -> DefinitionError:
        """Return the error for the author about an error in importing their code."""
        error.__traceback__ = _authors(error.__traceback__)
        where = self._place(error) or self._modules.get(module, module)
        said = str(error).replace(f"{self.name}.", "")
        match error:
            case DefinitionError() if error.where is not None:
                return error
            case DefinitionError():
                return DefinitionError(said, where=where)
            case SyntaxError(filename=str(file)) if self._inside(file):
                said = f"This is not valid Python: {error.msg}. Mend the line."
                return DefinitionError(said, where=f"{self._inside(file)}:{error.lineno or 1}")
            case ModuleNotFoundError(name=str(name)) if _within(name, self.name):
                hint = "Add the file or mend the name; tests and hidden files are not packed."
            case ModuleNotFoundError(name=str(name)) if name.partition(".")[0] in self._own:
                hint = (
                    f"It lies in this bundle, where only import statements find it: write "
                    f"`import {name}` instead of importlib.import_module."
                )
            case ModuleNotFoundError():
                hint = (
                    "Install what provides it, here and where the version is deployed from, or "
                    "mend the name."
                )
            case ImportError():
                hint = (
                    "Mend the name or define it; where two modules import each other, import "
                    "inside the function that needs it."
                )
            case _:
                said = f"Importing it raised {type(error).__name__}: {said}"
                hint = "What stands outside functions runs whenever the version is loaded: mend it."
        return DefinitionError(f"{said.rstrip('.')}. {hint}", where=where)

    def _place(self, error: BaseException) -> str | None:
        """The innermost line of the bundle that an error passed, as `file:line`."""
        for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
            if (path := self._inside(frame.f_code.co_filename)) is not None:
                return f"{path}:{line}"
        return None

    def _inside(self, file: str) -> str | None:
        path = Path(file)
        return (
            path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else None
        )


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        space = _spaces.get(fullname.partition(".")[0])
        return None if space is None else space.spec(fullname)


class _Loader(SourceFileLoader):
    """Runs one source of a bundle, from memory, with the bundle's own builtins.

    Bytecode is kept beside the unpacked sources and nowhere else, under a digest of its own: what a
    power cut has torn is compiled again.
    """

    def __init__(
        self, name: str, file: Path, source: bytes, folder: Path, names: dict[str, Any]
    ) -> None:
        super().__init__(name, str(file))
        self._source = source
        self._builtins = names
        inner = ".".join(file.relative_to(folder).with_suffix("").parts)
        tag = f"{sys.implementation.cache_tag}-{sys.flags.optimize}"
        self._compiled = folder / "__pycache__" / f"{inner}.{tag}.bytecode"

    def get_data(self, path: str) -> bytes:
        return self._source if path == self.path else super().get_data(path)

    def get_code(self, fullname: str) -> CodeType:
        salt = (
            importlib.util.MAGIC_NUMBER + self.path.encode(errors="surrogateescape") + self._source
        )
        try:
            digest, body = (kept := self._compiled.read_bytes())[:32], kept[32:]
            if digest == hashlib.sha256(salt + body).digest():
                return marshal.loads(body)  # noqa: S302 - ours: the digest covers it and its source
        except OSError:
            pass
        code: CodeType = self.source_to_code(self._source, self.path)
        if not sys.dont_write_bytecode:
            body = marshal.dumps(code)
            self._keep(hashlib.sha256(salt + body).digest() + body)
        return code

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._builtins
        super().exec_module(module)

    def _keep(self, data: bytes) -> None:
        try:
            self._compiled.parent.mkdir(exist_ok=True)
            file, name = tempfile.mkstemp(dir=self._compiled.parent)
            with os.fdopen(file, "wb") as opened:
                opened.write(data)
            os.replace(name, self._compiled)
        except OSError:  # a full or read-only disk: it is compiled again next time
            pass


_finder = _Finder()
_spaces: dict[str, _Space] = {}
_loaded: dict[str, Loaded] = {}
_loading = RLock()


def _private(hash: str) -> str:
    return f"{_PRIVATE}{hash[:16]}"


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _names_in(space: _Space) -> list[str]:
    """The modules of a space. Of a copy: other threads import meanwhile."""
    return [name for name in list(sys.modules) if _within(name, space.name)]


def _forget(space: _Space) -> None:
    _spaces.pop(space.name, None)
    for name in _names_in(space):
        del sys.modules[name]
    inside = f"{space.folder}{os.sep}"
    for kept in (linecache.cache, sys.path_importer_cache):
        for path in [path for path in list(kept) if f"{path}{os.sep}".startswith(inside)]:
            del kept[path]


def _authors(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of the import machinery, Python's and ours."""
    links: list[TracebackType] = []
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file not in (__file__, importlib.__file__) and not file.startswith("<frozen importlib"):
            links.append(trace)
        trace = trace.tb_next
    for link in reversed(links):
        trace = TracebackType(trace, link.tb_frame, link.tb_lasti, link.tb_lineno)
    return trace


def _unpack(bundle: Bundle, cache: Path) -> Path:
    """Write a bundle's files to `cache/<hash>`, whole or not at all; others may do so meanwhile."""
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache.resolve() / bundle.hash
    refused: OSError | None = None
    for _ in range(_TRIES):
        if _whole(bundle, folder):
            return folder
        aside = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
        try:
            for path, content in bundle.files:
                file = aside / "new" / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            refused = _put(aside, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    raise DefinitionError(
        "Its unpacked files do not stay as they were. Remove the folder; see what writes there.",
        where=str(folder),
    ) from refused


def _put(aside: Path, folder: Path) -> OSError | None:
    """Give the unpacked files their name; None, or the error where somebody else was faster."""
    try:
        if folder.exists():  # not whole: torn by a power cut, or changed by hand
            os.rename(folder, aside / "old")
        os.rename(aside / "new", folder)
    except OSError as error:
        return error
    return None


def _whole(bundle: Bundle, folder: Path) -> bool:
    try:
        return all((folder / path).read_bytes() == content for path, content in bundle.files)
    except OSError:
        return False
