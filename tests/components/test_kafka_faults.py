"""Faults of a Kafka cluster, injected into librdkafka's mock: nothing is lost, or repeated blindly."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from halflap import InvalidEvent, Request, UpstreamError, kafka
from halflap.components.kafka import member, publishing, record
from halflap.components.kafka.reader.wire import (
    HEADER,
    MOST_FRAME,
    Asked,
    ClientFailure,
    Ended,
    Fetched,
    encode_frame,
)
from halflap.sdk.connection import egress
from halflap.sdk.egress import Egress, Policy
from halflap.sdk.request import Headers
from halflap.testing.listeners import AcceptedLog, ListenerRun
from tests.components.test_kafka import read
from tests.kafka_bombs import (
    GZIP,
    LZ4,
    MIB,
    NONE,
    RECORD,
    SNAPPY,
    batch,
    gzip,
    lz4,
    put_raw,
    snappy,
)
from tests.kafka_mock import (
    COMMIT,
    FETCH,
    HEARTBEAT,
    JOIN,
    PRODUCE,
    SYNC,
    MockCluster,
    library,
    mock_cluster,
)
from tests.polling import DEADLINE, until

NOT_LEADER, TIMED_OUT, TOO_FEW_REPLICAS = 6, 7, 19
ILLEGAL_GENERATION, UNKNOWN_MEMBER, REBALANCING = 22, 25, 27
NOT_COORDINATOR = 16


@pytest.fixture
def cluster() -> Any:
    with mock_cluster("orders") as made:
        yield made


@pytest.fixture(autouse=True)
async def allowed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setitem(member.SETTINGS, "session.timeout.ms", 6_000)
    monkeypatch.setitem(member.SETTINGS, "auto.commit.interval.ms", 100)
    monkeypatch.setattr(member, "CALL_SECONDS", 12.0)  # the mock says nothing of a topic's id
    client = Egress(Policy(("127.0.0.1",)))
    egress.set(client)
    yield
    await client.close()
    egress.set(None)
    publishing.producers.clear()


def connected(cluster: MockCluster) -> kafka.Kafka:
    return kafka.Kafka(servers=cluster.servers, encryption="none", auth=kafka.NoSignIn())


def put(cluster: MockCluster, numbers: range) -> None:
    producer = Producer({"bootstrap.servers": cluster.servers, "log_level": 0})
    for each in numbers:
        producer.produce("orders", b"%d" % each)
    assert not producer.flush(DEADLINE)


async def test_a_record_that_librdkafka_sends_again_is_stored_once(cluster: MockCluster):
    at = connected(cluster)
    await kafka.publish(at, "orders", "before")
    cluster.tell("errors", PRODUCE, TIMED_OUT, NOT_LEADER, TOO_FEW_REPLICAS)
    assert (await kafka.publish(at, "orders", "once")).offset == 1
    assert (await kafka.publish(at, "orders", "after")).offset == 2
    found = await read(kafka.records(topic="orders", start="earliest"), at, AcceptedLog(), 3)
    assert [each.content for each in found] == [b'"before"', b'"once"', b'"after"']


async def test_a_record_whose_answer_is_late_is_in_doubt_and_not_published_again(
    cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(publishing.SETTINGS, "delivery.timeout.ms", 5_000)
    at = connected(cluster)
    await kafka.publish(at, "orders", "before")
    cluster.tell("rtt", 10_000)
    with pytest.raises(UpstreamError, match="may have been stored") as raised:
        await kafka.publish(at, "orders", "late")
    assert raised.value.in_doubt
    assert not raised.value.retryable
    cluster.tell("rtt", 0)
    found = await read(kafka.records(topic="orders", start="earliest"), at, AcceptedLog(), 2)
    assert found[1].content == b'"late"'


@pytest.mark.soak
async def test_faults_of_the_group_and_of_fetches_lose_and_double_nothing(cluster: MockCluster):
    log, wanted = AcceptedLog(), range(120)
    run = ListenerRun(kafka.records(topic="orders", start="earliest"), connected(cluster), log)
    async with run.reading(raises=False) as reading:
        async with asyncio.timeout(90):
            for begin in range(0, 120, 20):
                await asyncio.to_thread(put, cluster, range(begin, begin + 20))
                await until(lambda end=begin + 20: len(log.bodies) >= end or reading.done())
                assert not reading.done(), reading.exception()
                match begin:
                    case 0:
                        cluster.tell(
                            "errors", COMMIT, ILLEGAL_GENERATION, REBALANCING, NOT_COORDINATOR
                        )
                    case 20:
                        cluster.tell("errors", FETCH, NOT_LEADER, TIMED_OUT, NOT_LEADER)
                    case 40:
                        cluster.tell("errors", HEARTBEAT, UNKNOWN_MEMBER)
                        cluster.tell("errors", JOIN, NOT_COORDINATOR, UNKNOWN_MEMBER)
                    case 60:
                        cluster.tell("errors", HEARTBEAT, REBALANCING)
                        cluster.tell("errors", SYNC, REBALANCING, ILLEGAL_GENERATION)
                await asyncio.sleep(2.5 if begin in (40, 60) else 0.3)
    assert log.bodies == [b"%d" % each for each in wanted]


async def test_a_broker_that_goes_away_is_said_and_read_on_from_the_cursor(cluster: MockCluster):
    trigger, log = kafka.records(topic="orders", start="earliest"), AcceptedLog()
    await asyncio.to_thread(put, cluster, range(5))
    run = ListenerRun(trigger, connected(cluster), log)
    reading = asyncio.create_task(run.go_on())
    await until(lambda: len(log.bodies) == 5)
    async with asyncio.timeout(DEADLINE):
        cluster.tell("down")
        await asyncio.wait([reading])
    assert isinstance(reading.exception(), UpstreamError)
    await run.end()
    cluster.tell("up")
    await asyncio.to_thread(put, cluster, range(5, 8))
    await read(trigger, connected(cluster), log, 3)
    assert log.bodies == [b"%d" % each for each in range(8)]


def put_batch(cluster: MockCluster, values: list[bytes], codec: str) -> None:
    """Publish values in one batch, compressed by a codec."""
    # It waits for all of the batch until `flush`, however slowly that is put together; but what is put
    # before the topic is known is handed on once it is, one by one, while `flush` sends what it finds.
    most = {"message.max.bytes": 100_000_000, "batch.size": 100_000_000, "linger.ms": 60_000}
    address = {"bootstrap.servers": cluster.servers, "log_level": 0}
    producer = Producer({**address, **most, "compression.type": codec})
    producer.list_topics("orders", timeout=DEADLINE)
    for each in values:
        producer.produce("orders", each)
    assert not producer.flush(DEADLINE)


async def event_of(trigger: Any, message: Any) -> Any:
    headers = Headers(message.headers)
    at = datetime.now(UTC)
    return await trigger.parse(Request("MESSAGE", "", "", headers, message.content, "", at))


@pytest.mark.parametrize(
    ("many", "form"), [(1, "json"), (300, "json"), (5, "text"), (5, "bytes"), (5, "avro")]
)
async def test_a_batch_that_becomes_too_large_is_passed_over_and_fails_visibly(
    many: int, form: Any, cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
):
    """librdkafka refuses what zstd makes larger than it may receive, each time that it is asked."""
    monkeypatch.setitem(member.SETTINGS, "receive.message.max.bytes", 5_000_000)
    before, after = b'"before"', b'"after"'
    await asyncio.to_thread(put_batch, cluster, [before], "none")
    await asyncio.to_thread(put_batch, cluster, [bytes(8_000_000)] + [b"1"] * (many - 1), "zstd")
    await asyncio.to_thread(put_batch, cluster, [after, after], "zstd")
    trigger = kafka.records(topic="orders", start="earliest", format=form)
    log = AcceptedLog()
    messages = await read(trigger, connected(cluster), log, 4)
    assert [each.content for each in messages] == [before, b"", after, after]
    assert log.cursors["0"] == str(1 + many + 2)
    bomb = messages[1]
    with pytest.raises(InvalidEvent, match=rf"orders\[0\]@1 .*before offset {1 + many} is passed"):
        await event_of(trigger, bomb)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_a_record_that_is_too_large_is_passed_over_and_fails_visibly(
    codec: str, cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(record, "MOST_BYTES", 1_000_000)
    values = [b"1", bytes(3_000_000), b"2"]
    await asyncio.to_thread(put_batch, cluster, values, codec)
    single = kafka.records(topic="orders", start="earliest", format="text")
    many = kafka.batches(topic="orders", start="earliest", format="text")
    messages = await read(single, connected(cluster), AcceptedLog(), 3)
    assert [each.content for each in messages] == [b"1", b"", b"2"]
    [batch] = await read(many, connected(cluster), AcceptedLog(), 1)
    for trigger, each in ((single, messages[1]), (many, batch)):
        with pytest.raises(InvalidEvent, match="it has 3,000,000 bytes, more than 1,000,000"):
            await event_of(trigger, each)


async def test_the_headers_and_the_key_of_a_record_count_as_its_size(
    cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(record, "MOST_BYTES", 1_000)
    producer = Producer({"bootstrap.servers": cluster.servers, "log_level": 0})
    producer.produce("orders", b"1", headers=[("large", bytes(2_000))])
    producer.produce("orders", b"2", key=bytes(20_000))
    producer.produce("orders", b"3", key=b"k")
    assert not producer.flush(DEADLINE)
    trigger = kafka.records(topic="orders", start="earliest")
    messages = await read(trigger, connected(cluster), AcceptedLog(), 3)
    assert [each.content for each in messages] == [b"", b"", b"3"]
    assert sum(len(value) for each in messages for _, value in each.headers) < 1_000
    assert (await event_of(trigger, messages[2])).key == "k"


def put_header(cluster: MockCluster, name: bytes) -> None:
    """Publish a record with a header of this name, which confluent_kafka's own producer cannot write."""
    rdkafka, text, size = library(), ctypes.c_char_p, ctypes.c_size_t
    error = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(rdkafka.rd_kafka_conf_new())
    for setting, value in (("bootstrap.servers", cluster.servers), ("log_level", "0")):
        rdkafka.rd_kafka_conf_set(conf, setting.encode(), value.encode(), error, size(512))
    client = ctypes.c_void_p(rdkafka.rd_kafka_new(0, conf, error, len(error)))
    fields = (1, text(b"orders"), 4, text(b"2"), size(1), 5, text(b"k"), size(1))
    header = (9, text(name), text(b"x"), ctypes.c_ssize_t(1))
    assert not rdkafka.rd_kafka_producev(client, *fields, *header, 0)
    assert not rdkafka.rd_kafka_flush(client, int(DEADLINE * 1_000))
    rdkafka.rd_kafka_destroy(client)


