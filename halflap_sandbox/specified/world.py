"""All that a sandbox of a document remembers: things by the path of their collection, and by id."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from halflap_sandbox.specified.document import Json


@dataclass(slots=True)
class Thing:
    """A thing that was made: its id, what is known of it, and its collection's path."""

    id: str
    kind: str
    values: Json


@dataclass(slots=True)
class VendorWorld:
    """The things, the answers to idempotency keys, and the requests that came."""

    clock: Callable[[], float]
    seed: int = 0
    collections: dict[str, dict[str, Thing]] = field(default_factory=dict[str, dict[str, Thing]])
    keys: dict[str, tuple[Any, int, Any]] = field(default_factory=dict[str, tuple[Any, int, Any]])
    requests: list[Json] = field(default_factory=list[Json])
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311

    def collection(self, path: str) -> dict[str, Thing]:
        """Return the things of a collection, the oldest first."""
        return self.collections.setdefault(path, {})

    def find(self, path: str, id: str) -> Thing | None:
        """Return a thing by its id or another name that it has."""
        things = self.collection(path)
        return things.get(id) or next(
            (e for e in things.values() if e.values.get("key") == id), None
        )

    def hex(self, length: int) -> str:
        """Return some hexadecimal digits."""
        return f"{self.chance.getrandbits(4 * length):0{length}x}"
