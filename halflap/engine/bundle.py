"""A bundle: one version of an integration, immutable, named by the hash of its content.

It holds the project's sources (or its YAML document) and the lock of what they need. Making,
sending and opening a bundle runs none of its code; only `loader.load` does.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

import msgspec

from halflap import lowcode
from halflap.engine.lock import Lock, imports, lock_of
from halflap.errors import DefinitionError
from halflap.sdk import registry

MOST_BYTES = 4 * 1024 * 1024
"""The most bytes that the files of a bundle may have together."""

MOST_FILES = 2_000
"""The most files that a bundle may have."""

MOST_SOURCE = 256 * 1024
"""The most bytes of a source file of a component set: Python's parser stops all else meanwhile."""

Files = tuple[tuple[str, bytes], ...]

SUFFIXES = (".py", ".yaml", ".yml", ".svg", ".json")
_SKIPPED_FOLDERS = frozenset({"tests", "test", "venv", "node_modules", "__pycache__", "dist"})
_NOT_PACKED = "Tests, hidden files, virtual environments and what git ignores are not packed."
_ENTRY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


class _Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="halflap.bundle.1"):
    hash: str
    entry: str
    files: Files
    lock: Lock


@dataclass(frozen=True, slots=True)
class Bundle:
    """One version of an integration: its files, where it starts, and what it needs.

    `hash` is SHA-256, in hex, of all the rest. `entry` is `module:object`, or the path of a YAML
    document. `files` are (path, content), sorted. `lock` is (distribution, version), sorted.
    A bundle whose paths, sizes or hash are wrong cannot be made: DefinitionError.
    """

    hash: str
    entry: str
    files: Files = field(repr=False)
    lock: Lock

    def __post_init__(self) -> None:
        _check_files(self.files)
        _check_entry(self.entry, self.files)
        if list(self.lock) != sorted(dict(self.lock).items()):
            raise DefinitionError("The bundle's lock is not in order. Deploy the version again.")
        if self.hash != _hash(self.entry, self.files, self.lock):
            raise DefinitionError(
                "The bundle's content is not what its hash names: it was damaged or changed on its "
                "way. Deploy the version again.",
                where=self.hash[:16],
            )

    @property
    def document(self) -> str | None:
        """The path of the YAML document that this bundle starts with; None where it is Python."""
        return None if ":" in self.entry else self.entry

    def to_bytes(self) -> bytes:
        """The bundle as bytes, to store or send; the same bundle always gives the same bytes."""
        return msgspec.msgpack.encode(_Wire(self.hash, self.entry, self.files, self.lock))

    @classmethod
    def from_bytes(cls, data: bytes) -> Bundle:
        """Open a bundle that `to_bytes` wrote, trusting nothing in it, running nothing of it."""
        if len(data) > MOST_BYTES + MOST_FILES * 1_024:
            raise DefinitionError(
                f"This bundle has {len(data):,} bytes, more than one may. Deploy a smaller one."
            )
        try:
            wire = msgspec.msgpack.decode(data, type=_Wire)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DefinitionError(
                f"This is no bundle, or a damaged one: {error}. Deploy the version again."
            ) from error
        return cls(wire.hash, wire.entry, wire.files, wire.lock)


def pack(root: Path, entry: str, needs: Iterable[str] = ()) -> Bundle:
    """Pack an integration's project folder, as it is now, into a bundle.

    `entry` is where it starts, such as `salesforce_acme:integration` or `salesforce_acme.yaml`.
    `needs` are distributions to lock besides those that the sources import, and those that offer
    a YAML document's components.
    """
    return seal(entry, dict(_collect(root)), needs)


def pack_components(root: Path, without: Iterable[str] = ()) -> Bundle:
    """Pack a project's own components, with the modules of its that they import, and nothing else.

    `without` are the paths of its integrations. The entry is the first component's.
    """
    files = dict(_collect(root))
    left = {path: content for path, content in files.items() if path not in {*without}}
    found = sorted(component_modules(left))
    if not found:
        raise DefinitionError(
            "no component is defined in this folder. A module has one where it says, outside of "
            'functions, component = Component("acme"); to begin with one: halflap new component NAME',
            where=str(root),
        )
    own, modules_of, todo = own_modules(tuple(files.items())), dict[str, list[str]](), [*found]
    while todo:
        top = todo.pop()
        if top in own and top not in modules_of:
            modules_of[top] = files_of_module(files, top)
            sources = [path for path in modules_of[top] if path.endswith(".py")]
            todo += {
                each.partition(".")[0] for path in sources for each in imports(files[path], path)
            }
    packed = {path: files[path] for paths in modules_of.values() for path in paths}
    check_sources(packed)
    return seal(f"{found[0]}:component", packed)


def check_sources(files: Mapping[str, bytes]) -> None:
    """Refuse a component set with a source file of more than `MOST_SOURCE` bytes."""
    for path, content in files.items():
        if path.endswith(".py") and len(content) > MOST_SOURCE:
            raise DefinitionError(
                f"This source has {len(content):,} bytes; in a component set, one may have "
                f"{MOST_SOURCE:,}. Split it, or put its data into a file of its own.",
                where=path,
            )


