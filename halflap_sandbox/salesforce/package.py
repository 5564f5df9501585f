"""The zip of a deploy or a retrieve: its manifest, its files, what it deletes."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from halflap_sandbox.salesforce.catalog import FILES, KINDS, Described
from halflap_sandbox.salesforce.component import Problem
from halflap_sandbox.salesforce.markup import Element, Malformed, document, element, parse
from halflap_sandbox.salesforce.model import Org

MOST_FILES = 10_000
LARGEST = 64 * 1024 * 1024
MANIFEST = "package.xml"
CHILDREN = {
    "outboundMessages": "WorkflowOutboundMessage",
    "rules": "WorkflowRule",
    "fields": "CustomField",
}
TAGS = {type: tag for tag, type in CHILDREN.items()}
DELETIONS = {
    "destructiveChangesPre.xml": True,
    "destructiveChanges.xml": True,
    "destructiveChangesPost.xml": False,
}
"""The files that name what to delete, and whether that comes before everything is saved."""


class BadPackage(Exception):
    """The zip cannot be used at all: which file, what is wrong, in which line."""

    def __init__(self, file: str, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.file = file
        self.message = message
        self.line = line


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of metadata in a package, or why a file of it cannot be read."""

    type: str
    full_name: str
    file: str
    content: Element
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Deletion:
    """A piece of metadata that a package deletes."""

    type: str
    full_name: str
    file: str
    first: bool


@dataclass(slots=True)
class Package:
    """The content of a zip."""

    parts: list[Part] = field(default_factory=list[Part])
    deletions: list[Deletion] = field(default_factory=list[Deletion])
    missing: list[Part] = field(default_factory=list[Part])


def read_package(data: bytes, *, single: bool) -> Package:
    """Read the zip of a deploy; where it is not a `single` package each folder of it is one.

    Raises BadPackage where it is no zip, too large, has files outside of it, or has no manifest.
    """
    files = _unzip(data)
    roots = [""] if single else sorted({n.partition("/")[0] + "/" for n in files if "/" in n})
    package = Package()
    for root in roots:
        inside = {n.removeprefix(root): d for n, d in files.items() if n.startswith(root)}
        _read_root(package, inside)
    if not roots:
        raise BadPackage(MANIFEST, "No package.xml found")
    return package


def write_package(
    org: Org, wanted: Element, *, single: bool
) -> tuple[bytes, list[Part], list[str]]:
    """Write the zip of a retrieve: its bytes, what is in it, what could not be found."""
    parts: list[Part] = []
    unknown: list[str] = []
    for type, name in _members(wanted):
        if type in {"Workflow", "CustomObject"}:
            found = _of_file(org, type, name)
        else:
            found = _of_kind(org, type, name)
        parts += [part for part in found if part not in parts]
        if not found and name != "*":
            unknown.append(f"Entity of type '{type}' named '{name}' cannot be found")
    prefix = "" if single else "unpackaged/"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(prefix + MANIFEST, document(wanted.named("Package")))
        for file, content in _files(parts).items():
            archive.writestr(prefix + file, document(content))
    return packed.getvalue(), parts, unknown


