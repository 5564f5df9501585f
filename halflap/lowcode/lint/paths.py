"""Checks the path of a request: it stays below its connection's address, and data is in `values`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from halflap.lowcode.expressions import tree
from halflap.lowcode.lint import rules
from halflap.lowcode.lint.expressions import Reads
from halflap.lowcode.lint.rules import Findings
from halflap.lowcode.source import Path
from halflap.sdk.urlpath import PLACE, climbs

FORMAT = "url-path"
"""The format of an input that is such a path."""
_ORIGIN = re.compile(r"([A-Za-z][\w+.-]*://[^/?#]*)(/[^/?#]+(?=/))?")


def check_path(value: Any, values: Any, path: Path, reads: Reads, findings: Findings) -> None:
    """Check what an input for a path is given, and the `values` beside it."""
    if not isinstance(value, str):
        return
    parts = _parts(reads[path].expression.tree) if path in reads else [value]
    written = [each for each in parts if isinstance(each, str)]
    first = parts[0] if parts else None
    if isinstance(first, str) and (origin := _ORIGIN.match(first)) is not None:
        findings.add(rules.REQUEST_PATH, path, _whole(origin, "" if value == first else "…"))
    elif any(map(climbs, written)):
        said = (
            "a path cannot climb by . or .. out of the connection's base_url; write where it leads"
        )
        findings.add(rules.UNFIT, path, said)
    elif len(parts) > 1 and (name := _data(parts)):
        short = name.rpartition(".")[2]
        said = f"{name} could name another resource here, by a / in it; write {{{short}}} in the path, "
        said += f"and `values: {{{short}: ={name}}}`"
        findings.add(rules.REQUEST_PATH, path, said)
    elif values is None or isinstance(values, dict):
        given = cast("Mapping[Any, Any]", values or {})
        for name in PLACE.findall("".join(written)):
            if name not in given:
                said = (
                    f"the path's place {{{name}}} is given no value; write `values: {{{name}: …}}`"
                )
                findings.add(rules.UNFIT, path, said)


def _whole(origin: re.Match[str], more: str) -> str:
    """Return what to write for a whole URL: that depends on a `base_url` which lint does not know."""
    host, first = origin.groups()
    rest = origin.string[origin.end(1) :]
    said = "credentials never leave the connection's base_url, and the path goes below it; write "
    said += f"{rest or '/'}{more} if the base_url is {host}"
    if first is not None:
        said += f", {rest.removeprefix(first)}{more} if it is {host}{first}"
    return said


def _parts(node: tree.Node) -> list[str | tree.Node]:
    """Return what a text is joined of: texts as they are written, and expressions."""
    if isinstance(node, tree.Binary) and node.operator == "&":
        return [*_parts(node.left), *_parts(node.right)]
    return [node.value if isinstance(node, tree.Literal) and isinstance(node.value, str) else node]


def _data(parts: Sequence[str | tree.Node]) -> str:
    """Return the first name of an event or a result that becomes a part of the path itself."""
    for each in parts:
        if isinstance(each, str):
            if "?" in each:
                return ""  # what follows are parameters
        elif (field := tree.field_of(each)) is not None and field[0] != "config":
            return ".".join(field)
    return ""
