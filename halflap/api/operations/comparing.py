"""Compare two versions of an integration: their files, their flows, and what their configs ask for."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from halflap.lowcode.outline import FlowChange

MOST_TEXT = 400_000
"""The most characters of a file, before and after, that are compared line by line."""
MOST_COMPARED = 10_000
"""The most lines of a file, before or after, that are compared."""
MOST_LINES = 5_000
"""The most lines of the diff of one file."""
MOST_FILES = 500
CONTEXT = 3

Change = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that differs."""

    path: str
    change: Change
    text: str
    """Its unified diff."""
    added: int
    removed: int
    """The numbers of lines."""
    left_out: str
    """Why there is no diff, or only the beginning of it; empty where it is whole."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of the config that differs: what it takes before and after, in words."""

    name: str
    title: str
    change: Change
    before: str
    after: str
    asked: bool
    """True if an upgrade has to be given it: it is new and needed, or a connection to another app."""


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """The difference of the sources of two versions; `flows` is None where one cannot be read."""

    files: Sequence[FileChange]
    flows: Sequence[FlowChange] | None
    left_out: int = 0
    """The number of files that differ beyond those that are listed."""


def compare_files(
    before: Mapping[str, bytes], after: Mapping[str, bytes]
) -> tuple[list[FileChange], int]:
    """Return the files that differ, by path, and the number of those that are left out."""
    differ = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
    found = [compare_file(path, before.get(path), after.get(path)) for path in differ[:MOST_FILES]]
    return found, len(differ) - len(found)


def compare_file(path: str, before: bytes | None, after: bytes | None) -> FileChange:
    """Return how a file differs; None where it is not there."""
    change: Change = "added" if before is None else "removed" if after is None else "changed"
    old, new = before or b"", after or b""
    if len(old) > MOST_TEXT or len(new) > MOST_TEXT:
        sizes = f"{len(old):,} bytes before, {len(new):,} after"
        return FileChange(path, change, "", 0, 0, f"too large to compare: {sizes}")
    try:
        texts = old.decode(), new.decode()
    except UnicodeDecodeError:
        return FileChange(path, change, "", 0, 0, "is not text")
    if any(each.count("\n") > MOST_COMPARED for each in texts):
        return FileChange(path, change, "", 0, 0, f"has more than {MOST_COMPARED:,} lines")
    lines = diff_lines(
        path, None if before is None else texts[0], None if after is None else texts[1]
    )
    return FileChange(
        path,
        change,
        "\n".join(lines[:MOST_LINES]),
        sum(each.startswith("+") for each in lines[2:]),
        sum(each.startswith("-") for each in lines[2:]),
        f"{len(lines) - MOST_LINES:,} more lines" if len(lines) > MOST_LINES else "",
    )


def diff_lines(path: str, before: str | None, after: str | None) -> list[str]:
    """Return the lines of a unified diff of a file; None where it is not there."""
    return list(
        difflib.unified_diff(
            (before or "").splitlines(),
            (after or "").splitlines(),
            f"a/{path}" if before is not None else "/dev/null",
            f"b/{path}" if after is not None else "/dev/null",
            lineterm="",
            n=CONTEXT,
        )
    )


@dataclass(frozen=True, slots=True)
class ConfigField:
    """A field of a version's config, as it is compared: its title, what it takes, if it is needed."""

    title: str
    text: str
    needed: bool


def compare_configs(
    before: Mapping[str, ConfigField], after: Mapping[str, ConfigField]
) -> Iterator[FieldChange]:
    """Yield the fields of a config that differ, in the order of the newer version."""
    for name, each in after.items():
        if (former := before.get(name)) is None:
            yield FieldChange(name, each.title, "added", "", each.text, each.needed)
        elif former.text != each.text:
            is_other_app = each.needed and "connection to" in each.text
            yield FieldChange(name, each.title, "changed", former.text, each.text, is_other_app)
    for name, each in before.items():
        if name not in after:
            yield FieldChange(name, each.title, "removed", each.text, "", False)


def config_fields(config: Any, connections: Mapping[str, str]) -> dict[str, ConfigField]:
    """Return the fields of a config, by its JSON Schema and the connections that it wants."""
    found = {
        name: ConfigField(name, f"connection to {kind}", True) for name, kind in connections.items()
    }
    schema: Mapping[str, Any] = config or {}
    required = schema.get("required") or ()
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties") or {}
    for name, each in properties.items():
        kind = each.get("type") or ("one of several" if "anyOf" in each else "object")
        rest = {key: each[key] for key in sorted(each) if key not in ("title", "type")}
        limits = f" {json.dumps(rest, default=str, ensure_ascii=False)}" if rest else ""
        needed = name in required
        text = f"{'' if needed else 'optional '}{kind}{limits}"
        found[name] = ConfigField(str(each.get("title") or name), text, needed)
    return found
