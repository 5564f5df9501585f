"""Listeners: what a source has is accepted once, in its order, whoever reads it and whatever fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from halflap import (
    ApiKey,
    Batch,
    Component,
    Config,
    Connection,
    Context,
    CursorExpired,
    DefinitionError,
    Integration,
    Listening,
    Message,
    RateLimited,
    Request,
    Unauthorized,
    fifo,
)
from halflap.engine import listening
from halflap.engine.journal import JournalEngine
from halflap.engine.listening import ByteBudget, Listeners
from halflap.engine.parking import Parking
from halflap.engine.resolver import Resolver
from halflap.engine.throttle import Throttles
from halflap.model import CustomerLimits, Instance, wall_clock
from halflap.sdk.egress import Egress
from halflap.store.protocol import Filter
from halflap.store.shards import ListenerShard
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.cluster import emptied_url
from tests.polling import stays, until

KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
LEASE = 1_500_000
RIGHT = "right-key-0123456789"


@dataclass
class Topic:
    """A source in memory that keeps its messages, by shard."""

    messages: dict[str, list[Message]] = field(default_factory=dict[str, list[Message]])
    acknowledged: list[str] = field(default_factory=list[str])
    opened: list[str | None] = field(default_factory=list[str | None])
    starts: list[str] = field(default_factory=list[str])
    readers: Counter[str] = field(default_factory=Counter[str])
    failures: list[Exception] = field(default_factory=list[Exception])
    secret: str = RIGHT
    hangs: int = 0
    credit: int = 0
    silent: bool = False
    reads: int = 0
    rests: float = 0.01
    read: Callable[[], object] = int

    def put(self, *bodies: str, shard: str = "", **more: Any) -> None:
        self.messages.setdefault(shard, []).extend(
            Message(json.dumps(each).encode(), **more) for each in bodies
        )


TOPICS: dict[str, Topic] = {}


class Broker(Connection):
    """A broker."""

    auth: ApiKey

    async def test(self) -> None:
        if self.auth.key.get_secret_value() != RIGHT:
            raise Unauthorized("the broker refused the key")


component = Component("broker", connection=Broker)


@component.trigger(methods=(), key=lambda request: request.json()[:1])
async def record(request: Request, topic: str, most: int = 2) -> Any:
    """A record of a topic."""
    return request.json()


@record.listen(tuning=("most",), start="earliest")
async def _(
    connection: Broker, listening: Listening, topic: str, most: int
) -> AsyncGenerator[Batch]:
    source = TOPICS[topic]
    source.opened.append(listening.cursor)
    source.starts.append(listening.start)
    if connection.auth.key.get_secret_value() != source.secret:
        raise Unauthorized("the broker refused the key")
    source.readers[listening.shard] += 1
    try:
        at = int(listening.cursor or 0)
        while True:
            if source.failures:
                raise source.failures.pop(0)
            if source.hangs:
                source.hangs -= 1
                await asyncio.sleep(60)
            if source.credit:
                await listening.credit(source.credit)
            source.reads += 1
            if source.silent:
                await asyncio.sleep(0.001)
                continue
            found = source.messages.get(listening.shard, [])[at : at + most]
            if not found:
                await listening.rest(source.rests)
                continue
            at += len(found)

            async def acknowledge(at: int = at) -> None:
                source.acknowledged.append(f"{listening.shard}{at}")

            yield Batch(found, cursor=str(at), ack=acknowledge)
    finally:
        source.readers[listening.shard] -= 1


@component.trigger(methods=())
async def sharded(request: Request, topic: str, most: int = 2) -> Any:
    """A record of a topic with shards."""
    return request.json()


sharded.listen(start="earliest")(record.hooks["listen"])
PATIENCE = 0.5


@component.trigger(methods=())
async def hasty(request: Request, topic: str, most: int = 2) -> Any:
    """A record of a topic that is not waited for as long as that of others."""
    return request.json()


hasty.listen(patience=timedelta(seconds=PATIENCE), start="earliest")(record.hooks["listen"])


@component.trigger(methods=())
async def strict(request: Request, topic: str, most: int = 2) -> Any:
    """A record of a topic, of which none may be left out unasked."""
    return request.json()


strict.listen(start="earliest", on_expired="stop")(record.hooks["listen"])


@sharded.shards
async def _(connection: Broker, topic: str) -> Sequence[str]:
    return [each for each in TOPICS[topic].messages if each]


@component.trigger(methods=())
async def grouped(request: Request, topic: str) -> Any:
    """A record of a topic whose group gives each process shards."""
    return request.json()


@grouped.listen(owned_by="source")
async def _(listening: Listening, topic: str) -> AsyncGenerator[Batch]:
    source = TOPICS[topic]
    given = await listening.assign(sorted(source.messages))
    cursors = {shard: each.cursor for shard, each in given.items()}
    source.opened.extend(cursors.values())
    while True:
        moved, messages = dict[str, str](), list[Message]()
        for shard, cursor in cursors.items():
            found = source.messages[shard][int(cursor or 0) :][:2]
            if found:
                messages += found
                moved[shard] = cursors[shard] = str(int(cursor or 0) + len(found))
        if not messages:
            await listening.rest(0.01)
            continue
        yield Batch(messages, cursor=moved)


@component.trigger(methods=())
async def streamed(request: Request, topic: str) -> Any:
    """A record of a topic that is sent whenever there is one."""
    return request.json()


@streamed.listen()
async def _(listening: Listening, topic: str) -> AsyncGenerator[Batch]:
    await asyncio.gather(listening.credit(100), listening.credit(100))  # an author may do so
    TOPICS[topic].read()
    await asyncio.Event().wait()
    yield Batch()


class Settings(Config):
    broker: Broker
    topic: str = "one"
    most: int = 2


class Library:
    """The one integration that there is."""

    def __init__(self, *triggers: Any, **options: Any) -> None:
        self.found: Integration[Any] = Integration("reader", config=Settings)
        for number, trigger in enumerate(triggers):

            async def flow(ctx: Context[Settings], event: Any) -> None:
                """Do nothing."""

            flow.__name__ = f"flow{number or ''}"
            self.found.flow(trigger=trigger, **options)(flow)

    async def integration(self, version: str) -> Integration[Any]:
        return self.found


class Worker:
    """A process on a store that listens."""

    def __init__(self, store: Store, library: Any, name: str, egress: Egress | None = None) -> None:
        throttles = Throttles(store.journal, wall_clock)
        self.engine = JournalEngine(store.journal, clock=wall_clock)
        self.parking = Parking(store.journal, store.catalogue.connections, self.engine)
        self.store = store
        resolver = Resolver(
            store.catalogue,
            store.vault,
            library,
            base_url=lambda: "http://127.0.0.1",
            egress=egress or Egress(),
            throttles=throttles,
            journal=store.journal,
        )
        self.listeners = Listeners(
            store.catalogue,
            self.engine,
            library,
            resolver,
            self.parking,
            wall_clock,
            owner=name,
            lease=LEASE,
            in_memory=1_000,
        )
        for nudge in (self.listeners.nudge, self.parking.nudge):
            store.catalogue.on_change(nudge)
        self.tasks = [
            asyncio.create_task(self.listeners.run()),
            asyncio.create_task(self.parking.run()),
        ]

    async def stop(self) -> None:
        await self.listeners.stop()
        self.parking.stop()
        await asyncio.gather(*self.tasks)

    async def die(self) -> None:
        """End as by SIGKILL: nothing is let go."""
        tasks = [*self.tasks, *(each._task for each in self.listeners.running.values())]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def shards(self) -> list[str]:
        return sorted(each.shard for each in self.listeners.running)


class World:
    """A store with an active instance, whose flows listen."""

    def __init__(self, stores: list[Store], library: Any) -> None:
        self.stores = stores
        self.library = library
        self.workers: list[Worker] = []
        self.instance: Instance = None  # type: ignore[assignment]
        self.connection = ""

    @property
    def journal(self) -> Any:
        return self.stores[0].journal

    async def open(self, name: str = "Initech", **config: Any) -> None:
        catalogue = self.stores[0].catalogue
        customer = await catalogue.customers.add(name)
        saved = await catalogue.connections.save(
            customer.id, "broker", "broker", {"auth": {}}, {"auth.key": RIGHT}
        )
        self.connection = saved.id
        await catalogue.versions.publish("reader", "v1", b"")
        made = await catalogue.instances.add(customer.id, "reader", "reader", "v1")
        await catalogue.instances.set_revision(made.id, config, {"broker": saved.id})
        assert await catalogue.instances.move(made.id, ("configured",), "active")
        self.instance = await catalogue.instances.get(made.id)

    def begin(self, number: int = 0) -> Worker:
        worker = Worker(self.stores[number], self.library, f"w{number}")
        self.workers.append(worker)
        return worker

    async def bodies(self) -> list[Any]:
        """The bodies of the accepted events, in the order in which they were accepted."""
        found = await self.journal.executions(Filter(limit=1_000))
        found.sort(key=lambda each: (each.accepted_at, each.id))
        events = [await self.journal.event(each.id) for each in found]
        return [json.loads(each.body) for each in events]

    async def shard(self, shard: str = "") -> ListenerShard:
        found = await self.journal.shards.list(self.instance.id)
        return next(each for each in found if each.key.shard == shard)


@asynccontextmanager
async def world(
    *triggers: Any, shared: int = 0, config: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[World]:
    """A world in memory, or with so many processes on PostgreSQL."""
    if shared:
        url = emptied_url()
        stores = [await Store.open(url, vault=Vault.from_text(KEYS)) for _ in range(shared)]
    else:
        stores = [await Store.memory()]
    made = World(stores, Library(*triggers, **options))
    try:
        await made.open(**(config or {}))
        yield made
    finally:
        for each in made.workers:
            if not all(task.done() for task in each.tasks):
                await each.stop()
        for each in stores:
            await each.close()


@pytest.fixture(autouse=True)
def topic() -> Topic:
    TOPICS.clear()
    TOPICS["one"] = made = Topic()
    TOPICS["two"] = Topic()
    return made


NUMBERS = ["a1", "b1", "a2", "b2", "a3"]


async def test_messages_become_events_in_order_and_are_acknowledged_then(topic: Topic):
    topic.put(*NUMBERS)
    async with world(record(topic="one")) as here:
        here.begin()
        await until(lambda: len(topic.acknowledged) == 3)
        assert await here.bodies() == NUMBERS
        assert topic.acknowledged == ["2", "4", "5"]
        stored = await here.shard()
        assert (stored.cursor, stored.state, stored.owner) == ("5", "listening", "w0")
        topic.put("a4")
        await until(lambda: topic.acknowledged[-1] == "6")
        assert topic.opened == [None]


async def test_tuning_keeps_the_cursor_and_another_topic_begins_anew(topic: Topic):
    topic.put(*NUMBERS)
    trigger = record(topic=Settings.topic, most=Settings.most)
    async with world(trigger) as here:
        here.begin()
        await until(lambda: topic.acknowledged and topic.acknowledged[-1] == "5")
        revise = here.stores[0].catalogue.instances.set_revision
        accounts = {"broker": here.connection}
        await revise(here.instance.id, {"most": 7}, accounts)
        await until(lambda: len(topic.opened) == 2)
        assert topic.opened[-1] == "5"
        TOPICS["two"].put("z1")
        await revise(here.instance.id, {"topic": "two"}, accounts)
        await until(lambda: TOPICS["two"].acknowledged == ["1"])
        assert TOPICS["two"].opened == [None]
        await until(lambda: topic.readers[""] == 0)
        await revise(here.instance.id, {}, accounts)
        await until(lambda: len(topic.opened) == 3)
        assert topic.opened[-1] == "5"


async def test_the_flows_filter_order_and_dedupe_hold_as_for_requests(topic: Topic):
    topic.put("a1", "x1", "b1")
    topic.put("a9", id="m1", key="k")
    topic.put("a9", id="m1", key="k", headers={"authorization": "Bearer s3cret", "x-plain": "1"})
    trigger = record(topic="one", most=10)
    async with world(
        trigger, order=fifo(by_key=True), filter=lambda request: request.json() != "x1"
    ) as here:
        here.begin()
        await until(lambda: topic.acknowledged == ["5"])
        assert await here.bodies() == ["a1", "b1", "a9"]
        found = await here.journal.executions(Filter())
        assert [each.key for each in reversed(found)] == ["a", "b", "k"]
        assert found[0].duplicates == 1
        # An empty poll, or one of which the filter wants nothing, makes no execution.
        topic.put("x1")
        await until(lambda: topic.acknowledged[-1] == "6")
        assert len(await here.bodies()) == 3
        topic.put("c1", headers={"Authorization": "Bearer s3cret", "x-plain": "1"})
        await until(lambda: topic.acknowledged[-1] == "7")
        [last] = await here.journal.executions(Filter(limit=1))
        event = await here.journal.event(last.id)
        assert "s3cret" not in str(event.headers)
        assert ("x-plain", "1") in event.headers


async def test_a_body_that_cannot_be_read_is_accepted_as_it_came(topic: Topic):
    topic.messages[""] = [Message(b"\xff{")]
    async with world(record(topic="one")) as here:
        here.begin()
        await until(lambda: topic.acknowledged == ["1"])
        [found] = await here.journal.executions(Filter())
        assert (await here.journal.event(found.id)).body == b"\xff{"


async def test_a_key_longer_than_an_index_holds_stops_no_source(topic: Topic):
    letters = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9_000))
    for key in (letters, letters + "a", letters + "b"):
        topic.put("a", key=key)
    async with world(record(topic="one"), shared=1) as here:
        here.begin()
        await until(lambda: topic.acknowledged[-1:] == ["3"])
        found = await here.journal.executions(Filter())
    keys = {each.key for each in found}
    assert len(keys) == 3
    assert {len(each or "") for each in keys} == {500}


async def test_one_authors_bug_is_shown_and_hurts_no_other_listener(topic: Topic):
    topic.put(*NUMBERS)
    TOPICS["two"].put("z1", "z2")
    topic.failures = [ZeroDivisionError(f"a bug with {RIGHT} in it")]
    async with world(record(topic="one"), record(topic="two")) as here:
        here.begin()
        await until(lambda: TOPICS["two"].acknowledged == ["2"])

        async def told() -> list[ListenerShard]:
            shards = await here.journal.shards.list(here.instance.id)
            return [each for each in shards if "ZeroDivisionError" in each.error]

        (failed,) = await until(told)
        assert (failed.state, failed.key.flow) == ("retrying", "flow")
        assert RIGHT not in failed.error  # which is a secret of its connection
        await until(lambda: topic.acknowledged and topic.acknowledged[-1] == "5")
        assert (await here.shard()).error == ""


async def test_a_listener_that_fails_again_and_again_waits_no_longer_than_the_longest_pause(
    topic: Topic,
):
    topic.put("a1")
    topic.failures = [ValueError("away") for _ in range(12)]
    async with world(record(topic="one")) as here:
        here.begin()
        for each in here.workers:
            each.listeners.longest = 0.01
        await until(lambda: topic.acknowledged == ["1"])


@component.trigger(methods=())
async def odd(request: Request, what: Any) -> Any:
    """A record of a source that nothing can be named by."""
    return request.json()


@odd.listen
async def _(listening: Listening) -> AsyncGenerator[Batch]:
    while True:
        await listening.rest(1.0)
        yield Batch()


async def test_a_source_that_cannot_be_named_hurts_no_other_listener(topic: Topic):
    topic.put("a1")
    async with world(odd(what=object()), record(topic="one")) as here:
        here.begin()
        await until(lambda: topic.acknowledged == ["1"])


async def test_a_batch_that_is_half_read_as_it_fails_is_read_again(topic: Topic):
    topic.put(*NUMBERS)
    async with world(record(topic="one")) as here:
        topic.failures = [RateLimited("slowly", retry_after=timedelta(seconds=0.1))]
        here.begin()
        await until(lambda: len(topic.acknowledged) == 3)
        topic.failures = [ValueError("again")]
        topic.put("a4")
        await until(lambda: topic.acknowledged[-1] == "6")
        assert await here.bodies() == [*NUMBERS, "a4"]


async def test_refused_credentials_park_the_listener_until_the_connection_is_mended(topic: Topic):
    async with world(record(topic="one")) as here:
        here.begin()
        await until(lambda: topic.readers[""] == 1)
        connections = here.stores[0].catalogue.connections
        secret = {"auth.key": "wrong"}
        customer = here.instance.customer
        id = here.connection
        await connections.save(customer, "broker", "broker", {"auth": {}}, secret, id=id)
        topic.failures = [Unauthorized("the session has ended")]

        async def parked() -> bool:
            return (await here.shard()).state == "parked"

        await until(parked)
        assert (await here.shard()).waits_for == f"connection:{here.connection}"
        assert (await connections.get(here.connection)).status == "unauthorized"
        opened = len(topic.opened)
        await stays(lambda: len(topic.opened) == opened, 0.1)  # it waits, and asks nobody
        topic.put("a1")
        secret = {"auth.key": RIGHT}
        await connections.save(customer, "broker", "broker", {"auth": {}}, secret, id=id)
        await until(lambda: topic.acknowledged == ["1"])
        assert (await here.shard()).state == "listening"


async def test_a_hang_is_cut_and_opened_again(topic: Topic):
    topic.hangs = 1
    topic.put("a1")
    async with world(hasty(topic="one")) as here:
        here.begin()
        await until(lambda: topic.acknowledged == ["1"])
        assert topic.opened == [None, None]
        assert topic.readers[""] == 1


async def test_resting_is_no_hang(topic: Topic):
    topic.rests = 2 * PATIENCE
    async with world(hasty(topic="one")) as here:
        here.begin()
        await until(lambda: topic.reads > 2)
        assert topic.opened == [None]


async def test_an_expired_cursor_leaves_a_gap_and_reads_on_as_declared(topic: Topic):
    topic.put(*NUMBERS)
    async with world(record(topic="one")) as here:
        worker = here.begin()
        await until(lambda: topic.acknowledged and topic.acknowledged[-1] == "5")
        await worker.stop()
        topic.failures = [CursorExpired("kept for 3 days")]
        topic.messages[""] = []
        topic.put("c1")
        here.begin()
        await until(lambda: topic.acknowledged[-1] == "1")
        assert topic.opened == [None, "5", None]
        assert topic.starts[-1] == "earliest"
        stored = await here.shard()
        assert [(each.cursor, each.reason) for each in stored.gaps] == [("5", "kept for 3 days")]


@pytest.mark.parametrize(
    ("start", "cursor", "opened", "gaps"),
    [
        ("earliest", None, [None, "5", None], [("5", "earliest")]),
        ("latest", None, [None, "5", None], [("5", "latest")]),
        ("", "1", [None, "5", "1"], [("5", "1")]),
        ("", None, [None, "5", "5"], []),
    ],
)
async def test_a_stopped_listener_reads_on_as_a_person_decides(
    start: str,
    cursor: str | None,
    opened: list[str | None],
    gaps: list[tuple[str, str]],
    topic: Topic,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(listening, "DECIDED_SECONDS", 0.01)
    topic.put(*NUMBERS)
    async with world(strict(topic="one")) as here:
        worker = here.begin()
        await until(lambda: topic.acknowledged and topic.acknowledged[-1] == "5")
        shards, whose = here.journal.shards, (here.instance.id, "flow", "")
        assert not await shards.decide(*whose, start, cursor)  # it is not stopped
        await worker.stop()
        topic.failures = [CursorExpired("kept for 3 days")]
        here.begin()

        async def stopped() -> bool:
            return (await here.shard()).state == "stopped"

        await until(stopped)
        assert "a person has to decide" in (await here.shard()).error
        assert await shards.decide(*whose, start, cursor)
        await until(lambda: len(topic.opened) == 3)
        assert topic.opened == opened
        assert topic.starts[-1] == (start or "earliest")
        await until(lambda: topic.readers[""] == 1)
        topic.put("n1")
        stored = await here.shard()
        assert [(each.cursor, each.start) for each in stored.gaps] == gaps
        assert (stored.state, stored.error) != ("stopped", "")


async def test_a_paused_flow_is_not_read(topic: Topic):
    async with world(record(topic="one")) as here:
        worker = here.begin()
        await until(lambda: topic.readers[""] == 1)
        await worker.engine.pause(f"{here.instance.id}/flow")
        worker.listeners.nudge()
        await until(lambda: topic.readers[""] == 0)
        topic.put("a1")
        await worker.engine.resume(f"{here.instance.id}/flow")
        worker.listeners.nudge()
        await until(lambda: topic.acknowledged == ["1"])


async def test_nothing_is_accepted_of_a_disabled_instance(topic: Topic):
    async with world(record(topic="one")) as here:
        here.begin()
        await until(lambda: topic.readers[""] == 1)
        await here.journal.shards.revoke(here.instance.id)
        assert await here.stores[0].catalogue.instances.move(
            here.instance.id, ("active",), "disabling"
        )
        topic.put("a1")
        await until(lambda: topic.readers[""] == 0)
        assert await here.bodies() == []
        assert topic.acknowledged == []


async def test_events_of_an_instance_that_moves_are_held(topic: Topic):
    async with world(record(topic="one")) as here:
        worker = here.begin()
        await until(lambda: topic.readers[""] == 1)
        instances = here.stores[0].catalogue.instances
        await worker.engine.journal.hold(here.instance.id)
        assert await instances.move(here.instance.id, ("active",), "upgrading")
        topic.put("a1")
        await until(lambda: topic.acknowledged == ["1"])
        assert await here.journal.claim(10, 1_000_000) == []
        await worker.engine.release(here.instance.id)
        assert len(await here.journal.claim(10, 1_000_000)) == 1


async def test_a_full_backlog_has_the_source_wait(topic: Topic):
    topic.put(*NUMBERS)
    async with world(record(topic="one", most=1)) as here:
        await here.journal.set_limits(here.instance.customer, CustomerLimits(backlog=2))
        worker = here.begin()
        await until(lambda: topic.acknowledged == ["1", "2"])
        await until(lambda: topic.reads == 3)
        await stays(lambda: (topic.acknowledged, topic.reads) == (["1", "2"], 3), 0.2)
        await here.journal.set_limits(here.instance.customer, CustomerLimits(backlog=0))
        worker.engine.backlog.forget(here.instance.customer)
        await until(lambda: len(topic.acknowledged) == 5)
        assert await here.bodies() == NUMBERS


async def test_bytes_are_credited_before_they_are_read(topic: Topic):
    TOPICS["two"].credit = topic.credit = 900
    async with world(record(topic="one"), record(topic="two")) as here:
        worker = here.begin()
        await until(lambda: topic.reads or TOPICS["two"].reads)
        topic.put(*NUMBERS)
        TOPICS["two"].put("z1")
        await until(lambda: topic.acknowledged and topic.acknowledged[-1] == "5")
        await until(lambda: TOPICS["two"].acknowledged == ["1"])
        assert worker.listeners.budget.used <= 1_000
        await worker.stop()
        assert worker.listeners.budget.used == 0


async def test_a_silent_source_holds_the_bytes_of_one_credit(topic: Topic):
    TOPICS["two"].credit, TOPICS["two"].silent = 100, True
    async with world(record(topic="one"), record(topic="two")) as here:
        worker = here.begin()
        await until(lambda: TOPICS["two"].reads > 20)
        topic.put(*NUMBERS)
        await until(lambda: topic.acknowledged and topic.acknowledged[-1] == "5")
        await until(lambda: worker.listeners.budget.used <= 100)  # the last batch is let go


async def test_an_idle_stream_holds_no_bytes(topic: Topic, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(listening, "SILENT_SECONDS", 0.1)
    used = list[int]()
    async with world(streamed(topic="one")) as here:
        worker = here.begin()
        topic.read = lambda: used.append(worker.listeners.budget.used)
        await until(lambda: used)
        assert used == [200]
        await until(lambda: worker.listeners.budget.used == 0)


async def test_a_batch_larger_than_the_memory_of_all_is_accepted(topic: Topic):
    topic.credit = 900
    topic.put("x" * 2_000, "b1")
    async with world(record(topic="one")) as here:
        here.begin()
        await until(lambda: topic.acknowledged == ["2"])


async def test_a_customer_with_a_full_backlog_keeps_no_other_from_reading(topic: Topic):
    topic.put(*["x" * 700] * 4)
    trigger = record(topic=Settings.topic, most=2)
    async with world(trigger, config={"topic": "one"}) as here:
        await here.journal.set_limits(here.instance.customer, CustomerLimits(backlog=2))
        await here.open("Hooli", topic="two")
        worker = here.begin()
        await until(lambda: topic.reads == 2)  # the second batch waits for room
        TOPICS["two"].put(*["y" * 700] * 4)
        await until(lambda: TOPICS["two"].acknowledged == ["2", "4"])
        await until(lambda: worker.listeners.budget.used == 0)  # of the next look, too
        assert topic.acknowledged == ["2"]


async def test_a_customer_holds_a_half_of_the_bytes_at_most():
    budget = ByteBudget(1_000)
    assert await budget.take("a", 900) == 500
    waiting = asyncio.create_task(budget.take("a", 100))
    assert await budget.take("b", 500) == 500
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.give("b", 500)
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.give("a", 500)
    assert await waiting == 100
    assert budget.used == 100


async def test_processes_share_a_topic_and_take_what_one_that_died_read(topic: Topic):
    for shard in "abcd":
        topic.put(f"{shard}1", shard=shard)
    async with world(sharded(topic="one"), shared=2) as here:
        first = here.begin(0)
        await until(lambda: first.shards == ["", "a", "b", "c", "d"])
        second = here.begin(1)
        await until(lambda: len(second.shards) == 2)
        assert sorted(first.shards + second.shards) == ["", "a", "b", "c", "d"]
        for shard in "abcd":
            topic.put(f"{shard}2", shard=shard)
        await until(lambda: len(topic.acknowledged) >= 8)
        await first.die()
        for shard in "abcde":
            topic.put(f"{shard}3", shard=shard)
        await until(lambda: len(second.shards) == 6)
        await until(lambda: len(topic.acknowledged) >= 13)
        bodies = await here.bodies()
        assert Counter(bodies) == Counter(
            [f"{shard}{number}" for shard in "abcd" for number in (1, 2, 3)] + ["e3"]
        )


async def test_a_former_owner_that_reads_on_accepts_nothing(topic: Topic):
    async with world(record(topic="one"), shared=2) as here:
        first = here.begin(0)
        await until(lambda: topic.readers[""] == 1)
        # It hangs for longer than its lease, and another process takes the shard.
        first.tasks[0].cancel()
        await asyncio.wait([first.tasks[0]])
        second = here.begin(1)
        await until(lambda: second.shards == [""])
        await until(lambda: topic.readers[""] == 2)
        topic.put(*NUMBERS)
        await until(lambda: topic.acknowledged.count("5") == 1)
        assert await here.bodies() == NUMBERS
        await until(lambda: topic.readers[""] == 1)
        await first.die()


async def test_a_source_that_owns_its_shards_assigns_them(topic: Topic):
    for shard in "01":
        topic.put(*(f"{shard}{number}" for number in range(5)), shard=shard)
    async with world(grouped(topic="one")) as here:
        worker = here.begin()
        await until(lambda: here_has(here, 10))
        cursors = {e.key.shard: e.cursor for e in await here.journal.shards.list(here.instance.id)}
        assert cursors == {"0": "5", "1": "5"} | {"@w0": None}
        key = next(iter(worker.listeners._wanted.values())).key
        await here.journal.shards.assign("elsewhere", key, ["0"])
        topic.put("05", shard="0")
        await until(lambda: here_has(here, 11))  # it lost the shard, and was given it anew
        assert topic.opened == [None, None, "5", "5"]
        assert len(set(await here.bodies())) == 11


async def here_has(here: World, count: int) -> bool:
    return len(await here.bodies()) == count


def test_what_listens_is_an_async_generator_of_known_inputs():
    made = Component("odd")

    @made.trigger(methods=())
    async def one(request: Request, topic: str) -> str:
        """One."""
        return topic

    async def no_generator(listening: Listening) -> None: ...
    async def unknown(listening: Listening, what: str) -> AsyncGenerator[Batch]:
        yield Batch()

    for wrong in (no_generator, unknown):
        with pytest.raises(DefinitionError):
            one.listen(wrong)
    with pytest.raises(DefinitionError, match="tuning"):
        one.listen(tuning=["nothing"])
    with pytest.raises(DefinitionError, match="tuning names nothing, which is no input"):
        one.poll(tuning=["nothing"])
    with pytest.raises(DefinitionError, match="patience"):
        one.listen(patience=timedelta(0))


async def test_the_time_of_the_last_message_is_stored(topic: Topic):
    at = datetime(2026, 11, 29, tzinfo=UTC)
    topic.put("a1", at=at)
    async with world(record(topic="one")) as here:
        here.begin()
        await until(lambda: topic.acknowledged == ["1"])
        stored = await here.shard()
        assert stored.message_at == int(at.timestamp() * 1e6)


async def test_a_stop_waits_for_what_is_being_accepted(topic: Topic):
    topic.put(*NUMBERS)
    async with world(record(topic="one")) as here:
        worker = here.begin()
        begun, go_on = asyncio.Event(), asyncio.Event()
        accept = worker.engine.start

        async def slowly(*args: Any) -> Any:
            begun.set()
            await go_on.wait()
            return await accept(*args)

        with contextlib.ExitStack() as stack:
            patch = pytest.MonkeyPatch()
            stack.callback(patch.undo)
            patch.setattr(worker.engine, "start", slowly)
            await begun.wait()
            stopping = asyncio.create_task(worker.stop())
            await asyncio.sleep(0.05)
            assert not stopping.done()
            go_on.set()
            await stopping
        assert topic.acknowledged == ["2"]
        assert await here.bodies() == ["a1", "b1"]
