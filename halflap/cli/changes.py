"""Compare a new version with the former one: its flows, its config, its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halflap.api.integrations import config_schema, flow_view
from halflap.api.operations.comparing import config_fields, diff_lines
from halflap.api.operations.kinds import name_of
from halflap.api.view import FlowView, VersionView
from halflap.cli.output import Output
from halflap.engine.bundle import Bundle
from halflap.engine.definition import check_definition
from halflap.engine.integration import load_integration
from halflap.engine.loader import unload
from halflap.sdk import codec

MOST_LINES = 60
"""So many lines of a diff are shown, unless all of it is asked for."""


@dataclass(frozen=True, slots=True)
class VersionOutline:
    """The flows, the config and the connections of a version that is not published yet."""

    flows: list[FlowView]
    config: Any
    connections: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Changes:
    """The difference of two versions: words about flows and config, and a unified diff of files."""

    flows: tuple[str, ...]
    config: tuple[str, ...]
    files: Mapping[str, tuple[str, ...]]
    """By path, the lines of its diff."""

    @classmethod
    def between(cls, before: VersionView | None, after: VersionOutline, bundle: Bundle) -> Changes:
        """Return the changes from a version, as the API shows it, to a bundle; all of it for none."""
        old_files = before.files if before is not None else {}
        new_files = {path: text.decode(errors="replace") for path, text in bundle.files}
        return cls(
            tuple(differences("flow", flows(before), flows(after))),
            tuple(differences("field", fields(before), fields(after))),
            dict(diffs(old_files, new_files)),
        )

    def show(self, output: Output, *, every_line: bool) -> None:
        """Show them, the files last."""
        for each in (*self.flows, *self.config):
            style = {"+": "green", "-": "red"}.get(each[0], "yellow")
            output.line("  ", (each, style))
        lines = [line for each in self.files.values() for line in each]
        if not lines:
            output.line("  no file changes, only what they were locked with")
        output.line()
        shown = lines if every_line else lines[:MOST_LINES]
        for line in shown:
            style = "green" if line.startswith("+") else "red" if line.startswith("-") else ""
            bold = line.startswith(("+++", "---"))
            output.line((line, "bold" if bold else "dim" if line.startswith("@@") else style))
        if len(lines) > len(shown):
            output.line(
                (f"… and {len(lines) - len(shown)} more lines; all of them with --dry-run", "dim")
            )
        output.line()

    def plain(self) -> Mapping[str, Any]:
        """For machines."""
        return {
            "flows": list(self.flows),
            "config": list(self.config),
            "files": {path: "\n".join(lines) for path, lines in self.files.items()},
        }


def outline(bundle: Bundle, cache: Path) -> VersionOutline:
    """A bundle's flows and config, as the API would show them; loads it, and says what is wrong."""
    integration = load_integration(bundle, cache)
    try:
        check_definition(integration)
        # As it would come back from the API: numbers compare equal to those of a published version.
        config = codec.decode(codec.encode(config_schema(integration)))
        connections = integration.connections().items()
        return VersionOutline(
            [flow_view(each) for each in integration.flows.values()],
            config,
            {field: name_of(kind) for field, kind in connections},
        )
    finally:
        unload(bundle.hash)


def flows(version: VersionOutline | VersionView | None) -> dict[str, str]:
    """The flows of a version, each with its trigger and the inputs of that."""
    found: dict[str, str] = {}
    for each in version.flows if version is not None else ():
        inputs = ", ".join(f"{name}={value}" for name, value in each.inputs.items())
        found[each.name] = f"{each.trigger}({inputs})" if inputs else each.trigger
    return found


def fields(version: VersionOutline | VersionView | None) -> dict[str, str]:
    """The fields of a version's config, each with what it takes."""
    found = {} if version is None else config_fields(version.config, version.connections)
    return {name: each.text for name, each in found.items()}


def differences(noun: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield what was added, removed and changed, in words."""
    for name in sorted({*before, *after}):
        if name not in before:
            yield f"+ {noun} {name}: {after[name]}"
        elif name not in after:
            yield f"- {noun} {name}: {before[name]}"
        elif before[name] != after[name]:
            yield f"~ {noun} {name}: {before[name]} → {after[name]}"


def diffs(
    before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A unified diff of each file that differs."""
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        yield path, tuple(diff_lines(path, old, new))
