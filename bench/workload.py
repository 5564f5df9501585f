"""The workloads: what is sent, which integration takes it, and what has to arrive for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

INTEGRATIONS = Path(__file__).parent / "integrations"
ID = "@@@@@@@@-%%%%%%%%"
"""Stands in a body for the event's id: eight characters of a run, eight digits."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload. `body` has `ID` where the id goes; `effects` POSTs are due for each event."""

    name: str
    title: str
    module: str
    body: str
    effects: int
    load_seconds: float

    def event(self, id: str) -> bytes:
        """The body of the event of that id."""
        return self.body.replace(ID, id).encode()

    def due(self, id: str) -> list[str]:
        """The ids that the destination has to see for an event."""
        if self.effects == 1:
            return [id]
        return [f"{id}/{number}" for number in range(self.effects)]


def _order(rest: str) -> str:
    head = f'{{"id":"{ID}","event":"order.created",{rest},"note":"'
    return head + "x" * (1022 - len(head)) + '"}'


_PLAIN = _order('"customer":{"name":"Initech","city":"Springfield"},"total":4200')
_ITEMS = ",".join(f'{{"sku":"sku-{number:04}","quantity":{number + 1}}}' for number in range(20))

WORKLOADS = {
    each.name: each
    for each in (
        Workload("W1", "webhook → one mapping", "mapping", _PLAIN, 0, 4.0),
        Workload("W2", "webhook → branch → map → one POST", "forward", _PLAIN, 1, 4.0),
        Workload(
            "W3",
            "webhook with 20 items → one POST each",
            "fanout",
            _order(f'"items":[{_ITEMS}]'),
            20,
            1.5,
        ),
    )
}
