"""The transactional outbox: what is committed is published, in order, once, whoever dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from halflap.errors import UpstreamError
from halflap.export import AsyncPublisher, ProductEvent
from halflap.export.client import SECONDS
from halflap.export.outbox import (
    MOST_REFUSALS,
    AsyncOutboxRelay,
    Courier,
    OutboxRelay,
)
from tests.api.conftest import TOKEN
from tests.cluster import ordinary_url
from tests.export import shop
from tests.export.conftest import Product, product_on
from tests.export.shop import CUSTOMERS, OrderCreated
from tests.polling import until
from tests.zygote import PYTHON

IN_ORDER = '''
"""Orders, one after another."""

from typing import Any

from halflap import Config, Context, Integration, app, fifo


class Settings(Config):
    """Nothing to fill in."""


integration = Integration("orders", config=Settings)


@integration.flow(trigger=app.event("order.created"), order=fifo())
async def created(ctx: Context[Settings], event: app.AppEvent[Any]) -> str:
    """An order was placed."""
    return event.data["id"]
'''


def database(kind: str, folder: Path) -> str:
    """The URL of an app's database."""
    if kind == "sqlite":
        return f"sqlite:///{folder / 'shop.db'}"
    return ordinary_url().replace("postgresql://", "postgresql+psycopg://", 1)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an app's database, with its tables."""
    made = database(request.param, tmp_path)
    engine = create_engine(made)
    shop.metadata.create_all(engine)
    engine.dispose()
    return made


@pytest.fixture
def engine(url: str) -> Any:
    made = create_engine(url)
    yield made
    made.dispose()


@asynccontextmanager
async def shops(folder: Path) -> AsyncIterator[Product]:
    """A server with three customers, whose orders are taken one after another."""
    folder.mkdir()
    async with product_on("file", folder) as product:
        await product.integration(IN_ORDER)
        async with AsyncPublisher(product.url, TOKEN, shop.events) as publisher:
            await publisher.declare()
        for name in CUSTOMERS:
            await product.instance(await product.customer(name.removeprefix("t-")))
        yield product


class Server:
    """A publisher's server that is none: it keeps what it is sent, or refuses it."""

    def __init__(self, *refusals: UpstreamError | None) -> None:
        self.refusals = list(refusals)
        self.seen: list[tuple[str, list[str]]] = []
        self.poison = ""
        self.timeout = timedelta(seconds=SECONDS)

    def publish_all(self, customer: str, events: Any, tries: int) -> list[Any]:
        if self.refusals and (refusal := self.refusals.pop(0)) is not None:
            raise refusal
        if any(each.key == self.poison for each in events):
            raise UpstreamError("the event does not fit", status=422)
        self.seen.append((customer, [each.key for each in events]))
        return []

    def sent(self, customer: str = "a") -> list[str]:
        """The keys of a customer's events, in their order."""
        return [key for whose, keys in self.seen if whose == customer for key in keys]


def write(engine: Engine, *keys: str, customer: str = "a") -> None:
    with engine.begin() as connection:
        for key in keys:
            connection.execute(shop.outbox.insert(customer, ProductEvent("t", "{}", key)))


def relay_of(engine: Engine, server: Any, clock: Any = None) -> OutboxRelay:
    relay = OutboxRelay(shop.outbox, engine, server)
    if clock is not None:
        relay._courier = Courier(shop.outbox, SECONDS, clock)
    return relay


# The app's transaction --------------------------------------------------------------------------


