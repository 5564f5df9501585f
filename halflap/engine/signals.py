"""Waiting for signals: which were sent, and which of them a step has taken already."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from halflap.engine.protocol import Turn
from halflap.model import Record, Signal


def is_taken(record: Record) -> bool:
    """Return whether a record has taken a signal of this execution; a replay's copy took another's."""
    return record.kind == "signal" and record.status == "succeeded" and record.seq >= 0


class Signals:
    """The signals of one attempt: asked for once, when the first step wants one.

    `heard` is how many were known then: one that came since wakes the execution again.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._sent: dict[str, list[bytes]] | None = None
        self._asking = asyncio.Lock()
        self.taken: defaultdict[str, int] = defaultdict(int)
        """The number of signals of each name that steps have taken."""
        self.heard = 0
        for each in turn.history:
            if is_taken(each):
                self.taken[each.name] += 1

    async def has(self, name: str) -> bool:
        """Return whether there is a signal of a name; it is not taken."""
        return name in await self._known()

    async def take(self, name: str) -> bytes | None:
        """The oldest signal of a name that no step has taken; None where there is none yet."""
        payloads, taken = (await self._known()).get(name, []), self.taken[name]
        if taken >= len(payloads):
            return None
        self.taken[name] += 1
        return payloads[taken]

    async def _known(self) -> dict[str, list[bytes]]:
        async with self._asking:  # branches ask at once, and have to know the same
            if self._sent is None:
                sent = await self._turn.signals()
                self._sent, self.heard = by_name(sent), len(sent)
            return self._sent


def by_name(signals: Sequence[Signal]) -> dict[str, list[bytes]]:
    """Payloads by the name of their signal, oldest first."""
    found: dict[str, list[bytes]] = {}
    for each in signals:
        found.setdefault(each.name, []).append(each.payload)
    return found
