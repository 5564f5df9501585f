"""A member of a consumer group: librdkafka's consumer, in a thread of its own.

The group says which partitions are ours; from where they are read, the journal says. The thread reads
once it may (`fetch`), and hands over what it has read. While it may not, partitions are paused and it
polls on, so that the group does not take it for dead. The loop is never blocked, and the consumer is
touched by its thread alone.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread

from halflap import Listening, UpstreamError
from halflap.components.kafka.connection import Kafka, KafkaClient, failure
from halflap.components.kafka.record import PassedRecord

T = TypeVar("T")

SESSION_SECONDS = 10.0
"""Seconds after which the group takes a member that is not heard of for dead."""
POLL_SECONDS = 0.5
STANDING_SECONDS = 1.0
"""Seconds for which a batch may be under way before partitions are paused; how often it polls then."""
REVOKED_SECONDS = 5.0
"""Seconds that a batch which is under way may hold up a rebalance."""
CALL_SECONDS = 60.0
STOP_SECONDS = 4.0
CHECK_SECONDS = 300.0
"""Seconds after which it is looked again which brokers the cluster names, and which topic it is."""
TRANSIENT = frozenset(
    {
        "_MAX_POLL_EXCEEDED",
        "_TIMED_OUT",
        "_TRANSPORT",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "COORDINATOR_NOT_AVAILABLE",
        "ILLEGAL_GENERATION",
        "KAFKA_STORAGE_ERROR",
        "LEADER_NOT_AVAILABLE",
        "NETWORK_EXCEPTION",
        "NOT_COORDINATOR",
        "NOT_LEADER_FOR_PARTITION",
        "OFFSET_NOT_AVAILABLE",
        "REBALANCE_IN_PROGRESS",
        "REPLICA_NOT_AVAILABLE",
        "REQUEST_TIMED_OUT",
        "UNKNOWN_MEMBER_ID",
    }
)
"""The errors of a partition or a group after which librdkafka tries again by itself."""
ABSENT = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC"})
"""The errors of a topic that the cluster does not have."""
UNREADABLE = frozenset({"_BAD_COMPRESSION", "_NOT_IMPLEMENTED"})
"""The errors of a batch that no client of this kind reads, however often it is asked for."""
BOUNDS = ("fetch.max.bytes", "receive.message.max.bytes")
PROBE = {"enable.auto.commit": False, "auto.offset.reset": "error", "fetch.error.backoff.ms": 0}
BEGUN = "partitions"
"""The shard whose cursor is the number of partitions as the listener began, where it began with new
records: a partition that came later is read from its beginning."""

SETTINGS = {
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": int(SESSION_SECONDS * 1_000),
    "heartbeat.interval.ms": 2_000,
    "enable.auto.commit": True,  # of what was stored as its batch was accepted, and no other
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # the journal's cursors say where to read; what they lack is a gap
    "queued.max.messages.kbytes": 8_192,
    "queued.min.messages": 20_000,
    "fetch.max.bytes": 4 * 1024 * 1024,
    "receive.message.max.bytes": 100_000_000,  # also of what a batch of zstd may become
    "fetch.queue.backoff.ms": 50,
    "topic.metadata.refresh.interval.ms": 60_000,
}


@dataclass
class Fetched:
    """Records that were read at once, each partition's in order, and the cursor behind them."""

    records: list[Any] = field(default_factory=list[Any])
    cursors: dict[str, str] = field(default_factory=dict[str, str])


