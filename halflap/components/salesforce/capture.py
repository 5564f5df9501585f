"""Change data capture: change events tell which records to read, and polling what they cannot tell."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from halflap import (
    Batch,
    CursorExpired,
    DefinitionError,
    Listening,
    RateLimited,
    Unauthorized,
    UpstreamError,
    encode_json,
)
from halflap.components.salesforce import soap
from halflap.components.salesforce.connection import Salesforce
from halflap.components.salesforce.pubsub import PubSub, PubSubEvent, libraries
from halflap.components.salesforce.records import RECORD_ID
from halflap.components.salesforce.stamps import LATE, ChangedRecords, behind

log = logging.getLogger("halflap.components.salesforce")

MEMBER, CHANNEL = "PlatformEventChannelMember", "ChangeEvents"
OVERFLOW = "GAP_OVERFLOW"
"""The kind of a change event in whose place were too many: which records, it does not tell."""


async def is_selected(sf: Salesforce, object: str) -> bool | None:
    """Return whether an org publishes an object's changes; None where the user may not look."""
    try:
        listed = await soap.list_metadata(sf, MEMBER)
        every = [soap.text(each, "fullName") for each in listed]
        names = [each for each in every if each.startswith(CHANNEL)]
        members = await soap.read_metadata(sf, MEMBER, names)
    except UpstreamError as error:
        if not is_final(error):
            raise
        return None
    selected = {
        (soap.text(each, "eventChannel"), soap.text(each, "selectedEntity")) for each in members
    }
    return (CHANNEL, entity_of(object)) in selected


async def has_change_events(sf: Salesforce, object: str) -> bool:
    """Return whether an object's changes are published, and can be subscribed to now."""
    try:
        libraries()
    except DefinitionError:
        return False
    if not await is_selected(sf, object):
        return False
    try:
        async with PubSub(sf) as api:
            return bool((await api.topic(topic_of(object))).can_subscribe)
    except (Unauthorized, RateLimited):
        raise
    except UpstreamError as error:  # such as a firewall: its port is not everywhere open
        log.warning("Salesforce's Pub/Sub API cannot be used for %s: %s", object, error)
        return False


def entity_of(object: str) -> str:
    """Return the name of an object's change events."""
    custom = object.endswith("__c")
    return f"{object.removesuffix('c')}ChangeEvent" if custom else f"{object}ChangeEvent"


def topic_of(object: str) -> str:
    """Return the topic of an object's change events."""
    return f"/data/{entity_of(object)}"


def is_final(error: UpstreamError) -> bool:
    """Return whether the org will not allow it the next time either."""
    return not error.retryable and not isinstance(error, Unauthorized)


@dataclass
class Place:
    """The place up to which changes are read: a replay id, and the time of what is before it.

    It is written as a poll's cursor, so that polling goes on from there, and the other way round.
    """

    time: datetime | None
    began: datetime | None
    replay: bytes | None = None

    @classmethod
    def read(cls, text: str) -> Place:
        """Read it, or a poll's."""
        found = json.loads(text)
        times = [
            None if found[each] is None else datetime.fromisoformat(found[each])
            for each in ("cursor", "began")
        ]
        replay = found.get("replay")
        return cls(times[0], times[1], None if replay is None else bytes.fromhex(replay))

    def write(self) -> str:
        """Return it as it is stored."""
        times = [None if each is None else each.isoformat() for each in (self.time, self.began)]
        told: dict[str, Any] = {"cursor": times[0], "seen": "", "began": times[1]}
        if self.replay is not None:
            told["replay"] = self.replay.hex()
        return encode_json(told).decode()

    @property
    def since(self) -> datetime | None:
        """The time from which on to read what may have been missed; None for all there is."""
        if self.time is None:
            return self.began
        earliest = self.time - LATE
        return earliest if self.began is None else max(earliest, self.began)


@dataclass
class Capture:
    """Change data capture: change events tell which records to read.

    Where it has no replay id, or Salesforce no longer what follows it, the time between is read by
    stamp: at once, and once more as the stream is known to be open, which it says at its first answer.
    """

    rows: ChangedRecords
    listening: Listening

    async def batches(self) -> AsyncGenerator[Batch]:
        """Yield what has changed, without an end."""
        place = await self._beginning()
        if self.listening.cursor is None:
            yield Batch(cursor=place.write())
        async with PubSub(self.rows.sf) as api:
            while True:
                try:
                    async for batch in self._from(place, api):
                        yield batch
                except CursorExpired as error:
                    await self.listening.gap(str(error))
                    place = replace(place, replay=None)

    async def _beginning(self) -> Place:
        if self.listening.cursor is not None:
            return Place.read(self.listening.cursor)
        if self.listening.start == "earliest":
            return Place(None, None)
        response = await self.rows.sf.request("GET", self.rows.sf.data("limits"))
        # A second less, as the org tells its time in whole ones.
        began = datetime.now(UTC) - behind(response) - timedelta(seconds=1)
        return Place(began, began)

    async def _from(self, place: Place, api: PubSub) -> AsyncGenerator[Batch]:
        is_open, opened = place.replay is not None, datetime.now(UTC)
        if not is_open:
            async for batch in self._missed(place):
                yield batch
        following = api.follow(self.listening, topic_of(self.rows.object), place.replay)
        async for fetched in following:
            changes, latest, whole = changes_of(fetched.events)
            if not is_open or not whole:
                async for batch in self._missed(place):
                    yield batch
                is_open = True
            place.replay = fetched.replay
            place.time = max(filter(None, (latest or opened, place.time)))
            messages = await self.rows.current(changes) if changes else []
            for batch in Batch(messages, cursor=place.write()).parts():
                yield batch
            opened = datetime.now(UTC)

    async def _missed(self, place: Place) -> AsyncGenerator[Batch]:
        """Yield what was stamped since a place, and move it there."""
        since, self.rows.following = place.since, None
        while True:
            found = await self.rows.page(since)
            self.listening.beat()
            now = datetime.now(UTC)
            times = [each.at for each in found if each.at is not None and each.at <= now]
            if times:
                place.time = max(times)
            for batch in Batch(found, cursor=place.write()).parts():
                yield batch
            if self.rows.following is None:
                break
        if place.time is None:
            place.time = place.began or datetime.now(UTC)


def changes_of(events: Sequence[PubSubEvent]) -> tuple[dict[str, datetime], datetime | None, bool]:
    """Return the records that events tell of with the time of each, the last time, and if that is all."""
    changes: dict[str, datetime] = {}
    latest: datetime | None = None
    whole = True
    for each in events:
        header = each.header
        try:
            at = datetime.fromtimestamp(header["commitTimestamp"] / 1000, UTC)
            ids = [*map(str, header["recordIds"])]
            kind = str(header["changeType"])
        except (TypeError, KeyError, ValueError, OverflowError):
            whole = False  # it cannot be read: what it was about is found by its stamp
            continue
        latest = at if latest is None else max(at, latest)
        if kind == OVERFLOW or not all(RECORD_ID.fullmatch(id) for id in ids):
            whole = False
            continue
        changes |= dict.fromkeys(ids, at)
    return changes, latest, whole
