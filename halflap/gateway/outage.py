"""An outage of the store as the log tells of it: a line as it begins and ends, and not one an event."""

from __future__ import annotations

import asyncio

import structlog

QUIET_SECONDS = 10.0
"""Seconds in which refused events are counted for one line; without any, the outage is over."""

log = structlog.get_logger("halflap.gateway")


class Outage:
    """Tells of events that were not accepted, as the store failed."""

    def __init__(self) -> None:
        self._begun = False
        self._more = 0
        self._why = ""

    def note(self, endpoint: str, why: str) -> None:
        """Note an event that was refused: it was sent to `endpoint`."""
        if self._begun:
            self._more += 1
            self._why = why
            return
        self._begun = True
        log.error("not accepted: the store failed", endpoint=endpoint, error=why)
        asyncio.get_running_loop().call_later(QUIET_SECONDS, self._tell)

    def _tell(self) -> None:
        if not self._more:
            self._begun = False
            log.info("the store has refused no event for a while", seconds=QUIET_SECONDS)
            return
        log.error("not accepted: the store fails", events=self._more, error=self._why)
        self._more = 0
        asyncio.get_running_loop().call_later(QUIET_SECONDS, self._tell)
