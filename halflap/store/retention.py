"""Retention: for how long what has ended is kept, and which level says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import msgspec

from halflap.model import Micros, Retention

DAY: Micros = 86_400_000_000


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """The retentions of a store: its default, and those set for customers and instances.

    `levels` has them by name: the id of a customer or an instance, or what `declared` makes of one.
    """

    default: Retention
    levels: Mapping[str, Retention] = field(default_factory=dict[str, Retention])

    def of(self, instance: str, customer: str) -> Retention:
        """Return what holds for an instance: its own, above customer's, integration's, default."""
        found = self.default
        for name in (declared(instance), customer, instance):
            if (own := self.levels.get(name)) is not None:
                found = own.over(found)
        return found

    def cutoffs(self, instance: str, customer: str, now: Micros) -> tuple[Micros, Micros]:
        """Return before when executions have to have ended to be removed, and for their payloads to be.

        0 is never.
        """
        retention = self.of(instance, customer)
        return _cutoff(retention.execution, now), _cutoff(retention.payload_days, now)


def declared(instance: str) -> str:
    """Return the name under which the retention that an instance's integration declares is stored."""
    return f"{instance}/integration"


def encode(retention: Retention) -> str:
    """Encode a retention for storage; equal ones are spelt alike."""
    return msgspec.json.encode({k: v for k, v in asdict(retention).items() if v}).decode()


def decode(text: str) -> Retention:
    """Decode a stored retention."""
    return Retention(**msgspec.json.decode(text))


def _cutoff(days: int | None, now: Micros) -> Micros:
    """Whole days in UTC: the day on which something ended does not count."""
    return 0 if days is None else (now // DAY - days) * DAY
