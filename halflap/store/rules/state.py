"""Writes to the state: what they come to, and merges of one JSON object into another.

As RFC 7396 has it, one level deep: null removes a member, and what is stored and is no object
counts as an empty one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from halflap.model import MISSING, StateWrite
from halflap.sdk import codec

Patch = Mapping[str, Any]
StateChange = tuple[StateWrite, Patch | None]
"""A write, with what it merges."""
Key = tuple[str, str]
"""A scope and a key."""


def changes(writes: Sequence[StateWrite]) -> list[StateChange]:
    """Writes, ready to be made; raises `ValueError` where one merges what is no JSON object."""
    return [(each, patch_of(each) if each.merge else None) for each in writes]


def patch_of(write: StateWrite) -> Patch:
    """The members that a write merges."""
    patch = object_in(write.value)
    if patch is None:
        raise ValueError(
            f"the write to {write.key!r} merges a value that is no JSON object; "
            "write it without `merge`"
        )
    return patch


def merged(stored: bytes | None, patch: Patch) -> bytes:
    """The stored object with a patch's members over its own; numbers keep every digit."""
    members = {**(object_in(stored) or {}), **patch}
    return codec.encode({name: value for name, value in members.items() if value is not None})


def object_in(data: bytes | None) -> dict[str, Any] | None:
    """The JSON object that these bytes hold, where they hold one."""
    if data is None:
        return None
    try:
        value = codec.decode(data)
    except codec.NotJson:
        return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class StateAfter:
    """The state after some writes: values by key (None: removed), and orders that move, in turn."""

    values: dict[Key, bytes | None]
    moves: list[tuple[Key, bytes]]


def read_first(writes: Iterable[StateChange]) -> set[Key]:
    """Return the keys whose values have to be known before writes are made."""
    return {
        (each.scope, each.key)
        for each, patch in writes
        if each.expect is not None or patch is not None
    }


def change(stored: Mapping[Key, bytes], writes: Sequence[StateChange]) -> StateAfter | None:
    """Make writes, all or none; `None` where a compare-and-set failed.

    Values are compared as they were before all of them.
    """
    for write, _ in writes:
        found = stored.get((write.scope, write.key), MISSING)
        if write.expect is not None and found != write.expect:
            return None
    after = StateAfter({}, [])
    for write, patch in writes:
        key, value = (write.scope, write.key), write.value
        if patch is not None:
            value = merged(after.values.get(key, stored.get(key)), patch)
        after.values[key] = value
        if value is not None and write.orders:
            after.moves.append((key, value))
    return after
