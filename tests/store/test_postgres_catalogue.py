"""The catalogue on PostgreSQL where that differs from SQLite: many processes have it open.

Two stores in one process are two processes to the server: nothing is shared between them here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from halflap.errors import ConfigError, NotFound, StoreError
from halflap.model import Customer, Instance
from halflap.store.catalogue import Catalogue
from halflap.store.postgres.connecting import placed
from halflap.store.postgres.explain import where
from halflap.store.postgres.schema import MIGRATIONS
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.cluster import emptied_url, fresh_url
from tests.polling import DEADLINE, until

VAULT = Vault({"k1": bytes(32)}, "k1")


@pytest.fixture
def url() -> str:
    return emptied_url()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = await Store.open(url, vault=VAULT)
    yield store
    await store.close()


@pytest.fixture
async def other(url: str, store: Store) -> AsyncIterator[Store]:
    """The same store, opened by another process."""
    other = await Store.open(url, vault=VAULT)
    yield other
    await other.close()


async def a_shop(catalogue: Catalogue) -> tuple[Customer, Instance]:
    ada = await catalogue.customers.add("Ada")
    await catalogue.versions.publish("shop", "hash-1", b"bundle", "")
    return ada, await catalogue.instances.add(ada.id, "shop", "shop", "hash-1")


# -- changes of many processes at once --------------------------------------------------------


async def test_of_many_processes_that_activate_an_instance_one_wins(store: Store, other: Store):
    _, shop = await a_shop(store.catalogue)
    for _ in range(10):
        moved = await asyncio.gather(
            *(
                each.catalogue.instances.move(shop.id, ("configured",), "activating")
                for each in (store, other) * 5
            )
        )
        assert sum(each is not None for each in moved) == 1
        await store.catalogue.instances.move(shop.id, ("activating",), "configured")


async def test_versions_of_many_processes_count_up_without_gaps_or_doubles(
    store: Store, other: Store
):
    made = await asyncio.gather(
        *(
            each.catalogue.versions.publish("shop", f"hash-{n}", b"", "")
            for n, each in enumerate((store, other) * 10)
        )
    )
    assert sorted(each.number for each in made) == list(range(1, 21))


async def test_the_same_bundle_from_two_processes_is_one_version(store: Store, other: Store):
    for n in range(10):
        first, second = await asyncio.gather(
            *(
                each.catalogue.versions.publish("shop", f"hash-{n}", b"", "")
                for each in (store, other)
            )
        )
        assert first == second


async def test_of_many_processes_that_move_a_target_one_wins(store: Store, other: Store):
    await store.catalogue.versions.publish("shop", "a", b"", "")
    for n in range(10):
        won = await asyncio.gather(
            *(
                each.catalogue.versions.move_target("shop", f"t{n}", "a", expect=None)
                for each in (store, other)
            )
        )
        assert sorted(won) == [False, True]


async def test_a_customer_is_not_removed_while_another_process_gives_it_something(
    store: Store, other: Store
):
    await store.catalogue.versions.publish("shop", "hash-1", b"", "")
    for n in range(10):
        customer = await store.catalogue.customers.add(f"c{n}")
        removed, added = await asyncio.gather(
            store.catalogue.customers.remove(customer.id),
            other.catalogue.instances.add(customer.id, "shop", "shop", "hash-1"),
            return_exceptions=True,
        )
        if removed is None:
            assert isinstance(added, NotFound)
        else:
            assert isinstance(removed, ConfigError)
            assert isinstance(added, Instance)


async def test_a_credential_is_refreshed_by_one_process(store: Store, other: Store):
    made = await store.catalogue.connections.save(None, "acme", "Acme", {}, {"key": "old"})
    kept = await asyncio.gather(
        *(
            each.catalogue.connections.refresh(made.id, 1, {"key": str(n)}, {})
            for n, each in enumerate((store, other))
        )
    )
    assert sum(each is not None for each in kept) == 1


async def test_counts_of_many_processes_add_up(store: Store, other: Store):
    for n in range(200):
        for each in (store, other):
            each.catalogue.counters.count("ins_1", f"flow-{n % 7}", "filtered")
            each.catalogue.counters.count("ins_1", f"flow-{6 - n % 7}", "filtered")
        if n % 10 == 0:
            await asyncio.gather(store.catalogue.settled(), other.catalogue.settled())
    await other.catalogue.settled()
    counted = await store.catalogue.counters.of("ins_1")
    assert sum(each["filtered"] for each in counted.values()) == 800


# -- what other processes hear ----------------------------------------------------------------


async def test_a_change_of_another_process_is_heard_of(store: Store, other: Store):
    told: list[int] = []
    other.catalogue.on_change(lambda: told.append(other.catalogue.changed))
    before = other.catalogue.changed
    await store.catalogue.customers.add("Ada")
    await until(lambda: other.catalogue.changed == store.catalogue.changed)
    assert other.catalogue.changed > before
    assert told == [other.catalogue.changed]
    assert await other.catalogue.customers.get("Ada")


async def test_a_change_whose_hint_was_lost_is_found(store: Store, other: Store):
    def unheard(connection: Any) -> None:
        connection.execute("UPDATE changes SET number = number + 1")

    await store.database.write(unheard)
    await until(lambda: other.catalogue.changed == store.catalogue.changed > 0)


async def test_a_process_whose_connections_were_cut_goes_on(store: Store, other: Store):
    await cut(store, "pid <> pg_backend_pid()")
    await store.catalogue.customers.add("Ada")
    await other.catalogue.customers.add("Bob")
    assert len(await other.catalogue.customers.list()) == 2
    await until(lambda: other.catalogue.changed == store.catalogue.changed == 2)


async def cut(store: Store, which: str) -> None:
    """End sessions of this store, as a restart of the server does."""

    def job(connection: Any) -> list[Any]:
        return connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname ="
            f" current_database() AND backend_type = 'client backend' AND {which}"
        ).fetchall()

    await store.database.write(job)


# -- one process at a time --------------------------------------------------------------------


async def test_one_process_at_a_time_refreshes_a_connection(store: Store, other: Store):
    inside, most = 0, 0

    async def refresh(catalogue: Catalogue) -> None:
        nonlocal inside, most
        async with catalogue.connections.refreshing("con_1"):
            inside += 1
            most = max(most, inside)
            await catalogue.customers.list()
            inside -= 1

    await asyncio.gather(*(refresh(each.catalogue) for each in (store, other) * 4))
    assert most == 1


async def test_what_a_dead_process_held_is_free(store: Store, other: Store):
    async with store.catalogue.connections.refreshing("con_1"):
        async with other.catalogue.connections.refreshing("con_2"):
            pass
        taken = asyncio.Event()

        async def take() -> None:
            async with other.catalogue.connections.refreshing("con_1"):
                taken.set()

        waiting = asyncio.create_task(take())
        await cut(store, "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')")
        async with asyncio.timeout(DEADLINE):
            await taken.wait()
            await waiting


# -- commits without an answer ----------------------------------------------------------------


class Proxy:
    """Stands between a store and the server; cuts the line at a COMMIT when told to."""

    def __init__(self, server: Path) -> None:
        self.server = server
        self.cut_before = self.cut_after = 0
        self.lines: set[asyncio.Task[None]] = set()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines.add(asyncio.create_task(self.line(reader, writer)))

    async def line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self.server)
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        deaf = False

        async def answer() -> None:
            while data := await there.read(65536):
                if deaf:
                    lost.set_result(None)
                    return
                writer.write(data)
            writer.close()  # who asks the server to cancel a statement waits for that

        answers = asyncio.create_task(answer())
        try:
            while data := await reader.read(65536):
                if b"COMMIT\0" in data and self.cut_before:
                    self.cut_before -= 1
                    break
                deaf = b"COMMIT\0" in data and self.cut_after > 0
                back.write(data)
                if deaf:
                    self.cut_after -= 1
                    await lost
                    break
        finally:
            answers.cancel()
            await asyncio.wait([answers])
            for each in (back, writer):
                each.close()
                with contextlib.suppress(OSError):
                    await each.wait_closed()


@pytest.fixture
async def proxied(url: str, tmp_path: Path) -> AsyncIterator[tuple[Proxy, Store]]:
    from psycopg.conninfo import conninfo_to_dict

    folder = str(conninfo_to_dict(url)["host"])
    if not folder.startswith("/"):
        pytest.skip("the proxy is between sockets")
    proxy = Proxy(Path(folder) / ".s.PGSQL.5432")
    async with await asyncio.start_unix_server(proxy.serve, tmp_path / ".s.PGSQL.5432"):
        store = await Store.open(
            url.replace(quote(folder, safe=""), quote(str(tmp_path), safe="")), vault=VAULT
        )
        yield proxy, store
        await store.close()
        for each in proxy.lines:  # of a connection that was being made nobody closes the other end
            each.cancel()
        await asyncio.wait(proxy.lines)


async def test_a_commit_whose_answer_was_lost_is_done_once(proxied: tuple[Proxy, Store]):
    proxy, store = proxied
    proxy.cut_after = 1
    made = await store.catalogue.customers.add("Ada")
    assert proxy.cut_after == 0
    assert await store.catalogue.customers.list() == [made]
    assert store.catalogue.changed == 1


async def test_a_commit_that_never_arrived_is_done_again(proxied: tuple[Proxy, Store]):
    proxy, store = proxied
    proxy.cut_before = 2
    made = await store.catalogue.customers.add("Ada")
    assert proxy.cut_before == 0
    assert await store.catalogue.customers.list() == [made]
    store.catalogue.counters.count("ins_1", "orders", "filtered", 3)
    proxy.cut_before = proxy.cut_after = 1
    assert await store.catalogue.counters.of("ins_1") == {"orders": {"filtered": 3}}


async def test_a_job_whose_connection_was_lost_is_run_again(store: Store):
    ran: list[int] = []

    def job(connection: Any) -> int:
        ran.append(1)
        connection.execute("INSERT INTO settings VALUES (?, ?)", (f"n{len(ran)}", ""))
        if len(ran) == 1:
            connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return len(ran)

    assert await store.database.write(job) == 2
    rows = await store.database.read(
        lambda c: c.execute("SELECT name FROM settings WHERE name LIKE 'n%'").fetchall()
    )
    assert rows == [("n2",)]


# -- opening ----------------------------------------------------------------------------------


async def test_many_processes_may_make_the_store_at_once():
    url = fresh_url()
    stores = await asyncio.gather(*(Store.open(url, vault=VAULT) for _ in range(4)))
    rows = await stores[0].database.read(
        lambda c: c.execute("SELECT number, phase FROM migrations").fetchall()
    )
    for each in stores:
        await each.close()
    # No `before` relies on an earlier `after`, so these may pass each other.
    both = ("before", "after")
    assert sorted(rows) == sorted((each.number, phase) for each in MIGRATIONS for phase in both)
    for phase in both:
        numbers = [number for number, which in rows if which == phase]
        assert numbers == sorted(numbers)


async def test_of_two_keys_that_make_a_store_at_once_one_is_refused():
    url = fresh_url()
    two = [Vault({name: name.encode() * 16}, name) for name in ("k1", "k2")]
    results = await asyncio.gather(
        *(Store.open(url, vault=each) for each in two), return_exceptions=True
    )
    (opened,) = [each for each in results if isinstance(each, Store)]
    (refused,) = [each for each in results if not isinstance(each, Store)]
    assert isinstance(refused, StoreError)
    assert "not among those given" in str(refused)
    await opened.close()


async def test_a_store_on_postgresql_needs_its_keys_given():
    with pytest.raises(StoreError, match="HALFLAP_KEYS"):
        await Store.open("postgresql://127.0.0.1:1/shop")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:s3cret@127.0.0.1:1/shop",
        "postgres://ada:s3cret@127.0.0.1:1/shop",
        "postgresql://ada:s3cret@127.0.0.1:1/shop?nonsense=1",
    ],
)
async def test_a_password_is_never_shown(url: str):
    with pytest.raises(StoreError) as caught:
        await Store.open(url, vault=VAULT)
    told = caught.value
    assert "s3cret" not in f"{told!r} {told}"
    assert "s3cret" not in where("postgresql://ada:s3cret@db.example/shop?password=s3cret")
    assert where("postgresql://a:b@db1:5,db2:6/shop") == "postgresql://db1:5,db2:6/shop"
    assert where("postgresql://db1,db2/shop") == "postgresql://db1,db2/shop"


async def test_a_store_says_where_it_is(store: Store):
    assert store.where.startswith("postgresql://")
    assert "search_path" not in store.where


async def test_a_text_that_postgresql_cannot_keep_is_refused(store: Store):
    with pytest.raises(ConfigError, match="NUL"):
        await store.catalogue.customers.add("A\0da")
    with pytest.raises(NotFound):
        await store.catalogue.customers.get("A\0da")
    assert await store.catalogue.endpoints.find("hk_\0") is None


async def test_a_closed_store_says_so(url: str):
    store = await Store.open(url, vault=VAULT)
    await store.close()
    with pytest.raises(StoreError, match="is closed"):
        await store.catalogue.customers.add("Ada")
    with pytest.raises(StoreError, match="is closed"):
        await store.catalogue.customers.list()


def test_places_are_put_where_no_text_is():
    said = "a = ? AND b LIKE '?%' AND c = 5 % 2"
    assert placed(said) == b"a = %s AND b LIKE '?%%' AND c = 5 %% 2"