def test_an_event_is_there_if_its_transaction_is_committed(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        session.execute(shop.outbox.insert("a", OrderCreated(id="o-1", total=1), subject="mine"))
    with contextlib.suppress(ZeroDivisionError), Session(engine) as session, session.begin():
        session.execute(shop.outbox.insert("a", OrderCreated(id="o-2", total=1)))
        raise ZeroDivisionError
    with engine.connect() as connection:
        [row] = connection.execute(select(shop.outbox.table)).mappings().all()
    assert (row["customer"], row["type"], row["subject"]) == ("a", "order.created", "mine")
    assert row["data"] == '{"id":"o-1","total":"1"}'


async def test_an_async_session_and_an_async_relay_do_the_same(tmp_path: Path) -> None:
    made = database("postgresql", tmp_path)
    engine = create_async_engine(made)
    async with engine.begin() as connection:
        await connection.run_sync(shop.metadata.create_all)
    async with shops(tmp_path / "server") as product:
        async with AsyncSession(engine) as session, session.begin():
            await session.execute(shop.outbox.insert("t-ada", OrderCreated(id="o-1", total=1)))
        async with AsyncPublisher(product.url, TOKEN) as publisher:
            relay = AsyncOutboxRelay(shop.outbox, engine, publisher)
            running = asyncio.create_task(relay.run())

            async def are_sent() -> bool:
                async with engine.connect() as connection:
                    return await connection.run_sync(shop.outbox.waiting) == 0

            await until(are_sent)
            running.cancel()
        assert await product.results() == ["o-1"]
    await engine.dispose()


# The relay --------------------------------------------------------------------------------------


def test_events_of_a_customer_are_sent_in_their_order(engine: Engine) -> None:
    write(engine, *(f"k{number}" for number in range(250)))
    write(engine, "b1", customer="b")
    server = Server()
    relay = relay_of(engine, server)
    while relay.send():
        pass
    assert server.sent() == [f"k{number}" for number in range(250)]
    assert server.sent("b") == ["b1"]
    with engine.connect() as connection:
        assert shop.outbox.waiting(connection) == 0


def test_a_server_that_is_away_is_sent_all_once_it_is_back(engine: Engine) -> None:
    write(engine, "k1", "k2")
    away = UpstreamError("away")
    server, now = Server(away, away, UpstreamError("full", status=429)), [1000.0]
    relay = relay_of(engine, server, lambda: now[0])
    waits: list[int] = []
    while not server.seen:
        relay.send()
        waits.append(0)
        now[0] += 0.5
    assert server.sent() == ["k1"]  # one by one after a failure
    relay.send()
    assert server.sent() == ["k1", "k2"]
    assert 10 <= len(waits) <= 20  # after 1, 2 and 4 seconds


def test_an_event_that_is_refused_for_good_is_set_aside_and_keeps_no_other(engine: Engine) -> None:
    keys = [f"k{number}" for number in range(10)]
    write(engine, *keys)
    server, now = Server(), [1000.0]
    server.poison = "k4"
    relay = relay_of(engine, server, lambda: now[0])
    for _ in range(40):
        relay.send()
        now[0] += 301
    assert server.sent() == [each for each in keys if each != "k4"]
    with engine.begin() as connection:
        assert (shop.outbox.waiting(connection), shop.outbox.set_aside(connection)) == (0, 1)
        [row] = connection.execute(select(shop.outbox.table)).mappings().all()
        assert (row["key"], row["tries"], row["error"]) == (
            "k4",
            MOST_REFUSALS,
            "the event does not fit",
        )
        assert shop.outbox.retry(connection) == 1
    server.poison = ""
    relay.send()
    assert server.sent()[-1] == "k4"


def test_a_customer_that_is_not_known_yet_waits_and_keeps_no_other_from_its_events(
    engine: Engine,
) -> None:
    write(engine, "k1")
    write(engine, "b1", customer="b")
    unknown = UpstreamError("no such customer", status=404)
    server, now = Server(*[unknown, None, *[unknown] * 20]), [1000.0]
    relay = relay_of(engine, server, lambda: now[0])
    for _ in range(40):
        relay.send()
        now[0] += 301
    assert (server.sent(), server.sent("b")) == (["k1"], ["b1"])


def test_what_another_relay_has_is_left_alone_until_its_lease_ends(engine: Engine) -> None:
    write(engine, "k1", "k2")
    now = [1000.0]
    first, second = (Courier(shop.outbox, SECONDS, lambda: now[0]) for _ in range(2))
    with engine.begin() as connection:
        [batch] = first.claim(connection)
    with engine.begin() as connection:
        assert second.claim(connection) == []
    write(engine, "k3")
    assert batch.until - now[0] <= 45
    now[0] = batch.until  # the first one died, it seems
    with engine.begin() as connection:
        [again] = second.claim(connection)
    assert [each.key for each in again.events] == ["k1", "k2", "k3"]
    with engine.begin() as connection:
        second.sent(connection, again)
    write(engine, "k4")
    with engine.begin() as connection:
        [fourth] = second.claim(connection)
    with engine.begin() as connection:
        first.sent(connection, batch)  # it comes back, and removes nothing that is new
        assert shop.outbox.waiting(connection) == 1
        first.failed(connection, batch, UpstreamError("away"))  # nor does it let go of the other's
        assert first.claim(connection) == []
        assert second.renew(connection, fourth) is not None


def test_a_lease_is_renewed_where_those_before_it_took_long(engine: Engine) -> None:
    now = [1000.0]
    other = Courier(shop.outbox, SECONDS, lambda: now[0])
    for customer in "abc":
        write(engine, f"{customer}1", customer=customer)

    class Slow(Server):
        def publish_all(self, customer: str, events: Any, tries: int) -> list[Any]:
            now[0] += (
                2 * SECONDS
            )  # all that its tries may take, twice of which is more than a lease
            with engine.begin() as connection:
                stolen.extend(
                    each.customer for each in other.claim(connection) if each.customer == "c"
                )
            return super().publish_all(customer, events, tries)

    stolen: list[str] = []
    server = Slow()
    assert relay_of(engine, server, lambda: now[0]).send() == 2
    assert stolen == ["c"]  # which it waited for too long to send, and leaves to who has it now
    assert [whose for whose, _ in server.seen] == ["a", "b"]


async def test_several_relays_send_each_event_once_and_in_order(engine: Engine) -> None:
    for customer in "abc":
        write(engine, *(f"{customer}{number}" for number in range(400)), customer=customer)
    server = Server()
    relays = [relay_of(engine, server) for _ in range(4)]

    def drain(relay: OutboxRelay) -> None:
        idle = 0
        while idle < 20:
            try:
                idle = 0 if relay.send() else idle + 1
            except OperationalError:  # SQLite has one writer
                idle = 0

    await asyncio.gather(*(asyncio.to_thread(drain, each) for each in relays))
    for customer in "abc":
        assert server.sent(customer) == [f"{customer}{number}" for number in range(400)]


# Processes that die -----------------------------------------------------------------------------


async def started(*command: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        PYTHON,
        *command,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


COUNT = 3
"""The orders of each customer."""
DEATHS = 2 * len(shop.DIES_AT) * len(CUSTOMERS)


async def take_orders(url: str, how: str, product: Product) -> int:
    """Have the shop take orders, begun again whenever it died; returns how often it did."""
    for deaths in itertools.count():
        given = (url, how, product.url, TOKEN, str(COUNT), str(product.folder))
        command = ("-m", "tests.export.shop", *given)
        process = await started(*command)
        _, said = await process.communicate()
        if process.returncode == 0:
            return deaths
        assert process.returncode == -signal.SIGKILL, said
    raise AssertionError


async def relayed(url: str, product: Product, chance: random.Random) -> None:
    """Run a relay that is killed again and again, soon after it has begun to send."""
    while True:
        command = ("-m", "halflap", "outbox", "run", "--database", url, "--url", product.url)
        process = await started(*command, HALFLAP_EVENTS_KEY=TOKEN)
        try:
            assert process.stderr is not None
            assert b"sends what" in await process.stderr.readline()
            await asyncio.sleep(chance.uniform(0.02, 0.6))
        finally:
            process.kill()
            await process.communicate()


async def test_whoever_is_killed_what_is_committed_is_published_once_and_in_order(
    url: str, tmp_path: Path
) -> None:
    chance = random.Random(7)
    engine = create_engine(url)
    async with shops(tmp_path / "server") as product:
        relays = [asyncio.create_task(relayed(url, product, chance)) for _ in range(2)]
        assert await take_orders(url, "outbox", product) == DEATHS

        def are_sent() -> bool:
            with engine.connect() as connection:
                return shop.outbox.waiting(connection) == 0

        # A lease of one that was killed ends: for the test, at once.
        async def ended() -> bool:
            with contextlib.suppress(Exception), engine.begin() as connection:
                connection.execute(shop.outbox.table.update().values(claimed_until=0.0))
            return are_sent()

        await until(ended, seconds=90)
        for each in relays:
            each.cancel()
        await asyncio.gather(*relays, return_exceptions=True)
        for name in CUSTOMERS:
            results = await product.results(customer=name.removeprefix("t-"))
            assert results == [f"{name}-{number}" for number in range(COUNT)]
    engine.dispose()


async def test_the_control_without_an_outbox_loses_what_was_committed(tmp_path: Path) -> None:
    url = database("sqlite", tmp_path)
    engine = create_engine(url)
    shop.metadata.create_all(engine)
    async with shops(tmp_path / "server") as product:
        assert await take_orders(url, "publish", product) == DEATHS
        published = {*await product.results()}
        committed = {f"{name}-{number}" for name in CUSTOMERS for number in range(COUNT)}
        lost = {f"{name}-{number}" for name in CUSTOMERS for number in shop.DIES_AT}
        assert committed - published == lost
    engine.dispose()