async def test_a_record_with_a_header_that_has_no_text_as_its_name_is_passed_over(
    cluster: MockCluster,
):
    """As its headers are read, confluent_kafka raises SystemError, or crashes if Python has specialised
    the call, as it has after some records, or where they are read again."""
    await asyncio.to_thread(put_batch, cluster, [b"1"] * 100, "none")
    await asyncio.to_thread(put_header, cluster, b"\xff\xfe")
    await asyncio.to_thread(put_batch, cluster, [b"3"], "none")
    trigger, log = kafka.records(topic="orders", start="earliest"), AcceptedLog()
    messages = await read(trigger, connected(cluster), log, 102)
    assert [each.content for each in messages] == [b"1"] * 100 + [b"", b"3"]
    assert (messages[100].key, log.cursors["0"]) == ("k", "102")
    with pytest.raises(InvalidEvent, match=r"orders\[0\]@100 .*headers is not UTF-8"):
        await event_of(trigger, messages[100])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member, "MEMORY", 160 * MIB)


def readers() -> set[int]:
    """Return the processes that read topics for this one."""
    nursery = member.nursery.pid
    if not nursery:
        return set()
    return set(map(int, Path(f"/proc/{nursery}/task/{nursery}/children").read_text().split()))


DEEP = encode_frame(Asked(1, "token"))[HEADER.size : -1] + b"\x91" * 9_999 + b"\x90"
NESTED = HEADER.pack(len(DEEP)) + DEEP
BOMBS = {
    "gzip": lambda: batch(gzip(bytes(4 * MIB), 64), GZIP),
    "lz4": lambda: batch(lz4(64), LZ4),
    "snappy": lambda: batch(snappy(256 * MIB + 1), SNAPPY),
    "many records": lambda: batch(RECORD * 500_000, NONE, 500_000),
    "many records, gzip": lambda: batch(gzip(RECORD * 10_000, 50), GZIP, 500_000),
}


