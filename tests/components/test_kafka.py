"""Kafka against brokers in processes of their own: nothing is lost, doubled or passed over in silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from halflap import (
    Config,
    Context,
    DefinitionError,
    EgressRefused,
    Integration,
    InvalidEvent,
    Message,
    Request,
    UpstreamError,
    fifo,
    kafka,
)
from halflap.components.kafka import member, reading
from halflap.components.kafka.publishing import producers
from halflap.components.kafka.reader import client
from halflap.engine import backlog
from halflap.sdk.connection import egress
from halflap.sdk.egress import Egress, Policy
from halflap.sdk.request import Headers
from halflap.store.protocol import Filter
from halflap.store.store import Store
from halflap.store.vault import Vault
from halflap.testing.listeners import AcceptedLog, ListenerCheck, ListenerRun, check_listener
from tests.brokers import KafkaBroker, broker
from tests.cluster import emptied_url
from tests.engine.test_listening import KEYS, Worker, World, until
from tests.polling import DEADLINE

LOOPBACK = Policy(("127.0.0.1",))


@pytest.fixture(scope="module")
def noida(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with broker("noida", tmp_path_factory.mktemp("kafka") / "data") as made:
        yield made


@pytest.fixture
def tansu(tmp_path: Path) -> Iterator[KafkaBroker]:
    with broker("tansu", tmp_path / "data") as made:
        yield made


@pytest.fixture
def topic(noida: KafkaBroker, request: pytest.FixtureRequest) -> str:
    name = f"topic-{abs(hash(request.node.name))}"
    noida.make_topic(name)
    return name


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(member.SETTINGS, "session.timeout.ms", 6_000)
    before = egress.set(Egress(LOOPBACK))
    yield
    egress.reset(before)
    producers.clear()


def connected(at: KafkaBroker) -> kafka.Kafka:
    return kafka.Kafka(servers=at.servers, encryption="none", auth=kafka.NoSignIn())


class Topic:
    """A topic, as the conformance suite fills it."""

    def __init__(self, at: KafkaBroker, name: str) -> None:
        self.at, self.name = at, name

    async def put(self, bodies: Sequence[bytes]) -> None:
        self.at.put(self.name, bodies)

    async def expire(self) -> None:
        self.at.delete_topic(self.name)
        self.at.make_topic(self.name)


async def test_records_are_read_once_and_in_order(noida: KafkaBroker, topic: str):
    trigger = kafka.records(topic=topic, start="earliest")
    log = await check_listener(trigger, connected(noida), Topic(noida, topic), within=DEADLINE)
    assert len(log.bodies) == len(set(log.bodies)) > 20


async def test_what_was_there_before_is_not_read_from_now_on(noida: KafkaBroker, topic: str):
    noida.put(topic, [b'"before"'])
    trigger = kafka.records(topic=topic, start="now")
    check = ListenerCheck(trigger, connected(noida), Topic(noida, topic), within=DEADLINE)
    await check.begins_before_the_first_message()
    assert check.log.bodies == check.wanted != []


async def read(trigger: Any, at: kafka.Kafka, log: AcceptedLog, count: int) -> list[Any]:
    """Accept messages until there are so many; return them."""
    run, found = ListenerRun(trigger, at, log), list[Any]()
    try:
        async with asyncio.timeout(DEADLINE):
            while len(found) < count:
                batch = await run.step()
                assert batch is not None
                found += batch.messages
    finally:
        await run.end()
    return found


async def event_of(trigger: Any, message: Any) -> Any:
    return await trigger.parse(
        Request("MESSAGE", "", "", Headers(message.headers), message.content, "", datetime.now(UTC))
    )


async def test_a_record_has_all_that_it_was_published_with(noida: KafkaBroker, topic: str):
    headers = [("trace", b"t1"), ("raw", b"\xff\x00"), ("none", None), ("kafka-offset", b"9999")]
    noida.put(topic, [b'{"n": 1.10}'], key=b"k\xff", headers=headers)
    noida.put(topic, [None], key=b"k")
    trigger = kafka.records(topic=topic, start="earliest")
    messages = await read(trigger, connected(noida), AcceptedLog(), 2)
    first, gone = [await event_of(trigger, each) for each in messages]
    assert str(first.value["n"]) == "1.10"
    assert (first.key, gone.key) == ("a/8=", "k")
    assert first.headers == {"trace": "t1", "raw": "/wA=", "none": ""}
    assert (first.topic, first.partition, first.offset) == (topic, 0, 0)
    assert abs((datetime.now(UTC) - first.timestamp).total_seconds()) < 60
    assert gone.value is None
    assert [each.key for each in messages] == ["a/8=", "k"]
    assert messages[0].at == first.timestamp


async def test_what_cannot_be_read_is_accepted_and_fails(noida: KafkaBroker, topic: str):
    noida.put(topic, [b"\xff\xfe no json", b"", b"\x00\x00\x00\x00\x07{}"])
    trigger = kafka.records(topic=topic, start="earliest")
    bad, empty, of_a_registry = await read(trigger, connected(noida), AcceptedLog(), 3)
    assert bad.content == b"\xff\xfe no json"
    with pytest.raises(InvalidEvent, match=r"the value of topic-\d+\[0\]@0 is not json"):
        await event_of(trigger, bad)
    with pytest.raises(InvalidEvent, match="is not json"):
        await event_of(trigger, empty)
    assert (await event_of(trigger, of_a_registry)).value == {}
    text = kafka.records(topic=topic, format="text")
    assert (await event_of(text, empty)).value == ""
    with pytest.raises(InvalidEvent, match="is not text"):
        await event_of(text, bad)
    raw = kafka.records(topic=topic, format="bytes")
    assert (await event_of(raw, bad)).value == "//4gbm8ganNvbg=="


async def test_many_records_of_a_partition_are_one_event(
    noida: KafkaBroker, topic: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reading, "BATCHED_AT_ONCE", 15)
    noida.put(topic, [b'{"n": %d}' % n for n in range(25)] + [None], key=b"k")
    trigger = kafka.batches(topic=topic, most=10, start="earliest")
    run, events = ListenerRun(trigger, connected(noida), AcceptedLog()), list[list[kafka.Record]]()
    async with asyncio.timeout(DEADLINE):
        while sum(map(len, events)) < 26:
            batch = await run.step()
            assert batch is not None
            read_now = [await event_of(trigger, each) for each in batch.messages]
            assert sum(map(len, read_now)) <= 15
            assert {each.key for each in batch.messages} == {"0"}
            events += read_now
    await run.end()
    assert [each.offset for event in events for each in event] == list(range(26))
    assert max(map(len, events)) <= 10
    assert events[-1][-1].value is None
    assert events[0][0].value == {"n": 0}
    assert events[0][0].topic == topic


async def test_an_event_of_many_that_was_stored_by_an_older_version_is_read_alike():
    """It names topic and partition for each record, and its headers, be they none."""
    place = {"topic": "log", "partition": "3", "timestamp": "2026-01-02T03:04:05+00:00"}
    old = [
        {**place, "offset": "7", "key": "k", "headers": [["trace", "t1"]], "value": '{"n": 1}'},
        {**place, "offset": "8", "headers": [], "value_base64": "AAAAAAV7Im4iOiAyfQ=="},
        {**place, "offset": "9", "headers": [], "tombstone": "true"},
    ]
    found = await event_of(kafka.batches(topic="log"), Message(old))
    assert [(each.partition, each.offset, each.value) for each in found] == [
        (3, 7, {"n": 1}),
        (3, 8, {"n": 2}),
        (3, 9, None),
    ]
    assert found[0].headers == {"trace": "t1"}


async def test_a_partition_that_is_added_later_is_read_from_its_beginning(noida: KafkaBroker):
    noida.make_topic("grown", 2)
    for place in (0, 1):
        noida.put("grown", [b"%d" % place], partition=place)
    log = AcceptedLog(cursors={member.BEGUN: "1"})  # as it began, there was one
    [message] = await read(kafka.records(topic="grown"), connected(noida), log, 1)
    assert message.content == b"1"
    assert log.cursors == {member.BEGUN: "1", "0": "1", "1": "1"}


async def test_the_group_is_told_what_was_accepted(noida: KafkaBroker, topic: str):
    noida.put(topic, [b"1", b"2", b"3"])
    trigger = kafka.records(topic=topic, start="earliest", group="seen-by-people")
    await read(trigger, connected(noida), AcceptedLog(), 3)
    client = Consumer(noida.client(**{"group.id": "seen-by-people"}))
    [place] = client.committed([TopicPartition(topic, 0)], timeout=DEADLINE)
    client.close()
    assert place.offset == 3


async def test_a_topic_that_is_not_there_is_an_error_that_says_so(noida: KafkaBroker):
    run = ListenerRun(kafka.records(topic="nothing-here"), connected(noida), AcceptedLog())
    says = r"UNKNOWN_TOPIC_OR_PART\): create the topic nothing-here"
    with pytest.raises(UpstreamError, match=says):
        async with asyncio.timeout(DEADLINE):
            assert not await run.step(), "it counts as listening, though there is nothing to read"
    await run.end()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"servers": "one.example.com"}, "'one.example.com' is no broker with its port"),
        ({"servers": "a:9092, b"}, "'b' is no broker with its port"),
        ({"ca": "/etc/ssl/ca.pem"}, "is no certificate in PEM"),
    ],
)
def test_a_field_that_cannot_be_right_says_what_it_has_to_be(fields: dict[str, str], says: str):
    given = {"servers": "a:9092", "auth": {"kind": "none"}, **fields}
    with pytest.raises(ValueError, match=says):
        kafka.Kafka.model_validate(given)


async def test_a_cluster_that_is_away_is_an_error_that_says_so(tmp_path: Path):
    away = KafkaBroker("noida", tmp_path)
    with pytest.raises(UpstreamError, match="cannot be reached") as raised:
        await connected(away).test()
    assert not raised.value.in_doubt
    with pytest.raises(UpstreamError, match="cannot be reached") as raised:
        await kafka.publish(connected(away), "orders", 1)
    assert not raised.value.in_doubt


async def test_addresses_that_may_not_be_called_are_refused(noida: KafkaBroker, topic: str):
    egress.set(Egress())
    with pytest.raises(EgressRefused, match="loopback"):
        await connected(noida).test()
    egress.set(Egress(Policy((f"127.0.0.1:{noida.port}",))))
    at = connected(noida)
    await at.test()
    admin = await at.client("AdminClient", {})
    metadata = await asyncio.to_thread(admin.metadata)
    next(
        iter(metadata.brokers.values())
    ).port += 1  # as a cluster might name what is none of its own
    with pytest.raises(EgressRefused, match="a broker that the cluster names"):
        await at.judge((each.host, each.port) for each in metadata.brokers.values())


async def test_brokers_that_the_cluster_names_later_are_judged_too(
    noida: KafkaBroker, topic: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(member, "CHECK_SECONDS", 0.5)
    noida.put(topic, [b"1"])
    run = ListenerRun(kafka.records(topic=topic, start="earliest"), connected(noida), AcceptedLog())
    async with asyncio.timeout(DEADLINE):
        await run.step()
        # As if a broker of now were at an address that may not be called.
        monkeypatch.setattr(Egress, "dial", Egress().dial)
        with pytest.raises(EgressRefused, match="a broker that the cluster names"):
            await run.step()
    await run.end()


async def test_a_published_record_is_stored(noida: KafkaBroker, topic: str):
    at = connected(noida)
    told = await kafka.publish(at, topic, {"n": 1}, key="k", headers={"trace": "t1"})
    assert (told.topic, told.partition, told.offset) == (topic, 0, 0)
    more = [kafka.publish(at, topic, f"é{n}", format="text") for n in range(20)]
    assert sorted(each.offset for each in await asyncio.gather(*more)) == list(range(1, 21))
    await kafka.publish(at, topic, key="k")
    await kafka.publish(at, topic, "/w==", format="bytes")
    assert len(producers) == 1
    found = await read(kafka.records(topic=topic, start="earliest"), at, AcceptedLog(), 23)
    assert found[0].content == b'{"n":1}'
    assert ("trace", "t1") in found[0].headers
    keys = [dict(each.headers)["idempotency-key"] for each in found]
    assert len(set(keys)) == len(keys)
    assert sorted(each.content.decode() for each in found[1:21]) == sorted(
        f"é{n}" for n in range(20)
    )
    assert ("kafka-tombstone", "true") in found[21].headers
    assert found[22].content == b"\xff"


async def test_what_cannot_be_published_says_why(noida: KafkaBroker, topic: str):
    at = connected(noida)
    with pytest.raises(DefinitionError, match="a value, or a key"):
        await kafka.publish(at, topic)
    with pytest.raises(DefinitionError, match="is a text"):
        await kafka.publish(at, topic, {"n": 1}, format="text")
    with pytest.raises(DefinitionError, match="not base64"):
        await kafka.publish(at, topic, "é", format="bytes")
    with pytest.raises(UpstreamError, match="_UNKNOWN_PARTITION") as raised:
        await kafka.publish(at, topic, 1, partition=7)
    assert not raised.value.in_doubt


def test_without_the_extra_an_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(client.importlib, "import_module", missing)
    with pytest.raises(DefinitionError, match=r"pip install 'halflap\[kafka\]'"):
        client.library()


# On the engine ------------------------------------------------------------------------------------


class Settings(Config):
    cluster: kafka.Kafka


class Library:
    """The one integration that there is."""

    def __init__(self, trigger: Any, **options: Any) -> None:
        self.found: Integration[Any] = Integration("reader", config=Settings)

        @self.found.flow(trigger=trigger, **options)
        async def flow(ctx: Context[Settings], event: Any) -> None:
            """Do nothing."""

    async def integration(self, version: str) -> Integration[Any]:
        return self.found


class KafkaWorld(World):
    """A store with an active instance that reads a topic."""

    async def read_from(self, at: KafkaBroker) -> None:
        catalogue = self.stores[0].catalogue
        customer = await catalogue.customers.add("Initech")
        fields = {"servers": at.servers, "encryption": "none", "auth": {"kind": "none"}}
        saved = await catalogue.connections.save(customer.id, "kafka", "kafka", fields, {})
        await catalogue.versions.publish("reader", "v1", b"")
        made = await catalogue.instances.add(customer.id, "reader", "reader", "v1")
        await catalogue.instances.set_revision(made.id, {}, {"cluster": saved.id})
        assert await catalogue.instances.move(made.id, ("configured",), "active")
        self.instance = await catalogue.instances.get(made.id)

    def begin(self, number: int = 0) -> Worker:
        worker = Worker(self.stores[number], self.library, f"w{number}", Egress(LOOPBACK))
        self.workers.append(worker)
        return worker


@asynccontextmanager
async def world(
    at: KafkaBroker, trigger: Any, shared: int = 0, **options: Any
) -> AsyncIterator[KafkaWorld]:
    if shared:
        url = emptied_url()
        stores = [await Store.open(url, vault=Vault.from_text(KEYS)) for _ in range(shared)]
    else:
        stores = [await Store.memory()]
    made = KafkaWorld(stores, Library(trigger, **options))
    try:
        await made.read_from(at)
        yield made
    finally:
        for each in made.workers:
            await each.stop()
        for each in stores:
            await each.close()


async def test_two_processes_share_the_partitions_of_a_topic(tansu: KafkaBroker):
    name = "shared-by-two"
    tansu.make_topic(name, 4)
    trigger = kafka.records(topic=name, start="earliest", key="partition")
    async with world(tansu, trigger, shared=2, order=fifo(by_key=True)) as here:
        numbers = list(range(400))

        def put(some: Sequence[int]) -> None:
            for place in range(4):
                mine = [b"%d" % n for n in some if n % 4 == place]
                tansu.put(name, mine, partition=place)

        here.begin(0)
        put(numbers[:100])
        await until(lambda: is_read(here, 100))
        second = here.begin(1)
        put(numbers[100:200])
        await until(lambda: owners(here))
        put(numbers[200:300])
        await until(lambda: is_read(here, 300))
        await second.stop()
        here.workers.remove(second)
        put(numbers[300:])
        await until(lambda: is_read(here, 400))
        found = await here.bodies()
        assert sorted(found) == numbers
        for place in range(4):
            mine = [n for n in found if n % 4 == place]
            assert mine == sorted(mine)


async def is_read(here: KafkaWorld, count: int) -> bool:
    return sum((await here.journal.count(Filter())).values()) >= count


async def owners(here: KafkaWorld) -> bool:
    """Return whether each of two processes has half of the partitions."""
    shards = await here.journal.shards.list(here.instance.id)
    mine = [each.owner for each in shards if each.key.shard.isdigit()]
    return sorted(mine.count(each) for each in ("w0", "w1")) == [2, 2]


async def test_a_topic_that_was_made_anew_is_a_gap(tansu: KafkaBroker):
    tansu.make_topic("orders")
    tansu.put("orders", [b"1", b"2", b"3"])
    async with world(tansu, kafka.records(topic="orders", start="earliest")) as here:
        worker = here.begin()
        await until(lambda: is_read(here, 3))
        await worker.stop()
        here.workers.remove(worker)
        tansu.delete_topic("orders")
        tansu.make_topic("orders")
        tansu.put("orders", [b"11", b"12", b"13", b"14"])
        here.begin()
        await until(lambda: is_read(here, 7))
        assert await here.bodies() == [1, 2, 3, 11, 12, 13, 14]
        shard = await here.shard("0")
        assert [each.reason for each in shard.gaps] == [
            "the topic orders was deleted and made anew"
        ]
        assert shard.gaps[0].cursor.startswith("3@")
        assert shard.state == "listening"


async def test_a_cursor_behind_the_end_is_a_gap_where_topics_have_no_ids(noida: KafkaBroker):
    name = "made-anew"
    noida.make_topic(name)
    noida.put(name, [b"1", b"2", b"3"])
    async with world(noida, kafka.records(topic=name, start="earliest")) as here:
        worker = here.begin()
        await until(lambda: is_read(here, 3))
        await worker.stop()
        here.workers.remove(worker)
        noida.delete_topic(name)
        noida.make_topic(name)
        noida.put(name, [b"11"])
        here.begin()
        await until(lambda: is_read(here, 4))
        [gap] = (await here.shard("0")).gaps
        assert gap.reason == f"{name}[0] ends at 1, before 3: it was made anew"
        noida.put(name, [b"12"])
        await until(lambda: is_read(here, 5))


async def test_a_full_backlog_has_the_topic_wait(
    noida: KafkaBroker, topic: str, monkeypatch: pytest.MonkeyPatch
):
    full = True

    async def is_full(self: Any, customer: str, count: int) -> bool:
        return full

    monkeypatch.setattr(backlog.Backlog, "is_full", is_full)
    monkeypatch.setattr(member, "STANDING_SECONDS", 0.2)
    noida.put(topic, [b"%d" % n for n in range(50)])
    async with world(noida, kafka.records(topic=topic, start="earliest")) as here:
        here.begin()
        await asyncio.sleep(9)  # longer than the group's patience with one that is silent
        assert await here.bodies() == []
        noida.put(topic, [b"%d" % n for n in range(50, 60)])
        full = False
        await until(lambda: is_read(here, 60))
        assert await here.bodies() == list(range(60))