def _unzip(data: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > MOST_FILES or sum(e.file_size for e in entries) > LARGEST:
                message = f"The zip is too large: at most {MOST_FILES:,} files, {LARGEST:,} bytes"
                raise BadPackage("", message)
            for entry in entries:
                _check_path(entry.filename)
            if len({entry.filename for entry in entries}) < len(entries):
                raise BadPackage("", "The zip has a file twice")
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadPackage("", f"The zip file can't be read: {error}") from error


def _check_path(name: str) -> None:
    steps = name.split("/")
    if "\\" in name or ":" in name or name.startswith("/") or ".." in steps or "." in steps:
        raise BadPackage(name, f"The zip has a file outside of the package: {name}")


def _read_root(package: Package, files: Mapping[str, bytes]) -> None:
    if MANIFEST not in files:
        raise BadPackage(MANIFEST, "No package.xml found")
    listed = _members(_parse_manifest(MANIFEST, files[MANIFEST]))
    for file, first in DELETIONS.items():
        if file in files:
            for type, name in _members(_parse_manifest(file, files[file])):
                package.deletions.append(Deletion(type, name, file, first))
    parts: list[Part] = []
    for file, data in files.items():
        if file != MANIFEST and file not in DELETIONS:
            parts += _read_file(file, data)
    for part in parts:
        known = part.problem is not None or any(_names(type, n, part) for type, n in listed)
        problem = None if known else Problem("INVALID_INPUT", "Not in package.xml")
        package.parts.append(part if known else replace(part, problem=problem))
    for type, name in listed:
        if name != "*" and not any(_names(type, name, part) for part in parts):
            message = (
                f"An object '{name}' of type {type} was named in package.xml, but was not found "
                "in zipped directory"
            )
            problem = Problem("INVALID_INPUT", message)
            package.missing.append(Part(type, name, MANIFEST, element("none"), problem))


def _names(type: str, name: str, part: Part) -> bool:
    """Tell whether a line of the manifest names a part: itself, or the object that it belongs to."""
    if type == part.type:
        return name in {"*", part.full_name}
    described = next((d for d in FILES if d.name == type and part.type in d.children), None)
    return described is not None and name in {"*", part.full_name.partition(".")[0]}


def _parse_manifest(file: str, data: bytes) -> Element:
    try:
        root = parse(data)
    except Malformed as error:
        raise BadPackage(file, error.message, error.line) from error
    if root.name != "Package":
        message = f"Error parsing file: Element {root.name} invalid at this location"
        raise BadPackage(file, message, root.line)
    return root


def _members(manifest: Element) -> list[tuple[str, str]]:
    return [
        (types.get("name") or "", member)
        for types in manifest.all("types")
        for member in types.texts("members")
    ]


def _read_file(file: str, data: bytes) -> list[Part]:
    directory, _, rest = file.partition("/")
    described = next((d for d in FILES if d.directory == directory), None)
    if described is None:
        problem = Problem("INVALID_INPUT", f"Unknown folder type: {directory}")
        return [Part("", file, file, element("none"), problem)]
    pattern = rf"([^/]+)\.{described.suffix}(?:-meta\.xml)?"
    found = re.fullmatch(pattern, rest)
    name = found[1] if found else rest
    try:
        if found is None:
            message = f"The file {rest} must end with .{described.suffix}"
            raise Problem("INVALID_INPUT", message)
        root = parse(data)
        if root.name != described.name:
            message = f"Error parsing file: Element {root.name} invalid at this location"
            raise Problem("INVALID_INPUT", message, line=root.line)
        return _parts(described, name, file, root)
    except Malformed as error:
        problem = Problem("INVALID_INPUT", error.message, line=error.line)
    except Problem as error:
        problem = error
    return [Part(described.name, name, file, element("none"), problem)]


def _parts(described: Described, name: str, file: str, root: Element) -> list[Part]:
    if not described.children:
        own = element("fullName", name)
        rest = root.without("fullName")
        content = replace(rest, children=(own, *rest.children), type=described.name)
        return [Part(described.name, name, file, content)]
    parts: list[Part] = []
    for child in root.children:
        type = CHILDREN.get(child.name)
        if type is None or type not in described.children:
            if child.name == "fullName":
                continue
            message = f"This sandbox knows no {child.name} in a {described.name}."
            raise Problem("INVALID_INPUT", message, line=child.line)
        own_name = child.get("fullName") or ""
        full_name = f"{name}.{own_name}"
        named = tuple(
            replace(c, text=full_name) if c.name == "fullName" else c for c in child.children
        )
        parts.append(Part(type, full_name, file, replace(child, children=named, type=type)))
    return parts


def _of_kind(org: Org, type: str, name: str) -> list[Part]:
    if (kind := KINDS.get(type)) is None:
        return []
    found: list[Part] = []
    for each in kind.listed(org):
        wanted = name in {"*", each.full_name}
        if wanted and (content := kind.read(org, each.full_name)) is not None:
            found.append(Part(type, each.full_name, each.file_name, content))
    if not found and type == "Flow" and (content := kind.read(org, name)) is not None:
        found.append(Part(type, name, f"flows/{name}.flow", content))
    return found


def _of_file(org: Org, type: str, name: str) -> list[Part]:
    described = next(d for d in FILES if d.name == type)
    return [
        part
        for child in described.children
        for part in _of_kind(org, child, "*")
        if name in {"*", part.full_name.partition(".")[0]}
    ]


def _files(parts: list[Part]) -> dict[str, Element]:
    files: dict[str, Element] = {}
    for part in parts:
        described = next(d for d in FILES if part.type in (d.name, *d.children))
        content = part.content.without("fullName")
        if described.children:
            name = element("fullName", part.full_name.partition(".")[2])
            content = replace(content, children=(name, *content.children), type=None)
            inside = files.get(part.file)
            content = content.named(TAGS[part.type])
            content = element(described.name, *(inside.children if inside else ()), content)
        else:
            content = replace(content, name=described.name, type=None)
        files[part.file] = content
    return files
