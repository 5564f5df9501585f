"""Following what happens as it happens: executions, their steps and logs, instances, connections, bulks.

The notices of a process are numbered, and the last of them stay for a while after their followers
left: one that lost its connection comes back with the number that it saw last, and misses nothing,
or is told that it has to load anew.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, get_args

import structlog

from halflap.engine.audience import LOGS, steps_of
from halflap.engine.journal import JournalEngine
from halflap.errors import NotFound, StoreError
from halflap.model import (
    Change,
    DraftEditor,
    ExecutionState,
    FlowKey,
    FlowWriter,
    Progress,
)
from halflap.store.catalogue import Catalogue, Moving

log = structlog.get_logger("halflap.api")

ROOM = 1_000
"""The most notices that wait for a slow follower before it is dropped."""
RETAINED = 2_000
LINGER_SECONDS = 60.0
"""Seconds for which notices are taken after their last follower has left."""
GATHER_SECONDS = 0.25
"""Seconds between looks at what a busy catalogue has changed."""
BULK_SECONDS = 1.0
"""Seconds between looks at the progress of bulks, which no cache depends on."""
DRAFT_SECONDS = 0.5
"""Seconds between looks at a draft that is followed, which another process may have edited."""
EXECUTIONS = "executions"
DRAFTS = "drafts:"
"""The beginning of a draft's topic; its id follows."""
STEPS = steps_of("")


class KeepAlive(Enum):
    """A message to a follower that is no notice."""

    HEARTBEAT = "heartbeat"
    DROPPED = "dropped"
    RELOAD = "reload"
    """It is not known what happened since the last notice."""


@dataclass(frozen=True, slots=True)
class MovedObject:
    """An instance, a connection or a bulk that changed; `state` is None where it is gone."""

    id: str
    customer: str | None
    state: str | None


@dataclass(frozen=True, slots=True)
class DraftNotice:
    """A draft that was edited, or that others have open now; `revision` is None where it is gone."""

    draft: str
    revision: int | None = None
    changed_by: str = ""
    base: str | None = None
    components: str | None = None
    editors: Sequence[DraftEditor] = ()
    writers: Sequence[FlowWriter] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened, with its number in this process.

    A follower says by its `mark` that it saw it: the number would tell how much happens to others.
    """

    number: int
    topic: str
    about: Change | Progress | MovedObject | DraftNotice
    mark: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class Which:
    """A selection of what to follow: topics, and a filter of executions and log lines; None matches all.

    Steps of an execution come with its changes, whatever else is filtered.
    """

    topics: frozenset[str] = frozenset({EXECUTIONS})
    customer: str | None = None
    instance: str | None = None
    integration: str | None = None
    flow: str | None = None
    version: str | None = None
    key: str | None = None
    states: tuple[ExecutionState, ...] = ()

    def wants(self, notice: Notice) -> bool:
        """Return whether a notice is one of these."""
        match notice.about:
            case Change() as change:
                if steps_of(change.execution) in self.topics:
                    return True
                return (
                    EXECUTIONS in self.topics
                    and self._matches(change.start.flow)
                    and self.key in (None, change.start.key)
                    and (not self.states or change.state in self.states)
                )
            case Progress(flow=flow, steps=steps):
                return notice.topic in self.topics and (bool(steps) or self._matches(flow))
            case DraftNotice():
                return notice.topic in self.topics
            case MovedObject(customer=customer):
                is_mine = notice.topic == "bulks" or self.customer in (None, customer)
                return is_mine and notice.topic in self.topics

    def _matches(self, flow: FlowKey) -> bool:
        return (
            self.customer in (None, flow.customer)
            and self.instance in (None, flow.instance)
            and self.integration in (None, flow.integration)
            and self.flow in (None, flow.flow)
            and self.version in (None, flow.version)
        )


@dataclass(slots=True, eq=False)
class Follower:
    """A bounded queue of the notices that one follower wants."""

    which: Which
    room: int
    queue: deque[Notice] = field(default_factory=deque[Notice])
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: bool = False

    def hear(self, notice: Notice) -> None:
        """Queue a notice; one too many drops the follower."""
        if self.dropped or not self.which.wants(notice):
            return
        if len(self.queue) == self.room:
            self.dropped = True
        else:
            self.queue.append(notice)
        self.arrived.set()


@dataclass(slots=True)
class TopicSource:
    """The source of a topic's notices, open while anybody follows it and a while longer."""

    began: int
    """The number of the last notice before it told of anything."""
    stop: Callable[[], object]
    ready: asyncio.Event | None = None
    """Set once it misses nothing; None where that is so at once."""
    followers: int = 0
    ending: asyncio.TimerHandle | None = None


