"""Helpers that the tests of code steps share."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halflap.lowcode.code import Code, CodeCall, CodeLimits, CodePlace, CodeRunner

PLACE = CodePlace("flow.yaml", 10, 8)
"""A block that begins in line 10, indented by eight."""


async def no_calls(call: CodeCall) -> Any:
    raise AssertionError(f"{call.name} was called")


async def run(
    runner: CodeRunner,
    text: str,
    /,
    limits: CodeLimits = CodeLimits(),
    owner: str = "",
    **inputs: Any,
) -> Any:
    """Run a text that calls no actions."""
    code = Code.parse(text, inputs, (), PLACE)
    return await runner.run(code, inputs, no_calls, limits=limits, owner=owner)


def unchecked(text: str, inputs: Mapping[str, Any] | None = None, *components: str) -> Code:
    """Code as it would be if nothing were checked before it runs: what is left is the sandbox."""
    names = frozenset(inputs or {})
    return Code(text, names, frozenset(components), names, (), (), PLACE)


def children(pid: int) -> list[int]:
    """The processes that it has started and that are not at their end (Linux)."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return [each for each in found if status(each, "State") not in ("", "Z")]


def status(pid: int, name: str) -> str:
    """The first word of a field of its status; empty where it is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return line.split()[1]
    return ""
