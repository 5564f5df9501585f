"""Faults of a Kafka cluster, injected into librdkafka's mock: nothing is lost, or repeated blindly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from confluent_kafka import Producer

from halflap import UpstreamError, kafka
from halflap.components.kafka import member, publishing
from halflap.sdk.connection import egress
from halflap.sdk.egress import Egress, Policy
from halflap.testing.listeners import AcceptedLog, ListenerRun
from tests.components.test_kafka import read
from tests.kafka_mock import (
    COMMIT,
    FETCH,
    HEARTBEAT,
    JOIN,
    PRODUCE,
    SYNC,
    MockCluster,
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
    assert not producer.flush(20)


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
    monkeypatch.setitem(publishing.SETTINGS, "delivery.timeout.ms", 1_500)
    at = connected(cluster)
    await kafka.publish(at, "orders", "before")
    cluster.tell("rtt", 4_000)
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
    reading = asyncio.create_task(run.go_on())
    try:
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
    finally:
        reading.cancel()
        await asyncio.wait([reading])
        await run.end()
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
