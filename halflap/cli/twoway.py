"""Print the steps of a two-way flow: what a check found, and which record is paired with which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast


def found(kind: str, inputs: Any, result: Any, arrow: str) -> str | None:
    """Return a step's result in words; None where it is a step of another kind."""
    match kind:
        case "check" if isinstance(result, Mapping):
            return news(cast(Mapping[str, Any], result))
        case "pair" if isinstance(inputs, Mapping):
            return partner(cast(Mapping[str, Any], inputs), result, arrow)
        case _:
            return None


def news(result: Mapping[str, Any]) -> str:
    """Return a check's result: `run`, `echo of exe_…`; why is the outcome's reason."""
    how, hops = str(result.get("how", "")), result.get("hops", 0)
    if how == "run" and hops:
        return f"run, caused by {hops} {'write' if hops == 1 else 'writes'} of ours"
    return f"{how} of {result['writer']}" if result.get("writer") else how


def partner(inputs: Mapping[str, Any], result: Any, arrow: str) -> str:
    """The record that one is paired with: `→ acme acc_1`, or `→ (none)`; of what pairs, if it did."""
    asked = [side for side, id in inputs.items() if id is None]
    if result is False:
        return "(one of them is paired already)"
    if not asked or result is True:
        return ""
    return f"{arrow} (none)" if result is None else f"{arrow} {asked[0]} {result}"


def told(kind: str, inputs: Any) -> list[tuple[str, Any]] | None:
    """Return a step's inputs, by name, where they are not simply its recorded inputs."""
    if not isinstance(inputs, Mapping):
        return None
    given = cast(Mapping[str, Any], inputs)
    match kind:
        case "check":
            fields = cast(Mapping[str, Any], given.get("fields") or {})
            return [("record", given.get("record")), *fields.items()]
        case "pair":
            return []  # its title says it
        case _:
            return None
