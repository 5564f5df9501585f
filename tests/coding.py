"""What the tests of code steps share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halflap.lowcode.code import Call, Code, CodeRunner, Limits, Place

PLACE = Place("flow.yaml", 10, 8)
"""A block that begins in line 10, indented by eight."""


async def no_calls(call: Call) -> Any:
    raise AssertionError(f"{call.name} was called")


async def run(runner: CodeRunner, text: str, /, limits: Limits = Limits(), **inputs: Any) -> Any:
    """Run a text that calls no actions."""
    return await runner.run(Code.parse(text, inputs, (), PLACE), inputs, no_calls, limits=limits)


def unchecked(text: str, inputs: Mapping[str, Any] | None = None, *components: str) -> Code:
    """Code as it would be if nothing were checked before it runs: what is left is the sandbox."""
    names = frozenset(inputs or {})
    return Code(text, names, frozenset(components), names, (), (), PLACE)
