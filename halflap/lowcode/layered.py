"""A mapping in layers: a list of steps sees what is around it, and adds names of its own.

A branch is walked on a layer of its own, so that neither entering it nor comparing what it gave
takes time in proportion to all names of a flow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

V = TypeVar("V")


class Layered(Mapping[str, V]):
    """Names with their values; those of the layers below show through."""

    __slots__ = ("_below", "own")

    def __init__(self, own: Mapping[str, V] | None = None, below: Layered[V] | None = None) -> None:
        self.own: dict[str, V] = dict(own or {})
        self._below = below

    def inner(self, own: Mapping[str, V] | None = None) -> Layered[V]:
        """Return a layer above this one, which is not to be changed meanwhile."""
        return Layered(own, self)

    def since(self, base: Layered[V]) -> dict[str, V]:
        """Return what the layers above `base` hold."""
        layers: list[dict[str, V]] = []
        layer: Layered[V] | None = self
        while layer is not None and layer is not base:
            layers.append(layer.own)
            layer = layer._below
        return {name: each for own in reversed(layers) for name, each in own.items()}

    def __getitem__(self, name: str) -> V:
        layer: Layered[V] | None = self
        while layer is not None:
            if name in layer.own:
                return layer.own[name]
            layer = layer._below
        raise KeyError(name)

    def __setitem__(self, name: str, value: V) -> None:
        self.own[name] = value

    def __contains__(self, name: object) -> bool:
        layer: Layered[V] | None = self
        while layer is not None:
            if name in layer.own:
                return True
            layer = layer._below
        return False

    def __iter__(self) -> Iterator[str]:
        below = () if self._below is None else tuple(self._below)
        yield from dict.fromkeys((*below, *self.own))

    def __len__(self) -> int:
        return sum(1 for _ in self)