def component_modules(files: Mapping[str, bytes]) -> list[str]:
    """Return the top-level modules among these files that have a `component`; none of them is run."""
    from halflap.lowcode.lint.describing import component_modules  # most processes need none

    return [
        *component_modules({path: text.decode("utf-8", "replace") for path, text in files.items()})
    ]


def files_of_module(files: Iterable[str], name: str) -> list[str]:
    """Return the files among these that a top-level module consists of."""
    return [each for each in files if each == f"{name}.py" or each.startswith(f"{name}/")]


def beside_document(
    base: Mapping[str, bytes], pinned: Mapping[str, bytes] | None
) -> dict[str, bytes]:
    """Return what lies beside a draft's document: of its base, but that a pinned set has the components.

    A component of the base's own that the set lacks goes, with all its files.
    """
    if pinned is None:
        return dict(base)
    gone = {path for name in component_modules(base) for path in files_of_module(base, name)}
    return {**{path: base[path] for path in base if path not in gone}, **pinned}


def seal(entry: str, files: Mapping[str, bytes], needs: Iterable[str] = ()) -> Bundle:
    """Make a bundle of files that lie in no folder, such as a document from the designer."""
    ordered = tuple(sorted(files.items()))
    _check_files(ordered)
    own = own_modules(ordered)
    imported = {
        name
        for path, content in ordered
        if path.endswith(".py")
        for name in imports(content, path)
        if name.partition(".")[0] not in own
    }
    lock = lock_of(imported, {*needs, *_offering(entry, files, own)})
    return Bundle(_hash(entry, ordered, lock), entry, ordered, lock)


def _offering(entry: str, files: Mapping[str, bytes], own: frozenset[str]) -> set[str]:
    """The distributions that offer the installed components which a YAML document names."""
    if ":" in entry or entry not in files:
        return set()
    named = lowcode.components_in(lowcode.read(files[entry], entry).data) - own
    return {found for each in named if (found := registry.distribution(each)) is not None}


def modules(files: Files) -> dict[str, str]:
    """The modules among these files: dotted name → path; a package stands before a module."""
    found: dict[str, str] = {}
    for path, _ in files:
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if not path.endswith(".py") or path == "__init__.py":
            continue
        if name not in found or path.endswith("/__init__.py"):
            found[name] = path
    return found


def own_modules(files: Files) -> frozenset[str]:
    """The top-level names that mean the bundle's own modules to its sources.

    As in Python, a folder without `__init__.py` does not hide a module of the standard library.
    """
    found = modules(files)
    hidden = {"halflap", *sys.stdlib_module_names}
    tops = {name.partition(".")[0] for name in found}
    return frozenset(top for top in tops if top in found or top not in hidden)


def _hash(entry: str, files: Files, lock: Lock) -> str:
    return hashlib.sha256(
        msgspec.msgpack.encode(("halflap.bundle.1", entry, files, lock))
    ).hexdigest()


def _check_files(files: Files) -> None:
    if len(files) > MOST_FILES:
        raise DefinitionError(
            f"The project has more than {MOST_FILES:,} files to pack. Is it the right folder? "
            "Move what the integration does not need out of it."
        )
    if sum(len(content) for _, content in files) > MOST_BYTES:
        raise DefinitionError(
            f"The project's files have more than {MOST_BYTES // 1024 // 1024} MB. Is it the right "
            "folder? Move what the integration does not need out of it."
        )
    if any(a[0] >= b[0] for a, b in pairwise(files)):
        raise DefinitionError("The bundle's files are not in order. Deploy the version again.")
    seen: dict[str, str] = {}
    for path, _ in files:
        if (wrong := _refused(path)) is not None:
            raise DefinitionError(
                f"A bundle may not hold this path: {wrong}. Rename it.", where=path
            )
        folders = [path[: at.start()] for at in re.finditer("/", path)]
        for name in (*folders, path):
            spelt = name if name == path else f"{name}/"
            if seen.setdefault(name.casefold(), spelt) != spelt:
                raise DefinitionError(
                    f"It has the same name as {seen[name.casefold()]}, or one that some file "
                    "systems do not tell from it. Rename one of them.",
                    where=path,
                )
    if "halflap" in modules(files):
        raise DefinitionError(
            "A module named halflap hides Halflap itself. Rename it.", where="halflap"
        )


def _refused(path: str) -> str | None:
    """Why a path cannot lie in a bundle: it leads out, or `pack` would not have packed it."""
    *folders, name = parts = path.split("/")
    if not path.isprintable() or any(c in '\\:*?"<>|' for c in path):
        return "it has a character that not every file system can keep"
    if any(part != part.strip(" .") or not part for part in parts):
        return "it leads out of the folder or is hidden"
    if len(path.encode()) > 500 or max(len(part.encode()) for part in parts) > 200:
        return "it is too long"
    if not _packed(name) or not all(map(_entered, folders)):
        return "it is none of the kinds of files that are packed"
    return None