class Following:
    """Hands what happens to whoever follows it."""

    def __init__(self, engine: JournalEngine, catalogue: Catalogue, *, room: int = ROOM) -> None:
        self.heartbeat_seconds = 15.0
        self.linger_seconds = LINGER_SECONDS
        self.room = room
        self._engine = engine
        self._catalogue = catalogue
        self._stopping = asyncio.Event()
        self._number = 0
        self._retained: deque[Notice] = deque(maxlen=RETAINED)
        self._sources: dict[str, TopicSource] = {}
        self._followers: list[Follower] = []
        self.streams = Counter[str]()
        """By a principal's id, the number of its streams that are open."""
        self._nudges: dict[str, asyncio.Event] = {}

    def stop(self) -> None:
        """End every stream: the server stops."""
        self._stopping.set()
        for each in list(self._sources):
            self._end(each)

    def nudge(self, draft: str) -> None:
        """Have a draft that is followed here looked at at once."""
        if (event := self._nudges.get(draft)) is not None:
            event.set()

    @contextmanager
    def counted(self, principal: str) -> Generator[None]:
        """Count a stream of a principal for as long as it is open."""
        self.streams[principal] += 1
        try:
            yield
        finally:
            self.streams[principal] -= 1
            self.streams += Counter()  # forgets whose are none

    async def notices(
        self, which: Which, after: str | None = None
    ) -> AsyncGenerator[Notice | KeepAlive]:
        """Notices from now on, or those behind the mark `after`; a heartbeat where there are none.

        The first thing heard is a heartbeat: from then on nothing is missed. It ends once the
        follower was too slow, or the server stops.
        """
        follower = Follower(which, self.room)
        topics = sources_of(which.topics)
        missed = None if after is None else self._since(after, topics)
        for each in topics:
            self._open(each)
        self._followers.append(follower)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            for each in topics:
                source = self._sources.get(each)
                if source is not None and source.ready is not None:
                    await until(source.ready, stopping)
            yield KeepAlive.HEARTBEAT
            if after is not None and missed is None:
                yield KeepAlive.RELOAD
            for each in missed or ():
                if which.wants(each):
                    yield each
            while not stopping.done():
                while follower.queue:
                    yield follower.queue.popleft()
                if follower.dropped:
                    yield KeepAlive.DROPPED
                    return
                follower.arrived.clear()
                await until(follower.arrived, stopping, self.heartbeat_seconds)
                if not follower.queue and not stopping.done():
                    yield KeepAlive.HEARTBEAT
        finally:
            self._followers.remove(follower)
            for each in topics:
                self._leave(each)
            stopping.cancel()

    def _since(self, mark: str, topics: frozenset[str]) -> list[Notice] | None:
        """Return the notices behind a mark; None where they are not known any more."""
        last = next((each.number for each in self._retained if each.mark == mark), None)
        if last is None:
            return None
        known = all(each in self._sources and self._sources[each].began <= last for each in topics)
        return [each for each in self._retained if each.number > last] if known else None

    def _tell(self, topic: str, about: Change | Progress | MovedObject | DraftNotice) -> None:
        self._number += 1
        notice = Notice(self._number, topic, about)
        self._retained.append(notice)
        for each in list(self._followers):
            each.hear(notice)

    def _open(self, topic: str) -> None:
        source = self._sources.get(topic)
        if source is None:
            source = self._sources[topic] = self._begin(topic)
        elif source.ending is not None:
            source.ending.cancel()
            source.ending = None
        source.followers += 1

    def _leave(self, topic: str) -> None:
        source = self._sources.get(topic)
        if source is None:
            return
        source.followers -= 1
        if not source.followers:
            if not self.linger_seconds or self._stopping.is_set():
                self._end(topic)
                return
            loop = asyncio.get_running_loop()
            source.ending = loop.call_later(self.linger_seconds, self._end, topic)

    def _end(self, topic: str) -> None:
        source = self._sources.pop(topic)
        if source.ending is not None:
            source.ending.cancel()
        source.stop()

    def _begin(self, topic: str) -> TopicSource:
        """Tell of a topic from now on."""
        if topic == EXECUTIONS:
            stop = self._engine.follow(lambda change: self._tell(EXECUTIONS, change))
            return TopicSource(self._number, stop)
        if topic == LOGS or topic.startswith(STEPS):
            stop = self._engine.watch(topic, lambda progress: self._tell(topic, progress))
            return TopicSource(self._number, stop)
        changed, ready = asyncio.Event(), asyncio.Event()
        if topic.startswith(DRAFTS):
            draft = topic.removeprefix(DRAFTS)
            self._nudges[draft] = changed
            unfollow, look = partial(self._nudges.pop, draft), self._look_at(draft, changed, ready)
        else:
            [moving] = [each for each in get_args(Moving) if each == topic]
            unfollow = self._catalogue.on_change(changed.set)
            look = self._look(moving, changed, ready)
        looking = asyncio.create_task(look, name=f"{topic} followed")

        def stop_looking() -> None:
            unfollow()
            looking.cancel()

        return TopicSource(self._number, stop_looking, ready)

    async def _look_at(self, draft: str, nudged: asyncio.Event, ready: asyncio.Event) -> None:
        """Compare a draft with what it was, after each edit here, and now and then."""
        drafts, known = self._catalogue.drafts, None
        while True:
            nudged.clear()
            try:
                head = await drafts.head(draft)
                now = DraftNotice(
                    draft,
                    head.revision,
                    head.changed_by,
                    head.base,
                    head.components,
                    tuple(await drafts.editors(draft)),
                    tuple(await drafts.writers(draft)),
                )
            except NotFound:
                self._tell(DRAFTS + draft, DraftNotice(draft))
                ready.set()
                return
            except StoreError as error:
                log.warning("a draft is not followed for now", error=error.message)
            else:
                if known is not None and _without_leases(now) != _without_leases(known):
                    self._tell(DRAFTS + draft, now)
                known = now
                ready.set()
            await until(nudged, None, DRAFT_SECONDS)

    async def _look(self, moving: Moving, changed: asyncio.Event, ready: asyncio.Event) -> None:
        """Compare what is there with what was, whenever the catalogue has changed."""
        known: Mapping[str, tuple[Any, ...]] | None = None
        while True:
            changed.clear()
            try:
                now = await self._catalogue.seen(moving)
            except StoreError as error:
                log.warning("changes are not followed for now", of=moving, error=error.message)
            else:
                for each in [] if known is None else compare(known, now, moving):
                    self._tell(moving, each)
                known = now
                ready.set()
            if moving == "bulks":
                await asyncio.sleep(BULK_SECONDS)
            else:
                await asyncio.sleep(GATHER_SECONDS)
                await changed.wait()


def _without_leases(notice: DraftNotice) -> object:
    writers = [(each.flow, each.author) for each in notice.writers]
    return notice.revision, notice.base, notice.components, notice.editors, writers


async def until(
    event: asyncio.Event, end: asyncio.Future[Any] | None, timeout: float | None = None
) -> None:
    """Return once an event is set, the `end` has come, or so many seconds have passed."""
    waiting = asyncio.ensure_future(event.wait())
    both = [waiting] if end is None else [waiting, end]
    try:
        await asyncio.wait(both, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


def sources_of(topics: frozenset[str]) -> frozenset[str]:
    """Return the topics to be told of: steps come with the changes of their execution."""
    steps = any(each.startswith(STEPS) for each in topics)
    return topics | ({EXECUTIONS} if steps else set[str]())


def compare(
    before: Mapping[str, tuple[Any, ...]], now: Mapping[str, tuple[Any, ...]], moving: Moving
) -> list[MovedObject]:
    """Return what changed between two looks; of bulks, the oldest leave what is looked at."""
    moved = [MovedObject(id, row[0], row[1]) for id, row in now.items() if row != before.get(id)]
    if moving != "bulks":
        moved += [MovedObject(id, row[0], None) for id, row in before.items() if id not in now]
    return moved