class Member:
    """A member of a group that reads one topic. Open it with `async with`."""

    def __init__(
        self,
        kafka: Kafka,
        listening: Listening,
        topic: str,
        *,
        group: str | None,
        static: bool,
        most: int,
    ) -> None:
        self._kafka, self._listening, self._topic = kafka, listening, topic
        self._most = most
        self._settings = {**SETTINGS, "group.id": group or listening.name}
        if static:
            self._settings["group.instance.id"] = f"{listening.name}.{listening.process}"
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._fetched: Fetched | None = None
        self._error: BaseException | None = None
        self._stopping = False
        self._wanted, self._idle = threading.Event(), threading.Event()
        self._idle.set()
        self._durable: dict[int, int] = {}
        self._next: dict[int, int] = {}
        self._new: dict[str, str] = {}
        self._unreadable: dict[int, int] = {}
        self._held: list[Any] = []
        self._is_paused = False
        self.is_assigned = False
        """True once the group has said which partitions are ours, be it none."""
        self._id = ""
        self._client: KafkaClient
        self._thread: threading.Thread

    async def __aenter__(self) -> Member:
        self._client = await self._kafka.client("Consumer", self._settings)
        # What the loop is asked for is done as the generator would do it.
        run = partial(copy_context().run, self._run)
        self._thread = threading.Thread(target=run, name="kafka member", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        self._wanted.set()
        stopped = partial(self._thread.join, STOP_SECONDS)
        await anyio.to_thread.run_sync(stopped, abandon_on_cancel=True)

    async def fetch(self, seconds: float) -> Fetched | None:
        """Return what is read next, None where nothing comes; raise what ended the reading."""
        self._wanted.set()
        try:
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        except TimeoutError:
            return None
        self._ready.clear()
        if isinstance(self._error, UpstreamError):
            raise await self._kafka.explained(self._error)
        if self._error is not None:
            raise self._error
        found, self._fetched = self._fetched, None
        return found

    def accepted(self) -> None:
        """Say that what was fetched last is accepted: the group may give its partitions to another."""
        self._idle.set()

    async def commit(self, cursors: Mapping[str, str]) -> None:
        """Have the group know what is accepted: for people, as nothing is read from there."""
        for shard, cursor in cursors.items():
            if shard != BEGUN:
                self._durable[int(shard)] = read_cursor(cursor)[0]

    # The thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        consumer = self._client.inner
        try:
            checked = self._look()
            consumer.subscribe(
                [self._topic],
                on_assign=self._assigned,
                on_revoke=self._revoked,
                on_lost=partial(self._revoked, is_lost=True),
            )
            while not self._stopping:
                if self._wanted.wait(STANDING_SECONDS):
                    self._read(consumer)
                else:
                    self._stand(consumer)
                self._commit(consumer)
                if time.monotonic() > checked + CHECK_SECONDS:
                    checked = self._look()
        except BaseException as error:  # it ends the generator, which is opened again
            self._hand(error)
        finally:
            self._stopping = True
            self._commit(consumer)
            consumer.close()

    def _look(self) -> float:
        """Judge the brokers that the cluster names now, and have the topic be the one that is read."""
        metadata = self._client.metadata(self._topic)
        self._call(self._kafka.judge(metadata.brokers))
        topic = metadata.topics.get(self._topic)
        if topic is not None and topic.error is not None and topic.error.name() in ABSENT:
            raise UpstreamError(
                f"{failure(topic.error).message}: create the topic {self._topic}, or correct its "
                "name; reading begins by itself then",
                in_doubt=False,
            )
        if self._id and self._topic_id() not in ("", self._id):
            raise UpstreamError(
                f"the topic {self._topic} was deleted and made anew", in_doubt=False
            )
        return time.monotonic()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """Have the loop do something, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)

    def _hand(self, found: Fetched | BaseException) -> None:
        if isinstance(found, BaseException):
            self._error = found
        else:
            self._fetched = found
            self._wanted.clear()
            self._idle.clear()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ready.set)

    def _read(self, consumer: Any) -> None:
        """Read what there is, and hand it over."""
        if self._is_paused:
            consumer.resume(consumer.assignment())
            self._is_paused = False
        found, self._held = self._held, []
        if not found and (first := consumer.poll(POLL_SECONDS)) is not None:
            found.append(first)
        if found:
            found += consumer.consume(max(self._most - len(found), 1), 0)
        self._check(consumer)
        fetched, moved = Fetched(cursors=self._new), dict[int, int]()
        for each in found:
            if (error := each.error()) is not None:
                if (passed := self._failed(consumer, each, error)) is not None:
                    moved[passed.partition()] = self._next[passed.partition()]
                    fetched.records.append(passed)
                continue
            place, offset = each.partition(), each.offset()
            # Of a partition that was given away, or read anew, another reads what is here.
            if offset >= self._next.get(place, offset + 1):
                moved[place] = self._next[place] = offset + 1
                fetched.records.append(each)
        for place, offset in moved.items():
            fetched.cursors[str(place)] = write_cursor(offset, self._id)
        self._new = {}
        if fetched.cursors:
            self._hand(fetched)

    def _stand(self, consumer: Any) -> None:
        """Show the group that we are alive, and read nothing."""
        consumer.pause(consumer.assignment())
        self._is_paused = True
        found = consumer.poll(0)
        if found is not None:
            self._held.append(found)
        self._check(consumer)

    def _check(self, consumer: Any) -> None:
        """Raise the client's error, unless the cluster answers all the same."""
        error, self._client.error = self._client.error, None
        if error is not None:
            if not error.retryable:
                raise error
            self._client.metadata(self._topic)

    def _failed(self, consumer: Any, record: Any, error: Any) -> PassedRecord | None:
        """Raise a partition's error; where the offset is gone, note the gap and read on.

        A batch that cannot be read at all is passed over: what is returned stands for it.
        """
        partition = record.partition()
        if error.name() in UNREADABLE:
            return self._passed(consumer, record, error)
        if error.name() == "_AUTO_OFFSET_RESET":
            offset = self._next.get(partition)
            if offset is not None:
                at = self._skip(consumer, partition, self._gone(consumer, partition, offset))
                self._next[partition] = at
                place = self._client.library.TopicPartition(self._topic, partition, at)
                consumer.seek(place)
        elif error.name() not in TRANSIENT:
            raise failure(error)
        return None

    def _passed(self, consumer: Any, record: Any, error: Any) -> PassedRecord | None:
        """Pass over a batch that cannot be read, and return what stands for it."""
        partition, begin = record.partition(), record.offset()
        if partition not in self._next or self._unreadable.get(partition) == begin:
            return None  # it was given away, or told twice
        end = self._end_of_batch(partition, begin)
        self._next[partition], self._unreadable[partition] = end, begin
        consumer.seek(self._client.library.TopicPartition(self._topic, partition, end))
        why = f"{error.str()}; the batch of records before offset {end} is passed over"
        return PassedRecord(record, why)

    def _end_of_batch(self, partition: int, begin: int) -> int:
        """Return the offset behind a batch that cannot be read, by looking from where it can be."""
        make, topic = self._client.library.TopicPartition, self._topic
        same = {name: self._settings[name] for name in ("group.id", *BOUNDS)}
        probe = self._client.beside("Consumer", PROBE | same)

        def is_within(offset: int) -> bool:
            probe.inner.assign([make(topic, partition, offset)])
            found = probe.inner.poll(CALL_SECONDS / 4)
            if found is None:
                raise UpstreamError(f"{topic}[{partition}]@{offset} was not read", in_doubt=False)
            return found.error() is not None and found.offset() == begin

        try:
            _, high = self._ends(probe.inner, partition)
            last, step = begin, 1
            while last + step < high and is_within(last + step):
                last, step = last + step, step * 2
            end = min(last + step, high)
            while last + 1 < end:
                middle = (last + end) // 2
                last, end = (middle, end) if is_within(middle) else (last, middle)
        finally:
            probe.inner.close()
        return end

    def _gone(self, consumer: Any, partition: int, offset: int) -> str:
        low, high = self._ends(consumer, partition)
        if offset > high:
            return f"{self._topic}[{partition}] ends at {high}, before {offset}: it was made anew"
        return f"{self._topic}[{partition}] begins at {low}: what follows {offset} was deleted"

    def _ends(self, consumer: Any, partition: int) -> tuple[int, int]:
        place = self._client.library.TopicPartition(self._topic, partition)
        return consumer.get_watermark_offsets(place, timeout=CALL_SECONDS / 4)

    def _commit(self, consumer: Any) -> None:
        """Have librdkafka commit what was accepted: at times, and as it leaves."""
        moved, self._durable = self._durable, {}
        make = self._client.library.TopicPartition
        for partition, offset in moved.items():
            if partition in self._next:
                consumer.store_offsets(offsets=[make(self._topic, partition, offset)])

    # The group's callbacks, in the thread -----------------------------------------------------

    def _assigned(self, consumer: Any, partitions: Sequence[Any]) -> None:
        given = self._positions(consumer, [each.partition for each in partitions])
        make = self._client.library.TopicPartition
        consumer.incremental_assign([make(self._topic, place, at) for place, at in given.items()])
        self._next |= given
        self.is_assigned = True

    def _revoked(self, consumer: Any, partitions: Sequence[Any], *, is_lost: bool = False) -> None:
        if not self._stopping and not is_lost:
            self._idle.wait(REVOKED_SECONDS)
        self._commit(consumer)
        gone = [each.partition for each in partitions]
        for place in gone:
            self._next.pop(place, None)
            self._new.pop(str(place), None)
        self._held = [each for each in self._held if each.partition() not in gone]
        if gone and not self._stopping:
            self._call(self._listening.revoke([str(each) for each in gone]))

    def _positions(self, consumer: Any, partitions: Sequence[int]) -> dict[int, int]:
        """Take partitions, and return from where each is read."""
        if not partitions:
            return {}
        self._id = self._topic_id()
        given = self._call(self._listening.assign([str(each) for each in partitions]))
        found: dict[int, int] = {}
        for place in partitions:
            shard = given[str(place)]
            if shard.cursor is None:
                found[place] = self._begin(consumer, place, shard.start)
                continue
            at, id = read_cursor(shard.cursor)
            if id and self._id and id != self._id:
                reason = f"the topic {self._topic} was deleted and made anew"
                at = self._skip(consumer, place, reason)
            found[place] = at
        return found

    def _begin(self, consumer: Any, partition: int, start: str) -> int:
        """Return where a partition without a cursor begins; that of now is stored at once."""
        low, high = self._ends(consumer, partition)
        if start not in ("now", "latest") or partition >= self._partitions_at_first():
            return low
        self._new[str(partition)] = write_cursor(high, self._id)
        return high

    def _partitions_at_first(self) -> int:
        known = self._call(self._listening.assign([BEGUN]))[BEGUN].cursor
        if known is None:
            topic = self._client.metadata(self._topic).topics[self._topic]
            known = self._new[BEGUN] = str(len(topic.partitions))
        return int(known)

    def _skip(self, consumer: Any, partition: int, reason: str) -> int:
        """Note a gap, and return where to read on."""
        start = self._call(self._listening.expired(str(partition), reason))
        low, high = self._ends(consumer, partition)
        return high if start == "latest" else low

    def _topic_id(self) -> str:
        """Return the topic's id, by which one that was made anew is told; empty where it has none."""
        library = self._client.library
        client = self._client.beside("AdminClient")
        try:
            asked = client.inner.describe_topics(library.TopicCollection([self._topic]))
            found = str(asked[self._topic].result(CALL_SECONDS / 6).topic_id)
        except (library.KafkaException, TimeoutError):  # an old cluster, or a right that is missing
            return ""
        return "" if found.strip("A") == "" else found


def write_cursor(offset: int, id: str) -> str:
    """Return the cursor of the next offset to read of a partition, in the topic of this id."""
    return f"{offset}@{id}" if id else str(offset)


def read_cursor(cursor: str) -> tuple[int, str]:
    """Return the offset and the topic's id of a cursor."""
    offset, _, id = cursor.partition("@")
    return int(offset), id