@pytest.mark.parametrize("kind", BOMBS)
async def test_a_batch_that_takes_too_much_memory_ends_its_reader_and_nothing_else(
    kind: str, cluster: MockCluster, small: None
):
    """librdkafka has no bound on what gzip, lz4 and snappy become, nor on the number of records."""
    await asyncio.to_thread(put_raw, cluster.servers, "orders", BOMBS[kind]())
    trigger, log = kafka.records(topic="orders", start="earliest"), AcceptedLog()
    with mock_cluster("orders") as other:
        await asyncio.to_thread(put, other, range(3))
        others = AcceptedLog()
        async with ListenerRun(trigger, connected(other), others).reading():
            await until(lambda: len(others.bodies) == 3)
            await until(lambda: len(readers()) == 1)
            unharmed = readers()
            run = ListenerRun(trigger, connected(cluster), log)
            with pytest.raises(UpstreamError, match="takes more than 160 MiB"):
                await run.step()
            await run.end()
            await until(lambda: readers() == unharmed)
            await asyncio.to_thread(put, other, range(3, 6))
            await until(lambda: len(others.bodies) == 6)
    assert not log.bodies


async def test_the_control_with_enough_memory_reads_the_same_batch(cluster: MockCluster):
    content = BOMBS["many records"]()
    await asyncio.to_thread(put_raw, cluster.servers, "orders", content)
    trigger = kafka.batches(topic="orders", start="earliest")
    assert await read(trigger, connected(cluster), AcceptedLog(), 1)


