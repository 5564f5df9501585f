"""A write to state that puts the members of one JSON object over those of another.

As RFC 7396 has it, one level deep: null removes a member, and what is stored and is no object
counts as an empty one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from halflap.model import StateWrite
from halflap.sdk import codec

Patch = Mapping[str, Any]
StateChange = tuple[StateWrite, Patch | None]
"""A write, with what it merges."""


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