def _check_entry(entry: str, files: Files) -> None:
    if entry.endswith((".yaml", ".yml")) and ":" not in entry:
        known, wanted, noun = (
            [path for path, _ in files if path.endswith((".yaml", ".yml"))],
            entry,
            "file",
        )
    elif _ENTRY.fullmatch(entry):
        known, wanted, noun = list(modules(files)), entry.partition(":")[0], "module"
    else:
        raise DefinitionError(
            "The entry is neither `module:object`, such as `salesforce_acme:integration`, nor a "
            "YAML document's path. Write one of the two.",
            where=entry,
        )
    if wanted not in known:
        close = get_close_matches(wanted, known, 1) or sorted(known)[:5]
        hint = f"Did you mean {' or '.join(close)}? " if close else ""
        raise DefinitionError(
            f"The project has no {noun} {wanted}. {hint}{_NOT_PACKED}", where=entry
        )


def _packed(name: str) -> bool:
    if name.endswith(".py"):
        return not name.startswith((".", "test_")) and name != "conftest.py"
    return not name.startswith(".") and (name.endswith(SUFFIXES) or name.lower() == "readme.md")


def _entered(folder: str) -> bool:
    return not folder.startswith(".") and folder not in _SKIPPED_FOLDERS


def _collect(root: Path) -> Iterator[tuple[str, bytes]]:
    top = root.resolve()
    if not top.is_dir():
        raise DefinitionError(
            "There is no such folder. Give the folder of the integration's project.",
            where=str(root),
        )
    found = list(_walk(top, top, "", (top,)))
    # Of what a link leads to, git knows nothing; a source that is made and not committed is needed.
    ignored = _ignored(
        top, [path for path, file in found if file == top / path and not path.endswith(".py")]
    )
    count = size = 0
    for path, file in found:
        if path in ignored:
            continue
        try:
            content = _read(file, path, MOST_BYTES - size)
        except FileNotFoundError:  # an editor is replacing it: the next change packs again
            continue
        count, size = count + 1, size + len(content)
        yield path, content
        if count > MOST_FILES or size > MOST_BYTES:
            return


def _ignored(top: Path, paths: Sequence[str]) -> set[str]:
    """Return which of these files of a project git ignores.

    Of what lies in a repository within (a submodule), that one is asked: another refuses to answer.
    """
    own = list[str]()
    within = defaultdict[str, list[str]](list)
    folders = {path[:at] for path in paths for at, letter in enumerate(path) if letter == "/"}
    repositories = sorted(each for each in folders if (top / each / ".git").exists())
    for path in paths:  # the outermost that it is in stands before those within
        folder = next((each for each in repositories if path.startswith(f"{each}/")), "")
        if folder:
            within[folder].append(path[len(folder) + 1 :])
        else:
            own.append(path)
    found = _ask_git(top, [*own, *within])
    for folder, inner in within.items():
        left_out = inner if folder in found else _ignored(top / folder, inner)
        found |= {f"{folder}/{path}" for path in left_out}
    return found


def _ask_git(top: Path, paths: Sequence[str]) -> set[str]:
    """Return which of these paths git ignores; none where the top is in no repository."""
    if not paths or not any((folder / ".git").exists() for folder in (top, *top.parents)):
        return set()
    # Nothing of the project is run, so no program that its repository's configuration names either.
    # A repository of another user, as in a container, is asked all the same.
    asks = ["-c", "core.fsmonitor=false", "-c", "safe.directory=*", "-C", str(top)]
    command = ["git", *asks, "check-ignore", "-z", "--stdin"]
    try:
        done = subprocess.run(  # noqa: S603
            command, input=os.fsencode("\0".join(paths)), capture_output=True, check=False
        )
    except OSError:  # there is no git
        return set()
    return {*os.fsdecode(done.stdout).split("\0")}


def _read(file: Path, path: str, room: int) -> bytes:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise DefinitionError("This is not an ordinary file. Move it elsewhere.", where=path)
        with file.open("rb") as opened:
            return opened.read(room + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DefinitionError(
            f"It cannot be read: {error.strerror}. Mend its permissions or move it elsewhere.",
            where=path,
        ) from error


def _walk(
    top: Path, folder: Path, prefix: str, above: tuple[Path, ...]
) -> Iterator[tuple[str, Path]]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise DefinitionError(
            f"The folder cannot be read: {error.strerror}. Mend its permissions or move it.",
            where=prefix or str(top),
        ) from error
    for entry in entries:
        path, target = prefix + entry.name, Path(entry.path)
        is_folder = target.is_dir()
        if not (_entered(entry.name) if is_folder else _packed(entry.name)):
            continue
        if entry.is_symlink():
            target = _followed(top, target, path)
        if not is_folder:
            yield path, target
        elif target in above:
            raise DefinitionError(
                "This link leads back to a folder above it. Remove it.", where=path
            )
        elif not (target / "pyvenv.cfg").exists():
            yield from _walk(top, target, f"{path}/", (*above, target))


def _followed(top: Path, link: Path, path: str) -> Path:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise DefinitionError("This link leads nowhere. Mend or remove it.", where=path) from error
    if not target.is_relative_to(top):
        raise DefinitionError(
            "This link leads out of the project's folder, so its target would not come along. "
            "Copy the target into the folder instead.",
            where=path,
        )
    return target