async def test_a_record_of_too_many_headers_is_passed_over(
    cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(record, "MOST_BYTES", 10_000)
    producer = Producer({"bootstrap.servers": cluster.servers, "log_level": 0})
    for many in (10, 200):
        producer.produce("orders", b"1", headers=[("h", b"")] * many)
    assert not producer.flush(DEADLINE)
    trigger = kafka.records(topic="orders", start="earliest")
    messages = await read(trigger, connected(cluster), AcceptedLog(), 2)
    assert [each.content for each in messages] == [b"1", b""]
    with pytest.raises(InvalidEvent, match="it has 200 headers"):
        await event_of(trigger, messages[1])


async def test_a_reader_ends_with_its_listener_though_the_broker_never_answers_again(
    cluster: MockCluster,
):
    """librdkafka may wait for a broker, as it leaves a group, for ever."""
    await asyncio.to_thread(put, cluster, range(5))
    log = AcceptedLog()
    run = ListenerRun(kafka.records(topic="orders", start="earliest"), connected(cluster), log)
    reading = asyncio.create_task(run.go_on())
    await until(lambda: len(log.bodies) == 5)
    assert readers()
    cluster.process.send_signal(signal.SIGSTOP)
    reading.cancel()
    await asyncio.wait([reading])
    await run.end()
    await until(lambda: not readers())


async def test_a_reader_that_is_killed_is_an_error_and_its_topic_is_read_on(cluster: MockCluster):
    """And so is the process that it was forked from."""
    trigger, log = kafka.records(topic="orders", start="earliest"), AcceptedLog()
    await asyncio.to_thread(put, cluster, range(3))
    run = ListenerRun(trigger, connected(cluster), log)
    reading = asyncio.create_task(run.go_on())
    await until(lambda: len(log.bodies) == 3)
    for each in (*readers(), member.nursery.pid):
        os.kill(each, signal.SIGKILL)
    with pytest.raises(UpstreamError, match="the process that reads the topic has ended"):
        await reading
    await run.end()
    await asyncio.to_thread(put, cluster, range(3, 6))
    await read(trigger, connected(cluster), log, 3)
    assert log.bodies == [b"%d" % each for each in range(6)]


async def test_where_only_the_nursery_is_killed_one_reads_on_and_the_next_has_another(
    cluster: MockCluster,
):
    """A reader that had an end of its line would keep that open, where nobody reads it any more."""
    trigger, log, others = (
        kafka.records(topic="orders", start="earliest"),
        AcceptedLog(),
        AcceptedLog(),
    )
    await asyncio.to_thread(put, cluster, range(3))
    with mock_cluster("orders") as other:
        await asyncio.to_thread(put, other, range(3))
        async with ListenerRun(trigger, connected(cluster), log).reading():
            await until(lambda: len(log.bodies) == 3)
            [reader], nursery = readers(), member.nursery.pid
            assert os.readlink(f"/proc/{reader}/fd/0") == os.devnull
            os.kill(nursery, signal.SIGKILL)
            await until(lambda: b") Z " in Path(f"/proc/{nursery}/stat").read_bytes())
            await read(trigger, connected(other), others, 3)
            assert member.nursery.pid != nursery
            await asyncio.to_thread(put, cluster, range(3, 6))
            await until(lambda: len(log.bodies) == 6)


async def test_a_listener_that_is_ended_as_its_reader_is_forked_leaves_nothing(
    cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
):
    """The loop goes on meanwhile: to start a process, or to send it a connection, may take a while."""
    begun, goes_on, made = threading.Event(), threading.Event(), list[socket.socket]()
    fork = member.nursery.fork

    def late() -> socket.socket:
        begun.set()
        assert goes_on.wait(DEADLINE)
        made.append(fork())
        return made[0]

    monkeypatch.setattr(member.nursery, "fork", late)
    run = ListenerRun(kafka.records(topic="orders"), connected(cluster), AcceptedLog())
    reading = asyncio.create_task(run.step())
    await until(begun.is_set)
    reading.cancel()
    goes_on.set()
    await asyncio.wait([reading])
    assert reading.cancelled()
    assert made[0].fileno() == -1
    await until(lambda: not readers())


async def test_where_no_nursery_can_be_started_the_error_says_so_and_nothing_is_left(
    cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(member, "nursery", member.Nursery())
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    run = ListenerRun(kafka.records(topic="orders"), connected(cluster), AcceptedLog())
    with pytest.raises(FileNotFoundError, match="/nowhere/python"):
        await run.step()
    gc.collect()  # a socket that is left open is an error


async def test_a_nursery_that_takes_nothing_more_is_replaced(
    cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(member, "LINE_SECONDS", 0.1)
    monkeypatch.setattr(member, "nursery", member.Nursery())
    try:
        member.nursery.fork().close()
        stuck = member.nursery.pid
        os.kill(stuck, signal.SIGSTOP)
        while member.nursery.pid == stuck:
            await asyncio.to_thread(lambda: member.nursery.fork().close())
        await asyncio.to_thread(put, cluster, range(3))
        trigger = kafka.records(topic="orders", start="earliest")
        await read(trigger, connected(cluster), AcceptedLog(), 3)
    finally:
        member.nursery.close()


@pytest.mark.parametrize(
    ("says", "error"),
    [
        (HEADER.pack(MOST_FRAME + 1), "has ended"),
        (HEADER.pack(3) + b"abc", "has ended"),
        (NESTED, "has ended"),
        (encode_frame(Asked(1, "token")) * 17, "has ended"),
        (
            encode_frame(Asked(1, "assign", [[str(each) for each in range(10_000)]])) * 50,
            "has ended",
        ),
        (encode_frame(Fetched()) * 2, "has ended"),
        (encode_frame(Fetched(cursors={"0": "x"})), "has ended"),
        (encode_frame(Fetched(cursors={"0": "-1001"})), "has ended"),
        (encode_frame(Asked(1, "assign", [["1"] * 10_001])), "10,001 partitions of one topic"),
        (encode_frame(Asked(1, "assign", [["10000"]])), "no partition '10000'"),
        (encode_frame(Asked(1, "assign", [["00"]])), "no partition '00'"),
        (encode_frame(Asked(1, "revoke", [["process:tested"]])), "no partition 'process:tested'"),
        (encode_frame(Asked(1, "expired", ["", "why"])), "no partition ''"),
        (encode_frame(Ended(ClientFailure("upstream", "x" * 9_999))), f"^{'x' * 2_000}$"),
    ],
    ids=[
        "too long",
        "no message",
        "nested too deeply",
        "too many questions",
        "answers that are not read",
        "records that were not asked for",
        "a cursor that is no number",
        "a cursor that is no offset",
        "too many partitions",
        "a partition too far",
        "a partition in two ways",
        "a shard of the process",
        "no shard",
        "a long error",
    ],
)
async def test_what_a_reader_says_is_held_to_bounds(
    says: bytes, error: str, cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
):
    """As one would that a broker has taken over."""
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(member.nursery, "fork", lambda: ours)
    monkeypatch.setattr(member, "STOP_SECONDS", 0.1)  # the other end stays open
    run = ListenerRun(kafka.records(topic="orders"), connected(cluster), AcceptedLog())
    loop = asyncio.get_running_loop()
    theirs.setblocking(False)

    async def say() -> None:
        heard = b""
        while b"Want" not in heard:
            heard += await loop.sock_recv(theirs, MIB)
        with contextlib.suppress(OSError):  # nobody listens any more
            await loop.sock_sendall(theirs, says)

    with theirs:
        saying = asyncio.create_task(say())
        with pytest.raises(UpstreamError, match=error):
            await run.step()
        await run.end()
        await saying


async def test_a_reader_that_does_not_begin_says_what_to_look_at(
    cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(member, "nursery", member.Nursery())
    monkeypatch.setattr(member, "BEGIN", "import nothing_of_this_name # {paths}")
    run = ListenerRun(kafka.records(topic="orders"), connected(cluster), AcceptedLog())
    try:
        with pytest.raises(UpstreamError, match=r"it did not begin.* -I -S"):
            await run.step()
        await run.end()
    finally:
        member.nursery.close()


async def test_records_of_many_headers_are_handed_over_a_few_at_a_time(cluster: MockCluster):
    producer = Producer({"bootstrap.servers": cluster.servers, "log_level": 0})
    for _ in range(8):
        producer.produce("orders", b"1", headers=[("h", b"")] * 100_000)
    assert not producer.flush(DEADLINE)
    log = AcceptedLog()
    run = ListenerRun(kafka.records(topic="orders", start="earliest"), connected(cluster), log)
    while len(log.bodies) < 8:
        batch = await run.step()
        assert batch is not None
        assert len(batch.messages) <= 4
    await run.end()
