"""A member of a consumer group: librdkafka's consumer, in a thread that alone touches it.

The group says which partitions are ours; from where they are read, the server's journal says. The thread
reads once it may (`Want`), and sends what it has read. While it may not, partitions are paused and it
polls on, so that the group does not take it for dead.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from operator import methodcaller
from queue import Empty, SimpleQueue
from typing import Any

from halflap import UpstreamError

from .client import KafkaClient, failure
from .wire import (
    Accepted,
    Answered,
    Asked,
    Assigned,
    Durable,
    Ended,
    Fetched,
    FromReader,
    Open,
    ReadRecord,
    ToReader,
    Want,
    error_of,
    failure_of,
)

POLL_SECONDS = 0.5
REVOKED_SECONDS = 5.0
"""Seconds that a batch which is under way may hold up a rebalance."""
MOST_AT_ONCE = 32 * 1024 * 1024
"""Bytes of records that are sent at once, before the last of them."""
MOST_KEY = 10_000
HEADER_BYTES = 100
"""The bytes that a header takes beside its name and its value."""
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

headers_of = methodcaller("headers")
"""Returns the headers of a record; `SystemError` where the name of one is not UTF-8.

The client returns both a list without its objects and an error then. A call by name checks for both, but
no more once Python has specialised it, and crashes on the list.
"""


class GroupReader:
    """A member of a group that reads one topic."""

    def __init__(self, begin: Open, send: Callable[[FromReader], None]) -> None:
        self._begin, self._send = begin, send
        self._topic = begin.topic
        self._stopping = False
        self._wanted, self._idle = threading.Event(), threading.Event()
        self._idle.set()
        self._ids = count()
        self._answers: dict[int, SimpleQueue[Answered]] = {}
        self._durable = SimpleQueue[dict[int, int]]()
        self._next: dict[int, int] = {}
        self._new: dict[str, str] = {}
        self._unreadable: dict[int, int] = {}
        self._held: list[Any] = []
        self._is_paused = False
        self._id = ""
        self._client: KafkaClient

    # What the server says, in the main thread -------------------------------------------------

    def hear(self, message: ToReader) -> None:
        """Take a message of the server."""
        match message:
            case Want():
                self._wanted.set()
            case Accepted():
                self._idle.set()
            case Durable(offsets):
                self._durable.put(offsets)
            case Answered(id):
                if (waiting := self._answers.get(id)) is not None:
                    waiting.put(message)
            case Open():
                pass

    def stop(self) -> None:
        """Have the thread leave the group, and end."""
        self._stopping = True
        self._wanted.set()
        self._idle.set()
        for each in list(self._answers.values()):
            each.put(Answered(0, failure=failure_of(UpstreamError("stopped", in_doubt=False))))

    # The thread -------------------------------------------------------------------------------

    def run(self) -> None:
        """Read until the server hangs up, or the reading fails."""
        consumer: Any = None
        try:
            self._client = self._beside("Consumer", self._begin.member)
            consumer = self._client.inner
            checked = self._look()
            consumer.subscribe(
                [self._topic],
                on_assign=self._assigned,
                on_revoke=self._revoked,
                on_lost=partial(self._revoked, is_lost=True),
            )
            while not self._stopping:
                if self._wanted.wait(self._begin.standing_seconds):
                    self._read(consumer)
                else:
                    self._stand(consumer)
                self._commit(consumer)
                if time.monotonic() > checked + self._begin.check_seconds:
                    checked = self._look()
        except MemoryError:
            os._exit(1)  # as where librdkafka has no more of it
        except BaseException as error:  # it ends the generator, which is opened again
            self._send(Ended(failure_of(self._known(error))))
        finally:
            self._stopping = True
            if consumer is not None:
                self._commit(consumer)
                consumer.close()

    def _known(self, error: BaseException) -> BaseException:
        """Return an error, that of librdkafka as one of ours."""
        given: Any = error.args[0] if error.args else None
        return failure(given) if hasattr(given, "retriable") else error

    def _beside(self, kind: str, more: Mapping[str, Any]) -> KafkaClient:
        """Return a client of the cluster."""
        settings = {**self._begin.cluster, **more}
        return KafkaClient(kind, settings, self._token, self._begin.connect_seconds)

    def _token(self) -> tuple[str, float]:
        token, ends = self._ask("token")
        return token, ends

    def _ask(self, what: Any, *inputs: Any) -> Any:
        """Ask the server, and wait for the answer."""
        id, answers = next(self._ids), SimpleQueue[Answered]()
        self._answers[id] = answers
        try:
            if self._stopping:
                raise UpstreamError("stopped", in_doubt=False)
            self._send(Asked(id, what, list(inputs)))
            answer = answers.get(timeout=self._begin.call_seconds)
        except Empty:
            raise UpstreamError(f"{what}: the server did not answer", in_doubt=False) from None
        finally:
            del self._answers[id]
        if answer.failure is not None:
            raise error_of(answer.failure)
        return answer.value

    def _look(self) -> float:
        """Judge the brokers that the cluster names now, and have the topic be the one that is read."""
        metadata = self._client.metadata(self._topic)
        self._ask("judge", [(each.host, each.port) for each in metadata.brokers.values()])
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

    def _read(self, consumer: Any) -> None:
        """Read what there is, and hand it over."""
        if self._is_paused:
            consumer.resume(consumer.assignment())
            self._is_paused = False
        found, self._held = self._held, []
        if not found and (first := consumer.poll(POLL_SECONDS)) is not None:
            found.append(first)
        if found and (more := self._begin.most - len(found)) > 0:
            found += consumer.consume(more, 0)
        self._check(consumer)
        records, cursors = list[ReadRecord](), self._new
        moved, size = dict[int, int](), 0
        for number, each in enumerate(found):
            if size > MOST_AT_ONCE:
                self._held = found[number:]
                break
            if (error := each.error()) is not None:
                if (passed := self._failed(consumer, each, error)) is not None:
                    moved[passed.partition] = self._next[passed.partition]
                    records.append(passed)
                continue
            place, offset = each.partition(), each.offset()
            # Of a partition that was given away, or read anew, another reads what is here.
            if offset >= self._next.get(place, offset + 1):
                moved[place] = self._next[place] = offset + 1
                record, taken = record_of(each, self._begin.most_bytes)
                records.append(record)
                size += taken
        for place, offset in moved.items():
            cursors[str(place)] = write_cursor(offset, self._id)
        self._new = {}
        if cursors:
            self._wanted.clear()
            self._idle.clear()
            self._send(Fetched(records, cursors))
            if not self._held:  # read ahead, while the server accepts those
                self._held = consumer.consume(self._begin.most, 0)

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

    def _failed(self, consumer: Any, record: Any, error: Any) -> ReadRecord | None:
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

    def _passed(self, consumer: Any, record: Any, error: Any) -> ReadRecord | None:
        """Pass over a batch that cannot be read, and return what stands for it."""
        partition, begin = record.partition(), record.offset()
        if partition not in self._next or self._unreadable.get(partition) == begin:
            return None  # it was given away, or told twice
        end = self._end_of_batch(partition, begin)
        self._next[partition], self._unreadable[partition] = end, begin
        consumer.seek(self._client.library.TopicPartition(self._topic, partition, end))
        why = f"{error.str()}; the batch of records before offset {end} is passed over"
        return ReadRecord(self._topic, partition, begin, value=b"", unread=why)

    def _end_of_batch(self, partition: int, begin: int) -> int:
        """Return the offset behind a batch that cannot be read, by looking from where it can be."""
        make, topic = self._client.library.TopicPartition, self._topic
        same = {each: self._begin.member[each] for each in ("group.id", *BOUNDS)}
        probe = self._beside("Consumer", PROBE | same)

        def is_within(offset: int) -> bool:
            probe.inner.assign([make(topic, partition, offset)])
            found = probe.inner.poll(self._begin.call_seconds / 4)
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
        return consumer.get_watermark_offsets(place, timeout=self._begin.call_seconds / 4)

    def _commit(self, consumer: Any) -> None:
        """Have librdkafka commit what was accepted: at times, and as it leaves."""
        moved = dict[int, int]()
        while not self._durable.empty():
            moved |= self._durable.get()
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
        self._send(Assigned())

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
            self._ask("revoke", [str(each) for each in gone])

    def _positions(self, consumer: Any, partitions: Sequence[int]) -> dict[int, int]:
        """Take partitions, and return from where each is read."""
        if not partitions:
            return {}
        self._id = self._topic_id()
        given = self._ask("assign", [str(each) for each in partitions])
        found: dict[int, int] = {}
        for place in partitions:
            cursor, start = given[str(place)]
            if cursor is None:
                found[place] = self._first(consumer, place, start)
                continue
            at, id = read_cursor(cursor)
            if id and self._id and id != self._id:
                reason = f"the topic {self._topic} was deleted and made anew"
                at = self._skip(consumer, place, reason)
            found[place] = at
        return found

    def _first(self, consumer: Any, partition: int, start: str) -> int:
        """Return where a partition without a cursor begins; that of now is stored at once."""
        low, high = self._ends(consumer, partition)
        if start not in ("now", "latest") or partition >= self._partitions_at_first():
            return low
        self._new[str(partition)] = write_cursor(high, self._id)
        return high

    def _partitions_at_first(self) -> int:
        known, _ = self._ask("assign", [BEGUN])[BEGUN]
        if known is None:
            topic = self._client.metadata(self._topic).topics[self._topic]
            known = self._new[BEGUN] = str(len(topic.partitions))
        return int(known)

    def _skip(self, consumer: Any, partition: int, reason: str) -> int:
        """Note a gap, and return where to read on."""
        start = self._ask("expired", str(partition), reason)
        low, high = self._ends(consumer, partition)
        return high if start == "latest" else low

    def _topic_id(self) -> str:
        """Return the topic's id, by which one that was made anew is told; empty where it has none."""
        library = self._client.library
        client = self._beside("AdminClient", {})
        try:
            asked = client.inner.describe_topics(library.TopicCollection([self._topic]))
            found = str(asked[self._topic].result(self._begin.call_seconds / 6).topic_id)
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


def record_of(record: Any, most: int) -> tuple[ReadRecord, int]:
    """Return a record, or what stands for one that cannot be stored, and its size."""
    key, value, why = record.key(), record.value(), ""
    headers: list[tuple[str, bytes | None]] = []
    size, taken = len(record), 0
    try:
        headers = headers_of(record) or []
        size += sum(len(name) + len(each or b"") for name, each in headers)
        taken = HEADER_BYTES * len(headers)
        if size > most or (key is not None and len(key) > most):
            why = f"it has {size:,} bytes, more than {most:,}: none of them are stored"
        elif size + taken > most:
            why = f"it has {len(headers):,} headers, more than can be stored: none of it is stored"
    except SystemError:  # headers are not looked at again: the process would crash
        why = "the name of one of its headers is not UTF-8: none of it is stored"
    millis = record.timestamp()[1]
    place = record.topic(), record.partition(), record.offset(), millis
    if why:
        key = key if key is not None and len(key) <= MOST_KEY else None
        return ReadRecord(*place, key, b"", unread=why), len(key or b"")
    return ReadRecord(*place, key, value, headers), size + len(key or b"") + taken
